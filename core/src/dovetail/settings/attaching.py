"""`--with` of the command line: attaches a decorator to every step that has none of its kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dovetail.interfaces.errors import DovetailError, PluginNotFoundError, SettingsError, UnknownNameError
from dovetail.interfaces.flow import DecoratorUse
from dovetail.plugins.extensions import DecoratorSpec
from dovetail.plugins.known import KNOWN, install_command
from dovetail.plugins.suggest import nearest
from dovetail.settings.choice import instances
from dovetail.settings.kinds import POLICY_KINDS, same_key

if TYPE_CHECKING:
    from dovetail.plugins.registry import Registry
    from dovetail.settings.layers import Layer

__all__ = ["attach", "split_options"]

_CHOOSING = ("compute", "environment", "datastore")
"""Kinds whose names may be given alone, the first that has the name winning."""


def attach(text: str, registry: Registry, layers: Sequence[Layer]) -> DecoratorUse:
    """A `--with` argument as a decorator; `is_text` knows it by its source.

    Args:
        text: `KIND[:key=value,...]`, `compute:NAME[,key=value,...]`, or the name of a plugin's decorator, an instance
            or a backend.
        registry: What is installed.
        layers: Where instances are configured.

    Raises:
        UsageError, PluginError: It means nothing.
    """
    name, options, bare = _parse(text)
    plain = name.replace("-", "_")
    if plain in _CHOOSING:
        chosen = bare or options.pop("name", "")
        if not chosen:
            raise SettingsError(f"--with {text}: which {plain}?", hint=f"Write --with {plain}:NAME")
        return _use(plain, chosen, options, text)
    if plain == "limit" and bare:
        options, bare = {bare: "1", **options}, ""
    if bare:
        raise SettingsError(f"--with {text}: {bare!r} is not of the form key=value")
    if plain in POLICY_KINDS:
        return _use(plain, plain, options, text)
    decorator = registry.find("step-decorator", name) or registry.find("flow-decorator", name)
    if isinstance(decorator, DecoratorSpec):
        backend = (decorator.backend or decorator.name) if decorator.chooses else decorator.name
        return _use(decorator.chooses or decorator.name, backend, options, text)
    for kind in _CHOOSING:
        if any(same_key(name, known) for known in instances(kind, layers)) or registry.find(kind, name):
            return _use(kind, name, options, text)
    raise _unknown(name, text, registry, layers)


def _use(kind: str, name: str, options: dict[str, Any], text: str) -> DecoratorUse:
    return DecoratorUse(kind=kind, name=name, options=options, source=f"--with {text}")


def _unknown(name: str, text: str, registry: Registry, layers: Sequence[Layer]) -> DovetailError:
    if command := install_command(name):
        return PluginNotFoundError(f"--with {text}: {name!r} is not installed", hint=command)
    known = {*POLICY_KINDS, *registry.names("step-decorator"), *registry.names("flow-decorator"), *KNOWN}
    for kind in _CHOOSING:
        known |= {kind, *instances(kind, layers), *registry.names(kind)}
    near = nearest(name, known)
    hint = f"Did you mean {near!r}?" if near else "dovetail plugins list shows what there is."
    return UnknownNameError(f"--with {text}: there is no decorator or backend {name!r}", hint=hint)


def _parse(text: str) -> tuple[str, dict[str, Any], str]:
    """`NAME[:key=value,...]` as name, options, and a first bare word (`compute:kubernetes,cpu=4`)."""
    name, _, rest = text.partition(":")
    options: dict[str, Any] = {}
    bare = ""
    for number, part in enumerate(split_options(rest)):
        key, equals, value = part.partition("=")
        if equals and key.strip():
            options[key.strip()] = value.strip()
        elif number == 0 and part.strip():
            bare = part.strip()
        else:
            raise SettingsError(f"--with {text}: {part!r} is not of the form key=value")
    if not name.strip():
        raise SettingsError(f"--with {text}: the name is missing", hint="Write --with retry:times=2")
    return name.strip(), options, bare


def split_options(text: str) -> list[str]:
    """Parts between commas, those inside brackets and quotes left alone."""
    parts: list[str] = []
    depth, quote, begin = 0, "", 0
    for place, char in enumerate(text):
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char in "[{(":
            depth += 1
        elif char in ")}]":
            depth -= 1
        elif char == "," and depth == 0:
            parts.append(text[begin:place])
            begin = place + 1
    parts.append(text[begin:])
    return [part for part in parts if part.strip()]
