"""What a flow's file holds, found by a process that imports it; this one never does."""

from __future__ import annotations

import selectors
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from dovetail.engine.parameters import option_of
from dovetail.interfaces.errors import ValidationError
from dovetail.interfaces.problems import Problem
from dovetail.interfaces.tasks import Isolation
from dovetail.interfaces.workers import Checked, Described, Failed, Output
from dovetail.planning.graph import Graph
from dovetail.planning.validate import validate

if TYPE_CHECKING:
    from dovetail.interfaces.flow import FlowDescription
    from dovetail.interfaces.tasks import ErrorReport
    from dovetail.interfaces.workers import WorkerGroup
    from dovetail.settings import Settings

__all__ = ["FlowImportError", "check", "check_parameters", "describe_file", "spawn_note", "wait_described"]


AnEvent = TypeVar("AnEvent", Described, Checked)


class FlowImportError(ValidationError):
    """The flow's file can't be imported. The message ends with the user's own traceback."""

    default_code = "DOVETAIL-U005"

    def __init__(self, file: str, report: ErrorReport) -> None:
        if report.type.startswith("dovetail.interfaces.errors.") and "Traceback" not in report.traceback:
            # Our own words about a file that was imported well: it has no flow, or several.
            super().__init__(report.traceback.removeprefix(f"{report.type}: ").rstrip() or report.message)
            self.report = report
            return
        hint = None
        if "ModuleNotFoundError" in report.bases or "ImportError" in report.bases:
            hint = "Install it here, or import it inside the steps whose environment has it."
        raised = f"{report.type}: "
        if "dovetail.interfaces.errors.DovetailError" in report.bases and report.traceback.startswith(raised):
            text = report.traceback.removeprefix(raised).rstrip()  # no code of the user's had a part in it
        else:
            text = f"{file} can't be imported: {report.message if raised == ': ' else raised + report.message}"
            text += "".join("\n  " + line for line in report.traceback.rstrip().splitlines())
        super().__init__(text + (f"\n  {hint}" if hint else ""))
        self.report = report


def wait_described(group: WorkerGroup, file: str, output: Callable[[Output], None] | None = None) -> FlowDescription:
    """Wait until a group has imported its flow.

    Args:
        group: The group.
        file: The flow's file.
        output: Told what the import prints.

    Raises:
        FlowImportError: It can't be imported.
    """
    return _wait_for(Described, group, file, output).flow


def check_parameters(
    group: WorkerGroup,
    flow: FlowDescription,
    given: Mapping[str, Any],
    file: str,
    output: Callable[[Output], None] | None = None,
) -> None:
    """Have the process that imported a flow look at those values whose hints only it knows.

    Args:
        group: The group, which has described the flow.
        flow: The flow.
        given: Values that somebody gave, of the types that the description tells.
        file: The flow's file.
        output: Told what a check prints.

    Raises:
        ValidationError: Values are wrong; all that are.
    """
    values = {p.name: given[p.name] for p in flow.parameters if p.constrained and p.name in given}
    if not values or not group.check(values):
        return
    try:
        wrong = _wait_for(Checked, group, file, output).wrong
    except FlowImportError as error:
        options = ", ".join(map(option_of, values))
        raise ValidationError(
            f"{flow.name} can't run with these parameters: {error.report.message} when it looked at {options}"
        ) from None
    if wrong:
        problems = [Problem(code="parameter-value", message=f"{option_of(name)}: {text}") for name, text in wrong]
        raise ValidationError(f"{flow.name} can't run with these parameters:", problems=problems)


def _wait_for(kind: type[AnEvent], group: WorkerGroup, file: str, output: Callable[[Output], None] | None) -> AnEvent:
    with selectors.DefaultSelector() as selector:
        selector.register(group.fileno(), selectors.EVENT_READ)
        while True:
            wake = group.next_wake()
            selector.select(None if wake is None else max(0.0, wake - time.monotonic()))
            found = None
            for event in group.read():
                if isinstance(event, kind):
                    found = event
                elif isinstance(event, Failed):  # also right behind it: nobody would hear of it again
                    raise FlowImportError(file, event.error)
                elif isinstance(event, Output) and output is not None:
                    output(event)
            if found is not None:
                return found


def check(flow: FlowDescription, settings: Settings) -> None:
    """Raise with every problem of a flow, of its graph and of the choices for its steps, if it has any.

    Raises:
        ValidationError: With all problems at once.
    """
    problems = [*validate(flow), *settings.check(flow)]
    if problems:
        count = "a problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise ValidationError(f"{flow.name} can't run, it has {count}:", problems=problems)


def spawn_note(flow: FlowDescription, settings: Settings) -> str | None:
    """What to tell of a flow whose tasks can't be forked, which `auto` falls back from; None when they can."""
    if not flow.fork_hazards:
        return None
    note = f"tasks run in fresh processes (spawn): {'; '.join(flow.fork_hazards)}"
    graph = Graph(flow)
    for step in flow.steps:
        options = settings.step_options(step, flow)
        # A fresh process imports the flow again: dear where a foreach starts one for each item.
        if graph.depth(step.name) and options.isolation is Isolation.AUTO and options.reuse == 1:
            return f'{note}. @isolation(reuse="auto") lets the items of a foreach share them'
    return note


def describe_file(file: str, *, name: str | None = None, settings: Settings | None = None) -> FlowDescription:
    """The flow of a file, described by a process of its own. Not validated."""
    from dovetail.engine.session import FlowSource, Session, find_flow_file
    from dovetail.settings import Settings

    path = find_flow_file(file)
    session = Session(settings or Settings.load(), FlowSource(file=path, name=name))
    try:
        return wait_described(session.begin_import(), str(path))
    finally:
        session.close()
