"""`file` and `directory`: what `ArtifactFile` and `ArtifactDirectory` stand for.

The header of a file is `{"name", "size"}` and `"executable": true` where it is; frame 0 is its content. That of a
directory is `{"name", "entries"}`, sorted by the code points of the names, each `[name, "file", size]`, `[name,
"executable", size]`, `[name, "folder"]` of an empty folder or `[name, "link", target]`; the files' frames in this
order. Names are relative, with `/`. Times and owners are not kept.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from dovetail.artifacts.serializers.headers import decode_header, encode_header
from dovetail.interfaces.artifacts import LazyFrame, SerializedValue, Serializer
from dovetail.interfaces.errors import CorruptDataError
from dovetail.interfaces.files import ArtifactDirectory, ArtifactFile
from dovetail.interfaces.folder_entries import DirectoryEntry, check_text, leads_out, scan_folder

__all__ = ["DirectorySerializer", "FileSerializer"]

MAPPED_SIZE = 1 << 20
"""Files of at least this many bytes are mapped; each costs a file descriptor until it is stored."""


def _content(path: str) -> memoryview | bytes:
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size >= MAPPED_SIZE:
            try:
                return memoryview(mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ))
            except OSError:  # no descriptors are left, or the file system can't map
                pass
        return file.read()


class FileSerializer(Serializer):
    """Single files."""

    id: ClassVar[str] = "file"

    def accepts(self, value: object) -> bool:
        return type(value) is ArtifactFile

    def dump(self, value: Any) -> SerializedValue:
        frame = value._content if value._content is not None else _content(value._path)
        check_text(value.name)
        content: dict[str, Any] = {"name": value.name, "size": len(frame)}
        if value.executable:
            content["executable"] = True
        return SerializedValue(self.id, encode_header(content), [frame], "dovetail.ArtifactFile", kin=value.name)

    def load(self, header: bytes, frames: Sequence[memoryview]) -> Any:
        content = decode_header(header)
        return ArtifactFile._loaded(_checked(content["name"], 1), frames[0], content.get("executable", False))

    def describe(self, header: bytes) -> Mapping[str, Any]:
        content = decode_header(header)
        return {"files": [[content["name"], content["size"]]]}


class DirectorySerializer(Serializer):
    """Folders with all that is in them."""

    id: ClassVar[str] = "directory"

    def accepts(self, value: object) -> bool:
        return type(value) is ArtifactDirectory

    def dump(self, value: Any) -> SerializedValue:
        """Write a folder.

        Raises:
            UnpicklableError: It holds a link that leads out of it, a device or socket, or a name that is no text.
        """
        entries = dict(scan_folder(value._path)) if value._entries is None else value._entries
        plain: list[list[Any]] = []
        frames: list[memoryview | bytes] = []
        for name in sorted(entries):
            check_text(name)
            entry = entries[name]
            if entry.kind != "file":
                plain.append([name, entry.kind, *([entry.target] if entry.target else [])])
                continue
            frame = entry.content if entry.content is not None else _content(os.path.join(value._path, name))
            plain.append([name, "executable" if entry.executable else "file", len(frame)])
            frames.append(frame)
        check_text(value.name)
        header = encode_header({"name": value.name, "entries": plain})
        return SerializedValue(self.id, header, frames, "dovetail.ArtifactDirectory", kin=value.name)

    def load(self, header: bytes, frames: Sequence[memoryview]) -> Any:
        content = decode_header(header)
        source = iter(frames)
        entries: dict[str, DirectoryEntry] = {}
        for name, kind, *more in content["entries"]:
            _checked(name)
            if kind in ("file", "executable"):
                entries[name] = DirectoryEntry("file", content=next(source), executable=kind == "executable")
            elif kind == "link":
                if leads_out(name, more[0]):
                    raise CorruptDataError(f"a stored directory has a link that leads out of it: {name}")
                entries[name] = DirectoryEntry("link", target=more[0])
            else:
                entries[name] = DirectoryEntry("folder")
        _check_parents(entries)
        return ArtifactDirectory._loaded(_checked(content["name"], 1), entries)

    def describe(self, header: bytes) -> Mapping[str, Any]:
        entries = decode_header(header)["entries"]
        return {"files": [[name, more[0]] for name, kind, *more in entries if kind in ("file", "executable")]}

    def load_rows(self, header: bytes, frames: Sequence[LazyFrame], start: int, stop: int) -> Any:
        raise TypeError("a directory has no rows")


def _checked(name: Any, depth: int = 1 << 16) -> str:
    """A name that stays inside of the folder it is written to."""
    parts = name.split("/") if isinstance(name, str) else [""]
    if any(part in ("", ".", "..") or "\\" in part or "\0" in part for part in parts) or len(parts) > depth:
        raise CorruptDataError(f"a stored file has the name {name!r}, which leads elsewhere")
    return str(name)


def _check_parents(entries: Mapping[str, DirectoryEntry]) -> None:
    """No file may be written through a link, or below another file."""
    for name in entries:
        parts = name.split("/")
        for length in range(1, len(parts)):
            if "/".join(parts[:length]) in entries:
                raise CorruptDataError(f"a stored directory has {name!r} below what is no folder")
