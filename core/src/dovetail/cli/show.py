"""`dovetail show`: a run, why it failed, its steps; or one step or task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dovetail.cli import output
from dovetail.cli._waits import limits_of, names, say_waits
from dovetail.cli.runs import run_json
from dovetail.cli.targets import add_common, add_target, one_target, open_client
from dovetail.cli.tasks import task_json, task_table
from dovetail.interfaces.states import RunState, TaskState

if TYPE_CHECKING:
    import argparse

    from dovetail.client.run import Run
    from dovetail.client.step import Step
    from dovetail.client.task import Task
    from dovetail.interfaces.tasks import ErrorReport, Exit

__all__ = ["configure", "run"]

_TASKS_SHOWN = 20
"""Tasks of a step that are listed; `dovetail tasks` lists all."""
_TOLD_APART = frozenset({"caught", "exit", "limit"})
"""What is on record of a task and has a line of its own."""
_LOG_LINES = 10
"""Last lines of a failed task's log that are shown."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Options."""
    add_target(
        parser,
        "RUN[/PATH]",
        "run id, a prefix of one, or a flow for its newest run; a step or task of it (default: the newest run)",
    )
    parser.add_argument(
        "--tree",
        action="store_true",
        help="show the tasks as a tree, each call with its inputs, its result and how long it took",
    )
    parser.add_argument(
        "--notes", action="store_true", help="show what the driver noted: fall-backs, and why tasks ran again"
    )
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    """Show what is named."""
    from dovetail.client.artifact import DataArtifact
    from dovetail.client.run import Run
    from dovetail.client.step import Step

    with open_client(args) as client:
        found = client.get(one_target(client, args.target))
        if isinstance(found, DataArtifact):
            from dovetail.cli.artifacts import artifact_details, artifact_json

            output.emit_json(artifact_json(found)) if args.json else artifact_details(found)
        elif isinstance(found, Run):
            _show_run(found, as_json=args.json, tree=args.tree, notes=args.notes)
        elif isinstance(found, Step):
            _show_step(found, as_json=args.json)
        else:
            _show_task(found, as_json=args.json)
    return 0


# -- a run ------------------------------------------------------------------------------------------------------------


def step_rows(run: Run) -> list[dict[str, Any]]:
    """What `show` says of each step, in the order of the flow; the keys are stable.

    Times and CPU are those of the tasks that this run made; of a step that was reused as a whole, the first run's.
    """
    times: dict[str, tuple[float | None, float | None, float]] = {}
    counts = run.counts()
    whole = {name for name, states in counts.items() if set(states) <= {TaskState.CACHED, "expected"}}
    table = run.table(["step", "state", "started", "finished", "cpu"])
    for step, state, started, finished, cpu in zip(*table.values(), strict=True):
        if state == TaskState.CACHED and step not in whole:
            continue
        first, last, used = times.get(step, (None, None, 0.0))
        first = started if first is None or (started is not None and started < first) else first
        last = finished if last is None or (finished is not None and finished > last) else last
        times[step] = first, last, used + (cpu or 0.0)
    rows = []
    for name in [*(step.name for step in reversed(list(run.steps()))), *(n for n in counts if n not in times)]:
        states = dict(counts.get(name, {}))
        expected = states.pop("expected", None)
        first, last, used = times.get(name, (None, None, 0.0))
        rows.append(
            {
                "step": name,
                "tasks": sum(states.values()),
                "expected": expected,
                "states": states,
                "started": output.iso_time(first),
                "finished": output.iso_time(last),
                "seconds": None if first is None or last is None else max(0.0, last - first),
                "cpu": used,
            }
        )
    return rows


