"""What an attempt leaves: outputs, reads, transitions, errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from dovetail.artifacts.caught import CaughtError
from dovetail.artifacts.msgpacked import unpack
from dovetail.artifacts.scopes import ScopeReader, pack_layer
from dovetail.interfaces.tasks import CatchPolicy, ErrorReport, Isolation, JoinInput, Policy, Scope, TaskOutcome
from dovetail.interfaces.workers import Assignment, Ended, RunFacts

Drive = Callable[..., Any]
STORE = "5f0c1c1e-0000-4000-8000-000000000001"

FLOW = """
    import sys
    from dovetail import FlowSpec, current, step

    class Attempts(FlowSpec):
        constant = 7

        @step
        def start(self):
            self.numbers = [1, 2, 3]
            self.table = {"a": {"b": 1}, "set": {1, 2}}
            self.text = "same"
            self.blob = b"x" * 200
            self._private = 1
            self.next(self.mutates, self.reads)

        @step
        def mutates(self):
            self.numbers.append(4)
            self.table["a"]["b"] = 2
            self.text
            self.next(self.join)

        @step
        def reads(self):
            self.seen = [self.numbers, self.table["set"], self.text, self.constant, hasattr(self, "missing")]
            self.next(self.join)

        @step
        def join(self, inputs):
            self.both = [i.numbers for i in inputs]
            self.merge_artifacts(inputs, include=["text", "blob"])
            self.next(self.switch)

        @step
        def switch(self):
            self.choice = "two"
            self.next({"one": self.each, "two": self.end}, condition="choice")

        @step
        def unmatched(self):
            self.choice = "three"
            self.next({"one": self.each, "two": self.end}, condition="choice")

        @step
        def each(self):
            self.next(self.item, foreach=(str(i) for i in range(3)))

        @step
        def named(self):
            self.xs = [10, 20]
            self.next(self.item, foreach="xs", on_error="collect")

        @step
        def nothing(self):
            self.next(self.item, foreach=[])

        @step
        def item(self):
            self.stack = self.foreach_stack()
            self.mine = (self.input, self.index)
            self.next(self.gather)

        @step
        def gather(self, inputs):
            self.errors = [i.error and i.error.message for i in inputs]
            self.mine = [i.mine for i in inputs if not i.error]
            self.next(self.end)

        @step
        def silent(self):
            if self.constant > 100:
                self.next(self.end)

        @step
        def twice(self):
            self.next(self.end)
            self.next(self.end)

        @step
        def dynamic(self):
            self.next(getattr(self, "en" + "d"))
            self.next(self.silent) if self.constant > 100 else None

        @step
        def fails(self):
            self.before = 1
            helper()
            self.next(self.end)

        @step
        def unpicklable(self):
            self.good = 1
            self.bad = lambda: sys._getframe()
            self.worse = {"deep": [sys._getframe()]}
            self.next(self.end)

        @step
        def bad_items(self):
            self.next(self.item, foreach=broken())

        @step
        def ambiguous(self):
            if self.constant == 7:
                raise ValueError("which way?")
            self.next(self.item, foreach=[1])

        @step
        def interrupted(self):
            raise KeyboardInterrupt

        @step
        def tells(self):
            self.facts = [current.flow_name, current.run_id, current.step_name, current.task_id, current.retry_count]
            self.facts += [sorted(current.tags), current.parameter_names, current.username, current.is_running_flow]
            self.facts.append(current.graph["start_step"])
            self.next(self.end)

        @step
        def end(self):
            pass

    def helper():
        raise ValueError("the reason\\nmore of it")

    def broken():
        yield 1
        raise OSError("half way")
