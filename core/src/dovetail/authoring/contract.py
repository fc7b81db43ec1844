"""What a flow needs from whoever runs it: protocols, so that authoring knows no store and no worker."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

__all__ = ["Binding", "Frame", "InputBinding"]

Frame = tuple[int, int, Callable[[], Any]]
"""One foreach level around a task: (index, number of items, loader of the item)."""


class Binding(Protocol):
    """The artifacts that a task's `self` can read."""

    def load(self, name: str) -> Any:
        """The value of an artifact, parameter or constant; the caller keeps it.

        `input` and `index` are the innermost foreach item and its index. Counts as a read of `name`, also
        when it is absent.

        Raises:
            KeyError: Nothing has this name (`input`, `index`: the task is in no foreach).
        """
        ...

    def digest(self, name: str) -> bytes | None:
        """Identity of an artifact without loading it, or None when absent. Counts as a read."""
        ...

    def has(self, name: str) -> bool:
        """Whether an artifact exists."""
        ...

    def names(self) -> Iterable[str]:
        """Names of all artifacts, parameters and constants."""
        ...

    @property
    def frames(self) -> Sequence[Frame]:
        """Foreach levels, outermost first. Looking counts as a read of each number of items."""
        ...


class InputBinding(Binding, Protocol):
    """The artifacts that one predecessor of a join left."""

    @property
    def step(self) -> str:
        """Name of the predecessor's step."""
        ...

    @property
    def error(self) -> Any:
        """Why it failed (an object with `type`, `message`, `traceback`) under `on_error="collect"`, or None.

        Of a failed one only `step`, `error` and `frames` are used.
        """
        ...
