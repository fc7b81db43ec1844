"""Observers: told in order on a thread of their own, never fatal."""

from __future__ import annotations

import json
import logging
import threading

from dovetail.interfaces.events import Event, EventKind
from dovetail.plugins import RunInfo
from dovetail.plugins.events import EventHooks

RUN = RunInfo(run="r" * 26, flow="F", user="ada")
HOOKS = {
    "dovetail_run_started": ("run",),
    "dovetail_run_finished": ("run", "outcome"),
    "dovetail_task_started": ("task",),
    "dovetail_task_finished": ("task", "outcome"),
}


def event(kind, path="", **data):
    return Event("w", 1, kind, 5.0, path, data)


def task(path, state, **data):
    return event(EventKind.TASK, path, state=state, **data)


def recorder(seen):
    def observer(hook):
        def call(**arguments):
            what = arguments.get("task") or arguments["run"]
            outcome = arguments.get("outcome")
            seen.append((hook, getattr(what, "path", ""), outcome.state if outcome else None))

        return call

    return [("dist", hook, observer(hook), names) for hook, names in HOOKS.items()]


def test_order_and_one_start_a_task():
    seen = []
    hooks = EventHooks(RUN, recorder(seen))
    hooks.feed([event(EventKind.RUN_CREATED), event(EventKind.DRIVER), event(EventKind.EXPECTED, step="a", count=1)])
    hooks([task("a", "running", attempt=1), task("a", "running", attempt=2), task("a", "succeeded", attempt=2)])
    hooks.feed([task("b[0]", "succeeded"), task("c", "skipped"), task("d", "cached"), task("e", "planned")])
    hooks.feed([event(EventKind.RUN_STATE, state="running"), event(EventKind.RUN_STATE, state="succeeded")])
    assert hooks.close()
    assert seen == [
        ("dovetail_run_started", "", None),
        ("dovetail_task_started", "a", None),
        ("dovetail_task_finished", "a", "succeeded"),
        ("dovetail_task_started", "b[0]", None),
        ("dovetail_task_finished", "b[0]", "succeeded"),
        ("dovetail_task_finished", "c", "skipped"),
        ("dovetail_task_finished", "d", "cached"),
        ("dovetail_run_finished", "", "succeeded"),
    ]


def test_errors_are_reports():
    found = []
    report = {"type": "ValueError", "message": "bad", "traceback": "", "bases": ["ValueError"], "kind": "exception"}
    observers = [
        ("d", "dovetail_task_finished", lambda task, outcome: found.append(outcome.error), ("task", "outcome")),
        ("d", "dovetail_run_finished", lambda outcome: found.append(outcome.error), ("outcome",)),
    ]
    hooks = EventHooks(RUN, observers)
    hooks.feed([task("a", "failed", error=json.dumps(report)), task("b", "failed", error="plain text")])
    hooks.feed([event(EventKind.RUN_STATE, state="failed", error={"path": "a", "message": "bad"})])
    hooks.close()
    assert [(e.type, e.message) for e in found] == [("ValueError", "bad"), ("", "plain text"), ("", "a: bad")]


def test_a_failure_is_logged_once_and_others_are_still_told(caplog):
    seen = []

    def broken(task):
        raise RuntimeError("observer bug")

    observers = [("bad-dist", "dovetail_task_started", broken, ("task",)), *recorder(seen)]
    hooks = EventHooks(RUN, observers)
    with caplog.at_level(logging.WARNING, logger="dovetail.plugins"):
        hooks.feed([task("a", "running"), task("b", "running")])
        assert hooks.close()
    assert [path for _, path, _ in seen] == ["a", "b"]
    assert len(hooks.failures) == 1
    assert "dovetail_task_started of bad-dist failed" in hooks.failures[0]
    assert "observer bug" in caplog.text


def test_feeding_does_not_wait_for_a_slow_observer(monkeypatch):
    monkeypatch.setattr("dovetail.plugins.events._BACKLOG", 10)
    gate, begun, seen = threading.Event(), threading.Event(), []

    def slow(task):
        begun.set()
        gate.wait(30)
        seen.append(task.path)

    hooks = EventHooks(RUN, [("d", "dovetail_task_started", slow, ("task",))])
    hooks.feed([task("first", "running")])
    assert begun.wait(30)
    hooks.feed([task(f"t{i}", "running") for i in range(50)])
    hooks.feed([event(EventKind.RUN_STATE, state="succeeded")])
    assert hooks.dropped == 40
    assert not hooks.close(timeout=0.0)
    gate.set()
    assert not hooks.close(timeout=30)  # It saw what was kept, not everything.
    assert len(seen) == 11


def test_arguments_are_those_that_the_observer_takes():
    seen = []
    hooks = EventHooks(RUN, [("d", "dovetail_run_started", lambda: seen.append("x"), ())])
    hooks.feed([event(EventKind.DRIVER)])
    hooks.close()
    assert seen == ["x"]


def test_through_the_registry(site, load):
    package = site.add(
        "dovetail-watch",
        """
        seen = []

        @hookimpl
        def dovetail_run_finished(outcome):
            seen.append(outcome.state)
        """,
    )
    import sys

    hooks = load().event_hooks(RUN)
    assert hooks is not None
    hooks.feed([event(EventKind.DRIVER), event(EventKind.RUN_STATE, state="cancelled")])
    assert hooks.close()
    assert sys.modules[f"{package}.plugin"].seen == ["cancelled"]
