"""`dovetail tasks RUN`: the tasks of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dovetail.cli import output
from dovetail.cli.targets import add_common, add_target, one_target, open_client, run_of
from dovetail.client.unknown import unknown
from dovetail.client.wording import node_of
from dovetail.interfaces.errors import UsageError
from dovetail.interfaces.states import TaskState

if TYPE_CHECKING:
    import argparse

    from dovetail.client.task import Task

SUMMARY = "list the tasks of a run"


def configure(parser: argparse.ArgumentParser) -> None:
    """Options."""
    add_target(parser, "RUN[/STEP]", "run id, a prefix of one, or a flow for its newest run (default: the newest run)")
    parser.add_argument("--step", help="tasks of this step")
    parser.add_argument(
        "--state",
        action="append",
        default=[],
        choices=[str(state) for state in TaskState],
        help="in this state; repeatable",
    )
    parser.add_argument("--limit", type=int, default=0, metavar="N", help="the newest N (default: all)")
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    """List tasks."""
    with open_client(args) as client:
        found, rest = run_of(client, one_target(client, args.target))
        if rest and args.step:
            raise UsageError(f"what is listed is named twice: {'/'.join(rest)} and --step {args.step}")
        if len(rest) > 1:
            raise UsageError(
                f"a run and a {node_of(found)} are expected, not {'/'.join(rest)}",
                hint=f"dovetail show {found.id}/{'/'.join(rest)} shows one task.",
            )
        step = args.step or (rest[0] if rest else None)
        if step is not None and step not in found:
            raise unknown(node_of(found), step, [s.name for s in found.steps()], where=f"run {found.pathspec}")
        tasks = list(found.tasks(step=step, state=args.state, limit=args.limit or None, oldest_first=not args.limit))
        if args.json:
            output.emit_json([task_json(task) for task in tasks])
        elif tasks:
            task_table(tasks)
        else:
            output.warn("No task fits." if step or args.state else f"No task of {found.pathspec} has begun.")
    return 0


def task_json(task: Task) -> dict[str, Any]:
    """A task as listings give it; the keys are stable."""
    error = task.error
    return {
        "path": task.path,
        "step": task.step_name,
        "state": str(task.state),
        "attempt": task.attempt,
        "started": output.iso_time(task._column("started")),
        "finished": output.iso_time(task._column("finished")),
        "cpu": task.cpu,
        "memory": task.memory,
        "limit": task.limit,
        "error": None if error is None else error.to_plain(),
        "artifacts": list(task.outputs),
        "metadata": task.metadata,
    }


def task_table(tasks: list[Task]) -> None:
    """Write a table of tasks."""
    output.table(
        ["task", "state", "attempt", "started", "took", "cpu", "memory", "note"],
        [
            (
                task.path,
                task.state,
                task.attempt or None,
                output.human_time(task._column("started")),
                output.human_duration(task.duration),
                output.human_duration(task.cpu),
                output.human_size(task.memory),
                note(task),
            )
            for task in tasks
        ],
        right=["attempt", "took", "cpu", "memory"],
        colours={"state": output.STATE_COLOURS},
        flexible="note",
    )


def note(task: Task) -> str | None:
    """What is remarkable about a task: its failure, the limit that it waits for, or what was caught."""
    error = task.error
    if error is not None:
        return str(error)
    if task.limit is not None:
        return f"waits for limit {task.limit}"
    caught = task.caught
    return None if caught is None else f"caught {caught}"
