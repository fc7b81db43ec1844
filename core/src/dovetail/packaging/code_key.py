"""What a task's code is: everything that a change of it should make run again, and nothing else.

A step's key covers the normalised syntax tree of its method and of every name that it reaches in its own module
(helpers, classes, constants, methods of the flow through the MRO), the options of decorators that change what a
task does, and whole files of first-party modules that are imported anywhere in those files, directly or not.
A name that can't be resolved makes the whole module count. Code without source counts by its bytecode.

The same holds for the body of a flow function and for a task function, with what its closure holds. A task or flow
function that code calls counts by its name only: it is recorded, and keyed, on its own.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from types import CodeType
from typing import Any

from blake3 import blake3

from dovetail.interfaces.flow import DecoratorUse, FlowDescription, StepDescription
from dovetail.packaging.bytecode import digest_of_code
from dovetail.packaging.methods import (
    FoundMethod,
    code_below,
    find_method,
    function_below,
    is_called_by_name,
    own_decorators,
)
from dovetail.packaging.modules import ModuleSource, module_source
from dovetail.packaging.plain_values import exact_text, plain_text
from dovetail.packaging.project import Project, project_root

__all__ = ["CodeKeys", "with_code_keys"]

NEUTRAL_DECORATORS = frozenset(
    {"cache", "retry", "timeout", "resources", "compute", "environment", "datastore", "isolation", "limit", "schedule"}
)
"""Kinds that say where, when and how often a task runs, not what it does."""


def with_code_keys(
    description: FlowDescription, flow: Any, functions: Mapping[str, Any] | None = None
) -> FlowDescription:
    """A description with the code key of every step and the project's sources, read in the process that imported
    the flow.

    Args:
        description: The flow as plain data.
        flow: Its class; or the flow function.
        functions: Of a flow function: name → function of its body and of each task that is described.
    """
    keys = CodeKeys(flow, description)
    steps = []
    for step in description.steps:
        key, parts = keys.of_step(step.name) if functions is None else keys.of_function(functions[step.name], step)
        steps.append(replace(step, code_key=key, code_parts=parts))
    return replace(description, steps=tuple(steps), sources=keys.sources())


class CodeKeys:
    """Code keys of one flow; what its steps share is read once.

    Args:
        flow: Its class; anything else for a flow of functions only.
        description: The flow as plain data.
    """

    def __init__(self, flow: Any, description: FlowDescription) -> None:
        self._flow_cls = flow if isinstance(flow, type) else object
        self._description = description
        self._project = Project(project_root(description.file or os.path.join(os.getcwd(), "flow.py")))
        self._methods: dict[str, list[FoundMethod]] = {}

    def of_step(self, name: str) -> tuple[str, dict[str, str]]:
        """Key of a step of a flow class, 64 hex digits, and what went into it: name → digest."""
        closure = _Closure(self._flow_cls, self._project, self._methods)
        closure.add_step(name)
        return self._key(closure, self._description.by_name[name])

    def of_function(self, function: Any, step: StepDescription) -> tuple[str, dict[str, str]]:
        """Key of a task function or of the body of a flow function, and what went into it.

        Args:
            function: With its decorators.
            step: Its description.
        """
        closure = _Closure(object, self._project, {})
        closure.add_function(function)
        return self._key(closure, step)

    def _key(self, closure: _Closure, step: StepDescription) -> tuple[str, dict[str, str]]:
        parts = closure.parts
        for use in (*step.decorators, *self._description.decorators):
            if use.kind not in NEUTRAL_DECORATORS:
                parts[f"@{use.kind}"] = _digest(parts.get(f"@{use.kind}", "") + _options(use))
        return _digest("\n".join(f"{part} {parts[part]}" for part in sorted(parts))), dict(sorted(parts.items()))

    def sources(self) -> dict[str, str]:
        """First-party files that this process imported, and those that they import later: path → digest."""
        found = self._project.loaded()
        file = self._description.file
        if file and self._project.holds(file):
            found[file] = self._project.digest(file)
        for known in list(found):
            found.update(self._project.reachable(known))
        return dict(sorted(found.items()))


class _Closure:
    """Everything that one step reaches.

    Args:
        flow_cls: The flow's class; `object` for functions, which have no instance.
    """

    def __init__(self, flow_cls: type, project: Project, methods: dict[str, list[FoundMethod]]) -> None:
        self._flow_cls = flow_cls
        self._project = project
        self._found = methods
        self._seen: set[tuple[str, str]] = set()
        self._codes: set[CodeType] = set()
        self._files: set[str] = set()
        self.parts: dict[str, str] = {}

    def add_step(self, name: str) -> None:
        """The step's own method, with what it reaches."""
        self._add_attribute(name)

    def add_function(self, function: Any) -> None:
        """A function with what it reaches; of a method also its class."""
        below = function_below(function)
        code = below.__code__
        label = below.__qualname__
        self._add_code(label, code, function)
        if not self.parts:  # its code comes from the environment, by which it counts; the name tells it from others
            self._put(f"{below.__module__}.{label}", _digest(label))
        outer = label.rpartition(".")[0]
        source = module_source(code.co_filename)
        if outer and not outer.endswith("<locals>") and source is not None:
            self._add_names(os.path.abspath(code.co_filename), source, frozenset({outer.partition(".")[0]}), function)
        for name, cell in zip(code.co_freevars, below.__closure__ or (), strict=True):
            try:
                value = cell.cell_contents
            except ValueError:  # bound later
                continue
            if name != "__class__" and not is_called_by_name(value):
                self._add_live_value(name, value, exactly=True)

    def _methods_of(self, name: str) -> list[FoundMethod]:
        if name not in self._found:
            self._found[name] = find_method(self._flow_cls, name)
        return self._found[name]

    def _add_attribute(self, name: str, *, inherited: bool = False) -> None:
        """What `self.name` means in the flow, nothing for artifacts; or what `super().name` may mean."""
        if (f"self {inherited}", name) in self._seen:
            return
        self._seen.add((f"self {inherited}", name))
        for found in self._methods_of(name)[: None if inherited else 1]:
            label = f"{found.owner.__qualname__}.{name}"
            for code, function in found.functions:
                self._add_code(label, code, function)
            if not found.functions:
                self._add_class_value(label, found, name)

    def _add_class_value(self, label: str, found: FoundMethod, name: str) -> None:
        """A constant of the class, by the statements that make it."""
        file = _module_file(found.owner.__module__)
        if file and not self._project.holds(file):
            return  # comes from the environment
        source = module_source(file) if file else None
        statements = source.in_class(found.owner.__qualname__, name) if source is not None else []
        if source is None or not statements:
            self._put(label, _digest(plain_text(found.value)))
            return
        reading = source.statements(statements)
        self._put(label, reading.digest)
        self._add_file(file)
        self._add_names(file, source, reading.names, scope=vars(sys.modules[found.owner.__module__]))

    def _add_code(self, label: str, code: CodeType, function: Any) -> None:
        if code in self._codes:
            return
        self._codes.add(code)
        file = code.co_filename
        absolute = os.path.abspath(file)
        on_disk = os.path.isfile(absolute)
        if on_disk and not self._project.holds(absolute):
            return  # comes from the environment
        source = module_source(file)
        node = source.function(code.co_name, code.co_firstlineno) if source is not None else None
        if source is None or node is None:
            self._add_bytecode(label, code, function)
            return
        arguments = [*node.args.posonlyargs, *node.args.args]
        me = arguments[0].arg if arguments and self._flow_cls is not object else ""
        reading = source.method(node, me, own_decorators(function, node))
        self._put(label, reading.digest)
        if on_disk:
            self._add_file(absolute)
        for attribute in reading.attributes:
            self._add_attribute(attribute)
        for attribute in reading.inherited:
            self._add_attribute(attribute, inherited=True)
        if reading.uses_instance:
            self._add_every_method()
        names = reading.names - set(code.co_freevars) if self._flow_cls is object else reading.names
        self._add_names(absolute if on_disk else file, source, names, function)

    def _add_every_method(self) -> None:
        """The instance is given to other code, which may call anything but steps by name."""
        for base in self._flow_cls.__mro__:
            if base.__module__.partition(".")[0] in ("dovetail", "builtins"):
                continue
            for name, value in list(vars(base).items()):
                if not name.startswith("__") and not hasattr(value, "__dovetail_step__"):
                    self._add_attribute(name)

    def _add_names(
        self,
        file: str,
        source: ModuleSource,
        names: frozenset[str],
        function: Any = None,
        scope: Mapping[str, Any] | None = None,
    ) -> None:
        known: Mapping[str, Any] = getattr(function_below(function), "__globals__", {}) if scope is None else scope
        pending = sorted(names)
        while pending:
            name = pending.pop()
            if (file, name) in self._seen:
                continue
            self._seen.add((file, name))
            if is_called_by_name(known.get(name)):
                continue
            if source.defines(name):
                reading = source.reading(name)
                self._put(f"{self._label(file)}:{name}", reading.digest)
                pending += sorted(reading.names)
            elif not source.builtin(name) and not self._add_live(name, function):
                self._put(f"{self._label(file)} (whole: {name} can't be resolved)", source.whole())

    def _add_live(self, name: str, function: Any) -> bool:
        """A name from another notebook cell: whatever it is bound to now. Not for modules with a file."""
        scope = getattr(function_below(function), "__globals__", None)
        if scope is None or scope.get("__file__") or name not in scope:
            return False
        value = scope[name]
        code = code_below(value)
        if code is not None:
            self._add_code(name, code, value)
        elif isinstance(value, type):
            for member in vars(value).values():
                inner = code_below(member)
                if inner is not None:
                    self._add_code(f"{name}.{inner.co_name}", inner, member)
        elif isinstance(value, type(sys)):
            self._add_module(value)
        else:
            self._put(name, _digest(plain_text(value)))
        return True

    def _add_module(self, module: Any) -> None:
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and self._project.holds(os.path.abspath(file)):
            absolute = os.path.abspath(file)
            self._put(self._project.name(absolute), self._project.digest(absolute))
            self._add_file(absolute)

    def _add_bytecode(self, label: str, code: CodeType, function: Any) -> None:
        """Code without source: its instructions, and what its globals are bound to now."""
        self._put(label, digest_of_code(code))
        scope = getattr(function_below(function), "__globals__", {})
        names, attributes = _names_of(code)
        for name in sorted(names):
            if name in scope and not is_called_by_name(scope[name]):
                self._add_live_value(name, scope[name])
        for attribute in sorted(attributes):
            if not any(hasattr(found.value, "__dovetail_step__") for found in self._methods_of(attribute)):
                self._add_attribute(attribute, inherited=True)

    def _add_live_value(self, name: str, value: Any, *, exactly: bool = False) -> None:
        code = code_below(value)
        if code is not None:
            self._add_code(name, code, value)
        elif isinstance(value, type(sys)):
            self._add_module(value)
        elif isinstance(value, type):
            for member in vars(value).values():
                inner = code_below(member)
                if inner is not None and value is not self._flow_cls:
                    self._add_code(f"{name}.{inner.co_name}", inner, member)
        else:
            self._put(name, _digest(exact_text(value) if exactly else plain_text(value)))

    def _add_file(self, file: str) -> None:
        """First-party modules that a file imports, as a whole."""
        if file in self._files:
            return
        self._files.add(file)
        for reached, digest in self._project.reachable(file).items():
            if reached != file:
                self._put(self._project.name(reached), digest)

    def _label(self, file: str) -> str:
        return self._project.name(file) if os.path.isabs(file) else file

    def _put(self, name: str, digest: str) -> None:
        known = self.parts.get(name)
        self.parts[name] = digest if known is None or known == digest else _digest(known + digest)


def _names_of(code: CodeType) -> tuple[set[str], set[str]]:
    """(names, attributes) that code may use, nested functions included. The two share one table in bytecode."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= _names_of(constant)[0]
    return names, names


def _module_file(name: str) -> str:
    file = getattr(sys.modules.get(name), "__file__", None)
    return os.path.abspath(file) if isinstance(file, str) else ""


def _options(use: DecoratorUse) -> str:
    return f"{use.kind} {use.name} {plain_text(dict(sorted(use.options.items())))}"


def _digest(text: str) -> str:
    return blake3(text.encode("utf-8", "surrogatepass")).hexdigest()
