from __future__ import annotations

import io
import json
import sys

import pytest

from dovetail.cli import output


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def use_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    stream = Terminal()
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "40")
    return stream


def test_a_table_is_aligned_and_plain_when_piped(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(
        ["name", "size"],
        [("a", 1), ("日本", None), ("x\x1b[31m", 20)],
        right=["size"],
        colours={"name": {"a": "red"}},
    )
    assert capsys.readouterr().out.splitlines() == [
        "name       size",
        "a             1",
        "日本          -",
        "x\\x1b[31m    20",
    ]


def test_a_terminal_gets_colours_and_a_cut_column(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = use_terminal(monkeypatch)
    output.table(["id", "text"], [("a", "x" * 100)], colours={"id": {"a": "red"}}, flexible="text")
    lines = terminal.getvalue().splitlines()
    assert lines[1].startswith("\x1b[31ma\x1b[0m")
    assert lines[1].endswith("x…")
    assert len(lines[1].replace("\x1b[31m", "").replace("\x1b[0m", "")) <= 40


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (20, "first/second/a[3]/b"),
        (19, "first/second/a[3]/b"),
        (18, "first/…/a[3]/b"),
        (14, "first/…/a[3]/b"),
        (13, "first/…/b"),
        (9, "first/…/b"),
        (8, "fir…3]/b"),
    ],
)
def test_a_long_path_is_shortened_in_the_middle(width: int, shown: str) -> None:
    path = "first/second/a[3]/b"
    assert output.shortened(path, width) == shown
    assert len(shown) <= width


def test_no_color_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    use_terminal(monkeypatch)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert output.paint_state("failed") == "failed"


def test_force_color_reaches_a_pipe(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert output.paint("x", "bold", "red") == "\x1b[1;31mx\x1b[0m"


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (None, None),
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (1024**2 - 1, "1.0 MiB"),
        (5 * 1024**3, "5.0 GiB"),
        (3 * 1024**5, "3.0 PiB"),
    ],
)
def test_sizes(size: int | None, text: str | None) -> None:
    assert output.human_size(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, None),
        (-1, "0 ms"),
        (0.0123, "12 ms"),
        (0.9996, "1.0 s"),
        (3.21, "3.2 s"),
        (59.96, "1m 00s"),
        (245, "4m 05s"),
        (7380, "2h 03m"),
        (3 * 86400 + 4 * 3600, "3d 4h"),
    ],
)
def test_durations(seconds: float | None, text: str | None) -> None:
    assert output.human_duration(seconds) == text


def test_times_in_json_are_utc() -> None:
    assert output.iso_time(0) == "1970-01-01T00:00:00+00:00"
    assert output.iso_time(None) is None
    assert output.human_age(90, now=100) == "10.0 s ago"


def test_json_is_one_line_when_piped(capsys: pytest.CaptureFixture[str]) -> None:
    output.emit_json({"é": [1, 2]})
    text = capsys.readouterr().out
    assert text == '{"é": [1, 2]}\n'
    assert json.loads(text) == {"é": [1, 2]}


def test_progress_is_silent_at_first(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with output.Progress("rebuilding", total=3, unit="runs") as progress:
        progress.advance()
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(output.Progress, "FIRST", 0.0)
    with output.Progress("rebuilding", total=3, unit="runs") as progress:
        progress.advance(2)
    captured = capsys.readouterr()
    assert captured.err == "rebuilding: 2 of 3 runs\n"
    assert captured.out == ""


def test_pairs(capsys: pytest.CaptureFixture[str]) -> None:
    output.pairs([("state", "failed"), ("x", "")], indent="  ")
    assert capsys.readouterr().out == "  state  failed\n  x\n"
