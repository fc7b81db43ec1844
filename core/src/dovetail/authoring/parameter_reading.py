"""Reads a flow's parameters: their types from hints, and what is wrong with them."""

from __future__ import annotations

import sys
from typing import Any

from dovetail.authoring.parameters import MISSING, JSONType, ParameterAttribute
from dovetail.authoring.reserved import ATTRIBUTES, OPTIONS
from dovetail.authoring.source import display_path
from dovetail.authoring.suggest import did_you_mean
from dovetail.interfaces.flow import ParameterDescription, ParameterType
from dovetail.interfaces.problems import Problem

__all__ = ["read_parameters"]

SCALARS: dict[Any, ParameterType] = {str: "str", int: "int", float: "float", bool: "bool"}
ARGUMENTS = ("name", "type", "default", "required", "help")


def read_parameters(flow_cls: type, problems: list[Problem]) -> tuple[ParameterDescription, ...]:
    """Every parameter, in the order written, those of base classes first."""
    found: dict[str, Any] = {}
    for base in reversed(flow_cls.__mro__):
        for name, value in vars(base).items():
            if isinstance(value, ParameterAttribute):
                found[name] = value
            elif name in found:
                del found[name]
    folded: dict[str, str] = {}
    described = []
    for name, parameter in found.items():
        described.append(_read(flow_cls, name, parameter, problems))
        other = folded.setdefault(name.lower(), name)
        if other != name:
            _wrong(
                problems,
                parameter,
                "parameter-name",
                f"parameters {other!r} and {name!r} differ only in case",
                "Options are compared without case: rename one.",
            )
    return tuple(described)


def _read(flow_cls: type, name: str, parameter: Any, problems: list[Problem]) -> ParameterDescription:
    _check_name(name, parameter, problems)
    for unknown in parameter.unknown:
        _wrong(
            problems,
            parameter,
            "parameter-argument",
            f"parameter {name!r} has no argument {unknown!r}",
            did_you_mean(unknown, ARGUMENTS) or f"Parameter takes {', '.join(ARGUMENTS)}.",
        )
    default = None if parameter.default is MISSING else parameter.default
    try:
        kind, is_list = _type_of(flow_cls, name, parameter)
    except ValueError as error:
        _wrong(
            problems,
            parameter,
            "parameter-type",
            f"parameter {name!r} can't have the type {error}",
            "Use str, int, float, bool, JSONType, or a list of one of the first four.",
        )
        kind, is_list = "json", False
    else:
        default = _check_default(name, kind, is_list, default, parameter, problems)
    required = parameter.default is MISSING if parameter.required is None else bool(parameter.required)
    if required and parameter.default is not MISSING and parameter.default is not None:
        required = False  # a default answers
    return ParameterDescription(
        name=name, type=kind, is_list=is_list, required=required, default=default, help=str(parameter.help)
    )


def _check_name(name: str, parameter: Any, problems: list[Problem]) -> None:
    given = parameter.given_name
    if given is not None and str(given).replace("-", "_") != name:
        _wrong(
            problems,
            parameter,
            "parameter-name",
            f"parameter {given!r} is kept in an attribute {name!r}",
            f"Write {str(given).replace('-', '_')} = Parameter(...), so that it has one name.",
        )
    if name in ATTRIBUTES or name.lower() in OPTIONS:
        _wrong(
            problems,
            parameter,
            "reserved-name",
            f"a parameter can't be named {name!r}: the name is reserved",
            "Give it another name.",
        )
    elif name.startswith("_"):
        _wrong(
            problems,
            parameter,
            "reserved-name",
            f"a parameter can't be named {name!r}: attributes with a leading _ are private",
            f"Name it {name.lstrip('_') or 'value'}.",
        )


