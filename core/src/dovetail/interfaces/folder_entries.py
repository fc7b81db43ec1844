"""What lies in a folder that is stored as an artifact."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import Any

from dovetail.interfaces.errors import UnpicklableError

__all__ = ["DirectoryEntry", "check_text", "leads_out", "scan_folder"]


class DirectoryEntry:
    """One file, empty folder or link of a stored directory."""

    __slots__ = ("content", "executable", "kind", "target")

    def __init__(self, kind: str, *, content: Any = None, executable: bool = False, target: str = "") -> None:
        self.kind = kind
        """`file`, `folder` or `link`."""
        self.content = content
        """Of a loaded file, its bytes."""
        self.executable = executable
        """Whether the owner may execute the file."""
        self.target = target
        """Of a link, where it leads, relative to its own folder."""


def scan_folder(root: str, below: str = "") -> Iterator[tuple[str, DirectoryEntry]]:
    """Names, relative to `root` and with `/`, and what they are; contents are not read.

    Raises:
        UnpicklableError: It holds a link that leads out of it, a device or socket, or a name that is no text.
    """
    with os.scandir(os.path.join(root, below)) as found:
        for item in found:
            name = f"{below}/{item.name}" if below else item.name
            mode = item.stat(follow_symlinks=False).st_mode
            if stat.S_ISLNK(mode):
                target = os.readlink(item.path)
                if leads_out(name, target):
                    raise UnpicklableError(
                        f"{item.path} is a link to {target}, which is outside of the directory",
                        hint="Copy what it leads to into the directory, or remove the link.",
                    )
                check_text(target)
                yield name, DirectoryEntry("link", target=target)
            elif stat.S_ISDIR(mode):
                inside = list(scan_folder(root, name))
                yield from inside or [(name, DirectoryEntry("folder"))]
            elif stat.S_ISREG(mode):
                yield name, DirectoryEntry("file", executable=bool(mode & 0o100))
            else:
                raise UnpicklableError(
                    f"{item.path} is neither a file nor a folder nor a link",
                    hint="Remove sockets, pipes and devices from the directory.",
                )


def leads_out(name: str, target: str) -> bool:
    """Whether a link of this name leads, or might lead, out of the directory: `..` may stand first only, since behind
    another link it leads to that one's parent."""
    if not target or os.path.isabs(target) or "\\" in target or ":" in target:
        return True
    parts = [part for part in target.split("/") if part not in ("", ".")]
    up = next((i for i, part in enumerate(parts) if part != ".."), len(parts))
    return up > name.count("/") or ".." in parts[up:]


def check_text(name: str) -> None:
    """Refuse a name that is not UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError:
        raise UnpicklableError(
            f"the name of a file is no text: {name!r}", hint="Rename it to UTF-8 before it is stored."
        ) from None
