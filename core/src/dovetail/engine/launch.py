"""Starts a run: describe, validate, resolve every choice once, pin all of it in `run.json`, drive."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dovetail import __version__
from dovetail.artifacts.manifest import RunManifest
from dovetail.artifacts.packing import ref_to_plain
from dovetail.artifacts.store import ArtifactStore
from dovetail.engine.describe import check, check_parameters, wait_described
from dovetail.engine.listener import RunListener
from dovetail.engine.parameters import parse_parameters, resolve_parameters
from dovetail.engine.plan import RunPlan, plan_run
from dovetail.engine.session import Session
from dovetail.engine.tags import resolve_tags
from dovetail.interfaces.dataclass import dataclass
from dovetail.interfaces.runs import new_run_id
from dovetail.packaging.package import build_package
from dovetail.settings.user import username

if TYPE_CHECKING:
    from dovetail.engine.execute import RunResult
    from dovetail.interfaces.flow import FlowDescription
    from dovetail.interfaces.workers import WorkerGroup

__all__ = ["RunRequest", "describe_source", "new_manifest", "parent_tag", "start_run"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What a user asks for."""

    argv: Sequence[str] = ()
    """Options of the flow's parameters."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Values of parameters, over `argv`."""
    tags: tuple[str, ...] = ()
    """User tags."""
    max_workers: int | None = None
    """Attempts at the same time; None: as set."""
    on_failure: str | None = None
    """`finish`, `cancel` or `continue`; None: as set."""
    pause_after: float | None = None
    """Seconds that input is waited for with nothing else to do; None: as set."""
    run_id_file: Path | None = None
    """File that gets the run id once the run is registered."""
    debug: str | None = None
    """Step that runs `inline` with the terminal attached, `*` for all; None: none."""


def describe_source(session: Session, listener: RunListener) -> tuple[FlowDescription, WorkerGroup]:
    """Import the flow with the flow-level compute and open the other backends meanwhile; its description."""
    group = session.begin_import()
    session.datastore()
    session.metadata()
    return wait_described(group, str(session.source.file), listener.output), group


def start_run(session: Session, request: RunRequest, listener: RunListener) -> RunResult:
    """Start a run and drive it to its end; closes the session.

    Raises:
        ValidationError: The flow or the command line has problems; nothing was started.
    """
    try:
        flow, group = describe_source(session, listener)
        check(flow, session.settings)
        given = {**parse_parameters(flow, request.argv), **request.parameters}
        values = resolve_parameters(flow, given)
        check_parameters(group, flow, given, str(session.source.file), listener.output)
        plan = plan_run(session, flow, group, debug=request.debug)
        tags = resolve_tags(session.settings.core, request.tags)
        manifest = new_manifest(session, plan, values, tags=tags)
        from dovetail.engine.execute import execute

        return execute(
            session,
            manifest,
            plan,
            listener=listener,
            max_workers=request.max_workers,
            on_failure=request.on_failure,
            pause_after=request.pause_after,
            run_id_file=request.run_id_file,
        )
    finally:
        session.close()


def new_manifest(
    session: Session,
    plan: RunPlan,
    values: Mapping[str, Any],
    *,
    tags: Sequence[str],
    origin: str | None = None,
    saved: Mapping[str, Any] | None = None,
    parent: str | None = None,
) -> RunManifest:
    """What a new run pins.

    Args:
        session: The opened backends.
        plan: Every choice of the run.
        values: Values of parameters that are still to be saved.
        tags: User tags.
        origin: Run that this one resumes.
        saved: Further parameters, as plain references.
        parent: `run/path` of the task that called the flow.
    """
    import socket

    user, flow = username(), plan.flow
    artifacts = ArtifactStore(plan.plans.datastores, default=plan.store, **session.settings.core.artifacts.policy)
    return RunManifest(
        run=new_run_id(),
        flow=flow.name,
        created=time.time(),
        user=user,
        description=flow.to_plain(),
        parameters={**(saved or {}), **{name: ref_to_plain(artifacts.save(value)) for name, value in values.items()}},
        tags=tuple(sorted(tags)),
        system_tags=(
            *(() if parent is None else (parent_tag(parent),)),
            f"python:{sys.version_info[0]}.{sys.version_info[1]}",
            f"user:{user}",
        ),
        code={**plan.code, **_code_package(artifacts, flow)},
        environments=plan.plans.environments,
        plugins=plan.plugins,
        stores=plan.plans.stores,
        settings=plan.plans.pinned,
        origin=origin,
        info={
            "store": plan.store,
            "host": socket.gethostname(),
            "file": flow.file,
            "module": flow.module,
            "hash_seed": session.source.hash_seed,
            "dovetail": __version__,
            **({} if parent is None else {"parent": parent}),
        },
    )


def parent_tag(parent: str) -> str:
    """System tag of the runs that a task called.

    Args:
        parent: `run/path` of the task.
    """
    return f"parent:{parent}"


def _code_package(artifacts: ArtifactStore, flow: FlowDescription) -> dict[str, Any]:
    """The flow's first-party sources, stored once by content: what ran can be read, whatever became of the files."""
    try:
        package = build_package(flow.sources, flow.file)
    except (OSError, ValueError) as error:  # changed or gone since it was imported: the digests remain
        return {"missing": str(error)}
    return {"package": ref_to_plain(artifacts.save(package.data)), "digest": package.digest, "root": package.root}
