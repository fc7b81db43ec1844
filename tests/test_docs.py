"""The code blocks of README.md and of every page in docs/ run, in order, page by page.

How a block is read (the pages look the same on a code host and in the built site):

* ```` ```python title="flow.py" ```` (any language): written to that file in the page's own empty folder.
* ```` ```python ```` without a title: run as a program there.
* ```` ```bash ````: run there with `bash -eu`.
* ```` ```text ```` right after one that ran: what it must have printed, standard output and standard error together.
  Run ids, times, durations, sizes and folders may differ, and the order of lines, since tasks run side by side; `...`
  stands for the rest of a line, a line of its own with `...` for any lines (then the order counts). Elsewhere such a
  block is a drawing, and not looked at.
* ```` ```toml ```` and ```` ```json ````: must parse.
* `<!-- exit 1 -->` on the line before a block: its exit status, instead of 0.
* `<!-- not run: why -->` on the line before a block: it is shown only, and says why.

`python tests/test_docs.py PAGE...` runs pages and writes what their blocks print now into them.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("*/README.md")), *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(
    r"(?P<mark>^<!-- (?P<verb>not run|exit):? ?(?P<what>[^\n]*?) -->\n)?"
    r"^(?P<indent> *)```(?P<language>\w+)(?P<options>[^\n]*)\n(?P<body>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
VARIABLE = [
    (re.compile(r"\b[0-9a-hjkmnp-tv-z]{26}\b"), "RUN"),
    (re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d(\.\d+)?)?Z?"), "TIME"),
    (re.compile(r"\b\d\d:\d\d(:\d\d(\.\d+)?)?\b"), "TIME"),
    (re.compile(r"\b\d+(\.\d+)? ?(ms|s|min|h)\b"), "DURATION"),
    (re.compile(r"\b\d+(\.\d+)? ?(B|KB|MB|GB|KiB|MiB|GiB)\b"), "SIZE"),
    (re.compile(r"(/[\w.+-]+)+(?=/(\.dovetail|[\w-]+\.py)\b)"), "FOLDER"),
    (re.compile(r"\bby \w+$"), "by USER"),
    (re.compile(r"[ \t]+"), " "),
]
UNDERLINE = re.compile(r"\s*[~^]+\s*")  # below a line of a traceback, from Python 3.11 on


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    line: int
    language: str
    title: str | None
    body: str
    shown_only: bool
    exit: int


def blocks_of(text: str) -> list[Block]:
    found = []
    for match in FENCE.finditer(text):
        title = re.search(r'title="([^"]+)"', match["options"])
        indent = match["indent"]
        body = "".join(line.removeprefix(indent) for line in match["body"].splitlines(keepends=True))
        found.append(
            Block(
                line=text.count("\n", 0, match.start("language")) + 1,
                language=match["language"],
                title=title[1] if title else None,
                body=body,
                shown_only=match["verb"] == "not run" and bool(match["what"]),
                exit=int(match["what"]) if match["verb"] == "exit" else 0,
            )
        )
    return found


def normalised(text: str) -> list[str]:
    lines = []
    for line in text.rstrip().splitlines():
        if UNDERLINE.fullmatch(line):
            continue
        for pattern, word in VARIABLE:
            line = pattern.sub(word, line)
        lines.append(line.strip())
    return lines


def matches(expected: list[str], printed: list[str]) -> bool:
    """Whether the lines agree, `...` being anything."""
    pattern = "".join(
        r"(?:[^\n]*\n)*?" if line == "..." else r"[^\n]*".join(map(re.escape, line.split("..."))) + r"\n"
        for line in expected
    )
    found = re.fullmatch(pattern, "".join(line + "\n" for line in printed))
    return found is not None or sorted(expected) == sorted(printed)


def run(block: Block, folder: Path) -> str:
    """What a block prints."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DOVETAIL")}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    environment["COLUMNS"] = "100"
    command = ["bash", "-eu", "-c"] if block.language == "bash" else [sys.executable, "-c"]
    done = subprocess.run(
        [*command, block.body],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == block.exit, f"line {block.line}: exit {done.returncode}\n{done.stdout}"
    return done.stdout


def outputs(text: str, folder: Path) -> Iterator[tuple[Block, str]]:
    """Run a page in a folder; every block of expected output, with what was printed."""
    printed: str | None = None
    for block in blocks_of(text):
        if block.shown_only:
            printed = None
        elif block.title:
            (folder / block.title).parent.mkdir(parents=True, exist_ok=True)
            (folder / block.title).write_text(block.body, encoding="utf-8")
        elif block.language in ("bash", "python"):
            printed = run(block, folder)
        elif block.language == "text":
            if printed is not None:
                yield block, printed
            printed = None
        elif block.language == "toml":
            tomllib.loads(block.body)
        elif block.language == "json":
            json.loads(block.body)
        else:
            pytest.fail(f"line {block.line}: blocks of {block.language} can't be run; mark it as not run, and say why")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_code_blocks_run(page: Path, tmp_path: Path) -> None:
    for block, printed in outputs(page.read_text(encoding="utf-8"), tmp_path):
        fine = matches(normalised(block.body), normalised(printed))
        assert fine, f"line {block.line}: expected\n{block.body}\nprinted\n{printed}"


def rewrite(page: Path) -> None:
    """Put what a page's blocks print now into it, all of it where anything differs, so that ids agree."""
    text = page.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        found = [
            (block.body, printed.rstrip().replace(folder, "/home/ada/flows") + "\n")
            for block, printed in outputs(text, Path(folder))
        ]
    if not all(matches(normalised(old), normalised(new)) for old, new in found):
        for old, new in found:
            text = text.replace(old, new, 1)
        page.write_text(text, encoding="utf-8")


def test_the_site_builds(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("expected", "printed", "fine"),
    [
        ("a\nb", "a\nb\n", True),
        ("a\nb", "a\nc", False),
        ("a\nb", "b\na", True),
        ("a ...", "a and more", True),
        ("a\n...\nz", "a\nb\nc\nz", True),
        ("a\n...\nz", "a\nb", False),
        ("done in 1.2 s", "done in 45 ms", True),
        ("run 01jd0a6t5v3m8x2k9q4w7e1r0z", "run 01jd0a6t5v3m8x2k9q4w7e1r0y", True),
    ],
)
def test_how_output_is_compared(expected: str, printed: str, fine: bool) -> None:
    assert matches(normalised(expected), normalised(printed)) is fine


def test_how_blocks_are_read() -> None:
    page = (
        'Text.\n\n```python title="a.py"\nx = 1\n```\n\n'
        "<!-- exit 2 -->\n```bash\nexit 2\n```\n\n"
        "1. In a list:\n\n    ```bash\n    echo\n    ```\n"
        "<!-- not run: needs a cluster -->\n```bash\nkubectl\n```\n"
    )
    read = blocks_of(page)
    assert [(b.line, b.language, b.title, b.body, b.shown_only, b.exit) for b in read] == [
        (3, "python", "a.py", "x = 1\n", False, 0),
        (8, "bash", None, "exit 2\n", False, 2),
        (14, "bash", None, "echo\n", False, 0),
        (18, "bash", None, "kubectl\n", True, 0),
    ]


if __name__ == "__main__":
    for name in sys.argv[1:]:
        rewrite(Path(name))
