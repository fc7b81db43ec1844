"""What several places say about a policy of a step, merged key by key."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dovetail.plugins.given import Given
from dovetail.settings.kinds import FREE_KINDS

if TYPE_CHECKING:
    from dovetail.interfaces.flow import DecoratorUse

__all__ = ["Merged", "given_options", "is_text", "merge"]


class Merged:
    """Options of one kind after merging."""

    __slots__ = ("given", "overridden", "present")

    def __init__(
        self,
        present: bool = False,
        given: Mapping[str, Given] | None = None,
        overridden: Mapping[str, tuple[Given, ...]] | None = None,
    ) -> None:
        self.present = present
        """Whether any place mentions the kind."""
        self.given = given or {}
        """Key → winning value."""
        self.overridden = overridden or {}
        """Key → values that lost, the strongest first."""


def is_text(use: DecoratorUse) -> bool:
    """Whether a decorator's options are text that stands for values."""
    return use.source.startswith("--with ")


def given_options(use: DecoratorUse) -> dict[str, Given]:
    """A decorator's options, with their source."""
    source, text = use.source or f"@{use.kind}", is_text(use)
    options = {key: Given(value, source, text) for key, value in use.options.items()}
    if use.kind == "isolation" and use.name not in ("", "isolation"):
        options.setdefault("kind", Given(use.name, source))
    return options


def merge(kind: str, groups: Sequence[Mapping[str, Given]]) -> Merged:
    """Merge options, high to low: key by key, a time limit as a whole since its parts add up."""
    if not groups:
        return Merged()
    given: dict[str, Given] = {}
    overridden: dict[str, list[Given]] = {}
    for group in groups:
        whole = kind == "timeout" and bool(given)
        for key, value in _canonical(kind, group).items():
            key = key if kind in FREE_KINDS else key.replace("-", "_")
            if whole or key in given:
                overridden.setdefault(key, []).append(value)
            else:
                given[key] = value
    return Merged(True, given, {key: tuple(values) for key, values in overridden.items()})


def _canonical(kind: str, given: Mapping[str, Given]) -> dict[str, Given]:
    """Options with aliases replaced, so that layers can be merged key by key."""
    fix = _CANONICAL.get(kind)
    return dict(given) if fix is None else fix(dict(given))


def _retry(given: dict[str, Given]) -> dict[str, Given]:
    minutes = given.pop("minutes_between_retries", None)
    if minutes is not None and "delay" not in given:
        try:
            seconds = 60 * float(minutes.value)
        except (TypeError, ValueError):
            given["minutes_between_retries"] = minutes  # Let the schema say what is wrong with it.
        else:
            given["delay"] = Given(seconds, minutes.source)
    return given


def _environment_variables(given: dict[str, Given]) -> dict[str, Given]:
    """`vars={...}` and, from `--set` and `--with`, variables by their names: one key a variable."""
    whole = given.pop("vars", None)
    if whole is None:
        return given
    value: Any = whole.value
    if whole.text and isinstance(value, str):
        from dovetail.plugins.coercion import Mismatch, coerce

        try:
            value = coerce(value, dict[str, str], text=True)
        except Mismatch:
            return {"vars": whole}
    if not isinstance(value, Mapping):
        return {"vars": whole}
    return {**{str(name): Given(part, whole.source, whole.text) for name, part in value.items()}, **given}


_CANONICAL: dict[str, Callable[[dict[str, Given]], dict[str, Given]]] = {
    "retry": _retry,
    "environment_variables": _environment_variables,
}
