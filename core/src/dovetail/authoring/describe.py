"""Read a flow class into plain data: steps, transitions, parameters, and every problem found on the way."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from dovetail.authoring import constants as _constants
from dovetail.authoring.flow_function import FlowFunction
from dovetail.authoring.flowspec import FlowSpec
from dovetail.authoring.hooks import plain_hooks
from dovetail.authoring.parameter_reading import read_parameters
from dovetail.authoring.parameters import ParameterAttribute
from dovetail.authoring.reserved import ATTRIBUTES, STEPS
from dovetail.authoring.source import code_of, display_path, first_paragraph, function_node
from dovetail.authoring.step_reading import StepReader
from dovetail.authoring.steps import mark_of
from dovetail.authoring.task_function import TaskFunction
from dovetail.authoring.uses import Use, uses_of
from dovetail.interfaces.flow import DecoratorUse, FlowDescription, StepDescription
from dovetail.interfaces.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from dovetail.authoring.declared import DeclaredFunction

__all__ = [
    "canonical_module",
    "constants",
    "describe",
    "flows_in",
    "plain_use",
    "step_methods",
    "use_problems",
]

REPEATABLE = frozenset({"environment_variables", "limit"})


def constants(flow_cls: type[FlowSpec]) -> dict[str, Any]:
    """Name → value of the class constants, which the worker stores and puts into the root scope."""
    return _constants.constants(flow_cls)


def describe(flow_cls: type[FlowSpec], *, module: str | None = None) -> FlowDescription:
    """Everything about a flow that others need, as plain data, but for its code (`packaging.with_code_keys`).

    Never raises for what is wrong with the flow: that is in `problems` (see also `planning.validate`).

    Args:
        flow_cls: The class.
        module: Its canonical module name, where it was imported under another; by default its own, and the
            file's stem for a script.
    """
    problems: list[Problem] = []
    methods = step_methods(flow_cls)
    file = _file(flow_cls)
    steps = [_describe_step(flow_cls, name, method, set(methods), problems) for name, method in methods.items()]
    problems += _class_problems(flow_cls)
    problems += _collect_problems(flow_cls, steps)
    parameters = read_parameters(flow_cls, problems)
    uses = _flow_uses(flow_cls)
    use_problems(uses, flow_cls.__name__, problems)
    hooks = plain_hooks(flow_cls, flow_cls.__name__, problems, display_path(file), 0)
    return FlowDescription(
        name=flow_cls.__name__,
        module=module or canonical_module(flow_cls),
        file=file,
        doc=first_paragraph(flow_cls.__dict__.get("__doc__")),
        steps=tuple(step for step, _ in steps),
        start=_ends(flow_cls, methods, "start", problems),
        end=_ends(flow_cls, methods, "end", problems),
        parameters=parameters,
        decorators=tuple(plain_use(use) for use in uses),
        problems=tuple(dict.fromkeys(problems)),
        hooks=hooks,
    )


def flows_in(module: object) -> list[type[FlowSpec] | FlowFunction[..., Any]]:
    """The flows that a module defines, in the order written; base classes of other flows in it, and classes
    without a step, are left out."""
    name = getattr(module, "__name__", None)
    found: dict[Any, None] = {}
    for value in vars(module).values():
        is_flow = isinstance(value, FlowFunction) or (isinstance(value, type) and issubclass(value, FlowSpec))
        if is_flow and value.__module__ == name:
            found[value] = None
    bases = {base for value in found if isinstance(value, type) for base in value.__mro__[1:]}
    return [value for value in found if not isinstance(value, type) or (value not in bases and step_methods(value))]


def canonical_module(flow: type | DeclaredFunction[..., Any] | Callable[..., Any]) -> str:
    """The name of a flow's, task's or function's module, with that of the file for `__main__`."""
    name = flow.__module__
    if name != "__main__":
        return name
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    if spec is not None and spec.name not in ("__main__", None):
        return str(spec.name)
    file = getattr(main, "__file__", None)
    stem = os.path.splitext(os.path.basename(file))[0] if file else ""
    return stem if stem.isidentifier() else "flow"


def step_methods(flow_cls: type) -> dict[str, Callable[..., Any]]:
    """Name → method of every step, in the order written, those of base classes first."""
    found: dict[str, Callable[..., Any]] = {}
    for base in reversed(flow_cls.__mro__):
        for name, value in vars(base).items():
            if mark_of(value) is not None:
                found[name] = value
            elif name in found:  # a subclass made something else of it
                del found[name]
    return found


def _describe_step(
    flow_cls: type[FlowSpec],
    name: str,
    method: Callable[..., Any],
    steps: set[str],
    problems: list[Problem],
) -> tuple[StepDescription, frozenset[str]]:
    code = code_of(method)
    file = display_path(code.co_filename) if code is not None else ""
    line = code.co_firstlineno if code is not None else 0
    node = function_node(code) if code is not None else None
    if node is not None:
        line = node.lineno
    reader = StepReader(flow_cls, name, steps)
    transitions = reader.read(method)
    problems += reader.problems
    uses = uses_of(method)
    use_problems(uses, f"step {name}", problems)
    hooks = plain_hooks(method, f"step {name}", problems, file, line)
    if name in STEPS or name.startswith("_"):
        reason = "begins with _" if name.startswith("_") else "is reserved"
        problems.append(
            Problem(
                code="reserved-name",
                message=f"a step can't be named {name!r}: the name {reason}",
                fix="Give the step another name.",
                file=file,
                line=line,
            )
        )
    is_join = _takes_inputs(name, code, file, line, problems)
    description = StepDescription(
        name=name,
        is_join=is_join,
        transitions=tuple(transitions),
        decorators=tuple(plain_use(use) for use in uses),
        doc=first_paragraph(method.__doc__),
        file=file,
        line=line,
        hooks=hooks,
    )
    return description, frozenset(reader.assigned)


