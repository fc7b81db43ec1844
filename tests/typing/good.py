"""Everything here must type-check: with `mypy --strict`, and with pyright."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from typing_extensions import assert_type

from dovetail import (
    FlowSpec,
    FutureList,
    JSONType,
    Parameter,
    StepDecorator,
    TaskFuture,
    allow_failure,
    catch,
    compute,
    current,
    environment,
    environment_variables,
    flow,
    isolation,
    resources,
    retry,
    step,
    task,
    timeout,
    unmapped,
    wait_for_input,
)
from dovetail.interfaces.datastore import DataStore
from dovetail.interfaces.metadata import MetadataProvider
from dovetail.testing import FlakyStore, MemoryMetadata, MemoryStore, ThrottledBackend


@retry
@environment_variables(MODE="fast", vars={"WITH-DASH": "1"})
class Digits(FlowSpec):
    rate = Parameter(default=0.1, help="learning rate")
    depth: int = Parameter(default=3)
    name: str = Parameter()
    folds = Parameter("folds", type=int)
    sizes = Parameter(default=[1, 2])
    grid = Parameter(type=list[float], default=[0.1])
    limit = Parameter(type=int, default=None)
    options = Parameter(type=JSONType, default={"a": 1})
    listed = Parameter(type=JSONType, default="[1]")
    NAMES = ("a", "b")

    @step
    def start(self) -> None:
        assert_type(self.rate, float)
        assert_type(self.depth, int)
        assert_type(self.name, str)
        assert_type(self.folds, int)
        assert_type(self.sizes, list[int])
        assert_type(self.grid, list[float])
        assert_type(self.limit, "int | None")
        assert_type(self.options, Any)
        assert_type(self.listed, Any)
        first: str = self.NAMES[0]
        self.items = [first, 2]
        self.next(self.train, foreach="items", on_error="collect")

    @catch(var="failed")
    @retry(times=2, on=(ValueError, "OSError"))
    @timeout(minutes=5)
    @resources(cpu=2, memory=1024)
    @isolation("fork", reuse="auto")
    @environment("uv", python="3.12")
    @compute("kubernetes", memory=8)
    @step
    def train(self, scale: float = 1.0) -> float:
        self.score = self.input * scale
        self.next({"good": self.join, 2: self.join, None: self.start}, condition="score")
        return scale

    @step
    def split(self) -> None:
        self.next(self.train, self.join)

    @step
    def generated(self) -> None:
        self.next(self.train, foreach=(n for n in range(3)))

    @step(start=False)
    def join(self, inputs: Any) -> None:
        self.merge_artifacts(inputs, include=["score"])
        self.next(self.end)

    @step(end=True)
    def end(self) -> None:
        assert_type(current.step_name, "str | None")


assert_type(Digits().train(), float)
assert_type(Digits().index, Any)
assert_type(Digits().foreach_stack(), "list[tuple[int, int, Any]]")
bound: Callable[[], None] = Digits().start


def kubernetes(*, memory: int = 4096) -> StepDecorator:
    return StepDecorator("compute", "kubernetes", {"memory": memory})


class Derived(Digits):
    @kubernetes(memory=1)
    @step
    def start(self) -> None:
        super().start()


@retry(times=2)
@task
def load(path: str, *, rows: int = 10) -> list[int]:
    return [len(path)] * rows


@task(name="fitted", retries=3, isolation="fork", cache="inputs+code", key=lambda scale: str(scale))
@timeout(minutes=1)
def fit(scale: float) -> float:
    return scale


@task
async def ask(question: str) -> bool:
    return bool(question)


class Model:
    @task
    def train(self, rows: list[int]) -> int:
        return len(rows)

    @staticmethod
    @task
    def score(x: float) -> float:
        return x


@flow
def pipeline(path: str, n: int = 3) -> float:
    assert_type(load(path, rows=n), list[int])
    future = load.submit(path)
    assert_type(future, TaskFuture[list[int]])
    assert_type(future.result(), list[int])
    assert_type(load.fn(path), list[int])
    assert_type(load(path, wait_for=[future]), list[int])
    assert_type(fit.map([0.1, 0.2], wait_for=[future]), FutureList[float])
    assert_type(fit.map(future, unmapped(2)).result(), list[float])
    assert_type(fit.submit(future), TaskFuture[float])
    assert_type(fit.submit(allow_failure(future)), TaskFuture[float])
    assert_type(fit.with_options(compute="archive", cpu=8, timeout=5, key="a").submit(2.0), TaskFuture[float])
    assert_type(fit.with_options(limit="gpu", on_failure=[print]).submit(2.0), TaskFuture[float])
    assert_type(fit.with_options(limit={"gpu": 2}, on_commit=print)(2.0), float)
    assert_type(ask.submit("?"), TaskFuture[bool])
    assert_type(ask.map(["?"]).result(), list[bool])
    assert_type(Model.score(1.0), float)
    assert_type(Model().train([1]), int)
    assert_type(Model().train.submit([1]), TaskFuture[int])
    assert_type(Model.train(Model(), [1]), int)
    return sum(one.result() for one in fit.map([1, 2]))


@flow(name="asking", retries=2, timeout=60)
async def asking(question: str) -> bool:
    assert_type(await ask(question), bool)
    assert_type(await ask.submit(question), bool)
    return await ask(question=question)


assert_type(pipeline("data", n=2), float)
assert_type(pipeline.with_options(name="other")("data"), float)
as_function: Callable[[str], float] = pipeline
main: Callable[[], None] = pipeline.main


async def run_it() -> None:
    assert_type(await asking("?"), bool)


class Approval:
    approve: bool


@flow
def asks() -> bool:
    said = wait_for_input(Approval, question="Ship it?", timeout=60, default=Approval())
    assert_type(said, Approval)
    assert_type(wait_for_input(int, name="count"), int)
    anything: Any = wait_for_input({"approve": bool})
    return said.approve and bool(anything)


flaky = FlakyStore(MemoryStore(), seed=1)
as_store: DataStore = flaky
flaky.put("key", b"value")
throttled: MetadataProvider = ThrottledBackend(MemoryMetadata(), calls=3)
