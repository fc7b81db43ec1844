"""`hookimpl`: marks a function of a manifest as the implementation of a hook.

pluggy finds implementations by an attribute that its marker sets (`<project>_impl`, a dict of options). The marker
here sets the same attribute without importing pluggy, which costs about 20 ms: the embedded defaults are always
registered, third-party plugins mostly are not there. `pluggy.HookimplMarker("dovetail")` works as well.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, overload

__all__ = ["PROJECT", "hookimpl", "hookspec"]

PROJECT = "dovetail"
"""The project name by which pluggy finds marks."""

F = TypeVar("F", bound=Callable[..., Any])


@overload
def hookimpl(function: F, /) -> F: ...
@overload
def hookimpl(
    *,
    wrapper: bool = False,
    tryfirst: bool = False,
    trylast: bool = False,
    optionalhook: bool = False,
    specname: str | None = None,
    in_child: bool = False,
) -> Callable[[F], F]: ...


def hookimpl(
    function: F | None = None,
    /,
    *,
    wrapper: bool = False,
    tryfirst: bool = False,
    trylast: bool = False,
    optionalhook: bool = False,
    specname: str | None = None,
    in_child: bool = False,
) -> F | Callable[[F], F]:
    """Mark a function as the implementation of the hook of the same name.

    Args:
        function: The function, when used without parentheses.
        wrapper: The function is a generator around the other implementations (`dovetail_execute_task`).
        tryfirst: Call it before others.
        trylast: Call it after others.
        optionalhook: No error when this version of Dovetail has no such hook.
        specname: Name of the hook, where it is not the function's.
        in_child: Of a wrapper: pure Python without dependencies, so that it may go along into a step's own
            environment; otherwise it runs in the host's environment alone.
    """

    def mark(target: F) -> F:
        options = {
            "wrapper": wrapper,
            "hookwrapper": False,
            "optionalhook": optionalhook,
            "tryfirst": tryfirst,
            "trylast": trylast,
            "specname": specname,
        }
        setattr(target, f"{PROJECT}_impl", options)
        if in_child:
            target.dovetail_in_child = True  # type: ignore[attr-defined]
        return target

    return mark if function is None else mark(function)


@overload
def hookspec(function: F, /) -> F: ...
@overload
def hookspec(*, firstresult: bool = False) -> Callable[[F], F]: ...


def hookspec(function: F | None = None, /, *, firstresult: bool = False) -> F | Callable[[F], F]:
    """Mark a function as the specification of a hook. For Dovetail's own hooks."""

    def mark(target: F) -> F:
        options = {"firstresult": firstresult, "historic": False, "warn_on_impl": None, "warn_on_impl_args": None}
        setattr(target, f"{PROJECT}_spec", options)
        return target

    return mark if function is None else mark(function)
