"""Values by type hint: plain JSON data to what a hint says, and back.

Pydantic does it for functions whose module uses pydantic; the rules here are for all others. They are strict where a
mistake is likely (`True` is no number, 2.5 is no whole number), and take text for what JSON has no form for: dates,
paths, enumerations, and numbers and booleans that are written as text.
"""

from __future__ import annotations

import dataclasses
import enum
import os
import types
import typing
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

__all__ = ["Mismatch", "coerced", "is_structured", "name_of", "plain"]

_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})
# Classes by name, so that only a flow that uses them imports them.
_FROM_TEXT: dict[str, Any] = {
    "datetime.datetime": lambda kind, text: kind.fromisoformat(_utc(text)),
    "datetime.date": lambda kind, text: kind.fromisoformat(text),
    "datetime.time": lambda kind, text: kind.fromisoformat(text),
    "decimal.Decimal": lambda kind, text: kind(text),
    "uuid.UUID": lambda kind, text: kind(text),
}
_TO_PLAIN: dict[str, Any] = {
    "datetime.timedelta": lambda value: value.total_seconds(),
    "decimal.Decimal": str,
    "uuid.UUID": str,
}
_ARRAYS: dict[Any, Any] = {
    list: list, tuple: tuple, set: set, frozenset: frozenset, Sequence: list, Iterable: list, Set: set,
}  # fmt: skip


class Mismatch(ValueError):
    """A value is not what its hint says; the text says how."""


def coerced(hint: Any, value: Any) -> Any:
    """A value as its hint has it.

    Raises:
        Mismatch: It can't be one.
    """
    hint = _bare(hint)
    if hint is Any or hint is object or isinstance(hint, (str, typing.ForwardRef, typing.TypeVar)):
        return value
    if hint is None or hint is type(None):
        if value is None:
            return None
        raise _not(value, "null")
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _one_of(args, value)
    if origin is typing.Literal:
        return _literal(args, value)
    kind = origin or hint
    if kind in _ARRAYS:
        return _array(kind, args, value)
    if kind in (dict, Mapping):
        return _mapping(args, value)
    if not isinstance(kind, type):
        return value
    if kind in _SCALARS:
        return _SCALARS[kind](value)
    return _instance(kind, value)


def _bare(hint: Any) -> Any:
    """What is below `Annotated`, `Final`, `NewType` and aliases."""
    while True:
        if typing.get_origin(hint) in (typing.Annotated, typing.Final, typing.ClassVar):
            hint = typing.get_args(hint)[0]
        elif hasattr(hint, "__supertype__"):
            hint = hint.__supertype__
        elif type(hint).__name__ == "TypeAliasType":
            hint = hint.__value__
        else:
            return hint


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise _not(value, "text")


def _int(value: Any) -> int:
    if isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            raise _not(value, "a whole number") from None
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return _index(value)
    return value


def _index(value: Any) -> int:
    """Whole numbers of other libraries."""
    if not isinstance(value, bool) and hasattr(type(value), "__index__"):
        return int(value)
    raise _not(value, "a whole number")


def _float(value: Any) -> float:
    if isinstance(value, float):
        return value
    if isinstance(value, bool) or not (isinstance(value, str) or hasattr(type(value), "__float__")):
        raise _not(value, "a number")
    try:
        return float(value)
    except ValueError:
        raise _not(value, "a number") from None


def _bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in _TRUE | _FALSE:
        return value.lower() in _TRUE
    raise _not(value, "true or false")


_SCALARS: dict[Any, Any] = {str: _text, int: _int, float: _float, bool: _bool}


def _one_of(hints: tuple[Any, ...], value: Any) -> Any:
    """Of a union: the member that has the value already, else the first that it can become."""
    for hint in hints:
        bare = _bare(hint)
        kind = type(None) if bare is None else typing.get_origin(bare) or bare
        if isinstance(kind, type) and type(value) is kind:
            try:
                return coerced(hint, value)
            except Mismatch:
                continue
    for hint in hints:
        try:
            return coerced(hint, value)
        except Mismatch:
            continue
    raise _not(value, " or ".join(name_of(hint) for hint in hints))


def _literal(choices: tuple[Any, ...], value: Any) -> Any:
    for choice in choices:
        if type(choice) is type(value) and choice == value:
            return choice
    for choice in choices:  # text of the command line may have become a number, and a member may be an Enum's
        if str(value) == str(choice) or value == choice:
            return choice
    raise _not(value, f"one of {', '.join(map(repr, choices))}")


def _array(kind: Any, hints: tuple[Any, ...], value: Any) -> Any:
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        raise _not(value, "a list")
    items = list(value)
    if kind is tuple and hints and hints[-1] is not Ellipsis:
        if len(items) != len(hints):
            raise Mismatch(f"{value!r} has {len(items)} items, not {len(hints)}")
        return tuple(_item(n, hint, item) for n, (hint, item) in enumerate(zip(hints, items, strict=True)))
    hint = hints[0] if hints else Any
    return _ARRAYS[kind](_item(n, hint, item) for n, item in enumerate(items))


def _mapping(hints: tuple[Any, ...], value: Any) -> Any:
    if not isinstance(value, Mapping):
        raise _not(value, "a mapping")
    if not hints:
        return value
    return {coerced(hints[0], key): _item(key, hints[1], item) for key, item in value.items()}


def _item(place: object, hint: Any, value: Any) -> Any:
    try:
        return coerced(hint, value)
    except Mismatch as error:
        raise Mismatch(f"[{place!r}]: {error}") from None


