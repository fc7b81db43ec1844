"""Finds runs and tasks by what people type: ids, prefixes, numbers, names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dovetail.client.pathspec import Pathspec, run_prefix
from dovetail.client.unknown import unknown
from dovetail.interfaces.errors import UnknownNameError, UsageError
from dovetail.interfaces.events import RUN_COLUMNS
from dovetail.interfaces.metadata import Query
from dovetail.interfaces.states import RunState

if TYPE_CHECKING:
    from dovetail.client.connection import Connection

__all__ = ["find_run", "fresh_rows", "require_flow", "run_rows"]

_PAGE = 100
_NAMED = 5
"""How many candidates an error names."""


def flow_names(connection: Connection) -> list[str]:
    """Names of all flows on record."""
    page = connection.provider.query(Query(kind="flows"))
    at = page.columns.index("flow")
    return [row[at] for row in page.rows]


def require_flow(connection: Connection, name: str) -> None:
    """Raise UnknownNameError unless a run of the flow is on record."""
    if not connection.provider.query(Query(kind="runs", flow=name, limit=1), columns=("run",)).rows:
        raise unknown(
            "flow",
            name,
            flow_names(connection),
            hint=f"Nothing has run yet in {connection.where}." if not flow_names(connection) else "",
        )


def run_rows(connection: Connection, query: Query) -> Iterator[dict[str, Any]]:
    """Run rows, page by page, with `lost` told from `running` by the drivers' leases.

    `lost` is no stored state, so a filter by it reads the running runs and looks at their leases.
    """
    wanted = query.states
    if RunState.LOST.value in wanted:
        stored = tuple(dict.fromkeys("running" if state == "lost" else state for state in wanted))
        query = replace(query, states=stored)
    derived = bool(set(wanted) & {"lost", "running"})
    left, cursor = query.limit, query.cursor
    while left is None or left > 0:
        size = _PAGE if left is None or derived else min(_PAGE, left)
        page = connection.provider.query(replace(query, limit=size, cursor=cursor), columns=RUN_COLUMNS)
        for row in fresh_rows(connection, [dict(zip(RUN_COLUMNS, row, strict=True)) for row in page.rows]):
            if derived and row["state"] not in wanted:
                continue
            yield row
            if left is not None:
                left -= 1
                if left == 0:
                    return
        if page.cursor is None:
            return
        cursor = page.cursor


def fresh_rows(connection: Connection, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with `state` as it is: `lost` where the journal says running and no driver holds the lease.

    The lease is looked at after the row, so a run that ended in between has its row read again.
    """
    running = [row for row in rows if (row["state"] or "running") == "running"]
    if not running:
        return rows
    alive = connection.live_runs(running[0]["run"] if len(running) == 1 else "")
    left = []
    for row in running:
        row["state"] = "running"
        if row["run"] not in alive:
            left.append(row)
    if not left:
        return rows
    still = _still_running(connection, left)
    for row in left:
        if row["run"] in still:
            row["state"] = "lost"
            continue
        again = connection.provider.query(Query(kind="runs", run=row["run"], limit=1), columns=RUN_COLUMNS).rows
        if again:
            row.update(zip(RUN_COLUMNS, again[0], strict=True))
    return rows


def _still_running(connection: Connection, rows: list[dict[str, Any]]) -> set[str]:
    """Those of the runs that the journal still calls running, asked for together."""
    created = [row["created"] for row in rows]
    query = Query(kind="runs", states=("running",), since=min(created), until=max(created) + 1.0)
    if len(rows) == 1:
        query = Query(kind="runs", states=("running",), run=rows[0]["run"])
    return {row[0] for row in connection.provider.query(query, columns=("run",)).rows}


def find_run(connection: Connection, spec: Pathspec, *, flow: str | None = None) -> dict[str, Any]:
    """The row of the run that `spec` names; without a run the flow's newest.

    Raises:
        UnknownNameError: There is none.
        UsageError: The prefix fits several.
    """
    flow = flow or spec.flow
    if spec.run is None:
        assert flow is not None, "a pathspec names a flow or a run"
        require_flow(connection, flow)
        row = next(run_rows(connection, Query(kind="runs", flow=flow, limit=1)), None)
        assert row is not None, "the flow has a run"
        return row
    prefix = run_prefix(spec.run)
    rows = list(run_rows(connection, Query(kind="runs", flow=flow, run=prefix, limit=_NAMED + 1)))
    exact = [row for row in rows if row["run"] == prefix]
    if len(rows) == 1 or exact:
        return (exact or rows)[0]
    if rows:
        named = ", ".join(f"{row['flow']}/{row['run']}" for row in rows[:_NAMED])
        more = " and more" if len(rows) > _NAMED else ""
        raise UsageError(f"{spec.run!r} fits more than one run: {named}{more}", hint="Give more of the id.")
    raise _unknown_run(connection, spec.run, prefix, flow)


def _unknown_run(connection: Connection, text: str, prefix: str, flow: str | None) -> UnknownNameError:
    if flow is not None:
        require_flow(connection, flow)
        elsewhere = connection.provider.query(Query(kind="runs", run=prefix, limit=1), columns=("run", "flow")).rows
        if elsewhere:
            run, other = elsewhere[0]
            return UnknownNameError(f"Run {text!r} is not of flow {flow}", hint=f"It is {other}/{run}.")
    page = connection.provider.query(Query(kind="runs", flow=flow, limit=_PAGE), columns=("run",))
    hint = f"Nothing has run yet in {connection.where}." if not page.rows else "dovetail runs lists what there is."
    return unknown("run", text, [row[0] for row in page.rows], where=f"flow {flow}" if flow else "", hint=hint)
