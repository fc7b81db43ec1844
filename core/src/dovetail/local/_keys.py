"""Keys of a data store as names on a file system.

An ordinary key is its own path below the store's folder. Names that begin with `%` are ours:

- `%=...`   a part that some file system refuses (control characters, `:`, a device name, a leading `%`, ...), quoted
- `%+...`   a folder: the first piece of a part that is longer than a file name may be; what follows continues it
- `%`       the object whose key is that of the folder it lies in: keys are flat, so `a` and `a/b` may both exist
- `%tmp`, `%meta`, `%gone` at the top, and `%t...` anywhere: not objects
"""

from __future__ import annotations

import re

from dovetail.interfaces.errors import UsageError

__all__ = ["CONTINUED", "OWN", "decode_name", "encode_key", "is_object_name"]

MAX_KEY = 1024
MAX_NAME = 236
"""Bytes of a plain name; a piece of a longer part has up to 240, below the 255 that file systems allow."""
OWN = "%"
QUOTED = "%="
CONTINUED = "%+"

_DEVICE = r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:[./]|$)"
_CHAR = r"A-Za-z0-9_\[\],~#=+@!(){}&'-"
_ORDINARY = re.compile(rf"(?:(?!(?i:{_DEVICE}))[{_CHAR}](?:[{_CHAR}.]{{0,230}}[{_CHAR}])?(?:/(?=.)|$))+")
"""Keys that need no closer look: nearly all that exist."""
_QUOTE = re.compile(r'[\x00-\x1f\x7f<>:"\\|?*%]')
_FIRST = re.compile(rf"%|(?i:{_DEVICE})")
_LAST = re.compile(r"[. ]$")


def encode_key(key: str) -> str:
    """The path of a key below the store's folder, `/` between its names.

    Raises:
        UsageError: `key` is not a key; nothing outside the folder can be named.
    """
    if _ORDINARY.fullmatch(key) and len(key) <= MAX_KEY:
        return key
    parts = key.split("/")
    reason = ""
    if not key:
        reason = "it is empty"
    elif "" in parts:
        reason = "it begins or ends with / or holds //"
    elif "." in parts or ".." in parts:
        reason = "it holds a part . or .."
    else:
        try:
            if len(key.encode()) > MAX_KEY:
                reason = f"it is longer than {MAX_KEY:,} bytes"
        except UnicodeEncodeError:
            reason = "it is not valid Unicode"
    if reason:
        shown = key if len(key) < 100 else key[:100] + "..."
        raise UsageError(
            f"{shown!r} is not a key of a data store: {reason}",
            hint="Keys are relative and look like runs/x/run.json, at most 1,024 bytes.",
        )
    return "/".join(map(_encode_part, parts))


def _encode_part(part: str) -> str:
    quoted = _QUOTE.sub(lambda match: f"%{ord(match[0]):02x}", part)
    if _LAST.search(part):
        quoted = f"{quoted[:-1]}%{ord(part[-1]):02x}"
    if quoted == part and not _FIRST.match(part) and len(part.encode()) <= MAX_NAME:
        return part
    pieces = [""]
    room = MAX_NAME
    for char in re.findall(r"%[0-9a-f]{2}|.", quoted, re.DOTALL):
        size = len(char.encode())
        if size > room:
            pieces.append("")
            room = MAX_NAME
        pieces[-1] += char
        room -= size
    return "/".join([*(CONTINUED + piece for piece in pieces[:-1]), QUOTED + pieces[-1]])


def is_object_name(name: str) -> bool:
    """Whether a name on disk is (part of) a key, other than `OWN`."""
    return not name.startswith("%") or name.startswith((QUOTED, CONTINUED))


def decode_name(name: str) -> str:
    """What a name on disk contributes to a key."""
    if not name.startswith("%"):
        return name
    return re.sub("%([0-9a-f]{2})", lambda match: chr(int(match[1], 16)), name[2:])
