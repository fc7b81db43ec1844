"""How a function takes its arguments: from a call to names, and back."""

from __future__ import annotations

from types import FunctionType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import CodeType
    from typing import Any

__all__ = ["CallShape", "function_below"]

TAKES_ANY = 0x04
"""`CO_VARARGS`: it has `*args`."""
TAKES_ANY_KEYWORDS = 0x08
"""`CO_VARKEYWORDS`: it has `**kwargs`."""


class CallShape:
    """The parameters of a function.

    `bind` fails with the very `TypeError` that a call of the function would: it calls a function with the same
    parameters whose body is `return locals()`.
    """

    __slots__ = ("bind", "names", "positional", "star", "stars")

    def __init__(self, function: Any) -> None:
        below = function_below(function)
        code: CodeType = below.__code__
        count = code.co_argcount
        last = count + code.co_kwonlyargcount
        rest = list(code.co_varnames[last:])
        self.positional: tuple[str, ...] = code.co_varnames[:count]
        """Names of what can be given by position, in order."""
        self.star = rest.pop(0) if code.co_flags & TAKES_ANY else ""
        """Name of `*args`, or empty."""
        self.stars = rest.pop(0) if code.co_flags & TAKES_ANY_KEYWORDS else ""
        """Name of `**kwargs`, or empty."""
        keywords = code.co_varnames[count:last]
        self.names: tuple[str, ...] = (*self.positional, *keywords)
        """Names of all parameters but the starred ones."""
        self.bind: Callable[..., dict[str, Any]] = _binder(below, code.co_posonlyargcount, keywords, self)
        """The arguments of a call, by name, defaults filled in. `*args` is a tuple, `**kwargs` a dict.

        Raises:
            TypeError: The function can't be called so.
        """

    def unbind(self, given: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Positional and keyword arguments of the call that `bind` made `given` of."""
        positional = self.positional
        args = tuple(given[name] for name in positional)
        kwargs = {name: given[name] for name in self.names[len(positional) :]}
        if self.star:
            args += tuple(given[self.star])
        if self.stars:
            kwargs.update(given[self.stars])
        return args, kwargs


def function_below(function: Any) -> Any:
    """The function whose parameters count: that below wrappers that take `*args, **kwargs` and hand them on."""
    while True:
        code: CodeType = function.__code__
        passes = (TAKES_ANY | TAKES_ANY_KEYWORDS) & code.co_flags == TAKES_ANY | TAKES_ANY_KEYWORDS
        below = getattr(function, "__wrapped__", None)
        if not passes or code.co_argcount or code.co_kwonlyargcount or not hasattr(below, "__code__"):
            return function
        function = below


def _binder(function: Any, only_positional: int, keywords: tuple[str, ...], shape: CallShape) -> Callable[..., Any]:
    defaults = function.__defaults__ or ()
    needed = len(shape.positional) - len(defaults)
    parts = [name if n < needed else f"{name}=None" for n, name in enumerate(shape.positional)]
    if only_positional:
        parts.insert(only_positional, "/")
    if shape.star or keywords:
        parts.append(f"*{shape.star}")
    has_default = function.__kwdefaults__ or {}
    parts += [f"{name}=None" if name in has_default else name for name in keywords]
    if shape.stars:
        parts.append(f"**{shape.stars}")
    scope: dict[str, Any] = {}
    exec(f"def bind({', '.join(parts)}): return locals()", {"__builtins__": {"locals": locals}}, scope)
    binder: FunctionType = scope["bind"]
    binder.__defaults__ = function.__defaults__
    binder.__kwdefaults__ = function.__kwdefaults__
    binder.__name__, binder.__qualname__ = function.__name__, function.__qualname__
    return binder
