"""The tasks of a run as a tree: steps in the order of the flow or, of a flow function, its calls as they came; called
tasks below those that called them, and the steps of a class flow below the task that ran it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from dovetail.cli import output
from dovetail.cli._tree_nodes import Nodes, is_called
from dovetail.cli.tasks import task_json
from dovetail.client.find_task import task_at
from dovetail.client.inputs import inputs_of

if TYPE_CHECKING:
    from dovetail.client.run import Run
    from dovetail.client.task import Task

__all__ = ["show_tree", "tree_json"]

_EACH = 20
"""Tasks of a step, or of one map, that are drawn; of more, those that did not succeed and the first ones."""
_Below: TypeAlias = "dict[str, list[Task | _Untold]]"
"""Path of a task → what it called, in the order of the journal."""


class _Untold:
    """A task that called others and that the index does not tell of: it ran when its driver was killed, and the index
    was made anew from records."""

    __slots__ = ("path",)

    def __init__(self, path: str) -> None:
        self.path = path


def show_tree(run: Run) -> None:
    """Draw the tree on stdout."""
    for line in _function_lines(run) if _is_function(run) else _step_lines(run, ""):
        output.say(line)


def tree_json(run: Run) -> list[dict[str, Any]]:
    """The tasks in the order of the journal, each with its parent, its inputs and its result; the keys are stable."""
    from dovetail.cli.artifacts import artifact_json
    from dovetail.client.signals import waiting_from

    nodes = Nodes(run)
    body = _body(run) if _is_function(run) else None
    rows = []
    for task in run.tasks(oldest_first=True):
        if nodes.is_bookkeeping(task):
            continue
        parent = task.path.rpartition("/")[0] or (body if task.path != body else None)
        question = nodes.question(task)
        inputs = inputs_of(task) if is_called(task) and question is None else None
        may_run = question is None and (inputs is None or len(inputs) == 1)
        inner = nodes.inner_run(task) if may_run else None
        outputs = task.outputs
        rows.append(
            {
                **task_json(task),
                "parent": parent,
                "inputs": None if inputs is None else {name: one.to_plain() for name, one in inputs.items()},
                "result": artifact_json(outputs["result"]) if "result" in outputs else None,
                "seconds": task.duration,
                "asked": None if question is None else waiting_from(task.path, question.to_plain()).to_plain(),
                "called_run": None if inner is None else inner.id,
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


def _is_top(run: Run, step: str) -> bool:
    """Whether tasks of the step stand by themselves, rather than being called from others."""
    task = next(run.tasks(step=step, limit=1), None)
    return task is not None and "/" not in task.path


def _below(run: Run) -> _Below:
    found: _Below = {}
    told: set[str] = set()
    for task in run.tasks(oldest_first=True):
        told.add(task.path)
        parent, slash, _ = task.path.rpartition("/")
        if slash or is_called(task):
            found.setdefault(parent, []).append(task)
    for path in list(found):
        while path and path not in told:
            told.add(path)
            parent = path.rpartition("/")[0]
            found.setdefault(parent, []).append(_Untold(path))
            path = parent
    return found


def _chosen(first: list[Task], run: Run, step: str) -> list[Task]:
    """The first tasks, and of a wide step those that failed before them."""
    if len(first) < _EACH:
        return first
    failed = list(run.tasks(step=step, state="failed", limit=_EACH, oldest_first=True))
    return (failed + [task for task in first if task not in failed])[:_EACH]


# -- drawing ----------------------------------------------------------------------------------------------------------


def _step_lines(run: Run, indent: str) -> Iterator[str]:
    """The steps of a class flow."""
    known = list(run.steps())
    steps = [step for step in reversed(known) if _is_top(run, step.name)]
    below = _below(run) if len(steps) < len(known) else {}
    untold = [one for one in below.get("", ()) if isinstance(one, _Untold)]
    nodes = Nodes(run)
    for at, step in enumerate(steps):
        last = at == len(steps) - 1 and not untold
        total = len(step)
        if total == 1:
            yield from _lines(step.task, indent, last, below, nodes)
            continue
        yield f"{indent}{'└─' if last else '├─'} {step.name}  {total} tasks{_told(step.counts())}"
        inner = indent + ("   " if last else "│  ")
        first = step.tasks(oldest_first=True, limit=None if total <= _EACH else _EACH)
        drawn = sorted(_chosen(list(first), run, step.name), key=lambda task: task.indexes)
        for n, task in enumerate(drawn):
            yield from _lines(task, inner, n == len(drawn) - 1 and total <= len(drawn), below, nodes)
        if total > len(drawn):
            yield _more(inner, total - len(drawn))
    yield from _call_lines(untold, indent, below, nodes)


def _function_lines(run: Run) -> Iterator[str]:
    """The calls of a flow function."""
    below = _below(run)
    name = _body(run)
    body = task_at(run, name)  # by its path: it may call itself, and these calls are of the same step
    nodes = Nodes(run)
    # Called tasks are told of before the body, which goes on.
    yield f"{name}  {output.paint_state(run.state.value)}" if body is None else nodes.body_line(body)
    yield from _call_lines(below.pop("", []), "", below, nodes)


def _lines(task: Task | _Untold, indent: str, last: bool, below: _Below, nodes: Nodes) -> Iterator[str]:
    """A task and what it called."""
    called = below.get(task.path, ())
    inner = None
    if isinstance(task, _Untold):
        text = f"{task.path.rpartition('/')[2]}  {output.paint('not in the index', 'dim')}"
    else:
        inner = nodes.inner_run(task)
        text = nodes.line(task, [one for one in called if not isinstance(one, _Untold)])
    yield f"{indent}{'└─' if last else '├─'} {text}"
    inside = indent + ("   " if last else "│  ")
    yield from _call_lines(called, inside, below, nodes)
    if inner is not None:
        yield from _step_lines(inner, inside)


def _call_lines(tasks: Sequence[Task | _Untold], indent: str, below: _Below, nodes: Nodes) -> Iterator[str]:
    drawn = list(_folded([one for one in tasks if isinstance(one, _Untold) or not nodes.is_bookkeeping(one)]))
    for at, item in enumerate(drawn):
        last = at == len(drawn) - 1
        if isinstance(item, tuple):
            yield _more(indent, item[1], of=f" of {item[0]}", last=last)
        else:
            yield from _lines(item, indent, last, below, nodes)


def _folded(tasks: Sequence[Task | _Untold]) -> Iterable[Task | _Untold | tuple[str, int]]:
    """Tasks as they are drawn; of a wide map the first ones and those that failed, and how many more it has."""
    wide: dict[str, list[Task]] = {}
    for task in tasks:
        if not isinstance(task, _Untold) and task.indexes:
            wide.setdefault(task.step_name, []).append(task)
    place = {task: at for members in wide.values() for at, task in enumerate(members)}
    for task in tasks:
        if isinstance(task, _Untold):
            yield task
            continue
        at = place.get(task, 0)
        if at < _EACH or not task.successful:
            yield task
        hidden = sum(one.successful for one in wide[task.step_name][_EACH:]) if at == _EACH - 1 else 0
        if hidden:
            yield task.step_name, hidden


def _more(indent: str, count: int, *, of: str = "", last: bool = True) -> str:
    return f"{indent}{'└─' if last else '├─'} {output.paint(f'{count} more{of}', 'dim')}"


def _told(counts: dict[str, int]) -> str:
    states = {state: count for state, count in counts.items() if state != "expected" and count}
    return ": " + ", ".join(f"{count} {output.paint_state(state)}" for state, count in states.items()) if states else ""
