"""What a generated flow must come to: the same file, interpreted in one thread by the rules alone.

A walk goes from step to step until it stands before a join; a split walks each of its members to the join and goes on
from there. That is the whole graph semantics: no planner, no store, no processes.
"""

from __future__ import annotations

import builtins
import copy
import io
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flowmatrix.generate import Case

__all__ = ["Caught", "Expected", "ExpectedTask", "interpret"]

Frame = tuple[int, int, Any]
"""Index, number of items, item."""


@dataclass(frozen=True)
class Caught:
    """What `@catch` leaves."""

    type: str
    message: str


@dataclass
class ExpectedTask:
    """What a task comes to."""

    path: str
    step: str
    attempts: int = 0
    own: dict[str, Any] = field(default_factory=dict)
    """Artifacts that it assigned."""
    visible: dict[str, Any] = field(default_factory=dict)
    """Artifacts that it could see at its end."""
    parents: list[str] = field(default_factory=list)
    stdout: list[str] = field(default_factory=list)
    stderr: list[str] = field(default_factory=list)
    failed: bool = False
    caught: bool = False


@dataclass
class Expected:
    """What a run comes to."""

    tasks: dict[str, ExpectedTask] = field(default_factory=dict)
    """In the order of a run without anything side by side."""
    parameters: Mapping[str, Any] = field(default_factory=dict)


class Failed(Exception):
    """A task failed for good."""


@dataclass
class Arrival:
    """What comes to a join."""

    step: str
    path: str
    visible: dict[str, Any]
    frames: tuple[Frame, ...]
    error: BaseException | None = None


class _Input:
    """One input of a join; a copy of an artifact is made when it is read."""

    def __init__(self, arrival: Arrival) -> None:
        self.visible = arrival.visible
        self.index = arrival.frames[-1][0] if arrival.frames else None
        self.input = arrival.frames[-1][2] if arrival.frames else None
        self.error = arrival.error

    def __getattr__(self, name: str) -> Any:
        if name not in self.visible:
            raise AttributeError(name)
        value = self.__dict__[name] = copy.deepcopy(self.visible[name])
        return value


class UsageError(ValueError):
    """A merge that does not come out."""