def _takes_inputs(name: str, code: Any, file: str, line: int, problems: list[Problem]) -> bool:
    if code is None:
        return False
    count = code.co_argcount
    if count > 2 or count < 1 or code.co_kwonlyargcount:
        problems.append(
            Problem(
                code="step-arguments",
                message=f"step {name} takes {max(count - 1, 0) + code.co_kwonlyargcount} arguments besides self",
                fix=f"Write def {name}(self), or def {name}(self, inputs) for a join.",
                file=file,
                line=line,
            )
        )
    if code.co_flags & 0x2A0:  # a generator, coroutine or asynchronous generator function
        problems.append(
            Problem(
                code="step-async",
                message=f"step {name} is a coroutine or generator function, so calling it would run nothing",
                fix="Make it a plain method; use asyncio.run inside it for coroutines.",
                file=file,
                line=line,
            )
        )
    return bool(count >= 2)


def _ends(flow_cls: type, methods: dict[str, Callable[..., Any]], which: str, problems: list[Problem]) -> str:
    """Name of the start or end step: the marked one, else by name, else the only step."""
    marked = [
        name for name, method in methods.items() if (mark := mark_of(method)) is not None and getattr(mark, which)
    ]
    if len(marked) > 1:
        code = code_of(methods[marked[1]])
        problems.append(
            Problem(
                code=f"two-{which}s",
                message=f"{flow_cls.__name__} marks {len(marked)} steps with {which}=True: {', '.join(marked)}",
                fix="Leave the mark on one of them.",
                file=display_path(code.co_filename) if code else "",
                line=code.co_firstlineno if code else 0,
            )
        )
    if marked:
        return marked[0]
    if which in methods:
        return which
    return next(iter(methods)) if len(methods) == 1 else ""


def _flow_uses(flow_cls: type[FlowSpec]) -> list[Use]:
    """Flow decorators, the class's own first; of a base only the kinds that no subclass has."""
    found: list[Use] = []
    for base in flow_cls.__mro__:
        kinds = {use.kind for use in found}
        own = vars(base).get("_dovetail_uses", ())
        found += [use for use in own if use.kind in REPEATABLE or use.kind not in kinds]
    return found


def plain_use(use: Use) -> DecoratorUse:
    """A decorator as a description has it."""
    return DecoratorUse(
        kind=use.kind, name=use.name, options=dict(use.options), source=f"{display_path(use.file)}:{use.line}"
    )


def use_problems(uses: Any, where: str, problems: list[Problem]) -> None:
    """What is wrong with decorators, and with two of one kind."""
    seen: set[str] = set()
    for use in uses:
        file = display_path(use.file)
        for message, fix in use.wrong:
            problems.append(
                Problem(code="decorator-argument", message=f"{where}: {message}", fix=fix, file=file, line=use.line)
            )
        if use.kind in seen and use.kind not in REPEATABLE:
            problems.append(
                Problem(
                    code="duplicate-decorator",
                    message=f"{where} has two @{use.kind}",
                    fix="Keep one of them.",
                    file=file,
                    line=use.line,
                )
            )
        seen.add(use.kind)


def _class_problems(flow_cls: type[FlowSpec]) -> list[Problem]:
    problems = []
    file = _file(flow_cls)
    shown = display_path(file)
    for base in flow_cls.__mro__:
        if base is FlowSpec or base is object:
            continue
        for name, value in vars(base).items():
            if name in ATTRIBUTES and not isinstance(value, ParameterAttribute):
                code = code_of(value)
                problems.append(
                    Problem(
                        code="reserved-name",
                        message=f"{base.__name__} defines {name!r}, which every flow has already",
                        fix="Give it another name.",
                        file=display_path(code.co_filename) if code else shown,
                        line=code.co_firstlineno if code else 0,
                    )
                )
            if isinstance(value, TaskFunction):
                code = code_of(value)
                problems.append(
                    Problem(
                        code="task-method",
                        message=f"task {base.__name__}.{name} would be given the flow itself, which is no value",
                        fix="Put it at the top level of the module, or @staticmethod above @task, and pass what it "
                        "needs.",
                        file=display_path(code.co_filename) if code else shown,
                        line=code.co_firstlineno if code else 0,
                    )
                )
        init = vars(base).get("__init__")
        code = code_of(init)
        if code is not None:
            problems.append(
                Problem(
                    code="flow-init",
                    message=f"{base.__name__} defines __init__, which no task calls",
                    fix="Set artifacts in the start step, and constants on the class.",
                    file=display_path(code.co_filename),
                    line=code.co_firstlineno,
                )
            )
    return problems


def _collect_problems(flow_cls: type[FlowSpec], steps: list[tuple[StepDescription, frozenset[str]]]) -> list[Problem]:
    """Under `on_error="collect"` the name `error` belongs to the inputs."""
    if not any(t.on_error == "collect" for step, _ in steps for t in step.transitions):
        return []
    return [
        Problem(
            code="reserved-name",
            message=f"step {step.name} sets self.error, but {flow_cls.__name__} collects errors, and then an "
            "input's error is why it failed",
            fix="Give the artifact another name.",
            file=step.file,
            line=step.line,
        )
        for step, assigned in steps
        if "error" in assigned
    ]


def _file(flow_cls: type) -> str:
    module = sys.modules.get(flow_cls.__module__)
    file = getattr(module, "__file__", None)
    return os.path.abspath(file) if file else ""
