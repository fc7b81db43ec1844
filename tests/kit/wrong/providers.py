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


@wrong()
class AppendsTwice(MemoryMetadata):
    """Does not look whether an event is there already."""

    def append(self, run, events, *, fence=None):
        if run in self._contents.runs:
            self._contents.runs[run].written.clear()
        return super().append(run, events, fence=fence)


@wrong()
class AppendsOneByOne(MemoryMetadata):
    """Leaves the first events of a batch that is refused."""

    def append(self, run, events, *, fence=None):
        last = super().append(run, [], fence=fence)
        for event in events:
            last = super().append(run, [event], fence=fence)
        return last


@wrong()
class IgnoresTheFence(MemoryMetadata):
    """Takes what any driver appends."""

    def append(self, run, events, *, fence=None):
        if fence is not None and run in self._contents.runs:
            fence = max(fence, self._contents.runs[run].fence)
        return super().append(run, events, fence=fence)


@wrong()
class AnyoneIsADriver(MemoryMetadata):
    """Takes every event without a fence."""

    def append(self, run, events, *, fence=None):
        if fence is None and run in self._contents.runs:
            fence = self._contents.runs[run].fence
        return super().append(run, events, fence=fence)


@wrong()
class ReturnsHowMany(MemoryMetadata):
    """Returns how many events it was given."""

    def append(self, run, events, *, fence=None):
        super().append(run, events, fence=fence)
        return len(events)


@wrong()
class RoundsTimes(MemoryMetadata):
    """Keeps whole seconds of events."""

    def append(self, run, events, *, fence=None):
        return super().append(run, [replace(event, time=float(int(event.time))) for event in events], fence=fence)


@wrong()
class ReadsFromSince(MemoryMetadata):
    """Takes `since` for the first number that is wanted."""

    def read(self, run, *, since=0):
        return super().read(run, since=since - 1)


@wrong()
class UnknownRunsAreEmpty(MemoryMetadata):
    """Has an empty journal for every run."""

    def read(self, run, *, since=0):
        return super().read(run, since=since) if run in self._contents.runs else iter(())


@wrong()
class WatchDoesNotWait(MemoryMetadata):
    """Tells what is there, and ends."""

    def watch(self, run, *, since=0):
        return self.read(run, since=since)


@wrong()
class WatchEndsWhenInterrupted(MemoryMetadata):
    """Takes every state but `running` for final."""

    def watch(self, run, *, since=0):
        for event in super().watch(run, since=since):
            yield event
            if event.kind == "run.state":
                return


@wrong()
class OneFlowForAll(MemoryMetadata):
    """Gives the run of another flow."""

    def create_run(self, flow, *, run_id=None, created=None):
        try:
            return super().create_run(flow, run_id=run_id, created=created)
        except AlreadyExistsError:
            return super().create_run(self._contents.runs[run_id].columns["flow"], run_id=run_id)


@wrong()
class CountsZeros(MemoryMetadata):
    """Tells the states that no task is in."""

    def counts(self, run):
        return {step: {"waiting": 0, **found} for step, found in super().counts(run).items()}


@wrong()
class IgnoresTheUser(MemoryMetadata):
    """Leaves out one filter."""

    def query(self, query, *, columns=None):
        return super().query(replace(query, user=None), columns=columns)


@wrong()
class OneTagIsEnough(MemoryMetadata):
    """Looks for the first of the tags alone."""

    def query(self, query, *, columns=None):
        return super().query(replace(query, tags=query.tags[:1]), columns=columns)


@wrong()
class OldestFirst(MemoryMetadata):
    """Has one order."""

    def query(self, query, *, columns=None):
        return super().query(replace(query, oldest_first=True) if query.kind == "runs" else query, columns=columns)


@wrong()
class PagesByOffset(MemoryMetadata):
    """Its pages move when rows are added."""

    def query(self, query, *, columns=None):
        begin = int(query.cursor or 0)
        page = super().query(replace(query, limit=None, cursor=None), columns=columns)
        end = len(page.rows) if query.limit is None else begin + query.limit
        cursor = str(end) if end < len(page.rows) else None
        return Page(columns=page.columns, rows=page.rows[begin:end], cursor=cursor)


@wrong()
class AnotherPageForNothing(MemoryMetadata):
    """Has a cursor at the end as well."""

    def query(self, query, *, columns=None):
        page = super().query(query, columns=columns)
        if query.limit and page.cursor is None:
            return replace(page, cursor=query.cursor or "[1e99]")
        return page


