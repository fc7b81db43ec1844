"""Answers that a run waits for: whether one is what a JSON schema asks for, in words, field by field.

A process that gives or takes an answer need not have the class that the flow waits for: its JSON schema is kept with
the question. What pydantic and `dovetail.authoring.schema` write is checked; other keywords are let pass, since the
flow itself validates what it is given.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

__all__ = ["answer_in_words", "answer_problems", "example_answer", "fields_of", "signal_id"]

_TYPES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "object": ("an object", lambda value: isinstance(value, Mapping)),
    "array": ("a list", lambda value: isinstance(value, (list, tuple))),
    "string": ("text", lambda value: isinstance(value, str)),
    "boolean": ("true or false", lambda value: isinstance(value, bool)),
    "null": ("null", lambda value: value is None),
    "integer": ("a whole number", lambda value: _is_number(value) and float(value).is_integer()),
    "number": ("a number", lambda value: _is_number(value)),
}
_LIMITS: dict[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "minimum": ("at least {}", lambda value, limit: value >= limit),
    "maximum": ("at most {}", lambda value, limit: value <= limit),
    "exclusiveMinimum": ("more than {}", lambda value, limit: value > limit),
    "exclusiveMaximum": ("less than {}", lambda value, limit: value < limit),
}
_SIZES: dict[str, tuple[type | tuple[type, ...], str, Callable[[int, int], bool]]] = {
    "minLength": (str, "at least {} characters long", lambda size, limit: size >= limit),
    "maxLength": (str, "at most {} characters long", lambda size, limit: size <= limit),
    "minItems": ((list, tuple), "at least {} items long", lambda size, limit: size >= limit),
    "maxItems": ((list, tuple), "at most {} items long", lambda size, limit: size <= limit),
}
_EXAMPLES: dict[str, Any] = {
    "boolean": True, "integer": 1, "number": 1.0, "string": "...", "null": None,
}  # fmt: skip


def signal_id(writer: str, n: int) -> str:
    """What a task that waited keeps of the signal that it used: an event is one by its writer and number."""
    return f"signal:{writer}-{n}"


def answer_problems(schema: Mapping[str, Any], value: Any) -> list[str]:
    """What is wrong with an answer: `FIELD: what it is not`, one text each; empty when nothing is."""
    return [f"{place}: {text}" if place else text for place, text in _problems(schema, value, "", schema)]


def example_answer(schema: Mapping[str, Any], root: Mapping[str, Any] | None = None) -> Any:
    """An answer of the right form, to show what to write."""
    root = schema if root is None else root
    schema = _referred(schema, root)
    for fixed in ("default", "const"):
        if fixed in schema and schema[fixed] is not None:
            return schema[fixed]
    if schema.get("enum"):
        return schema["enum"][0]
    for one in ("anyOf", "oneOf", "allOf"):
        if schema.get(one):
            return example_answer(schema[one][0], root)
    kind = schema.get("type", "string")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        fields = schema.get("properties", {})
        shown = schema.get("required") or list(fields)
        return {name: example_answer(fields.get(name, {}), root) for name in shown}
    if kind == "array":
        return [example_answer(one, root) for one in schema.get("prefixItems", ())]
    return _EXAMPLES.get(kind)


def answer_in_words(schema: Mapping[str, Any], root: Mapping[str, Any] | None = None) -> str:
    """What an answer can be, such as `a whole number, at least 1` or `one of 'a', 'b'`; empty where it can be anything.

    Args:
        schema: Of the answer, or of a part of it.
        root: The schema that it is a part of.
    """
    root = schema if root is None else root
    schema = _referred(schema, root)
    several = schema.get("anyOf") or schema.get("oneOf")
    if several:
        return " or ".join(dict.fromkeys(filter(None, (answer_in_words(one, root) for one in several))))
    if "const" in schema:
        return repr(schema["const"])
    if "enum" in schema:
        return f"one of {', '.join(map(repr, schema['enum']))}"
    kinds = schema.get("type", ())
    names = [_TYPES[kind][0] for kind in ([kinds] if isinstance(kinds, str) else kinds) if kind in _TYPES]
    limits = [text.format(schema[name]) for name, (text, _) in _LIMITS.items() if name in schema]
    limits += [text.format(schema[name]) for name, (_, text, _) in _SIZES.items() if name in schema]
    return ", ".join([" or ".join(names), *limits]) if names else ""


def fields_of(schema: Mapping[str, Any]) -> dict[str, tuple[dict[str, Any], bool]] | None:
    """Name → (schema by itself, whether it is required) of each field of an answer, the required ones first; None
    where it has no fields."""
    object_ = _referred(schema, schema)
    fields = object_.get("properties")
    if not fields or object_.get("type") != "object":
        return None
    shared = {name: schema[name] for name in ("$defs", "definitions") if name in schema}
    required = [name for name in object_.get("required", ()) if name in fields]
    names = dict.fromkeys([*required, *fields])
    return {name: ({**shared, **_referred(fields[name], schema)}, name in required) for name in names}


def _problems(schema: Any, value: Any, place: str, root: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(place, what is wrong) of a value and of what is in it."""
    if not isinstance(schema, Mapping):
        return
    schema = _referred(schema, root)
    for part in schema.get("allOf", ()):
        yield from _problems(part, value, place, root)
    several = schema.get("anyOf") or schema.get("oneOf")
    if several:
        yield from _of_several([_referred(one, root) for one in several], value, place, root)
    if "const" in schema and not _same(schema["const"], value):
        yield place, f"{value!r} is not {schema['const']!r}"
    elif "enum" in schema and not any(_same(one, value) for one in schema["enum"]):
        yield place, f"{value!r} is not one of {', '.join(map(repr, schema['enum']))}"
    kinds = schema.get("type", ())
    known = [_TYPES[kind] for kind in ([kinds] if isinstance(kinds, str) else kinds) if kind in _TYPES]
    if known and not any(fits(value) for _, fits in known):
        yield place, f"{value!r} is not {' or '.join(name for name, _ in known)}"
        return
    if _is_number(value):
        for name, (text, holds) in _LIMITS.items():
            if name in schema and not holds(value, schema[name]):
                yield place, f"{value!r} is not {text.format(schema[name])}"
    for name, (kind, text, fits_size) in _SIZES.items():
        if name in schema and isinstance(value, kind) and not fits_size(len(value), schema[name]):  # type: ignore[arg-type]
            yield place, f"{value!r} is not {text.format(schema[name])}"
    if isinstance(value, str) and "pattern" in schema and not re.search(schema["pattern"], value):
        yield place, f"{value!r} does not match {schema['pattern']}"
    if isinstance(value, Mapping):
        yield from _in_object(schema, value, place, root)
    elif isinstance(value, (list, tuple)):
        firsts = schema.get("prefixItems", ())
        for n, item in enumerate(value):
            inner = firsts[n] if n < len(firsts) else schema.get("items")
            yield from _problems(inner, item, f"{place}[{n}]", root)


