"""Turning an object into a folder: keys are flat, so `a/b` may follow `a`.

The folder is made aside with the object in it, and swapped for the object: there is no moment without either.
"""

from __future__ import annotations

import contextlib
import os

from dovetail.interfaces.errors import PreconditionError
from dovetail.local._keys import OWN
from dovetail.local._publish import exchange, locked
from dovetail.local._temporary import LOCK, TemporaryFiles

__all__ = ["make_room"]


def make_room(root: str, folder: str, temporary: TemporaryFiles) -> None:
    """Turn the object that stands where `folder` or one above it must be into a folder that holds it.

    Raises:
        PreconditionError: The file system can't swap two names.
    """
    with locked(f"{root}/{LOCK}"):  # of two at once, one would swap the other's folder away; deletions wait too
        place = _first_file(root, folder)
        if place is None or _swap(place, temporary):
            return
    raise PreconditionError(
        f"{place} is an object, and this file system can't make it a folder of others as well",
        hint="Use keys of which none continues another with a /.",
    )


def _first_file(root: str, folder: str) -> str | None:
    place = root
    for part in folder[len(root) + 1 :].split("/"):
        place = f"{place}/{part}"
        if os.path.lexists(place) and not os.path.isdir(place):
            return place
    return None


def _swap(place: str, temporary: TemporaryFiles) -> bool:
    aside = temporary.create_folder()
    own, linked = f"{aside}/{OWN}", 0
    try:
        os.link(place, own)
        linked = os.stat(own).st_ino
        swapped = exchange(aside, place)
    except (AttributeError, PermissionError):  # no hard links here
        swapped = False
    except FileNotFoundError:  # overwritten at this very moment: the caller tries again
        _remove(aside)
        return True
    if not swapped:
        _remove(aside)
        return False
    if os.stat(aside).st_ino != linked:
        # It was overwritten between link and swap: the later one counts, unless it was changed once more.
        exchange(aside, f"{place}/{OWN}")
        if os.stat(aside).st_ino != linked:
            exchange(aside, f"{place}/{OWN}")
    os.unlink(aside)
    return True


def _remove(aside: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{aside}/{OWN}")
    os.rmdir(aside)
