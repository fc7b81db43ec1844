"""Stand-ins for a worker: artifacts in a dict, identity by repr."""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from dovetail import FlowSpec
from dovetail.authoring.binding import FlowState, bind, instance, state
from dovetail.authoring.describe import step_methods


@dataclass
class Failure:
    """Why an input failed."""

    type: str = "ValueError"
    message: str = "no"
    traceback: str = ""


@dataclass
class MemoryBinding:
    """A binding over a dict."""

    values: dict[str, Any] = field(default_factory=dict)
    step: str = ""
    error: Any = None
    frames: Sequence[tuple[int, int, Callable[[], Any]]] = ()
    reads: list[str] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)

    def load(self, name: str) -> Any:
        self.reads.append(name)
        if name in ("input", "index"):
            if not self.frames:
                raise KeyError(name)
            index, _, item = self.frames[-1]
            return item() if name == "input" else index
        self.loads.append(name)
        return self.values[name]

    def digest(self, name: str) -> bytes | None:
        return repr(self.values[name]).encode() if name in self.values else None

    def has(self, name: str) -> bool:
        return name in self.values

    def names(self) -> Iterable[str]:
        return list(self.values)


@dataclass
class Task:
    """One executed step."""

    flow: Any
    binding: MemoryBinding
    state: FlowState
    result: Any = None


Runner = Callable[..., Task]


@pytest.fixture
def run_step() -> Runner:
    """Run a step as a task: `run_step(Flow, "train", {"x": 1}, frames=..., inputs=...)`."""

    def run(
        flow_cls: type[FlowSpec],
        step: str,
        values: dict[str, Any] | None = None,
        *,
        frames: Sequence[tuple[int, int, Any]] = (),
        inputs: Sequence[MemoryBinding] | None = None,
    ) -> Task:
        flow = instance(flow_cls)
        loaders = [(index, length, lambda item=item: item) for index, length, item in frames]
        binding = MemoryBinding(dict(values or {}), frames=loaders)
        joined = bind(flow, binding, step, inputs)
        method = step_methods(flow_cls)[step]
        result = method(flow) if joined is None else method(flow, joined)
        return Task(flow, binding, state(flow), result)

    return run


@pytest.fixture
def memory() -> type[MemoryBinding]:
    return MemoryBinding


@pytest.fixture
def failure() -> type[Failure]:
    return Failure


Maker = Callable[[str], type[FlowSpec]]


def _exec_flow(source: str, filename: str, module: str) -> type[FlowSpec]:
    import sys
    import textwrap
    import types

    made = types.ModuleType(module)
    if not filename.startswith("<"):
        made.__file__ = filename
    sys.modules[module] = made
    text = "from dovetail import *\n" + textwrap.dedent(source)
    exec(compile(text, filename, "exec", dont_inherit=True), vars(made))
    from dovetail.authoring.describe import flows_in

    return flows_in(made)[-1]


@pytest.fixture
def make_flow(tmp_path, request) -> Iterator[Maker]:
    """Make the last flow class of a source text, kept in a file."""
    import sys

    name = f"made_{abs(hash(request.node.nodeid))}"

    def make(source: str) -> type[FlowSpec]:
        import linecache
        import textwrap

        file = tmp_path / "made.py"
        file.write_text("from dovetail import *\n" + textwrap.dedent(source))
        linecache.checkcache(str(file))
        return _exec_flow(source, str(file), name)

    yield make
    sys.modules.pop(name, None)


@pytest.fixture(params=["source", "bytecode"])
def make_any(request, make_flow) -> Iterator[Maker]:
    """`make_flow`, and the same from code whose source is gone."""
    import sys

    name = f"gone_{abs(hash(request.node.nodeid))}"
    yield make_flow if request.param == "source" else lambda source: _exec_flow(source, "<generated>", name)
    sys.modules.pop(name, None)


class InProcess:
    """A caller that runs tasks in this process, submitted ones in threads, and remembers what it was asked.

    Args:
        limit: Unfinished submitted tasks before `room` waits.
    """

    def __init__(self, limit: int = 4) -> None:
        self.limit = limit
        self.calls: list[dict[str, Any]] = []
        self.rooms = 0
        self.unfinished: list[Any] = []

    def call(self, task: Any, given: Any, *, wait_for: Any = (), key: str | None = None) -> Any:
        self._note("call", task, given, wait_for, key)
        return self._run(task, given, wait_for)

    async def call_async(self, task: Any, given: Any, *, wait_for: Any = (), key: str | None = None) -> Any:
        self._note("call_async", task, given, wait_for, key)
        return await self._run(task, given, wait_for)

    def submit(
        self, task: Any, given: Any, *, wait_for: Any = (), key: str | None = None, index: tuple[int, ...] = ()
    ) -> Any:
        from dovetail.authoring.futures import TaskFuture

        self._note("submit", task, given, wait_for, key, index)
        future: Any = TaskFuture(task.name)
        self.unfinished.append(future)
        threading.Thread(target=self._settle, args=(future, task, given, wait_for)).start()
        return future

    def room(self) -> None:
        self.rooms += 1
        self.unfinished = [future for future in self.unfinished if not future.done()]
        if len(self.unfinished) >= self.limit:
            concurrent.futures.wait(self.unfinished, return_when=concurrent.futures.FIRST_COMPLETED)

    def _note(self, verb: str, task: Any, given: Any, wait_for: Any, key: Any, index: Any = None) -> None:
        self.calls.append(
            {"verb": verb, "task": task, "given": dict(given), "wait_for": wait_for, "key": key, "index": index}
        )

    def _run(self, task: Any, given: Any, wait_for: Any) -> Any:
        from dovetail.authoring.arguments import resolved

        for future in wait_for:
            future.result()
        args, kwargs = task.unbind(resolved(dict(given), lambda future: future.result()))
        return task.fn(*args, **kwargs)

    def _settle(self, future: Any, task: Any, given: Any, wait_for: Any) -> None:
        from dovetail.authoring.calling import caller

        caller.enter(self)  # a thread has variables of its own
        try:
            future.set_result(self._run(task, given, wait_for))
        except Exception as error:
            future.set_exception(error)


@pytest.fixture
def inside() -> Iterator[InProcess]:
    """The test itself is a running attempt; what its tasks are asked is in `inside.calls`."""
    from dovetail.authoring.calling import caller

    here = InProcess()
    token = caller.enter(here)
    yield here
    caller.leave(token)
