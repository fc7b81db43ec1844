"""How verbs write: tables, JSON, colours, human times and sizes, progress.

Results go to stdout, everything else to stderr. Colours appear on a terminal alone, never with `NO_COLOR`;
`FORCE_COLOR` asks for them elsewhere. Nothing here knows what it shows.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

__all__ = [
    "STATE_COLOURS",
    "Progress",
    "clean",
    "colours_on",
    "counted",
    "emit_json",
    "human_age",
    "human_duration",
    "human_size",
    "human_time",
    "iso_time",
    "paint",
    "paint_state",
    "pairs",
    "say",
    "shortened",
    "table",
    "warn",
]

_CODES = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "blue": "34",
    "magenta": "35",
    "cyan": "36",
}
STATE_COLOURS = {
    "succeeded": "green",
    "cached": "green",
    "running": "cyan",
    "waiting": "cyan",
    "failed": "red",
    "lost": "red",
    "cancelled": "yellow",
    "interrupted": "yellow",
    "paused": "yellow",
    "skipped": "dim",
}
"""Colour of each state's name."""


def colours_on(stream: IO[str] | None = None) -> bool:
    """Whether `stream` (stdout by default) gets colours."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    where = sys.stdout if stream is None else stream
    return os.environ.get("TERM") != "dumb" and where.isatty()


def paint(text: str, *styles: str, stream: IO[str] | None = None) -> str:
    """`text` in the named styles (`bold`, `dim` or a colour), or as it is where colours are off."""
    codes = ";".join(_CODES[style] for style in styles if style)
    return f"\x1b[{codes}m{text}\x1b[0m" if codes and text and colours_on(stream) else text


def paint_state(state: str, *, stream: IO[str] | None = None) -> str:
    """The name of a state in its colour."""
    return paint(state, STATE_COLOURS.get(state, ""), stream=stream)


def clean(text: str) -> str:
    """`text` without control characters: what a task wrote must not steer the terminal of who reads it."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in "\n\t" else f"\\x{ord(char):02x}" for char in text)


def say(text: str = "") -> None:
    """A line on stdout."""
    sys.stdout.write(text + "\n")


def warn(text: str) -> None:
    """A line on stderr."""
    sys.stdout.flush()
    sys.stderr.write(paint(text, "yellow", stream=sys.stderr) + "\n")


def emit_json(value: Any) -> None:
    """One JSON document on stdout: indented for a terminal, on one line otherwise."""
    import json

    sys.stdout.write(json.dumps(value, indent=2 if sys.stdout.isatty() else None, ensure_ascii=False) + "\n")


def _width(text: str) -> int:
    """Columns that `text` takes; wide characters count as two."""
    if text.isascii():
        return len(text)
    import unicodedata

    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def _cut(text: str, width: int) -> str:
    while _width(text) > width:
        text = text[: max(0, width - 2)] + "…" if len(text) > width else text[:-2] + "…"
        if len(text) <= 1:
            break
    return text


