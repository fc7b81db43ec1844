"""Which plugins take part in a run of a flow: what its steps choose, and the secrets providers behind that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from dovetail.settings.kinds import KINDS, POLICY_KINDS

if TYPE_CHECKING:
    from dovetail.interfaces.flow import FlowDescription, StepDescription
    from dovetail.settings.resolve import Settings

__all__ = ["chosen_by", "pins_of", "secrets_in"]


def pins_of(settings: Settings, flow: FlowDescription | None = None) -> dict[str, Any]:
    """What a run pins of its plugins, by distribution; {} without any, which is found out cheaply.

    Args:
        settings: The resolved layers.
        flow: What runs; None: whatever a run here chooses when its flow says nothing.
    """
    registry = settings.registry
    return registry.closure(sorted(chosen_by(settings, flow))) if registry.has_plugins else {}


def chosen_by(settings: Settings, flow: FlowDescription | None = None) -> set[tuple[str, str]]:
    """(kind, name) of everything that is chosen for the run as a whole, and by each step of its flow.

    Raises:
        PluginError, SettingsError: Something that is chosen can't be.
    """
    chosen: set[tuple[str, str]] = set()
    steps: list[StepDescription | None] = [None, *(() if flow is None else flow.steps)]
    for step in steps:
        for kind in KINDS:
            if step is not None and (kind == "metadata" or step.kind == "wait"):
                continue
            selection = settings.select(kind, step, flow)
            chosen.add((kind, selection.backend))
            chosen.update(("secrets", text.partition(":")[0]) for text in secrets_in(selection.settings))
    signing = settings.core.artifacts.signing
    if signing is not None:
        references = [signing["key"], *signing["trusted"]]
        chosen.update(("secrets", str(ref).partition(":")[0]) for ref in references if ref)
    uses = list(settings.with_uses)
    if flow is not None:
        uses += [*flow.decorators, *(use for step in flow.steps for use in step.decorators)]
    for use in uses:
        if use.kind not in KINDS and use.kind not in POLICY_KINDS:
            chosen |= {("step-decorator", use.kind), ("flow-decorator", use.kind)}
    return chosen


def secrets_in(plain: Any) -> Iterator[str]:
    """References to secrets in settings as plain data: `PROVIDER:ID`."""
    if isinstance(plain, Mapping):
        if set(plain) == {"secret"} and isinstance(plain["secret"], str):
            yield plain["secret"]
        for value in plain.values():
            yield from secrets_in(value)
    elif isinstance(plain, (list, tuple)):
        for value in plain:
            yield from secrets_in(value)
