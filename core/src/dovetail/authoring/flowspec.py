"""`FlowSpec`: the class that a flow derives from."""

from __future__ import annotations

import sys

from dovetail.authoring.binding import NextCall, Tie
from dovetail.authoring.constants import install_constants

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any, ClassVar, Literal, overload

    from typing_extensions import Self

    from dovetail.authoring.uses import Use

__all__ = ["FlowSpec"]


class FlowSpec:
    """A flow: a class whose `@step` methods are run as tasks.

    Attributes that a step sets on `self` are stored as artifacts and can be read by the steps that follow;
    names that begin with `_` are not. Class attributes are constants of every run.

    An instance made by hand is a plain object: set what a step reads, call the step, look at what it set and
    at `next_call`. Calling the class at the bottom of a script (`if __name__ == "__main__": MyFlow()`) runs
    its command line instead; `MyFlow(use_cli=False)` never does.
    """

    __slots__ = ("__dict__", "__weakref__", "_dovetail")

    _dovetail: Tie
    _dovetail_uses: ClassVar[tuple[Use, ...]] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        install_constants(cls)

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        if kwargs.get("use_cli", True) and _called_by_script(cls):
            cls.main()
        flow = object.__new__(cls)
        flow._dovetail = Tie(None, "", None)
        return flow

    def __init__(self, use_cli: bool = True) -> None:
        pass

    @classmethod
    def main(cls, argv: Sequence[str] | None = None) -> None:
        """Run Dovetail's command line on this flow; does not return.

        Args:
            argv: A verb and its options, such as `["run", "--alpha", "0.1"]`; by default the process's own.
        """
        from dovetail.authoring.entry import main

        main(cls, argv)

    # ------------------------------------------------------------------ artifacts

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if name[0] == "_":
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            tie = self._dovetail
            binding = tie.merged.get(name) or tie.binding
            if binding is not None:
                try:
                    value = binding.load(name)
                except KeyError:
                    pass
                else:
                    tie.loaded[name] = value
                    self.__dict__[name] = value
                    return value
            from dovetail.authoring.absent import absent

            raise absent(self, name)

    if TYPE_CHECKING:
        # Artifacts can't be known to a type checker.
        def __getattr__(self, name: str) -> Any: ...
        def __setattr__(self, name: str, value: Any) -> None: ...

    @property
    def input(self) -> Any:
        """The item of the innermost foreach; None outside of one."""
        return _frame_value(self, "input")

    @input.setter
    def input(self, value: Any) -> None:
        _set_frame_value(self, "input", value)

    @property
    def index(self) -> Any:
        """The index of `input`, from 0; None outside of a foreach."""
        return _frame_value(self, "index")

    @index.setter
    def index(self, value: Any) -> None:
        _set_frame_value(self, "index", value)

    def foreach_stack(self) -> list[tuple[int, int, Any]]:
        """Every foreach around this task, outermost first: (index, number of items, item)."""
        tie = self._dovetail
        if tie.binding is not None:
            return [(index, length, load()) for index, length, load in tie.binding.frames]
        if "input" not in tie.fixed and "index" not in tie.fixed:
            return []
        index = tie.fixed.get("index", 0)
        return [(index, index + 1, tie.fixed.get("input"))]

    def merge_artifacts(
        self, inputs: Iterable[Any], include: Iterable[str] | None = None, exclude: Iterable[str] | None = None
    ) -> None:
        """Take over the artifacts of a join's inputs, without loading them.

        An artifact that is already set on `self` is left alone; one that differs between the inputs is an
        error. Inputs that failed (`on_error="collect"`) are left out.

        Args:
            inputs: What the join was given, or some of it.
            include: Only these.
            exclude: All but these.

        Raises:
            UsageError: Artifacts differ, `include` names one that no input has, or both lists are given.
        """
        from dovetail.authoring.merge import merge_artifacts

        merge_artifacts(self, inputs, include, exclude)

    # ------------------------------------------------------------------ transitions

    @property
    def next_call(self) -> NextCall | None:
        """What the step passed to `self.next`, for tests."""
        return self._dovetail.transition

    if TYPE_CHECKING:

        @overload
        def next(self, target: Callable[..., Any], /, *targets: Callable[..., Any]) -> None: ...

        @overload
        def next(
            self,
            target: Callable[..., Any],
            /,
            *,
            foreach: str | Iterable[Any],
            on_error: Literal["fail", "collect"] = "fail",
        ) -> None: ...

        @overload
        def next(self, cases: Mapping[Any, Callable[..., Any]], /, *, condition: str) -> None: ...

    def next(
        self,
        *targets: Any,
        foreach: Any = None,
        condition: str | None = None,
        on_error: str = "fail",
    ) -> None:
        """Say which step follows.

        Args:
            targets: Steps of this flow, as `self.train`. One follows; several all follow, side by side, until
                a join. With `condition` a mapping of case to step.
            foreach: Run the one target once for each item: the name of an artifact, or any iterable.
            condition: Name of the artifact (or parameter) whose value chooses a case.
            on_error: Of a foreach, what a failed item does: `fail` the run, or `collect`: stay in the join's
                `inputs` at its index, with its `error`.

        Raises:
            UsageError: The arguments do not make a transition, or no case has the value.
        """
        from dovetail.authoring.transition import make_next_call

        tie = self._dovetail
        call = make_next_call(self, targets, foreach, condition, on_error)
        if tie.binding is not None and tie.transition is not None:
            from dovetail.authoring.transition import called_twice

            raise called_twice(tie, call)
        tie.transition = call


def _frame_value(flow: FlowSpec, name: str) -> Any:
    tie = flow._dovetail
    fixed = tie.fixed
    if name in fixed:
        return fixed[name]
    if tie.binding is None:
        return None
    try:
        value = tie.binding.load(name)
    except KeyError:
        value = None
    fixed[name] = value
    return value


def _set_frame_value(flow: FlowSpec, name: str, value: Any) -> None:
    tie = flow._dovetail
    if tie.binding is not None:
        raise AttributeError(
            f"self.{name} is given by the foreach and can't be set in a step; choose another name for the artifact"
        )
    tie.fixed[name] = value


def _called_by_script(cls: type) -> bool:
    """Whether a script's own code instantiates a flow of that script."""
    if cls.__module__ != "__main__":
        return False
    main = sys.modules.get("__main__")
    if main is None or not getattr(main, "__file__", None):
        return False  # REPL and notebooks
    if sys.flags.interactive or hasattr(sys, "ps1") or "__IPYTHON__" in vars(sys.modules["builtins"]):
        return False  # also `%run` in IPython
    return sys._getframe(2).f_globals is main.__dict__
