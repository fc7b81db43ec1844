"""Layer three: import what a descriptor names, when it is first chosen."""

from __future__ import annotations

from typing import Any

from dovetail.interfaces.errors import PluginContractError, PluginLoadError
from dovetail.plugins.descriptors import Spec

__all__ = ["import_object", "load", "missing_imports", "missing_message"]

_BASES = {
    "datastore": "dovetail.interfaces.datastore:DataStore",
    "metadata": "dovetail.interfaces.metadata:MetadataProvider",
    "compute": "dovetail.interfaces.compute:ComputeBackend",
    "environment": "dovetail.interfaces.environment:EnvironmentBuilder",
    "secrets": "dovetail.plugins.secrets:SecretsProvider",
    "serializer": "dovetail.interfaces.artifacts:Serializer",
}


def import_object(target: str) -> Any:
    """What `module:name` names, `name` possibly dotted; the module itself without a name."""
    from importlib import import_module

    module, _, path = target.partition(":")
    found: Any = import_module(module)
    for name in filter(None, path.split(".")):
        found = getattr(found, name)
    return found


def missing_imports(spec: Spec) -> list[str]:
    """Import names that the descriptor requires and that are not installed. Imports none of them."""
    if not spec.requires:
        return []
    from importlib.util import find_spec

    missing = []
    for name in spec.requires:
        try:
            if find_spec(name) is None:
                missing.append(name)
        except (ImportError, ValueError):  # A parent package is missing, or a half-loaded module has no spec.
            missing.append(name)
    return missing


def missing_message(spec: Spec, missing: list[str]) -> str:
    """What is missing, and the command that installs it."""
    hint = f": {spec.install_hint}" if spec.install_hint else ""
    return f"needs {', '.join(missing)}{hint}"


def load(spec: Spec) -> Any:
    """Import the factory of a descriptor; see `Registry.load`."""
    if missing := missing_imports(spec):
        raise PluginLoadError(
            f"{spec.kind} {spec.name!r} needs {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} "
            "not installed",
            hint=spec.install_hint or f"pip install {' '.join(missing)}",
        )
    try:
        found = import_object(spec.factory)
    except AttributeError as error:
        raise PluginContractError(f"{spec.kind} {spec.name!r}: there is no {spec.factory}: {error}") from error
    except Exception as error:
        raise PluginLoadError(
            f"{spec.kind} {spec.name!r} can't be imported from {spec.factory}: {type(error).__name__}: {error}",
            hint=spec.install_hint,
        ) from error
    base = _BASES.get(spec.kind)
    if base is not None:
        wanted = import_object(base)
        if not (isinstance(found, type) and issubclass(found, wanted)):
            raise PluginContractError(f"{spec.kind} {spec.name!r}: {spec.factory} is not a subclass of {base}")
    return found
