"""A flow as plain data: what a process that imported it tells everyone who must not.

The driver, the planner, the command line and deployers work on this alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, Literal

from dovetail.interfaces.dataclass import dataclass
from dovetail.interfaces.problems import Problem

__all__ = [
    "DecoratorUse",
    "FlowDescription",
    "ParameterDescription",
    "StepDescription",
    "Transition",
    "TransitionKind",
]

TransitionKind = Literal["linear", "branch", "foreach", "switch"]
ParameterType = Literal["str", "int", "float", "bool", "json"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """One `self.next(...)` that a step can reach. A step with several takes whichever it calls."""

    kind: TransitionKind
    """`linear` (one target), `branch` (all), `foreach` (one target, many tasks), `switch` (one of the targets)."""
    targets: tuple[str, ...]
    """Names of the steps that follow, in the order written."""
    condition: str | None = None
    """Of a switch: name of the artifact whose value chooses."""
    cases: Mapping[str, str] = field(default_factory=dict)
    """Of a switch: JSON text of each case's key → target."""
    foreach: str | None = None
    """Of a foreach: name of the artifact, or None when a value was given."""
    on_error: Literal["fail", "collect"] = "fail"
    """Of a foreach: whether a failed item fails the run or is kept at its index in `inputs`."""
    line: int = 0
    """Line of the call in the step's file; 0 when unknown."""

    def to_plain(self) -> dict[str, Any]:
        """This transition as JSON-able data."""
        return {
            "kind": self.kind,
            "targets": list(self.targets),
            "condition": self.condition,
            "cases": dict(self.cases),
            "foreach": self.foreach,
            "on_error": self.on_error,
            "line": self.line,
        }

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> Transition:
        """The inverse of `to_plain`."""
        return cls(**{**data, "targets": tuple(data["targets"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoratorUse:
    """A decorator as a flow file stores it: resolved only when a run starts."""

    kind: str
    """What it chooses or sets: `retry`, `catch`, `timeout`, `resources`, `environment_variables`, `compute`,
    `environment`, `datastore`, `isolation`, or a kind that a plugin registered."""
    name: str
    """Backend or instance name for the choosing kinds, else the same as `kind`."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """JSON-able options, as given."""
    source: str = ""
    """Where it was written, `file:line`, or `--with ...`."""

    def to_plain(self) -> dict[str, Any]:
        """This use as JSON-able data."""
        return {"kind": self.kind, "name": self.name, "options": dict(self.options), "source": self.source}

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> DecoratorUse:
        """The inverse of `to_plain`."""
        return cls(**data)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDescription:
    """One step of a flow."""

    name: str
    """Name of the method or function."""
    is_join: bool = False
    """Whether it takes `inputs`."""
    transitions: tuple[Transition, ...] = ()
    """Every `self.next` that can be reached; empty for the end step."""
    decorators: tuple[DecoratorUse, ...] = ()
    """Outermost first."""
    code_key: str = ""
    """Hex digest of the code that the step depends on."""
    code_parts: Mapping[str, str] = field(default_factory=dict)
    """What went into the code key: name → hex digest, so that a difference can be explained."""
    doc: str = ""
    """First paragraph of the docstring."""
    file: str = ""
    """Source file, relative to the flow's own folder where it lies below it."""
    line: int = 0
    """Line of the definition; 0 when unknown."""
    module: str = ""
    """Of a task: module that holds it, by its canonical name; empty where it can't be found by name."""
    qualname: str = ""
    """Of a task: name inside the module, perhaps with dots."""
    kind: Literal["step", "task", "wait"] = "step"
    """A `@step` method or the body of a `@flow` function, which a run plans; or a `@task`, which other tasks call; or
    a call that waits for somebody outside of the run."""
    hooks: tuple[tuple[str, str], ...] = ()
    """(kind, `module:name`) of each function that is called when one of its tasks has ended: `on_success`,
    `on_failure`, `on_cancel`, `on_crash`, and of tasks in transactions `on_rollback` and `on_commit`."""

    def to_plain(self) -> dict[str, Any]:
        """This step as JSON-able data."""
        return {
            "name": self.name,
            "kind": self.kind,
            "is_join": self.is_join,
            "transitions": [t.to_plain() for t in self.transitions],
            "decorators": [d.to_plain() for d in self.decorators],
            "code_key": self.code_key,
            "code_parts": dict(self.code_parts),
            "doc": self.doc,
            "file": self.file,
            "line": self.line,
            "module": self.module,
            "qualname": self.qualname,
            "hooks": [list(hook) for hook in self.hooks],
        }

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> StepDescription:
        """The inverse of `to_plain`."""
        return cls(
            **{
                **data,
                "transitions": tuple(Transition.from_plain(t) for t in data["transitions"]),
                "decorators": tuple(DecoratorUse.from_plain(d) for d in data["decorators"]),
                "hooks": _hooks(data),
            }
        )

    @property
    def targets(self) -> tuple[str, ...]:
        """Every step that can follow, each once, in the order written."""
        return tuple(dict.fromkeys(target for t in self.transitions for target in t.targets))


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterDescription:
    """A parameter of a flow."""

    name: str
    """Name of the attribute and of the option (`--learning-rate` for `learning_rate`)."""
    type: ParameterType = "str"
    """Type of the value, or of each item of a list."""
    takes_text: bool = False
    """Of type `json`: whether text that is no JSON stands for itself, such as a date or a path."""
    nullable: bool = False
    """Whether None is a value too."""
    is_list: bool = False
    """Whether the option may be repeated, or given a JSON list."""
    required: bool = False
    """Whether a run must be given a value."""
    default: Any = None
    """JSON-able default."""
    help: str = ""
    """One line for `--help`."""
    constrained: bool = False
    """Whether its hint allows less than `type` tells, so that only a process that imported the flow knows."""

    def to_plain(self) -> dict[str, Any]:
        """This parameter as JSON-able data."""
        return {
            "name": self.name,
            "type": self.type,
            "takes_text": self.takes_text,
            "nullable": self.nullable,
            "is_list": self.is_list,
            "required": self.required,
            "default": self.default,
            "help": self.help,
            "constrained": self.constrained,
        }

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> ParameterDescription:
        """The inverse of `to_plain`."""
        return cls(**data)


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowDescription:
    """A flow: steps, parameters, decorators, and what the process that imported it found.

    Of a `@flow` function the steps are its body and the tasks that its module holds; others that it calls are
    described when they are called.
    """

    name: str
    """Name of the class or function."""
    module: str
    """Canonical module name; never `__main__`."""
    file: str
    """Absolute path of the flow's file, or empty for code without one."""
    doc: str = ""
    """First paragraph of the docstring."""
    steps: tuple[StepDescription, ...] = ()
    """In the order written."""
    start: str = ""
    """Name of the first step."""
    end: str = ""
    """Name of the last step."""
    parameters: tuple[ParameterDescription, ...] = ()
    """In the order written."""
    constants: Mapping[str, Any] = field(default_factory=dict)
    """Class constants: name → a plain ArtifactRef (see `dovetail.artifacts`)."""
    decorators: tuple[DecoratorUse, ...] = ()
    """Flow decorators, outermost first."""
    problems: tuple[Problem, ...] = ()
    """What reading the source found wrong."""
    fork_hazards: tuple[str, ...] = ()
    """Why children can't be forked from the process that imported the flow; empty when they can."""
    sources: Mapping[str, str] = field(default_factory=dict)
    """First-party source files that were imported: absolute path → hex digest."""
    style: Literal["class", "function"] = "class"
    """A `FlowSpec` class; or a `@flow` function, whose only planned step is its body, the first of `steps`."""
    hooks: tuple[tuple[str, str], ...] = ()
    """(kind, `module:name`) of each function that is called when a run has ended."""

    @property
    def by_name(self) -> dict[str, StepDescription]:
        """Name → step."""
        return {step.name: step for step in self.steps}

    @property
    def noun(self) -> str:
        """What its nodes are to who wrote it: `step`, or `task` in a flow function."""
        return "task" if self.style == "function" else "step"

    def to_plain(self) -> dict[str, Any]:
        """This flow as JSON-able data."""
        return {
            "name": self.name,
            "module": self.module,
            "file": self.file,
            "doc": self.doc,
            "steps": [s.to_plain() for s in self.steps],
            "start": self.start,
            "end": self.end,
            "parameters": [p.to_plain() for p in self.parameters],
            "constants": dict(self.constants),
            "decorators": [d.to_plain() for d in self.decorators],
            "problems": [p.to_plain() for p in self.problems],
            "fork_hazards": list(self.fork_hazards),
            "sources": dict(self.sources),
            "style": self.style,
            "hooks": [list(hook) for hook in self.hooks],
        }

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> FlowDescription:
        """The inverse of `to_plain`."""
        return cls(
            **{
                **data,
                "steps": tuple(StepDescription.from_plain(s) for s in data["steps"]),
                "parameters": tuple(ParameterDescription.from_plain(p) for p in data["parameters"]),
                "decorators": tuple(DecoratorUse.from_plain(d) for d in data["decorators"]),
                "problems": tuple(Problem.from_plain(p) for p in data["problems"]),
                "fork_hazards": tuple(data["fork_hazards"]),
                "hooks": _hooks(data),
            }
        )


def _hooks(data: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Hooks out of plain data; runs of before there were any have none."""
    return tuple((kind, address) for kind, address in data.get("hooks", ()))
