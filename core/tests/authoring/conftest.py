"""Stand-ins for a worker: artifacts in a dict, identity by repr."""

from __future__ import annotations

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
