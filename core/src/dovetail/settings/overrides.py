"""`--set` of the command line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dovetail.plugins.given import Given
from dovetail.plugins.suggest import nearest
from dovetail.settings.kinds import POLICY_KINDS, STEP_KINDS
from dovetail.settings.layers import Layer, tree_of

__all__ = ["SetOverride", "parse_set"]


class SetOverride:
    """A `--set STEP.KIND...=VALUE`."""

    __slots__ = ("given", "key", "kind", "step")

    def __init__(self, step: str, kind: str, key: str, given: Given) -> None:
        self.step = step
        """Name of the step, or `*` for all."""
        self.kind = kind
        """One of `STEP_KINDS`."""
        self.key = key
        """Option; empty chooses the backend: `--set train.compute=local`."""
        self.given = given
        """The value."""


def parse_set(
    texts: Iterable[str], sections: Sequence[str]
) -> tuple[tuple[SetOverride, ...], Layer | None, tuple[str, ...]]:
    """Read `--set` arguments: those for steps, the rest as a layer, and what can't be understood.

    Args:
        texts: `STEP.KIND.KEY=VALUE`, `STEP.KIND=NAME`, or `SECTION...=VALUE` as in a settings file.
        sections: Names that begin a setting rather than a step.
    """
    steps: list[SetOverride] = []
    items: dict[tuple[str, ...], str] = {}
    sources: dict[tuple[str, ...], str] = {}
    problems = []
    for text in texts:
        left, equals, value = text.partition("=")
        path = left.strip().split(".")
        if not equals or not all(path):
            problems.append(f"--set {text} is not of the form STEP.KIND.KEY=VALUE or KEY=VALUE")
            continue
        kind = path[1].replace("-", "_") if len(path) > 1 else ""
        given = Given(value, f"--set {text}", True)
        if kind in STEP_KINDS and (path[0] not in sections or kind in POLICY_KINDS):
            if len(path) > 3 or (len(path) == 2 and kind in POLICY_KINDS):
                example = "times" if kind == "retry" else "KEY"
                problems.append(f"--set {text}: name one option, such as {path[0]}.{kind}.{example}=VALUE")
                continue
            steps.append(SetOverride(path[0], kind, path[2] if len(path) == 3 else "", given))
            continue
        if len(path) == 3 and path[0] not in sections and (likely := nearest(kind, STEP_KINDS)) is not None:
            problems.append(f"--set {text}: a step has no {path[1]!r}. Did you mean {path[0]}.{likely}.{path[2]}?")
            continue
        items[tuple(path)] = value
        sources[tuple(part.replace("-", "_").lower() for part in path)] = f"--set {text}"
    layer = None
    if items:
        layer = Layer(name="--set", rank="set", tree=tree_of(items, where="--set"), text=True, sources=sources)
    return tuple(steps), layer, tuple(problems)
