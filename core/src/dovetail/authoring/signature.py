"""Parameters of a flow function: what a run may be given, and the values as the function wants them."""

from __future__ import annotations

import enum
import inspect
import sys
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from dovetail.authoring.docstrings import parameter_help
from dovetail.authoring.hints import Mismatch, coerced, is_structured, name_of, plain
from dovetail.authoring.reserved import OPTIONS
from dovetail.authoring.source import code_of, display_path
from dovetail.interfaces.errors import ValidationError
from dovetail.interfaces.flow import ParameterDescription, ParameterType
from dovetail.interfaces.problems import Problem

__all__ = ["argument_problems", "coerce_arguments", "plain_arguments", "read_signature"]

SCALARS: dict[Any, ParameterType] = {str: "str", int: "int", float: "float", bool: "bool"}
LONGEST = 80
"""Characters of a value in a message."""
STARRED = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def read_signature(fn: Callable[..., Any], problems: list[Problem]) -> tuple[ParameterDescription, ...]:
    """Every parameter, in the order written.

    Args:
        fn: The function.
        problems: What is wrong with its parameters is added here.
    """
    code = code_of(fn)
    file = display_path(code.co_filename) if code is not None else ""
    line = code.co_firstlineno if code is not None else 0
    described: list[ParameterDescription] = []
    told = parameter_help(fn.__doc__)
    folded: dict[str, str] = {}
    for name, parameter in _parameters(fn).items():
        problems += [
            Problem(code=kind, message=message, fix=fix, file=file, line=line)
            for kind, message, fix in _name_problems(name, parameter, folded)
        ]
        if parameter.kind in STARRED:
            continue
        hint = parameter.annotation
        kind, is_list, nullable = _described(hint, parameter.default)
        default = None
        if parameter.default is not parameter.empty:
            try:
                default = _plain_default(hint, parameter.default)
            except Mismatch as error:
                problems.append(
                    Problem(
                        code="parameter-default",
                        message=f"parameter {name!r} is {name_of(hint)}, but its default is "
                        f"{parameter.default!r}: {error}",
                        fix="Make the two agree.",
                        file=file,
                        line=line,
                    )
                )
        described.append(
            ParameterDescription(
                name=name,
                type=kind,
                takes_text=kind == "json" and not is_structured(hint),
                nullable=nullable,
                is_list=is_list,
                required=parameter.default is parameter.empty,
                default=default,
                help=told.get(name) or _choices(hint),
                constrained=_is_constrained(hint, kind),
            )
        )
    return tuple(described)


