"""Drives a pinned run: takes it over under a lease and a fence, runs the driver, records the end."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

from dovetail.artifacts.logs import LogWriter
from dovetail.artifacts.manifest import put_manifest, read_marker
from dovetail.artifacts.packing import ref_from_plain
from dovetail.artifacts.reports import put_report, read_reports
from dovetail.artifacts.scopes import root_scope
from dovetail.artifacts.segments import SegmentWriter, read_records
from dovetail.artifacts.store import ArtifactStore
from dovetail.artifacts.waits import put_question, question_paths, read_question
from dovetail.engine.bookkeeper import Bookkeeper
from dovetail.engine.caching import ResultCache
from dovetail.engine.calls import CallBuilder
from dovetail.engine.catching import CaughtOutcomes
from dovetail.engine.committer import Committer
from dovetail.engine.describe import spawn_note, wait_described
from dovetail.engine.driver import Driver
from dovetail.engine.hooks import Hooks
from dovetail.engine.inbox import Inbox
from dovetail.engine.journal import Journal
from dovetail.engine.limiting import Limiter
from dovetail.engine.machine import RunMachine
from dovetail.engine.own_tasks import OwnTasks
from dovetail.engine.ownership import Ownership
from dovetail.engine.recorded import Recorded
from dovetail.engine.run_events import add_end, add_start, expected_of, is_told, shown, syncer, writer_name
from dovetail.engine.transactions import Transactions
from dovetail.engine.waits import Waits, used_signals
from dovetail.interfaces.dataclass import dataclass
from dovetail.interfaces.datastore import DataStore
from dovetail.interfaces.errors import DovetailError
from dovetail.interfaces.states import RunState
from dovetail.interfaces.workers import RunFacts
from dovetail.planning.dynamic_planner import DynamicPlanner
from dovetail.planning.graph import Graph
from dovetail.planning.static_planner import StaticPlanner
from dovetail.plugins.observed import RunInfo
from dovetail.settings.selection import Selection

if TYPE_CHECKING:
    from pathlib import Path

    from dovetail.artifacts.manifest import RunManifest
    from dovetail.artifacts.waits import Question
    from dovetail.engine.calls import StepPlan
    from dovetail.engine.listener import RunListener
    from dovetail.engine.plan import RunPlan
    from dovetail.engine.session import Session
    from dovetail.interfaces.flow import StepDescription
    from dovetail.interfaces.tasks import ErrorReport, Scope
    from dovetail.interfaces.workers import WorkerGroup

__all__ = ["RunResult", "execute"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """How a run ended."""

    run: str
    """Run id."""
    state: RunState
    """Final state, or interrupted."""
    root_cause: tuple[str, ErrorReport] | None = None
    """Path and error of the task that failed first."""


def execute(
    session: Session,
    manifest: RunManifest,
    plan: RunPlan,
    *,
    listener: RunListener,
    continued: bool = False,
    recorded: Recorded | None = None,
    max_workers: int | None = None,
    on_failure: str | None = None,
    pause_after: float | None = None,
    run_id_file: Path | None = None,
) -> RunResult:
    """Drive a run until it ends.

    Args:
        session: The opened backends.
        manifest: What the run pins.
        plan: Every choice of the run.
        listener: Told what happens here.
        continued: Whether the run exists and is taken over; otherwise it is created.
        recorded: What may be reused.
        max_workers: Attempts at the same time; None: as set.
        on_failure: What follows a failure; None: as set.
        pause_after: Seconds that input is waited for with nothing else to do; None: as set.
        run_id_file: File that gets the run id once the run is registered and this process drives it.

    Raises:
        UsageError: Another live driver has the run.
        StaleFenceError: Another driver took the run over meanwhile; this one caused no effect since.
    """
    core, plans = session.settings.core, plan.plans
    store, provider = plans.datastores[plan.store], session.metadata()
    run = manifest.run
    with ExitStack() as stack:
        if not continued:
            put_manifest(store, manifest)
            provider.create_run(manifest.flow, run_id=run, created=manifest.created)
        ownership = Ownership(provider, store, run)
        stack.callback(ownership.release)
        if run_id_file is not None:
            run_id_file.write_text(run + "\n")
        artifacts = ArtifactStore(plans.datastores, default=plan.store, **core.artifacts.policy)
        observers = session.settings.registry.event_hooks(_run_info(manifest, continued=continued))
        if observers is not None:
            stack.callback(observers.close)
        writer = writer_name(manifest)
        journal = Journal(
            provider,
            run,
            writer=writer,
            fence=ownership.fence,
            sync=syncer(plans.datastores, plan.store),
            on_events=None if observers is None else observers.feed,
        )
        stack.callback(journal.close)
        add_start(journal, manifest, ownership.fence, continued=continued and is_told(provider, run))
        recorded = Recorded.nothing(run) if recorded is None else recorded
        if continued:
            from dovetail.engine.taking_over import tell_missed

            tell_missed(provider, store, journal, run, recorded.own_records)
        hooks = session.settings.registry.child_hooks()
        facts = _facts(session, manifest, plan, hooks.to_plain())
        begun: set[WorkerGroup] = set()

        def begin(group: WorkerGroup) -> None:
            if group not in begun:
                begun.add(group)
                group.begin(facts)

        for uuid in plans.stores:
            _tell_guest(journal, plan, uuid, session)
        for group in plans.groups.values():
            begin(group)  # a warm parent can be at it meanwhile
        segments = SegmentWriter(store, run, ownership.fence)
        stack.callback(segments.close)
        logs = LogWriter(store, run, ownership.fence)
        stack.callback(logs.close)
        planner = DynamicPlanner(StaticPlanner(plan.flow, Graph(plan.flow).join_of, _root(manifest)))
        machine = RunMachine(planner=planner, on_failure=on_failure or core.on_failure)
        books = Bookkeeper(
            committer=Committer(segments, store=plan.store, run=run),
            journal=journal,
            logs=logs,
            report=lambda report: put_report(store, run, report),
            keep_hooks=lambda path, plan: _keep_hooks(store, run, path, plan),
            listener=listener,
            expected=expected_of(provider, run) if continued else None,
        )
        limiter = Limiter(provider, f"{manifest.flow}/{run}", told=books.held_up, note=books.note)
        stack.callback(limiter.close)
        recorded.cache = ResultCache(run=run, provider=provider, store=store, uuid=plan.store, artifacts=artifacts)
        own_tasks = OwnTasks(run=run, plans=plans, scope=_root(manifest), artifacts=artifacts, after=planner.after)
        run_hooks, transactions = Hooks(run=run, flow=plan.flow, call=own_tasks.call), Transactions()
        known: KnownSteps | None = None
        if continued:
            from dovetail.artifacts.call_hooks import read_call_hooks
            from dovetail.artifacts.called_tasks import read_called_tasks
            from dovetail.artifacts.layout import call_hooks_prefix, called_tasks_prefix
            from dovetail.engine.known_steps import KnownSteps

            known = KnownSteps(plan.flow)
            if not core.artifacts.distrusts_store:
                known = KnownSteps(plan.flow, read_called_tasks(store, run), dict(read_call_hooks(store, run)))
            elif any(info for at in (called_tasks_prefix(run), call_hooks_prefix(run)) for info in store.scan(at)):
                books.note("hooks that only the data store names are not called in safe mode")
            run_hooks.know(known, recorded.own_records, read_reports(store, run))
            transactions.know(known, recorded.own_records)

        def cancel_left() -> None:
            if known is not None:
                from dovetail.engine.taking_over import cancel_left

                cancel_left(provider, store, journal, run, known=known, records=recorded.own_records, hooks=run_hooks)

        driver = Driver(
            machine=machine,
            calls=CallBuilder(plan.steps, store=plan.store),
            groups=plans.groups,
            group_of=lambda task: (task.plan or plan.steps[task.step]).group,
            begin=begin,
            reopen=lambda name: _reopen(session, plan, name, facts),
            slots=max_workers or core.max_workers or usable_cpus(),
            books=books,
            journal=journal,
            recorded=recorded,
            planner=planner,
            hooks=run_hooks,
            transactions=transactions,
            finish=own_tasks.finish,
            cancel_left=cancel_left,
            plans=plans,
            reread=lambda: read_records(store, run),
            values_of=lambda record: record.read_values(plans.datastores[record.record_store]),
            caught=CaughtOutcomes(artifacts, plan.flow),
            limiter=limiter,
            limits_of=lambda task: (task.plan or plan.steps[task.step]).limits,
            keep_call=_call_keeper(session, store, journal, run, plan),
            ownership=ownership,
            inbox=Inbox(provider, store, run, writer=writer, continued=continued),
            listener=listener,
            waits=Waits(
                artifacts=artifacts,
                keep=lambda question: _keep(store, journal, run, question),
                recall=lambda path: read_question(store, run, path),
                used=_used(store, run) if continued else set(),
                note=books.note,
            ),
            pause_after=core.pause_after if pause_after is None else pause_after,
            terminal=session.terminal,
        )
        listener.run_started(manifest, continued=continued)
        if note := spawn_note(plan.flow, session.settings):
            books.note(note, level="info")
        for name in hooks.left_out:
            books.note(f"left out of the steps' processes: {name}", level="info")
        try:
            state = driver.run()
            books.flush_logs()
            add_end(store, journal, run, ownership.fence, state, machine.root_cause)
        except DovetailError as error:
            _tell_way_on(error, run)
            raise
        listener.run_ended(state, machine.root_cause)
    return RunResult(run=run, state=state, root_cause=machine.root_cause)


def usable_cpus() -> int:
    """Processors that this process may use, at least two so that a waiting task holds nothing up."""
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:  # not on this platform
        count = os.cpu_count() or 1
    return max(2, count)


# -- beginning --------------------------------------------------------------------------------------------------------


def _run_info(manifest: RunManifest, *, continued: bool) -> RunInfo:
    return RunInfo(
        run=manifest.run,
        flow=manifest.flow,
        user=manifest.user,
        tags=manifest.tags,
        parameters={name: shown(ref) for name, ref in manifest.parameters.items()},
        origin=manifest.origin,
        continued=continued,
    )


def _facts(session: Session, manifest: RunManifest, plan: RunPlan, hooks: Mapping[str, Any]) -> RunFacts:
    core = session.settings.core
    return RunFacts(
        run=manifest.run,
        flow=manifest.flow,
        origin=manifest.origin,
        namespace=f"user:{manifest.user}",
        username=manifest.user,
        tags=manifest.tags,
        parameters=tuple(p.name for p in plan.flow.parameters),
        stores=plan.plans.stores,
        home=str(session.settings.home),
        settings={
            "environment_variables": {step: dict(env) for step, env in plan.plans.step_env.items() if env},
            "store": plan.store,
            "child_hooks": hooks,
            "plugins": plan.plugins,
            "artifacts": core.artifacts.policy,
            "signing": core.artifacts.signing,
            "metadata": session.settings.select("metadata", None, None).to_plain(),
        },
    )


def _root(manifest: RunManifest) -> Scope:
    """Parameters and constants as the outermost scope."""
    plain = {**manifest.description["constants"], **manifest.parameters}
    return root_scope({name: ref_from_plain(ref) for name, ref in plain.items()})


def _call_keeper(
    session: Session, store: DataStore, journal: Journal, run: str, plan: RunPlan
) -> Callable[[StepDescription], None]:
    """Keeps of called tasks what the run's description does not tell: their code, and where their values go."""
    described = {step.code_key for step in plan.flow.steps}
    pinned = set(plan.plans.stores)

    def keep(step: StepDescription) -> None:
        if step.code_key not in described:
            described.add(step.code_key)
            from dovetail.artifacts.called_tasks import put_called_task

            journal.touched([put_called_task(store, run, step)])
        for uuid, pin in plan.plans.stores.items():
            if uuid not in pinned:
                pinned.add(uuid)
                from dovetail.artifacts.store_pins import put_store_pin

                plugins = session.settings.registry.closure([("datastore", str(pin["backend"]))])
                if plugins:  # workers that begin from now on get it with the facts
                    pin = plan.plans.stores[uuid] = {**pin, "plugins": plugins}
                journal.touched([put_store_pin(store, run, uuid, pin)])
                _tell_guest(journal, plan, uuid)

    return keep


