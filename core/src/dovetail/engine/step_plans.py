"""Resolves the choices for one step: backends, options, environment, data store, and the workers that run it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from dovetail.artifacts.manifest import open_store
from dovetail.engine.calls import StepPlan
from dovetail.interfaces.environment import EnvironmentSpec
from dovetail.interfaces.limits import SupportsLimits
from dovetail.interfaces.metadata import MetadataCapability
from dovetail.interfaces.problems import Problem
from dovetail.interfaces.tasks import CodeRef, Isolation, Policy, Resources

if TYPE_CHECKING:
    from dovetail.engine.session import Session
    from dovetail.interfaces.datastore import DataStore
    from dovetail.interfaces.environment import LockedEnvironment
    from dovetail.interfaces.flow import FlowDescription, StepDescription
    from dovetail.interfaces.metadata import MetadataProvider
    from dovetail.interfaces.workers import WorkerGroup
    from dovetail.settings import Selection

__all__ = ["CALLER", "NO_FILE", "NO_LIMIT", "Here", "StepPlans", "current_platform"]

Here: TypeAlias = Literal["nothing", "steps", "everything"]
"""What is run by the process that called the flow: `steps` are those of a class flow, and the body of a function flow;
`everything` are the tasks too that would have a process of their own."""
CALLER = "caller"
"""Name of the group of that process."""
NO_FILE = "flow-file"
"""Code of a problem that only matters when the task is called."""
NO_LIMIT = "limit"
"""Code of another one: a limit is not defined, or has too few slots."""

_WAIT_KEY = b"dovetail-wait-1".ljust(32, b"\0")


def current_platform() -> str:
    """This machine's platform, such as `linux-64`."""
    import os

    system = {"linux": "linux", "darwin": "osx", "win32": "win"}.get(sys.platform, sys.platform)
    if hasattr(os, "uname"):
        machine = os.uname().machine.lower()
    else:
        import platform  # costs more than the rest of this module

        machine = platform.machine().lower()
    return f"{system}-{ {'x86_64': '64', 'amd64': '64', 'arm64': 'arm64', 'aarch64': 'aarch64'}.get(machine, machine) }"


