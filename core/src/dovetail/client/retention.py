"""Applies retention rules to runs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dovetail.client.run import Run
    from dovetail.settings import RetentionRule

__all__ = ["Outcome", "apply_rules"]


@dataclass(slots=True)
class Outcome:
    """What a rule says."""

    rule: RetentionRule
    """The rule."""
    goes: list[Run] = field(default_factory=list)
    """Runs that it deletes."""
    kept: int = 0
    """Runs that it decides about and keeps."""
    pinned: int = 0
    """Runs that would go, were they not pinned."""
    live: int = 0
    """Runs that would go, had they ended."""


def apply_rules(
    rules: Sequence[RetentionRule], runs: Iterable[Run], *, now: float, pinned: Collection[str] = ()
) -> list[Outcome]:
    """What each rule says about the runs that no rule before it fits.

    Args:
        rules: In order.
        runs: Newest first.
        now: Seconds since the epoch.
        pinned: Ids of runs that are kept whatever a rule says.
    """
    outcomes = [Outcome(rule) for rule in rules]
    newer: dict[tuple[int, str], int] = {}
    for run in runs:
        at = next((at for at, rule in enumerate(rules) if _fits(rule, run)), None)
        if at is None:
            continue
        rule, outcome = rules[at], outcomes[at]
        place = newer[at, run.flow_name] = newer.get((at, run.flow_name), 0) + 1
        if not _goes(rule, age=now - run._row["created"], place=place):
            outcome.kept += 1
        elif run.id in pinned:
            outcome.pinned += 1
        elif not run.state.final and str(run.state) != "lost":
            outcome.live += 1
        else:
            outcome.goes.append(run)
    return outcomes


def _fits(rule: RetentionRule, run: Run) -> bool:
    return (
        fnmatchcase(run.flow_name, rule.flow)
        and (not rule.tag or rule.tag in run.user_tags or rule.tag in run.system_tags)
        and (not rule.state or str(run.state) == rule.state)
    )


def _goes(rule: RetentionRule, *, age: float, place: int) -> bool:
    """Whether a run goes that is the `place`-th newest of its flow under the rule."""
    if rule.age is None and rule.keep_last is None:
        return False
    return (rule.age is None or age > rule.age) and (rule.keep_last is None or place > rule.keep_last)
