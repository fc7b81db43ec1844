"""From plain data or text to the type of a setting."""

from __future__ import annotations

import dataclasses
import json
import types
from collections.abc import Mapping, Sequence, Set
from enum import Enum
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from dovetail.interfaces.context import SecretRef
from dovetail.interfaces.errors import SettingsError
from dovetail.plugins.secrets import parse_secret

__all__ = ["Mismatch", "coerce", "schema_of", "type_name"]

_TRUE = frozenset({"true", "1", "yes", "on"})
_FALSE = frozenset({"false", "0", "no", "off"})


class Mismatch(Exception):
    """A value that does not fit; the message continues "NAME ..."."""


def coerce(value: Any, wanted: Any, *, text: bool = False, base: Path | None = None) -> Any:
    """A value as a type.

    Args:
        value: Plain data, or text that stands for it.
        wanted: The type.
        text: Whether a str stands for the value (`"8"` for 8): environment variables and the command line.
        base: Folder that relative paths start from; None leaves them as they are.

    Raises:
        Mismatch: It does not fit.
    """
    if wanted is Any:
        return _parsed(value) if text else value
    origin = get_origin(wanted)
    if origin is Union or origin is types.UnionType:
        return _union(value, get_args(wanted), text, base)
    if origin is Literal:
        return _literal(value, get_args(wanted), text)
    if wanted is None or wanted is types.NoneType:
        if value is None or (text and str(value).lower() in ("", "none", "null")):
            return None
        raise Mismatch("must be empty")
    if wanted is SecretRef:
        return _secret(value)
    if isinstance(value, Mapping) and set(value) == {"secret"} and wanted in (str, int, float, bool, Path):
        raise Mismatch("does not take a secret")
    if wanted in _SIMPLE:
        return _SIMPLE[wanted](value, text)
    if wanted is Path:
        return _path(value, base)
    container = origin or wanted
    if isinstance(container, type):
        if issubclass(container, Enum):
            return _enum(value, container)
        if dataclasses.is_dataclass(container):
            return _nested(value, container, text, base)
        if issubclass(container, Mapping):
            return _mapping(value, get_args(wanted), text, base)
        if issubclass(container, (Sequence, Set)):
            return _sequence(value, container, get_args(wanted), text, base)
    raise Mismatch(f"is of type {type_name(wanted)}, which settings can't have")


def _bool(value: Any, text: bool) -> bool:
    if isinstance(value, bool):
        return value
    if text and str(value).lower() in _TRUE | _FALSE:
        return str(value).lower() in _TRUE
    raise Mismatch(f"must be true or false, not {value!r}")


def _int(value: Any, text: bool) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if text:
        try:
            return int(str(value).replace("_", ""))
        except ValueError:
            pass
    raise Mismatch(f"must be a whole number, not {value!r}")


def _float(value: Any, text: bool) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if text:
        try:
            return float(str(value))
        except ValueError:
            pass
    raise Mismatch(f"must be a number, not {value!r}")


def _str(value: Any, text: bool) -> str:
    if isinstance(value, str):
        return value
    if text and not isinstance(value, (Mapping, list)):
        return str(value)
    raise Mismatch(f"must be text, not {value!r}")


_SIMPLE = {bool: _bool, int: _int, float: _float, str: _str}


def _path(value: Any, base: Path | None) -> Path:
    if not isinstance(value, (str, Path)):
        raise Mismatch(f"must be a path, not {value!r}")
    path = Path(value).expanduser()
    return path if base is None or path.is_absolute() else base / path


def _secret(value: Any) -> SecretRef:
    if isinstance(value, SecretRef):
        return value
    if isinstance(value, Mapping) and set(value) == {"secret"}:
        value = value["secret"]
    if not isinstance(value, str):
        raise Mismatch('must be a reference to a secret, such as {secret = "env:NAME"}')
    try:
        return parse_secret(value)
    except SettingsError as error:
        # The value is not repeated: it may be the secret itself.
        raise Mismatch(f"takes a reference, never a value. {error.hint}") from None


def _enum(value: Any, kind: type[Enum]) -> Enum:
    if isinstance(value, kind):
        return value
    for member in kind:
        if value in (member.value, member.name) or str(value).lower() == str(member.value).lower():
            return member
    raise Mismatch(f"must be one of {', '.join(str(m.value) for m in kind)}, not {value!r}")


def _literal(value: Any, options: tuple[Any, ...], text: bool) -> Any:
    for option in options:
        if value == option and type(value) is type(option):
            return option
        if text and str(value) == str(option):
            return option
    raise Mismatch(f"must be one of {', '.join(map(str, options))}, not {value!r}")


def _union(value: Any, options: tuple[Any, ...], text: bool, base: Path | None) -> Any:
    if value is None and types.NoneType in options:
        return None
    reasons = []
    # Of text, the more telling types first: "8" is a number where both fit, and text is what anything fits.
    for option in sorted(options, key=lambda o: o is str) if text else options:
        try:
            return coerce(value, option, text=text, base=base)
        except Mismatch as mismatch:
            if option is not types.NoneType:
                reasons.append(str(mismatch))
    raise Mismatch(", or ".join(reasons))


