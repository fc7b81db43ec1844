"""Runs, tasks and artifacts in notebooks: small tables, everything escaped, nothing fetched from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING, Any

from dovetail.interfaces.errors import DovetailError

if TYPE_CHECKING:
    from dovetail.client.artifact import DataArtifact
    from dovetail.client.run import Run
    from dovetail.client.task import Task

__all__ = ["artifact_html", "run_html", "task_html"]

_LISTED = 20
"""Artifacts of a task that are listed."""


def artifact_html(artifact: DataArtifact) -> str:
    """Its facts and a preview; of one that is gone, or damaged, the reason."""
    facts: list[tuple[str, Any]] = [("type", artifact.type), ("size", _bytes(artifact.size))]
    facts.append(("serializer", artifact.serializer))
    try:
        from dovetail.client.previews import preview_of

        facts += [("shape", " × ".join(f"{length:,}" for length in artifact.shape or ())), ("dtype", artifact.dtype)]
        shown = preview_of(artifact, 5).html
    except DovetailError as error:
        shown = _paragraph(error.message)
    return _titled(artifact.pathspec, facts, shown)


def task_html(task: Task) -> str:
    """How it went, and what it left."""
    outputs = task.outputs
    names = list(outputs)
    rows = [
        (name, outputs[name].type, _bytes(outputs[name].size), outputs[name].serializer) for name in names[:_LISTED]
    ]
    shown = _table(("artifact", "type", "size", "serializer"), rows) if rows else ""
    if len(names) > _LISTED:
        shown += _paragraph(f"and {len(names) - _LISTED:,} more")
    error = task.exception
    facts = [
        ("state", task.state.value),
        ("started", _time(task.started_at)),
        ("seconds", _seconds(task.duration)),
        ("error", None if error is None else f"{error.type}: {error.message}"),
    ]
    return _titled(task.pathspec, facts, shown)


def run_html(run: Run) -> str:
    """How it goes, its parameters and its steps."""
    counts = run.counts()
    rows = [(step, ", ".join(f"{n:,} {state}" for state, n in states.items())) for step, states in counts.items()]
    error = run.error or {}
    facts = [
        ("state", run.state.value),
        ("user", run.user),
        ("started", _time(run.started_at)),
        ("seconds", _seconds(run.duration)),
        ("parameters", ", ".join(f"{name}={value!r}" for name, value in run.parameters.items())[:500]),
        ("error", error.get("message")),
    ]
    return _titled(run.pathspec, facts, _table(("step", "tasks"), rows) if rows else "")


def _titled(title: str, facts: Iterable[tuple[str, Any]], rest: str) -> str:
    rows = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(str(value))}</td></tr>"
        for name, value in facts
        if value not in (None, "")
    )
    return f"<div><b>{escape(title)}</b><table>{rows}</table>{rest}</div>"


def _table(headers: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in headers)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>"


def _bytes(size: int) -> str:
    return "1 byte" if size == 1 else f"{size:,} bytes"


def _time(when: Any) -> str:
    return "" if when is None else when.strftime("%Y-%m-%d %H:%M:%S UTC")


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.3g}"
