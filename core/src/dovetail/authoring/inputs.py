"""What a join is given: its predecessors, loaded only where they are read."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any, overload

    from dovetail.authoring.contract import InputBinding

__all__ = ["Input", "Inputs", "binding_of"]


class Input:
    """One predecessor of a join. Its artifacts, parameters and constants are attributes.

    Under `on_error="collect"` one that failed has an `error`; reading an artifact of it raises
    `FailedInputError`.
    """

    __slots__ = ("__dict__", "__weakref__", "_binding", "_flow_cls")

    _binding: InputBinding
    _flow_cls: type

    def __init__(self, flow_cls: type, binding: InputBinding) -> None:
        self._flow_cls = flow_cls
        self._binding = binding

    def __repr__(self) -> str:
        failed = " failed" if self._binding.error is not None else ""
        return f"<input from step {self._binding.step!r}{failed}>"

    def __getattr__(self, name: str) -> Any:
        if name[:2] == "__":
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        binding = self._binding
        error = binding.error
        if name == "error" and (error is not None or not binding.has(name)):
            return error
        if error is not None:
            from dovetail.interfaces.errors import FailedInputError

            raise FailedInputError(
                f"the input from step {binding.step!r} failed with {error.type or 'an error'}: {error.message}; "
                f"it has no artifact {name!r}",
                hint="Skip it where its .error is not None.",
            )
        if name[0] != "_":
            try:
                value = binding.load(name)
            except KeyError:
                pass
            else:
                self.__dict__[name] = value
                return value
        return self._of_class(name)

    def _of_class(self, name: str) -> Any:
        """A property or method of the flow, on this input; `input` and `index` outside of a foreach are None."""
        if name in ("input", "index"):
            return None
        if name == "foreach_stack":
            return lambda: [(index, length, load()) for index, length, load in self._binding.frames]
        from dovetail.authoring.constants import Constant
        from dovetail.authoring.flowspec import FlowSpec
        from dovetail.authoring.parameters import ParameterAttribute

        for base in self._flow_cls.__mro__:
            if base is FlowSpec or base is object:
                continue
            found = vars(base).get(name)
            if isinstance(found, Constant):
                return found.value
            if found is not None and not isinstance(found, ParameterAttribute) and hasattr(type(found), "__get__"):
                return found.__get__(self, self._flow_cls)
        from dovetail.authoring.absent import absent_input

        raise absent_input(self._flow_cls, self._binding.step, name, set(self._binding.names()))


class Inputs:
    """The predecessors of a join, in index order: a sequence that is also indexed by step name, as attribute.

    Empty after a foreach over nothing. Of several inputs from one step the attribute is the last.
    """

    __slots__ = ("_bindings", "_flow_cls", "_made")

    def __init__(self, flow_cls: type, bindings: Sequence[InputBinding]) -> None:
        self._flow_cls = flow_cls
        self._bindings = bindings
        self._made: dict[int, Input] = {}

    def bindings(self) -> Sequence[InputBinding]:
        """The predecessors as the worker gave them."""
        return self._bindings

    def __len__(self) -> int:
        return len(self._bindings)

    if TYPE_CHECKING:

        @overload
        def __getitem__(self, key: int, /) -> Input: ...

        @overload
        def __getitem__(self, key: slice, /) -> list[Input]: ...

    def __getitem__(self, key: Any, /) -> Any:
        count = len(self._bindings)
        if isinstance(key, slice):
            return [self[i] for i in range(*key.indices(count))]
        number = key if key >= 0 else key + count
        made = self._made.get(number)
        if made is None:
            if not 0 <= number < count:
                raise IndexError(f"input {key} of {count}")
            made = self._made[number] = Input(self._flow_cls, self._bindings[number])
        return made

    def __iter__(self) -> Iterator[Input]:
        return (self[i] for i in range(len(self._bindings)))

    def __getattr__(self, step: str) -> Any:
        if step[:1] != "_":
            for number in range(len(self._bindings) - 1, -1, -1):
                if self._bindings[number].step == step:
                    return self[number]
        from dovetail.authoring.suggest import did_you_mean

        steps = {binding.step for binding in self._bindings}
        hint = did_you_mean(step, steps) or (f"They come from {', '.join(sorted(steps))}." if steps else "")
        raise AttributeError(f"no input comes from a step {step!r}. {hint}".rstrip())

    def __repr__(self) -> str:
        return f"<{len(self)} inputs>"


def binding_of(value: object) -> InputBinding | None:
    """The predecessor behind an input of a task, or None for a stand-in of a test."""
    return value._binding if isinstance(value, Input) else None
