"""`dovetail explain`: why a task ran or was reused, and which part of what it depends on changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dovetail.cli import output
from dovetail.cli.targets import add_common, add_target, one_target, open_client
from dovetail.interfaces.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from dovetail.client.explain import Explanation, Part
    from dovetail.client.run import Run
    from dovetail.client.task import Task

__all__ = ["configure", "run"]

_LISTED = 20
"""Tasks of a step that are listed; `--json` has all that the run or step has."""
_NAMED = 3
"""Changed parts that a line names."""
_VALUE = 40
"""Characters of a value that are shown."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Options."""
    add_target(
        parser,
        "RUN[/PATH]",
        "run id, a prefix of one, or a flow for its newest run; a step or task of it (default: the newest run)",
    )
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    """Explain what is named."""
    from dovetail.client.artifact import DataArtifact
    from dovetail.client.explain import explain_task, reasons_of
    from dovetail.client.run import Run
    from dovetail.client.step import Step

    with open_client(args) as client:
        found = client.get(one_target(client, args.target))
        if isinstance(found, DataArtifact):
            raise UsageError(f"{found.pathspec} is an artifact", hint=f"Explain its task: {found.task.pathspec}")
        if isinstance(found, Step) and len(found) == 1:
            found = found.task
        if isinstance(found, (Run, Step)):
            run = found if isinstance(found, Run) else found.run
            notes = reasons_of(run)
            limit = None if args.json else _LISTED
            steps = list(reversed(list(run.steps()))) if isinstance(found, Run) else [found]
            told = {
                step.name: [explain_task(task, notes=notes) for task in step.tasks(oldest_first=True, limit=limit)]
                for step in steps
            }
            if args.json:
                output.emit_json([one.to_plain() for explained in told.values() for one in explained])
            else:
                _show_many(run, told)
            return 0
        explained = explain_task(found)
        if args.json:
            output.emit_json(explained.to_plain())
        else:
            _show_one(explained)
    return 0


# -- many -------------------------------------------------------------------------------------------------------------


def _show_many(run: Run, told: dict[str, list[Explanation]]) -> None:
    rows: list[tuple[Any, ...]] = []
    for name, explained in told.items():
        rows += [(one.task.path, _became(one), _why(one)) for one in explained]
        total = sum(count for state, count in run.counts().get(name, {}).items() if state != "expected")
        if total > len(explained):
            rows.append((f"{name}: {total - len(explained)} more", "", ""))
    if not rows:
        output.warn(f"No task of {run.pathspec} has begun.")
        return
    output.say(output.paint(run.pathspec, "bold"))
    output.table(["task", "what became of it", "compared with before"], rows, flexible="compared with before")


def _became(one: Explanation) -> str:
    return f"reused from {one.reused_from}" if one.reused_from else str(one.task.state)


def _why(one: Explanation) -> str:
    """In one line: what the driver said, else what changed."""
    parts = [_named(part) for part in one.changed]
    told = ", ".join(parts[:_NAMED]) + (f" and {len(parts) - _NAMED} more" if len(parts) > _NAMED else "")
    if one.baseline is None:
        told = "nothing earlier"
    elif not told:
        told = "nothing changed"
    return f"{one.reason}; {told}" if one.reason and one.reason not in told else told


def _named(part: Part) -> str:
    name = {"input": f"input {part.name}", "code": f"code {part.name}".strip()}.get(part.kind, part.kind)
    return f"{name} {part.state}"


# -- one --------------------------------------------------------------------------------------------------------------


def _show_one(one: Explanation) -> None:
    task = one.task
    output.say(f"{output.paint(task.pathspec, 'bold')}  {output.paint_state(task.state.value)}")
    facts = [("reused from", _age(one.reused_from, task))] if one.reused_from else []
    facts.append(("cached by", one.cached_by or "nothing: without cache= no other run finds its value"))
    if _never(task):
        facts.pop()
    facts += [("because", one.reason)] if one.reason else []
    if one.baseline is None:
        facts.append(("compared with", "nothing: no earlier run of the flow has finished such a task"))
    else:
        facts.append(("compared with", one.baseline.pathspec))
    output.pairs([(name, output.clean(text)) for name, text in facts], indent="  ")
    if one.parts:
        output.say()
        output.table(
            ["part", "", "before", "now"],
            [_row(part) for part in one.parts],
            colours={"": {"changed": "yellow", "added": "yellow", "gone": "yellow"}},
            flexible="now",
        )


def _age(origin: str | None, task: Task) -> str:
    made = output.human_time(task._column("finished"))
    return f"{origin}, made {made}"


def _never(task: Task) -> bool:
    """Whether tasks of its kind are never cached: steps, and bodies of flow functions."""
    return "~" not in task.path.rpartition("/")[2]


def _row(part: Part) -> tuple[Any, ...]:
    name = f"{part.kind} {part.name}".strip()
    if part.kind == "code":
        return name, part.state, None, None
    return name, part.state, _shown(part.was), _shown(part.now)


def _shown(value: Any) -> str | None:
    if value is None:
        return None
    text = output.clean(value if isinstance(value, str) else repr(value))
    return text if len(text) <= _VALUE else text[: _VALUE - 1] + "…"
