"""Resumes a run: continues it under its own id when nothing changed, else starts one that reuses by key."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dovetail.artifacts.manifest import open_store, read_manifest
from dovetail.artifacts.packing import ref_from_plain
from dovetail.artifacts.records import CommitRecord
from dovetail.artifacts.reports import reported_paths
from dovetail.artifacts.segments import read_records
from dovetail.artifacts.store import ArtifactStore
from dovetail.artifacts.store_pins import is_harmless, read_store_pins
from dovetail.engine.describe import check, check_parameters
from dovetail.engine.execute import execute
from dovetail.engine.launch import describe_source, new_manifest
from dovetail.engine.listener import RunListener
from dovetail.engine.newest import newest_unfinished
from dovetail.engine.ownership import lease_name
from dovetail.engine.parameters import parse_parameters, resolve_parameters
from dovetail.engine.plan import plan_run
from dovetail.engine.recorded import Recorded
from dovetail.engine.session import FlowSource, Session
from dovetail.interfaces.dataclass import dataclass
from dovetail.interfaces.errors import NotFoundError, PluginError, UnknownNameError, UsageError
from dovetail.interfaces.events import Event, EventKind
from dovetail.interfaces.flow import FlowDescription
from dovetail.interfaces.metadata import Query
from dovetail.interfaces.states import RunState
from dovetail.settings import Selection

if TYPE_CHECKING:
    from dovetail.artifacts.manifest import RunManifest
    from dovetail.engine.execute import RunResult
    from dovetail.engine.plan import RunPlan
    from dovetail.interfaces.datastore import DataStore
    from dovetail.interfaces.metadata import MetadataProvider
    from dovetail.settings import Settings

__all__ = ["CONTINUED", "ResumeRequest", "find_run", "resume_run", "store_of"]

CONTINUED = frozenset({RunState.LOST, RunState.INTERRUPTED, RunState.PAUSED})
"""States of runs that go on under their own id."""
ORIGINS_READ = 16
"""How many generations of resumed runs are looked through for records."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeRequest:
    """What a user asks for."""

    run: str | None = None
    """Run id or a unique prefix; None: the newest run that has not succeeded, see `newest_unfinished`."""
    flow: str | None = None
    """Only a run of the flow of this name."""
    file: Path | None = None
    """The flow's file; None: where the run was started from."""
    argv: Sequence[str] = ()
    """Options of the flow's parameters that shall differ."""
    rerun: frozenset[str] = frozenset()
    """Steps that run whatever is recorded, with all that follows from what they change."""
    ignore_code: frozenset[str] = frozenset()
    """Steps whose records are reused though their code changed; `*`: all."""
    ignore_plugins: bool = False
    """Whether a new run reuses records though installed plugins are not those that the run pins."""
    tags: tuple[str, ...] = ()
    """Further user tags of a new run."""
    max_workers: int | None = None
    """Attempts at the same time; None: as set."""
    on_failure: str | None = None
    """What follows a failure; None: as set."""
    pause_after: float | None = None
    """Seconds that input is waited for with nothing else to do; None: as set."""
    run_id_file: Path | None = None
    """File that gets the run id once the run is registered."""
    same_run: bool = False
    """Whether only the run itself may go on, and no new one take its place."""


