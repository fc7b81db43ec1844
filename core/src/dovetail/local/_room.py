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

__all__ = ["give_back", "make_room"]


def make_room(root: str, folder: str, temporary: TemporaryFiles) -> None:
    """Turn the object that stands where `folder` or one above it must be into a folder that holds it.

    Raises:
        PreconditionError: The file system can't swap two names.
    """
    with locked(f"{root}/{LOCK}"):  # of two at once, one would swap the other's folder away
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
    own = f"{aside}/{OWN}"
    linked = 0
    try:
        os.link(place, own)
        linked = os.stat(own).st_ino
        swapped = exchange(aside, place)
    except FileNotFoundError:
        _remove(aside)
        return True  # the object is gone, and nothing is in the way
    except (AttributeError, PermissionError):  # no hard links here, or the object became a folder
        swapped, linked = False, -1
    if not swapped:
        _remove(aside)
        return os.path.isdir(place)
    if os.path.isdir(aside):
        # The object was deleted and its name became a folder since we looked: give that back.
        exchange(aside, place)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(own)
        give_back(aside, place)
        return True
    if os.stat(aside).st_ino != linked:
        # It was overwritten between link and swap: the later one counts, unless it was changed once more.
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            exchange(aside, f"{place}/{OWN}")
            if os.stat(aside).st_ino != linked:
                exchange(aside, f"{place}/{OWN}")
    os.unlink(aside)
    return True


def give_back(folder: str, place: str) -> None:
    """Put a folder that was moved by mistake back to its place, into the one that may be there by now."""
    try:
        os.rename(folder, place)
    except FileNotFoundError:
        return
    except OSError:
        for name in os.listdir(folder):
            with contextlib.suppress(OSError):
                os.rename(f"{folder}/{name}", f"{place}/{name}")
        with contextlib.suppress(OSError):
            os.rmdir(folder)


def _remove(aside: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{aside}/{OWN}")
    os.rmdir(aside)
