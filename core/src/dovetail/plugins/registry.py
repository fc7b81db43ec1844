"""The registry: what is installed, by kind and name, and the way to a backend's class.

Built-in names are reserved, so choosing one needs no look at what else is installed; anything else makes the
registry discover plugins, once. A run that uses the embedded defaults alone imports neither `importlib.metadata`
nor pluggy.
"""

from __future__ import annotations

from _thread import RLock  # not `threading`, see `dovetail.worker.forking.preload`
from typing import TYPE_CHECKING, Any, overload

from dovetail.interfaces.errors import PluginConflictError, PluginError, PluginLoadError, PluginNotFoundError
from dovetail.plugins.descriptors import (
    BackendSpec,
    ComputeBackendSpec,
    DataStoreSpec,
    EnvironmentBuilderSpec,
    MetadataProviderSpec,
    SecretsProviderSpec,
    Spec,
)
from dovetail.plugins.loaded import Plugin
from dovetail.plugins.rules import PluginRules

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pluggy import PluginManager

    from dovetail.interfaces.artifacts import Serializer
    from dovetail.interfaces.compute import ComputeBackend
    from dovetail.interfaces.datastore import DataStore
    from dovetail.interfaces.environment import EnvironmentBuilder
    from dovetail.interfaces.flow import StepDescription
    from dovetail.interfaces.metadata import MetadataProvider
    from dovetail.plugins.child import ChildHooks
    from dovetail.plugins.events import EventHooks
    from dovetail.plugins.observed import RunInfo
    from dovetail.plugins.records import Offer, PluginRecord
    from dovetail.plugins.secrets import SecretsProvider

__all__ = ["Registry", "registry"]

_BUILTIN = ("local", "dovetail.local.plugin")