class _Flow:
    """Base of the interpreted flow: a scope to read, attributes that are set."""

    def __init__(self, scope: Mapping[str, Any], frames: tuple[Frame, ...]) -> None:
        self.__dict__.update(_scope=scope, _frames=frames, _set={}, _loaded={}, _next=None)

    def __getattribute__(self, name: str) -> Any:
        if name[0] == "_":
            return object.__getattribute__(self, name)
        if name in ("input", "index"):
            return (self._frames[-1][2] if name == "input" else self._frames[-1][0]) if self._frames else None
        for values in (self._set, self._loaded):
            if name in values:
                return values[name]
        if name in self._scope:
            return self._loaded.setdefault(name, copy.deepcopy(self._scope[name]))
        return object.__getattribute__(self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._set[name] = value

    def __delattr__(self, name: str) -> None:
        del self._set[name]

    def foreach_stack(self) -> list[Frame]:
        return list(self._frames)

    def merge_artifacts(self, inputs: Any, include: Any = None, exclude: Any = ()) -> None:
        found: dict[str, Any] = {}
        for one in good(inputs):
            for name, value in one.visible.items():
                if name in exclude or name in self._set or name in self._fixed:
                    continue
                if (include is None or name in include) and found.setdefault(name, value) != value:
                    raise UsageError(name)
        self._loaded.update(found)
        self._merged.update(found)

    def next(self, *targets: Any, foreach: Any = None, condition: str = "", on_error: str = "fail") -> None:
        self.__dict__["_next"] = (targets, foreach, condition, on_error)

    def outputs(self) -> dict[str, Any]:
        """What was set, merged or changed in place."""
        scope = self._scope
        changed = {n: v for n, v in self._loaded.items() if n in scope and v != scope[n]}
        return {**self._merged, **changed, **self._set}


def good(inputs: Any) -> list[Any]:
    return [one for one in inputs if one.error is None]


class _Current:
    """`current`, of the task that is interpreted."""

    step_name = task_id = ""
    retry_count = 0
    tags: frozenset[str] = frozenset()
    parameter_names: tuple[str, ...] = ()


class Misbehaviour(Exception):
    """What a task was told to do instead of its work."""


def interpret(case: Case, *, told: str = "") -> Expected:
    """What a case comes to.

    Args:
        case: Which.
        told: Path of the task that hangs or dies at its first attempt.
    """
    return _Interpreter(case, told).run()


class _Interpreter:
    def __init__(self, case: Case, told: str) -> None:
        self._case = case
        self._told = told
        self._streams = _Streams()
        self._current = _Current()
        self._current.tags = frozenset(case.body.tags)
        self._current.parameter_names = tuple(case.body.parameters)
        self._expected = Expected(parameters=case.body.parameters)
        self._seen: dict[str, int] = {}
        self._flow = self._load()
        constants = {n: v for base in self._flow.__mro__ for n, v in vars(base).items() if n.isupper()}
        self._root = {**constants, **case.body.parameters}

    def run(self) -> Expected:
        arrived = self._walk(self._case.graph.nodes[0].name, dict(self._root), (), [])
        assert arrived is None, "a join without a split"
        return self._expected

    # -- the graph ------------------------------------------------------------------------------------------------

    def _walk(
        self, step: str, scope: dict[str, Any], frames: tuple[Frame, ...], parents: list[str]
    ) -> tuple[str, Arrival] | None:
        """Go on from a step until a join is next; None at the end."""
        inputs: list[Arrival] | None = None
        while True:
            task, taken = self._task(step, scope, frames, parents, inputs)
            scope, parents = task.visible, [task.path]
            if taken is None:
                return None
            targets, foreach, condition, on_error = taken
            if condition:
                targets = (targets[0][scope[condition]],)
            names = [target.__name__ for target in targets]
            if foreach is None and len(names) == 1:
                if self._case.graph[names[0]].join:
                    return names[0], Arrival(step, task.path, scope, frames)
                step, inputs = names[0], None
                continue
            if foreach is None:
                members = [(name, frames) for name in names]
            else:
                items = list(scope[foreach] if isinstance(foreach, str) else foreach)
                members = [(names[0], (*frames, (at, len(items), item))) for at, item in enumerate(items)]
            reached = [self._member(name, task, inner, on_error) for name, inner in members]
            joins = {join for join, _ in reached if join} or {self._case.graph[step].closed_by}
            assert len(joins) == 1, "members of a split at different joins"
            inputs = [arrival for _, arrival in reached]
            step, scope, parents = joins.pop(), dict(self._root), [one.path for one in inputs] or [task.path]

    def _member(self, step: str, split: ExpectedTask, frames: tuple[Frame, ...], on_error: str) -> tuple[str, Arrival]:
        if self._case.graph[step].join:  # straight from the split
            return step, Arrival(split.step, split.path, split.visible, frames)
        try:
            arrived = self._walk(step, split.visible, frames, [split.path])
        except Failed as error:
            if on_error != "collect":
                raise
            return "", Arrival(step, str(error), {}, frames, error)
        assert arrived is not None, "the end inside of a split"
        return arrived

    # -- a task ---------------------------------------------------------------------------------------------------

    def _task(
        self,
        step: str,
        scope: dict[str, Any],
        frames: tuple[Frame, ...],
        parents: list[str],
        inputs: list[Arrival] | None,
    ) -> tuple[ExpectedTask, Any]:
        indexes = ",".join(str(frame[0]) for frame in frames)
        bare = f"{step}[{indexes}]" if indexes else step
        count = self._seen[bare] = self._seen.get(bare, 0) + 1
        path = bare if count == 1 else f"{bare}#{count}"
        task = self._expected.tasks[path] = ExpectedTask(path=path, step=step, parents=parents)
        method = getattr(self._flow, step)
        options: dict[str, dict[str, Any]] = getattr(method, "options", {})
        tries = 1 + options.get("retry", {}).get("times", 0)
        while True:
            task.attempts += 1
            self._current.step_name, self._current.task_id = step, path
            self._current.retry_count = task.attempts - 1
            flow: Any = self._flow(scope, frames)
            flow.__dict__.update(_merged={}, _fixed=self._root)
            error = self._attempt(method, flow, inputs, task)
            if error is None or task.attempts == tries:
                break
        catch = options.get("catch")
        if error is not None and catch is None:
            task.failed = True
            raise Failed(path) from error
        task.caught = error is not None
        task.own = copy.deepcopy(flow.outputs())
        if catch is not None:
            task.own[catch["var"]] = None if error is None else Caught(type(error).__name__, str(error))
        task.visible = {**scope, **task.own}
        taken = flow._next
        if error is not None:
            targets = self._case.graph[step].targets
            taken = (tuple(getattr(flow, name) for name in targets), None, "", "fail") if targets else None
        return task, taken

    def _attempt(
        self, method: Callable[..., Any], flow: Any, inputs: list[Arrival] | None, task: ExpectedTask
    ) -> BaseException | None:
        given = () if inputs is None else ([_Input(one) for one in inputs],)
        streams = self._streams
        streams.stdout, streams.stderr = io.StringIO(), io.StringIO()
        try:
            method(flow, *given)
            return None
        except Exception as error:
            return error
        finally:
            task.stdout += streams.stdout.getvalue().splitlines()
            task.stderr += streams.stderr.getvalue().splitlines()

    # -- the file -------------------------------------------------------------------------------------------------

    def _load(self) -> type[_Flow]:
        """The flow's class, with this module's rules in place of the SDK."""
        stand_ins = {
            "dovetail": self._sdk(),
            "logging": _logging(self._streams),
            "os": _os({f"MATRIX_{self._case.body.ask}": self._told}, self._streams),
            "sys": self._streams,
            "time": types.SimpleNamespace(sleep=_misbehave),
        }

        def importing(name: str, *rest: Any) -> Any:
            return stand_ins.get(name) or builtins.__import__(name, *rest)

        def printing(*values: object, file: Any = None, end: str = "\n") -> None:
            print(*values, file=file or self._streams.stdout, end=end)

        replaced = {"__import__": importing, "print": printing}
        namespace: dict[str, Any] = {"__name__": "interpreted", "__builtins__": {**vars(builtins), **replaced}}
        exec(compile(self._case.source(), f"<{self._case.name}>", "exec"), namespace)
        found: type[_Flow] = namespace[self._case.flow]
        return found

    def _sdk(self) -> types.SimpleNamespace:
        def decorator(kind: str) -> Any:
            def decorate(**options: Any) -> Any:
                def note(method: Any) -> Any:
                    method.options = {**getattr(method, "options", {}), kind: options}
                    return method

                return note

            return decorate

        return types.SimpleNamespace(
            FlowSpec=_Flow,
            JSONType=object(),
            Parameter=lambda *names, **options: None,
            current=self._current,
            step=lambda *methods, **options: methods[0] if methods else lambda method: method,
            **{kind: decorator(kind) for kind in ("catch", "isolation", "retry", "timeout")},
        )


class _Streams:
    """What an attempt writes; stands for `sys`. Cases are interpreted in several threads, so the real one is not."""

    stdout = io.StringIO()
    stderr = io.StringIO()


def _logging(streams: _Streams) -> types.SimpleNamespace:
    """Writes as `logging.basicConfig(format="%(levelname)s %(message)s")` does."""

    def warning(text: str, *values: Any) -> None:
        print("WARNING " + text % values, file=streams.stderr)

    return types.SimpleNamespace(
        basicConfig=lambda **options: None, getLogger=lambda name: types.SimpleNamespace(warning=warning)
    )


def _os(environment: Mapping[str, str], streams: _Streams) -> types.SimpleNamespace:
    """An `os` of its own environment, whose raw output is caught as well and that kills nobody."""

    def write(number: int, data: bytes) -> int:
        (streams.stdout if number == 1 else streams.stderr).write(data.decode())
        return len(data)

    return types.SimpleNamespace(environ=environment, write=write, kill=_misbehave, getpid=lambda: 0)


def _misbehave(*_: object) -> None:
    raise Misbehaviour