def _type_of(flow_cls: type, name: str, parameter: Any) -> tuple[ParameterType, bool]:
    """Scalar type and whether it is a list.

    Raises:
        ValueError: Any other type; the message names it.
    """
    if parameter.type is not None:
        return _from_hint(parameter.type)
    hint = _annotation(parameter.owner or flow_cls, name)
    if hint is not None:
        return _from_hint(hint)
    default = parameter.default
    if default is MISSING or default is None:
        return "str", False
    if type(default) in SCALARS:
        return SCALARS[type(default)], False
    if isinstance(default, (list, tuple)):
        types = {type(item) for item in default}
        if len(types) == 1 and types <= SCALARS.keys():
            return SCALARS[types.pop()], True
    return "json", False


def _annotation(owner: type, name: str) -> Any:
    hint = vars(owner).get("__annotations__", {}).get(name)
    if hint is None and sys.version_info >= (3, 14):
        hint = getattr(owner, "__annotations__", {}).get(name)
    if not isinstance(hint, str):
        return hint
    import builtins
    import typing

    scope = {**vars(builtins), **vars(typing), **vars(sys.modules.get(owner.__module__, builtins))}
    try:
        return eval(hint, scope, dict(vars(owner)))
    except Exception:
        raise ValueError(repr(hint)) from None


def _from_hint(hint: Any) -> tuple[ParameterType, bool]:
    import types
    import typing

    if hint is JSONType or hint is typing.Any or hint is dict:
        return "json", False
    if hint in (list, tuple):
        return "json", False
    try:
        if hint in SCALARS:
            return SCALARS[hint], False
    except TypeError:  # not hashable
        raise ValueError(repr(hint)) from None
    origin = typing.get_origin(hint)
    args = [arg for arg in typing.get_args(hint) if arg is not type(None)]
    if origin in (typing.Union, types.UnionType) and len(args) == 1:
        return _from_hint(args[0])
    if origin is typing.Annotated or origin is typing.Final or origin is typing.ClassVar:
        return _from_hint(args[0])
    if origin is dict:
        return "json", False
    if origin in (list, tuple) or getattr(origin, "__name__", "") == "Sequence":
        items = [arg for arg in args if arg is not Ellipsis]
        if len(items) == 1 and items[0] in SCALARS:
            return SCALARS[items[0]], True
        if origin is list:
            return "json", False
    raise ValueError(getattr(hint, "__name__", None) or repr(hint))


def _check_default(
    name: str, kind: ParameterType, is_list: bool, default: Any, parameter: Any, problems: list[Problem]
) -> Any:
    """The default as JSON-able data of the parameter's type."""
    if default is None:
        return None
    if parameter.type is JSONType and isinstance(default, str):
        return _parsed(name, default, parameter, problems)
    values = list(default) if is_list and isinstance(default, (list, tuple)) else [default]
    if callable(default) or (is_list and not isinstance(default, (list, tuple))):
        fits = False
    elif kind == "json":
        fits = _is_json(default)
    elif kind == "float":
        fits = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)
        values = [float(value) for value in values] if fits else values
    else:
        expected = {"str": str, "int": int, "bool": bool}[kind]
        fits = all(type(value) is expected for value in values)
    if not fits:
        wanted = f"a list of {kind}" if is_list else kind
        _wrong(
            problems,
            parameter,
            "parameter-default",
            f"parameter {name!r} is {wanted}, but its default is {default!r}",
            "Make the two agree.",
        )
        return None
    return values if is_list else values[0]


def _parsed(name: str, text: str, parameter: Any, problems: list[Problem]) -> Any:
    """A text default of a JSON parameter, read as the command line would read it."""
    from json import loads

    try:
        return loads(text)
    except ValueError as error:
        _wrong(
            problems,
            parameter,
            "parameter-default",
            f"parameter {name!r} is json, but its default {text!r} is not JSON: {error}",
            "A text default is read as JSON: put quotes inside it for text, or give a list or dict.",
        )
        return None


def _is_json(value: Any) -> bool:
    from json import dumps

    try:
        dumps(value)
    except (TypeError, ValueError):
        return False
    return True


def _wrong(problems: list[Problem], parameter: Any, code: str, message: str, fix: str) -> None:
    file, line = parameter.line
    problems.append(Problem(code=code, message=message, fix=fix, file=display_path(file), line=line))
