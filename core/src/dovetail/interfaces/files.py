"""Files and folders as artifacts: their content is stored, and whoever loads them gets it back as files."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping
from typing import IO, TYPE_CHECKING, Any

from dovetail.interfaces.errors import NotFoundError
from dovetail.interfaces.folder_entries import DirectoryEntry, scan_folder

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ArtifactDirectory", "ArtifactFile"]


class _Kept:
    """A temporary folder for what is written out, removed with the object that it belongs to, or at exit."""

    def __init__(self, owner: object) -> None:
        import shutil
        import tempfile
        import weakref

        self.folder = tempfile.mkdtemp(prefix="dovetail-")
        weakref.finalize(owner, shutil.rmtree, self.folder, ignore_errors=True)


class _Reader(io.BufferedReader):
    """Reads a buffer without a copy of the whole, as `io.BytesIO` would make."""

    def __init__(self, content: memoryview | bytes) -> None:
        super().__init__(_RawReader(memoryview(content)))


class _RawReader(io.RawIOBase):
    def __init__(self, content: memoryview) -> None:
        self._content = content
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        part = self._content[self._at : self._at + len(buffer)]
        buffer[: len(part)] = part
        self._at += len(part)
        return len(part)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = (0, self._at, self._content.nbytes)[whence]
        self._at = max(0, base + offset)
        return self._at


def _write(target: str, source: IO[bytes], executable: bool) -> None:
    """A new file; never through a link, nor over one that is there."""
    import shutil

    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(target, flags, 0o777 if executable else 0o666), "wb") as file:
        shutil.copyfileobj(source, file, 1 << 20)


class ArtifactFile:
    """A file as an artifact: `self.model = ArtifactFile("model.bin")`.

    Its content, name and executable bit are stored when the task ends. The loaded one has `path`, a copy that is
    written out when it is first asked for, and `open()`, which reads without one.

    Args:
        path: The file. A link is followed.

    Raises:
        NotFoundError: There is no such file.
    """

    __slots__ = ("__weakref__", "_content", "_path", "executable", "name")

    def __init__(self, path: str | os.PathLike[str]) -> None:
        found = os.path.abspath(os.fspath(path))
        if not os.path.isfile(found):
            what = "a folder: use ArtifactDirectory" if os.path.isdir(found) else "not there"
            raise NotFoundError(f"ArtifactFile: {found} is {what}")
        self._path: str | None = found
        self._content: memoryview | None = None
        self.name = os.path.basename(found)
        """Its name, without folders."""
        self.executable = bool(os.stat(found).st_mode & 0o100)
        """Whether its owner may execute it."""

    @classmethod
    def _loaded(cls, name: str, content: memoryview, executable: bool) -> ArtifactFile:
        made = cls.__new__(cls)
        made._path, made._content, made.name, made.executable = None, content, name, executable
        return made

    @property
    def size(self) -> int:
        """Bytes."""
        if self._content is not None:
            return self._content.nbytes
        assert self._path is not None
        return os.path.getsize(self._path)

    @property
    def path(self) -> Path:
        """Where the file is. A loaded one is written to a temporary folder, which goes away with this object."""
        from pathlib import Path

        if self._path is None:
            target = os.path.join(_Kept(self).folder, self.name)
            self.save_to(target)
            self._path = target
        return Path(self._path)

    def open(self) -> IO[bytes]:
        """The content, for reading."""
        if self._content is not None:
            return _Reader(self._content)
        assert self._path is not None
        return open(self._path, "rb")

    def read(self) -> bytes:
        """The whole content."""
        with self.open() as file:
            return file.read()

    def save_to(self, path: str | os.PathLike[str]) -> Path:
        """Write the content to a new file; into a folder under its own name.

        Raises:
            FileExistsError: There is something at `path` already.
        """
        from pathlib import Path

        target = os.path.join(path, self.name) if os.path.isdir(path) else os.fspath(path)
        with self.open() as file:
            _write(target, file, self.executable)
        return Path(target)

    def __fspath__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        return f"ArtifactFile({self.name!r}, {self.size} bytes)"

    def __reduce__(self) -> Any:
        # Inside other values it travels in their pickle, with its content.
        return _file_again, (self.name, self.read(), self.executable)


def _file_again(name: str, content: bytes, executable: bool) -> ArtifactFile:
    return ArtifactFile._loaded(name, memoryview(content), executable)


class ArtifactDirectory(Mapping[str, int]):
    """A folder as an artifact: `self.checkpoint = ArtifactDirectory("checkpoint/")`.

    All files in it are stored with their executable bits, empty folders too, and links that stay inside; a link that
    leads out is refused. It is a mapping of the files' names, such as `weights/part-0.bin`, to their sizes. The loaded
    one has `path`, written out when it is first asked for, and `open(name)`, which reads one file alone.

    Args:
        path: The folder.

    Raises:
        NotFoundError: There is no such folder.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        found = os.path.abspath(os.fspath(path))
        if not os.path.isdir(found):
            what = "a file: use ArtifactFile" if os.path.isfile(found) else "not there"
            raise NotFoundError(f"ArtifactDirectory: {found} is {what}")
        self._path: str | None = found
        self._entries: dict[str, DirectoryEntry] | None = None
        self.name = os.path.basename(found)
        """Its name, without the folders above."""

    @classmethod
    def _loaded(cls, name: str, entries: dict[str, DirectoryEntry]) -> ArtifactDirectory:
        made = cls.__new__(cls)
        made._path, made._entries, made.name = None, entries, name
        return made

    @property
    def path(self) -> Path:
        """Where the folder is. A loaded one is written to a temporary folder, which goes away with this object."""
        from pathlib import Path

        if self._path is None:
            target = os.path.join(_Kept(self).folder, self.name)
            self.save_to(target)
            self._path = target
        return Path(self._path)

    def open(self, name: str) -> IO[bytes]:
        """One of its files, for reading.

        Raises:
            NotFoundError: It has no such file.
        """
        if self._entries is None:
            if name not in self._sizes():
                raise NotFoundError(f"{self.name} has no file {name!r}")
            assert self._path is not None
            return open(os.path.join(self._path, name), "rb")
        entry = self._entries.get(name)
        if entry is None or entry.kind != "file":
            raise NotFoundError(f"{self.name} has no file {name!r}", hint=f"It has {', '.join(list(self)[:10])}.")
        return _Reader(entry.content)

    def save_to(self, path: str | os.PathLike[str]) -> Path:
        """Write the folder to a new place.

        Raises:
            FileExistsError: There is something at `path` already.
        """
        import shutil
        from pathlib import Path

        target = os.fspath(path)
        if self._entries is None:
            assert self._path is not None
            shutil.copytree(self._path, target, symlinks=True)
            return Path(target)
        os.mkdir(target)
        for name, entry in self._entries.items():
            place = os.path.join(target, *name.split("/"))
            os.makedirs(place if entry.kind == "folder" else os.path.dirname(place), exist_ok=True)
            if entry.kind == "file":
                _write(place, _Reader(entry.content), entry.executable)
            elif entry.kind == "link":
                os.symlink(entry.target, place)
        return Path(target)

    def _sizes(self) -> dict[str, int]:
        if self._entries is not None:
            return {name: len(entry.content) for name, entry in self._entries.items() if entry.kind == "file"}
        assert self._path is not None
        found = {}
        for folder, _, files in os.walk(self._path):
            for file in files:
                place = os.path.join(folder, file)
                if not os.path.islink(place):
                    found[os.path.relpath(place, self._path).replace(os.sep, "/")] = os.path.getsize(place)
        return dict(sorted(found.items()))

    def __getitem__(self, name: str) -> int:
        return self._sizes()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._sizes())

    def __len__(self) -> int:
        return len(self._sizes())

    def __hash__(self) -> int:  # as of an object, not of a mapping
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other

    def __fspath__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        return f"ArtifactDirectory({self.name!r}, {len(self)} files)"

    def __reduce__(self) -> Any:
        # Inside other values it travels in their pickle, with its content.
        entries = self._entries
        if entries is None:
            assert self._path is not None
            entries = dict(scan_folder(self._path))
        plain = []
        for name, entry in sorted(entries.items()):
            content = b""
            if entry.kind == "file":
                with self.open(name) as file:
                    content = file.read()
            plain.append((name, entry.kind, content, entry.executable, entry.target))
        return _directory_again, (self.name, plain)


def _directory_again(name: str, plain: list[Any]) -> ArtifactDirectory:
    entries = {
        path: DirectoryEntry(kind, content=content, executable=executable, target=target)
        for path, kind, content, executable, target in plain
    }
    return ArtifactDirectory._loaded(name, entries)