class StepPlans:
    """Choices of the steps of one run; what they share is opened once.

    Args:
        session: The opened backends.
        flow: What was described.
        first: The group that described it: it runs the tasks of the flow-level compute and environment.
        debug: Step that runs inline with the terminal attached, `*` for all.
    """

    def __init__(self, session: Session, flow: FlowDescription, first: WorkerGroup, debug: str | None) -> None:
        self._session = session
        self._flow = flow
        self.is_function = flow.style == "function"
        """Whether the flow is a function, whose body calls its tasks."""
        self._first = first
        self._debug = debug
        self._of_caller = session.here
        self._flow_level = session.settings.select("compute", None, None)
        self._locked: dict[str, LockedEnvironment] = {}
        self._taken: dict[str, str] = {}
        self.groups: dict[str, WorkerGroup] = {} if session.here == "nothing" else {CALLER: first}
        """Name → workers that run tasks of one compute instance and environment."""
        self.launches: dict[str, tuple[Selection, tuple[str, ...], Mapping[str, str]]] = {}
        """Name of a group → how it is opened again."""
        self.datastores: dict[str, DataStore] = {}
        """Store uuid → store."""
        self.stores: dict[str, Mapping[str, Any]] = {}
        """Store uuid → how a worker or reader opens it, without credentials."""
        self.step_env: dict[str, Mapping[str, str]] = {}
        """Step → environment variables."""
        self.environments: dict[str, Mapping[str, Any]] = {}
        """Step → {builder, id, python, platform}."""
        self.pinned: dict[str, Any] = {}
        """Step → resolved selections, JSON-able, without secrets."""
        self._limits: Mapping[str, int] | None = None
        self.problems: list[Problem] = []
        """Choices that can't be met."""

    def plan(self, step: StepDescription) -> StepPlan:
        """What every task of a step shares. What can't be met is added to `problems`."""
        session, flow = self._session, self._flow
        settings = session.settings
        if step.kind == "wait":
            return self._wait_plan(step)
        options = settings.step_options(step, flow)
        compute = settings.select("compute", step, flow)
        environment = settings.select("environment", step, flow)
        locked = self._lock(environment)
        is_task = step.kind == "task"
        group = self._group(compute, environment, locked, of_caller=not is_task)
        isolation, timeout = options.isolation, options.timeout
        here = ""
        if is_task:
            undeclared = "isolation.kind" not in options.sources
            here = self._here(isolation, group, undeclared=undeclared and timeout is None)
            if not here and session.source.refusal:
                self.problems.append(_no_file(step, session.source.refusal))
        elif self._of_caller != "nothing":
            isolation = Isolation.INLINE
        if self._of_caller == "everything":
            isolation, timeout = Isolation.INLINE, None
        if self._debug in ("*", step.name) and not here:
            isolation, timeout = Isolation.INLINE, None
        if timeout is not None and isolation in (Isolation.THREAD, Isolation.INLINE):
            self.problems.append(_no_timeout(step, isolation))
        module, name = (step.module, step.qualname) if is_task else (flow.module, f"{flow.name}.{step.name}")
        if is_task and not here and not step.qualname:
            self.problems.append(_no_address(step, isolation))
        self.step_env[step.name] = options.env
        self.environments[step.name] = {
            "builder": locked.builder,
            "id": locked.id,
            "python": locked.python,
            "platform": locked.platform,
        }
        known = flow.by_name.get(step.name)
        self.pinned[step.name] = {"compute": compute.to_plain(), "environment": environment.to_plain()}
        return StepPlan(
            code=CodeRef(module=module, name=name, key=bytes.fromhex(step.code_key)),
            environment=locked.id,
            resources=options.resources,
            backend=compute.instance,
            datastore=self.take_store(settings.select("datastore", step, flow)),
            isolation=isolation,
            policy=replace(options.policy, timeout=timeout),
            group=group,
            here=here,
            hooks=step.hooks,
            own_hooks=bool(step.hooks) and (known is None or known.hooks != step.hooks),
            limits=self._needed(step, options.limits),
        )

    def _needed(self, step: StepDescription, limits: Mapping[str, int]) -> Mapping[str, int]:
        """The limits that a step's tasks need. The body of a function flow needs none: its tasks do, beside it."""
        if not limits or (self._flow.style == "function" and step.name == self._flow.start):
            return {}
        known = self._limits
        if known is None or any(known.get(name, 0) < occupy for name, occupy in limits.items()):
            provider = self._session.metadata()
            known = self._limits = defined_limits(provider)  # perhaps it was defined meanwhile
            if known is None:
                self.problems.append(_no_limits(step, next(iter(limits)), provider))
                return limits
        for name, occupy in limits.items():
            if known.get(name, 0) < occupy:
                self.problems.append(_no_limit(step, name, occupy, known.get(name)))
        return limits

    def _wait_plan(self, step: StepDescription) -> StepPlan:
        """Of a wait: nothing runs, and its key never changes, so that a run that waited outlives an upgrade."""
        return StepPlan(
            code=CodeRef(module=step.module, name=step.name, key=_WAIT_KEY),
            environment="",
            resources=Resources(),
            backend="",
            datastore=self.take_store(self._session.settings.select("datastore", None, self._flow)),
            isolation=Isolation.INLINE,
            policy=Policy(),
            waits=True,
        )

    def take_store(self, selection: Selection) -> str:
        """UUID of a selected data store, which the run uses."""
        key = repr(selection.to_plain())
        uuid = self._taken.get(key)
        if uuid is None:
            opened: DataStore = self._session.open(selection)
            uuid = self._taken[key] = open_store(opened)
            self.datastores[uuid] = opened
            self.stores[uuid] = {"url": opened.url, **selection.to_plain()}
        return uuid

    def _group(self, compute: Selection, environment: Selection, locked: LockedEnvironment, *, of_caller: bool) -> str:
        """Name of the workers for a compute instance and an environment.

        Args:
            of_caller: Whether the caller's process takes it, where there is one.
        """
        if self._of_caller == "everything" or (of_caller and self._of_caller == "steps"):
            return CALLER
        python, env = self._python(environment, locked)
        shared = python == (sys.executable,) and not env and compute.same(self._flow_level)
        if shared and self._of_caller == "steps":
            return CALLER
        name = f"{compute.to_plain()!r} {locked.id}"
        if name not in self.groups and not self._session.source.refusal:
            self.groups[name] = self._first if shared else self._open_group(compute, python, env)
            self.launches[name] = (compute, python, env)
        return name

    def _open_group(self, compute: Selection, python: tuple[str, ...], env: Mapping[str, str]) -> WorkerGroup:
        if self._of_caller == "nothing":
            return self._session.open_group(compute, python=python, env=env)
        from dovetail.engine.late_group import LateGroup

        return LateGroup(lambda: self._session.open_group(compute, python=python, env=env))

    def _here(self, isolation: Isolation, group: str, *, undeclared: bool) -> str:
        """How the process that calls a task runs it: `inline`, `thread`, `either`; empty: another process does."""
        if self._of_caller == "everything":
            return isolation.value if isolation in (Isolation.INLINE, Isolation.THREAD) else "either"
        if self.groups.get(group) is not self._first:
            return ""
        if undeclared:
            return "either"
        return isolation.value if isolation in (Isolation.INLINE, Isolation.THREAD) else ""

    def _lock(self, selection: Selection) -> LockedEnvironment:
        key = repr(selection.to_plain())
        locked = self._locked.get(key)
        if locked is None:
            builder = self._session.open(selection)
            spec = EnvironmentSpec(options=selection.settings, root=self._session.source.file.parent)
            locked = self._locked[key] = builder.lock(spec, platform=current_platform())
        return locked

    def _python(self, selection: Selection, locked: LockedEnvironment) -> tuple[tuple[str, ...], Mapping[str, str]]:
        session = self._session
        built = session.open(selection).build(locked, into=session.settings.home / "environments" / locked.id)
        return built.python, built.env


