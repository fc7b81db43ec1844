"""Rules that say which runs go."""

from __future__ import annotations

from typing import Annotated

from dovetail.interfaces.caching import seconds_of
from dovetail.interfaces.dataclass import dataclass
from dovetail.interfaces.states import RunState

__all__ = ["RetentionRule"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionRule:
    """Which runs `dovetail runs prune` deletes: `[[tool.dovetail.retention]]`. The first rule that fits a run decides.

    A rule with neither `older_than` nor `keep_last` keeps its runs for ever.
    """

    flow: Annotated[str, "Runs of this flow; `*` and `?` stand for any letters"] = "*"
    tag: Annotated[str, "Runs with this tag; empty: any"] = ""
    state: Annotated[str, "Runs in this state; empty: any"] = ""
    older_than: Annotated[str | None, "Only runs made so long ago: `30d`, `12h`, `4w`"] = None
    keep_last: Annotated[int | None, "Not the newest so many of each flow"] = None

    def __post_init__(self) -> None:
        if self.older_than is not None and not (seconds_of(self.older_than) or 0) > 0:
            raise ValueError(f"older_than must be a time such as 30d, not {self.older_than!r}")
        if self.keep_last is not None and self.keep_last < 0:
            raise ValueError("keep_last must be 0 or more")
        if self.state and self.state not in list(RunState):  # else the rule would never fit, and keep nothing
            raise ValueError(f"state must be one of {', '.join(map(str, RunState))}, not {self.state!r}")

    @property
    def age(self) -> float | None:
        """`older_than` in seconds."""
        return seconds_of(self.older_than)

    def __str__(self) -> str:
        parts = [f"flow {self.flow}"]
        parts += [f"tag {self.tag}"] if self.tag else []
        parts += [f"state {self.state}"] if self.state else []
        if self.older_than is None and self.keep_last is None:
            return ", ".join([*parts, "kept for ever"])
        parts += [f"older than {self.older_than}"] if self.older_than is not None else []
        parts += [f"all but the last {self.keep_last}"] if self.keep_last is not None else []
        return ", ".join(parts)