"""


def reads(outcome: TaskOutcome) -> dict[str, Any]:
    """Names that a record says were read."""
    found: dict[str, Any] = unpack(outcome.body)[2]
    return found


@pytest.fixture
def driver(drive: Drive) -> Any:
    opened = drive(FLOW)
    opened.begin(tags=("b", "a"), parameters=("alpha",), username="ada")
    return opened


def error_of(driver: Any, step: str, **call: Any) -> ErrorReport:
    ended = driver.run(step, **call)
    error: ErrorReport = ended.outcome.error
    assert error is not None
    assert ended.exit.code == 1
    return error


def test_outputs_and_the_transition(driver: Any) -> None:
    outcome = driver.outcome("start")
    assert set(driver.values(outcome)) == {"numbers", "table", "text", "blob"}
    assert outcome.next.targets == ("mutates", "reads")
    assert outcome.finished >= outcome.started > 1_600_000_000
    assert reads(outcome) == {}
    assert driver.outcome("end").next.targets == ()


def test_what_is_changed_in_place_is_an_output(driver: Any) -> None:
    scope = driver.commit(driver.outcome("start"))
    outcome = driver.outcome("mutates", scope=scope)
    assert driver.values(outcome) == {"numbers": [1, 2, 3, 4], "table": {"a": {"b": 2}, "set": {1, 2}}}
    assert set(reads(outcome)) == {"numbers", "table", "text"}


def test_what_is_only_read_is_none(driver: Any) -> None:
    scope = driver.commit(driver.outcome("start"))
    outcome = driver.outcome("reads", scope=scope)
    assert driver.values(outcome) == {"seen": [[1, 2, 3], {1, 2}, "same", 7, False]}
    noted = reads(outcome)
    assert set(noted) == {"numbers", "table", "text", "constant", "missing"}
    assert noted["missing"] is None
    assert all(len(noted[name]) == 32 for name in set(noted) - {"missing"})


def test_a_join_reads_and_merges(driver: Any) -> None:
    scope = driver.commit(driver.outcome("start"))
    left = driver.commit(driver.outcome("mutates", scope=scope), scope)
    right = driver.commit(driver.outcome("reads", scope=scope), scope)
    joined = [JoinInput(path="mutates", scope=left), JoinInput(path="reads", scope=right)]
    outcome = driver.outcome("join", joined=joined)
    values = driver.values(outcome)
    assert values == {"both": [[1, 2, 3, 4], [1, 2, 3]], "text": "same", "blob": b"x" * 200}
    noted = reads(outcome)[""]
    assert {name for name in noted if name[0] != "?"} == {"numbers", "text", "blob"}
    assert noted["numbers"][0] != noted["numbers"][1]
    assert noted["text"][0] == noted["text"][1]


def test_a_switch(driver: Any) -> None:
    outcome = driver.outcome("switch")
    assert (outcome.next.targets, outcome.next.condition) == (("end",), '"two"')
    error = error_of(driver, "unmatched")
    assert "choice = 'three'" in error.message
    assert "'one', 'two'" in error.message


def test_foreach_over_anything(driver: Any) -> None:
    outcome = driver.outcome("each")
    assert (outcome.next.targets, outcome.next.length, outcome.next.var) == (("item",), 3, "")
    scope = driver.commit(outcome)
    for i, frames in enumerate(driver.frames(outcome, scope)):
        item = driver.outcome("item", path=f"item[{i}]", scope=scope, frames=frames)
        assert driver.values(item) == {"stack": [(i, 3, str(i))], "mine": (str(i), i)}
        assert set(reads(item)) == {"foreach_stack", "input", "index"}
    named = driver.outcome("named")
    assert (named.next.length, named.next.var, named.next.on_error) == (2, "xs", "collect")
    assert driver.outcome("nothing").next.length == 0
    assert "half way" in error_of(driver, "bad_items").message


def test_a_failed_input_is_an_input(driver: Any) -> None:
    start = driver.outcome("named")
    scope = driver.commit(start)
    first, second = driver.frames(start, scope)
    done = driver.commit(driver.outcome("item", path="item[0]", scope=scope, frames=first), scope)
    failure = ErrorReport(type="ValueError", message="lost it")
    joined = [
        JoinInput(path="item[0]", scope=done, frames=first),
        JoinInput(path="item[1]", scope=None, frames=second, error=failure),
    ]
    values = driver.values(driver.outcome("gather", joined=joined))
    assert values == {"errors": [None, "lost it"], "mine": [(10, 0)]}
    assert driver.values(driver.outcome("gather", joined=[])) == {"errors": [], "mine": []}


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ("silent", "returned without calling self.next"),
        ("twice", "called self.next twice"),
        ("dynamic", "which its source does not show"),
    ],
)
def test_transitions_that_are_none(driver: Any, step: str, words: str) -> None:
    assert words in error_of(driver, step).message


def test_the_traceback_is_the_users(driver: Any) -> None:
    error = error_of(driver, "fails")
    assert (error.type, error.message, error.kind) == ("ValueError", "the reason", "exception")
    assert error.bases == ("ValueError", "Exception", "BaseException")
    assert "in fails" in error.traceback
    assert 'raise ValueError("the reason' in error.traceback
    assert "dovetail/" not in error.traceback


def test_a_value_that_cannot_be_stored_is_named(driver: Any) -> None:
    error = error_of(driver, "unpicklable")
    assert error.type == "dovetail.interfaces.errors.UnpicklableError"
    assert "worse" in error.message


def test_an_interrupt_is_a_failure(driver: Any) -> None:
    assert error_of(driver, "interrupted").type == "KeyboardInterrupt"


CATCH = Policy(catch=CatchPolicy(var="failure"))


def test_catch_on_the_last_attempt(driver: Any) -> None:
    worker = driver.assign("fails", policy=CATCH, last=False)
    assert driver.wait_for(Ended, worker).outcome.error.message == "the reason"
    outcome = driver.outcome("fails", policy=CATCH)
    assert outcome.caught.message == "the reason"
    assert outcome.next.targets == ("end",)
    values = driver.values(outcome)
    assert values["before"] == 1
    assert isinstance(values["failure"], CaughtError)
    assert values["failure"].type == "ValueError"
    assert "raise ValueError" in driver.output("fails", "stderr")
    assert unpack(outcome.body)[4]["message"] == "the reason"


def test_catch_that_has_nothing_to_catch(driver: Any) -> None:
    assert driver.values(driver.outcome("switch", policy=CATCH)) == {"choice": "two", "failure": None}


def test_catch_keeps_what_can_be_kept(driver: Any) -> None:
    quiet = Policy(catch=CatchPolicy(print_exception=False))
    outcome = driver.outcome("unpicklable", policy=quiet)
    assert driver.values(outcome)["good"] == 1
    assert "worse" not in driver.values(outcome)
    assert driver.output("unpicklable") == ""


def test_catch_needs_one_way_to_go_on(driver: Any) -> None:
    assert error_of(driver, "ambiguous", policy=CATCH).message == "which way?"
    assert error_of(driver, "interrupted", policy=CATCH).type == "KeyboardInterrupt"


def test_current(driver: Any) -> None:
    facts = driver.values(driver.outcome("tells", path="tells#2"))["facts"]
    assert facts == ["Attempts", "run1", "tells", "tells#2", 0, ["a", "b"], ["alpha"], "ada", True, "start"]


WRAPPED = """
    import logging
    from dovetail import FlowSpec, step

    log = logging.getLogger("mine")
    handler = logging.StreamHandler()
    log.addHandler(handler)

    def outer(task):
        print("outer begins", task.path, task.step, task.attempt)
        try:
            return (yield)
        finally:
            print("outer ends")

    def inner():
        print("inner begins")
        try:
            result = yield
        except LookupError as error:
            print("inner swallows", error)
            return None
        print("inner ends")
        return result

    class Wrapped(FlowSpec):
        @step
        def start(self):
            print("body")
            log.warning("logged")
            self.next(self.end)

        @step
        def fails(self):
            self.next(self.end)
            raise KeyError("gone")

        @step
        def end(self):
            pass
