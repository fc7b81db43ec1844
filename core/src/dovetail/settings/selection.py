"""Which backend a run or step uses, with which settings, and where each value came from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dovetail.interfaces.errors import SettingsError
from dovetail.plugins.descriptors import BackendSpec
from dovetail.plugins.schema import Given, build, problems_of, to_plain
from dovetail.settings.layers import Layer, same_key

if TYPE_CHECKING:
    from dovetail.plugins.registry import Registry

__all__ = ["COMMON_KEYS", "DEFAULTS", "Choice", "Claim", "Selection", "choose"]

DEFAULTS = {"datastore": "local", "metadata": "sqlite", "compute": "local", "environment": "host"}
"""The embedded default of each kind."""
COMMON_KEYS = ("use", "target", "retries", "rate_limit")
"""Keys that every instance has: the backend, its place, further tries of a call, calls a second."""
_CREDENTIALS = re.compile(r"://[^/@\s]*:[^/@\s]*@")


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """A chosen backend instance. Holds references to secrets, never their values."""

    kind: str
    """`datastore`, `metadata`, `compute` or `environment`."""
    instance: str
    """Name of the instance; the backend's own where none is configured."""
    backend: str
    """Name of the backend."""
    target: str = ""
    """Path, URL, queue or whatever else the backend opens; empty: its default."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Every setting of the backend, defaults included, as JSON-able data."""
    retries: int | None = None
    """Further tries of a throttled call; None: the guard's default."""
    rate_limit: float | None = None
    """Calls a second; None: no limit."""
    sources: Mapping[str, str] = field(default_factory=dict)
    """Key → where its value came from; `use` tells who chose the backend."""

    def to_plain(self) -> dict[str, Any]:
        """What a run pins and `open_backend` opens. JSON-able, without credentials."""
        plain: dict[str, Any] = {"instance": self.instance, "backend": self.backend, "target": self.target}
        plain["settings"] = dict(self.settings)
        if self.retries is not None:
            plain["retries"] = self.retries
        if self.rate_limit is not None:
            plain["rate_limit"] = self.rate_limit
        return plain

    @classmethod
    def from_plain(cls, kind: str, data: Mapping[str, Any]) -> Selection:
        """The inverse of `to_plain`; `sources` are lost."""
        return cls(
            kind=kind,
            instance=data.get("instance") or data["backend"],
            backend=data["backend"],
            target=data.get("target", ""),
            settings=data.get("settings", {}),
            retries=data.get("retries"),
            rate_limit=data.get("rate_limit"),
        )

    def same(self, other: Selection) -> bool:
        """Whether one opened backend serves both."""
        return self.kind == other.kind and self.to_plain() == other.to_plain()


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What one place says about a kind: a name, options for it, or both."""

    name: str | None = None
    """Instance, backend or URL; None: options only."""
    options: Mapping[str, Given] = field(default_factory=dict)
    """Options that hold when this claim's name, or any where it has none, is chosen."""
    source: str = ""
    """Where it was written."""
    base: Path | None = None
    """Folder that a relative path starts from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A resolved name, before its settings are checked."""

    selection_kind: str
    instance: str
    spec: BackendSpec
    given: Mapping[str, Given]
    """Key → winning value; `use` is always there."""
    overridden: Mapping[str, tuple[Given, ...]]
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
        if not same_key(other.name or "", name):
            overridden.setdefault("use", []).append(Given(other.name, other.source))
    given["use"] = Given(spec.name, claim.source)
    lost = {key: tuple(values) for key, values in overridden.items()}
    return Choice(selection_kind=kind, instance=instance, spec=spec, given=given, overridden=lost)


def _resolve(
    kind: str, name: str, claim: Claim, layers: Sequence[Layer], registry: Registry, asker: str
) -> tuple[str, BackendSpec]:
    if "://" in name:
        if _CREDENTIALS.search(name):
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


def select(choice: Choice, schema: type | None, *, cwd: Path, ignore: Iterable[str] = ()) -> Selection:
    """Check a choice against the backend's settings class.

    Raises:
        SettingsError: Naming everything that is wrong at once.
    """
    kind, spec = choice.selection_kind, choice.spec
    where = f"{kind} {choice.instance!r}"
    ignored = set(ignore)
    common = {key: value for key, value in choice.given.items() if key in COMMON_KEYS}
    own = {key: value for key, value in choice.given.items() if key not in COMMON_KEYS and key not in ignored}
    problems: list[str] = []
    settings: Mapping[str, Any] = {}
    if schema is None:
        problems += problems_of(None, own, where=where)
    else:
        problems += problems_of(schema, own, where=where)
        if not problems:
            settings = to_plain(build(schema, own, where=where))
    target = _target(common.get("target"), spec, kind, cwd, problems, where)
    retries = _number(common.get("retries"), int, "retries", where, problems)
    rate_limit = _number(common.get("rate_limit"), float, "rate_limit", where, problems)
    if problems:
        raise SettingsError("\n  ".join((*(("several settings are wrong:",) if len(problems) > 1 else ()), *problems)))
    sources = {key: value.source for key, value in (*common.items(), *own.items())}
    sources |= {key: "default" for key in settings if key not in sources}
    return Selection(
        kind=kind,
        instance=choice.instance,
        backend=spec.name,
        target=target,
        settings=settings,
        retries=retries,
        rate_limit=rate_limit,
        sources=sources,
    )


def _target(given: Given | None, spec: BackendSpec, kind: str, cwd: Path, problems: list[str], where: str) -> str:
    if given is None:
        return ""
    if not isinstance(given.value, str):
        problems.append(f"{where}: target must be text ({given.source})")
        return ""
    target = given.value
    if _CREDENTIALS.search(target):
        problems.append(f"{where}: target must not hold a password ({given.source}); use a setting that is a secret")
        return ""
    # What works on this machine takes a path; a queue or a DSN of others is left as it is.
    if spec.guard or kind not in ("datastore", "metadata") or "://" in target or not target:
        return target
    return str((given.base or cwd) / Path(target).expanduser())


def _number(given: Given | None, wanted: type, key: str, where: str, problems: list[str]) -> Any:
    if given is None:
        return None
    from dovetail.plugins.coercion import Mismatch, coerce

    try:
        number = coerce(given.value, wanted, text=given.text)
    except Mismatch as mismatch:
        problems.append(f"{where}: {key} {mismatch} ({given.source})")
        return None
    if number < 0 or (key == "rate_limit" and not number):
        problems.append(f"{where}: {key} must be more than 0 ({given.source})")
    return number
