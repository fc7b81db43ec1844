"""An object file that grows before its digest, and with it its key, is known."""

from __future__ import annotations

from _thread import allocate_lock  # not `threading`, see `dovetail.worker.forking.preload`
from contextlib import ExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from dovetail.artifacts.objectfile import PAGE, Header, align, encode_header, encode_prelude
from dovetail.interfaces.datastore import DataStoreCapability, SupportsStage
from dovetail.interfaces.errors import StoreError, StoreFullError

if TYPE_CHECKING:
    from dovetail.interfaces.datastore import Buffer, DataStore, Staged

__all__ = ["UnnamedObject", "temporary_file", "write_file"]


def temporary_file(stack: ExitStack) -> IO[bytes]:
    """A file that can be opened a second time by its name, on every system, and goes with the stack."""
    from tempfile import TemporaryDirectory

    folder = stack.enter_context(TemporaryDirectory(prefix="dovetail-"))
    return stack.enter_context(Path(folder, "frame").open("w+b"))


class UnnamedObject:
    """Staged in the store, or in a temporary file. The first page is left for the prelude, the header comes last.

    Threads may allocate and write at once.

    Args:
        store: Takes the object.
        stack: Drops what was not committed.
    """

    def __init__(self, store: DataStore, stack: ExitStack) -> None:
        self._store = store
        self._staged: Staged | None = None
        self._file: IO[bytes] | None = None
        self._lock = allocate_lock()
        self._end = PAGE
        if store.capabilities & DataStoreCapability.STAGE:
            self._staged = stack.enter_context(cast(SupportsStage, store).stage())
        else:
            self._file = temporary_file(stack)

    def allocate(self, length: int, *, aligned: bool = False) -> int:
        """Where so many further bytes go: at the end, or where a frame of this length may begin."""
        with self._lock:
            at = align(self._end, length) if aligned else self._end
            self._end = at + length
            return at

    def write_at(self, offset: int, data: Buffer) -> None:
        """Write what was allocated; what is left out reads as zeros, and takes no room where the store can."""
        if self._staged is not None:
            self._staged.write_at(offset, data)
            return
        assert self._file is not None
        with self._lock:
            self._file.seek(offset)
            write_file(self._file, data)

    def write(self, data: Buffer) -> int:
        """Add at the end; the offset of the first byte."""
        at = self.allocate(memoryview(data).nbytes)
        self.write_at(at, data)
        return at

    def commit(self, key: str, header: Header) -> int:
        """Write header and prelude and give the object its name; its size.

        Raises:
            AlreadyExistsError: The key exists; what was written is dropped.
        """
        encoded = encode_header(header)
        at = self.write(encoded)
        extents = any(frame.offset < 0 for frame in header.frames)
        self.write_at(0, encode_prelude(at, encoded, extents=extents))
        if self._staged is not None:
            self._staged.commit(key)
        else:
            assert self._file is not None
            self._store.put(key, Path(self._file.name))
        return at + len(encoded)


def write_file(file: IO[bytes], data: Buffer) -> None:
    """Write to a temporary file; a full disk is told as a store's would be.

    Raises:
        StoreFullError: No room.
        StoreError: It can't be written.
    """
    try:
        file.write(data)
        file.flush()
    except OSError as error:
        import errno
        import tempfile

        kind = StoreFullError if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", -1)) else StoreError
        raise kind(
            f"can't write to temporary files in {tempfile.gettempdir()}: {error.strerror}",
            hint="Free some space there, or set TMPDIR to a folder with room.",
        ) from error
