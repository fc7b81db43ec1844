"""Resolves every choice of a run once: backends, options, environments and stores of each step."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from dovetail.artifacts.manifest import open_store
from dovetail.engine.calls import StepPlan
from dovetail.interfaces.environment import EnvironmentSpec
from dovetail.interfaces.errors import ValidationError
from dovetail.interfaces.problems import Problem
from dovetail.interfaces.tasks import CodeRef, Isolation
from dovetail.settings.kinds import DEFAULTS

if TYPE_CHECKING:
    from dovetail.engine.session import Session
    from dovetail.interfaces.datastore import DataStore
    from dovetail.interfaces.environment import LockedEnvironment
    from dovetail.interfaces.flow import FlowDescription, StepDescription
    from dovetail.interfaces.workers import WorkerGroup
    from dovetail.settings import Selection

__all__ = ["RunPlan", "current_platform", "plan_run"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """Every choice of a run."""

    flow: FlowDescription
    """The flow."""
    steps: Mapping[str, StepPlan]
    """Step → what its tasks share."""
    group_of: Mapping[str, str]
    """Step → name of the group that runs its tasks."""
    groups: dict[str, WorkerGroup]
    """Name → workers that run tasks of one compute instance and environment."""
    launches: Mapping[str, tuple[Selection, tuple[str, ...], Mapping[str, str]]]
    """Name of a group → how it is opened again."""
    step_env: Mapping[str, Mapping[str, str]]
    """Step → environment variables."""
    datastores: Mapping[str, DataStore]
    """Store uuid → store."""
    store: str
    """UUID of the run's data store."""
    stores: Mapping[str, Mapping[str, Any]]
    """Store uuid → how a worker or reader opens it, without credentials."""
    environments: Mapping[str, Mapping[str, Any]]
    """Step → {builder, id, python, platform}."""
    code: Mapping[str, Any]
    """Step → code key, and the code package's key."""
    plugins: Mapping[str, Any]
    """Distributions that the choices come from, by name."""
    pinned: Mapping[str, Any]
    """Resolved settings, JSON-able, without secrets."""


def current_platform() -> str:
    """This machine's platform, such as `linux-64`."""
    system = {"linux": "linux", "darwin": "osx", "win32": "win"}.get(sys.platform, sys.platform)
    machine = _machine().lower()
    return f"{system}-{ {'x86_64': '64', 'amd64': '64', 'arm64': 'arm64', 'aarch64': 'aarch64'}.get(machine, machine) }"


def _machine() -> str:
    if hasattr(os, "uname"):
        return os.uname().machine
    import platform  # costs more than the rest of this module

    return platform.machine()


