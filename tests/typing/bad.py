"""Each line that is marked must not type-check, and no other line may fail."""

from __future__ import annotations

import dovetail
from dovetail import FlowSpec, Parameter, catch, flow, isolation, resources, retry, step, task, timeout
from dovetail.testing import FlakyStore, MemoryStore

print(dovetail.stepp)  # error


class Wrong(FlowSpec):
    rate = Parameter(default=0.1)
    name: int = Parameter(default="text")  # error
    other = Parameter(defualt=1)  # error
    typed = Parameter(type=int, default="text")  # error

    @retry(tiems=3)  # error
    @step
    def start(self) -> None:
        print(str.upper(self.rate))  # error
        self.next("train")  # error
        self.next(self.end, foreach="xs", on_error="skip")  # error
        self.next({"a": self.end})  # error
        self.next(self.end, self.start, foreach="xs")  # error
        self.next(self.end, num_parallel=3)  # error
        print(self.foreach_stack().nothing)  # error

    @timeout(minutes="5")  # error
    @resources(cpus=1)  # error
    @isolation("forked")  # error
    @catch(var=3)  # error
    @step(begin=True)  # error
    def end(self) -> None: ...


class Right(FlowSpec):
    @step
    def start(self) -> None: ...


Right().start(3)  # error
retry(times=2)(3)  # error


@task
def fit(scale: float, *, rows: int = 3) -> float:
    return scale * rows


@flow
def pipeline(path: str) -> float:
    fit("text")  # error
    fit(1.0, row=3)  # error
    print(str.upper(fit(1.0)))  # error
    fit.submit(1.0).result().upper()  # error
    fit.map([1.0]).result().upper()  # error
    fit.with_options(cpus=3)  # error
    fit.with_options(isolation="forked")  # error
    fit.with_options(limit=3)  # error
    fit.with_options(on_failure="tell")  # error
    return fit(1.0, rows="3")  # error


pipeline(3)  # error
pipeline()  # error
pipeline.submit("data")  # error


@task(retrys=3)  # error
def wrong() -> None: ...


@flow(cpu=3)  # error
def wrong_flow() -> None: ...


flow(3)  # error


FlakyStore(MemoryStore(), sed=1)  # error
