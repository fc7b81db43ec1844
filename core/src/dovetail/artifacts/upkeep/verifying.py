"""Verifies a data store: every object to the last bit, every record, log and manifest."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import replace
from heapq import heappush, heappushpop
from typing import TYPE_CHECKING, Any

from dovetail.artifacts.documents import read_json
from dovetail.artifacts.fences import newest_fence
from dovetail.artifacts.framing import LOG_MAGIC
from dovetail.artifacts.guests import read_guests
from dovetail.artifacts.layout import manifest_key, object_key, run_prefix
from dovetail.artifacts.manifest import open_store, read_manifest, read_marker
from dovetail.artifacts.reports import read_end
from dovetail.artifacts.signed_store import SignedStore, is_document, unchecked
from dovetail.artifacts.upkeep.buckets import BUCKETS, Buckets
from dovetail.artifacts.upkeep.checking import check_object
from dovetail.artifacts.upkeep.copying import copy_run
from dovetail.artifacts.upkeep.edges import close_over, digest_in, scan_edges
from dovetail.artifacts.upkeep.pins import read_pins
from dovetail.artifacts.upkeep.references import References, runs_in
from dovetail.artifacts.upkeep.segment_reading import Span, read_whole
from dovetail.artifacts.upkeep.signatures import check_pins, check_signatures, is_signed
from dovetail.artifacts.upkeep.transfer import copy_object
from dovetail.interfaces.dataclass import dataclass
from dovetail.interfaces.errors import DovetailError, NotFoundError, StoreVersionError

if TYPE_CHECKING:
    from dovetail.interfaces.datastore import DataStore

__all__ = ["Fault", "Verified", "verify"]

_THREADS = 4
"""Hashing and reading let others run; more threads would only wait for each other."""
_TOUCHED = 1000
"""Artifacts that are named for one object at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something that is not as it was written."""

    key: str
    """The key; of what can't be told apart, the run's."""
    reason: str
    """What is wrong."""
    touches: tuple[str, ...] = ()
    """`Flow/run/path/name` of the artifacts that it touches."""
    repaired: bool = False
    """Whether it was replaced by a sound copy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What was looked at, and found."""

    objects: int
    """Objects whose every byte was checked."""
    size: int
    """Their bytes."""
    runs: int
    """Runs whose records, logs and manifests were read."""
    faults: list[Fault]
    """What is wrong."""
    signatures: int | None = None
    """Documents and groups of records that a trusted key has signed; None where nothing must be signed."""
    unchecked: int = 0
    """Documents of earlier versions, which have no check: a changed bit in them may go unnoticed."""

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong that was not repaired."""
        return all(fault.repaired for fault in self.faults)


