"""Metadata providers that are wrong."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import pytest
from kit.wrong.declared import Wrong, suites_of, wrong

from dovetail.interfaces.errors import StaleFenceError
from dovetail.interfaces.metadata import Lease, MetadataCapability, Page
from dovetail.plugins.holder import current_holder
from dovetail.testing import MemoryMetadata, MetadataProviderConformance


@wrong("an_event_is_appended_once", "writers_have_numbers_of_their_own")
class AppendsTwice(MemoryMetadata):
    """Does not look whether an event is there already."""

    def append(self, run, events, *, fence=None):
        if run in self._contents.runs:
            self._contents.runs[run].written.clear()
        return super().append(run, events, fence=fence)


@wrong("a_refused_batch_leaves_nothing", "rows_are_the_fold_of_the_events")
class AppendsOneByOne(MemoryMetadata):
    """Leaves the first events of a batch that is refused."""

    def append(self, run, events, *, fence=None):
        last = super().append(run, [], fence=fence)
        for event in events:
            last = super().append(run, [event], fence=fence)
        return last


@wrong("a_lower_fence_is_stale", "a_refused_batch_leaves_nothing")
class IgnoresTheFence(MemoryMetadata):
    """Takes what any driver appends."""

    def append(self, run, events, *, fence=None):
        if fence is not None and run in self._contents.runs:
            fence = max(fence, self._contents.runs[run].fence)
        return super().append(run, events, fence=fence)


@wrong("watch_waits_and_ends")
class WatchDoesNotWait(MemoryMetadata):
    """Tells what is there, and ends."""

    def watch(self, run, *, since=0):
        return self.read(run, since=since)


@wrong("runs_are_filtered")
class IgnoresTheUser(MemoryMetadata):
    """Leaves out one filter."""

    def query(self, query, *, columns=None):
        return super().query(replace(query, user=None), columns=columns)


@wrong("newest_come_first", "pages_go_on_while_runs_are_added", "rows_are_the_fold_of_the_events")
class OldestFirst(MemoryMetadata):
    """Has one order."""

    def query(self, query, *, columns=None):
        return super().query(replace(query, oldest_first=True) if query.kind == "runs" else query, columns=columns)


@wrong("pages_go_on_while_runs_are_added")
class PagesByOffset(MemoryMetadata):
    """Its pages move when rows are added."""

    def query(self, query, *, columns=None):
        begin = int(query.cursor or 0)
        page = super().query(replace(query, limit=None, cursor=None), columns=columns)
        end = len(page.rows) if query.limit is None else begin + query.limit
        cursor = str(end) if end < len(page.rows) else None
        return Page(columns=page.columns, rows=page.rows[begin:end], cursor=cursor)


@wrong("delete_run_forgets_one_run")
class DeletedFencesStay(MemoryMetadata):
    """Remembers the fence of a run that was deleted."""

    def delete_run(self, run):
        found = self._contents.runs.get(run)
        fences = self.__dict__.setdefault("fences", {})
        if found is not None:
            fences[run] = found.fence
        super().delete_run(run)

    def append(self, run, events, *, fence=None):
        if fence is not None and fence < self.__dict__.get("fences", {}).get(run, 0):
            raise StaleFenceError("a newer driver owned the run that had this id")
        return super().append(run, events, fence=fence)


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
class RenewsWhatIsLost(MemoryMetadata):
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
class LimitsInSecret(MemoryMetadata):
    """Does not declare what it can do."""

    capabilities: ClassVar[MetadataCapability] = MetadataCapability.NONE


@wrong("who_comes_first_goes_first")
class TheLastComesFirst(MemoryMetadata):
    """Forgets who waits."""

    def _missing(self, limit, occupy, turn):
        free = limit.slots - len(self.leases(f"limit:{limit.name}"))
        return min(occupy, max(limit.slots, 1)) - free


@wrong("no_secret_is_shown", secrets=("s3cr3t-token",))
class ShowsItsToken(MemoryMetadata):
    """Has its password in its `repr`."""

    def __repr__(self):
        return "ShowsItsToken('postgres://ann:s3cr3t-token@host')"


@wrong("close_may_be_called_again")
class ClosesOnce(MemoryMetadata):
    """Can't be closed again."""

    def close(self):
        if self.__dict__.setdefault("closed", False):
            raise RuntimeError("closed already")
        self.__dict__["closed"] = True


class Suite(MetadataProviderConformance):
    wrong: ClassVar[Wrong]
    patience = 2.0

    @pytest.fixture
    def provider(self) -> Any:
        return self.wrong.backend()

    @pytest.fixture
    def reopen(self, provider: Any) -> Callable[[], Any]:
        return lambda: self.wrong.backend(provider.name)


globals().update(suites_of("providers", Suite))
