"""Two at work on one store, stepped: one goes on to a point where it touches a file, the other does all that it has to
do, the first goes on. For each pair at every such point, looking included.

DOVETAIL_STEPS says at how many points of each pair (soak: all of them); which ones is drawn with DOVETAIL_SEED.
"""

from __future__ import annotations

import random
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from amounts import SEED, amount
from boundaries import Boundaries
from storefaults import FIRST, OPEN, OPERATIONS, Place, prepare, rubbish_of, table, values
from storemaking import MadeRun, Making, big, values_of

from dovetail.artifacts.fences import claim_fence
from dovetail.artifacts.identity import digest_of
from dovetail.artifacts.layout import object_key
from dovetail.artifacts.segments import find_record
from dovetail.artifacts.upkeep.collecting import collect
from dovetail.artifacts.upkeep.deletion import delete_keys
from dovetail.artifacts.upkeep.pins import put_pin, read_pins
from dovetail.artifacts.upkeep.verifying import verify
from dovetail.interfaces.errors import NotFoundError

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at descriptors in /proc")

STEPS = amount("STEPS", 16)


def _collect(place: Place) -> None:
    collect(place.store(), threads=1)


def _reuse(place: Place) -> None:
    """Commit values that are old garbage: one that is whole, one that shares bytes, and a new version of that."""
    store = place.store()
    run = MadeRun(Making(store), OPEN, claim_fence(store, OPEN))
    run.task("reuse", {"old": big("garbage 1"), "shared": table(200_000), "version": table(260_000)})
    store.close()


def _reused(place: Place) -> None:
    found = values_of(place.store(), OPEN)
    assert found["reuse/old"] == big("garbage 1")
    assert found["reuse/shared"] == table(200_000)
    assert found["reuse/version"] == table(260_000)


def _save_again(place: Place) -> None:
    artifacts = Making(place.store()).artifacts
    for value in (big("of two"), table(300_000), random.Random(5).randbytes(1 << 21)):
        artifacts.load(artifacts.save(value))


def _read(place: Place) -> None:
    """Read everything, and garbage that may go: all of it, or a clear no."""
    assert values(place)
    store = place.store()
    artifacts = Making(store).artifacts
    for name in ("garbage 0", "garbage 2"):
        key = object_key(digest_of(artifacts.serializers.serialize(big(name))))
        with suppress(NotFoundError):
            assert big(name) in store.get(key).read()


def _pin(place: Place) -> None:
    store = place.store()
    with suppress(NotFoundError):  # deleted before it was found
        record = find_record(store, FIRST, "big", b"")
        if record is not None:
            put_pin(store, FIRST, artifact="big/table", ref=record.outputs["table"])


def _pinned(place: Place) -> None:
    for pin in read_pins(place.store()):
        assert pin.ref is not None
        assert Making(place.store()).artifacts.load(pin.ref) == table()


def _delete_and_collect(place: Place) -> None:
    store = place.store()
    delete_keys(store, FIRST)
    collect(store, threads=1)


PAIRS: dict[str, tuple[Callable[[Place], None], Callable[[Place], None], Callable[[Place], None]]] = {
    "a writer reuses what a collector is about to delete": (_collect, _reuse, _reused),
    "a collector comes while a writer reuses": (_reuse, _collect, _reused),
    "somebody reads while a collector deletes": (_collect, _read, lambda place: None),
    "a collector comes while somebody reads": (_read, _collect, lambda place: None),
    "two collectors": (_collect, _collect, lambda place: None),
    "two writers of one value": (_save_again, _save_again, _save_again),
    "a run goes while its artifact is pinned": (_pin, _delete_and_collect, _pinned),
    "an artifact is pinned while its run goes": (_delete_and_collect, _pin, _pinned),
    "a run goes while another one reuses its values": (
        OPERATIONS["commit"].act,
        _delete_and_collect,
        OPERATIONS["commit"].confirm,
    ),
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return prepare(tmp_path_factory.mktemp("stepped") / "base")


class Stepping:
    """The second one's work, in a thread of its own: it may have to wait for a lock that the first one holds."""

    def __init__(self, act: Callable[[], None]) -> None:
        self._failure: BaseException | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(act,))

    def _run(self, act: Callable[[], None]) -> None:
        import fcntl

        real = fcntl.flock

        def flock(fd: int, how: int) -> None:
            if not self._stopped.is_set():  # the first one waits meanwhile
                try:
                    real(fd, how | fcntl.LOCK_NB)
                    return
                except BlockingIOError:
                    self._stopped.set()
            real(fd, how)

        fcntl.flock = flock
        try:
            act()
        except BaseException as error:
            self._failure = error
        finally:
            fcntl.flock = real
            self._stopped.set()

    def step(self) -> None:
        """Go on to the end, or to where the first one must go on."""
        self._thread.start()
        self._stopped.wait()

    def end(self) -> None:
        """Wait for the end; raises what it raised."""
        if self._thread.ident is not None:
            self._thread.join()
        if self._failure is not None:
            raise self._failure


def stepped(place: Place, first: Callable[[Place], None], second: Callable[[Place], None], at: int | None) -> int:
    """Do both; how many points the first one has."""
    other = Stepping(lambda: _aside(passed, lambda: second(place)))

    def step(_: str, call: Callable[[], Any], half: Callable[[], Any] | None) -> Any:
        other.step()
        return call()

    passed = Boundaries(place.roots[:1], at=at, step=step, looks=True)
    with passed.watched():
        first(place)
        other.end()
    return passed.count


def _aside(passed: Boundaries, act: Callable[[], None]) -> None:
    with passed.aside():
        act()


@pytest.mark.parametrize("pair", PAIRS)
def test_two_at_work_at_every_point(pair: str, base: Place, tmp_path: Path) -> None:
    print(f"DOVETAIL_SEED={SEED}")
    first, second, confirm = PAIRS[pair]
    before = values(base)
    count = stepped(base.fresh(tmp_path / "alone"), first, second, None)
    chosen = sorted(random.Random(SEED).sample(range(count), min(STEPS, count)))
    for at in chosen:
        place = base.fresh(tmp_path / str(at))
        stepped(place, first, second, at)
        where = f"point {at} of {count}"
        confirm(place)
        gone = _delete_and_collect in (first, second)
        for run, expected in before.items():
            if not (gone and run == FIRST):
                found = values_of(place.store(), run)
                assert {name: found.get(name) for name in expected} == expected, where
        assert not verify(place.store()).faults, where
        assert not rubbish_of(place), where
        confirm(place)