def verify(
    store: DataStore,
    *,
    sample: int | None = None,
    homes: Mapping[str, DataStore] | None = None,
    repair_from: DataStore | None = None,
    pin: Mapping[str, Any] | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> Verified:
    """Verify a store. Finds every changed bit and missing part of objects, records, logs and documents.

    Documents of earlier versions have no check: of these, what is no valid document any more is found, and references
    that lead nowhere. Hints are left out: they may be lost or wrong at any time. In a signed store each
    must have its signature.

    Args:
        store: The store.
        sample: Check the bytes of so many objects, drawn at random; None: of all. All are checked to be there.
        homes: Other stores, by uuid, whose runs keep values in it.
        repair_from: A store that may have sound copies of damaged objects, and of runs that have ended.
        pin: How the store is opened, as the manifests of repaired runs have it.
        progress: Called with the number of objects and references that were looked at since the last call.
    """
    given, store = store, unchecked(store)
    signatures = 0 if isinstance(given, SignedStore) else None
    uuid = read_marker(store).uuid
    places = {uuid: store, **(homes or {})}
    faults: list[Fault] = []
    runs = without_check = 0
    with Buckets() as wanted:
        for home, place in places.items():
            references = References(place, home, {uuid: store})
            for run, infos in runs_in(place):
                runs += place is store
                flow = references.flow_of(run)
                count = 0
                for found in references.of_run(run, infos):
                    count += 1
                    if found.store == uuid:
                        wanted.add(found.digest)
                progress(count)
                wrong: list[Fault] = []
                touches = (f"{flow}/{run}",)
                if place is store and isinstance(given, SignedStore):
                    for error in check_signatures(given, run):
                        if error is None:
                            signatures = (signatures or 0) + 1
                        else:
                            wrong.append(Fault(key=error.key, reason=error.message, touches=touches))
                wrong += [Fault(key=_key_of(line), reason=line, touches=touches) for line in references.damage]
                if place is store:
                    wrong += _check_documents(store, run, touches)
                faults += _told_once(wrong)
                references.damage.clear()
            without_check += references.unchecked if place is store else 0
        apart: dict[str, str] = {}
        for kept in read_pins(store, apart):
            if kept.ref is not None:
                wanted.add(kept.ref.digest)
        for error in check_pins(given) if isinstance(given, SignedStore) else ():
            if error is None:
                signatures = (signatures or 0) + 1
            else:
                apart.setdefault(error.key, error.message)
        read_guests(store, apart)
        close_over(store, wanted)
        if repair_from is not None and faults:
            faults = _repair_runs(given, repair_from, faults, pin or {})
        bad, objects, size = _check_objects(store, wanted, sample, progress)
    faults += [Fault(key=key, reason=reason) for key, reason in apart.items()]
    touched = _touched(places, uuid, store, set(bad)) if bad else {}
    mended = set() if repair_from is None else _repair_all(store, repair_from, set(bad))
    for digest, reason in bad.items():
        repaired = digest in mended
        faults.append(
            Fault(key=object_key(digest), reason=reason, touches=tuple(touched.get(digest, ())), repaired=repaired)
        )
    return Verified(
        objects=objects, size=size, runs=runs, faults=faults, signatures=signatures, unchecked=without_check
    )


def _key_of(line: str) -> str:
    word = line.split(" ", 1)[0]
    return word if word.startswith("runs/") else ""


# -- runs -------------------------------------------------------------------------------------------------------------


def _told_once(faults: Iterable[Fault]) -> Iterator[Fault]:
    """The first fault of each document; of other keys all, which lie in different places of them."""
    told: set[str] = set()
    for fault in faults:
        if fault.key not in told:
            yield fault
        if is_document(fault.key):
            told.add(fault.key)


def _check_documents(store: DataStore, run: str, touches: tuple[str, ...]) -> Iterator[Fault]:
    """Manifest, fences and logs of a run."""
    try:
        read_manifest(store, run)
    except NotFoundError:
        yield Fault(key=manifest_key(run), reason="is missing: the run was not deleted to the end", touches=touches)
        return
    except StoreVersionError:
        raise
    except DovetailError as error:
        yield Fault(key=manifest_key(run), reason=error.message, touches=touches)
    damage: list[str] = []
    fences: dict[str, Mapping[str, int]] = {}
    for info in store.scan(f"{run_prefix(run)}fences/"):
        try:
            ends = read_json(store.get(info.key).read(), info.key)["ends"]
            fences[info.key.rpartition("/")[2]] = {str(name): int(end) for name, end in ends.items()}
        except NotFoundError:
            continue
        except (DovetailError, KeyError, TypeError, ValueError, AttributeError) as error:
            yield Fault(key=info.key, reason=f"is no valid fence: {error}", touches=touches)
    prefix = f"{run_prefix(run)}segments/"
    there = {info.key[len(prefix) :] for info in store.scan(prefix)}
    for name in sorted({name for ends in fences.values() for name, end in ends.items() if end} - there):
        yield Fault(key=prefix + name, reason="is missing", touches=touches)
    ended = {int(info.key.rpartition("/")[2]) for info in store.scan(f"{run_prefix(run)}end/")}
    for info in store.scan(f"{run_prefix(run)}logs/"):
        for _ in read_whole(store, info.key, LOG_MAGIC, Span.of(info.key, {}, ended), damage):
            pass
    for line in damage:
        yield Fault(key=_key_of(line), reason=line, touches=touches)


# -- objects ----------------------------------------------------------------------------------------------------------


def _check_objects(
    store: DataStore, wanted: Buckets, sample: int | None, progress: Callable[[int], None]
) -> tuple[dict[bytes, str], int, int]:
    """Digest → what is wrong with it; objects and bytes that were checked."""
    bad: dict[bytes, str] = {}

    def listed() -> Iterator[tuple[str, bytes]]:
        for number in range(BUCKETS):
            missing = set(wanted.read(number))
            for info in store.scan(f"objects/{number:02x}/"):
                digest = digest_in(info.key.rpartition("/")[2])
                if digest is not None:
                    missing.discard(digest)
                    yield info.key, digest
            bad.update(dict.fromkeys(missing, "is missing"))

    chosen: Iterable[tuple[str, bytes]] = listed() if sample is None else _drawn(listed(), sample)
    objects = size = 0
    pending: dict[Future[int], bytes] = {}

    def finish(futures: set[Future[int]]) -> None:
        nonlocal objects, size
        for future in futures:
            digest = pending.pop(future)
            try:
                size += future.result()
            except NotFoundError:
                continue  # collected meanwhile; what is needed and missing is found in the listing
            except StoreVersionError:
                raise
            except DovetailError as error:
                bad[digest] = error.message
            objects += 1
        progress(len(futures))

    with ThreadPoolExecutor(_THREADS, "dovetail-verify") as pool:
        try:
            for key, digest in chosen:
                pending[pool.submit(check_object, store, key)] = digest
                if len(pending) >= 4 * _THREADS:
                    finish(wait(pending, return_when=FIRST_COMPLETED).done)
            finish(set(pending))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return bad, objects, size


def _drawn(listed: Iterable[tuple[str, bytes]], count: int) -> list[tuple[str, bytes]]:
    """So many, each equally likely; the rest is passed by."""
    chosen: list[tuple[float, str, bytes]] = []
    for key, digest in listed:
        entry = (random.random(), key, digest)
        if len(chosen) < count:
            heappush(chosen, entry)
        elif chosen:
            heappushpop(chosen, entry)
    return [(key, digest) for _, key, digest in chosen]


def _touched(places: Mapping[str, DataStore], uuid: str, store: DataStore, bad: set[bytes]) -> dict[bytes, list[str]]:
    """Bad object → artifacts that need it, themselves or through objects that it holds parts of."""
    causes: dict[bytes, set[bytes]] = {digest: {digest} for digest in bad}
    grown = True
    while grown:
        grown = False
        for child, owner, _ in scan_edges(store):
            more = causes.get(owner, set()) - causes.get(child, set())
            if more:
                causes.setdefault(child, set()).update(more)
                grown = True
    found: dict[bytes, dict[str, None]] = {}
    for home, place in places.items():
        references = References(place, home, {uuid: store})
        for run, infos in runs_in(place):
            flow = references.flow_of(run)
            for one in references.of_run(run, infos):
                for cause in causes.get(one.digest, ()) if one.store in ("", uuid) else ():
                    names = found.setdefault(cause, {})
                    if len(names) < _TOUCHED:
                        names[f"{flow}/{one}"] = None
    return {digest: list(names) for digest, names in found.items()}


def _repair_runs(store: DataStore, source: DataStore, faults: list[Fault], pin: Mapping[str, Any]) -> list[Fault]:
    """Replace what is damaged of runs that have ended in the other store."""
    uuid = open_store(source)
    repaired: set[str] = set()
    refused: dict[str, str] = {}
    for run in {fault.key.split("/")[1] for fault in faults if fault.key}:
        try:
            end = read_end(source, run)
            if end is None or end[0] < newest_fence(source, run):
                continue  # a copy of a run that went on has less than there is here
            if not isinstance(store, SignedStore) and (is_signed(store, run) or is_signed(source, run)):
                refused[run] = "; not repaired: the run is signed, and the setting artifacts.signed is off"
                continue
            copy_run(source, store, run, stores={uuid: source}, pin=pin)
            if isinstance(store, SignedStore) and any(check_signatures(store, run)):
                continue  # there is more than the copy has
        except DovetailError:
            continue
        repaired.add(run)

    def told(fault: Fault) -> Fault:
        run = fault.key.split("/")[1] if fault.key else ""
        return replace(fault, reason=fault.reason + refused.get(run, ""), repaired=run in repaired)

    return [told(fault) for fault in faults]


def _repair_all(store: DataStore, source: DataStore, bad: set[bytes]) -> set[bytes]:
    """Those that are sound again. One that holds parts in another bad one can be only after that one."""
    mended: set[bytes] = set()
    while more := {digest for digest in bad - mended if _repair(store, source, digest)}:
        mended |= more
    return mended


def _repair(store: DataStore, source: DataStore, digest: bytes) -> bool:
    """Replace an object by a sound copy, where the other store has one and it is not sound by now."""
    key = object_key(digest)
    with suppress(DovetailError):
        check_object(store, key)
        return True
    with suppress(DovetailError):
        check_object(source, key)
        copy_object(source, store, digest, replace=True)
        return True
    return False
