"""JSON schemas of type hints, so that a question can be answered where the flow's classes are not at hand.

What `dovetail.authoring.hints.coerced` takes is what the schema allows, but for text in place of a number or boolean.
"""

from __future__ import annotations

import dataclasses
import enum
import types
import typing
from collections.abc import Mapping
from typing import Any

from dovetail.authoring.hints import Mismatch, plain

__all__ = ["schema_of"]

_SCALARS = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}
_FORMATS = {
    "datetime.datetime": "date-time",
    "datetime.date": "date",
    "datetime.time": "time",
    "uuid.UUID": "uuid",
    "decimal.Decimal": "decimal",
}


def schema_of(hint: Any) -> dict[str, Any]:
    """The JSON schema of a type hint, or of a mapping of field → hint; empty where any value will do."""
    if isinstance(hint, Mapping):
        return _object({str(name): (of, dataclasses.MISSING) for name, of in hint.items()})
    if hint is None:
        return {"type": "null"}
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Annotated, typing.Final) or getattr(origin, "_name", "") in ("Required", "NotRequired"):
        return schema_of(args[0])
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [schema_of(one) for one in args]}
    if origin is typing.Literal:
        return {"enum": [plain(one) for one in args]}
    kind = origin or hint
    if not isinstance(kind, type):
        return {}
    if kind in _SCALARS:
        return {"type": _SCALARS[kind]}
    if hasattr(kind, "model_json_schema"):
        schema: dict[str, Any] = kind.model_json_schema()
        return schema
    if issubclass(kind, enum.Enum):
        return {"title": kind.__name__, "enum": [plain(member.value) for member in kind]}
    if dataclasses.is_dataclass(kind):
        hints = _hints(kind)
        fields = [field for field in dataclasses.fields(kind) if field.init]
        return _object({field.name: (hints.get(field.name, Any), _default(field)) for field in fields}, kind.__name__)
    if hasattr(kind, "__required_keys__"):  # a typed dictionary
        required = kind.__required_keys__
        return _object(
            {name: (of, dataclasses.MISSING if name in required else None) for name, of in _hints(kind).items()},
            kind.__name__,
        )
    return _of_container(kind, args)


def _of_container(kind: type, args: tuple[Any, ...]) -> dict[str, Any]:
    if issubclass(kind, tuple) and args and args[-1] is not Ellipsis:
        return {"type": "array", "prefixItems": [schema_of(one) for one in args], "minItems": len(args),
                "maxItems": len(args)}  # fmt: skip
    if issubclass(kind, (list, tuple, set, frozenset)):
        return {"type": "array", "items": schema_of(args[0])} if args else {"type": "array"}
    if issubclass(kind, Mapping):
        return {"type": "object", "additionalProperties": schema_of(args[1])} if len(args) == 2 else {"type": "object"}
    known = _FORMATS.get(f"{kind.__module__}.{kind.__qualname__}")
    if known is not None:
        return {"type": "string", "format": known}
    return {"type": "string"} if hasattr(kind, "__fspath__") else {}


def _object(fields: Mapping[str, tuple[Any, Any]], title: str = "") -> dict[str, Any]:
    """The schema of an object: name → (hint, default or MISSING)."""
    properties = {}
    for name, (hint, default) in fields.items():
        schema = schema_of(hint)
        if default is not dataclasses.MISSING and default is not None:
            schema = {**schema, "default": default}
        properties[name] = schema
    required = [name for name, (_, default) in fields.items() if default is dataclasses.MISSING]
    made: dict[str, Any] = {"type": "object", "properties": properties, "required": required}
    return {"title": title, **made, "additionalProperties": False} if title else {**made, "additionalProperties": False}


def _default(field: dataclasses.Field[Any]) -> Any:
    """A field's default as JSON, None where there is one that JSON has no form for, MISSING where there is none."""
    if field.default is dataclasses.MISSING:
        return dataclasses.MISSING if field.default_factory is dataclasses.MISSING else None
    try:
        return plain(field.default)
    except Mismatch:
        return None


def _hints(kind: type) -> dict[str, Any]:
    try:
        return typing.get_type_hints(kind, include_extras=True)
    except Exception:  # a hint that only type checkers can resolve
        return {}