class Registry:
    """What the embedded defaults and the installed plugins provide. Thread-safe."""

    def __init__(self, rules: PluginRules | None = None) -> None:
        self.rules = rules or PluginRules()
        """Which plugins are used."""
        self._lock = RLock()
        self._builtin: Plugin | None = None
        self._plugins: list[Plugin] | None = None
        self._manager: PluginManager | None = None

    # -- what there is ---------------------------------------------------------------------------------------

    def spec(self, kind: str, name: str, *, asker: str = "") -> Spec:
        """The descriptor of a name.

        Args:
            kind: `datastore`, `metadata`, `compute`, `environment`, `secrets`, `serializer`, `step-decorator`,
                `flow-decorator`, `command` or `health-check`.
            name: Its name.
            asker: Who wants it, for the message: `step 'train'`.

        Raises:
            PluginNotFoundError: Nothing provides it; suggests near names, or the plugin to install.
            PluginConflictError: Several plugins offer it and no override chooses.
            PluginBlockedError, PluginIncompatibleError, PluginLoadError: A plugin that seems to provide it can't
                be used.
        """
        chosen = self.rules.override.get(f"{kind}:{name}")
        own = next((spec for spec in self._built_in().specs if spec.kind == kind and spec.name == name), None)
        if own is not None and chosen in (None, "dovetail"):
            return own
        offers = [
            (plugin, spec)
            for plugin in self._third()
            for spec in plugin.specs
            if (spec.kind, spec.name) == (kind, name)
        ]
        if chosen is not None:
            offers = [pair for pair in offers if pair[0].called(chosen)]
            if not offers:
                raise PluginConflictError(
                    f'plugins.override says "{kind}:{name}" = "{chosen}", but no plugin {chosen!r} in use offers it',
                    hint="dovetail plugins list shows what is installed.",
                )
        if len(offers) == 1:
            return offers[0][1]
        from dovetail.plugins import absent

        if offers:
            raise absent.conflict(kind, name, offers)
        raise absent.not_found(self, self._third(), kind, name, asker)

    def datastore(self, name: str) -> DataStoreSpec:
        """Descriptor of a data store; see `spec`."""
        spec = self.spec("datastore", name)
        assert isinstance(spec, DataStoreSpec)
        return spec

    def metadata(self, name: str) -> MetadataProviderSpec:
        """Descriptor of a metadata provider; see `spec`."""
        spec = self.spec("metadata", name)
        assert isinstance(spec, MetadataProviderSpec)
        return spec

    def compute(self, name: str) -> ComputeBackendSpec:
        """Descriptor of a compute backend; see `spec`."""
        spec = self.spec("compute", name)
        assert isinstance(spec, ComputeBackendSpec)
        return spec

    def environment(self, name: str) -> EnvironmentBuilderSpec:
        """Descriptor of an environment builder; see `spec`."""
        spec = self.spec("environment", name)
        assert isinstance(spec, EnvironmentBuilderSpec)
        return spec

    def datastore_for_url(self, url: str) -> DataStoreSpec:
        """The data store that a URL's scheme selects; errors as in `spec`."""
        scheme = url.partition("://")[0].lower()
        chosen = self.rules.override.get(f"scheme:{scheme}")
        for spec in self._built_in().specs:
            if isinstance(spec, DataStoreSpec) and scheme in spec.schemes and chosen in (None, "dovetail"):
                return spec
        offers = [
            (plugin, spec)
            for plugin in self._third()
            for spec in plugin.specs
            if isinstance(spec, DataStoreSpec) and scheme in spec.schemes and (chosen is None or plugin.called(chosen))
        ]
        if len({(spec.name, id(plugin)) for plugin, spec in offers}) == 1:
            return offers[0][1]
        from dovetail.plugins import absent

        if offers:
            raise absent.scheme_conflict(scheme, offers)
        raise absent.not_found(self, self._third(), "datastore", scheme, "", url=True)

    def find(self, kind: str, name: str) -> Spec | None:
        """As `spec`, but None where nothing provides the name; conflicts and broken plugins still raise."""
        try:
            return self.spec(kind, name)
        except PluginNotFoundError:
            return None

    def specs(self, kind: str) -> list[Spec]:
        """Descriptors of a kind that can be chosen by name, built-in ones first, then by name."""
        found: dict[str, Spec] = {spec.name: spec for spec in self._built_in().specs if spec.kind == kind}
        names = sorted({spec.name for plugin in self._third() for spec in plugin.specs if spec.kind == kind})
        for name in names:
            try:
                found[name] = self.spec(kind, name)
            except PluginError:
                continue  # A conflict is an error for whoever chooses the name, not for a listing.
        return list(found.values())

    def names(self, kind: str) -> list[str]:
        """Names of a kind."""
        return [spec.name for spec in self.specs(kind)]

    def records(self) -> list[PluginRecord]:
        """Every installed plugin, usable or not, the embedded defaults first. Always looks afresh at what is
        installed, past the cache, and imports no backend."""
        from dovetail.plugins.listing import records

        if not self._plugins:
            with self._lock:
                self._discover(certain=True)
        return records(self._built_in(), self._third(), self.rules)

    def offers(self, kind: str) -> list[tuple[PluginRecord, Offer]]:
        """Everything of a kind, also what can't be used, for listings."""
        return [(record, offer) for record in self.records() for offer in record.offers if offer.spec.kind == kind]

    @property
    def has_plugins(self) -> bool:
        """Whether any third-party plugin is in use."""
        return bool(self._third())

    def closure(self, chosen: Iterable[tuple[str, str]]) -> dict[str, Any]:
        """What a run pins of the plugins that take part in it; see `dovetail.plugins.closure`.

        Args:
            chosen: (kind, name) of what it has chosen.
        """
        from dovetail.plugins.closure import closure

        specs = [self.find(kind, name) for kind, name in chosen]
        return closure(self._third(), [spec for spec in specs if spec is not None])

    # -- classes ---------------------------------------------------------------------------------------------

    @overload
    def load(self, spec: DataStoreSpec) -> type[DataStore]: ...
    @overload
    def load(self, spec: MetadataProviderSpec) -> type[MetadataProvider]: ...
    @overload
    def load(self, spec: ComputeBackendSpec) -> type[ComputeBackend]: ...
    @overload
    def load(self, spec: EnvironmentBuilderSpec) -> type[EnvironmentBuilder]: ...
    @overload
    def load(self, spec: SecretsProviderSpec) -> type[SecretsProvider]: ...
    @overload
    def load(self, spec: BackendSpec) -> type[Any]: ...
    @overload
    def load(self, spec: Spec) -> Any: ...

    def load(self, spec: Spec) -> Any:
        """Import what a descriptor's factory names: for backends the class.

        Raises:
            PluginLoadError: It can't be imported, or something that it requires is not installed.
            PluginContractError: It is not what its kind demands.
        """
        from dovetail.plugins.loading import load

        return load(spec)

    # -- hooks other than registration ------------------------------------------------------------------------

    def serializers(self) -> list[Serializer]:
        """Serializers of plugins, each imported when a value of one of its types appears; [] without plugins.

        The embedded ones are not among them: every process has these.
        """
        from dovetail.plugins.serializers import deferred

        return deferred(self._plugin_serializers()) if self._third() else []

    def _plugin_serializers(self) -> list[Spec]:
        own = self._built_in().specs
        return [spec for spec in self.specs("serializer") if spec not in own]

    def event_hooks(self, run: RunInfo) -> EventHooks | None:
        """What tells observers of a run's events, or None when no plugin observes."""
        observers = self._implementations("dovetail_run_started", "dovetail_run_finished") + self._implementations(
            "dovetail_task_started", "dovetail_task_finished"
        )
        if not observers:
            return None
        from dovetail.plugins.events import EventHooks

        return EventHooks(run, observers)

    def route(self, kind: str, flow: str, step: StepDescription, default: str) -> tuple[str, str] | None:
        """What `dovetail_route_step` of plugins chooses for a step: (name, plugin that chose), or None.

        Raises:
            PluginLoadError: An implementation failed. Unlike an observer's failure this is fatal: the step might
                otherwise run where it must not.
        """
        arguments = {"kind": kind, "flow": flow, "step": step, "default": default}
        for plugin, _, function, names in self._implementations("dovetail_route_step"):
            try:
                choice = function(**{name: arguments[name] for name in names})
            except Exception as error:
                raise PluginLoadError(
                    f"{plugin}: dovetail_route_step failed for step {step.name!r}: {type(error).__name__}: {error}",
                    hint=f'Mend the plugin, or leave it out: [tool.dovetail.plugins] block = ["{plugin}"]',
                ) from error
            if choice is not None:
                return str(choice), plugin
        return None

    def child_hooks(self, *, own_environment: bool = False) -> ChildHooks:
        """Wrappers and serializers that tasks need, as data for the processes that run them.

        Args:
            own_environment: Whether the tasks run in an environment of their own, where only what is declared
                `in_child=True` can go along; `left_out` names the rest.
        """
        from dovetail.plugins.child import ChildHooks

        if not self._third():
            return ChildHooks()
        serializers = self._plugin_serializers()
        return ChildHooks.choose(self._implementations("dovetail_execute_task"), serializers, own_environment)

    # -- loading ----------------------------------------------------------------------------------------------

    def _built_in(self) -> Plugin:
        if self._builtin is None:
            from dovetail.plugins.manifest import load_builtin

            with self._lock:
                entry, target = _BUILTIN
                plugin = Plugin(entry=entry, target=target, dist="dovetail", version="", status="built-in")
                load_builtin(plugin)
                self._builtin = plugin
        return self._builtin

    def _third(self) -> list[Plugin]:
        """Third-party plugins, with the manifests of the usable ones imported."""
        if self._plugins is None:
            with self._lock:
                if self._plugins is None:
                    self._discover(certain=False)
        assert self._plugins is not None
        return self._plugins

    def _discover(self, *, certain: bool) -> None:
        if not certain:
            from dovetail.plugins.scan import may_have_plugins

            if self.rules.mode == "off" or not may_have_plugins():
                self._plugins = []
                return
        from dovetail.plugins.discovery import discover

        plugins = discover(self.rules)
        if any(plugin.status == "ready" for plugin in plugins):
            from dovetail.plugins.manifest import load_manifest, new_manager

            self._manager = new_manager()
            for plugin in plugins:
                if plugin.status == "ready":
                    load_manifest(plugin, self._manager)
        self._plugins = plugins

    def _implementations(self, *hooks: str) -> list[tuple[str, str, Any, tuple[str, ...]]]:
        """(distribution, hook, function, names of its arguments) in the order in which pluggy calls them."""
        if not self._third() or self._manager is None:
            return []
        dists = {f"{plugin.dist}:{plugin.entry}": plugin.dist for plugin in self._third()}
        found: list[tuple[str, str, Any, tuple[str, ...]]] = []
        for hook in hooks:
            impls = reversed(getattr(self._manager.hook, hook).get_hookimpls())
            found += [(dists[impl.plugin_name], hook, impl.function, tuple(impl.argnames)) for impl in impls]
        return found


_current: Registry | None = None


def registry(rules: PluginRules | None = None) -> Registry:
    """The registry of this process.

    Args:
        rules: Which plugins are used. Other rules than before make a new registry, which is then the process's.
            None takes the registry that exists, or the rules that a parent process handed on.
    """
    global _current
    if _current is None or (rules is not None and rules != _current.rules):
        _current = Registry(rules if rules is not None else PluginRules.from_env())
    return _current
