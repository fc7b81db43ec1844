"""Layer two: import a manifest, check its hooks, and collect what it offers. Backends stay unimported."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

from dovetail.interfaces.errors import PluginContractError
from dovetail.plugins import hooknames
from dovetail.plugins.descriptors import API, Spec
from dovetail.plugins.loaded import Plugin
from dovetail.plugins.marks import PROJECT

if TYPE_CHECKING:
    from pluggy import PluginManager

__all__ = ["load_builtin", "load_manifest", "new_manager"]

_NAME = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")
_FACTORY = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
_MODULE = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*(?::[A-Za-z_]\w*)?")


def new_manager() -> PluginManager:
    """A plugin manager that knows every hook."""
    import pluggy

    from dovetail.plugins import hookspecs

    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    return manager


def load_builtin(plugin: Plugin) -> None:
    """Collect what an embedded manifest offers: the same hooks, called without pluggy."""
    module = _import(plugin.target)
    hooks = _implementations(module)
    plugin.module = module
    plugin.specs = [spec for hook, call in hooks.items() for spec in _call(hook, call)]


def load_manifest(plugin: Plugin, manager: PluginManager) -> None:
    """Import and register a plugin. Whatever goes wrong is kept in `plugin` and leaves nothing registered."""
    name = f"{plugin.dist}:{plugin.entry}"
    module = None
    try:
        module = _import(plugin.target)
        hooks = _implementations(module)
        _check_hooks(plugin, hooks)
        manager.register(module, name=name)  # Also checks the arguments of each implementation.
        specs = [spec for hook, call in hooks.items() for spec in _call(hook, call)]
        _check_unique(specs)
    except (Exception, SystemExit) as error:
        if module is not None and manager.has_plugin(name):
            manager.unregister(name=name)
        import traceback

        kind = "" if isinstance(error, PluginContractError) else f"{type(error).__name__}: "
        plugin.fail("broken", kind + (str(error).partition("\n")[0] or "no message"), traceback.format_exc())
        return
    newer = [spec for spec in specs if spec.api != API]
    if newer:
        manager.unregister(name=name)
        spec = newer[0]
        plugin.fail("incompatible", f"{spec.kind} {spec.name!r} speaks api {spec.api}, this Dovetail speaks {API}")
        return
    plugin.module, plugin.specs = module, specs
    plugin.hooks = tuple(hook for hook in hooks if hook in _OTHER_HOOKS)


_OTHER_HOOKS = (*hooknames.EVENTS, *hooknames.POLICIES, *hooknames.WRAPPERS)


def _import(target: str) -> ModuleType:
    from importlib import import_module

    module, colon, _ = target.partition(":")
    if colon:
        raise PluginContractError(f"entry point {target!r} must name a module, such as {module!r}")
    return import_module(module.split("[")[0].strip())


def _implementations(module: ModuleType) -> dict[str, Callable[..., Any]]:
    """Hook name → marked function. Functions named as hooks that lack the mark are an error: pluggy would be silent."""
    found: dict[str, Callable[..., Any]] = {}
    for name, value in vars(module).items():
        options = getattr(value, f"{PROJECT}_impl", None) if callable(value) else None
        if isinstance(options, dict):
            found[options.get("specname") or name] = value
        elif name in hooknames.all_hooks() and getattr(value, "__module__", "") == module.__name__:
            raise PluginContractError(f"{name} is not marked: write @hookimpl above it")
    return found


def _check_hooks(plugin: Plugin, hooks: dict[str, Callable[..., Any]]) -> None:
    from dovetail.plugins.suggest import did_you_mean

    for hook, function in hooks.items():
        options = getattr(function, f"{PROJECT}_impl")
        if hook in hooknames.RESERVED:
            plugin.notes.append(f"{hook} is reserved for a later version: nothing calls it yet")
        elif hook not in hooknames.all_hooks():
            if not options.get("optionalhook"):
                raise PluginContractError(
                    " ".join(filter(None, (f"there is no hook {hook}.", did_you_mean(hook, hooknames.all_hooks()))))
                )
        elif hook in hooknames.WRAPPERS and not options.get("wrapper"):
            raise PluginContractError(f"{hook} must be a wrapper: @hookimpl(wrapper=True) and one `yield`")
        elif hook not in hooknames.WRAPPERS and (options.get("wrapper") or options.get("hookwrapper")):
            raise PluginContractError(f"{hook} can't be a wrapper")


def _call(hook: str, function: Callable[..., Any]) -> list[Spec]:
    """What a registration hook returns, checked."""
    kind = hooknames.REGISTRATION.get(hook)
    if kind is None:
        return []
    returned = function()
    try:
        specs = list(returned)
    except TypeError:
        raise PluginContractError(f"{hook} must return descriptors, not {returned!r}") from None
    for spec in specs:
        _check_spec(hook, kind, spec)
    return specs


def _check_spec(hook: str, kind: str, spec: object) -> None:
    if not isinstance(spec, Spec) or spec.kind != kind:
        raise PluginContractError(f"{hook} returned {spec!r}, which is not a descriptor of that hook")
    if not _NAME.fullmatch(spec.name):
        raise PluginContractError(f"{kind} {spec.name!r}: a name is lower-case letters, digits and single hyphens")
    pattern = _MODULE if kind == "command" else _FACTORY
    if not pattern.fullmatch(spec.factory):
        raise PluginContractError(f"{kind} {spec.name!r}: factory {spec.factory!r} is not of the form 'module:name'")


def _check_unique(specs: list[Spec]) -> None:
    seen: set[tuple[str, str]] = set()
    for spec in specs:
        if (spec.kind, spec.name) in seen:
            raise PluginContractError(f"it offers {spec.kind} {spec.name!r} twice")
        seen.add((spec.kind, spec.name))
