"""Metadata provider: rows and queries."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dovetail.interfaces.errors import UsageError
from dovetail.interfaces.events import RUN_COLUMNS, TASK_COLUMNS, Event, EventKind
from dovetail.interfaces.metadata import MetadataProvider, Page, Query
from dovetail.testing.conformance.datastore_suite import error_of
from dovetail.testing.conformance.metadata_suite import NOW, MetadataSuite, note, run_rows, tagged, task, task_rows
from dovetail.testing.conformance.suite import guards
from dovetail.testing.memory_metadata import MemoryMetadata

__all__ = ["MetadataIndex"]


def _created(run: int, flow: str, **data: Any) -> Event:
    return Event("d", 1, EventKind.RUN_CREATED, NOW + run, "", {"flow": flow, "created": NOW + run, **data})


def _fill(provider: MetadataProvider) -> None:
    """Four runs of two flows, in various states."""
    runs = [
        ("01ra", "Train", {"user": "ann", "tags": ["x"], "system_tags": ["s"], "parameters": {"p": 1, "q": "1"}}),
        ("01rb", "Train", {"user": "bob", "tags": ["x", "y"], "parameters": {"p": "1"}}),
        ("02ra", "Test", {"user": "ann", "parameters": {"p": [1, {"a": None}]}}),
        ("02rb", "Train", {"user": "", "parameters": {"p": 1.0}}),
    ]
    for n, (run, flow, data) in enumerate(runs):
        provider.create_run(flow, run_id=run, created=NOW + n)
        events = [
            _created(n, flow, **data),
            Event("d", 2, EventKind.EXPECTED, NOW, "", {"step": "body", "count": 3}),
            task(3, "start", "running", started=NOW + n),
            task(4, "body[0]", "running", started=NOW + n + 10, cpu=0.5),
            task(5, "start", "succeeded", was="running", finished=NOW + n + 1, outputs='{"y":[42],"odd\\"x":"é"}'),
            task(6, "body[1]/fit~0123456789abcdef", "failed", error='{"e":1}', cache="k1" if n % 2 else "k2"),
        ]
        if n == 3:
            events.append(Event("w", 7, EventKind.RUN_STATE, NOW, "", {"state": "failed", "finished": NOW + 99}))
        provider.append(run, events, fence=1)


_ALL = ("01ra", "01rb", "02ra", "02rb")
_FILTERS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "flow": ({"flow": "Test"}, ("02ra",)),
    "no-flow": ({"flow": "Tes"}, ()),
    "run": ({"run": "01rb"}, ("01rb",)),
    "run-prefix": ({"run": "02"}, ("02ra", "02rb")),
    "state": ({"states": ("failed",)}, ("02rb",)),
    "states": ({"states": ("failed", "running")}, _ALL),
    "tag": ({"tags": ("x",)}, ("01ra", "01rb")),
    "tags": ({"tags": ("x", "y")}, ("01rb",)),
    "system-tag": ({"tags": ("s", "x")}, ("01ra",)),
    "user": ({"user": "ann"}, ("01ra", "02ra")),
    "nobody": ({"user": ""}, ("02rb",)),
    "since": ({"since": NOW + 1}, ("01rb", "02ra", "02rb")),
    "until": ({"until": NOW + 1}, ("01ra",)),
    "parameter": ({"parameters": {"p": 1}}, ("01ra", "02rb")),
    "text-parameter": ({"parameters": {"p": "1"}}, ("01rb",)),
    "deep-parameter": ({"parameters": {"p": [1, {"a": None}]}}, ("02ra",)),
    "parameters": ({"parameters": {"p": 1, "q": "1"}}, ("01ra",)),
    "several": ({"flow": "Train", "user": "ann", "tags": ("x",)}, ("01ra",)),
}
_TASK_FILTERS: dict[str, tuple[dict[str, Any], int]] = {
    "step": ({"step": "body"}, 4),
    "step-of-call": ({"step": "fit"}, 4),
    "path": ({"path": "body[0]"}, 4),
    "no-path": ({"path": "body"}, 0),
    "state": ({"states": ("succeeded", "failed")}, 8),
    "run": ({"run": "01ra"}, 3),
    "started-since": ({"since": NOW + 11}, 3),
    "started-until": ({"until": NOW + 1}, 1),
    "of-flow": ({"flow": "Test", "states": ("running",)}, 1),
    "of-tags": ({"tags": ("y",)}, 3),
}


def _by_name(page: Page) -> list[dict[str, Any]]:
    """Rows in an order of their own: that of the answer is another guarantee's."""
    rows = [dict(zip(page.columns, row, strict=True)) for row in page.rows]
    return sorted(rows, key=lambda row: [str(row.get(name)) for name in ("flow", "run", "step", "path", "state")])


