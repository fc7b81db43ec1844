"""`current`: what a task may know of itself and of its run."""

from __future__ import annotations

import _thread
from contextvars import ContextVar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextvars import Token
    from typing import Any

__all__ = ["Current", "current"]


class Facts:
    """What `current` tells of one attempt; those of the run are shared by its tasks."""

    __slots__ = ("attempt", "graph", "path", "run", "step", "tempdir")

    def __init__(
        self, run: Mapping[str, Any], step: str, path: str, attempt: int, graph: Callable[[], Any] | None
    ) -> None:
        self.run = run
        self.step = step
        self.path = path
        self.attempt = attempt
        self.graph = graph
        self.tempdir: str | None = None


class Current:
    """The running task. Outside of a task every field is None, and `is_running_flow` is False.

    Can be read from any thread of the task's process. Where several tasks share a process as threads, a
    thread that a task started itself is told of the only running task, and of none when there are more.
    """

    __slots__ = ("_active", "_inner", "_local", "_only")

    def __init__(self) -> None:
        self._inner: ContextVar[Facts | None] = ContextVar("dovetail_current", default=None)
        self._only: Facts | None = None
        self._local = _thread._local()
        self._active: list[Facts] = []

    # ------------------------------------------------------------------ set by the worker

    def _set(
        self,
        run: Mapping[str, Any],
        *,
        step: str,
        path: str,
        attempt: int,
        graph: Callable[[], Any] | None = None,
        thread: bool = False,
    ) -> None:
        """Begin an attempt; for the whole process, or only for this thread (and others in case of need)."""
        facts = Facts(run, step, path, attempt, graph)
        if thread:
            self._local.facts = facts
            self._active.append(facts)
        else:
            self._only = facts

    def _clear(self) -> None:
        """End the attempt that this thread, or else the process, began; its `tempdir` goes."""
        facts = getattr(self._local, "facts", None)
        if facts is not None:
            self._local.facts = None
            self._active.remove(facts)
        else:
            facts, self._only = self._only, None
        _remove_tempdir(facts)

    def _enter(self, step: str, path: str, attempt: int) -> Token[Facts | None]:
        """Begin a task inside of the running attempt, for this thread or coroutine."""
        outer = self._facts()
        run = {} if outer is None else outer.run
        return self._inner.set(Facts(run, step, path, attempt, None if outer is None else outer.graph))

    def _leave(self, token: Token[Facts | None]) -> None:
        """End the task that `_enter` began; its `tempdir` goes."""
        facts = self._inner.get()
        self._inner.reset(token)
        _remove_tempdir(facts)

    def _facts(self) -> Facts | None:
        facts = self._inner.get()
        if facts is not None:
            return facts
        facts = getattr(self._local, "facts", None) if self._active else None
        if facts is not None:
            return facts  # type: ignore[no-any-return]
        if self._only is not None:
            return self._only
        active = self._active
        return active[0] if len(active) == 1 else None

    def _of_run(self, name: str) -> Any:
        facts = self._facts()
        return None if facts is None else facts.run.get(name)

    # ------------------------------------------------------------------ fields

    @property
    def is_running_flow(self) -> bool:
        """Whether a task is running."""
        return self._facts() is not None

    @property
    def flow_name(self) -> str | None:
        """Name of the flow."""
        return self._of_run("flow")  # type: ignore[no-any-return]

    @property
    def run_id(self) -> str | None:
        """Id of the run."""
        return self._of_run("run")  # type: ignore[no-any-return]

    @property
    def step_name(self) -> str | None:
        """Name of the step."""
        facts = self._facts()
        return None if facts is None else facts.step

    @property
    def task_id(self) -> str | None:
        """Path of the task inside the run, such as `train[3]`."""
        facts = self._facts()
        return None if facts is None else facts.path

    @property
    def retry_count(self) -> int | None:
        """How many attempts failed before this one."""
        facts = self._facts()
        return None if facts is None else facts.attempt - 1

    @property
    def origin_run_id(self) -> str | None:
        """Run that this one resumes, or None."""
        return self._of_run("origin")  # type: ignore[no-any-return]

    @property
    def pathspec(self) -> str | None:
        """`Flow/run/path` of the task."""
        facts = self._facts()
        return None if facts is None else f"{facts.run.get('flow')}/{facts.run.get('run')}/{facts.path}"

    @property
    def namespace(self) -> str | None:
        """Namespace of the run, such as `user:ada`."""
        return self._of_run("namespace")  # type: ignore[no-any-return]

    @property
    def username(self) -> str | None:
        """Who started the run."""
        return self._of_run("username")  # type: ignore[no-any-return]

    @property
    def tags(self) -> frozenset[str] | None:
        """User tags that the run was started with."""
        facts = self._facts()
        return None if facts is None else frozenset(facts.run.get("tags", ()))

    @property
    def parameter_names(self) -> list[str] | None:
        """Names of the flow's parameters."""
        facts = self._facts()
        return None if facts is None else list(facts.run.get("parameters", ()))

    @property
    def tempdir(self) -> str | None:
        """A folder for this attempt alone; made when first asked for, removed when the attempt ends."""
        facts = self._facts()
        if facts is None:
            return None
        if facts.tempdir is None:
            from tempfile import mkdtemp

            facts.tempdir = mkdtemp(prefix="dovetail-")
        return facts.tempdir

    @property
    def graph(self) -> Mapping[str, Any] | None:
        """The flow's graph as plain data: `start_step`, `end_step` and `steps` by name."""
        facts = self._facts()
        if facts is None or facts.graph is None:
            return None
        return facts.graph()  # type: ignore[no-any-return]

    @property
    def run(self) -> Any:
        """The run, as the client sees it: a `dovetail.client.Run`."""
        facts = self._facts()
        return None if facts is None else _client(facts).run(f"{facts.run.get('flow')}/{facts.run.get('run')}")

    @property
    def task(self) -> Any:
        """The task, as the client sees it: a `dovetail.client.Task`."""
        facts = self._facts()
        return None if facts is None else _client(facts).task(self.pathspec)

    # ------------------------------------------------------------------ as Metaflow has it

    def get(self, name: str, default: Any = None) -> Any:
        """A field by name, or `default` where it is unknown or None."""
        value = getattr(self, name, None)
        return default if value is None else value

    def __contains__(self, name: str) -> bool:
        return getattr(self, name, None) is not None

    def __repr__(self) -> str:
        return f"<current {self.pathspec}>" if self.is_running_flow else "<current, no task is running>"


def _remove_tempdir(facts: Facts | None) -> None:
    if facts is not None and facts.tempdir is not None:
        from shutil import rmtree

        rmtree(facts.tempdir, ignore_errors=True)


def _client(facts: Facts) -> Any:
    from dovetail.client import Client

    return Client(facts.run.get("home") or None)


current = Current()
"""The running task."""
