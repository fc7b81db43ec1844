"""How the values of a task row are made small. Part of the database's format."""

from __future__ import annotations

import json
from typing import Any

__all__ = [
    "BEGIN_BITS",
    "GRAIN",
    "LENGTH_BITS",
    "MICROS",
    "STATE_CODES",
    "RunNumbers",
    "grains",
    "micros",
    "stored_path",
]

STATE_CODES: dict[str, int] = {
    # Up to 1: what is finished well, and so nearly all (see the index task_unfinished).
    "succeeded": 0,
    "cached": 1,
    "failed": 2,
    "cancelled": 3,
    "skipped": 4,
    "running": 5,
    "waiting": 6,
    "ready": 7,
    "planned": 8,
    "expected": 9,
}
GRAIN = 1 << 22
"""Steps a second of stored times. Doubles from 2004 to 2106 are whole numbers of them, so nothing is lost."""
MICROS = 1_000_000
"""Steps a second of stored CPU times, where these are whole: the kernel counts so."""
BEGIN_BITS = 27
"""Bits of a stored offset in a segment; larger ones stay text."""
LENGTH_BITS = 20
"""Bits of the stored length of a log."""
_TEXTS = 4096
"""Shared texts a run may have."""
_LONGEST = 8192
"""Characters of a shared text at most."""


def stored_path(step: str, path: str) -> str:
    """A path as stored in the row of a step: what follows the step's name, or `=` and the whole."""
    if path.startswith(step):
        rest = path[len(step) :]
        if not rest.startswith("="):
            return rest
    return "=" + path


def grains(time: float | None) -> float | int | None:
    """A time as sent to SQLite; what is no whole number of grains was never a clock's and stays as it is."""
    if time is None:
        return None
    scaled = time * GRAIN
    return whole if (whole := int(scaled)) == scaled and whole.bit_length() < 60 else float(time)


def micros(seconds: float | None) -> float | int | None:
    """A duration as sent to SQLite."""
    if seconds is None:
        return None
    whole = round(seconds * MICROS)
    return whole if whole / MICROS == seconds else float(seconds)


class RunNumbers:
    """Numbers that stand for a run, its steps and its shared texts, as this process knows them.

    Not thread-safe. Whoever can't commit what was added throws the object away.
    """

    __slots__ = ("_once", "added", "base", "number", "steps", "texts")

    def __init__(self, number: int, base: int, steps: dict[str, int], texts: dict[str, int]) -> None:
        self.number = number
        """The run's."""
        self.base = base
        """Seconds since the epoch that stored times count from."""
        self.steps = steps
        """Step → number."""
        self.texts = texts
        """Shared text → number, from 0 without gaps."""
        self.added: list[tuple[int, str]] = []
        """Texts that are to be inserted with the rows that name them."""
        self._once: set[str] = set()

    def text(self, text: Any) -> int | str | None:
        """A text's number, or itself while it was seen but once."""
        if text is None:
            return None
        if not isinstance(text, str):
            text = json.dumps(text, separators=(",", ":"))
        number = self._number_of(text)
        return text if number is None else number

    def record(self, text: Any) -> int | str | None:
        """`["key",offset]` as a number."""
        if type(text) is not str:
            return self._text(text)
        head, _, tail = text.rpartition(",")
        offset = _whole(tail)
        if not head.endswith('"') or offset is None or offset >> BEGIN_BITS:
            return text
        number = self._number_of(head)
        return text if number is None else number << BEGIN_BITS | offset

    def log(self, text: Any) -> int | str | None:
        """`["segment",begin,end]` as a number."""
        if type(text) is not str:
            return self._text(text)
        rest, _, tail = text.rpartition(",")
        head, _, middle = rest.rpartition(",")
        begin, end = _whole(middle + "]"), _whole(tail)
        if not head.endswith('"') or begin is None or end is None or begin >> BEGIN_BITS:
            return text
        length = end - begin
        if length < 0 or length >> LENGTH_BITS:
            return text
        number = self._number_of(head)
        return text if number is None else number << BEGIN_BITS + LENGTH_BITS | begin << LENGTH_BITS | length

    def _text(self, value: Any) -> str | None:
        return None if value is None else json.dumps(value, separators=(",", ":"))

    def _number_of(self, text: str) -> int | None:
        number = self.texts.get(text)
        if number is not None:
            return number
        if text not in self._once:
            if len(self._once) > _TEXTS:
                self._once.clear()
            self._once.add(text)
            return None
        if len(self.texts) >= _TEXTS or len(text) > _LONGEST:
            return None
        number = self.texts[text] = len(self.texts)
        self.added.append((number, text))
        return number


def _whole(tail: str) -> int | None:
    """The number in `123]`, if it is written in the only way that can be restored."""
    digits = tail[:-1]
    if tail[-1:] != "]" or not (digits.isascii() and digits.isdigit()) or (digits[0] == "0" and len(digits) > 1):
        return None
    return int(digits)
