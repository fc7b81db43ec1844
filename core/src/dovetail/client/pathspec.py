"""How things are named: `Flow/run/path/name`, with everything in front optional where it is unambiguous.

A run id starts with a digit and the name of a flow never does, so `01k5/train[3]`, `DigitsFlow/train[3]` (of its
newest run) and `DigitsFlow/01k5/train[3]` all read without guessing.
"""

from __future__ import annotations

from dovetail.interfaces.dataclass import dataclass
from dovetail.interfaces.errors import UsageError
from dovetail.interfaces.runs import run_id_time

__all__ = ["Pathspec", "parse_pathspec", "run_number", "run_prefix"]

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_TIME_LENGTH = 10
"""A run id's first characters hold the 48 bits of its time, and nothing else."""
_NUMBER_LENGTH = 13
"""Digits of a time in milliseconds, from 2001 to 2286."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pathspec:
    """The parts of a name, not looked up yet."""

    flow: str | None
    """Name of the flow; None when only a run was named."""
    run: str | None
    """Run id, prefix of one, or number; None: the flow's newest run."""
    rest: tuple[str, ...]
    """What follows: nodes of a task's path, then perhaps the name of an artifact."""


def parse_pathspec(text: str) -> Pathspec:
    """Take a name apart.

    Raises:
        UsageError: `text` names nothing.
    """
    parts = text.strip().strip("/").split("/")
    if not all(parts):
        raise UsageError(
            f"{text!r} names nothing", hint="Write Flow, Flow/run, Flow/run/path or run/path; a run's prefix will do."
        )
    flow = run = None
    if not parts[0][0].isdigit():
        flow = parts.pop(0)
    if parts and parts[0][0].isdigit():
        run = parts.pop(0).lower()
    return Pathspec(flow=flow, run=run, rest=tuple(parts))


def run_number(run: str) -> int:
    """A run as a number: when it was made, in milliseconds since the epoch. An alias of the id, read only here."""
    return round(run_id_time(run) * 1000)


def run_prefix(text: str) -> str:
    """The prefix of run ids that `text` stands for: itself, unless it is a run's number.

    Ids made in this century's years start with `0`, so thirteen digits that do not can only be a number.
    """
    if len(text) != _NUMBER_LENGTH or not text.isdecimal() or text[0] == "0":
        return text
    value = int(text)
    return "".join(_ALPHABET[value >> shift & 31] for shift in range(5 * _TIME_LENGTH - 5, -1, -5))
