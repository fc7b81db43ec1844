"""Every value that holds for a step, and where it came from."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from dovetail.interfaces.dataclass import dataclass
from dovetail.plugins.given import Given
from dovetail.plugins.opening import settings_class
from dovetail.plugins.schema import fields_of, to_plain
from dovetail.settings.kinds import KINDS
from dovetail.settings.policies import POLICIES

if TYPE_CHECKING:
    from dovetail.interfaces.flow import FlowDescription, StepDescription
    from dovetail.plugins.descriptors import BackendSpec
    from dovetail.settings.resolve import Settings

__all__ = ["Explained", "explain", "explain_core"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """One value."""

    key: str
    """Such as `retry.times` or `compute.memory`."""
    value: Any
    """As JSON-able data."""
    source: str
    """Where it came from; `default` when nothing sets it."""
    overridden: tuple[tuple[Any, str], ...] = ()
    """(value, source) of those that lost, the strongest first."""

    def to_plain(self) -> dict[str, Any]:
        """This value as JSON-able data."""
        lost = [{"value": value, "source": source} for value, source in self.overridden]
        return {"key": self.key, "value": self.value, "source": self.source, "overridden": lost}


def explain_core(settings: Settings) -> list[Explained]:
    """Settings of Dovetail itself."""
    rows = [Explained(key="home", value=str(settings.home), source=_home_source(settings))]
    plain = to_plain(settings.core)
    for key, value in plain.items():
        if key == "home":
            continue
        if isinstance(value, dict):
            rows += [_core(settings, f"{key}.{name}", part) for name, part in value.items()]
        else:
            rows.append(_core(settings, key, value))
    if settings.profile:
        rows.append(Explained(key="profile", value=settings.profile, source="--profile, DOVETAIL_PROFILE or a file"))
    return rows


def _core(settings: Settings, key: str, value: Any) -> Explained:
    sources = settings.core_sources
    below = sorted({source for name, source in sources.items() if name.startswith(f"{key}.")})
    return Explained(key=key, value=value, source=sources.get(key) or ", ".join(below) or "default")


def _home_source(settings: Settings) -> str:
    if "home" in settings.core_sources and settings.core.home == settings.home:
        return settings.core_sources["home"]
    return "DOVETAIL_HOME, else the nearest .dovetail, else beside pyproject.toml"


def explain(
    settings: Settings, step: StepDescription | None = None, flow: FlowDescription | None = None
) -> list[Explained]:
    """Choices and policies of a step, or the choices of a run."""
    rows: list[Explained] = []
    for kind in KINDS:
        if step is None or kind != "metadata":
            rows += _explain_kind(settings, kind, step, flow)
    if step is not None:
        for kind in POLICIES:
            rows += _explain_policy(settings, kind, step, flow)
        rows += _explain_maximum(settings, step, flow)
    return rows


def _explain_kind(
    settings: Settings, kind: str, step: StepDescription | None, flow: FlowDescription | None
) -> list[Explained]:
    choice = settings.choice(kind, step, flow)
    selection = settings.select(kind, step, flow)
    lost = choice.overridden
    name = selection.instance
    shown = name if name == selection.backend else f"{name} ({selection.backend})"
    rows = [Explained(key=kind, value=shown, source=selection.sources["use"], overridden=_lost(lost, "use"))]
    values: dict[str, Any] = {"target": selection.target} if selection.target else {}
    values |= {key: getattr(selection, key) for key in ("retries", "rate_limit") if key in choice.given}
    values |= _defaults(choice.spec) | dict(selection.settings)
    values |= {key: given.value for key, given in choice.given.items() if key not in values and key != "use"}
    for key, value in values.items():
        source = choice.given[key].source if key in choice.given else "default"
        rows.append(Explained(key=f"{kind}.{key}", value=_clean(value), source=source, overridden=_lost(lost, key)))
    return rows


def _defaults(spec: BackendSpec) -> dict[str, Any]:
    schema = settings_class(spec)
    fields = fields_of(schema) if schema is not None else ()
    return {field.name: to_plain(field.default) for field in fields if not field.required}


def _explain_policy(
    settings: Settings, kind: str, step: StepDescription, flow: FlowDescription | None
) -> list[Explained]:
    merged = settings.merged(kind, step, flow)
    if not merged.present:
        return []
    rows = [
        Explained(key=f"{kind}.{key}", value=to_plain(given.value), source=given.source, overridden=_lost(lost, key))
        for lost in (merged.overridden,)
        for key, given in merged.given.items()
    ]
    if kind in ("retry", "catch", "isolation"):
        shown = {row.key for row in rows}
        rows += [
            Explained(key=f"{kind}.{field.name}", value=to_plain(field.default), source="default")
            for field in fields_of(POLICIES[kind])
            if f"{kind}.{field.name}" not in shown and field.name != "minutes_between_retries"
        ]
    return rows


def _explain_maximum(settings: Settings, step: StepDescription, flow: FlowDescription | None) -> list[Explained]:
    """Where `@resources` and the compute decorator both ask for something, the larger counts."""
    resources = settings.step_options(step, flow).resources
    asked = settings.merged("resources", step, flow).given
    compute = settings.choice("compute", step, flow).given
    names = {"cpu": "cpu", "memory": "memory_mb", "gpu": "gpu", "disk": "disk_mb", "shared_memory": "shared_memory_mb"}
    return [
        Explained(key=f"resources in all: {name}", value=getattr(resources, attribute), source="the larger of both")
        for name, attribute in names.items()
        if name in asked and name in compute
    ]


def _lost(overridden: Any, key: str) -> tuple[tuple[Any, str], ...]:
    values: tuple[Given, ...] = overridden.get(key, ())
    return tuple((_clean(to_plain(given.value)), given.source) for given in values)


def _clean(value: Any) -> Any:
    """A value without a password in a URL that lost, and so was not refused."""
    return re.sub(r"(://[^/@\s:]*):[^/@\s]*@", r"\1:***@", value) if isinstance(value, str) else value
