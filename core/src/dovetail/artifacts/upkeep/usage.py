"""How many bytes of a data store belong to whom."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Literal

from dovetail.artifacts.manifest import read_marker
from dovetail.artifacts.upkeep.buckets import BUCKETS, Buckets
from dovetail.artifacts.upkeep.edges import close_over
from dovetail.artifacts.upkeep.pins import read_pins
from dovetail.artifacts.upkeep.references import Reference, References, runs_in
from dovetail.interfaces.dataclass import dataclass

if TYPE_CHECKING:
    from dovetail.interfaces.datastore import DataStore, ObjectInfo

__all__ = ["StoreUsage", "Usage", "measure_usage"]

_NUMBER = 4
_INDEXES = re.compile(r"\[[^\]]*\]|~[0-9a-f]+|#\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a flow, a run or an artifact takes."""

    name: str
    """Its name."""
    unique: int
    """Bytes of objects that nothing else refers to, and of its own records and logs: what deleting it would free."""
    shared: int
    """Bytes of objects that others refer to as well."""
    objects: int
    """Objects that it refers to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreUsage:
    """What a store takes."""

    rows: list[Usage]
    """Who takes what, the largest first."""
    objects: int
    """Number of objects."""
    object_bytes: int
    """Their size."""
    run_bytes: int
    """Size of records, logs and the like."""
    garbage: int
    """Objects that nothing refers to."""
    garbage_bytes: int
    """Their size."""
    damage: list[str]
    """What could not be read, and so is missing from the rows."""


class _Groups:
    """Who refers to what, by number."""

    def __init__(self, by: str) -> None:
        self._by = by
        self.names: list[str] = []
        self._numbers: dict[str, int] = {}

    def of(self, found: Reference, flow: str) -> bytes:
        if self._by == "flow":
            name = flow
        elif self._by == "run":
            name = f"{flow}/{found.run}"
        else:
            step = _INDEXES.sub("", found.path)
            name = "/".join(filter(None, (flow, step, found.name.partition("[")[0])))
        return self.number(name).to_bytes(_NUMBER, "big")

    def number(self, name: str) -> int:
        number = self._numbers.get(name)
        if number is None:
            number = self._numbers[name] = len(self.names)
            self.names.append(name)
        return number


def measure_usage(
    store: DataStore,
    *,
    by: Literal["flow", "run", "artifact"] = "flow",
    homes: Mapping[str, DataStore] | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> StoreUsage:
    """Measure a store. Memory grows with the number of rows, not with that of objects.

    Args:
        store: The store.
        by: What a row is; artifacts count by flow, step and name.
        homes: Other stores, by uuid, whose runs keep values in it.
        progress: Called with a number of references or objects that were looked at.
    """
    uuid = read_marker(store).uuid
    groups = _Groups(by)
    own: dict[int, int] = {}
    damage: list[str] = []
    run_bytes = 0
    with Buckets(32 + _NUMBER) as owned:
        for home, place in {uuid: store, **(homes or {})}.items():
            references = References(place, home, {uuid: store})
            for run, infos in runs_in(place):
                sizes, flow, count = _Sizes(infos), references.flow_of(run), 0
                for one in references.of_run(run, sizes):
                    count += 1
                    if one.store in (uuid, ""):
                        owned.add(one.digest + groups.of(one, flow))
                if place is store:
                    run_bytes += sizes.total
                    name = {"flow": flow, "run": f"{flow}/{run}"}.get(by, f"{flow}/(records and logs)")
                    number = groups.number(name)
                    own[number] = own.get(number, 0) + sizes.total
                progress(count)
            damage += references.damage
        for pin in read_pins(store):
            if pin.ref is not None:
                owned.add(pin.ref.digest + groups.number("(pins)").to_bytes(_NUMBER, "big"))
        close_over(store, owned)
        return _measured(store, owned, groups.names, own, run_bytes, damage, progress)


class _Sizes:
    """Adds up the sizes of what passes by."""

    def __init__(self, infos: Iterable[ObjectInfo]) -> None:
        self._infos = infos
        self.total = 0

    def __iter__(self) -> Iterator[ObjectInfo]:
        for info in self._infos:
            self.total += info.size
            yield info


def _measured(
    store: DataStore,
    owned: Buckets,
    names: list[str],
    own: Mapping[int, int],
    run_bytes: int,
    damage: list[str],
    progress: Callable[[int], None],
) -> StoreUsage:
    unique, shared, count = [0] * len(names), [0] * len(names), [0] * len(names)
    objects = object_bytes = garbage = garbage_bytes = 0
    for number in range(BUCKETS):
        owners: dict[str, set[int]] = {}
        for entry in owned.read(number):
            owners.setdefault(entry[:32].hex(), set()).add(int.from_bytes(entry[32:], "big"))
        here = 0
        for info in store.scan(f"objects/{number:02x}/"):
            here += 1
            object_bytes += info.size
            found = owners.get(info.key.rpartition("/")[2], ())
            if not found:
                garbage += 1
                garbage_bytes += info.size
            kind = unique if len(found) == 1 else shared
            for owner in found:
                kind[owner] += info.size
                count[owner] += 1
        objects += here
        progress(here)
    rows = [
        Usage(name=name, unique=unique[at] + own.get(at, 0), shared=shared[at], objects=count[at])
        for at, name in enumerate(names)
    ]
    rows = [row for row in rows if row.objects or row.unique]  # a text may look like a digest and be none
    rows.sort(key=lambda row: (-row.unique - row.shared, row.name))
    return StoreUsage(
        rows=rows,
        objects=objects,
        object_bytes=object_bytes,
        run_bytes=run_bytes,
        garbage=garbage,
        garbage_bytes=garbage_bytes,
        damage=damage,
    )
