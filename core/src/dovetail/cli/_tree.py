"""The tasks of a run as a tree: steps in the order of the flow, their tasks below, called tasks below those."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dovetail.cli import output
from dovetail.cli.tasks import note

if TYPE_CHECKING:
    from dovetail.client.run import Run
    from dovetail.client.task import Task

__all__ = ["show_tree"]

_EACH = 20
"""Tasks of a step that are drawn; of more, those that did not succeed and the first ones."""


def show_tree(run: Run) -> None:
    """Draw the tree on stdout."""
    steps = [step for step in reversed(list(run.steps())) if _is_top(run, step.name)]
    for at, step in enumerate(steps):
        last = at == len(steps) - 1
        total = len(step)
        if total == 1:
            _draw(run, step.task, "", last)
            continue
        output.say(f"{'└─' if last else '├─'} {step.name}  {total} tasks{_told(step.counts())}")
        inner = "   " if last else "│  "
        drawn = _chosen(list(step.tasks(oldest_first=True, limit=None if total <= _EACH else _EACH)), run, step.name)
        for n, task in enumerate(drawn):
            _draw(run, task, inner, n == len(drawn) - 1 and total <= len(drawn))
        if total > len(drawn):
            output.say(f"{inner}└─ {output.paint(f'{total - len(drawn)} more', 'dim')}")


def _is_top(run: Run, step: str) -> bool:
    """Whether tasks of the step stand by themselves, rather than being called from others."""
    task = next(run.tasks(step=step, limit=1), None)
    return task is not None and "/" not in task.path


def _chosen(first: list[Task], run: Run, step: str) -> list[Task]:
    """The first tasks, and of a wide step those that failed before them."""
    if len(first) < _EACH:
        return first
    failed = list(run.tasks(step=step, state="failed", limit=_EACH, oldest_first=True))
    return (failed + [task for task in first if task not in failed])[:_EACH]


def _draw(run: Run, task: Task, indent: str, last: bool) -> None:
    parts = [
        task.path.rpartition("/")[2],
        output.paint_state(task.state.value),
        output.human_duration(task.duration) or "",
        output.clean(note(task) or ""),
    ]
    output.say(f"{indent}{'└─' if last else '├─'} {'  '.join(part for part in parts if part)}")


def _told(counts: dict[str, int]) -> str:
    states = {state: count for state, count in counts.items() if state != "expected" and count}
    return ": " + ", ".join(f"{count} {output.paint_state(state)}" for state, count in states.items()) if states else ""
