"""Giving a finished file its name, so that of any number of writers exactly one wins."""

from __future__ import annotations

import contextlib
import errno
import os
from _thread import allocate_lock  # not `threading`, see `dovetail.worker.forking.preload`
from collections.abc import Iterator

__all__ = ["exchange", "locked", "publish"]

_NO_LINKS = frozenset(
    {errno.EPERM, errno.ENOSYS, errno.EMLINK, errno.EOPNOTSUPP, getattr(errno, "ENOTSUP", errno.EOPNOTSUPP)}
)
"""What file systems without hard links answer (exFAT and some network and FUSE file systems)."""
_LOCK = allocate_lock()
_AT_FDCWD = -100
_RENAME_NOREPLACE = 1
_RENAME_EXCHANGE = 2


def publish(temporary: str, path: str, *, lock: str | None) -> None:
    """Move `temporary` to `path` unless that exists, atomically.

    Both lie in one file system. `temporary` is gone when this returns, and still there when it raises.

    Args:
        temporary: A finished file.
        path: The name that it gets.
        lock: A file that may be created to keep writers apart where nothing better exists; None when the caller
            holds that lock.

    Raises:
        FileExistsError: `path` exists; nothing was changed.
        OSError: As `os.link` does.
    """
    link = getattr(os, "link", None)
    if link is not None:
        try:
            link(temporary, path)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
        else:
            os.unlink(temporary)
            return
    if os.name == "nt":
        os.rename(temporary, path)  # never replaces a file there
        return
    if _rename(temporary, path, _RENAME_NOREPLACE):
        return
    with locked(lock) if lock else contextlib.nullcontext():
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        os.rename(temporary, path)


def exchange(first: str, second: str) -> bool:
    """Swap two names atomically; False where the system can't."""
    return _rename(first, second, _RENAME_EXCHANGE)


def _rename(src: str, dst: str, flags: int) -> bool:
    """Linux's renameat2(2), which Python does not have. False where kernel, libc or file system lack it."""
    try:
        import ctypes

        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (ImportError, AttributeError, OSError, TypeError):
        return False
    if renameat2(_AT_FDCWD, os.fsencode(src), _AT_FDCWD, os.fsencode(dst), ctypes.c_uint(flags)) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.EINVAL, *_NO_LINKS):
        return False
    raise OSError(number, os.strerror(number), dst)


@contextlib.contextmanager
def locked(path: str) -> Iterator[None]:
    """An exclusive lock that the kernel frees when its holder dies.

    Where the system has none, it keeps the threads of this process apart and no others.
    """
    try:
        import fcntl
    except ImportError:
        with _LOCK:
            yield
        return
    fd = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
