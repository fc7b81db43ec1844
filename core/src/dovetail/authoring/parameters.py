"""Parameters: values that a run is given, typed, read-only in steps."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, TypeVar, overload

    from dovetail.authoring.flowspec import FlowSpec

    T = TypeVar("T")

__all__ = ["MISSING", "JSONType", "Parameter", "ParameterAttribute"]


class JSONType:
    """`Parameter(type=JSONType)`: any JSON value, given as JSON text on the command line and, as in Metaflow, in a
    text default."""


class _Missing:
    __slots__ = ()

    def __repr__(self) -> str:
        return "(no default)"


MISSING = _Missing()


class ParameterAttribute:
    """A parameter of the flow: an option of `run` and a read-only attribute of every step.

    Args:
        name: Name of the option; by default, and normally, that of the attribute (`-` counts as `_`).
        type: `str`, `int`, `float`, `bool`, `JSONType`, or a list of one of the first four (`list[int]`).
            By default that of the annotation, else of the default, else `str`.
        default: Value when none is given. Without one, and unless `required=False`, a run must be given it.
        required: Whether a run must be given a value; by default whether there is no default.
        help: One line for `--help`.
    """

    __slots__ = ("attribute", "default", "given_name", "help", "line", "owner", "required", "type", "unknown")

    def __init__(
        self,
        name: str | None = None,
        /,
        *,
        type: Any = None,
        default: Any = MISSING,
        required: bool | None = None,
        help: str = "",
        **unknown: Any,  # a problem of the flow, found together with all others
    ) -> None:
        self.given_name: str | None = unknown.pop("name", None) if name is None else name
        self.type = type
        self.default = default
        self.required = required
        self.help = help
        self.unknown = tuple(unknown)
        self.attribute = ""
        self.owner: Any = None
        frame = sys._getframe(1)
        self.line = (frame.f_code.co_filename, frame.f_lineno)

    def __set_name__(self, owner: Any, name: str) -> None:
        self.attribute = name
        self.owner = owner

    def __repr__(self) -> str:
        return f"<Parameter {self.attribute or self.given_name}>"

    def __get__(self, flow: FlowSpec | None, owner: Any) -> Any:
        if flow is None:
            return self
        tie = flow._dovetail
        fixed = tie.fixed
        name = self.attribute
        if name in fixed:
            return fixed[name]
        if tie.binding is None:
            return self._by_hand(owner)
        try:
            value = tie.binding.load(name)
        except KeyError:
            raise AttributeError(f"parameter {name!r} of {owner.__name__} has no value in this run") from None
        fixed[name] = value
        return value

    def _by_hand(self, owner: Any) -> Any:
        """The value on an instance that no run made."""
        if self.type is JSONType and isinstance(self.default, str):
            from json import loads

            return loads(self.default)
        if self.default is not MISSING:
            return self.default
        if self.required is False:
            return None
        raise AttributeError(
            f"parameter {self.attribute!r} of {owner.__name__} has no default and was not set; "
            f"on an instance made by hand set it first: flow.{self.attribute} = ..."
        )

    def __set__(self, flow: FlowSpec, value: Any) -> None:
        tie = flow._dovetail
        if tie.binding is not None:
            raise AttributeError(
                f"parameter {self.attribute!r} of {type(flow).__name__} is read-only in steps; "
                "choose another name for the artifact"
            )
        tie.fixed[self.attribute] = value

    def __delete__(self, flow: FlowSpec) -> None:
        flow._dovetail.fixed.pop(self.attribute, None)


if TYPE_CHECKING:
    # Declared as what the attribute holds, so that both `alpha = Parameter(default=0.1)` and
    # `alpha: float = Parameter(default=0.1)` give a float.
    @overload
    def Parameter(
        name: str | None = None,
        /,
        *,
        type: type[JSONType],
        default: Any = ...,
        required: bool | None = ...,
        help: str = ...,
    ) -> Any: ...

    @overload
    def Parameter(
        name: str | None = None, /, *, type: type[T], default: None, required: bool | None = ..., help: str = ...
    ) -> T | None: ...

    @overload
    def Parameter(
        name: str | None = None,
        /,
        *,
        type: type[bool],
        default: bool = ...,
        required: bool | None = ...,
        help: str = ...,
    ) -> bool: ...

    @overload
    def Parameter(
        name: str | None = None, /, *, type: type[int], default: int = ..., required: bool | None = ..., help: str = ...
    ) -> int: ...

    @overload
    def Parameter(
        name: str | None = None,
        /,
        *,
        type: type[float],
        default: float = ...,
        required: bool | None = ...,
        help: str = ...,
    ) -> float: ...

    @overload
    def Parameter(
        name: str | None = None, /, *, type: type[str], default: str = ..., required: bool | None = ..., help: str = ...
    ) -> str: ...

    @overload
    def Parameter(
        name: str | None = None,
        /,
        *,
        type: type[list[T]],
        default: Sequence[T] = ...,
        required: bool | None = ...,
        help: str = ...,
    ) -> list[T]: ...

    @overload
    def Parameter(
        name: str | None = None, /, *, default: None = ..., required: bool | None = ..., help: str = ...
    ) -> Any: ...

    @overload
    def Parameter(name: str | None = None, /, *, default: T, required: bool | None = ..., help: str = ...) -> T: ...

    def Parameter(name: str | None = None, /, **options: Any) -> Any: ...

else:
    Parameter = ParameterAttribute
