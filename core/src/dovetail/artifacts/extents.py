"""Which pieces of a frame an earlier object has already."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import groupby

from dovetail.artifacts.identity import DIGEST_SIZE, LEAF_SIZE, Leaves, frame_leaves
from dovetail.artifacts.objectfile import Codec, Extent, FrameAt, Header
from dovetail.interfaces.dataclass import dataclass

__all__ = ["KnownObject", "KnownObjects", "Run", "is_alike", "shared_runs"]

_SAMPLES = 16
_KNOWN = 16
"""Objects that are remembered: those of a task's inputs, and what it saved itself."""
_ALIKE = 0.5
"""Part of the sampled leaves that must be the same before all are compared."""


@dataclass(frozen=True, slots=True)
class KnownObject:
    """An object that a value may share bytes with."""

    digest: bytes
    """Its name."""
    header: Header
    """What it says of itself."""


@dataclass(frozen=True, slots=True)
class Run:
    """Leaves of a frame that follow each other."""

    begin: int
    """First byte in the frame."""
    end: int
    """Behind the last one."""
    extent: Extent | None
    """Where they are already; None: they are to be written."""


class KnownObjects:
    """Large objects that this process has saved or loaded, the latest. Thread-safe."""

    def __init__(self) -> None:
        self._found: deque[tuple[str, str, KnownObject]] = deque(maxlen=_KNOWN)

    def add(self, store: str, kin: str, known: KnownObject) -> None:
        """Remember an object.

        Args:
            store: UUID of its store.
            kin: What its versions have in common; empty where nobody knows.
            known: The object.
        """
        self._found.appendleft((store, kin, known))

    def of(self, store: str, kin: str) -> list[KnownObject]:
        """Those that a value may be a version of."""
        return [one for where, its, one in list(self._found) if where == store and its in (kin, "")]


def is_alike(frames: Sequence[memoryview], known: KnownObject) -> bool:
    """Whether an object seems to have much of these frames, judged by a few leaves of the largest."""
    theirs = known.header.frames
    if len(theirs) != len(frames):
        return False
    number = max(range(len(frames)), key=lambda one: frames[one].nbytes)
    frame, leaves = frames[number], theirs[number].leaves
    count = min(frame.nbytes, theirs[number].length) // LEAF_SIZE
    step = max(1, count // _SAMPLES)
    same = [frame_leaves(frame[at * LEAF_SIZE : (at + 1) * LEAF_SIZE])[1][0] == _leaf(leaves, at)
            for at in range(step // 2, count, step)]  # fmt: skip
    return sum(same) > _ALIKE * len(same)


def shared_runs(leaves: Leaves, known: KnownObject, frame: FrameAt) -> list[Run]:
    """The frame as runs of leaves that a known object has at the same place, and runs that it has not.

    Args:
        leaves: Of the frame that is to be saved.
        known: The object.
        frame: Its frame with the same number.
    """
    length, digests = leaves
    extents = frame.all_extents
    starts: list[int] = []
    has: list[int | None] = [None] * len(digests)  # leaf → number of the extent that has it
    at = 0
    for number, extent in enumerate(extents):
        first, behind = at // LEAF_SIZE, -(-(at + extent.raw) // LEAF_SIZE)
        same = [
            index for index in range(first, min(behind, len(digests))) if digests[index] == _leaf(frame.leaves, index)
        ]
        if extent.codec == Codec.RAW or len(same) == behind - first:  # compressed bytes serve as a whole
            for index in same:
                has[index] = number
        starts.append(at)
        at += extent.raw
    runs: list[Run] = []
    for found, group in groupby(range(len(has)), key=lambda index: has[index]):
        indexes = list(group)
        begin, end = indexes[0] * LEAF_SIZE, min((indexes[-1] + 1) * LEAF_SIZE, length)
        runs.append(
            Run(begin, end, None if found is None else _part(extents[found], begin - starts[found], end - begin, known))
        )
    return runs


def _part(extent: Extent, begin: int, length: int, known: KnownObject) -> Extent:
    """A part of an extent of a known object, as another object refers to it."""
    owner = extent.owner or known.digest
    if extent.codec != Codec.RAW:
        return Extent(owner, extent.offset, extent.stored, extent.raw, extent.codec, extent.crc)
    return Extent(owner, extent.offset + begin, length, length)


def _leaf(joined: bytes, index: int) -> bytes:
    return joined[index * DIGEST_SIZE : (index + 1) * DIGEST_SIZE]
