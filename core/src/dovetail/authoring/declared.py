"""What `@flow` and `@task` have in common: a function, its name, and what was said about it."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, Generic, Literal, ParamSpec, TypeVar

    from typing_extensions import Self

    from dovetail.authoring.call_shape import CallShape
    from dovetail.authoring.uses import Use

    P = ParamSpec("P")
    R = TypeVar("R", covariant=True)
else:  # `typing` costs more than everything else that a flow file needs

    class Generic:
        """Stands for `typing.Generic` at run time."""

        def __class_getitem__(cls, item):
            return cls

    P = R = None

__all__ = ["DeclaredFunction", "Generic", "name_problem"]

_COROUTINE = 0x80
"""`CO_COROUTINE`."""


class DeclaredFunction(Generic[P, R]):
    """A function that was made a flow or a task. Made by the decorators, not by hand.

    Decorators such as `@retry` count above and below it.
    """

    kind = ""
    """`flow` or `task`."""
    code_key = ""
    """Key of the code that it stands for; empty: that of its own function."""
    code_parts: Mapping[str, str] = {}
    """What went into it."""
    fn: Callable[P, R]
    """The function as written; calling it calls nothing of Dovetail's."""
    name: str
    """What runs, messages and settings call it."""
    step_kind: Literal["task", "wait"] = "task"
    """What its calls are to the driver."""
    is_async: bool
    """Whether it is a coroutine function."""
    __name__: str
    __qualname__: str

    def __init__(self, fn: Any, name: str | None = None) -> None:
        self._static = isinstance(fn, staticmethod)
        self._of_class = isinstance(fn, classmethod)
        fn = getattr(fn, "__func__", fn) if self._static or self._of_class else fn
        if not hasattr(fn, "__code__"):
            raise TypeError(f"@{self.kind} belongs on a function, not on {fn!r}: put it above a def")
        self.fn = self.__wrapped__ = fn
        self.name = fn.__name__ if name is None else name
        self.is_async = bool(fn.__code__.co_flags & _COROUTINE)
        self.__module__ = fn.__module__
        self.__name__ = fn.__name__
        self.__qualname__ = fn.__qualname__
        self.__doc__ = fn.__doc__
        self.__dovetail_uses__: tuple[Use, ...] = getattr(fn, "__dovetail_uses__", ())
        self.called_with: tuple[Use, ...] = ()
        """What `with_options` said, the last call first; `uses` begins with it."""
        self._shape: CallShape | None = None
        self._address: tuple[str, str] | bool | None = None

    @property
    def uses(self) -> tuple[Use, ...]:
        """Everything that was said about it, what counts more first: `with_options`, then decorators from above."""
        return (*self.called_with, *self.__dovetail_uses__)

    @property
    def doc(self) -> str:
        """The docstring, or an empty text."""
        return self.__doc__ or ""

    @property
    def shape(self) -> CallShape:
        """How it takes its arguments."""
        found = self._shape
        if found is None:
            from dovetail.authoring.call_shape import CallShape

            found = self._shape = CallShape(self.fn)
        return found

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of a call by name, defaults filled in; `*args` is a tuple, `**kwargs` a dict.

        Raises:
            TypeError: The one that the function itself would raise.
        """
        return (self._shape or self.shape).bind(*args, **kwargs)

    def unbind(self, given: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The inverse of `bind`: positional and keyword arguments."""
        return self.shape.unbind(given)

    @property
    def address(self) -> tuple[str, str] | None:
        """(canonical module, qualified name) where another process finds it after an import; None when it can't,
        as for a function inside a function."""
        found = self._address
        if found is None:
            found = self._address = self._find_address() or False
        return found or None  # type: ignore[return-value]

    def _find_address(self) -> tuple[str, str] | None:
        value: Any = sys.modules.get(self.__module__)
        for part in self.__qualname__.split("."):
            value = getattr(value, part, None)
        if not isinstance(value, DeclaredFunction) or value.fn is not self.fn:
            return None
        from dovetail.authoring.describe import canonical_module

        return canonical_module(self), self.__qualname__

    def _declared_with(self, options: dict[str, Any], file: str, line: int) -> Self:
        """Take over options of `@flow(...)` or `@task(...)`; what is wrong with them is found by validation."""
        if any(value is not None for value in options.values()):
            from dovetail.authoring.call_options import uses_of_options

            self.__dovetail_uses__ = uses_of_options(options, file, line) + self.__dovetail_uses__
        return self

    def _with(self, name: str | None, options: dict[str, Any], file: str, line: int) -> Self:
        """A copy with options of a call site.

        Raises:
            UsageError: One of them is wrong.
        """
        from dovetail.authoring.call_options import uses_of_options

        uses = uses_of_options(options, file, line)
        wrong = [f"{message}. {fix}".rstrip() for use in uses for message, fix in use.wrong]
        if name is not None and (problem := name_problem(name)):
            wrong.insert(0, problem)
        if wrong:
            from dovetail.interfaces.errors import UsageError

            raise UsageError(f"{self.kind} {self.name} can't have these options:\n  " + "\n  ".join(wrong))
        made = self._copy()
        made.called_with = uses + self.called_with
        if name is not None:
            made.name = name
        return made

    def _copy(self) -> Self:
        made = object.__new__(type(self))
        made.__dict__.update(self.__dict__)
        return made

    def __reduce__(self) -> Any:
        """By name where that finds this very object again, else by value (which needs cloudpickle)."""
        if self.address is not None and self.__module__ != "__main__":
            found: Any = sys.modules[self.__module__]
            for part in self.__qualname__.split("."):
                found = getattr(found, part)
            if found is self:
                return self.__qualname__
            return _copied, (
                found,
                {k: v for k, v in self.__dict__.items() if k not in _REMADE and found.__dict__.get(k) is not v},
            )
        return _made, (type(self), {name: v for name, v in self.__dict__.items() if name not in _REMADE})

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name}>"


_REMADE = frozenset({"_shape", "_address", "__wrapped__"})


def _made(cls: type[DeclaredFunction[..., Any]], state: dict[str, Any]) -> DeclaredFunction[..., Any]:
    """What `__reduce__` left of a function that is kept by value."""
    made = object.__new__(cls)
    made.__dict__.update(state, _shape=None, _address=None, __wrapped__=state["fn"])
    return made


def _copied(found: DeclaredFunction[..., Any], state: dict[str, Any]) -> DeclaredFunction[..., Any]:
    """What `__reduce__` left of a copy with options."""
    made = found._copy()
    made.__dict__.update(state)
    return made


def name_problem(name: object) -> str:
    """Why something can't be the name of a flow or task, or an empty text."""
    if isinstance(name, str) and name.isidentifier() and name.isascii():
        return ""
    return f"{name!r} is no name: it is part of paths and options, so only letters, digits and _ can be in it"