def resume_run(
    settings: Settings,
    request: ResumeRequest,
    listener: RunListener,
    *,
    session_of: Callable[[Settings, FlowSource], Session] = Session,
) -> RunResult:
    """Resume a run and drive it to its end.

    Args:
        settings: The resolved layers.
        request: What the user asks for.
        listener: Told what happens here.
        session_of: Makes the session, for a flow that was imported otherwise.

    Raises:
        UsageError: There is no such run, or it is being driven.
        ValidationError: The flow as it is now has problems; nothing was started.
    """
    opened = session_of(settings, FlowSource(file=request.file or Path()))
    provider = opened.metadata()
    origin, state = find_run(provider, opened.datastore(), request)
    store = store_of(provider, opened, origin)
    manifest = read_manifest(store, origin)
    late = read_store_pins(store, origin)
    changed = _check_plugins(manifest, late, request)
    if request.file is None and settings.core.artifacts.distrusts_store:
        raise UsageError(
            f"only the data store says which file run {origin} was started from, and safe mode runs none that it names",
            hint=f"Name the file: dovetail resume {Path(manifest.info['file'] or 'FILE').name} {origin}",
        )
    file = request.file or Path(manifest.info["file"])
    if request.file is None and not manifest.info["file"]:
        raise UsageError(
            f"run {origin} of {manifest.flow} has no file to go on with: the flow was typed in, not imported",
            hint=f"Put {manifest.flow} into a file and name it: dovetail resume FILE {origin}",
        )
    if not file.exists():
        raise UsageError(
            f"run {origin} was started from {file}, which is not there",
            hint=f"Name the file: dovetail resume {file.name} {origin}",
        )
    session = session_of(settings, FlowSource(file=file, name=manifest.flow, hash_seed=manifest.info["hash_seed"]))
    session.adopt(opened)
    try:
        flow, group = describe_source(session, listener)
        check(flow, settings)
        _check_steps(flow, request.rerun | (request.ignore_code - {"*"}))
        given = parse_parameters(flow, request.argv)
        check_parameters(group, flow, given, str(file), listener.output)
        plan = plan_run(session, flow, group, debug=None)
        home = open_store(store)
        stores = _pinned_now({**manifest.stores, **late}, settings)
        if settings.core.artifacts.distrusts_store:  # others are opened where settings name them
            stores = {uuid: pin for uuid, pin in stores.items() if is_harmless(pin)}
        plan = _with_plugins_of(plan, stores.values(), settings)
        plan.plans.stores = {**stores, **plan.plans.stores}
        plan.plans.datastores.setdefault(home, store)
        artifacts = ArtifactStore(plan.plans.datastores, default=plan.store, **settings.core.artifacts.policy)
        pinned, opaque = _pinned(manifest, artifacts)
        known = {p.name for p in flow.parameters}
        kept = {name: value for name, value in pinned.items() if name in known}
        passed_on = {name: ref for name, ref in opaque.items() if name in known - given.keys()}
        asked_for = replace(flow, parameters=tuple(p for p in flow.parameters if p.name not in passed_on))
        values = resolve_parameters(asked_for, {**kept, **given})
        same = passed_on == opaque and home == plan.store and values == pinned and _unchanged(manifest, plan)
        same = same and manifest.plugins == plan.plugins
        continued = same and state in CONTINUED and not request.rerun
        if request.same_run and not continued:
            changed_now = "its plugins have" if manifest.plugins != plan.plugins else "the flow has"
            why = f"it is {state}" if same else f"{changed_now} changed since"
            raise UsageError(
                f"run {origin} can't go on as it is: {why}",
                hint=f"A new run reuses what it did, and asks again: dovetail resume {origin}",
            )
        if continued:
            _let_go_on(provider, origin)
            # A run that itself resumed another one goes on to reuse from that as it was asked to.
            before = _manifest(store, manifest.origin)
        else:
            before = manifest
            tags = sorted({*manifest.tags, *request.tags})
            manifest = new_manifest(
                session, plan, values, tags=tags, origin=origin, saved=passed_on, parent=manifest.info.get("parent")
            )
            asked = {"from": sorted(request.rerun), "ignore_code": sorted(request.ignore_code)}
            asked["ignore_plugins"] = sorted(changed)
            manifest = replace(manifest, info={**manifest.info, **{name: of for name, of in asked.items() if of}})
        damaged: list[str] = []
        recorded = Recorded(
            run=manifest.run,
            own=read_records(store, origin, problems=damaged) if continued else (),
            origins=_origin_records(store, before, damaged),
            failed=() if before is None else reported_paths(store, before.run),
            rerun=frozenset(manifest.info.get("from", ())),
            ignore_code=frozenset("" if step == "*" else step for step in manifest.info.get("ignore_code", ())),
            open_sequence=artifacts.open_sequence,
            parts={} if before is None else _parts(FlowDescription.from_plain(before.description)),
            present_parts=_parts(flow),
        )
        for problem in damaged:
            listener.note(f"{problem}; what was recorded there runs again")
        return execute(
            session,
            manifest,
            plan,
            listener=listener,
            continued=continued,
            recorded=recorded,
            max_workers=request.max_workers,
            on_failure=request.on_failure,
            pause_after=request.pause_after,
            run_id_file=request.run_id_file,
        )
    finally:
        session.close()


def _pinned(manifest: RunManifest, artifacts: ArtifactStore) -> tuple[dict[str, Any], dict[str, Any]]:
    """(values of a run's parameters, plain references of those that are no plain data).

    The latter come from a flow that was called. They are handed on as they are: only a process that has imported the
    flow may load them.
    """
    values: dict[str, Any] = {}
    opaque: dict[str, Any] = {}
    for name, plain in manifest.parameters.items():
        ref = ref_from_plain(plain)
        if ref.serializer == "json":
            values[name] = artifacts.load(ref)
        else:
            opaque[name] = plain
    return values, opaque


def find_run(provider: MetadataProvider, store: DataStore, request: ResumeRequest) -> tuple[str, RunState]:
    """The run to resume, and its state as it really is."""
    columns = ("run", "state")
    if request.run is not None:
        page = provider.query(Query(kind="runs", run=request.run, limit=3), columns=columns)
        if not page.rows:
            raise UnknownNameError(f"there is no run {request.run}", hint="dovetail runs lists them.")
        if len(page.rows) > 1:
            raise UsageError(f"{request.run} is the beginning of several run ids", hint="Give more of it.")
        run, state = page.rows[0]
    else:
        run, state = newest_unfinished(provider, store, flow=request.flow, file=request.file)
    if state in (None, "", RunState.RUNNING.value):  # without a state: killed before its journal began
        if any(lease.name == lease_name(run) for lease in provider.leases(lease_name(run))):
            raise UsageError(
                f"run {run} is being driven by another process",
                hint=f"Follow it with: dovetail logs {run} --follow",
            )
        return run, RunState.LOST
    return run, RunState(state)