def _show_run(run: Run, *, as_json: bool, tree: bool, notes: bool) -> None:
    failed = run.failed_task
    if as_json:
        failure = None if failed is None else {**task_json(failed), "attempts": len(failed.attempts)}
        waiting = [one.to_plain() for one in run.waiting]
        limits = [{"limit": name, "tasks": paths} for name, paths in limits_of(run).items()]
        document = {**run_json(run), "steps": step_rows(run), "failure": failure, "waiting": waiting, "limits": limits}
        if tree:
            from dovetail.cli._tree import tree_json

            document["tasks"] = tree_json(run)
        if notes:
            document["notes"] = _notes(run)
        output.emit_json(document)
        return
    row = run._row
    took = output.human_duration(run.duration)
    head = [output.paint(run.pathspec, "bold"), output.paint_state(run.state.value), *([took] if took else [])]
    output.say("  ".join(head))
    facts = [("created", f"{output.human_time(row['created'])} by {run.user or 'unknown'}")]
    facts += [("finished", str(output.human_time(row["finished"])))] if row["finished"] else []
    facts += [("file", output.clean(run.info["file"]))] if run.info.get("file") else []
    facts += [("resumes", run.origin)] if run.origin else []
    facts += [("tags", output.clean(", ".join(sorted(run.user_tags))))] if run.user_tags else []
    if run.state is RunState.LOST:
        facts.append(("driver", f"process {run.info.get('pid')} on {run.info.get('host')} is gone"))
    if run.info.get("held") and not run.state.final:
        facts.append(("held", "on request; nothing new begins"))
    facts += [("reason", output.clean(str(run.info["reason"])))] if run.info.get("reason") else []
    output.pairs(facts, indent="  ")
    if run.parameters:
        output.say()
        output.say("parameters")
        output.pairs([(name, output.clean(_short(value))) for name, value in run.parameters.items()], indent="  ")
    output.say()
    if tree:
        from dovetail.cli._tree import show_tree

        show_tree(run)
    else:
        _step_table(step_rows(run), live=run.state is RunState.RUNNING)
    if notes:
        output.say()
        output.say("notes")
        told = [(str(_clock(note["time"])), f"{note['path']} {note['message']}".strip()) for note in _notes(run)]
        output.pairs([(when, output.clean(text)) for when, text in told], indent="  ")
    if failed is not None:
        _why(run, failed)
    elif run.error is not None:
        output.say()
        output.say(output.clean(str(run.error.get("message", ""))))
    say_waits(run)
    _what_next(run, failed)


def _notes(run: Run) -> list[dict[str, Any]]:
    """What the driver noted; the keys are stable. Reads the whole journal."""
    from dovetail.interfaces.events import EventKind

    return [
        {
            "time": output.iso_time(event.time),
            "path": event.path,
            "level": event.data.get("level", "info"),
            "message": event.data.get("message", ""),
        }
        for event in run.events()
        if event.kind == EventKind.NOTE
    ]


def _step_table(rows: list[dict[str, Any]], *, live: bool) -> None:
    if not rows:
        output.say("No task has begun.")
        return
    output.table(
        ["step", "tasks", "states", "started", "took", "cpu"],
        [
            (
                row["step"],
                f"{row['tasks']} of {row['expected']}" if row["expected"] not in (None, row["tasks"]) else row["tasks"],
                _told(row["states"], live=live),
                _clock(row["started"]),
                output.human_duration(row["seconds"]),
                output.human_duration(row["cpu"]) if row["cpu"] else None,
            )
            for row in rows
        ],
        right=["tasks", "took", "cpu"],
    )


def _told(states: dict[str, int], *, live: bool) -> str | None:
    """States in words. What a run without a driver calls running was running when it lost it."""
    told = []
    for state, count in states.items():
        if count:
            told.append(f"{count} {state}" if live or state != TaskState.RUNNING else f"{count} was running")
    return ", ".join(told) or None


def _clock(iso: str | None) -> str | None:
    """The time of day of an ISO time, in local time."""
    if iso is None:
        return None
    from datetime import datetime

    return datetime.fromisoformat(iso).astimezone().strftime("%H:%M:%S")


def _why(run: Run, task: Task) -> None:
    """The root cause: the user's own traceback, the attempts, the last lines of the log."""
    output.say()
    attempts = task.attempts
    tried = f" after {len(attempts)} attempts" if len(attempts) > 1 else ""
    output.say(f"{output.paint(task.path, 'bold')} {output.paint('failed', 'red')}{tried}: it ended the run")
    if task.error is not None:
        _say_error(task.error)
    lines = [line for one in attempts[-1:] for line in one.log()][-_LOG_LINES:]
    if lines:
        output.say()
        output.say(output.paint("  the last it wrote:", "dim"))
        for line in lines:
            output.say(f"  {output.paint('│', 'dim')} {output.clean(line.text)}")
    others = sum(states.get("failed", 0) for states in run.counts().values()) - 1
    if others > 0:
        output.say()
        more = "1 other task" if others == 1 else f"{others} other tasks"
        output.say(f"  {more} failed: dovetail tasks {run.id} --state failed")


def _say_error(error: ErrorReport) -> None:
    text = error.traceback.rstrip() or str(error)
    for line in output.clean(text).splitlines():
        output.say(f"  {line}")