def coerce_arguments(fn: Callable[..., Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """A run's parameters as the function wants them: validated, and made what its hints say.

    Pydantic does it where the function's module uses pydantic.

    Args:
        fn: The function.
        values: Name → value, JSON-able or what the hint says already.

    Raises:
        ValidationError: With everything that is wrong.
    """
    problems: list[Problem] = []
    made: dict[str, Any] = {}
    for name, coerce in _coercions(fn, values):
        try:
            made[name] = coerce()
        except Mismatch as error:
            problems.append(Problem(code="parameter-value", message=f"{name}: {error}"))
    problems += [
        Problem(code="parameter-unknown", message=f"{fn.__name__} has no parameter {name!r}")
        for name in sorted(values.keys() - _parameters(fn).keys())
    ]
    if problems:
        raise ValidationError(f"{fn.__name__} can't run with these parameters:", problems=problems)
    return made


def argument_problems(fn: Callable[..., Any], values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(parameter, what is wrong with its value) of each wrong one, without running the function.

    Args:
        fn: The function.
        values: Name → value, JSON-able.
    """
    wrong: list[tuple[str, str]] = []
    for name, coerce in _coercions(fn, values):
        try:
            coerce()
        except Mismatch as error:
            wrong.append((name, str(error)))
        except Exception as error:  # of a validator or class of the user's
            wrong.append((name, f"{values[name]!r} can't be taken: {type(error).__name__}: {error}"))
    return wrong


def _coercions(fn: Callable[..., Any], values: Mapping[str, Any]) -> Iterator[tuple[str, Callable[[], Any]]]:
    """(parameter, what makes its value what the hint says) of each value that is given."""
    validate = _pydantic(fn) or coerced
    for name, parameter in _parameters(fn).items():
        if name not in values:
            continue
        value, hint = values[name], parameter.annotation
        if value is None and parameter.default is not parameter.empty and _lost(hint, parameter.default):
            # It has no JSON form, so the run only knows that nothing was given.
            yield name, partial(lambda default: default, parameter.default)
        else:
            yield name, partial(validate, hint, value)


def plain_arguments(fn: Callable[..., Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of a call as JSON-able data, as a run keeps its parameters; `coerce_arguments` makes them again what
    the hints say.

    Raises:
        ValidationError: One of them has no such form; all are named.
    """
    problems: list[Problem] = []
    made: dict[str, Any] = {}
    parameters = _parameters(fn)
    for name, value in values.items():
        parameter = parameters.get(name)
        if parameter is not None and value is parameter.default and _lost(parameter.annotation, value):
            made[name] = None
            continue
        try:
            made[name] = plain(value)
        except Mismatch as error:
            problems.append(
                Problem(
                    code="parameter-value",
                    message=f"{name}: {error}",
                    fix="A run keeps its parameters as JSON: give where the data is, and load it in a task.",
                )
            )
    if problems:
        raise ValidationError(f"{fn.__name__} can't run with these arguments:", problems=problems)
    return made


def _parameters(fn: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Name → parameter, its hint resolved as far as it can be; `Any` where there is none."""
    found: dict[str, inspect.Parameter] = {}
    for name, parameter in inspect.signature(fn).parameters.items():
        hint = parameter.annotation
        hint = Any if hint is parameter.empty else _resolved(fn, name, hint)
        found[name] = parameter.replace(annotation=hint)
    return found


def _resolved(fn: Any, name: str, hint: Any) -> Any:
    """A hint with the names in it looked up; `Any` when only type checkers know them."""
    below = inspect.unwrap(fn)
    inner = dict(zip(below.__code__.co_freevars, (_content(cell) for cell in below.__closure__ or ()), strict=True))
    holder = types.SimpleNamespace(__annotations__={name: hint})
    try:
        return typing.get_type_hints(holder, below.__globals__, inner, include_extras=True)[name]
    except Exception:  # whatever the expression does
        return Any


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return None


def _name_problems(name: str, parameter: inspect.Parameter, folded: dict[str, str]) -> list[tuple[str, str, str]]:
    """(code, message, fix) of each."""
    if parameter.kind in STARRED:
        star = "*" * (1 + (parameter.kind is parameter.VAR_KEYWORD))
        return [
            (
                "parameter-starred",
                f"a flow can't take {star}{name}: the parameters of a run have names and types",
                f"Write each one, or one that holds them: {name}: {'dict' if len(star) > 1 else 'list'}.",
            )
        ]
    found = []
    if name.lower() in OPTIONS:
        text = f"a parameter can't be named {name!r}: the name is reserved"
        found.append(("reserved-name", text, "Give it another name."))
    elif name.startswith("_"):
        text = f"a parameter can't be named {name!r}: names with a leading _ are private"
        found.append(("reserved-name", text, f"Name it {name.lstrip('_') or 'value'}."))
    other = folded.setdefault(name.lower(), name)
    if other != name:
        text = f"parameters {other!r} and {name!r} differ only in case"
        found.append(("parameter-name", text, "Options are compared without case: rename one."))
    return found


def _described(hint: Any, default: Any) -> tuple[ParameterType, bool, bool]:
    """Scalar type, whether it is a list, whether it may be None."""
    if hint is Any and default is not inspect.Parameter.empty:
        hint = type(default) if type(default) in SCALARS else Any
    hint = _bare(hint)
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        rest = [arg for arg in args if arg is not type(None)]
        if len(rest) == 1 and len(args) == 2:
            kind, is_list, _ = _described(rest[0], inspect.Parameter.empty)
            return kind, is_list, True
        return "json", False, type(None) in args
    if _is_scalar(hint):
        return SCALARS[hint], False, default is None
    if origin is list and _is_scalar(_bare(args[0])):
        return SCALARS[_bare(args[0])], True, default is None
    return "json", False, True


def _bare(hint: Any) -> Any:
    while typing.get_origin(hint) is typing.Annotated:
        hint = typing.get_args(hint)[0]
    return hint


def _is_constrained(hint: Any, kind: ParameterType) -> bool:
    """Whether values of the described type may be none of the hint's."""
    if typing.get_origin(hint) is typing.Annotated or any(_is_constrained(part, "str") for part in _parts(hint)):
        return True
    return kind == "json" and hint is not Any


def _parts(hint: Any) -> tuple[Any, ...]:
    return () if typing.get_origin(hint) is typing.Literal else typing.get_args(hint)


def _choices(hint: Any) -> str:
    """What an option of a few values can be."""
    if typing.get_origin(hint) is typing.Literal:
        return f"one of {', '.join(map(str, typing.get_args(hint)))}"
    if isinstance(hint, type) and typing.get_origin(hint) is None and issubclass(hint, enum.Enum):
        return f"one of {', '.join(str(member.value) for member in hint)}"
    return ""


def _is_scalar(hint: Any) -> bool:
    try:
        return hint in SCALARS
    except TypeError:  # not hashable
        return False


def _plain_default(hint: Any, default: Any) -> Any:
    """A default as JSON-able data; None when it has no such form.

    Raises:
        Mismatch: It is not what its hint says.
    """
    if default is None:
        return None
    if _lost(hint, default):
        return None
    return plain(coerced(hint, default)) if _is_plain_type(hint) else plain(default)


def _is_plain_type(hint: Any) -> bool:
    """Whether a default is checked against its hint: not what pydantic may see differently."""
    return _is_scalar(hint) or (typing.get_origin(hint) is list and _is_scalar(typing.get_args(hint)[0]))


def _lost(hint: Any, default: Any) -> bool:
    """Whether a default can't be told from its JSON form, so that the function's own is taken."""
    if default is None:
        return False
    try:
        plain(default)
    except Mismatch:
        return True
    return False


def _pydantic(fn: Any) -> Callable[[Any, Any], Any] | None:
    """Validation by pydantic, where the function's module uses it."""
    pydantic: Any = sys.modules.get("pydantic")
    scope = getattr(inspect.unwrap(fn), "__globals__", {})
    if not hasattr(pydantic, "TypeAdapter") or not any(_is_pydantics(value) for value in list(scope.values())):
        return None

    def validate(hint: Any, value: Any) -> Any:
        try:
            adapter = pydantic.TypeAdapter(hint, config={"arbitrary_types_allowed": True})
        except pydantic.PydanticUserError:  # a model has a configuration of its own
            adapter = pydantic.TypeAdapter(hint)
        try:
            return adapter.validate_python(value)
        except pydantic.ValidationError as error:
            raise Mismatch("; ".join(_told(part) for part in error.errors())) from None

    return validate


def _told(error: Any) -> str:
    place = "".join(f"[{part!r}]" for part in error["loc"])
    given = "" if error["type"] == "missing" else f" (given: {_short(error['input'])})"
    return f"{place}: {error['msg']}{given}" if place else f"{error['msg']}{given}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _is_pydantics(value: Any) -> bool:
    """Whether a global of a module comes from pydantic."""
    if isinstance(value, types.ModuleType):
        return value.__name__.partition(".")[0] == "pydantic"
    kind = value if isinstance(value, type) else type(value)
    return "pydantic" in (
        str(getattr(kind, "__module__", "")).partition(".")[0],
        str(getattr(value, "__module__", "")).partition(".")[0],
    ) or hasattr(kind, "__pydantic_validator__")