class MetadataIndex(MetadataSuite):
    """`query`, `counts`."""

    @guards("metadata.fold-is-applied")
    @pytest.mark.parametrize("kind", ["flows", "runs", "steps", "tasks"])
    def test_rows_are_the_fold_of_the_events(self, provider: MetadataProvider, kind: Any) -> None:
        model = MemoryMetadata()
        for one in (provider, model):
            _fill(one)
            one.append("01ra", [tagged(1, "x", add=("new", "é"), remove=("x",))])
            driver = {"fence": 2, "host": "h", "pid": 5}
            one.append("02rb", [Event("e", 1, EventKind.DRIVER, NOW, "", driver)], fence=2)
            one.append("02rb", [Event("e", 2, EventKind.PAUSE, NOW, "", {"reason": "r"})])
        came, expected = (_by_name(one.query(Query(kind=kind))) for one in (provider, model))
        assert len(came) == len(expected), f"expected {len(expected)} rows of {kind}, came {len(came)}"
        odd = [
            f"{name} = {wanted[name]!r}, came {row.get(name)!r}"
            for row, wanted in zip(came, expected, strict=True)
            for name in wanted
            if row.get(name) != wanted[name]
        ]
        assert not odd, f"expected in a row of {kind} {odd[0]}"

    @guards("metadata.counts")
    def test_counts_follow_the_states(self, provider: MetadataProvider) -> None:
        _fill(provider)
        expected = {"body": {"running": 1, "expected": 3}, "start": {"succeeded": 1}, "fit": {"failed": 1}}
        counts = provider.counts("01ra")
        assert counts == expected, f"expected {expected}, came {counts}"
        done = [
            task(7, "body[0]", "succeeded", was="running"),
            Event("w", 8, EventKind.EXPECTED, NOW, "", {"step": "body", "count": -3}),
        ]
        provider.append("01ra", done, fence=1)
        counts = provider.counts("01ra")
        assert counts["body"] == {"succeeded": 1}, f"expected zeros to be left out, came {counts['body']}"
        assert provider.counts("nothing") == {}, "expected no counts of a run that is not there"

    @guards("metadata.query-filters")
    @pytest.mark.parametrize("name", list(_FILTERS))
    def test_runs_are_filtered(self, provider: MetadataProvider, name: str) -> None:
        _fill(provider)
        fields, expected = _FILTERS[name]
        found = sorted(run for (run,) in run_rows(provider, **fields))
        assert found == sorted(expected), f"expected the runs {expected} of {fields}, came {found}"

    @guards("metadata.query-filters")
    @pytest.mark.parametrize("name", list(_TASK_FILTERS))
    def test_tasks_are_filtered(self, provider: MetadataProvider, name: str) -> None:
        _fill(provider)
        fields, expected = _TASK_FILTERS[name]
        found = task_rows(provider, "run", "path", **fields)
        assert len(found) == expected, f"expected {expected} tasks of {fields}, came {found}"

    @guards("metadata.query-order")
    def test_newest_come_first(self, provider: MetadataProvider) -> None:
        _fill(provider)
        provider.create_run("Late", run_id="00early", created=NOW - 5)
        found = [[run for (run,) in run_rows(provider, oldest_first=oldest)] for oldest in (False, True)]
        expected = ["02rb", "02ra", "01rb", "01ra", "00early"]
        assert found == [expected, expected[::-1]], f"expected {expected} and its reverse, came {found}"
        tasks = task_rows(provider, run="01ra", oldest_first=True)
        paths = [("start",), ("body[0]",), ("body[1]/fit~0123456789abcdef",)]
        assert tasks == paths, f"expected tasks by first appearance {paths}, came {tasks}"

    @guards("metadata.query-pages")
    @pytest.mark.parametrize("kind", ["runs", "tasks"])
    @pytest.mark.parametrize("oldest", [False, True])
    @pytest.mark.parametrize("limit", [1, 3, 4, 12, 50])
    def test_pages_are_the_whole(self, provider: MetadataProvider, kind: Any, oldest: bool, limit: int) -> None:
        _fill(provider)
        columns = ("run", "path") if kind == "tasks" else ("run",)
        query = Query(kind=kind, oldest_first=oldest)
        whole = provider.query(query, columns=columns).rows
        rows: list[Any] = []
        cursor = None
        for _ in range(len(whole) + 1):
            page = provider.query(replace(query, limit=limit, cursor=cursor), columns=columns)
            assert len(page.rows) <= limit, f"expected at most {limit} rows a page, came {len(page.rows)}"
            rows += page.rows
            cursor = page.cursor
            if cursor is None:
                break
        assert cursor is None, "expected no cursor at the end, came another one"
        assert rows == whole, f"expected the {len(whole)} rows of the whole answer from pages, came {len(rows)}: {rows}"

    @guards("metadata.query-pages")
    def test_pages_go_on_while_runs_are_added(self, provider: MetadataProvider) -> None:
        _fill(provider)
        page = provider.query(Query(kind="runs", limit=2), columns=("run",))
        provider.create_run("Train", run_id="03new", created=NOW + 50)
        rest = provider.query(Query(kind="runs", limit=9, cursor=page.cursor), columns=("run",))
        found = [run for (run,) in page.rows + rest.rows]
        assert found == list(reversed(_ALL)), f"expected each of the runs once, without the new one, came {found}"

    @guards("metadata.query-columns")
    def test_columns_are_as_asked(self, provider: MetadataProvider) -> None:
        _fill(provider)
        page = provider.query(Query(kind="runs", run="01ra"), columns=("flow", "run", "flow"))
        found = (page.columns, page.rows)
        assert found == (("flow", "run", "flow"), [("Train", "01ra", "Train")]), (
            f"expected the columns asked, came {found}"
        )
        for kind, columns in (("runs", RUN_COLUMNS), ("tasks", TASK_COLUMNS)):
            named = provider.query(Query(kind=kind)).columns  # type: ignore[arg-type]
            assert tuple(named) == columns, f"expected the columns {columns} of {kind}, came {named}"
        outputs = task_rows(provider, "artifact:y", 'artifact:odd"x', "artifact:none", run="01ra", path="start")
        assert outputs == [("[42]", '"é"', None)], f"expected single outputs as JSON text, came {outputs}"

    @guards("metadata.query-columns")
    @pytest.mark.parametrize("kind", ["runs", "tasks"])
    def test_an_unknown_column_is_refused(self, provider: MetadataProvider, kind: Any) -> None:
        error = error_of(lambda: provider.query(Query(kind=kind), columns=("run", "nothing")))
        assert isinstance(error, UsageError), f"expected UsageError of an unknown column, came {error!r}"

    @guards("metadata.tags")
    def test_tags_come_and_go(self, provider: MetadataProvider) -> None:
        provider.create_run("Train", run_id="r1")
        for n, (add, remove) in enumerate(
            [(("b", "é", "a"), ()), (("b",), ("a",)), (("a",), ("nothing",)), ((), ("b",))]
        ):
            provider.append("r1", [tagged(n, add=add, remove=remove)])
        [(tags,)] = run_rows(provider, "tags")
        assert tags == ["a", "é"], f"expected the tags ['a', 'é'], sorted, came {tags}"
        found = [run_rows(provider, tags=(tag,)) for tag in ("a", "b", "é")]
        assert found == [[("r1",)], [], [("r1",)]], f"expected the run by its present tags alone, came {found}"

    @guards("metadata.cache-keys")
    def test_the_newest_of_each_cache_key(self, provider: MetadataProvider) -> None:
        _fill(provider)
        found = sorted(task_rows(provider, "cache", "run", cache=("k1", "k2", "k3")))
        assert found == [("k1", "02rb"), ("k2", "02ra")], f"expected the newest task of each key, came {found}"
        found = sorted(task_rows(provider, "cache", "run", cache=("k1",), besides="02rb"))
        assert found == [("k1", "01rb")], f"expected a task of another run than 02rb, came {found}"

    @guards("metadata.fold-is-applied")
    def test_what_can_not_be_folded_in_is_kept_out_of_rows(self, provider: MetadataProvider) -> None:
        provider.create_run("Train", run_id="r1", created=NOW)
        before = provider.query(Query(kind="runs")).rows
        provider.append("r1", [note(1), Event("w", 2, EventKind.SIGNAL, NOW, "", {"name": "s", "value": 1})], fence=1)
        after = provider.query(Query(kind="runs")).rows
        assert after == before, f"expected notes and signals to change no row, came {after}"