def _what_next(run: Run, failed: Task | None) -> None:
    state = run.state.value
    commands = []
    if state == "running":
        commands = [("follow", f"dovetail logs {run.id} --follow"), ("stop", f"dovetail cancel {run.id}")]
    elif state == "paused":
        commands = [("look deeper", f"dovetail logs {run.id}"), ("go on", f"dovetail {_way_on(run)} {run.id}")]
    elif state == "succeeded":
        commands = [("artifacts", f"dovetail artifacts {run.id}"), ("logs", f"dovetail logs {run.id}")]
    else:
        where = f"{run.id}/{failed.path}" if failed else run.id
        commands = [("look deeper", f"dovetail logs {where}"), ("go on", f"dovetail resume {run.id}")]
    output.say()
    output.pairs(commands, indent="  ")


def _way_on(run: Run) -> str:
    return "unpause" if run.info.get("held") else "resume"


# -- a step or a task -------------------------------------------------------------------------------------------------


def _show_step(step: Step, *, as_json: bool) -> None:
    row = next(row for row in step_rows(step.run) if row["step"] == step.name)
    if as_json:
        tasks = [task_json(task) for task in step.tasks(oldest_first=True)]
        output.emit_json({"run": step.run.id, "flow": step.run.flow_name, **row, "tasks": tasks})
        return
    if len(step) == 1:
        _show_task(step.task, as_json=False)
        return
    output.say(f"{output.paint(step.pathspec, 'bold')}")
    output.say()
    _step_table([row], live=step.run.state is RunState.RUNNING)
    output.say()
    failed = list(step.tasks(state="failed", limit=_TASKS_SHOWN))
    shown = failed or list(step.tasks(oldest_first=True, limit=_TASKS_SHOWN))
    task_table(shown)
    if len(shown) < len(step):
        output.say()
        output.say(f"{len(shown)} of {len(step)} tasks; all: dovetail tasks {step.run.id}/{step.name}")


def _show_task(task: Task, *, as_json: bool) -> None:
    attempts = task.attempts
    if as_json:
        document = task_json(task)
        document["run"], document["flow"] = task.run.id, task.run.flow_name
        document["parents"], document["children"] = task.parent_task_paths, task.child_task_paths
        document["attempts"] = [
            {
                "attempt": one.number,
                "state": one.state.value,
                "started": output.iso_time(one.started),
                "finished": output.iso_time(one.finished),
                "cpu": one.cpu,
                "memory": one.memory,
                "error": None if one.error is None else one.error.to_plain(),
            }
            for one in attempts
        ]
        output.emit_json(document)
        return
    took = output.human_duration(task.duration)
    head = [output.paint(task.pathspec, "bold"), output.paint_state(task.state.value), *([took] if took else [])]
    output.say("  ".join(head))
    facts = [("after", names(task.parent_task_paths)), ("before", names(task.child_task_paths))]
    facts += [(name, _short(value)) for name, value in task.metadata.items() if name not in _TOLD_APART]
    if task.limit is not None:
        facts.append(("waits for", f"limit {task.limit}; who holds it: dovetail limits show {task.limit}"))
    if task.exit is not None:
        facts.append(("exit", _exit_text(task.exit)))
    output.pairs([(name, output.clean(value)) for name, value in facts if value], indent="  ")
    if attempts:
        output.say()
        output.table(
            ["attempt", "state", "started", "took", "cpu", "memory", "error"],
            [
                (
                    one.number,
                    one.state,
                    output.human_time(one.started),
                    output.human_duration(one.duration),
                    output.human_duration(one.cpu),
                    output.human_size(one.memory),
                    one.error and str(one.error),
                )
                for one in attempts
            ],
            right=["took", "cpu", "memory"],
            colours={"state": output.STATE_COLOURS},
            flexible="error",
        )
    if task.exception is not None:
        output.say()
        if task.caught is not None:
            output.say("caught:")
        _say_error(task.exception)
    if task.outputs:
        from dovetail.cli.artifacts import artifact_table

        output.say()
        artifact_table(list(task.outputs.values()))


def _exit_text(exit: Exit) -> str:
    """How a process ended: `code 1`, `SIGKILL, possibly out of memory, 1.2 GiB in use`."""
    if exit.signal is None:
        return "" if exit.code is None else f"code {exit.code}"
    import signal

    try:
        parts = [signal.Signals(exit.signal).name]
    except ValueError:
        parts = [f"signal {exit.signal}"]
    if exit.out_of_memory:
        parts.append("out of memory")
    elif parts[0] == "SIGKILL":
        parts.append("possibly out of memory")
    if exit.last_memory is not None:
        parts.append(f"{output.human_size(exit.last_memory)} in use")
    return ", ".join(parts)


def _short(value: Any) -> str:
    import json

    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
