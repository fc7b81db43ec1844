"""Fences: which driver of a run may write, and where the segments of those before it end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from dovetail.artifacts.documents import encode_json, read_json
from dovetail.artifacts.framing import RECORD_MAGIC, read_frames
from dovetail.artifacts.layout import fence_key, fences_prefix, segment_fence, segments_prefix
from dovetail.interfaces.errors import AlreadyExistsError, CorruptDataError, NotFoundError, StoreVersionError

if TYPE_CHECKING:
    from dovetail.interfaces.datastore import DataStore

__all__ = ["claim_fence", "newest_fence", "read_fences", "valid_end"]

FENCE_VERSION = 1

Ends = Mapping[str, int]
"""Name of a segment (`<fence>-<n>`) → offset behind its last valid frame."""


def newest_fence(store: DataStore, run: str) -> int:
    """The highest fence of a run; 0 when it has had no driver."""
    newest = 0
    for info in store.scan(fences_prefix(run)):
        newest = max(newest, int(info.key.rpartition("/")[2]))
    return newest


def read_fences(store: DataStore, run: str) -> dict[int, Ends]:
    """Every fence of a run in order, with the ends that it lists.

    Raises:
        CorruptDataError: One is damaged.
        StoreVersionError: A newer Dovetail wrote one.
    """
    keys = [info.key for info in store.scan(fences_prefix(run))]
    found: dict[int, Ends] = {}
    for key in keys:
        what = f"the fence {key}"
        plain = read_json(store.get(key).read(), what)
        try:
            version, ends = plain["version"], {str(name): int(end) for name, end in plain["ends"].items()}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CorruptDataError(f"{what} is malformed: {error!r}") from error
        if version > FENCE_VERSION:
            raise StoreVersionError(f"{what} has version {version}", hint="Upgrade dovetail to read this run.")
        found[int(key.rpartition("/")[2])] = ends
    return found


def valid_end(fences: Mapping[int, Ends], key: str) -> int | None:
    """Where readers must stop in a segment: None for one of the newest driver, which may still grow.

    The next fence after the segment's own decides; a segment that it does not list is ignored (its end is 0).
    """
    own = segment_fence(key)
    later = [fence for fence in fences if fence > own]
    if not later:
        return None
    return fences[min(later)].get(key.rpartition("/")[2], 0)


def _measure(store: DataStore, key: str) -> int:
    """Offset behind the last valid frame of a segment."""
    end = 0
    try:
        with store.get(key) as found:
            for frame in read_frames(found.stream, found.length, RECORD_MAGIC, keep_data=False):
                end = frame.end
    except NotFoundError:
        return 0
    return end


def claim_fence(store: DataStore, run: str) -> int:
    """Become the run's driver: create the next fence, which fixes where all older segments end.

    To be called with the run's lease. Of several callers each gets a fence of its own, and the highest counts.

    Returns:
        The fence, from 1.
    """
    while True:
        fences = read_fences(store, run)
        fence = max(fences, default=0) + 1
        ends: dict[str, int] = {}
        for info in store.scan(segments_prefix(run)):
            fixed = valid_end(fences, info.key)
            ends[info.key.rpartition("/")[2]] = _measure(store, info.key) if fixed is None else fixed
        body = encode_json({"version": FENCE_VERSION, "fence": fence, "ends": ends})
        try:
            store.put(fence_key(run, fence), body)
        except AlreadyExistsError:
            continue
        return fence
