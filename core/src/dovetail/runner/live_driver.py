"""The driver of a process that calls flows: a child of it that drives one run after the other.

It imports no code of the user's: the caller describes the flow, runs its body, and stores its arguments.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
from collections.abc import Mapping
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from dovetail.engine.describe import check
from dovetail.engine.execute import execute
from dovetail.engine.late_group import LateGroup
from dovetail.engine.launch import describe_source, new_manifest, parent_tag
from dovetail.engine.listener import RunListener
from dovetail.engine.plan import RunPlan, plan_run
from dovetail.engine.session import FlowSource, Session
from dovetail.engine.step_plans import CALLER
from dovetail.engine.tags import resolve_tags
from dovetail.interfaces.errors import DovetailError, RunFailedError
from dovetail.interfaces.flow import FlowDescription
from dovetail.interfaces.metadata import Query
from dovetail.interfaces.states import RunState, TaskState
from dovetail.interfaces.workers import RunFacts
from dovetail.local._caller_group import LATE, CallerGroup
from dovetail.settings import Settings
from dovetail.worker.wire import Kind, pack, unpacker

if TYPE_CHECKING:
    from dovetail.artifacts.manifest import RunManifest
    from dovetail.interfaces.tasks import ErrorReport
    from dovetail.interfaces.workers import Output

__all__ = ["CONTROL", "LiveDriver", "main"]

CONTROL: Final = 3
"""Descriptor of the socket that is inherited."""
HOMES_KEPT: Final = 4
"""Folders of local state whose backends are kept open."""


class _Gone(Exception):
    """The caller is gone."""


class _KeptSession(Session):
    """A session whose backends stay open for the runs that follow."""

    def __init__(self, settings: Settings, source: FlowSource, kept: dict[tuple[str, str], Any]) -> None:
        super().__init__(settings, source)
        self._opened = kept

    def close(self) -> None:
        """End the workers; the backends stay."""
        for group in self._groups:
            group.close(grace=1.0)
        self._groups.clear()


class _Listener(RunListener):
    """Counts tasks, and has the caller print what their processes print.

    Args:
        live: Tells the caller.
        here: Path of the body that the caller runs, which prints by itself.
    """

    def __init__(self, live: LiveDriver, here: str) -> None:
        self._live = live
        self._here = here
        self._rest: dict[tuple[str, str], bytes] = {}
        self.tasks = 0

    def task_ended(self, path: str, state: TaskState, attempt: int, error: ErrorReport | None, seconds: float) -> None:
        self.tasks += state.final
        for stream in ("stdout", "stderr"):
            rest = self._rest.pop((path, stream), b"")
            if rest:
                self._show(path, stream, [rest])

    def run_ended(self, state: RunState, root_cause: tuple[str, ErrorReport] | None) -> None:
        path, error = root_cause or ("", None)
        self._live.end(state.value, path, None if error is None else error.to_plain(), self.tasks)

    def output(self, output: Output) -> None:
        if output.path == self._here:
            return
        *lines, rest = (self._rest.pop((output.path, output.stream), b"") + output.data).split(b"\n")
        if rest:
            self._rest[output.path, output.stream] = rest
        if lines:
            self._show(output.path, output.stream, lines)

    def _show(self, path: str, stream: str, lines: list[bytes]) -> None:
        prefix = f"[{path}] " if path else ""
        text = "".join(f"{prefix}{line.decode(errors='replace')}\n" for line in lines)
        self._live.show(stream, text)


class LiveDriver:
    """Takes requests from one caller.

    Args:
        connection: To the caller.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._decoder = unpacker()
        self._kept: dict[tuple[Path, int], dict[tuple[str, str], Any]] = {}
        self._group: CallerGroup | None = None
        self._has_ended = False

    def serve(self) -> None:
        """Drive what is requested until the caller is gone."""
        try:
            while True:
                request = self._receive(Kind.REQUEST)
                refusal = self._run(request)
                if refusal is not None:
                    self._connection.setblocking(True)
                    self._connection.sendall(pack(refusal))
        except (_Gone, OSError):
            return
        finally:
            for kept in self._kept.values():
                _close(kept)

    def show(self, stream: str, text: str) -> None:
        """Have the caller print something."""
        if self._group is not None:
            self._group.tell(pack((Kind.SHOW, stream, text)))

    def end(self, *message: object) -> None:
        """Tell the caller how the run ended, which is on the disk; it need not wait for the cleaning up."""
        assert self._group is not None
        self._has_ended = True
        self._group.tell(pack((Kind.RUN_ENDED, *message)))

    def _receive(self, kind: int) -> Any:
        """The next message of a kind; what a run that is over left behind is passed over."""
        self._connection.setblocking(True)
        while True:
            for message in self._decoder:
                if message[0] == kind:
                    return message[1]
            data = self._connection.recv(1 << 16)
            if not data:
                raise _Gone
            self._decoder.feed(data)

    def _run(self, request: Mapping[str, Any]) -> tuple[object, ...] | None:
        """Drive one run; what the caller is to be told when it could not be driven to its end."""
        run: list[str] = []
        self._has_ended = False
        kept: dict[tuple[str, str], Any] = {}
        try:
            _be_where(request)
            settings = Settings.load()
            kept = self._kept_for(settings.home)
            file = Path(request["file"]) if request["file"] else settings.cwd / "no file"
            source = FlowSource(file=file, name=request["name"], refusal=request["refusal"])
            session = _KeptSession(settings, source, kept)
            try:
                if request["flow"] is None:
                    self._drive_all(session, request, run)
                else:
                    self._drive_beside_body(session, FlowDescription.from_plain(request["flow"]), request, run)
            finally:
                if self._group is not None:
                    self._group.close(grace=1.0)
                    self._group = None
                session.close()
        except (_Gone, OSError):
            raise
        except Exception as error:
            _close(kept)  # one of them may be the reason
            if not isinstance(error, DovetailError):
                import traceback

                traceback.print_exc()
                error = RunFailedError(f"the driver failed: {type(error).__name__}: {error}")
            if self._has_ended:
                return None
            message = str(error) if error.hint is None else str(error).removesuffix(f"\n  {error.hint}")
            return Kind.REFUSED, type(error).__name__, message, error.hint, "".join(run)
        return None

    def _drive_beside_body(
        self, session: Session, flow: FlowDescription, request: Mapping[str, Any], run: list[str]
    ) -> None:
        """Drive a run whose body the caller runs."""
        check(flow, session.settings)
        late = LateGroup(session.begin_import, first=LATE)
        group = self._group = CallerGroup(self._connection, late, interrupted=_interrupt)
        listener = _Listener(self, flow.start)
        session.here = "steps"
        plan = plan_run(session, flow, group, debug=None)
        manifest = self._manifest(session, plan, request["parameters"], request)
        run.append(manifest.run)
        execute(session, manifest, plan, listener=listener, pause_after=inf)

    def _drive_all(self, session: Session, request: Mapping[str, Any], run: list[str]) -> None:
        """Drive a run of which the caller runs nothing."""
        from dovetail.engine.parameters import resolve_parameters
        from dovetail.engine.resume import ResumeRequest, resume_run

        group = self._group = CallerGroup(self._connection, interrupted=_interrupt)
        listener = _Listener(self, "")
        session.beside[CALLER] = group
        before = _called_before(session, request)
        if before is not None:
            found, state = before
            run.append(found)
            if state == RunState.SUCCEEDED.value:
                group.begin(RunFacts(run=found, flow="", home=str(session.settings.home)))
                self.end(state, "", None, 0)
                return
            asked = ResumeRequest(run=found, file=session.source.file)

            def session_of(settings: Settings, source: FlowSource) -> Session:
                made = Session(settings, source)
                made.beside.update(session.beside)
                return made

            resume_run(session.settings, asked, listener, session_of=session_of)
            return
        flow, first = describe_source(session, listener)
        if request["said"] is not None:
            flow = _as_called(flow, request["said"])
        check(flow, session.settings)
        plan = plan_run(session, flow, first, debug=None)
        given = request["parameters"]
        values = given if flow.style == "function" else resolve_parameters(flow, given)
        manifest = self._manifest(session, plan, values, request)
        run.append(manifest.run)
        execute(session, manifest, plan, listener=listener, pause_after=inf)

    def _manifest(
        self, session: Session, plan: RunPlan, values: Mapping[str, Any], request: Mapping[str, Any]
    ) -> RunManifest:
        return new_manifest(
            session,
            plan,
            values,
            tags=resolve_tags(session.settings.core, ()),
            saved=self._parameters(session, plan) if request["saved"] else None,
            parent=request["parent"] or None,
        )

    def _parameters(self, session: Session, plan: RunPlan) -> Mapping[str, Any]:
        """The caller's arguments, which only the caller can store."""
        self._connection.setblocking(True)
        self._connection.sendall(pack((Kind.STORES, plan.store, plan.plans.stores, str(session.settings.home))))
        found: Mapping[str, Any] = self._receive(Kind.PARAMETERS)
        self._connection.setblocking(False)
        return found

    def _kept_for(self, home: Path) -> dict[tuple[str, str], Any]:
        """Open backends of a folder of local state, unless that is another folder by now."""
        try:
            home.mkdir(parents=True, exist_ok=True)
            inode = home.stat().st_ino
        except OSError:  # whoever opens something there says what is wrong
            return {}
        kept = self._kept.setdefault((home, inode), {})
        while len(self._kept) > HOMES_KEPT:
            oldest = next(iter(self._kept))
            _close(self._kept.pop(oldest))
        return kept


