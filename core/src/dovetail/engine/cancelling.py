"""Cancels a run that nothing drives: a driver takes it over, runs nothing of it any more, and winds it up."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dovetail.artifacts.call_hooks import read_call_hooks
from dovetail.artifacts.called_tasks import read_called_tasks
from dovetail.artifacts.manifest import open_store, read_manifest
from dovetail.artifacts.reports import put_inbox, read_reports
from dovetail.artifacts.segments import read_records
from dovetail.artifacts.store import ArtifactStore
from dovetail.artifacts.store_pins import read_store_pins
from dovetail.engine.describe import check
from dovetail.engine.execute import execute
from dovetail.engine.hooks import HookCall, Hooks
from dovetail.engine.journal import Journal
from dovetail.engine.known_steps import KnownSteps
from dovetail.engine.launch import describe_source
from dovetail.engine.ownership import Ownership
from dovetail.engine.plan import plan_run
from dovetail.engine.recorded import Recorded
from dovetail.engine.resume import CONTINUED, ResumeRequest, find_run, store_of
from dovetail.engine.run_events import add_end, add_start, is_told, syncer, writer_name
from dovetail.engine.session import FlowSource, Session
from dovetail.engine.taking_over import cancel_left, tell_missed
from dovetail.engine.transactions import Transactions
from dovetail.interfaces.dataclass import dataclass
from dovetail.interfaces.errors import DovetailError, UsageError
from dovetail.interfaces.events import Event, EventKind
from dovetail.interfaces.flow import FlowDescription
from dovetail.interfaces.states import RunState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dovetail.artifacts.manifest import RunManifest
    from dovetail.engine.listener import RunListener
    from dovetail.engine.plan import RunPlan
    from dovetail.interfaces.datastore import DataStore
    from dovetail.interfaces.metadata import MetadataProvider
    from dovetail.settings import Settings

__all__ = ["Cancelled", "UncalledHook", "cancel_run"]


@dataclass(frozen=True, slots=True, kw_only=True)
class UncalledHook:
    """A hook that there was nobody to call."""

    kind: str
    """`on_cancel`, `on_rollback` ..."""
    address: str
    """`module:name` of the function."""
    of: str
    """Path of the task that has it; empty for the run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """How a run was cancelled."""

    run: str
    """Run id."""
    without_hooks: str = ""
    """Why its hooks were not called; empty when they were."""
    uncalled: tuple[UncalledHook, ...] = ()
    """Which these are."""


def cancel_run(settings: Settings, run: str, listener: RunListener, *, reason: str = "") -> Cancelled:
    """End a run that no driver has as cancelled: what was open in it is rolled back, and its `on_cancel` hooks run.

    The request is an event of the run like any other; a driver that is killed amid this is followed by the next one
    that takes the run over. Where the flow can't be imported any more, no hook is called.

    Args:
        settings: The resolved layers.
        run: Run id.
        listener: Told what happens here.
        reason: Why; the run keeps it.

    Raises:
        UsageError: The run has ended, or it is being driven.
    """
    with closing(Session(settings, FlowSource(file=Path()))) as opened:
        provider = opened.metadata()
        run, state = find_run(provider, opened.datastore(), ResumeRequest(run=run))
        if state not in CONTINUED:
            raise UsageError(f"run {run} has ended: it is {state}", hint=f"See how: dovetail show {run}")
        store = store_of(provider, opened, run)
        manifest = read_manifest(store, run)
        request = _request(reason)
        provider.append(run, [request])
        if settings.core.artifacts.distrusts_store:
            why = "only the data store says which file has them, and safe mode runs none that it names"
            return _end(provider, store, manifest, request, why)
        file = Path(manifest.info["file"])
        if not manifest.info["file"] or not file.exists():
            why = (
                f"{file} is not there" if manifest.info["file"] else f"{manifest.flow} was typed in, and is in no file"
            )
            return _end(provider, store, manifest, request, why)
        with closing(Session(settings, _source(manifest))) as session:
            session.adopt(opened)
            try:
                plan = _plan(session, manifest, store, listener)
            except DovetailError as error:
                return _end(provider, store, manifest, request, str(error).splitlines()[0])
            _wind_up(session, manifest, plan, listener)
        return Cancelled(run=run)