def _keep_hooks(store: DataStore, run: str, path: str, plan: StepPlan) -> str:
    """Put the hooks of a single call on record; the key."""
    from dovetail.artifacts.call_hooks import CallHooks, put_call_hooks

    said = CallHooks(subject=f"{plan.code.module}:{plan.code.name}", hooks=plan.hooks)
    return put_call_hooks(store, run, path, said)


def _tell_guest(journal: Journal, plan: RunPlan, uuid: str, session: Session | None = None) -> None:
    """Say in another data store where the run is, before it gets a value: its collector must know."""
    if uuid == plan.store:
        return
    from dovetail.artifacts.guests import put_guest

    pin = plan.plans.stores[plan.store]
    if uuid in plan.plans.datastores:
        journal.touched([put_guest(plan.plans.datastores[uuid], plan.store, pin)], uuid)
    elif session is not None:  # one that only values which are reused lie in
        with suppress(DovetailError):
            place = session.open(Selection.from_plain("datastore", plan.plans.stores[uuid]))
            if read_marker(place).uuid == uuid:
                put_guest(place, plan.store, pin)


def _reopen(session: Session, plan: RunPlan, name: str, facts: RunFacts) -> WorkerGroup:
    selection, python, env = plan.plans.launches[name]
    group = session.open_group(selection, python=python, env=env)
    wait_described(group, str(session.source.file))
    group.begin(facts)
    return group


def _keep(store: DataStore, journal: Journal, run: str, question: Question) -> Question:
    """Put a question on record; the one that counts."""
    kept, key = put_question(store, run, question)
    journal.touched([key])
    return kept


def _used(store: DataStore, run: str) -> set[str]:
    """Signals that are on record as used; no record is read of a run that never asked."""
    asked = next(question_paths(store, run), None) is not None
    return used_signals(read_records(store, run)) if asked else set()


def _tell_way_on(error: DovetailError, run: str) -> None:
    """What ended the driver does not end the run: say how to go on with it."""
    hint = error.hint or ""
    if f"dovetail resume {run}" not in hint:
        error.hint = f"{hint} Go on with: dovetail resume {run}".strip()