def plan_run(session: Session, flow: FlowDescription, first: WorkerGroup, *, debug: str | None) -> RunPlan:
    """Resolve every choice of a run.

    Args:
        session: The opened backends.
        flow: What was described; valid.
        first: The group that described it: it runs the tasks of the flow-level compute and environment.
        debug: Step that runs inline with the terminal attached, `*` for all.

    Raises:
        ValidationError: A choice can't be met; all that can't, at once.
    """
    settings = session.settings
    steps: dict[str, StepPlan] = {}
    group_of: dict[str, str] = {}
    groups: dict[str, WorkerGroup] = {}
    launches: dict[str, tuple[Selection, tuple[str, ...], Mapping[str, str]]] = {}
    environments: dict[str, Mapping[str, Any]] = {}
    locked_by: dict[str, LockedEnvironment] = {}
    stores: dict[str, Mapping[str, Any]] = {}
    datastores: dict[str, DataStore] = {}
    step_env: dict[str, Mapping[str, str]] = {}
    pinned: dict[str, Any] = {}
    chosen: set[tuple[str, str]] = set()
    problems: list[Problem] = []

    def take_store(selection: Selection) -> str:
        chosen.add((selection.kind, selection.backend))
        opened: DataStore = session.open(selection)
        uuid = open_store(opened)
        datastores[uuid] = opened
        stores[uuid] = {"url": opened.url, **selection.to_plain()}
        return uuid

    flow_level = settings.select("compute", None, None)
    run_store = take_store(settings.select("datastore", None, flow))
    if debug not in (None, "*") and debug not in flow.by_name:
        raise ValidationError(
            f"--debug={debug}: {flow.name} has no such step", hint=f"Steps: {', '.join(flow.by_name)}"
        )
    for step in flow.steps:
        options = settings.step_options(step, flow)
        compute = settings.select("compute", step, flow)
        environment = settings.select("environment", step, flow)
        chosen.update((one.kind, one.backend) for one in (compute, environment))
        locked = _lock(session, environment, locked_by)
        python, env = _python(session, environment, locked)
        name = f"{compute.to_plain()!r} {locked.id}"
        if name not in groups:
            shared = python == (sys.executable,) and not env and compute.same(flow_level)
            groups[name] = first if shared else session.open_group(compute, python=python, env=env)
            launches[name] = (compute, python, env)
        group_of[step.name] = name
        isolation, timeout = options.isolation, options.timeout
        if debug in ("*", step.name):
            isolation, timeout = Isolation.INLINE, None
        if timeout is not None and isolation in (Isolation.THREAD, Isolation.INLINE):
            problems.append(_no_timeout(step, isolation))
        steps[step.name] = StepPlan(
            code=CodeRef(module=flow.module, name=f"{flow.name}.{step.name}", key=bytes.fromhex(step.code_key)),
            environment=locked.id,
            resources=options.resources,
            backend=compute.instance,
            datastore=take_store(settings.select("datastore", step, flow)),
            isolation=isolation,
            policy=replace(options.policy, timeout=timeout),
        )
        step_env[step.name] = options.env
        environments[step.name] = {
            "builder": locked.builder,
            "id": locked.id,
            "python": locked.python,
            "platform": locked.platform,
        }
        pinned[step.name] = {"compute": compute.to_plain(), "environment": environment.to_plain()}
    if problems:
        raise ValidationError(f"{flow.name} can't run:", problems=problems)
    # A constant that is too large to be inline is stored by the first worker, in the run's own data store.
    constants = {name: {**ref, "object": run_store} if "object" in ref else ref for name, ref in flow.constants.items()}
    return RunPlan(
        flow=replace(flow, constants=constants),
        steps=steps,
        group_of=group_of,
        groups=groups,
        launches=launches,
        step_env=step_env,
        datastores=datastores,
        store=run_store,
        stores=stores,
        environments=environments,
        code={"steps": {step.name: step.code_key for step in flow.steps}, "sources": dict(flow.sources)},
        plugins=_plugins(session, chosen),
        pinned=pinned,
    )


def _plugins(session: Session, chosen: set[tuple[str, str]]) -> dict[str, Any]:
    """The distributions that provide what was chosen; nothing is looked up for the embedded defaults."""
    found: dict[str, Any] = {}
    for kind, backend in sorted(chosen):
        if backend == DEFAULTS[kind]:
            continue
        for record, offer in session.settings.registry.offers(kind):
            if offer.spec.name == backend and offer.status in ("built-in", "ready"):
                found[record.dist] = {"version": record.version, "entry": record.entry, "target": record.target}
    return found


def _lock(session: Session, selection: Selection, known: dict[str, LockedEnvironment]) -> LockedEnvironment:
    key = repr(selection.to_plain())
    locked = known.get(key)
    if locked is None:
        builder = session.open(selection)
        spec = EnvironmentSpec(options=selection.settings, root=session.source.file.parent)
        locked = known[key] = builder.lock(spec, platform=current_platform())
    return locked


def _python(
    session: Session, selection: Selection, locked: LockedEnvironment
) -> tuple[tuple[str, ...], Mapping[str, str]]:
    built = session.open(selection).build(locked, into=session.settings.home / "environments" / locked.id)
    return built.python, built.env


def _no_timeout(step: StepDescription, isolation: Isolation) -> Problem:
    return Problem(
        code="timeout-isolation",
        message=f"step {step.name} has a timeout, but isolation {isolation} can't be killed from outside",
        fix="Use isolation fork or spawn for this step, or drop the timeout.",
        file=step.file,
        line=step.line,
    )
