"""Error reports: the user's frames, all of the chain, and no hostile exception that breaks them."""

from __future__ import annotations

import sys
import threading

import pytest

from dovetail.artifacts.serializers.pickled import PickleSerializer
from dovetail.authoring.flowspec import FlowSpec
from dovetail.interfaces.errors import (
    BackendTimeoutError,
    StoreFullError,
    StoreReadOnlyError,
    UnpicklableError,
    UsageError,
)
from dovetail.interfaces.tasks import ErrorReport
from dovetail.worker.reports import kind_of_ours, report_exception


class OwnError(LookupError):
    pass


class HostileError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def catch(error: BaseException) -> ErrorReport:
    try:
        raise error
    except BaseException as caught:
        return report_exception(caught)


def test_what_a_report_says() -> None:
    report = catch(OwnError("first\nsecond"))
    assert report.type.endswith("test_reports.OwnError")
    assert report.message == "first"
    assert report.bases[-3:] == ("LookupError", "Exception", "BaseException")
    assert report.kind == "exception"
    assert "raise error" in report.traceback
    assert "second" in report.traceback


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("can't load:", "can't load:"),
        ("can't load:\n  a.py: no such name\n  b.py: another", "can't load: a.py: no such name"),
        ("wrong:\n\n  in a.py:\n    in f:\n   x", "wrong: in a.py: in f:"),
        ("", ""),
    ],
)
def test_a_message_does_not_stop_at_a_colon(text: str, message: str) -> None:
    assert catch(OwnError(text)).message == message


def test_our_frames_are_cut_and_the_users_kept() -> None:
    class Flow(FlowSpec):
        pass

    try:
        Flow().next()
    except UsageError as error:
        report = report_exception(error)
    assert "Flow().next()" in report.traceback
    assert "dovetail/authoring" not in report.traceback
    assert "self.next needs the step" in report.message


def test_chains_are_kept() -> None:
    def chained() -> None:
        try:
            {}["key"]
        except KeyError as error:
            raise OwnError("on top") from error

    try:
        chained()
    except OwnError as error:
        report = report_exception(error)
    assert "KeyError: 'key'" in report.traceback
    assert "direct cause" in report.traceback
    assert report.traceback.index("KeyError") < report.traceback.index("on top")


def test_causes_inside_of_dovetail_are_left_out() -> None:
    with pytest.raises(UnpicklableError) as raised:
        PickleSerializer().dump(threading.Lock())
    assert raised.value.__cause__ is not None
    report = report_exception(raised.value)
    assert "PickleSerializer().dump" in report.traceback
    assert "direct cause" not in report.traceback
    bare = catch(_from(ValueError("never raised itself")))
    assert "ValueError: never raised itself" in bare.traceback


def _from(cause: Exception) -> OwnError:
    error = OwnError("on top")
    error.__cause__ = cause
    return error


@pytest.mark.skipif(sys.version_info < (3, 11), reason="notes and groups came with Python 3.11")
def test_notes_and_groups_are_kept() -> None:
    error = ExceptionGroup("several", [OwnError("inner"), ValueError("other")])  # noqa: F821
    error.add_note("a note")
    report = catch(error)
    assert report.message == "several (2 sub-exceptions)"
    for text in ("a note", "inner", "ValueError: other"):
        assert text in report.traceback


def test_hostile_exceptions() -> None:
    report = catch(HostileError())
    assert report.type.endswith("HostileError")
    assert "can't be shown" in report.message
    report = catch(ValueError("x" * 1_000_000))
    assert len(report.traceback) < 80_000
    assert "characters left out" in report.traceback
    assert catch(ValueError("\udcff")).message == "\\udcff"


def test_exits() -> None:
    assert catch(SystemExit(3)).message == "the task called sys.exit(3)"
    assert catch(SystemExit()).kind == "exit"
    try:
        raise SystemExit(2)
    except SystemExit as error:
        report = report_exception(error, kind="start")
    assert (report.kind, report.message) == ("start", "the flow's file called sys.exit(2)")


def test_deep_recursion() -> None:
    def deeper() -> None:
        deeper()

    try:
        deeper()
    except RecursionError as error:
        report = report_exception(error)
    assert report.type == "RecursionError"
    assert "repeated" in report.traceback


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (StoreFullError("no room"), "store"),
        (StoreReadOnlyError("read-only"), "store"),
        (BackendTimeoutError("no answer"), "store"),
        (UnpicklableError("a lock"), "start"),
        (UsageError("no transition"), "start"),
        (OSError(28, "the user's own"), "start"),
    ],
)
def test_what_is_the_stores_fault(error: Exception, kind: str) -> None:
    assert kind_of_ours(error, "start") == kind
