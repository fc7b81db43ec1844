"""`dovetail artifacts`: names, types, shapes and sizes of artifacts, with a preview of each; none is loaded."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dovetail.cli import output
from dovetail.cli.targets import add_common, add_target, one_target, open_client
from dovetail.interfaces.errors import DovetailError

if TYPE_CHECKING:
    import argparse

    from dovetail.client.artifact import DataArtifact
    from dovetail.client.run import Run
    from dovetail.client.step import Step
    from dovetail.client.task import Task

__all__ = ["artifact_details", "artifact_json", "artifact_table", "configure", "run"]

_PREVIEW = 60
"""Characters of a preview in a table that no terminal cuts."""
_SHAPE = 40
"""Characters of a shape."""
_COLUMNS = 50
"""Columns that are named."""
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
            artifact_table(listed, paths=len({artifact._path for artifact in listed}) > 1)
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
        "run": artifact._run_id,
        "path": artifact._path,
        "name": artifact.name,
        "type": artifact.type,
        "size": artifact.size,
        "serializer": artifact.serializer,
        "digest": artifact.digest,
        "inline": artifact.is_inline,
        **_facts(artifact),
    }
    if artifact.is_inline and artifact.serializer == "json":
        document["value"] = artifact.data
    return document


def _facts(artifact: DataArtifact) -> dict[str, Any]:
    """What is read of its bytes, and `problem`, why that can't be."""
    facts: dict[str, Any] = dict.fromkeys(("shape", "dtype", "columns", "rows", "preview", "problem"))
    try:
        facts |= {name: getattr(artifact, name) for name in ("shape", "dtype", "columns", "rows")}
        facts["preview"] = artifact.preview()
    except DovetailError as error:
        facts["problem"] = error.message
    return facts


def artifact_table(artifacts: Sequence[DataArtifact], *, paths: bool = False) -> None:
    """Write a table of artifacts, with their tasks where several are listed."""
    headers = ["name", "type", "shape", "size", "preview"]
    rows = [(one.name, one.type, *_shape_and_preview(one)) for one in artifacts]
    if paths:
        headers = ["task", *headers]
        rows = [(artifact._path, *row) for artifact, row in zip(artifacts, rows, strict=True)]  # type: ignore[misc]
    output.table(headers, rows, right=["size"], flexible="preview")


def artifact_details(artifact: DataArtifact) -> None:
    """Write all that is known of an artifact, its preview in full."""
    facts = _facts(artifact)
    items = [("artifact", artifact.pathspec), ("type", artifact.type), ("size", output.human_size(artifact.size) or "")]
    if not facts["problem"] and (shape := _shape(artifact.description, limit=10_000)):
        items.append(("shape", shape))
    items += [("serializer", artifact.serializer), ("digest", artifact.digest)]
    output.pairs([(name, output.clean(text)) for name, text in items])
    if facts["problem"]:
        output.warn(output.clean(facts["problem"]))
    else:
        output.say()
        output.say(output.clean(facts["preview"]))


def _shape_and_preview(artifact: DataArtifact) -> tuple[str, str | None, str]:
    """Cells of a table: shape, size and preview."""
    size = output.human_size(artifact.size)
    try:
        from dovetail.client.previews import preview_of

        preview = preview_of(artifact, 5).line
        return (
            _shape(artifact.description, limit=_SHAPE),
            size,
            preview if sys.stdout.isatty() else _cut(preview, _PREVIEW),
        )
    except DovetailError as error:
        return "", size, error.message


def _shape(told: Mapping[str, Any], *, limit: int) -> str:
    """Shape, and dtype or columns: `float64[3, 4]`, `2 rows: a int64, b string`."""
    if told.get("columns") is not None:
        columns = ", ".join(f"{name} {dtype}" for name, dtype in told["columns"][:_COLUMNS])
        more = ", …" if len(told["columns"]) > _COLUMNS else ""
        return _cut(f"{output.counted(told['rows'], 'row')}: {columns}{more}", limit)
    if told.get("shape") is not None:
        return _cut(f"{told.get('dtype') or ''}{list(told['shape'])}", limit)
    if "files" in told:
        return output.counted(len(told["files"]), "file")
    return output.counted(len(told["tensors"]), "tensor") if "tensors" in told else ""


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit or (sys.stdout.isatty() and limit == _PREVIEW) else text[: limit - 1] + "…"
