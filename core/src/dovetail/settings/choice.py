"""Who says which backend to use, and who wins."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dovetail.interfaces.errors import SettingsError
from dovetail.plugins.descriptors import BackendSpec
from dovetail.plugins.given import Given
from dovetail.settings.kinds import same_key
from dovetail.settings.layers import Layer

if TYPE_CHECKING:
    from dovetail.plugins.registry import Registry

__all__ = ["Choice", "Claim", "choose", "has_password", "instances"]


def has_password(text: str) -> bool:
    """Whether a URL holds a password."""
    return "@" in text and re.search(r"://[^/@\s]*:[^/@\s]*@", text) is not None


class Claim:
    """What one place says about a kind: a name, options for it, or both."""

    __slots__ = ("name", "options", "source")

    def __init__(self, name: str | None, source: str, options: Mapping[str, Given] | None = None) -> None:
        self.name = name
        """Instance, backend or URL; None: options only."""
        self.source = source
        """Where it was written."""
        self.options = options or {}
        """Options that hold when this claim's name, or any where it has none, is chosen."""


class Choice:
    """A resolved name, before its settings are checked."""

    __slots__ = ("given", "instance", "kind", "overridden", "spec")

    def __init__(
        self,
        kind: str,
        instance: str,
        spec: BackendSpec,
        given: Mapping[str, Given],
        overridden: Mapping[str, tuple[Given, ...]],
    ) -> None:
        self.kind = kind
        """`datastore`, `metadata`, `compute` or `environment`."""
        self.instance = instance
        """Name of the instance."""
        self.spec = spec
        """The backend."""
        self.given = given
        """Key → winning value; `use` is always there."""
        self.overridden = overridden
        """Key → values that lost, the strongest first."""


def choose(kind: str, claims: Sequence[Claim], layers: Sequence[Layer], registry: Registry, *, asker: str) -> Choice:
    """Take the first name that is claimed, and gather its options: claims before layers, high to low.

    Raises:
        PluginError: Nothing usable provides the name.
        SettingsError: The name is a URL that can't be used.
    """
    named = [claim for claim in claims if claim.name is not None]
    claim = named[0]
    name = claim.name or ""
    given: dict[str, Given] = {}
    overridden: dict[str, list[Given]] = {}

    def offer(key: str, value: Given) -> None:
        key = key.replace("-", "_")
        if key in given:
            overridden.setdefault(key, []).append(value)
        else:
            given[key] = value

    for other in claims:
        if other.name is None or same_key(other.name, name):
            for key, value in other.options.items():
                offer(key, value)
    instance, spec = _resolve(kind, name, claim, layers, registry, asker)
    if "://" in name:
        given["target"] = Given(name, claim.source)
    for layer in layers:
        for key, value in layer.values(kind, instance):
            if not same_key(key, "use"):
                offer(key, value)
    for other in named[1:]:
        if not same_key(other.name or "", name) and other.source != "default":
            overridden.setdefault("use", []).append(Given(other.name, other.source))
    given["use"] = Given(spec.name, claim.source)
    lost = {key: tuple(values) for key, values in overridden.items()}
    return Choice(kind, instance, spec, given, lost)


def _resolve(
    kind: str, name: str, claim: Claim, layers: Sequence[Layer], registry: Registry, asker: str
) -> tuple[str, BackendSpec]:
    if "://" in name:
        if has_password(name):
            raise SettingsError(
                f"{claim.source}: a URL must not hold a password",
                hint="Configure an instance whose secret is a reference, and choose it by name.",
            )
        if kind != "datastore":
            raise SettingsError(
                f"{claim.source}: a {kind} is chosen by name, not by URL",
                hint=f"[tool.dovetail.{kind}.NAME] with use = and target =",
            )
        spec: Any = registry.datastore_for_url(name)
        return spec.name, spec
    backend = name
    for layer in layers:
        table = layer.table(kind)
        match = next((key for key, value in table.items() if same_key(key, name) and isinstance(value, Mapping)), None)
        if match is not None:
            use = layer.get(kind, match, "use")
            name = match if not layer.text else name
            if use is not None:
                backend = str(use.value)
                asker = f"{kind} instance {name!r} ({use.source})"
                break
    if backend != name:
        spec = registry.spec(kind, backend, asker=asker)
    else:
        spec = _backend_of(kind, name, layers, registry, asker or claim.source)
    assert isinstance(spec, BackendSpec)
    return name, spec


def _backend_of(kind: str, name: str, layers: Sequence[Layer], registry: Registry, asker: str) -> Any:
    """The backend of a name that no instance has; near names of instances are suggested too."""
    from dovetail.interfaces.errors import PluginNotFoundError

    try:
        return registry.spec(kind, name, asker=asker)
    except PluginNotFoundError:
        from dovetail.plugins.suggest import nearest

        near = nearest(name, instances(kind, layers))
        if near is None or same_key(near, name):
            raise
        raise PluginNotFoundError(
            f"{asker} asks for {kind} {name!r}, which is neither an instance nor a backend",
            hint=f"Did you mean {near!r}?",
        ) from None


def instances(kind: str, layers: Iterable[Layer]) -> list[str]:
    """Names of configured instances of a kind, files before environment variables, each once."""
    found: list[str] = []
    for layer in sorted(layers, key=lambda layer: layer.text):
        for key, value in layer.table(kind).items():
            if isinstance(value, Mapping) and not any(same_key(key, name) for name in found):
                found.append(key if not layer.text else key.replace("_", "-"))
    return found
