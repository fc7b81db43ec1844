"""Metadata providers that are wrong."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from kit.wrong.declared import Wrong, suites_of, wrong

from dovetail.interfaces.errors import StaleFenceError
from dovetail.interfaces.metadata import Lease, MetadataCapability, Page, Query
from dovetail.local.metadata import SqliteMetadata
from dovetail.plugins.holder import current_holder
from dovetail.testing import MemoryMetadata, MetadataProviderConformance


@wrong("an_event_is_appended_once", "writers_have_numbers_of_their_own")
class AppendsTwice(MemoryMetadata):
    """Does not look whether an event is there already."""

    def append(self, run, events, *, fence=None):
        if run in self._contents.runs:
            self._contents.runs[run].written.clear()
        return super().append(run, events, fence=fence)


@wrong("a_refused_batch_leaves_nothing")
class AppendsOneByOne(SqliteMetadata):
    """Leaves the first events of a batch that is refused."""

    def append(self, run, events, *, fence=None):
        last = super().append(run, [], fence=fence)
        for event in events:
            last = super().append(run, [event], fence=fence)
        return last


@wrong("killed_writers_leave_whole_batches")
class CommitsInParts(SqliteMetadata):
    """Commits a batch in two transactions; only readers of its own process wait for the second one."""

    busy = threading.RLock()

    def append(self, run, events, *, fence=None):
        if fence is None or len(events) < 2:
            return super().append(run, events, fence=fence)
        with self.busy:
            super().append(run, events[:1], fence=fence)
            time.sleep(0.02)
            return super().append(run, events[1:], fence=fence)

    def read(self, run, *, since=0):
        with self.busy:
            return super().read(run, since=since)


@wrong("a_lower_fence_is_stale", "a_refused_batch_leaves_nothing")
class IgnoresTheFence(MemoryMetadata):
    """Takes what any driver appends."""

    def append(self, run, events, *, fence=None):
        if fence is not None and run in self._contents.runs:
            fence = max(fence, self._contents.runs[run].fence)
        return super().append(run, events, fence=fence)


@wrong("watch_waits_and_ends")
class WatchDoesNotWait(SqliteMetadata):
    """Tells what is there, and ends."""

    def watch(self, run, *, since=0):
        return self.read(run, since=since)


@wrong("runs_are_filtered")
class IgnoresTheUser(SqliteMetadata):
    """Leaves out one filter."""

    def query(self, query, *, columns=None):
        return super().query(replace(query, user=None), columns=columns)


@wrong("newest_come_first", "pages_go_on_while_runs_are_added")
class OldestFirst(SqliteMetadata):
    """Has one order."""

    def query(self, query, *, columns=None):
        return super().query(replace(query, oldest_first=True) if query.kind == "runs" else query, columns=columns)


@wrong("pages_go_on_while_runs_are_added")
class PagesByOffset(SqliteMetadata):
    """Its pages move when rows are added."""

    def query(self, query, *, columns=None):
        begin = int(query.cursor or 0)
        page = super().query(replace(query, limit=None, cursor=None), columns=columns)
        end = len(page.rows) if query.limit is None else begin + query.limit
        cursor = str(end) if end < len(page.rows) else None
        return Page(columns=page.columns, rows=page.rows[begin:end], cursor=cursor)


@wrong("delete_run_forgets_one_run")
class DeletedFencesStay(SqliteMetadata):
    """Remembers the fence of a run that was deleted."""

    def append(self, run, events, *, fence=None):
        fences = self.__dict__.setdefault("fences", {})
        if fence is not None and fence < fences.get(run, 0):
            raise StaleFenceError("a newer driver owned the run that had this id")
        last = super().append(run, events, fence=fence)
        fences[run] = max(fence or 0, fences.get(run, 0))
        return last


@wrong("one_of_many_gets_the_lease")
class RacyLease(MemoryMetadata):
    """Looks first and takes later."""

    def lease(self, name, *, holder, slots=1, ttl=30.0):
        taken = {lease.slot for lease in self.leases(name) if lease.name == name}
        time.sleep(0.002)
        if len(taken) >= slots:
            return None
        slot = next(slot for slot in range(slots) if slot not in taken)
        self._contents.leases.pop((name, slot), None)
        with self._contents.changed:
            self._contents.tokens += 1
            token = self._contents.tokens
        expires = self._contents.clock() + ttl
        lease = Lease(name=name, slot=slot, token=token, ttl=ttl, expires=expires, holder=holder)
        self._contents.leases[name, slot] = lease
        return lease


@wrong("a_lease_runs_out", "renewing_extends")
class RenewsWhatIsLost(SqliteMetadata):
    """Tells nobody that the lease went to another."""

    def renew(self, lease):
        try:
            return super().renew(lease)
        except StaleFenceError:
            return replace(lease, expires=lease.expires + lease.ttl)


@wrong("the_dead_hold_nothing")
class TheDeadHold(MemoryMetadata):
    """Waits out the ttl of the dead."""

    def lease(self, name, *, holder, slots=1, ttl=30.0):
        found = super().lease(name, holder=holder, slots=slots, ttl=ttl)
        if found is not None and holder.host == current_holder().host:
            self._contents.leases[name, found.slot] = replace(found, holder=replace(holder, host="a guest"))
        return found


@wrong("undeclared_limits_are_refused")
class LimitsInSecret(SqliteMetadata):
    """Does not declare what it can do."""

    capabilities: ClassVar[MetadataCapability] = MetadataCapability.NONE


@wrong("who_comes_first_goes_first")
class TheLastComesFirst(MemoryMetadata):
    """Forgets who waits."""

    def _missing(self, limit, occupy, turn):
        free = limit.slots - len(self.leases(f"limit:{limit.name}"))
        return min(occupy, max(limit.slots, 1)) - free


@wrong("no_secret_is_shown", secrets=("s3cr3t-token",))
class ShowsItsToken(SqliteMetadata):
    """Has its password in its `repr`."""

    def __repr__(self):
        return "ShowsItsToken('postgres://ann:s3cr3t-token@host')"


@wrong("close_may_be_called_again")
class ClosesOnce(SqliteMetadata):
    """Can't be closed again."""

    def close(self):
        if self.__dict__.setdefault("closed", False):
            raise RuntimeError("closed already")
        self.__dict__["closed"] = True
        super().close()


