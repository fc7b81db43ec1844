"""Metadata providers that are wrong."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import pytest
from kit.wrong.declared import Wrong, suites_of, wrong

from dovetail.interfaces.errors import AlreadyExistsError, StaleFenceError
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


@wrong("a_refused_batch_leaves_nothing", "only_a_driver_appends_the_rest")
class AnyoneIsADriver(MemoryMetadata):
    """Takes every event without a fence."""

    def append(self, run, events, *, fence=None):
        if fence is None and run in self._contents.runs:
            fence = self._contents.runs[run].fence
        return super().append(run, events, fence=fence)


@wrong(
    "a_lower_fence_is_stale",
    "an_event_is_appended_once",
    "anyone_appends_to_the_inbox",
    "events_are_numbered",
    "writers_have_numbers_of_their_own",
)
class ReturnsHowMany(MemoryMetadata):
    """Returns how many events it was given."""

    def append(self, run, events, *, fence=None):
        super().append(run, events, fence=fence)
        return len(events)


@wrong("read_goes_on_behind_a_number")
class ReadsFromSince(MemoryMetadata):
    """Takes `since` for the first number that is wanted."""

    def read(self, run, *, since=0):
        return super().read(run, since=since - 1)


@wrong("watch_waits_and_ends")
class WatchDoesNotWait(MemoryMetadata):
    """Tells what is there, and ends."""

    def watch(self, run, *, since=0):
        return self.read(run, since=since)


@wrong("an_id_is_of_one_flow")
class OneFlowForAll(MemoryMetadata):
    """Gives the run of another flow."""

    def create_run(self, flow, *, run_id=None, created=None):
        try:
            return super().create_run(flow, run_id=run_id, created=created)
        except AlreadyExistsError:
            return super().create_run(self._contents.runs[run_id].columns["flow"], run_id=run_id)


@wrong("an_event_is_appended_once", "counts_follow_the_states", "other_handles_see_it_at_once")
class CountsZeros(MemoryMetadata):
    """Tells the states that no task is in."""

    def counts(self, run):
        return {step: {"waiting": 0, **found} for step, found in super().counts(run).items()}


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


@wrong("columns_are_as_asked", "create_run_registers_once", "the_newest_of_each_cache_key")
class ColumnsOfItsOwn(MemoryMetadata):
    """Gives columns in its own order."""

    def query(self, query, *, columns=None):
        return super().query(query, columns=None if columns is None else sorted(columns, reverse=True))


@wrong("rows_are_the_fold_of_the_events", "tags_come_and_go")
class TagsAsTheyCame(MemoryMetadata):
    """Does not sort tags."""

    def query(self, query, *, columns=None):
        page = super().query(query, columns=columns)
        rows = [
            tuple(list(reversed(v)) if c == "tags" else v for c, v in zip(page.columns, row, strict=True))
            for row in page.rows
        ]
        return replace(page, rows=rows)


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


@wrong("a_lease_runs_out", "renewing_extends", "tokens_rise")
class TokensBeginAgain(MemoryMetadata):
    """Counts tokens from 1 when nobody holds the name."""

    def lease(self, name, *, holder, slots=1, ttl=30.0):
        if not self.leases():
            self._contents.tokens = 0
        return super().lease(name, holder=holder, slots=slots, ttl=ttl)


@wrong("a_lease_runs_out", "leases_are_listed")
class LeasesForEver(MemoryMetadata):
    """Does not let leases run out."""

    def lease(self, name, *, holder, slots=1, ttl=30.0):
        found = super().lease(name, holder=holder, slots=slots, ttl=ttl)
        if found is not None:
            self._contents.leases[name, found.slot] = replace(found, expires=found.expires + 1e6)
        return found


@wrong("renewing_keeps_it_beyond_its_ttl")
class RenewsNothing(MemoryMetadata):
    """Says that it has renewed."""

    def renew(self, lease):
        found = self._contents.leases[lease.name, lease.slot]
        renewed = super().renew(lease)
        self._contents.leases[lease.name, lease.slot] = found
        return renewed


@wrong("a_lease_runs_out", "renewing_extends")
class RenewsWhatIsLost(MemoryMetadata):
    """Tells nobody that the lease went to another."""

    def renew(self, lease):
        try:
            return super().renew(lease)
        except StaleFenceError:
            return replace(lease, expires=lease.expires + lease.ttl)


@wrong("a_lease_runs_out", "release_frees_the_slot")
class AnyoneReleases(MemoryMetadata):
    """Frees the slot, whoever holds it."""

    def release(self, lease):
        found = self._contents.leases.get((lease.name, lease.slot))
        super().release(lease if found is None else found)


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