def _parsed(value: Any) -> Any:
    """Text as JSON where it is JSON, else as it is."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return {"true": True, "false": False}.get(value.lower(), value)


def _sequence(value: Any, kind: type, args: tuple[Any, ...], text: bool, base: Path | None) -> Any:
    if text and isinstance(value, str):
        parsed = _parsed(value) if value.lstrip().startswith("[") else None
        value = parsed if isinstance(parsed, list) else [part.strip() for part in value.split(",") if part.strip()]
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, (list, tuple, set, frozenset)):
        raise Mismatch(f"must be a list, not {value!r}")
    item = args[0] if args else Any
    items = []
    for number, part in enumerate(value, 1):
        try:
            items.append(coerce(part, item, text=text, base=base))
        except Mismatch as mismatch:
            if len(value) < 2:
                raise
            raise Mismatch(f"{mismatch} (number {number} of {len(value)})") from None
    if issubclass(kind, frozenset):
        return frozenset(items)
    if issubclass(kind, (set, Set)):
        return set(items)
    return items if issubclass(kind, list) else tuple(items)


def _mapping(value: Any, args: tuple[Any, ...], text: bool, base: Path | None) -> dict[str, Any]:
    if text and isinstance(value, str):
        parsed = _parsed(value) if value.lstrip().startswith("{") else None
        if isinstance(parsed, dict):
            value = parsed
        else:
            pairs = [part.partition("=") for part in value.split(",") if part.strip()]
            if not all(equals for _, equals, _ in pairs):
                raise Mismatch(f"must be NAME=VALUE,... or JSON, not {value!r}")
            value = {name.strip(): rest for name, _, rest in pairs}
    if not isinstance(value, Mapping):
        raise Mismatch(f"must be a table, not {value!r}")
    item = args[1] if len(args) == 2 else Any
    return {str(key): coerce(part, item, text=text, base=base) for key, part in value.items()}


def _nested(value: Any, kind: type, text: bool, base: Path | None) -> Any:
    from dovetail.plugins.given import Given
    from dovetail.plugins.schema import build

    if isinstance(value, kind):
        return value
    if text:
        value = _parsed(value)
    if not isinstance(value, Mapping):
        raise Mismatch(f"must be a table, not {value!r}")
    try:
        return build(kind, {str(k): Given(v, text=text, base=base) for k, v in value.items()}, where="it")
    except SettingsError as error:
        raise Mismatch(f"is wrong: {error.message}") from None


def type_name(wanted: Any) -> str:
    """A type as a reader wants it: `int`, `one of auto, off`, `list of str`."""
    origin, args = get_origin(wanted), get_args(wanted)
    if origin is Union or origin is types.UnionType:
        return " or ".join(type_name(arg) for arg in args if arg is not types.NoneType)
    if origin is Literal:
        return "one of " + ", ".join(map(str, args))
    if wanted is SecretRef:
        return "secret"
    if wanted is Any:
        return "anything"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"table of {type_name(args[1]) if len(args) == 2 else 'anything'}"
    if isinstance(origin, type) and issubclass(origin, (Sequence, Set)):
        return f"list of {type_name(args[0]) if args else 'anything'}"
    if isinstance(wanted, type) and issubclass(wanted, Enum):
        return "one of " + ", ".join(str(member.value) for member in wanted)
    return {Path: "path"}.get(wanted, getattr(wanted, "__name__", str(wanted)))


def schema_of(wanted: Any) -> dict[str, Any]:
    """JSON schema of a type."""
    from dovetail.plugins.schema import json_schema

    origin, args = get_origin(wanted), get_args(wanted)
    if origin is Union or origin is types.UnionType:
        return {"anyOf": [schema_of(arg) for arg in args]}
    if origin is Literal:
        return {"enum": list(args)}
    if wanted is Any:
        return {}
    if wanted is SecretRef:
        secret = {"type": "string", "pattern": "^[A-Za-z][A-Za-z0-9_-]*:.+$"}
        return {"type": "object", "properties": {"secret": secret}, "required": ["secret"]}
    simple = {bool: "boolean", int: "integer", float: "number", str: "string", Path: "string", types.NoneType: "null"}
    if wanted in simple:
        return {"type": simple[wanted]}
    container = origin or wanted
    if isinstance(container, type):
        if issubclass(container, Enum):
            return {"enum": [member.value for member in container]}
        if dataclasses.is_dataclass(container):
            return json_schema(container)
        if issubclass(container, Mapping):
            return {"type": "object", "additionalProperties": schema_of(args[1]) if len(args) == 2 else True}
        if issubclass(container, (Sequence, Set)):
            return {"type": "array", "items": schema_of(args[0]) if args else {}}
    return {}