def store_of(provider: MetadataProvider, session: Session, run: str) -> DataStore:
    """The data store that a run keeps its records in: the present one, or the one that its journal names."""
    page = provider.query(Query(kind="runs", run=run), columns=("info",))
    pinned = (page.rows[0][0] or {}).get("store") if page.rows else None
    if not isinstance(pinned, Mapping) or pinned["uuid"] == open_store(session.datastore()):
        return session.datastore()
    store: DataStore = session.open(Selection.from_plain("datastore", pinned))
    return store


def _let_go_on(provider: MetadataProvider, run: str) -> None:
    """Hold a run no longer: who continues it means it to go on."""
    page = provider.query(Query(kind="runs", run=run), columns=("info",))
    if page.rows and (page.rows[0][0] or {}).get("held"):
        provider.append(run, [Event(f"resume-{os.urandom(8).hex()}", 1, EventKind.UNPAUSE, time.time())])


def _check_steps(flow: FlowDescription, named: frozenset[str]) -> None:
    from difflib import get_close_matches

    for name in named:
        if name not in flow.by_name:
            near = get_close_matches(name, list(flow.by_name), n=1)
            raise UnknownNameError(
                f"{flow.name} has no {flow.noun} {name}",
                hint=f"Did you mean {near[0]}?" if near else f"It has {', '.join(flow.by_name)}.",
            )


def _check_plugins(
    manifest: RunManifest, late: Mapping[str, Mapping[str, Any]], request: ResumeRequest
) -> Mapping[str, str]:
    """Distribution → how the installed plugin differs from the pinned one, where that shall not matter.

    Args:
        manifest: What the run pins.
        late: The data stores that it came to use later; these pin their plugins themselves.
        request: What the user asks for.

    Raises:
        PluginMismatchError: One differs, and it shall.
    """
    from dovetail.plugins.closure import check_closure, differences

    pinned = dict(manifest.plugins)
    for pin in (*manifest.stores.values(), *late.values()):
        pinned.update(pin.get("plugins", {}))
    if request.ignore_plugins:
        return differences(pinned, missing=True)
    otherwise = f"Or reuse what was done with it in a new run: dovetail resume {manifest.run} --ignore plugins"
    asker = f"run {manifest.run} is not resumed with other plugins"
    check_closure(pinned, missing=True, asker=asker, otherwise=otherwise)
    return {}


def _with_plugins_of(plan: RunPlan, pins: Iterable[Mapping[str, Any]], settings: Settings) -> RunPlan:
    """The plan with the plugins of data stores that the run has from before: settings need not choose them any more."""
    if not settings.registry.has_plugins:
        return plan
    plugins = dict(plan.plugins)
    for pin in pins:
        if "plugins" not in pin:  # else it pins them itself
            with suppress(PluginError):  # as in `_pinned_now`
                plugins.update(settings.registry.closure([("datastore", str(pin["backend"]))]))
    return replace(plan, plugins=plugins)


def _pinned_now(pins: Mapping[str, Mapping[str, Any]], settings: Settings) -> dict[str, Mapping[str, Any]]:
    """Pins of data stores, each with the plugin that is installed: whether it may be another one is settled."""
    found = {}
    for uuid, pin in pins.items():
        if "plugins" in pin:
            with suppress(PluginError):  # it may not be needed again; who needs it says what is wrong
                pin = {**pin, "plugins": settings.registry.closure([("datastore", str(pin["backend"]))])}
        found[uuid] = pin
    return found


def _unchanged(manifest: RunManifest, plan: RunPlan) -> bool:
    """Whether graph, code keys and environments equal the pinned ones."""
    return _shape(FlowDescription.from_plain(manifest.description)) == _shape(plan.flow) and {
        step: e["id"] for step, e in manifest.environments.items()
    } == {step: e["id"] for step, e in plan.plans.environments.items()}


def _shape(flow: FlowDescription) -> dict[str, Any]:
    """What of a flow decides how a run goes, apart from where it is written."""
    return {
        step.name: (
            step.is_join,
            step.code_key,
            [replace(transition, line=0).to_plain() for transition in step.transitions],
        )
        for step in flow.steps
    }


def _parts(flow: FlowDescription) -> dict[str, Mapping[str, str]]:
    return {step.name: step.code_parts for step in flow.steps}


def _origin_records(
    store: DataStore, manifest: RunManifest | None, problems: list[str]
) -> Iterator[Iterator[CommitRecord]]:
    """Records of the run and of those that it resumed, the newest run first."""
    for _ in range(ORIGINS_READ):
        if manifest is None:
            return
        yield read_records(store, manifest.run, problems=problems)
        manifest = _manifest(store, manifest.origin)


def _manifest(store: DataStore, run: str | None) -> RunManifest | None:
    """What a run pins; None where there is no such run, or none any more."""
    try:
        return None if run is None else read_manifest(store, run)
    except NotFoundError:
        return None
