"""The tasks of a run as a tree: steps in the order of the flow or, of a flow function, its calls as they came; called
tasks below those that called them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from dovetail.cli import output
from dovetail.cli.tasks import note, task_json
from dovetail.client.inputs import inputs_of

if TYPE_CHECKING:
    from dovetail.client.run import Run
    from dovetail.client.task import Task

__all__ = ["show_tree", "tree_json"]

_EACH = 20
"""Tasks of a step, or of one map, that are drawn; of more, those that did not succeed and the first ones."""
_VALUE = 60
"""Characters of a value that are drawn."""
_Below: TypeAlias = "dict[str, list[Task]]"
"""Path of a task → what it called, in the order of the journal."""


def show_tree(run: Run) -> None:
    """Draw the tree on stdout."""
    if _is_function(run):
        _draw_function(run)
        return
    known = list(run.steps())
    steps = [step for step in reversed(known) if _is_top(run, step.name)]
    below = _below(run) if len(steps) < len(known) else {}
    for at, step in enumerate(steps):
        last = at == len(steps) - 1
        total = len(step)
        if total == 1:
            _draw(step.task, "", last, below)
            continue
        output.say(f"{'└─' if last else '├─'} {step.name}  {total} tasks{_told(step.counts())}")
        inner = "   " if last else "│  "
        drawn = _chosen(list(step.tasks(oldest_first=True, limit=None if total <= _EACH else _EACH)), run, step.name)
        for n, task in enumerate(drawn):
            _draw(task, inner, n == len(drawn) - 1 and total <= len(drawn), below)
        if total > len(drawn):
            _more(inner, total - len(drawn))


def tree_json(run: Run) -> list[dict[str, Any]]:
    """The tasks in the order of the journal, each with its parent, its inputs and its result; the keys are stable."""
    from dovetail.cli.artifacts import artifact_json

    body = _body(run) if _is_function(run) else None
    rows = []
    for task in run.tasks(oldest_first=True):
        parent = task.path.rpartition("/")[0] or (body if task.path != body else None)
        inputs = inputs_of(task) if _is_called(task) else None
        outputs = task.outputs
        rows.append(
            {
                **task_json(task),
                "parent": parent,
                "inputs": None if inputs is None else {name: one.to_plain() for name, one in inputs.items()},
                "result": artifact_json(outputs["result"]) if "result" in outputs else None,
                "seconds": task.duration,
            }
        )
    return rows


# -- what is below what -----------------------------------------------------------------------------------------------


def _is_function(run: Run) -> bool:
    """Whether the run is of a flow function: what its body calls stands at the top of the paths."""
    info = run._row["info"] or {}
    return info.get("start") == info.get("end") and run.graph.style == "function"


def _body(run: Run) -> str:
    return run.graph.start


def _is_called(task: Task) -> bool:
    return "~" in task.path.rpartition("/")[2]


def _is_top(run: Run, step: str) -> bool:
    """Whether tasks of the step stand by themselves, rather than being called from others."""
    task = next(run.tasks(step=step, limit=1), None)
    return task is not None and "/" not in task.path


def _below(run: Run) -> _Below:
    found: _Below = {}
    for task in run.tasks(oldest_first=True):
        parent, slash, _ = task.path.rpartition("/")
        if slash or _is_called(task):
            found.setdefault(parent, []).append(task)
    return found


def _chosen(first: list[Task], run: Run, step: str) -> list[Task]:
    """The first tasks, and of a wide step those that failed before them."""
    if len(first) < _EACH:
        return first
    failed = list(run.tasks(step=step, state="failed", limit=_EACH, oldest_first=True))
    return (failed + [task for task in first if task not in failed])[:_EACH]


# -- drawing ----------------------------------------------------------------------------------------------------------


def _draw_function(run: Run) -> None:
    below = _below(run)
    body = _body(run)
    calls = below.pop("", [])
    task = next(run.tasks(step=body, limit=1), None)
    if task is None:  # called tasks are told of before the body, which goes on
        output.say(f"{body}  {output.paint_state(run.state.value)}")
        _draw_calls(calls, "", below)
        return
    given = ", ".join(f"{name}={_cut(repr(value))}" for name, value in run.parameters.items())
    output.say("  ".join([_call(task, given), *_facts(task)]))
    _draw_calls(calls, "", below)


def _draw(task: Task, indent: str, last: bool, below: _Below) -> None:
    inputs = (inputs_of(task) or {}) if _is_called(task) else None
    given = None
    if inputs is not None:
        shown = [f"{name}={_value(one.value, one.is_inline, one.type, one.size)}" for name, one in inputs.items()]
        given = ", ".join(shown)
    text = "  ".join([_call(task, given), *_facts(task)])
    output.say(f"{indent}{'└─' if last else '├─'} {text}")
    _draw_calls(below.get(task.path, ()), indent + ("   " if last else "│  "), below)


def _draw_calls(tasks: Sequence[Task], indent: str, below: _Below) -> None:
    drawn = list(_folded(tasks))
    for at, item in enumerate(drawn):
        last = at == len(drawn) - 1
        if isinstance(item, tuple):
            _more(indent, item[1], of=f" of {item[0]}", last=last)
        else:
            _draw(item, indent, last, below)


def _folded(tasks: Sequence[Task]) -> Iterable[Task | tuple[str, int]]:
    """Tasks as they are drawn; of a wide map the first ones and those that failed, and how many more it has."""
    wide: dict[str, list[Task]] = {}
    for task in tasks:
        if task.indexes:
            wide.setdefault(task.step_name, []).append(task)
    place = {task: at for members in wide.values() for at, task in enumerate(members)}
    for task in tasks:
        at = place.get(task, 0)
        if at < _EACH or not task.successful:
            yield task
        hidden = sum(one.successful for one in wide[task.step_name][_EACH:]) if at == _EACH - 1 else 0
        if hidden:
            yield task.step_name, hidden


def _call(task: Task, given: str | None) -> str:
    """`name~h(x=3) → 6`; of what was not called the path alone."""
    name = task.path.rpartition("/")[2]
    if given is None:
        return name
    entry = task.outputs.get("result") if task.successful else None
    text = f"{name}({output.clean(given)})"
    if entry is None:
        return text
    inline = entry.is_inline and entry.serializer == "json"
    value = _value(entry.data if inline else None, inline, entry.type, entry.size)
    return f"{text} → {output.clean(value)}"


def _facts(task: Task) -> list[str]:
    facts = [output.paint_state(task.state.value), _took(task.duration), output.clean(note(task) or "")]
    return [fact for fact in facts if fact]


def _took(seconds: float | None) -> str:
    """A time; of a call that took no millisecond, more closely than elsewhere."""
    if seconds is not None and seconds < 0.00995:
        return f"{seconds * 1000:.2f} ms"
    return output.human_duration(seconds) or ""


def _value(value: Any, is_inline: bool, type_name: str, size: int) -> str:
    if is_inline:
        return _cut(repr(value))
    return f"<{type_name}, {output.human_size(size)}>"


def _cut(text: str) -> str:
    return text if len(text) <= _VALUE else text[: _VALUE - 1] + "…"


def _more(indent: str, count: int, *, of: str = "", last: bool = True) -> None:
    output.say(f"{indent}{'└─' if last else '├─'} {output.paint(f'{count} more{of}', 'dim')}")


def _told(counts: dict[str, int]) -> str:
    states = {state: count for state, count in counts.items() if state != "expected" and count}
    return ": " + ", ".join(f"{count} {output.paint_state(state)}" for state, count in states.items()) if states else ""
