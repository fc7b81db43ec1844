"""Small values that lie together, in a record or a pack: read at once where several of them are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dovetail.artifacts.layout import object_key
from dovetail.interfaces.artifacts import ArtifactRef, InlinePlace, PackPlace, RecordPlace
from dovetail.interfaces.errors import NotFoundError

if TYPE_CHECKING:
    from dovetail.artifacts.records import CommitRecord
    from dovetail.client.run import Run
    from dovetail.client.task import Task

__all__ = ["with_bytes"]

_ALONE = 2
"""How many values of a place are read alone before all of it is read."""
_KEPT = 4
"""Places of a run whose bytes are kept, of at most 1 and 8 MiB."""


def with_bytes(task: Task, ref: ArtifactRef) -> ArtifactRef:
    """A reference that holds the bytes of its value, where others of the place were read before it; else as it is.
    They are verified when they are loaded.

    Args:
        task: Whose.
        ref: With where its bytes are, as the task's record says.
    """
    record: CommitRecord | None = None
    if isinstance(ref.place, RecordPlace):
        from dovetail.client.stores import record_of

        record = record_of(task)
    packed = _bytes_of(task.run, ref, record)
    if packed is None:
        return ref
    place = InlinePlace(data=packed)
    return ArtifactRef(digest=ref.digest, size=ref.size, serializer=ref.serializer, place=place, type=ref.type)


def _bytes_of(run: Run, ref: ArtifactRef, record: CommitRecord | None) -> bytes | None:
    """The packed value; None where few of its neighbours were asked for, or it has to be looked for."""
    place = ref.place
    if isinstance(place, PackPlace):
        key, begin, base, length = object_key(place.pack), place.offset, 0, place.length
        store = place.store
    elif isinstance(place, RecordPlace) and place.at is not None and record is not None:
        (key, begin, length), base = place.at, record.values_at
        store = place.store
    else:
        return None
    kept: dict[tuple[str, int], Any] = run._cache.setdefault("small values", {})
    found = kept.get((key, base), 0)
    if isinstance(found, int):
        if found < _ALONE:
            kept[key, base] = found + 1
            return None
        try:
            data = run._artifacts.store(store)
            found = data.get(key).read() if record is None else record.read_values(data)
        except NotFoundError:
            return None
        kept.pop((key, base))
        while len(kept) >= _KEPT:
            del kept[next(iter(kept))]
        kept[key, base] = found
    packed: bytes = found[begin - base : begin - base + length]
    return packed if len(packed) == length else None