def _no_timeout(step: StepDescription, isolation: Isolation) -> Problem:
    return Problem(
        code="timeout-isolation",
        message=f"{step.kind} {step.name} has a timeout, but isolation {isolation} can't be killed from outside",
        fix=f"Use isolation fork or spawn for this {step.kind}, or drop the timeout.",
        file=step.file,
        line=step.line,
    )


def defined_limits(provider: MetadataProvider) -> Mapping[str, int] | None:
    """Limit → slots; a limit without slots, which holds everybody up for now, as if it had any number. None where
    the provider has no limits."""
    if MetadataCapability.LIMITS not in provider.capabilities or not isinstance(provider, SupportsLimits):
        return None
    return {limit.name: limit.slots or sys.maxsize for limit in provider.limits()}


def _no_limit(step: StepDescription, name: str, occupy: int, slots: int | None) -> Problem:
    have = "is not defined" if slots is None else f"has {slots}"
    return Problem(
        code=NO_LIMIT,
        message=f"{step.kind} {step.name} needs {occupy} of limit {name}, which {have}",
        fix=f"Define it with: dovetail limits set {name} {occupy}",
        file=step.file,
        line=step.line,
    )


def _no_limits(step: StepDescription, name: str, provider: MetadataProvider) -> Problem:
    return Problem(
        code=NO_LIMIT,
        message=f"{step.kind} {step.name} needs limit {name}, and {provider!r} has no limits",
        fix="Take @limit away, or choose another metadata provider.",
        file=step.file,
        line=step.line,
    )


def _no_file(step: StepDescription, why: str) -> Problem:
    return Problem(
        code=NO_FILE,
        message=f"task {step.name} shall run in another process, which imports the flow, and {why}",
        fix="Put the flow and its tasks into a file and import that, or give the task isolation inline or thread.",
        file=step.file,
        line=step.line,
    )


def _no_address(step: StepDescription, isolation: Isolation) -> Problem:
    return Problem(
        code="task-address",
        message=f"task {step.name} shall run in another process (isolation {isolation}), which can't find it: it is "
        "no top-level name of its module",
        fix="Define it at the top level of a module, or give it isolation inline or thread.",
        file=step.file,
        line=step.line,
    )
