"""Metadata of objects: in an extended attribute of the file, so that both appear at once.

Where the system has none, or the metadata are too long for it, they are in a file of their own that names the inode
it belongs to; an object is then seen without its metadata for a moment.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Mapping

__all__ = ["read_metadata", "remove_metadata", "write_attributes", "write_beside"]

_ATTRIBUTE = "user.dovetail"
_FOLDER = "%meta"
_TOO_LONG = frozenset({errno.ENOSPC, errno.E2BIG, errno.ERANGE})
_LIMIT = 3000  # bytes; one block of the file system, less what it needs itself


def write_attributes(fd: int, metadata: Mapping[str, str]) -> bool:
    """Attach metadata to an open file; False where it can't carry them."""
    if not metadata:
        return True
    text = json.dumps(dict(metadata)).encode()
    if len(text) > _LIMIT or not hasattr(os, "setxattr"):
        return False
    try:
        os.setxattr(fd, _ATTRIBUTE, text)
    except OSError as error:
        if error.errno in _TOO_LONG or error.errno in (errno.EOPNOTSUPP, errno.EPERM):
            return False
        raise
    return True


def read_metadata(root: str, where: int | str, status: os.stat_result) -> dict[str, str]:
    """Metadata of a file, by descriptor or path."""
    if hasattr(os, "getxattr"):
        with contextlib.suppress(OSError):
            found: dict[str, str] = json.loads(os.getxattr(where, _ATTRIBUTE))
            return found
    folder = f"{root}/{_FOLDER}"
    if not os.path.isdir(folder):
        return {}
    try:
        with open(f"{folder}/{status.st_ino:x}", encoding="utf-8") as file:
            record = json.load(file)
    except (OSError, ValueError):
        return {}
    return record["metadata"] if record["size"] == status.st_size else {}


def write_beside(root: str, path: str, metadata: Mapping[str, str]) -> None:
    """Keep metadata of the file at `path` in a file of their own, unless it carries them itself."""
    status = os.stat(path)
    if read_metadata(root, path, status) == dict(metadata):
        return  # it carries them itself
    folder = f"{root}/{_FOLDER}"
    os.makedirs(folder, exist_ok=True)
    temporary = f"{folder}/.{os.urandom(8).hex()}"
    with open(temporary, "x", encoding="utf-8") as file:
        json.dump({"size": status.st_size, "metadata": dict(metadata)}, file)
    os.replace(temporary, f"{folder}/{status.st_ino:x}")


def remove_metadata(root: str, inode: int) -> None:
    """Forget what is kept for a file that is deleted."""
    with contextlib.suppress(OSError):
        os.unlink(f"{root}/{_FOLDER}/{inode:x}")
