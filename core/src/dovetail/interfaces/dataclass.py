"""`dataclass`, for frozen classes with slots, made in a quarter of the time that the standard library takes.

Each process of a run makes about a hundred of them before its first task; the standard library compiles six functions
for each, here only `__init__` is compiled and the rest is shared. Its classes are dataclasses in all that users can
see: `fields`, `replace`, `asdict`, patterns and pickles work, and type checkers read the standard one.
"""

from __future__ import annotations

import dataclasses
from operator import attrgetter
from typing import TYPE_CHECKING, Any

__all__ = ["dataclass"]

_MISSING: Any = dataclasses.MISSING


def _get_state(self: Any) -> list[Any]:
    return [getattr(self, field.name) for field in dataclasses.fields(self)]


def _set_state(self: Any, state: list[Any]) -> None:
    for field, value in zip(dataclasses.fields(self), state, strict=True):
        object.__setattr__(self, field.name, value)


def _refuse_set(self: Any, name: str, value: Any) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_delete(self: Any, name: str) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")


def _repr(self: Any) -> str:
    shown = (f"{field.name}={getattr(self, field.name)!r}" for field in dataclasses.fields(self) if field.repr)
    return f"{type(self).__qualname__}({', '.join(shown)})"


_SHARED = {
    "__getstate__": _get_state,
    "__setstate__": _set_state,
    "__setattr__": _refuse_set,
    "__delattr__": _refuse_delete,
    "__repr__": _repr,
}


def _comparison(fields: list[dataclasses.Field[Any]]) -> dict[str, Any]:
    names = [field.name for field in fields if field.compare]
    values = attrgetter(*names) if names else type

    def __eq__(self: Any, other: object) -> Any:
        return values(self) == values(other) if other.__class__ is self.__class__ else NotImplemented

    def __hash__(self: Any) -> int:
        return hash(values(self))

    return {"__eq__": __eq__, "__hash__": __hash__}


def _init(made: type, fields: list[dataclasses.Field[Any]], *, kw_only: bool) -> Any:
    parameters = ["self", "*"] if kw_only and fields else ["self"]
    lines: list[str] = []
    known: dict[str, Any] = {"_missing": _MISSING}
    for field in fields:
        name = value = field.name
        known[f"_set_{name}"] = getattr(made, name).__set__
        if field.default is not _MISSING:
            known[f"_default_{name}"] = field.default
            parameters.append(f"{name}=_default_{name}")
        elif field.default_factory is not _MISSING:
            known[f"_make_{name}"] = field.default_factory
            parameters.append(f"{name}=_missing")
            value = f"_make_{name}() if {name} is _missing else {name}"
        else:
            parameters.append(name)
        lines.append(f" _set_{name}(self, {value})")
    if hasattr(made, "__post_init__"):
        lines.append(" self.__post_init__()")
    exec(f"def __init__({', '.join(parameters)}):\n" + ("\n".join(lines) or " pass"), known)
    init = known["__init__"]
    init.__qualname__ = f"{made.__qualname__}.__init__"
    init.__module__ = made.__module__
    init.__annotations__ = {field.name: field.type for field in fields} | {"return": None}
    return init


def _dataclass(**options: Any) -> Any:
    def make(cls: type) -> type:
        plain: Any = dataclasses.dataclass(init=False, repr=False, eq=False, kw_only=kw_only)(cls)
        fields = list(dataclasses.fields(plain))
        names = [field.name for field in fields]
        given = {name: value for name, value in vars(cls).items() if name not in (*names, "__dict__", "__weakref__")}
        body = _SHARED | _comparison(fields) | given | {"__slots__": tuple(names), "__qualname__": cls.__qualname__}
        made: Any = type(cls)(cls.__name__, cls.__bases__, body)
        made.__dataclass_params__.frozen = True
        made.__init__ = _init(made, fields, kw_only=kw_only)
        return made  # type: ignore[no-any-return]

    def choose(cls: type) -> type:
        inherits = any(hasattr(base, "__dataclass_fields__") for base in cls.__bases__)
        return dataclasses.dataclass(**options)(cls) if inherits or not plain_options else make(cls)

    kw_only = options.get("kw_only", False)
    plain_options = {**options, "kw_only": True} == {"frozen": True, "slots": True, "kw_only": True}
    return choose


if TYPE_CHECKING:
    from dataclasses import dataclass
else:
    dataclass = _dataclass
