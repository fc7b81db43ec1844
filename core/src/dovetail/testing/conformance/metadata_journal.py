"""Metadata provider: runs and their journals."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from dovetail.interfaces.errors import AlreadyExistsError, NotFoundError, PreconditionError, StaleFenceError
from dovetail.interfaces.events import INBOX_KINDS, Event, EventKind
from dovetail.interfaces.metadata import MetadataProvider
from dovetail.interfaces.runs import RUN_ID
from dovetail.testing.conformance.datastore_suite import error_of
from dovetail.testing.conformance.metadata_suite import NOW, MetadataSuite, note, run_rows, tagged, task, task_rows
from dovetail.testing.conformance.races import THREADS, race
from dovetail.testing.conformance.suite import guards

__all__ = ["MetadataJournal"]


def _seen(provider: MetadataProvider, run: str, **options: Any) -> list[tuple[int, str, int]]:
    return [(event.seq, event.writer, event.n) for event in provider.read(run, **options)]


class MetadataJournal(MetadataSuite):
    """`create_run`, `append`, `read`, `watch`, `delete_run`."""

    @guards("metadata.create-run")
    def test_create_run_registers_once(self, provider: MetadataProvider) -> None:
        first = provider.create_run("Train", run_id="r1", created=NOW)
        assert (first.run, first.flow, first.created) == ("r1", "Train", NOW), f"expected r1 of Train, came {first}"
        provider.append("r1", [note(1)], fence=1)
        again = provider.create_run("Train", run_id="r1", created=NOW + 9)
        assert again == first, f"expected the same run for the same id, came {again}"
        assert _seen(provider, "r1") == [(1, "w", 1)], "expected the journal to stay when a run is registered again"
        rows = run_rows(provider, "run", "flow", "created", "state")
        assert rows == [("r1", "Train", NOW, "running")], f"expected one row of the run, came {rows}"

    @guards("metadata.create-run")
    def test_a_run_without_an_id_gets_one(self, provider: MetadataProvider) -> None:
        made = [provider.create_run("Train") for _ in range(3)]
        odd = [run.run for run in made if not RUN_ID.fullmatch(run.run)]
        assert not odd, f"expected a run id (26 characters), came {odd}"
        assert len({run.run for run in made}) == 3, f"expected another id for each run, came {made}"

    @guards("metadata.run-has-one-flow")
    def test_an_id_is_of_one_flow(self, provider: MetadataProvider) -> None:
        provider.create_run("Train", run_id="r1", created=NOW)
        error = error_of(lambda: provider.create_run("Test", run_id="r1"))
        assert isinstance(error, AlreadyExistsError), f"expected AlreadyExistsError for another flow, came {error!r}"
        assert run_rows(provider, "flow") == [("Train",)], "expected the run to stay as it was"

    @guards("metadata.sequence")
    def test_events_are_numbered(self, provider: MetadataProvider) -> None:
        for run in ("r1", "r2"):
            provider.create_run("Train", run_id=run)
        last = [
            provider.append("r1", [note(1), note(2)], fence=1),
            provider.append("r2", [note(1)], fence=1),
            provider.append("r1", [], fence=1),
            provider.append("r1", [tagged(7, "x")]),
            provider.append("r1", [note(9)], fence=1),
        ]
        assert last == [2, 1, 2, 3, 4], f"expected the last numbers 2, 1, 2, 3, 4, came {last}"
        found = _seen(provider, "r1")
        expected = [(1, "w", 1), (2, "w", 2), (3, "x", 7), (4, "w", 9)]
        assert found == expected, f"expected {expected} in the journal, came {found}"

    @guards("metadata.events-are-kept")
    def test_events_are_read_as_they_were_appended(self, provider: MetadataProvider) -> None:
        provider.create_run("Train", run_id="r1")
        data: dict[str, Any] = {
            "message": "größe ✓ \U0001f600 \x00",
            "level": "info",
            "deep": [1, 2.5, None, True, {"a": []}],
            "": "e",
        }
        events = [
            Event("writer-ü", 3, EventKind.NOTE, NOW + 1 / 3, "", data),
            Event(
                "w",
                10**12,
                EventKind.ATTEMPT,
                0.0,
                "body[0]/fit~0123456789abcdef#2",
                {"attempt": 1, "error": "e" * 5000},
            ),
            Event("w", 10**12 + 1, EventKind.TASK, NOW, "start", {"state": "running", "step": "start"}),
        ]
        provider.append("r1", events, fence=1)
        found = [replace(event, seq=0, data=dict(event.data)) for event in provider.read("r1")]
        odd = [pair for pair in zip(found, events, strict=True) if pair[0] != pair[1]]
        assert not odd, f"expected {odd[0][1]}, came {odd[0][0]}"

    @guards("metadata.append-is-idempotent")
    def test_an_event_is_appended_once(self, provider: MetadataProvider) -> None:
        provider.create_run("Train", run_id="r1")
        first = [task(1, "start", "running"), task(2, "start", "succeeded", was="running")]
        provider.append("r1", first, fence=1)
        last = provider.append("r1", first, fence=1)
        assert last == 2, f"expected the last number to stay 2 when a batch is appended again, came {last}"
        last = provider.append("r1", [*first, task(3, "body", "running"), task(3, "body", "running")], fence=1)
        assert last == 3, f"expected one fresh event in a batch that was there in part, came {last - 2}"
        found = [(n, writer) for _, writer, n in _seen(provider, "r1")]
        assert found == [(1, "w"), (2, "w"), (3, "w")], f"expected each event once, came {found}"
        counts = provider.counts("r1")
        expected = {"start": {"succeeded": 1}, "body": {"running": 1}}
        assert counts == expected, f"expected tasks to be counted once, {expected}, came {counts}"

    @guards("metadata.append-is-idempotent")
    def test_writers_have_numbers_of_their_own(self, provider: MetadataProvider) -> None:
        provider.create_run("Train", run_id="r1")
        provider.append("r1", [tagged(1, "a", add=("x",)), tagged(1, "b", add=("y",)), tagged(2, "a")])
        last = provider.append("r1", [tagged(1, "c"), tagged(2, "a"), tagged(0, "a")])
        assert last == 5, f"expected 5 events of (writer, n), came {last}"

    @guards("metadata.append-is-atomic")
    def test_a_refused_batch_leaves_nothing(self, provider: MetadataProvider) -> None:
        provider.create_run("Train", run_id="r1")
        error = error_of(lambda: provider.append("r1", [tagged(1, add=("x",)), task(2, "start", "running")]))
        assert isinstance(error, PreconditionError), (
            f"expected PreconditionError of a task without a fence, came {error!r}"
        )
        provider.append("r1", [note(1, "d")], fence=5)
        error = error_of(lambda: provider.append("r1", [task(3, "start", "running")], fence=4))
        assert isinstance(error, StaleFenceError), f"expected StaleFenceError of a lower fence, came {error!r}"
        found = (_seen(provider, "r1"), run_rows(provider, "tags"), task_rows(provider), provider.counts("r1"))
        expected: Any = ([(1, "d", 1)], [([],)], [], {})
        assert found == expected, f"expected neither events nor rows of refused batches, came {found}"

    @guards("metadata.fence")
    def test_a_lower_fence_is_stale(self, provider: MetadataProvider) -> None:
        provider.create_run("Train", run_id="r1")
        provider.create_run("Train", run_id="r2")
        provider.append("r1", [note(1)], fence=3)
        provider.append("r1", [note(2)], fence=3)
        driver = Event("d", 1, EventKind.DRIVER, NOW, "", {"fence": 7, "host": "h", "pid": 1})
        provider.append("r1", [driver], fence=7)
        for fence in (6, 3, 0):
            error = error_of(lambda fence=fence: provider.append("r1", [note(3)], fence=fence))  # type: ignore[misc]
            assert isinstance(error, StaleFenceError), f"expected StaleFenceError of {fence} after 7, came {error!r}"
        provider.append("r1", [tagged(4)])
        provider.append("r2", [note(1)], fence=1)
        last = provider.append("r1", [note(5)], fence=8)
        assert last == 5, f"expected 5 events of the present drivers and the inbox, came {last}"

    @guards("metadata.inbox")
    @pytest.mark.parametrize("kind", sorted(INBOX_KINDS))
    def test_anyone_appends_to_the_inbox(self, provider: MetadataProvider, kind: str) -> None:
        provider.create_run("Train", run_id="r1")
        provider.append("r1", [note(1)], fence=9)
        data = {"add": ["t"], "name": "s", "value": 1, "reason": "why"}
        last = provider.append("r1", [Event("someone", 1, kind, NOW, "", data)])
        assert last == 2, f"expected an event of kind {kind} to be taken without a fence, came {last} in all"

    @guards("metadata.inbox")
    @pytest.mark.parametrize("kind", ["run.created", "run.state", "driver", "step.expected", "task", "attempt", "note"])
    def test_only_a_driver_appends_the_rest(self, provider: MetadataProvider, kind: str) -> None:
        provider.create_run("Train", run_id="r1")
        data = {"flow": "Train", "state": "failed", "fence": 1, "host": "h", "pid": 1, "step": "s", "count": 1}
        error = error_of(lambda: provider.append("r1", [Event("someone", 1, kind, NOW, "start", data)]))
        assert isinstance(error, PreconditionError), (
            f"expected PreconditionError of {kind} without a fence, came {error!r}"
        )
        assert list(provider.read("r1")) == [], "expected nothing to be appended"

    @guards("metadata.unknown-run")
    @pytest.mark.parametrize("verb", ["append", "append-nothing", "read", "watch"])
    def test_an_unknown_run_is_told(self, provider: MetadataProvider, verb: str) -> None:
        provider.create_run("Train", run_id="r1")
        calls: dict[str, Callable[[], Any]] = {
            "append": lambda: provider.append("r", [tagged(1)]),
            "append-nothing": lambda: provider.append("r", [], fence=1),
            "read": lambda: list(provider.read("r")),
            "watch": lambda: list(provider.watch("r")),
        }
        error = error_of(calls[verb])
        assert isinstance(error, NotFoundError), f"expected NotFoundError of {verb}, came {error!r}"

    @guards("metadata.read-since")
    @pytest.mark.parametrize("since", [0, 1, 149, 299, 300, 999])
    def test_read_goes_on_behind_a_number(self, provider: MetadataProvider, since: int) -> None:
        provider.create_run("Train", run_id="r1")
        for begin in range(0, 300, 60):
            provider.append("r1", [note(n) for n in range(begin, begin + 60)], fence=1)
        found = [event.seq for event in provider.read("r1", since=since)]
        expected = list(range(since + 1, 301))
        assert found == expected, f"expected {len(expected)} events behind {since}, came {len(found)}: {found[:3]} ..."

    @guards("metadata.watch")
    @pytest.mark.parametrize("state", ["succeeded", "failed", "cancelled"])
    def test_watch_waits_and_ends(self, provider: MetadataProvider, state: str) -> None:
        provider.create_run("Train", run_id="r1")
        provider.append("r1", [note(1), note(2), note(3)], fence=1)
        seen: list[int] = []
        ended = threading.Event()

        def watch() -> None:
            seen.extend(event.seq for event in provider.watch("r1", since=1))
            ended.set()

        threading.Thread(target=watch, daemon=True).start()
        for n in (4, 5):
            provider.append("r1", [note(n)], fence=1)
            time.sleep(0.02)
        provider.append("r1", [Event("w", 6, EventKind.RUN_STATE, NOW, "", {"state": "interrupted"})], fence=1)
        provider.append("r1", [tagged(7)])
        assert not ended.wait(0.05), f"expected the watch to go on before a final state, came an end after {seen}"
        last = [note(8), Event("w", 9, EventKind.RUN_STATE, NOW, "", {"state": state})]
        provider.append("r1", last, fence=1)
        assert ended.wait(self.patience), f"expected the watch to end when the run is {state}, came {seen} and no end"
        assert seen == list(range(2, 10)), f"expected the events 2 to 9, came {seen}"
        assert [event.seq for event in provider.watch("r1", since=8)] == [9], "expected a watch of an ended run to end"

    @guards("metadata.consistent")
    def test_other_handles_see_it_at_once(self, provider: MetadataProvider, reopen: Callable[[], Any]) -> None:
        other = reopen()
        for n in range(1, 6):
            run = f"r{n}"
            provider.create_run("Train", run_id=run, created=NOW + n)
            provider.append(run, [task(1, "start", "running"), tagged(2, add=("t",))], fence=1)
            found = (_seen(other, run), other.counts(run), run_rows(other, "tags", run=run))
            expected = ([(1, "w", 1), (2, "w", 2)], {"start": {"running": 1}}, [(["t"],)])
            assert found == expected, f"expected {expected} through another handle at once, came {found}"
            other.append(run, [tagged(1, "x", remove=("t",))])
            assert run_rows(provider, "tags", run=run) == [([],)], "expected what another handle appended at once"

    @guards("metadata.delete-run")
    def test_delete_run_forgets_one_run(self, provider: MetadataProvider) -> None:
        for run in ("r1", "r2"):
            provider.create_run("Train", run_id=run, created=NOW)
            events = [task(1, "start", "running"), tagged(2, add=("t",))]
            provider.append(run, events, fence=5)
        provider.delete_run("r1")
        provider.delete_run("r1")
        provider.delete_run("never")
        error = error_of(lambda: list(provider.read("r1")))
        assert isinstance(error, NotFoundError), f"expected NotFoundError of a deleted run, came {error!r}"
        found = (run_rows(provider, tags=("t",)), task_rows(provider, "run"), provider.counts("r1"))
        assert found == ([("r2",)], [("r2",)], {}), f"expected rows of r2 alone, came {found}"
        assert len(_seen(provider, "r2")) == 2, "expected the other run's journal to stay"
        provider.create_run("Test", run_id="r1", created=NOW)
        last = provider.append("r1", [note(1)], fence=1)
        assert last == 1, f"expected a run that is made again to begin at 1, came {last}"
        assert run_rows(provider, "tags", run="r1") == [([],)], "expected no tags of the run that was deleted"

    @guards("metadata.thread-safe")
    def test_threads_append_side_by_side(self, provider: MetadataProvider) -> None:
        provider.create_run("Train", run_id="r1")

        def work(writer: str) -> list[int]:
            last = []
            for n in range(6):
                last.append(
                    provider.append("r1", [tagged(2 * n, writer), tagged(2 * n + 1, writer, add=(f"{writer}{n}",))])
                )
                run_rows(provider, "tags")
            return last

        outcomes = race([partial(work, f"w{n}") for n in range(THREADS)])
        errors = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
        assert not errors, f"expected all threads to append, came {errors[0]!r}"
        found = _seen(provider, "r1")
        count = THREADS * 12
        assert [seq for seq, _, _ in found] == list(range(1, count + 1)), (
            f"expected the numbers 1 to {count}, came {found}"
        )
        for n in range(THREADS):
            own = [number for _, writer, number in found if writer == f"w{n}"]
            assert own == list(range(12)), f"expected each writer's events once and in order, came {own} of w{n}"
        for seq in (last for outcome in outcomes for last in outcome):
            assert found[seq - 1][2] % 2 == 1, "expected append to return the number of its own last event"
        [(tags,)] = run_rows(provider, "tags")
        assert len(tags) == THREADS * 6, f"expected the tags of all threads, came {len(tags)}"
