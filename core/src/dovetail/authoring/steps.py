"""The mark that makes a method a step."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar, overload

    StepMethod = TypeVar("StepMethod", bound=Callable[..., Any])

__all__ = ["StepMark", "mark_of", "step"]

MARK = "__dovetail_step__"


class StepMark:
    """What `@step` notes on a method."""

    __slots__ = ("end", "start")

    def __init__(self, start: bool, end: bool) -> None:
        self.start = start
        self.end = end


if TYPE_CHECKING:

    @overload
    def step(function: StepMethod, /) -> StepMethod: ...

    @overload
    def step(*, start: bool = False, end: bool = False) -> Callable[[StepMethod], StepMethod]: ...


def step(function: Any = None, /, *, start: bool = False, end: bool = False) -> Any:
    """Make a method a step of its flow.

    The method itself is unchanged: it can be called, tested and overridden as any other.

    Args:
        function: The method.
        start: The run begins here. Not needed for a step named `start`, or in a flow of one step.
        end: The run ends here. Not needed for a step named `end`, or in a flow of one step.
    """

    def mark(method: Any) -> Any:
        setattr(method, MARK, StepMark(start, end))
        return method

    return mark if function is None else mark(function)


def mark_of(value: object) -> StepMark | None:
    """The mark of a step's method, or None for anything else."""
    mark = getattr(value, MARK, None)
    return mark if isinstance(mark, StepMark) else None
