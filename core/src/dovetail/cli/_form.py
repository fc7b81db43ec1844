"""Asks for an answer on the terminal: field by field, each by its type, again where a value is none of it."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from dovetail.cli import output
from dovetail.interfaces.answers import answer_in_words, answer_problems, fields_of
from dovetail.interfaces.errors import UsageError

if TYPE_CHECKING:
    from dovetail.client.signals import Waiting

__all__ = ["can_ask", "fill_in", "told_of"]

_TRUE = frozenset({"true", "yes", "y", "on", "1"})
_FALSE = frozenset({"false", "no", "n", "off", "0"})


def can_ask() -> bool:
    """Whether somebody is there to answer."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def fill_in(asked: Waiting) -> Any:
    """What somebody types in answer to a question, as JSON-able data.

    Raises:
        UsageError: The input ends before the answer does.
    """
    _say(f"{output.paint(asked.name, 'bold', stream=sys.stderr)}  {output.clean(asked.question)}".rstrip())
    if asked.refused:
        _say(f"the answer before was refused: {output.clean(asked.refused)}")
    while True:
        value = _fill(asked)
        wrong = asked.problems(value)
        if not wrong:
            return value
        for text in wrong:  # of what is wrong with no field by itself
            _say(f"  {output.clean(text)}")


def told_of(asked: Waiting) -> str:
    """What an answer consists of, in one line each."""
    fields = fields_of(asked.schema)
    if fields is None:
        return f"  {answer_in_words(asked.schema) or 'any JSON'}"
    return "\n".join(f"  {_label(name, schema, required)}" for name, (schema, required) in fields.items())


def _fill(asked: Waiting) -> Any:
    fields = fields_of(asked.schema)
    if fields is None:
        return _ask("  answer", asked.schema, required=True)[0]
    given: dict[str, Any] = {}
    for name, (schema, required) in fields.items():
        for value in _ask(f"  {_label(name, schema, required)}", schema, required=required):
            given[name] = value
    return given


def _label(name: str, schema: Mapping[str, Any], required: bool) -> str:
    """`name: description (type) [default]`."""
    parts = [output.clean(f"{name}: {schema['description']}" if schema.get("description") else name)]
    kind = answer_in_words(schema)
    if "an object" in kind or "a list" in kind:
        kind += ", as JSON"
    parts += [f"({output.clean(kind)})"] if kind else []
    default = schema.get("default")
    if default is not None:
        parts.append(f"[{'empty' if default in ('', [], {}) else output.clean(_text(default))}]")
    elif not required:
        parts.append("[optional]")
    return " ".join(parts)


def _ask(label: str, schema: Mapping[str, Any], *, required: bool) -> list[Any]:
    """The value that somebody types; empty where a field is left to its default."""
    while True:
        sys.stderr.write(f"{label}: ")
        sys.stderr.flush()
        try:
            text = input().strip()
        except EOFError:
            _say("")
            raise UsageError("nothing was sent: the answer was not finished") from None
        if not text:
            if not required:
                return []
            if schema.get("default") is not None:
                return [schema["default"]]
            _say('    it is needed; "" is the empty text' if _takes(schema, "string") else "    it is needed")
            continue
        value, wrong = _read(schema, text)
        if not wrong:
            return [value]
        for one in wrong:
            _say(f"    {output.clean(one)}")


def _read(schema: Mapping[str, Any], text: str) -> tuple[Any, list[str]]:
    """What a text means where it is typed for something of a schema, and what is wrong with it."""
    readings: list[Any] = []
    with suppress(ValueError):
        readings.append(json.loads(text))
    if _takes(schema, "boolean") and text.lower() in _TRUE | _FALSE:
        readings.append(text.lower() in _TRUE)
    readings.append(text)
    for value in readings:
        if not answer_problems(schema, value):
            return value, []
    return None, answer_problems(schema, readings[0] if isinstance(readings[0], (list, dict)) else text)


def _takes(schema: Mapping[str, Any], kind: str) -> bool:
    """Whether a type is among those of a schema."""
    kinds = schema.get("type", ())
    parts = [*(schema.get("anyOf") or ()), *(schema.get("oneOf") or ())]
    return kind == kinds or (not isinstance(kinds, str) and kind in kinds) or any(_takes(one, kind) for one in parts)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
