"""Errors for names that nothing answers to, with the near ones."""

from __future__ import annotations

from collections.abc import Iterable

from dovetail.interfaces.errors import UnknownNameError

__all__ = ["unknown"]

_SHOWN = 12


def unknown(what: str, name: str, known: Iterable[str], *, where: str = "", hint: str = "") -> UnknownNameError:
    """The error for a name that is not there.

    Args:
        what: Kind of thing, such as `flow` or `step`.
        name: What was asked for.
        known: What there is.
        where: In what it was looked for, such as `run DigitsFlow/01k5`.
        hint: The next step where no near name exists.
    """
    import difflib

    names = sorted(set(known))
    lowered = {other.lower(): other for other in names}
    near = [lowered[match] for match in difflib.get_close_matches(name.lower(), lowered, n=3, cutoff=0.6)]
    message = f"there is no {what} {name!r}" + (f" in {where}" if where else "")
    if near:
        return UnknownNameError(message, hint=f"Did you mean {' or '.join(near)}?")
    if hint:
        return UnknownNameError(message, hint=hint)
    if names:
        shown = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
        return UnknownNameError(message, hint=f"There is: {shown}.")
    return UnknownNameError(message, hint=f"There is none yet{f' in {where}' if where else ''}.")
