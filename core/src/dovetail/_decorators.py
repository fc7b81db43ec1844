"""`from dovetail import kubernetes`: decorators that installed plugins export."""

from __future__ import annotations

from typing import Any

__all__ = ["plugin_decorator"]


def plugin_decorator(name: str) -> Any:
    """The decorator of a plugin.

    Raises:
        AttributeError: Nothing has the name.
        ImportError: A plugin that is not installed, or can't be used, has it; the message says how to get it.
    """
    from dovetail.interfaces.errors import PluginError, PluginNotFoundError
    from dovetail.plugins.known import install_command
    from dovetail.plugins.registry import registry

    plugins = registry()
    try:
        for kind in ("step-decorator", "flow-decorator"):
            spec = plugins.find(kind, name)
            if spec is not None:
                return plugins.load(spec)
    except PluginNotFoundError:
        pass
    except PluginError as error:
        raise ImportError(str(error)) from error
    command = install_command(name)
    if command is not None:
        raise ImportError(f"dovetail has no {name!r}: it comes with a plugin that is not installed. Run: {command}")
    import dovetail
    from dovetail.authoring.suggest import did_you_mean

    hint = did_you_mean(name, dovetail.__all__)
    raise AttributeError(f"module 'dovetail' has no attribute {name!r}." + (f" {hint}" if hint else ""))
