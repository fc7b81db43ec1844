"""`dovetail artifacts`: names, types and sizes of artifacts, with a preview of the small ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from dovetail.cli import output
from dovetail.cli.targets import add_common, add_target, one_target, open_client

if TYPE_CHECKING:
    import argparse

    from dovetail.client.artifact import DataArtifact
    from dovetail.client.run import Run
    from dovetail.client.step import Step
    from dovetail.client.task import Task

__all__ = ["artifact_json", "artifact_table", "configure", "run"]

_PREVIEW = 60
"""Characters of a preview."""
_MOST = 1000
"""Artifacts listed of a run or step by default."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Options."""
    add_target(
        parser,
        "RUN[/PATH]",
        "run id, a prefix of one, or a flow for its newest run; a step or task of it (default: the newest run)",
    )
    parser.add_argument("--name", action="append", default=[], help="only artifacts of this name; repeatable")
    parser.add_argument(
        "--inherited", action="store_true", help="of a task: also what it sees from the tasks before it"
    )
    parser.add_argument(
        "--limit", type=int, default=_MOST, metavar="N", help=f"at most N, 0 for all (default: {_MOST})"
    )
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    """List artifacts."""
    from itertools import islice

    from dovetail.client.artifact import DataArtifact

    with open_client(args) as client:
        found = client.get(one_target(client, args.target))
        named = iter([found]) if isinstance(found, DataArtifact) else _artifacts(found, inherited=args.inherited)
        chosen = (artifact for artifact in named if not args.name or artifact.name in args.name)
        listed = list(islice(chosen, args.limit or None))
        more = args.limit and next(chosen, None) is not None
        if args.json:
            output.emit_json([artifact_json(artifact) for artifact in listed])
        elif listed:
            artifact_table(listed, paths=len({artifact.task.path for artifact in listed}) > 1)
        else:
            output.warn("No artifact fits." if args.name else f"{found.pathspec} has no artifacts.")
        if more:
            output.warn(f"Only the first {args.limit} are listed; --limit 0 lists all.")
    return 0


def _artifacts(found: Run | Step | Task, *, inherited: bool) -> Iterator[DataArtifact]:
    from dovetail.client.step import Step
    from dovetail.client.task import Task

    if isinstance(found, Step) and len(found) == 1:
        found = found.task
    if isinstance(found, Task):
        yield from (found.artifacts if inherited else found.outputs).values()
        return
    for task in found.tasks(oldest_first=True):
        yield from task.outputs.values()


def artifact_json(artifact: DataArtifact) -> dict[str, Any]:
    """An artifact as listings give it; the keys are stable. `value` is there only for inline plain data."""
    document: dict[str, Any] = {
        "run": artifact.task.run.id,
        "path": artifact.task.path,
        "name": artifact.name,
        "type": artifact.type,
        "size": artifact.size,
        "serializer": artifact.serializer,
        "digest": artifact.digest,
        "inline": artifact.is_inline,
    }
    if artifact.is_inline and artifact.serializer == "json":
        document["value"] = artifact.data
    return document


def artifact_table(artifacts: Sequence[DataArtifact], *, paths: bool = False) -> None:
    """Write a table of artifacts, with their tasks where several are listed."""
    headers = ["name", "type", "size", "serializer", "value"]
    rows = [
        (artifact.name, artifact.type, output.human_size(artifact.size), artifact.serializer, preview(artifact) or "")
        for artifact in artifacts
    ]
    if paths:
        headers = ["task", *headers]
        rows = [(artifact.task.path, *row) for artifact, row in zip(artifacts, rows, strict=True)]  # type: ignore[misc]
    output.table(headers, rows, right=["size"], flexible="value")


def preview(artifact: DataArtifact) -> str | None:
    """An inline value of a safe serializer in a few words; None of any other. Nothing is read from a data store."""
    if not artifact.is_inline or not _is_safe(artifact):
        return None
    text = repr(artifact.data)
    return text if len(text) <= _PREVIEW else text[: _PREVIEW - 1] + "…"


def _is_safe(artifact: DataArtifact) -> bool:
    return artifact.serializer == "json" or artifact.task.run._artifacts.serializers.by_id(artifact.serializer).safe
