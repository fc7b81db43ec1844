"""Typed settings from frozen dataclasses.

One class says everything: its fields are the keys, their annotations the types, `Annotated[T, "help"]` the help, and
their defaults the defaults. Command-line flags, environment variables, JSON schema and reference pages derive from it.

```python
@dataclass(frozen=True, slots=True, kw_only=True)
class S3Settings:
    region: Annotated[str, "region of the bucket"] = "us-east-1"
    retries: Annotated[int, "attempts of one request"] = 5
    token: Annotated[SecretRef | None, "session token"] = None
```

Types: `str`, `int`, `float`, `bool`, `Path`, `Literal`, `Enum`, `SecretRef`, `list`, `tuple[T, ...]`, `frozenset`,
`dict`, other such dataclasses, unions of these with each other and `None`, and `Any`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

from dovetail.interfaces.dataclass import dataclass
from dovetail.interfaces.errors import SettingsError
from dovetail.plugins.coercion import Mismatch, coerce, type_name
from dovetail.plugins.given import Given

__all__ = ["SettingField", "build", "fields_of", "json_schema", "problems_of", "to_plain"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingField:
    """One key of a settings class."""

    name: str
    """The key."""
    type: Any
    """Its type, without the help."""
    help: str
    """One line for people; empty when the class gives none."""
    default: Any
    """Its default; `dataclasses.MISSING` when it must be set."""

    @property
    def required(self) -> bool:
        """Whether it must be set."""
        return self.default is dataclasses.MISSING

    @property
    def type_name(self) -> str:
        """The type as a reader wants it."""
        return type_name(self.type)

    @property
    def flag(self) -> str:
        """The command-line flag: `--max-workers`."""
        return "--" + self.name.replace("_", "-")

    def variable(self, *prefix: str) -> str:
        """The environment variable: `DOVETAIL__DATASTORE__ARCHIVE__HOST`."""
        return "__".join(("DOVETAIL", *prefix, self.name)).upper().replace("-", "_")


@lru_cache(maxsize=256)
def fields_of(cls: type) -> tuple[SettingField, ...]:
    """The keys of a settings class, in the order written."""
    hints = get_type_hints(cls, include_extras=True)
    found = []
    for field in dataclasses.fields(cls):
        kind, help = hints[field.name], ""
        if get_origin(kind) is Annotated:
            kind, *notes = get_args(kind)
            help = next((note for note in notes if isinstance(note, str)), "")
        default = field.default
        if default is dataclasses.MISSING and field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        found.append(SettingField(name=field.name, type=kind, help=help, default=default))
    return tuple(found)


def build(cls: type[T], values: Mapping[str, Given], *, where: str) -> T:
    """An instance of a settings class.

    Args:
        cls: The class.
        values: Key → value; a key's hyphens count as underscores.
        where: What is configured, for messages: `datastore 'archive'`.

    Raises:
        SettingsError: Naming every unknown key, wrong value and missing key at once.
    """
    settings: T | None
    settings, problems = _build(cls, values, where)
    if problems or settings is None:
        raise _error(problems)
    return settings


def problems_of(cls: type | None, values: Mapping[str, Given], *, where: str) -> list[str]:
    """What is wrong with values; see `build`. A class of None has no keys."""
    return _build(cls, values, where)[1] if cls is not None else _unknown(values, (), where)


def _error(problems: list[str]) -> SettingsError:
    if len(problems) == 1:
        return SettingsError(problems[0])
    return SettingsError("\n  ".join((f"{len(problems)} settings are wrong:", *problems)))


def _build(cls: Any, values: Mapping[str, Given], where: str) -> tuple[Any, list[str]]:
    fields = fields_of(cls)
    given = {key.replace("-", "_"): value for key, value in values.items()}
    problems = _unknown(values, tuple(field.name for field in fields), where)
    arguments: dict[str, Any] = {}
    for field in fields:
        value = given.get(field.name)
        if value is None:
            if field.required:
                problems.append(f"{where} needs {field.name} ({field.type_name}): {field.help or 'it has no default'}")
            continue
        try:
            arguments[field.name] = coerce(value.value, field.type, text=value.text, base=value.base)
        except Mismatch as mismatch:
            problems.append(f"{where}: {field.name} {mismatch}{_at(value)}")
    if problems:
        return None, problems
    try:
        return cls(**arguments), []
    except (ValueError, TypeError) as error:  # `__post_init__` of the class refuses a combination.
        return None, [f"{where}: {error}"]


def _unknown(values: Mapping[str, Given], known: tuple[str, ...], where: str) -> list[str]:
    problems = []
    for key, value in values.items():
        if key.replace("-", "_") not in known:
            from dovetail.plugins.suggest import did_you_mean

            hint = did_you_mean(key, known) or ("There are: " + ", ".join(known) if known else "It has no settings.")
            problems.append(f"{where} has no setting {key!r}{_at(value)}. {hint}")
    return problems


def _at(value: Given) -> str:
    return f" ({value.source})" if value.source else ""


def to_plain(value: Any) -> Any:
    """Settings as JSON-able data; secrets stay references."""
    from enum import Enum

    from dovetail.interfaces.context import SecretRef

    if isinstance(value, SecretRef):
        return {"secret": str(value)}
    if isinstance(value, Enum):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(to_plain(item) for item in value)
    return value


def json_schema(cls: type) -> dict[str, Any]:
    """JSON schema (2020-12) of a settings class."""
    from dovetail.plugins.coercion import schema_of

    properties = {}
    for field in fields_of(cls):
        entry = schema_of(field.type)
        if field.help:
            entry["description"] = field.help
        if not field.required:
            entry["default"] = to_plain(field.default)
        properties[field.name] = entry
    return {
        "type": "object",
        "properties": properties,
        "required": [field.name for field in fields_of(cls) if field.required],
        "additionalProperties": False,
    }
