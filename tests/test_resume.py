"""What resume runs again and why: continued under the same id, or a new run that reuses by key."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from flowproject import FlowProject, Said

from dovetail.interfaces.events import EventKind

SHOP = '''
FACTOR = 2


def priced(base, item):
    """What an item costs."""
    return base + item * FACTOR


class Shop(FlowSpec):
    rate = Parameter(default=1)
    size = Parameter(default=2)

    @step
    def start(self):
        count()
        self.items = [0, 1, 2]
        self.next(self.price, self.stock)

    @step
    def price(self):
        count()
        self.base = 10 * self.rate
        self.next(self.each, foreach="items")

    @step
    def each(self):
        count()
        self.cost = priced(self.base, self.input)
        self.next(self.gather)

    @step
    def gather(self, inputs):
        count()
        self.costs = [one.cost for one in inputs]
        self.next(self.join)

    @step
    def stock(self):
        count()
        self.stocked = self.size * 2
        self.next(self.join)

    @step
    def join(self, inputs):
        count()
        self.total = sum(inputs.gather.costs) + inputs.stock.stocked
        self.next(self.end)

    @step
    def end(self):
        count()
        if os.path.exists("fail"):
            raise RuntimeError("told to fail")
        self.answer = self.total
'''
EACH = {"each[0]", "each[1]", "each[2]"}
ALL = {"start", "price", "stock", *EACH, "gather", "join", "end"}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlowProject]:
    """A flow whose end failed in its first run."""
    made = FlowProject(tmp_path_factory.mktemp("shop"))
    made.write(SHOP)
    (made.folder / "fail").touch()
    said = made.fails("run", "flow.py")
    assert set(said.ran) == ALL
    (made.folder / "fail").unlink()
    yield made
    made.close()


@pytest.fixture
def failed(shop: FlowProject) -> FlowProject:
    """The same, with the flow as it was."""
    shop.write(SHOP)
    return shop


def resumed(project: FlowProject, *words: str, run: str = "") -> Said:
    """Resume a run, the first by default, and see that what it reports is what it did."""
    before = run or [run.id for run in project.client().runs()][-1]
    said = project.ok("resume", before, *words)
    assert set(said.ran.values()) <= {1}
    now = project.run(said.run)
    assert now.id != before
    assert now.origin == before
    states = project.states(now.id)
    assert {path for path, state in states.items() if state == "succeeded"} == set(said.ran)
    assert {path for path, state in states.items() if state == "cached"} == set(states) - set(said.ran)
    return said


def why(project: FlowProject, said: Said) -> dict[str, str]:
    """Path → why it ran although something is recorded, as the journal says; the terminal says each reason."""
    notes = [event for event in project.run(said.run).events() if event.kind == EventKind.NOTE and event.path]
    reasons = {event.path: event.data["message"].removeprefix("runs: ") for event in notes}
    for reason in set(reasons.values()):
        assert f"runs: {reason}\n" in said.err
    return {path: reason for path, reason in reasons.items() if reason not in ("it had not finished", "it had failed")}


# -- what runs again --------------------------------------------------------------------------------------------------


def test_only_what_failed(failed: FlowProject) -> None:
    said = resumed(failed)
    assert set(said.ran) == {"end"}
    assert failed.data(said.run).answer == 40
    assert "end runs: it had failed\n" in said.err
    assert why(failed, said) == {}


def test_a_changed_step_and_what_reads_what_it_changed(failed: FlowProject) -> None:
    failed.change("priced(self.base, self.input)", "priced(self.base, self.input) + 1")
    said = resumed(failed)
    assert set(said.ran) == {*EACH, "gather", "join", "end"}
    assert failed.data(said.run).answer == 43
    reasons = why(failed, said)
    assert reasons["each[0]"] == "code of Shop.each changed"
    assert reasons["gather"] == "input cost of each[0] changed"
    assert reasons["join"] == "input costs of gather changed"


def test_a_changed_step_that_comes_to_the_same(failed: FlowProject) -> None:
    failed.change("self.size * 2", "self.size + self.size")
    said = resumed(failed)
    assert set(said.ran) == {"stock", "end"}
    assert why(failed, said) == {"stock": "code of Shop.stock changed"}


def test_a_changed_helper_counts_for_who_calls_it(failed: FlowProject) -> None:
    failed.change("return base + item * FACTOR", "return base + FACTOR * item")
    said = resumed(failed)
    assert set(said.ran) == {*EACH, "end"}
    assert why(failed, said)["each[2]"] == "code of flow.py:priced changed"


def test_a_changed_constant_of_the_module_counts_for_who_reads_it(failed: FlowProject) -> None:
    failed.change("FACTOR = 2", "FACTOR = 3")
    said = resumed(failed)
    assert set(said.ran) == {*EACH, "gather", "join", "end"}
    assert why(failed, said)["each[1]"] == "code of flow.py:FACTOR changed"


def test_comments_layout_and_docstrings_do_not_count(failed: FlowProject) -> None:
    failed.change(
        "self.base = 10 * self.rate", "# ten times\n        self.base = (10 *\n                     self.rate)"
    )
    failed.change('"""What an item costs."""', '"""The price of an item."""')
    failed.change("class Shop(FlowSpec):\n", 'class Shop(FlowSpec):\n    """A shop."""\n\n')
    assert set(resumed(failed).ran) == {"end"}


def test_decorators_that_say_how_often_and_where_do_not_count(failed: FlowProject) -> None:
    failed.change("    @step\n    def stock", "    @retry(times=3)\n    @timeout(minutes=5)\n    @step\n    def stock")
    assert set(resumed(failed).ran) == {"end"}


def test_a_function_that_no_step_calls_does_not_count(failed: FlowProject) -> None:
    failed.change("class Shop", "def unused():\n    return 1\n\n\nclass Shop")
    assert set(resumed(failed).ran) == {"end"}


def test_a_changed_parameter_counts_for_who_reads_it(failed: FlowProject) -> None:
    said = resumed(failed, "--size", "5")
    assert set(said.ran) == {"stock", "join", "end"}
    assert failed.run(said.run).parameters == {"rate": 1, "size": 5}
    assert failed.data(said.run).answer == 46
    assert why(failed, said) == {"stock": "input size changed", "join": "input stocked of stock changed"}
    said = resumed(failed, "--rate", "2", run=said.run)
    assert set(said.ran) == {"price", *EACH, "gather", "join", "end"}
    assert failed.run(said.run).parameters == {"rate": 2, "size": 5}


def test_the_value_of_a_parameter_is_no_run(failed: FlowProject) -> None:
    """Wherever the option stands."""
    first = [run.id for run in failed.client().runs()][-1]
    said = failed.ok("resume", "--size", "5", first)
    assert failed.run(said.run).parameters == {"rate": 1, "size": 5}
    said = failed.ok("resume", "--rate=3", "--size", "6", "flow.py", first, "--from", "end")
    assert failed.run(said.run).parameters == {"rate": 3, "size": 6}
    assert failed.run(said.run).origin == first


def test_a_changed_default_of_a_parameter_does_not_count(failed: FlowProject) -> None:
    """The value is pinned in the run."""
    failed.change("rate = Parameter(default=1)", "rate = Parameter(default=7)")
    said = resumed(failed)
    assert set(said.ran) == {"end"}
    assert failed.run(said.run).parameters == {"rate": 1, "size": 2}


def test_items_that_are_added_and_changed(failed: FlowProject) -> None:
    failed.change("self.items = [0, 1, 2]", "self.items = [0, 5, 2, 3]")
    said = resumed(failed)
    assert set(said.ran) == {"start", "price", "each[1]", "each[3]", "gather", "join", "end"}
    assert why(failed, said)["price"] == "input items changed"
    assert why(failed, said)["each[1]"] == "its item changed"
    assert why(failed, said)["gather"] == "it joins 4 tasks instead of 3"
    assert failed.data(said.run).answer == 4 * 10 + 2 * 10 + 4


def test_a_new_step_between(failed: FlowProject) -> None:
    failed.change(
        "        self.next(self.end)\n",
        "        self.next(self.check)\n\n    @step\n    def check(self):\n        count()\n"
        "        self.total += 1\n        self.next(self.end)\n",
    )
    said = resumed(failed)
    assert set(said.ran) == {"join", "check", "end"}
    assert failed.data(said.run).answer == 41


# -- what one asks for ------------------------------------------------------------------------------------------------


def test_from_a_step(failed: FlowProject) -> None:
    said = resumed(failed, "--from", "gather")
    assert set(said.ran) == {"gather", "end"}
    assert why(failed, said)["gather"] == "asked for by --from"


def test_from_works_on_a_run_that_succeeded(failed: FlowProject) -> None:
    first = resumed(failed)
    said = resumed(failed, "--from", "stock", "--from", "each", run=first.run)
    assert set(said.ran) == {"stock", *EACH}
    assert failed.data(said.run).answer == 40


def test_code_that_is_to_be_ignored(failed: FlowProject) -> None:
    failed.change("self.size * 2", "self.size * 3")
    failed.change("10 * self.rate", "11 * self.rate")
    said = resumed(failed, "--ignore", "code:stock")
    assert set(said.ran) == {"price", *EACH, "gather", "join", "end"}
    assert failed.data(said.run).answer == 43


def test_all_code_to_be_ignored(failed: FlowProject) -> None:
    failed.change("self.size * 2", "self.size * 3")
    failed.change("FACTOR = 2", "FACTOR = 3")
    said = resumed(failed, "--ignore", "code")
    assert set(said.ran) == {"end"}
    assert failed.data(said.run).answer == 40


def test_tags_are_taken_over_and_added(failed: FlowProject) -> None:
    first = resumed(failed, "--tag", "second", "--from", "stock")
    said = resumed(failed, "--tag", "third", "--from", "stock", run=first.run)
    assert failed.run(said.run).user_tags == {"second", "third"}


def test_the_newest_run_that_did_not_succeed(project: FlowProject) -> None:
    project.write(SHOP)
    fail = project.folder / "fail"
    fail.touch()
    first = project.fails("run", "flow.py").run
    second = project.fails("resume", "flow.py").run
    third = project.fails("resume").run
    assert [project.run(run).origin for run in (second, third)] == [first, second]
    fail.unlink()
    fourth = project.ok("resume").run
    assert project.run(fourth).origin == third


def test_a_run_that_was_resumed_successfully_is_not_meant(project: FlowProject) -> None:
    """Neither is an older one silently: it may be of long ago."""
    project.write(SHOP)
    project.write(SHOP.replace("class Shop", "class Other"), name="other_flow.py")
    fail = project.folder / "fail"
    fail.touch()
    other = project.fails("run", "other_flow.py").run
    first = project.fails("run", "flow.py").run
    second = project.fails("resume", "flow.py").run
    fail.unlink()
    third = project.ok("resume").run
    before = [run.id for run in project.runs()]
    for words, older in (((), other), (("flow.py",), None), (("Shop",), None)):
        said = project.fails("resume", *words, code=2)
        assert f"run {second}, the newest that has not succeeded, was resumed successfully as {third}" in said.err
        assert f"name it: dovetail resume {second}" in said.err
        assert (f"dovetail resume {other}" in said.err) is (older is not None)
        assert not said.ran
    assert [run.id for run in project.runs()] == before
    assert project.run(project.ok("resume", second).run).origin == second
    assert project.run(project.ok("resume", first).run).origin == first
    assert project.run(project.ok("resume", "other_flow.py").run).origin == other
    fail.touch()
    last = project.fails("run", "flow.py").run
    fail.unlink()
    assert project.run(project.ok("resume").run).origin == last


def test_nothing_to_resume(project: FlowProject) -> None:
    project.write(SHOP)
    said = project.fails("resume", code=2)
    assert "there is no run to resume" in said.err
    project.ok("run", "flow.py")
    said = project.fails("resume", "flow.py", code=2)
    assert "all of flow.py have succeeded" in said.err
    assert "--from" in said.err
    said = project.fails("resume", "zzzz", code=2)
    assert "there is no run zzzz" in said.err


@pytest.mark.parametrize(
    ("words", "hints"),
    [
        (("--from", "gahter"), ["no step gahter", "gather"]),
        (("--ignore", "code:prize"), ["no step prize", "price"]),
        (("--ignore", "input"), ["only code and plugins can be ignored"]),
        (("--siez", "3"), ["--siez", "--size"]),
        (("--size", "many"), ["--size", "whole number"]),
    ],
)
def test_what_makes_no_sense_starts_nothing(failed: FlowProject, words: tuple[str, ...], hints: list[str]) -> None:
    before = [run.id for run in failed.client().runs()]
    said = failed.fails("resume", "flow.py", before[-1], *words, code=2)
    assert all(hint in said.err for hint in hints), str(said)
    assert not said.ran
    assert [run.id for run in failed.client().runs()] == before


def test_a_file_that_has_moved(failed: FlowProject) -> None:
    (failed.folder / "flow.py").rename(failed.folder / "shop.py")
    first = [run.id for run in failed.client().runs()][-1]
    said = failed.fails("resume", first, code=2)
    assert "flow.py, which is not there" in said.err
    assert f"dovetail resume flow.py {first}" in said.err
    assert failed.ok("resume", "shop.py", first).run != first


# -- continued under the same id --------------------------------------------------------------------------------------

SLOW = """
class Slow(FlowSpec):
    size = Parameter(default=1)

    @step
    def start(self):
        count()
        self.x = self.size
        self.next(self.work)

    @step
    def work(self):
        count()
        open("working", "w").close()
        while not os.path.exists("go on"):
            time.sleep(0.01)
        self.y = self.x + 1
        self.next(self.end)

    @step
    def end(self):
        count()
        self.answer = self.y