@wrong()
class ColumnsOfItsOwn(MemoryMetadata):
    """Gives columns in its own order."""

    def query(self, query, *, columns=None):
        return super().query(query, columns=None if columns is None else sorted(columns, reverse=True))


@wrong()
class TagsAsTheyCame(MemoryMetadata):
    """Does not sort tags."""

    def query(self, query, *, columns=None):
        page = super().query(query, columns=columns)
        rows = [tuple(list(reversed(v)) if c == "tags" else v for c, v in zip(page.columns, row)) for row in page.rows]
        return replace(page, rows=rows)


@wrong()
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


@wrong()
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


@wrong()
class TokensBeginAgain(MemoryMetadata):
    """Counts tokens from 1 when nobody holds the name."""

    def lease(self, name, *, holder, slots=1, ttl=30.0):
        if not self.leases():
            self._contents.tokens = 0
        return super().lease(name, holder=holder, slots=slots, ttl=ttl)


@wrong()
class LeasesForEver(MemoryMetadata):
    """Does not let leases run out."""

    def lease(self, name, *, holder, slots=1, ttl=30.0):
        found = super().lease(name, holder=holder, slots=slots, ttl=ttl)
        if found is not None:
            self._contents.leases[name, found.slot] = replace(found, expires=found.expires + 1e6)
        return found


@wrong()
class RenewsNothing(MemoryMetadata):
    """Says that it has renewed."""

    def renew(self, lease):
        found = self._contents.leases[lease.name, lease.slot]
        renewed = super().renew(lease)
        self._contents.leases[lease.name, lease.slot] = found
        return renewed


@wrong()
class RenewsWhatIsLost(MemoryMetadata):
    """Tells nobody that the lease went to another."""

    def renew(self, lease):
        try:
            return super().renew(lease)
        except StaleFenceError:
            return replace(lease, expires=lease.expires + lease.ttl)


@wrong()
class AnyoneReleases(MemoryMetadata):
    """Frees the slot, whoever holds it."""

    def release(self, lease):
        found = self._contents.leases.get((lease.name, lease.slot))
        super().release(lease if found is None else found)


@wrong()
class TheDeadHold(MemoryMetadata):
    """Waits out the ttl of the dead."""

    def lease(self, name, *, holder, slots=1, ttl=30.0):
        found = super().lease(name, holder=holder, slots=slots, ttl=ttl)
        if found is not None and holder.host == current_holder().host:
            self._contents.leases[name, found.slot] = replace(found, holder=replace(holder, host="a guest"))
        return found


@wrong()
class LeasesOfTheWholeName(MemoryMetadata):
    """Takes a prefix for a name."""

    def leases(self, prefix=""):
        return [lease for lease in super().leases(prefix) if not prefix or lease.name == prefix]


@wrong()
class LimitsInSecret(MemoryMetadata):
    """Does not declare what it can do."""

    capabilities: ClassVar[MetadataCapability] = MetadataCapability.NONE


@wrong()
class SlotsInPart(MemoryMetadata):
    """Gives as many slots as there are."""

    def take_slots(self, name, *, holder, occupy=1, ttl=30.0, note="", turn=None):
        answer = super().take_slots(name, holder=holder, occupy=occupy, ttl=ttl, note=note, turn=turn)
        if answer.slots or occupy == 1:
            return answer
        return super().take_slots(name, holder=holder, occupy=1, ttl=ttl, note=note, turn=answer.turn)


@wrong()
class TheLastComesFirst(MemoryMetadata):
    """Forgets who waits."""

    def _missing(self, limit, occupy, turn):
        free = limit.slots - len([lease for lease in self.leases(f"limit:{limit.name}")])
        return min(occupy, max(limit.slots, 1)) - free


@wrong(secrets=("s3cr3t-token",))
class ShowsItsToken(MemoryMetadata):
    """Has its password in its `repr`."""

    def __repr__(self):
        return "ShowsItsToken('postgres://ann:s3cr3t-token@host')"


@wrong()
class ClosesOnce(MemoryMetadata):
    """Can't be closed again."""

    def close(self):
        if self.__dict__.setdefault("closed", False):
            raise RuntimeError("closed already")
        self.__dict__["closed"] = True


class Suite(MetadataProviderConformance):
    wrong: ClassVar[Wrong]

    @pytest.fixture
    def provider(self) -> Any:
        return self.wrong.backend()

    @pytest.fixture
    def reopen(self, provider: Any) -> Callable[[], Any]:
        return lambda: self.wrong.backend(provider.name)


globals().update(suites_of("providers", Suite))