def _in_object(
    schema: Mapping[str, Any], value: Mapping[str, Any], place: str, root: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    fields = schema.get("properties", {})
    others = schema.get("additionalProperties", True)
    for name in schema.get("required", ()):
        if name not in value:
            yield _below(place, name), "it is missing"
    for name, item in value.items():
        if name in fields:
            yield from _problems(fields[name], item, _below(place, name), root)
        elif others is False:
            yield _below(place, name), f"there is no such field; there are {', '.join(fields) or 'none'}"
        else:
            yield from _problems(others, item, _below(place, name), root)


def _of_several(
    several: list[Mapping[str, Any]], value: Any, place: str, root: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    """Nothing when one of them fits; what is wrong with the only one of the value's type, or all of them in words."""
    found = [list(_problems(one, value, place, root)) for one in several]
    if not all(found):
        return
    deeper = [problems for problems in found if any(at != place for at, _ in problems)]
    if len(deeper) == 1:
        yield from deeper[0]
        return
    names = [_TYPES[one["type"]][0] if one.get("type") in _TYPES else "one of the choices" for one in several]
    yield place, f"{value!r} is not {' or '.join(dict.fromkeys(names))}"


def _referred(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a `$ref` into the same schema stands for."""
    for _ in range(16):
        ref = schema.get("$ref")
        if not isinstance(ref, str) or not ref.startswith("#/"):
            return schema
        found: Any = root
        for part in ref[2:].split("/"):
            found = found.get(part, {}) if isinstance(found, Mapping) else {}
        schema = {**found, **{name: value for name, value in schema.items() if name != "$ref"}}
    return {}


def _below(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _same(one: Any, other: Any) -> bool:
    """Equal as JSON: 1 is not true."""
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)