@wrong("any_sequence_of_calls")
class CountsWhatWasDeleted(SqliteMetadata):
    """Counts the tasks of a run that was deleted as those of the run that has its id now."""

    def delete_run(self, run):
        if counts := self.counts(run):
            self.__dict__.setdefault("left", {})[run] = counts
        super().delete_run(run)

    def counts(self, run):
        found = super().counts(run)
        if not found and self.query(Query(kind="runs", run=run)).rows:
            return self.__dict__.get("left", {}).get(run, {})
        return found


@wrong("any_sequence_of_calls")
class LooksAtFewSlots(SqliteMetadata):
    """Gives a free slot to one who asks with fewer slots than are held above it."""

    def lease(self, name, *, holder, slots=1, ttl=30.0):
        found = super().lease(name, holder=holder, slots=slots, ttl=ttl)
        held = {lease.slot for lease in self.leases(name) if lease.name == name}
        if found is None and set(range(slots)) - held:
            return super().lease(name, holder=holder, slots=len(held) + 1, ttl=ttl)
        return found


@wrong("any_sequence_of_calls")
class KeepsWhenItWasMade(SqliteMetadata):
    """Makes a run that was deleted at the time at which it was made before."""

    def create_run(self, flow, *, run_id=None, created=None):
        made = super().create_run(
            flow, run_id=run_id, created=self.__dict__.setdefault("made", {}).get(run_id, created)
        )
        self.made[made.run] = made.created
        return made


class Suite(MetadataProviderConformance):
    wrong: ClassVar[Wrong]
    effort = 12
    patience = 2.0

    @pytest.fixture
    def opened(self, tmp_path: Path) -> Iterator[Callable[[], Any]]:
        """Opens handles of a database."""
        handles: list[Any] = []
        yield lambda: handles.append(self.wrong.backend(tmp_path / "metadata.db")) or handles[-1]
        for handle in handles:
            SqliteMetadata.close(handle)

    @pytest.fixture
    def provider(self, opened: Callable[[], Any]) -> Any:
        return opened() if issubclass(self.wrong.backend, SqliteMetadata) else self.wrong.backend()

    @pytest.fixture
    def reopen(self, provider: Any, opened: Callable[[], Any]) -> Callable[[], Any]:
        if issubclass(self.wrong.backend, SqliteMetadata):
            return opened
        return lambda: self.wrong.backend(provider.name)

    @pytest.fixture
    def opener(self, tmp_path: Path) -> tuple[str, ...]:
        if "test_killed_writers_leave_whole_batches" not in self.wrong.fails:
            pytest.skip("its fault is another one")
        return f"kit.wrong.providers:{self.wrong.backend.__name__}", str(tmp_path / "metadata.db")


globals().update(suites_of("providers", Suite))