def _request(reason: str) -> Event:
    data = {"reason": reason} if reason else {}
    return Event(f"cancel-{os.urandom(8).hex()}", 1, EventKind.CANCEL, time.time(), data=data)


def _source(manifest: RunManifest) -> FlowSource:
    return FlowSource(file=Path(manifest.info["file"]), name=manifest.flow, hash_seed=manifest.info["hash_seed"])


def _plan(session: Session, manifest: RunManifest, store: DataStore, listener: RunListener) -> RunPlan:
    """Every choice for what is left to call: the hooks that the run was begun with, with the code of today."""
    flow, group = describe_source(session, listener)
    check(flow, session.settings)
    plan = plan_run(session, flow, group, debug=None)
    plan.plans.stores = {**manifest.stores, **read_store_pins(store, manifest.run), **plan.plans.stores}
    home = open_store(store)
    plan.plans.datastores.setdefault(home, store)
    return replace(plan, flow=FlowDescription.from_plain(manifest.description), store=home)


def _wind_up(session: Session, manifest: RunManifest, plan: RunPlan, listener: RunListener) -> None:
    store = plan.plans.datastores[plan.store]
    artifacts = ArtifactStore(plan.plans.datastores, default=plan.store, **session.settings.core.artifacts.policy)
    own = read_records(store, manifest.run)
    recorded = Recorded(run=manifest.run, own=own, open_sequence=artifacts.open_sequence)
    execute(session, manifest, plan, listener=listener, continued=True, recorded=recorded)


# -- without the flow -------------------------------------------------------------------------------------------------


def _end(provider: MetadataProvider, store: DataStore, manifest: RunManifest, request: Event, why: str) -> Cancelled:
    """End a run whose code nobody can run."""
    run, uuid = manifest.run, open_store(store)
    flow = FlowDescription.from_plain(manifest.description)
    known = KnownSteps(flow, read_called_tasks(store, run), dict(read_call_hooks(store, run)))
    records = list(read_records(store, run))
    calls: list[HookCall] = []
    hooks, transactions = Hooks(run=run, flow=flow, call=calls.append), Transactions()
    hooks.know(known, records, read_reports(store, run))
    transactions.know(known, records)
    with ExitStack() as stack:
        ownership = Ownership(provider, store, run)
        stack.callback(ownership.release)
        put_inbox(store, run, request)
        journal = Journal(
            provider,
            run,
            writer=writer_name(manifest),
            fence=ownership.fence,
            sync=syncer({uuid: store}, uuid),
        )
        stack.callback(journal.close)
        add_start(journal, manifest, ownership.fence, continued=is_told(provider, run))
        tell_missed(provider, store, journal, run, records)
        cancel_left(provider, store, journal, run, known=known, records=records, hooks=hooks)
        hooks.run_ended(RunState.CANCELLED, None)
        journal.add(EventKind.NOTE, level="warning", message=f"cancelled without its hooks: {why}")
        add_end(store, journal, run, ownership.fence, RunState.CANCELLED, None)
    done = {record.path for record in records}
    uncalled = tuple(_rollbacks(transactions, done)) + tuple(
        UncalledHook(kind=call.kind, address=call.address, of=call.of) for call in calls if call.path not in done
    )
    return Cancelled(run=run, without_hooks=why, uncalled=uncalled)


def _rollbacks(transactions: Transactions, done: set[str]) -> Iterator[UncalledHook]:
    for opened in transactions.unfinished():
        for call, of, address in opened.calls():
            if call not in done:
                yield UncalledHook(kind=opened.kind, address=address, of=of)
