"""`from dovetail import kubernetes`: decorators that installed plugins export."""

from __future__ import annotations

from typing import Any

__all__ = ["plugin_decorator"]


def plugin_decorator(name: str) -> Any:
    """The decorator of a plugin.

    Raises:
        AttributeError: Nothing has the name.
        ImportError: A plugin has it that is not installed, blocked or can't be used; the message says what to do.
    """
    from dovetail.interfaces.errors import PluginError
    from dovetail.settings.exported import exported

    try:
        return exported(name)
    except PluginError as error:
        if isinstance(error, ImportError):
            raise
        raise ImportError(str(error)) from error
    except AttributeError as error:
        import dovetail
        from dovetail.authoring.suggest import did_you_mean

        hint = did_you_mean(name, dovetail.__all__)
        raise AttributeError(f"{error}." + (f" {hint}" if hint else "")) from None