def _as_called(flow: FlowDescription, said: Mapping[str, Any]) -> FlowDescription:
    """A flow with what was said of the object that was called, which need not be the one in its file."""
    plain = flow.to_plain()
    plain["steps"][0]["decorators"] = said["body"]
    return FlowDescription.from_plain({**plain, "decorators": said["decorators"], "hooks": said["hooks"]})


def _interrupt() -> None:
    signal.raise_signal(signal.SIGINT)


def _called_before(session: Session, request: Mapping[str, Any]) -> tuple[str, str | None] | None:
    """(id, state) of the newest run that the same task called before it was interrupted or failed."""
    if not request["parent"]:
        return None
    query = Query(kind="runs", flow=request["name"], tags=(parent_tag(request["parent"]),), limit=1)
    page = session.metadata().query(query, columns=("run", "state"))
    return page.rows[0] if page.rows else None


def _close(kept: dict[tuple[str, str], Any]) -> None:
    for backend in kept.values():
        backend.close()
    kept.clear()


def _be_where(request: Mapping[str, Any]) -> None:
    """Have the caller's folder and variables: settings come from them, and processes of tasks inherit them."""
    if dict(os.environ) != request["env"]:
        os.environ.clear()
        os.environ.update(request["env"])
    if os.getcwd() != request["cwd"]:
        os.chdir(request["cwd"])


def main() -> None:
    """Drive what the process asks for that started this one. Ends with it."""
    gc.disable()  # until all that a run needs is imported
    os.set_inheritable(CONTROL, False)
    LiveDriver(socket.socket(fileno=CONTROL)).serve()
    sys.stderr.flush()
    os._exit(0)
