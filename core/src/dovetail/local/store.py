"""`LocalStore`: a data store in a folder."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, ClassVar, Literal

from dovetail.interfaces.datastore import (
    Body,
    Buffer,
    ByteRange,
    DataStore,
    DataStoreCapability,
    GetResult,
    ObjectInfo,
)
from dovetail.interfaces.errors import (
    AlreadyExistsError,
    DovetailError,
    NotFoundError,
    StoreError,
    UnsupportedOperationError,
    UsageError,
)
from dovetail.local._append import Appenders, buffers_of
from dovetail.local._durable import FolderSyncer, sync_files
from dovetail.local._faults import fault
from dovetail.local._files import StoreFiles
from dovetail.local._keys import encode_key
from dovetail.local._scan import walk
from dovetail.local._staged import StagedFile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Self

    from dovetail.interfaces.context import PluginContext

__all__ = ["LocalStore"]

_READ = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_IN_MEMORY = 1 << 20
"""`get_many` reads what is smaller at once, so that results may be collected; larger ones stay open files."""


class LocalStore(DataStore):
    """Objects are files below a folder, at the path that their key spells.

    - A put is atomic: a file is written aside and then given its name by `link(2)`, so exactly one of several
      creators wins and nobody sees half an object. Objects are read-only files and are never changed in place.
    - A put or append survives the death of this process when it returns, and a power cut after `sync`.
    - Deleting unlinks: whoever has mapped or opened the object keeps reading it.
    - Any number of threads, processes and (where the file system is shared and honours `link`) hosts may use one
      folder at once.

    Keys that differ only in case are different keys wherever file names are.

    Args:
        root: The folder. Made, with those above it, when the first object is put.
        clock: This machine's, seconds since the epoch; ages are told by the file system's own (`ObjectInfo.now`).
    """

    capabilities: ClassVar[DataStoreCapability] = (
        DataStoreCapability.LOCAL_PATH
        | DataStoreCapability.APPEND
        | DataStoreCapability.STAGE
        | DataStoreCapability.COPY
    )

    def __init__(self, root: str | os.PathLike[str], *, clock: Callable[[], float] = time.time) -> None:
        self.root = Path(os.path.abspath(root))
        """The store's folder."""
        self._root = str(self.root).rstrip("/\\") if os.name == "nt" else str(self.root).rstrip("/")
        if os.path.lexists(self._root) and not os.path.isdir(self._root):
            raise StoreError(f"{self._root} is not a folder, so it can't hold a data store", hint="Name a folder.")
        self._files = StoreFiles(self._root, clock)
        self._appenders = Appenders(self._files.open_for_append)
        self._folders = FolderSyncer(self._root)

    @classmethod
    def open(cls, target: str, settings: Any, ctx: PluginContext) -> Self:
        """Open the store at `target`: a path or `file://` URL.

        Empty: the `path` of the settings, or else the folder named after the instance in `ctx.home`.
        """
        where = target or getattr(settings, "path", "")
        return cls(_path_of(where) if where else ctx.home / ctx.instance)

    def close(self) -> None:
        self._appenders.close()
        self._folders.close()

    @property
    def url(self) -> str:
        return self.root.as_uri()

    def __repr__(self) -> str:
        return f"LocalStore({self._root!r})"

    # Reading

    def get(self, key: str, *, byte_range: ByteRange | None = None) -> GetResult:
        path = self._path(key)
        try:
            fd, status = self._files.open_object(path, _READ)
        except OSError as error:
            raise self._read_fault(error, key, path) from error
        try:
            info = self._files.info(key, status, fd)
            begin, end = _range(byte_range, status.st_size)
            stream: IO[bytes] = os.fdopen(fd, "rb")
        except BaseException:
            os.close(fd)
            raise
        if begin:
            stream.seek(begin)
        return GetResult(info, stream, end - begin)

    def get_many(self, requests: Iterable[tuple[str, ByteRange | None]]) -> Iterator[tuple[str, GetResult | None]]:
        """Read in the order of the requests; neighbouring requests for one object open it once."""
        import io

        for key, group in itertools.groupby(requests, key=lambda request: request[0]):
            path = self._path(key)
            try:
                fd, status = self._files.open_object(path, _READ)
            except OSError as error:
                missing = self._read_fault(error, key, path)
                if not isinstance(missing, NotFoundError):
                    raise missing from error
                for _ in group:
                    yield key, None
                continue
            with os.fdopen(fd, "rb", buffering=0) as file:
                info = self._files.info(key, status, fd)
                for _, byte_range in group:
                    begin, end = _range(byte_range, status.st_size)
                    if end - begin > _IN_MEMORY:
                        yield key, self.get(key, byte_range=byte_range)
                        continue
                    file.seek(begin)
                    data = file.read(end - begin)
                    yield key, GetResult(info, io.BytesIO(data), len(data))

    def head(self, key: str) -> ObjectInfo:
        path = self._path(key)
        self._files.measure_clock()
        try:
            path, status = self._files.locate(path)
            return self._files.info(key, status, path)
        except OSError as error:
            raise self._read_fault(error, key, path) from error

    def local_path(self, key: str) -> Path:
        """The file that holds the object. It stays readable through open descriptors and maps when deleted."""
        path = self._path(key)
        try:
            return Path(self._files.locate(path)[0])
        except OSError as error:
            raise self._read_fault(error, key, path) from error

    def scan(self, prefix: str = "", *, after: str | None = None) -> Iterator[ObjectInfo]:
        folder, _, _ = prefix.rpartition("/")
        start = self._path(folder) if folder else self._root
        return self._scan(start, folder + "/" if folder else "", prefix, after or "")

    def _scan(self, start: str, begin: str, prefix: str, after: str) -> Iterator[ObjectInfo]:
        try:
            for key, path in walk(start, begin, prefix, after, aside=self._files.tidy):
                try:
                    status = os.stat(path)
                except (FileNotFoundError, NotADirectoryError):
                    continue
                yield self._files.info(key, status, None)
        except OSError as error:
            raise fault(error, error.filename or start, doing="list", writing=False) from error

    # Writing

    def put(
        self,
        key: str,
        body: Body,
        *,
        mode: Literal["create", "overwrite"] = "create",
        metadata: Mapping[str, str] | None = None,
    ) -> ObjectInfo:
        if mode not in ("create", "overwrite"):
            raise UsageError(f"{mode!r} is not a mode of put", hint="Use create or overwrite.")
        path = self._path(key)
        try:
            if mode == "create" and self._files.exists(path):
                raise _exists(key)
            temporary, status = self._files.write_temporary(body, metadata)
            try:
                self._files.name(temporary, path, replace=mode == "overwrite", metadata=metadata)
            except BaseException:
                self._files.drop(temporary)
                raise
        except DovetailError:
            raise
        except FileExistsError as error:
            raise _exists(key) from error
        except OSError as error:
            raise fault(error, path, doing="write", writing=True) from error
        return self._files.info(key, status, None, metadata=metadata or {})

    def copy(self, src: str, dst: str) -> ObjectInfo:
        """Copy an object, create-only. The kernel copies, and shares the blocks where the file system can."""
        source = self.local_path(src)
        return self.put(dst, source, metadata=self.head(src).metadata)

    def append(self, key: str, body: Buffer | Sequence[Buffer]) -> int:
        """Add bytes at the end of an object; the new end. The file stays open for the next call.

        When it fails, nothing was added.

        Raises:
            PreconditionError: The object was written by `put`.
        """
        path = self._path(key)
        try:
            return self._appenders.append(path, buffers_of(body))
        except OSError as error:
            raise fault(error, path, doing="append to", writing=True) from error

    def sync(self, keys: Iterable[str]) -> None:
        """Make objects power-durable with their names. Cheaper for many at once than for each alone.

        Raises:
            NotFoundError: One of them does not exist.
        """
        paths = {self._path(key): key for key in keys}
        places: list[str] = []

        def opener(path: str) -> int:
            fd = self._appenders.descriptor(path)
            if fd is not None and os.fstat(fd).st_nlink:
                return fd
            if fd is not None:
                os.close(fd)
            return self._files.open_object(path, _READ if os.name != "nt" else os.O_RDWR)[0]

        for path, key in paths.items():
            try:
                places.append(self._files.locate(path)[0])
            except OSError as error:
                raise self._read_fault(error, key, path) from error
        try:
            sync_files([lambda path=path: opener(path) for path in paths])  # type: ignore[misc]
            self._folders.sync(places)
        except OSError as error:
            raise fault(error, error.filename or self._root, doing="sync", writing=True) from error

    @contextlib.contextmanager
    def stage(self) -> Iterator[StagedFile]:
        """Begin an object whose name is not known yet; leaving without `commit` drops it."""
        try:
            fd, temporary = self._files.create_temporary()
        except OSError as error:
            raise fault(error, self._root, doing="write", writing=True) from error
        staged = StagedFile(self._files, fd, temporary)
        try:
            yield staged
        finally:
            staged.drop()

    def refresh(self, key: str) -> ObjectInfo:
        path = self._path(key)
        try:
            path, status = self._files.touch(path)
            return self._files.info(key, status, path)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise self._read_fault(error, key, path) from error
        except OSError as error:
            raise fault(error, path, doing="refresh", writing=True) from error

    def delete(self, keys: Iterable[str], *, not_modified_since: float | None = None) -> None:
        """Unlink objects, and folders that became empty. Missing keys are no error.

        With `not_modified_since` an object that is refreshed at this moment is either kept, or its refresh raises
        NotFoundError.
        """
        for key in keys:
            path = self._path(key)
            self._appenders.close(path)
            try:
                self._files.remove(path, not_modified_since)
            except OSError as error:
                raise fault(error, path, doing="delete", writing=True) from error

    def presign(self, key: str, *, method: Literal["GET", "PUT"], expires: float) -> str:
        """Not possible for files: `PRESIGN` is not declared."""
        raise UnsupportedOperationError(
            "the local data store can't make URLs for others", hint="Use local_path, or a store of a cloud service."
        )

    def _path(self, key: str) -> str:
        return f"{self._root}/{encode_key(key)}"

    def _read_fault(self, error: OSError, key: str, path: str) -> DovetailError:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EISDIR):
            return NotFoundError(f"{key} is not in {self._root}")
        return fault(error, path, doing="read", writing=False)


def _exists(key: str) -> AlreadyExistsError:
    return AlreadyExistsError(f"{key} exists already")


def _range(byte_range: ByteRange | None, size: int) -> tuple[int, int]:
    if byte_range is None:
        return 0, size
    begin, end = byte_range
    if begin < 0 or end < begin:
        raise UsageError(f"({begin}, {end}) is not a byte range", hint="Give (first byte, end) with 0 <= first <= end.")
    end = min(end, size)
    return min(begin, end), end


def _path_of(target: str) -> str:
    if not target.startswith("file:"):
        return os.path.expanduser(target)
    from urllib.parse import unquote, urlsplit

    parts = urlsplit(target)
    if parts.netloc not in ("", "localhost"):
        raise UsageError(
            f"{target} names the host {parts.netloc}; a local store is on this one",
            hint="A file URL has three slashes: file:///data/store",
        )
    path = unquote(parts.path)
    if os.name == "nt" and path.startswith("/"):
        path = path.lstrip("/")
    if not path.startswith("/") and os.name != "nt":
        path = os.path.abspath(path)
    return path
