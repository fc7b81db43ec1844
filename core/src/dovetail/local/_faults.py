"""What the operating system reports, as errors that say what to do."""

from __future__ import annotations

import errno
import os

from dovetail.interfaces.errors import (
    DovetailError,
    PermissionDeniedError,
    StoreError,
    StoreFullError,
    StoreReadOnlyError,
)

__all__ = ["FULL", "READ_ONLY", "fault"]

FULL = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG})
READ_ONLY = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})


def fault(error: OSError, path: str | os.PathLike[str], *, doing: str, writing: bool) -> DovetailError:
    """The error to raise for `error`.

    Args:
        error: What was raised.
        path: The file or folder that people should look at.
        doing: What was tried, such as "write".
        writing: Whether it would have changed anything.
    """
    shown = os.fspath(path)
    found: DovetailError
    if error.errno in FULL:
        what = "the disk quota is used up" if error.errno == getattr(errno, "EDQUOT", None) else "no space is left"
        found = StoreFullError(
            f"can't {doing} {shown}: {what}. Nothing that was stored before is lost.",
            hint=f"Free some space on the file system of {_existing(shown)}, or use another one, and resume.",
        )
    elif writing and error.errno in READ_ONLY:
        what = "the file system is read-only" if error.errno == errno.EROFS else "permission denied"
        found = StoreReadOnlyError(
            f"can't {doing} {shown}: {what}",
            hint="Make the folder writable for this user, or set DOVETAIL_HOME (or the store's path) to one that is.",
        )
    elif error.errno in READ_ONLY:
        found = PermissionDeniedError(
            f"can't {doing} {shown}: permission denied", hint="Make it readable for this user."
        )
    elif error.errno in (errno.EMFILE, errno.ENFILE):
        found = StoreError(
            f"can't {doing} {shown}: too many open files", hint="Raise the limit (ulimit -n) and try again."
        )
    else:
        found = StoreError(f"can't {doing} {shown}: {error.strerror or error}", hint="Check the disk and the path.")
    if isinstance(found, OSError):
        found.errno = error.errno
    return found


def _existing(path: str) -> str:
    """The nearest folder above `path` that is there."""
    while not os.path.isdir(path):
        above = os.path.dirname(path)
        if above in ("", path):
            return path or "."
        path = above
    return path
