"""What a decorator leaves behind: a note of what was written, and of what is wrong with it."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, ParamSpec, TypeVar

    P = ParamSpec("P")
    Target = TypeVar("Target", bound=Callable[..., Any])

__all__ = ["StepDecorator", "Use", "collected", "uses_of"]

USES = "__dovetail_uses__"


class Use:
    """One decorator as written."""

    __slots__ = ("file", "kind", "line", "name", "options", "wrong")

    def __init__(self, kind: str, name: str, options: dict[str, Any], file: str, line: int) -> None:
        self.kind = kind
        self.name = name
        self.options = options
        self.file = file
        self.line = line
        self.wrong: list[tuple[str, str]] = []
        """What is wrong with the arguments: (message, fix)."""


class StepDecorator:
    """A decorator for a step or a flow class that stores a choice: what `@retry(...)` and the others return.

    Plugins make their own typed decorators with it:

    ```python
    def kubernetes(*, memory: int = 4096) -> StepDecorator:
        return StepDecorator("compute", "kubernetes", {"memory": memory})
    ```

    Args:
        kind: What it chooses or sets, such as `compute`.
        name: Backend or instance; by default the kind.
        options: JSON-able options.
        depth: How many calls above the constructor the flow's author is.
    """

    __slots__ = ("use",)

    def __init__(
        self, kind: str, name: str | None = None, options: Mapping[str, Any] | None = None, *, depth: int = 2
    ) -> None:
        frame = sys._getframe(depth)
        self.use = Use(kind, name or kind, dict(options or {}), frame.f_code.co_filename, frame.f_lineno)

    def wrong(self, message: str, fix: str = "") -> None:
        """Note a problem with the arguments."""
        self.use.wrong.append((message, fix))

    def __call__(self, target: Target) -> Target:
        from dovetail.authoring.flowspec import FlowSpec

        kind = self.use.kind
        subject: Any = target
        if isinstance(subject, type):
            if not issubclass(subject, FlowSpec):
                raise TypeError(f"@{kind} belongs on a step or a flow class, not on {subject.__name__}")
            subject._dovetail_uses = (self.use, *vars(subject).get("_dovetail_uses", ()))
        elif callable(subject):
            setattr(subject, USES, (self.use, *getattr(subject, USES, ())))
        else:
            raise TypeError(f"@{kind} belongs on a step or a flow class")
        return target


def uses_of(method: object) -> tuple[Use, ...]:
    """The decorators of a step's method, outermost first."""
    found = getattr(method, USES, ())
    return found if isinstance(found, tuple) else ()


def collected(make: Callable[P, StepDecorator]) -> Callable[P, StepDecorator]:
    """Keep unknown and positional arguments as problems; allow use without parentheses."""
    code = make.__code__
    kind = make.__name__.rstrip("_")
    positional = code.co_varnames[: code.co_argcount]
    known = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    needed = code.co_argcount - len(make.__defaults__ or ())
    takes_any = bool(code.co_flags & 0x08)

    def decorator(*args: Any, **options: Any) -> Any:
        if len(args) == 1 and not options and _is_target(args[0]):
            return make(*[None] * needed)(args[0])  # type: ignore[arg-type,call-arg]
        given = {name: value for name, value in options.items() if takes_any or name in known}
        args += (None,) * (needed - len(args))  # what is missing is a problem like any other
        made: StepDecorator = make(*args[: len(positional)], **given)
        for name in options.keys() - given.keys():
            from dovetail.authoring.suggest import did_you_mean

            made.wrong(
                f"@{kind} has no argument {name!r}", did_you_mean(name, known) or f"It takes {', '.join(known)}."
            )
        if len(args) > len(positional):
            allowed = f"at most {len(positional)} without a name" if positional else "only named arguments"
            made.wrong(f"@{kind} takes {allowed}", f"It takes {', '.join(known)}.")
        return made

    decorator.__name__ = decorator.__qualname__ = kind
    decorator.__doc__ = make.__doc__
    decorator.__module__ = make.__module__
    return decorator


def _is_target(value: object) -> bool:
    """Whether `value` is what a decorator without parentheses is given."""
    from dovetail.authoring.flowspec import FlowSpec

    if isinstance(value, type):
        return issubclass(value, FlowSpec)
    return hasattr(value, "__code__") or hasattr(value, USES)