def _instance(kind: Any, value: Any) -> Any:
    """An instance of a class."""
    if _is_typeddict(kind):
        return _fields(kind, value)
    if not _is_checkable(kind):
        return value
    is_one = isinstance(value, kind)
    name = f"{kind.__module__}.{kind.__qualname__}"
    if is_one and not (name == "datetime.date" and hasattr(value, "hour")):  # a datetime is a date, but no day
        return value
    if issubclass(kind, enum.Enum):
        return _member(kind, value)
    if name in _FROM_TEXT and isinstance(value, (str, int)) and not isinstance(value, bool):
        try:
            return _FROM_TEXT[name](kind, str(value))
        except (ValueError, ArithmeticError):
            raise _not(value, f"a {kind.__name__}") from None
    if hasattr(kind, "__fspath__") and isinstance(value, (str, int, os.PathLike)):
        return kind(str(value))
    if name == "datetime.timedelta" and isinstance(value, (int, float)) and not isinstance(value, bool):
        return kind(seconds=value)
    if name == "builtins.bytes" and isinstance(value, str):
        return value.encode()
    if hasattr(kind, "__dataclass_fields__") and isinstance(value, Mapping):
        return _fields(kind, value)
    if hasattr(kind, "model_validate"):  # a pydantic model in a module that has nothing else of pydantic
        try:
            return kind.model_validate(value)
        except ValueError as error:
            raise Mismatch(str(error)) from None
    raise _not(value, f"a {kind.__name__}")


def _is_typeddict(kind: Any) -> bool:
    return hasattr(kind, "__required_keys__")


def _is_checkable(kind: Any) -> bool:
    """Whether it can be asked about instances; a protocol for type checkers only can't."""
    return not getattr(kind, "_is_protocol", False) or getattr(kind, "_is_runtime_protocol", False)


def _member(kind: type[enum.Enum], value: Any) -> enum.Enum:
    for member in kind:
        if member.value == value and type(member.value) is type(value):
            return member
    for member in kind:
        if str(value) in (member.name, str(member.value)):
            return member
    raise _not(value, f"one of {', '.join(repr(member.value) for member in kind)}")


def _fields(kind: Any, value: Any) -> Any:
    """A dataclass or typed dictionary from a mapping, field by field."""
    if not isinstance(value, Mapping):
        raise _not(value, f"a mapping with the fields of {kind.__name__}")
    try:
        hints = typing.get_type_hints(kind, include_extras=True)
    except Exception:  # a hint that only type checkers can resolve
        hints = {}
    if _is_typeddict(kind):
        known, needed = set(kind.__annotations__), set(kind.__required_keys__)
    else:
        fields = [field for field in dataclasses.fields(kind) if field.init]
        known = {field.name for field in fields}
        missing = dataclasses.MISSING
        needed = {field.name for field in fields if field.default is missing and field.default_factory is missing}
    if unknown := sorted(map(str, value.keys() - known)):
        raise Mismatch(f"{kind.__name__} has no {', '.join(unknown)}; it has {', '.join(sorted(known))}")
    if lacking := sorted(needed - value.keys()):
        raise Mismatch(f"{kind.__name__} needs {', '.join(lacking)}")
    made = {name: _item(name, hints.get(name, Any), item) for name, item in value.items()}
    return made if _is_typeddict(kind) else kind(**made)


def plain(value: Any) -> Any:
    """A value as JSON-able data, such that `coerced` by its hint gives it back.

    Raises:
        Mismatch: It has no such form.
    """
    if value is None or type(value) in (str, int, bool):
        return value
    if isinstance(value, enum.Enum):
        return plain(value.value)
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            raise Mismatch(f"{value} is no number of JSON")
        return float(value)
    if isinstance(value, (str, int)):
        return str(value) if isinstance(value, str) else int(value)
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise Mismatch("bytes that are no text can't be written as JSON") from None
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted((plain(item) for item in value), key=repr)
    if isinstance(value, Mapping):
        return {_key(key): plain(item) for key, item in value.items()}
    if isinstance(value, os.PathLike):
        return str(value)
    if hasattr(type(value), "isoformat"):
        return str(value.isoformat())
    if (write := _TO_PLAIN.get(f"{type(value).__module__}.{type(value).__qualname__}")) is not None:
        return write(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value) if f.init}
    model: Any = value
    if hasattr(type(value), "model_dump"):
        return plain(model.model_dump(mode="json"))
    if hasattr(type(value), "__index__"):
        return int(model)
    raise Mismatch(f"a {type(value).__name__} can't be written as JSON")


def _key(value: Any) -> str:
    key = plain(value)
    return key if isinstance(key, str) else str(key)


def is_structured(hint: Any) -> bool:
    """Whether text alone, which is no JSON, can't stand for a value."""
    hint = _bare(hint)
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return all(is_structured(part) for part in typing.get_args(hint) if part is not type(None))
    kind = origin or hint
    if not isinstance(kind, type):
        return False
    return (
        kind in _ARRAYS
        or kind in (dict, Mapping)
        or _is_typeddict(kind)
        or dataclasses.is_dataclass(kind)
        or hasattr(kind, "model_validate")
    )


def name_of(hint: Any) -> str:
    """A hint as messages show it."""
    if hint is None or hint is type(None):
        return "null"
    plain_class = isinstance(hint, type) and typing.get_origin(hint) is None  # list[int] is a type in Python 3.10
    return str(getattr(hint, "__name__", hint) if plain_class else hint).replace("typing.", "")


def _utc(text: str) -> str:
    """`Z` for UTC, which `fromisoformat` knows from Python 3.11 on."""
    return text[:-1] + "+00:00" if text.endswith(("Z", "z")) else text


def _not(value: Any, what: str) -> Mismatch:
    return Mismatch(f"{value!r} is not {what}")
