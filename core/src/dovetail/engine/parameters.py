"""Values of a run's parameters, from options such as `--learning-rate 0.1`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from dovetail.interfaces.errors import ValidationError
from dovetail.interfaces.flow import FlowDescription, ParameterDescription
from dovetail.interfaces.problems import Problem

__all__ = ["coerce", "option_of", "parse_parameters", "resolve_parameters"]

_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})


def option_of(name: str) -> str:
    """The option of a parameter: `--learning-rate` for `learning_rate`."""
    return "--" + name.replace("_", "-")


def parse_parameters(flow: FlowDescription, argv: Sequence[str]) -> dict[str, Any]:
    """Values from a command line; defaults are not filled in.

    `--name value`, `--name=value`, and for bools also `--name` and `--no-name`. A list's option may be repeated, or
    given once with a JSON list.

    Raises:
        ValidationError: With every problem of the command line.
    """
    options = {option_of(p.name): p for p in flow.parameters} | {f"--{p.name}": p for p in flow.parameters}
    negated = {f"--no-{option[2:]}": p for option, p in options.items() if p.type == "bool" and not p.is_list}
    given: dict[str, list[str]] = {}
    problems: list[Problem] = []
    words = list(argv)
    while words:
        word = words.pop(0)
        option, equals, value = word.partition("=")
        parameter = options.get(option)
        if parameter is None:
            if option in negated and not equals:
                given.setdefault(negated[option].name, []).append("false")
            else:
                problems.append(_unknown(flow, option, {**options, **negated}))
                if words and not words[0].startswith("--"):
                    words.pop(0)
            continue
        if not equals:
            if parameter.type == "bool" and (not words or words[0].lower() not in _TRUE | _FALSE):
                value = "true"
            elif words:
                value = words.pop(0)
            else:
                problems.append(Problem(code="parameter-value", message=f"{option} needs a value"))
                continue
        given.setdefault(parameter.name, []).append(value)
    values: dict[str, Any] = {}
    by_name = {p.name: p for p in flow.parameters}
    for name, texts in given.items():
        try:
            values[name] = _parse(by_name[name], texts)
        except ValueError as error:
            problems.append(Problem(code="parameter-value", message=f"{option_of(name)}: {error}"))
    if problems:
        raise ValidationError(f"{flow.name} can't run with these options:", problems=problems)
    return values


def resolve_parameters(flow: FlowDescription, given: Mapping[str, Any]) -> dict[str, Any]:
    """Values of all parameters: the given ones, checked, over the defaults.

    Raises:
        ValidationError: With every problem.
    """
    problems: list[Problem] = []
    values: dict[str, Any] = {}
    known = {p.name for p in flow.parameters}
    options = {option_of(name): None for name in known}
    problems += [_unknown(flow, option_of(name), options) for name in given if name not in known]
    for parameter in flow.parameters:
        if parameter.name in given:
            try:
                values[parameter.name] = coerce(parameter, given[parameter.name])
            except ValueError as error:
                problems.append(Problem(code="parameter-value", message=f"{option_of(parameter.name)}: {error}"))
        elif parameter.required:
            problems.append(
                Problem(
                    code="parameter-missing",
                    message=f"{flow.name} needs {option_of(parameter.name)}"
                    + (f": {parameter.help}" if parameter.help else ""),
                    fix=f"Add {option_of(parameter.name)} {parameter.type.upper()} to the command.",
                )
            )
        else:
            values[parameter.name] = parameter.default
    if problems:
        raise ValidationError(f"{flow.name} can't run with these parameters:", problems=problems)
    return values


def coerce(parameter: ParameterDescription, value: Any) -> Any:
    """A value of the parameter's type.

    Raises:
        ValueError: It is none, in words.
    """
    if value is None and parameter.nullable:
        return None
    if parameter.is_list:
        if not isinstance(value, list | tuple):
            raise ValueError(f"{value!r} is not a list")
        return [_coerce_one(parameter.type, item) for item in value]
    return _coerce_one(parameter.type, value)


def _coerce_one(kind: str, value: Any) -> Any:
    if kind == "json":
        return value
    if kind == "float" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    expected = {"str": str, "int": int, "float": float, "bool": bool}[kind]
    if not isinstance(value, expected) or (kind == "int" and isinstance(value, bool)):
        raise ValueError(f"{value!r} is not {_NOUNS[kind]}")
    return value


_NOUNS = {"str": "text", "int": "a whole number", "float": "a number", "bool": "true or false", "json": "JSON"}


def _parse(parameter: ParameterDescription, texts: list[str]) -> Any:
    if parameter.nullable and parameter.type not in ("str", "json") and [text.lower() for text in texts] == ["null"]:
        return None
    if parameter.is_list:
        if len(texts) == 1 and texts[0].lstrip().startswith("["):
            return coerce(parameter, _json(texts[0]))
        return [_parse_one(parameter.type, text) for text in texts]
    if len(texts) > 1:
        raise ValueError(f"given {len(texts)} times, but it takes one value")
    try:
        return _parse_one(parameter.type, texts[0])
    except ValueError:
        if parameter.type == "json" and parameter.takes_text:
            return texts[0]
        raise


def _parse_one(kind: str, text: str) -> Any:
    if kind == "str":
        return text
    if kind == "json":
        return _json(text)
    if kind == "bool":
        if text.lower() in _TRUE:
            return True
        if text.lower() in _FALSE:
            return False
        raise ValueError(f"{text!r} is not true or false")
    try:
        return int(text) if kind == "int" else float(text)
    except ValueError:
        raise ValueError(f"{text!r} is not {_NOUNS[kind]}") from None


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from None


def _unknown(flow: FlowDescription, option: str, known: Mapping[str, object]) -> Problem:
    from difflib import get_close_matches

    if not option.startswith("-"):
        return Problem(
            code="parameter-unknown",
            message=f"{flow.name} takes no argument {option!r}",
            fix="Values of parameters are given as --name value.",
        )
    near = get_close_matches(option, list(known), n=1)
    names = ", ".join(option_of(p.name) for p in flow.parameters) or "none"
    return Problem(
        code="parameter-unknown",
        message=f"{flow.name} has no option {option}",
        fix=f"Did you mean {near[0]}?" if near else f"Its parameters: {names}.",
    )
