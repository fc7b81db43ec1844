"""Open a backend from a pinned choice: plain data, no configuration layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from dovetail.interfaces.context import PluginContext, SecretRef
from dovetail.interfaces.errors import BackendError, DovetailError, PluginNotFoundError, SettingsError
from dovetail.plugins.descriptors import BackendSpec
from dovetail.plugins.loading import import_object
from dovetail.plugins.registry import Registry, registry

__all__ = ["SecretLookup", "open_backend", "settings_class"]


def open_backend(
    kind: str,
    pinned: Mapping[str, Any],
    *,
    home: Path,
    known: Registry | None = None,
    bare: bool = False,
) -> Any:
    """Open the backend that a pinned choice names. For workers, agents and readers of old runs too.

    Args:
        kind: `datastore`, `metadata`, `compute` or `environment`.
        pinned: `backend`, and where they matter `instance`, `target`, `settings`, `retries`, `rate_limit`:
            `Selection.to_plain()`, or what a run pins of a store.
        home: Folder of local state.
        known: Where to look the backend up; the process's registry by default.
        bare: Leave out the guard (retries, rate limit, timing, error mapping).

    Raises:
        PluginError: The backend can't be found or imported.
        SettingsError: The pinned settings don't fit the installed version of the plugin.
    """
    known = known or registry()
    spec = known.spec(kind, str(pinned["backend"]))
    assert isinstance(spec, BackendSpec)
    cls = known.load(spec)
    instance = str(pinned.get("instance") or pinned["backend"])
    settings = _settings(spec, dict(pinned.get("settings") or {}), f"{kind} {instance!r}")
    lookup = SecretLookup(known, home)
    context = PluginContext(instance=instance, home=home, secret=lookup)
    target = str(pinned.get("target") or "")
    if bare or not (spec.guard or _holds_secret(settings)):
        return _open_bare(kind, cls, target, settings, context)
    from dovetail.plugins.guard import GuardPolicy, open_guarded

    policy = GuardPolicy.from_plain(pinned)
    return open_guarded(lambda: cls.open(target, settings, context), spec, instance, policy, lookup.redact)


def _holds_secret(value: Any) -> bool:
    """Whether settings refer to a secret, of which messages must be freed: also those of a backend of this machine."""
    if isinstance(value, SecretRef):
        return True
    if isinstance(value, Mapping):
        return any(map(_holds_secret, value.values()))
    if isinstance(value, (list, tuple)):
        return any(map(_holds_secret, value))
    return any(_holds_secret(getattr(value, name)) for name in getattr(type(value), "__dataclass_fields__", ()))


def _open_bare(kind: str, cls: Any, target: str, settings: Any, context: PluginContext) -> Any:
    """Open without the guard. What a plugin raises unawares still names its backend."""
    try:
        return cls.open(target, settings, context)
    except DovetailError:
        raise
    except Exception as error:
        if cls.__module__.startswith("dovetail."):
            raise
        raise BackendError(f"{kind} {context.instance!r}: open failed: {type(error).__name__}: {error}") from error


def _settings(spec: BackendSpec, values: Mapping[str, Any], where: str) -> Any:
    """The settings object of a backend; None when it has no settings."""
    schema = settings_class(spec)
    if not values and not spec.guard:
        return None if schema is None else schema()  # The embedded defaults, mostly: nothing to check.
    if not values and schema is None:
        return None
    from dovetail.plugins.given import Given
    from dovetail.plugins.schema import build, problems_of

    given = {key: Given(value) for key, value in values.items()}
    if schema is None:
        raise SettingsError(problems_of(None, given, where=where)[0])
    return build(schema, given, where=where)


def settings_class(spec: BackendSpec) -> type | None:
    """The settings class of a backend, imported; None when it has no settings."""
    if spec.settings is None:
        return None
    from dovetail.interfaces.errors import PluginLoadError

    try:
        found = import_object(spec.settings)
    except Exception as error:
        raise PluginLoadError(
            f"{spec.kind} {spec.name!r}: its settings can't be imported from {spec.settings}: "
            f"{type(error).__name__}: {error}"
        ) from error
    assert isinstance(found, type)
    return found


class SecretLookup:
    """Resolves secrets in this process, and knows their values so that messages can be freed of them."""

    def __init__(self, known: Registry, home: Path) -> None:
        self._known = known
        self._home = home
        self._values: set[str] = set()
        self._providers: dict[str, Callable[[str], str]] = {}

    def __call__(self, ref: SecretRef) -> str:
        """The value of a secret.

        Raises:
            NotFoundError: There is no such secret.
            PluginNotFoundError: Nothing provides `ref.provider`.
        """
        get = self._providers.get(ref.provider)
        if get is None:
            get = self._providers[ref.provider] = self._open(ref.provider)
        value = get(ref.id)
        if value:
            self._values.add(value)
        return value

    def _open(self, provider: str) -> Callable[[str], str]:
        # The id is left out of errors here: a value pasted in place of a reference may look like one.
        spec = self._known.spec("secrets", provider, asker="a setting")
        if not isinstance(spec, BackendSpec):
            raise PluginNotFoundError(f"{provider!r} is not a secrets provider")
        cls = self._known.load(spec)
        settings = _settings(spec, {}, f"secrets {provider!r}")
        opened = cls.open("", settings, PluginContext(instance=provider, home=self._home))
        get: Callable[[str], str] = opened.get
        return get

    def redact(self, text: str) -> str:
        """A text without the values that were looked up."""
        # A shorter one would maul every message, and is no secret.
        spellings = {spelling for value in self._values if len(value) >= 4 for spelling in _spellings(value)}
        for spelling in sorted(spellings, key=len, reverse=True):
            text = text.replace(spelling, "***")
        return text


def _spellings(value: str) -> Iterator[str]:
    """A value as messages may hold it: as it is, in a `repr`, in JSON, in a URL."""
    from json import dumps
    from urllib.parse import quote, quote_plus

    yield value
    yield repr(value)[1:-1]
    yield dumps(value)[1:-1]
    for safe in ("", "/"):
        yield quote(value, safe=safe)
        yield quote_plus(value, safe=safe)
