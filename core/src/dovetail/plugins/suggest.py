"""Near names, for "did you mean". difflib is imported only when something is wrong."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["did_you_mean"]


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """A question that names the nearest known name, or None when none is near."""
    near = nearest(name, known)
    return None if near is None else f"Did you mean {near!r}?"


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The nearest known name, or None."""
    from difflib import get_close_matches

    spellings = {candidate.lower().replace("-", "_"): candidate for candidate in known}
    found = get_close_matches(name.lower().replace("-", "_"), spellings, n=1, cutoff=0.6)
    return spellings[found[0]] if found else None