"""


def test_wrappers_stand_around_the_step(drive: Drive) -> None:
    driver = drive(WRAPPED)
    driver.begin(settings={"child_hooks": {"wrappers": ["flow:outer", "flow:inner"]}})
    assert driver.outcome("start").next.targets == ("end",)
    lines = ["outer begins start start 1", "inner begins", "body", "inner ends", "outer ends"]
    assert driver.output("start", "stdout").splitlines() == lines
    assert driver.output("start", "stderr") == "logged\n"
    driver.outcome("fails")
    assert "inner swallows 'gone'" in driver.output("fails", "stdout")


def test_a_wrapper_that_cannot_be_imported_fails_the_attempt(drive: Drive) -> None:
    driver = drive(WRAPPED)
    driver.begin(settings={"child_hooks": {"wrappers": ["flow:none"]}})
    assert error_of(driver, "start").type == "AttributeError"


def test_a_step_with_a_data_store_of_its_own(drive: Drive) -> None:
    driver = drive(FLOW)
    flow = driver.describe()
    own = "5f0c1c1e-0000-4000-8000-000000000002"
    driver.group.begin(
        RunFacts(
            run="run1",
            flow=flow.name,
            stores={
                STORE: {"backend": "local", "target": str(driver.folder / "store")},
                own: {"backend": "local", "target": str(driver.folder / "own")},
            },
            home=str(driver.folder / "home"),
            settings={"store": STORE},
        )
    )
    call = replace(driver.call("start"), datastore=own)
    worker = driver.group.start(Isolation.AUTO, tasks=1)
    driver.group.assign(worker, [Assignment(call, 1, True)])
    outcome = driver.wait_for(Ended, worker).outcome
    assert outcome.error is None
    assert outcome.values == b""
    assert outcome.objects
    refs = ScopeReader([pack_layer(outcome.outputs, None)])
    assert refs.get("text").place.store == own
    again = driver.outcome("reads", scope=Scope(driver.root, pack_layer(outcome.outputs, None), b""))
    assert driver.values(again)["seen"][2] == "same"
