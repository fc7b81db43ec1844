"""Near names, for messages."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["did_you_mean", "near"]


def near(name: str, known: Iterable[str], *, limit: int = 3) -> list[str]:
    """The known names that look like `name`, best first."""
    from difflib import get_close_matches

    return get_close_matches(name, sorted(set(known)), n=limit, cutoff=0.6)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`Did you mean a or b?`, or an empty text."""
    found = near(name, known)
    return f"Did you mean {' or '.join(found)}?" if found else ""
