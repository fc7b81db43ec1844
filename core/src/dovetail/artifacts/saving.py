"""Saves large values: hashes, compares with what the store has, compresses and writes, in one pass over the memory.

Nothing is copied but what is compressed. A value with much of an earlier one's bytes refers to them; one that shares
little, or is scattered over many pieces, is written whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING, Final
from zlib import crc32

from blake3 import blake3

from dovetail.artifacts.compression import compress, pays
from dovetail.artifacts.extents import KnownObject, Run, is_alike, shared_runs
from dovetail.artifacts.identity import LEAF_SIZE, Leaves, value_digest
from dovetail.artifacts.layout import edge_key, object_key
from dovetail.artifacts.objectfile import PAGE, Codec, Extent, FrameAt, Header
from dovetail.artifacts.objects import WRITE_TRIES, Saved
from dovetail.artifacts.parallel import for_each
from dovetail.artifacts.unnamed import UnnamedObject
from dovetail.interfaces.datastore import DataStoreCapability
from dovetail.interfaces.errors import AlreadyExistsError, NotFoundError

if TYPE_CHECKING:
    from dovetail.interfaces.artifacts import SerializedValue
    from dovetail.interfaces.datastore import DataStore

__all__ = ["ObjectSaver", "leaves_of"]

_BLOCK: Final = 8 << 20
_COMPRESSED_BLOCK: Final = 1 << 20
"""Bytes that are compressed together: what must be read to read one of them."""
_EXTENTS: Final = 64
"""Pieces of a frame at most: each is a mapping of its own."""
_SHARED: Final = 0.25
"""Part of a value that an earlier one must have before it refers to it."""
_GAIN_LOCAL, _GAIN_REMOTE = 1.5, 1.2
_ZERO_LEAF: Final = blake3(bytes(LEAF_SIZE)).digest()


def leaves_of(frame: memoryview) -> Leaves:
    """Length and leaf digests of a frame, hashed on all processors where it is large."""
    digests: list[bytes] = [b""] * -(-frame.nbytes // LEAF_SIZE)

    def hash_block(begin: int) -> None:
        _hash(frame, begin, min(begin + _BLOCK, frame.nbytes), digests)

    for_each(range(0, frame.nbytes, _BLOCK), hash_block)
    return frame.nbytes, digests


def _hash(frame: memoryview, begin: int, end: int, digests: list[bytes]) -> None:
    for at in range(begin, end, LEAF_SIZE):
        digests[at // LEAF_SIZE] = blake3(frame[at : min(at + LEAF_SIZE, end)]).digest()


class ObjectSaver:
    """Saves values as objects of one data store.

    Args:
        store: The store.
        reuse: Whether it has an object, which is then young enough to be left alone by a collector.
    """

    def __init__(self, store: DataStore, reuse: Callable[[bytes], bool]) -> None:
        self._store = store
        self._reuse = reuse
        self._is_local = bool(store.capabilities & DataStoreCapability.LOCAL_PATH)
        self._stages = bool(store.capabilities & DataStoreCapability.STAGE)

    def save(self, value: SerializedValue, known: Iterable[KnownObject] = ()) -> Saved:
        """Save a value.

        Args:
            value: What a serializer made of it.
            known: Objects of the store that may have bytes of it, the likeliest first.

        Raises:
            StoreFullError: No room.
            StoreReadOnlyError: The store can't be written.
        """
        frames = [memoryview(frame).cast("B") for frame in value.frames]
        base = next((one for one in known if is_alike(frames, one)), None)
        if base is None and self._stages:
            with suppress(AlreadyExistsError):
                return self._write(value, frames, None)
        leaves = [leaves_of(frame) for frame in frames]
        digest = value_digest(value.serializer, value.header, leaves)
        for left in reversed(range(WRITE_TRIES)):
            if self._reuse(digest):
                return _reused(digest, frames)
            if base is not None and not self._reuse(base.digest):
                base = None
            runs = None if base is None else self._runs(leaves, base, frames)
            try:
                return self._write(value, frames, leaves, runs)
            except AlreadyExistsError:
                if not left:  # else it is gone by now: a collector was about to delete it, or it was damaged
                    raise
        raise AssertionError("the last round returns or raises")

    @staticmethod
    def _runs(leaves: list[Leaves], base: KnownObject, frames: Sequence[memoryview]) -> list[list[Run]] | None:
        """Each frame as runs; None where it does not pay."""
        runs = [shared_runs(one, base, theirs) for one, theirs in zip(leaves, base.header.frames, strict=True)]
        shared = sum(run.end - run.begin for frame in runs for run in frame if run.extent is not None)
        if shared < _SHARED * sum(frame.nbytes for frame in frames) or any(len(frame) > _EXTENTS for frame in runs):
            return None
        return runs

    def _write(
        self,
        value: SerializedValue,
        frames: Sequence[memoryview],
        leaves: list[Leaves] | None,
        runs: list[list[Run]] | None = None,
    ) -> Saved:
        """Write an object, unless somebody else does.

        Args:
            value: The value.
            frames: Its frames.
            leaves: Theirs; None: they are hashed here.
            runs: Of each frame; None: all of it is written.

        Raises:
            AlreadyExistsError: It was there, and can't be reused.
        """
        with ExitStack() as stack:
            return self._write_to(UnnamedObject(self._store, stack), value, frames, leaves, runs)

    def _write_to(
        self,
        target: UnnamedObject,
        value: SerializedValue,
        frames: Sequence[memoryview],
        leaves: list[Leaves] | None,
        runs: list[list[Run]] | None,
    ) -> Saved:
        placed: list[FrameAt] = []
        for number, frame in enumerate(frames):
            writer = _FrameWriter(frame, None if leaves is None else list(leaves[number][1]), target)
            packed = frame.nbytes > PAGE and not self._keeps_raw(value) and pays(frame, gain=self._gain)
            placed.append(writer.write([Run(0, frame.nbytes, None)] if runs is None else runs[number], packed=packed))
        header = Header(value.serializer, value.header, tuple(placed))
        digest = value_digest(
            value.serializer,
            value.header,
            [(at.length, [digest for _, _, digest in at.pieces()]) for at in placed],
        )
        owners = {extent.owner for at in placed for extent in at.extents if extent.owner}
        keys = [edge_key(digest, owner) for owner in sorted(owners)]
        for key in keys:
            self._put_edge(key)
        try:
            target.commit(object_key(digest), header)
        except AlreadyExistsError:
            if not self._reuse(digest):
                raise
            return _reused(digest, frames)
        return Saved(digest=digest, size=_size(frames), keys=(*keys, object_key(digest)), header=header)

    def _put_edge(self, key: str) -> None:
        """Put an edge, or make one young that is there: a collector may be about to take it away."""
        while True:
            try:
                self._store.put(key, b"")
                return
            except AlreadyExistsError:
                with suppress(NotFoundError):
                    self._store.refresh(key)
                    return

    def _keeps_raw(self, value: SerializedValue) -> bool:
        """Whether the frames stay as they are in memory, to be mapped."""
        return self._is_local and value.raw

    @property
    def _gain(self) -> float:
        return _GAIN_LOCAL if self._is_local else _GAIN_REMOTE


class _FrameWriter:
    """Writes one frame, hashing what is not hashed yet."""

    def __init__(self, frame: memoryview, digests: list[bytes] | None, target: UnnamedObject) -> None:
        self._frame = frame
        self._is_hashed = digests is not None
        self._digests = [b""] * -(-frame.nbytes // LEAF_SIZE) if digests is None else digests
        self._target = target

    def write(self, runs: list[Run], *, packed: bool) -> FrameAt:
        """Write the runs that are nowhere yet."""
        frame = self._frame
        if not frame.nbytes:
            return FrameAt(0, PAGE, b"")
        extents: list[Extent] = []
        for run in runs:
            if run.extent is not None:
                extents.append(run.extent)
            elif packed:
                extents += self._write_packed(run)
            else:
                extents.append(self._write_raw(run))
        leaves = b"".join(self._digests)
        first = extents[0]
        if len(extents) == 1 and not first.owner and first.codec == Codec.RAW:
            return FrameAt(frame.nbytes, first.offset, leaves)
        return FrameAt(frame.nbytes, -1, leaves, tuple(extents))

    def _write_raw(self, run: Run) -> Extent:
        length = run.end - run.begin
        offset = self._target.allocate(length, aligned=True)
        shift = offset - run.begin
        # Blocks end where a multiple of their size is in the file: the page cache can keep such a one as a few large
        # pages, and hand it out as such when it is mapped.
        first = run.begin if shift % LEAF_SIZE else -(-(offset + 1) // _BLOCK) * _BLOCK - shift
        begins = sorted({run.begin, *range(first, run.end, _BLOCK)})
        blocks = [(begin, end) for begin, end in zip(begins, [*begins[1:], run.end], strict=True)]
        for_each(blocks, partial(self._write_block, shift))
        return Extent(b"", offset, length, length)

    def _write_block(self, shift: int, block: tuple[int, int]) -> None:
        begin, end = block
        self._hash(begin, end)
        zeros = [at for at in range(begin, end, LEAF_SIZE) if self._digests[at // LEAF_SIZE] == _ZERO_LEAF]
        if not zeros:
            self._target.write_at(begin + shift, self._frame[begin:end])
            return
        for at in range(begin, end, LEAF_SIZE):  # what is left out takes no room
            if self._digests[at // LEAF_SIZE] != _ZERO_LEAF:
                self._target.write_at(at + shift, self._frame[at : min(at + LEAF_SIZE, end)])

    def _write_packed(self, run: Run) -> list[Extent]:
        begins = range(run.begin, run.end, _COMPRESSED_BLOCK)
        found: dict[int, Extent] = {}

        def write_block(begin: int) -> None:
            end = min(begin + _COMPRESSED_BLOCK, run.end)
            self._hash(begin, end)
            data = compress(self._frame[begin:end])
            found[begin] = Extent(b"", self._target.write(data), len(data), end - begin, Codec.ZSTD, crc32(data))

        for_each(begins, write_block)
        return [found[begin] for begin in begins]

    def _hash(self, begin: int, end: int) -> None:
        if not self._is_hashed:
            _hash(self._frame, begin, end, self._digests)


def _reused(digest: bytes, frames: Sequence[memoryview]) -> Saved:
    return Saved(digest=digest, size=_size(frames), keys=(object_key(digest),), header=None)


def _size(frames: Sequence[memoryview]) -> int:
    return sum(frame.nbytes for frame in frames)