def shortened(path: str, width: int) -> str:
    """A task's path in so many columns: where it is longer, its first node and as many of its last ones as fit."""
    if len(path) <= width:
        return path
    first, *rest = path.split("/")
    kept: list[str] = []
    room = width - len(first) - 2
    while rest and len(rest[-1]) + 1 <= room:
        kept.insert(0, rest.pop())
        room -= len(kept[0]) + 1
    if kept:
        return "/".join([first, "…", *kept])
    end = max(1, width // 2)  # not even one fits
    return f"{path[: max(0, width - end - 1)]}…{path[-end:]}"


def table(
    headers: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    right: Iterable[str] = (),
    colours: Mapping[str, Mapping[str, str]] | None = None,
    flexible: str | None = None,
) -> None:
    """Write aligned columns to stdout, with a header.

    Args:
        headers: Names of the columns.
        rows: Values; None is shown as `-`.
        right: Headers of columns that are aligned right.
        colours: Header → value → style.
        flexible: Header of the column that is cut to fit a terminal; nothing is cut elsewhere.
    """
    cells = [["-" if value is None else clean(str(value)).replace("\n", " ") for value in row] for row in rows]
    widths = [max([_width(header), *(_width(row[i]) for row in cells)]) for i, header in enumerate(headers)]
    if flexible is not None and sys.stdout.isatty():
        import shutil

        at = headers.index(flexible)
        room = shutil.get_terminal_size().columns - sum(widths) - 2 * (len(headers) - 1)
        if room < 0:
            widths[at] = max(len(flexible), 12, widths[at] + room)
            for row in cells:
                row[at] = _cut(row[at], widths[at])
    to_right = {headers.index(name) for name in right}

    def line(row: Sequence[str], paints: Sequence[str]) -> str:
        parts = []
        for i, text in enumerate(row):
            pad = " " * (widths[i] - _width(text))
            shown = paint(text, paints[i]) if paints[i] else text
            parts.append(pad + shown if i in to_right else shown if i == len(row) - 1 else shown + pad)
        return "  ".join(parts).rstrip() + "\n"

    styles = [(colours or {}).get(header, {}) for header in headers]
    out = [line(headers, ["bold"] * len(headers))]
    out += [line(row, [style.get(text, "") for style, text in zip(styles, row, strict=True)]) for row in cells]
    sys.stdout.write("".join(out))


def pairs(items: Iterable[tuple[str, str]], *, indent: str = "") -> None:
    """Write `name  value` lines to stdout, values aligned."""
    rows = list(items)
    width = max((len(name) for name, _ in rows), default=0)
    for name, value in rows:
        say(f"{indent}{paint(name.ljust(width), 'dim')}  {value}".rstrip())


def human_size(size: float | None) -> str | None:
    """Bytes as people read them: `512 B`, `1.5 KiB`, `2.0 GiB`. None stays None."""
    if size is None:
        return None
    if size < 1024:
        return f"{int(size)} B"
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        size /= 1024
        if size < 1023.95:
            return f"{size:.1f} {unit}"
    return f"{size / 1024:.1f} PiB"


def counted(number: int, noun: str) -> str:
    """A number with its noun, as in `1 task` or `1,200 tasks`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def human_duration(seconds: float | None) -> str | None:
    """Seconds as people read them: `12 ms`, `3.2 s`, `4m 05s`, `2h 03m`, `3d 4h`. None stays None."""
    if seconds is None:
        return None
    seconds = max(0.0, seconds)
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m {rest:02d}s"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours}h {minutes:02d}m"
    return f"{hours // 24}d {hours % 24}h"


def human_time(when: float | None) -> str | None:
    """Seconds since the epoch as local time, to the second. None stays None."""
    return None if when is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(when))


def human_age(when: float | None, *, now: float | None = None) -> str | None:
    """How long ago: `3.2 s ago`, `2h 03m ago`. None stays None."""
    return None if when is None else f"{human_duration((time.time() if now is None else now) - when)} ago"


def iso_time(when: float | None) -> str | None:
    """Seconds since the epoch as ISO 8601 in UTC, for JSON. None stays None."""
    if when is None:
        return None
    from datetime import datetime, timezone

    return datetime.fromtimestamp(when, timezone.utc).isoformat()


class Progress:
    """Tells on stderr how far a long operation is: nothing in the first two seconds, so short ones stay silent.

    On a terminal one line is rewritten and wiped at the end; elsewhere a line is written every ten seconds.

    Args:
        label: What is going on, such as `rebuilding`.
        total: How many steps there are, where that is known.
        unit: What a step is, in the plural.
        quiet: Write nothing at all.
    """

    FIRST = 2.0
    EVERY = 10.0

    def __init__(self, label: str, *, total: int | None = None, unit: str = "", quiet: bool = False) -> None:
        self.label = label
        self.total = total
        self.unit = unit
        self.done = 0
        self._terminal = sys.stderr.isatty()
        self._next = float("inf") if quiet else time.monotonic() + self.FIRST
        self._shown = False

    def advance(self, count: int = 1) -> None:
        """`count` further steps are done."""
        self.done += count
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + (0.1 if self._terminal else self.EVERY)
        of = f" of {self.total:,}" if self.total is not None else ""
        text = f"{self.label}: {self.done:,}{of} {self.unit}".rstrip()
        sys.stderr.write(f"\r\x1b[K{text}" if self._terminal else f"{text}\n")
        sys.stderr.flush()
        self._shown = True

    def close(self) -> None:
        """Wipe the line. Idempotent."""
        if self._shown and self._terminal:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
        self._shown = False
        self._next = float("inf")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
