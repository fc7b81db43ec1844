"""What a run waits for: answers of people and of other runs, and slots of limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dovetail.cli import output
from dovetail.interfaces.states import RunState

if TYPE_CHECKING:
    from dovetail.client.run import Run

__all__ = ["limits_of", "names", "say_waits"]


def limits_of(run: Run) -> dict[str, list[str]]:
    """Limit → paths of the tasks that wait for it, the oldest first."""
    found: dict[str, list[str]] = {}
    for task in run.tasks(state="waiting", oldest_first=True) if run.state is RunState.RUNNING else ():
        if task.limit is not None:
            found.setdefault(task.limit, []).append(task.path)
    return found


def say_waits(run: Run) -> None:
    """What the run waits for, and how to answer."""
    waiting, limits = run.waiting, limits_of(run)
    if not waiting and not limits:
        return
    from dovetail.client.signals import command_of

    output.say()
    output.say("waits for")
    for name, paths in limits.items():
        output.say(f"  limit {output.paint(name, 'bold')}  {names(paths)}")
        output.say(f"    who holds it:  dovetail limits show {name}")
    for one in waiting:
        until = "" if one.deadline is None else f", until {output.human_time(one.deadline.timestamp())}"
        since = f"since {output.human_time(one.since.timestamp())}{until}"
        output.say(f"  {output.paint(one.name, 'bold')}  {since}  {output.clean(one.question)}".rstrip())
        if one.refused:
            output.say(f"    the answer before was refused: {output.clean(one.refused)}")
        output.say(f"    {output.clean(command_of(run.id, one, alone=len(waiting) == 1))}")


def names(paths: list[str], shown: int = 5) -> str:
    """Names in one line, the first ones of many."""
    return ", ".join(paths[:shown]) + (f" and {len(paths) - shown} more" if len(paths) > shown else "")