"""


@pytest.fixture(params=["interrupted", "lost"])
def stopped(project: FlowProject, request: pytest.FixtureRequest) -> FlowProject:
    """A run that was stopped in its second step, by Ctrl-C or by kill -9 of its driver."""
    project.write(SLOW)
    driving = project.start("run", "flow.py")
    driving.wait_for("working")
    driving.signal(signal.SIGINT if request.param == "interrupted" else signal.SIGKILL)
    said = driving.end()
    assert set(said.ran) == {"start", "work"}
    assert str(project.run(driving.run).state) == request.param
    (project.folder / "go on").touch()
    return project


def test_an_unchanged_run_is_continued(stopped: FlowProject) -> None:
    before = next(stopped.client().runs())
    said = stopped.ok("resume")
    assert said.run == before.id
    assert set(said.ran) == {"work", "end"}
    assert len(list(stopped.client().runs())) == 1
    run = stopped.run(before.id)
    assert str(run.state) == "succeeded"
    assert run.origin is None
    assert stopped.states(run.id) == {"start": "succeeded", "work": "succeeded", "end": "succeeded"}
    assert run.data.answer == 2


@pytest.mark.parametrize("change", ["code", "parameter", "from", "graph"])
def test_a_changed_run_is_not(stopped: FlowProject, change: str) -> None:
    words: list[str] = []
    if change == "code":
        stopped.change("self.y = self.x + 1", "self.y = self.x + 2")
    elif change == "graph":
        stopped.change(
            "    @step\n    def end",
            "    @step\n    def other(self):\n        count()\n        self.next(self.end)\n\n    @step\n    def end",
        )
        stopped.change(
            "        self.y = self.x + 1\n        self.next(self.end)",
            "        self.y = self.x + 1\n        self.next(self.other)",
        )
    elif change == "parameter":
        words += ["--size", "5"]
    else:
        words += ["--from", "start"]
    said = resumed(stopped, *words)
    more = {"parameter": {"start"}, "from": {"start"}, "graph": {"other"}}
    assert set(said.ran) == {"work", "end"} | more.get(change, set())


def test_comments_let_a_run_be_continued(stopped: FlowProject) -> None:
    before = next(stopped.client().runs())
    stopped.change("class Slow", "# slow\nclass Slow")
    assert stopped.ok("resume").run == before.id


def test_a_run_that_goes_on_is_left_alone(project: FlowProject) -> None:
    project.write(SLOW)
    driving = project.start("run", "flow.py")
    driving.wait_for("working")
    said = project.fails("resume", driving.run, code=2)
    assert "is being driven by another process" in said.err
    (project.folder / "go on").touch()
    assert driving.end().code == 0
    assert str(project.run(driving.run).state) == "succeeded"


def test_of_two_that_resume_a_run_one_continues_it(project: FlowProject) -> None:
    project.write(SLOW)
    driving = project.start("run", "flow.py")
    driving.wait_for("working")
    driving.signal(signal.SIGKILL)
    driving.end()
    both = [project.start("resume", "flow.py"), project.start("resume", "flow.py")]
    (project.folder / "go on").touch()
    said = [one.end() for one in both]
    assert sorted(one.code for one in said) in ([0, 0], [0, 2]), "\n".join(map(str, said))
    assert str(project.run(driving.run).state) == "succeeded"
    states = project.states(driving.run)
    assert set(states.values()) == {"succeeded"}


def test_a_resumed_run_that_was_stopped_goes_on_to_reuse(project: FlowProject) -> None:
    """What the origin had done is reused also after the run that resumes it was interrupted; what was asked stays."""
    project.write(
        """
        class Chain(FlowSpec):
            @step
            def start(self):
                count()
                self.next(self.a)

            @step
            def a(self):
                count()
                self.x = 1
                self.next(self.b)

            @step
            def b(self):
                count()
                self.y = self.x
                self.next(self.c)

            @step
            def c(self):
                count()
                self.z = self.y
                self.next(self.end)

            @step
            def end(self):
                count()
        """
    )
    first = project.ok("run", "flow.py")
    waiting = "open('working', 'w').close()\n        while not os.path.exists('go on'): time.sleep(0.01)\n"
    project.change("        self.x = 1\n", f"        {waiting}        self.x = 1\n")
    driving = project.start("resume", first.run, "--from", "c")
    driving.wait_for("working")
    driving.signal(signal.SIGINT)
    assert driving.end().code == 130
    (project.folder / "go on").touch()
    said = project.ok("resume", driving.run)
    assert said.run == driving.run
    assert set(said.ran) == {"a", "c"}
    assert project.states(said.run) == {
        "start": "cached",
        "a": "succeeded",
        "b": "cached",
        "c": "succeeded",
        "end": "cached",
    }


# -- reads that are not plain names -----------------------------------------------------------------------------------


def test_reads_of_the_place_in_a_foreach(project: FlowProject) -> None:
    """Index, item and stack, of the task itself and of what it joins, are inputs like any other."""
    project.write(
        """
        class Places(FlowSpec):
            @step
            def start(self):
                count()
                self.items = ["a", "b"]
                self.next(self.one, foreach="items")

            @step
            def one(self):
                count()
                self.seen = [list(frame) for frame in self.foreach_stack()]
                self.index_seen = self.index
                self.next(self.join)

            @step
            def join(self, inputs):
                count()
                self.all = [[one.index, one.input] for one in inputs]
                self.stacks = [[list(frame) for frame in one.foreach_stack()] for one in inputs]
                self.next(self.end)

            @step
            def end(self):
                count()
                if os.path.exists("fail"):
                    raise RuntimeError("told to fail")
        """
    )
    (project.folder / "fail").touch()
    project.fails("run", "flow.py")
    second = project.fails("resume")
    assert set(second.ran) == {"end"}, str(second)
    project.change('["a", "b"]', '["a", "c"]')
    (project.folder / "fail").unlink()
    said = resumed(project, run=second.run)
    assert {"start", "one[1]", "join", "end"} <= set(said.ran)
    assert project.run(said.run).task("join").data.all == [[0, "a"], [1, "c"]]
    assert project.run(said.run).task("one[0]").data.seen == [[0, 2, "a"]]


def test_an_artifact_that_was_absent(project: FlowProject) -> None:
    project.write(
        """
        class Absent(FlowSpec):
            @step
            def start(self):
                count()
                self.a = 1
                self.next(self.look)

            @step
            def look(self):
                count()
                self.found = getattr(self, "b", "none")
                self.known = hasattr(self, "c")
                self.next(self.end)

            @step
            def end(self):
                count()
                if os.path.exists("fail"):
                    raise RuntimeError("told to fail")
        """
    )
    (project.folder / "fail").touch()
    project.fails("run", "flow.py")
    (project.folder / "fail").unlink()
    project.change("self.a = 1", "self.a = 1; self.d = 0")
    said = resumed(project)
    assert set(said.ran) == {"start", "end"}
    project.change("self.d = 0", "self.b = 2")
    said = resumed(project, run=said.run)
    assert {"start", "look"} <= set(said.ran)
    assert project.data(said.run).found == 2


def test_merging_sees_artifacts_that_are_new(project: FlowProject) -> None:
    project.write(
        """
        class Merging(FlowSpec):
            @step
            def start(self):
                count()
                self.next(self.a, self.b)

            @step
            def a(self):
                count()
                self.x = 1
                self.next(self.join)

            @step
            def b(self):
                count()
                self.next(self.join)

            @step
            def join(self, inputs):
                count()
                self.merge_artifacts(inputs)
                self.next(self.end)

            @step
            def end(self):
                count()
        """
    )
    first = project.ok("run", "flow.py")
    project.change("self.x = 1", "self.x = 1; self.y = 2")
    said = resumed(project, run=first.run)
    assert {"a", "join"} <= set(said.ran)
    assert project.data(said.run).y == 2


def test_an_input_that_no_longer_fails(project: FlowProject) -> None:
    project.write(
        """
        class Collecting(FlowSpec):
            @step
            def start(self):
                count()
                self.next(self.one, foreach=[1, 2, 3], on_error="collect")

            @step
            def one(self):
                count()
                if self.input == 2 and os.path.exists("fail"):
                    raise ValueError("two")
                self.next(self.join)

            @step
            def join(self, inputs):
                count()
                self.failed = sum(one.error is not None for one in inputs)
                self.next(self.end)

            @step
            def end(self):
                count()
                if os.path.exists("fail"):
                    raise RuntimeError("told to fail")
        """
    )
    (project.folder / "fail").touch()
    project.fails("run", "flow.py")
    second = project.fails("resume")
    assert set(second.ran) == {"one[1]", "end"}, str(second)  # it fails as before
    (project.folder / "fail").unlink()
    said = resumed(project, run=second.run)
    assert set(said.ran) == {"one[1]", "join", "end"}
    assert project.data(said.run).failed == 0
