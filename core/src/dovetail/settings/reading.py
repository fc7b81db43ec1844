"""Core settings from the layers, and the rules about which layer may say what about plugins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from dovetail.interfaces.errors import SettingsError
from dovetail.plugins.given import Given
from dovetail.plugins.rules import PluginRules, normalised
from dovetail.settings.core import ArtifactSettings, CoreSettings, TagSettings
from dovetail.settings.kinds import KINDS, POLICY_KINDS, same_key
from dovetail.settings.layers import Layer

__all__ = ["SECTIONS", "read_core"]

_TABLES: dict[str, type] = {"tags": TagSettings, "artifacts": ArtifactSettings, "plugins": PluginRules}
_CONFIGURABLE = tuple(kind for kind in POLICY_KINDS if kind not in ("catch", "limit"))
_PLAIN = tuple(field.name for field in fields(CoreSettings) if field.name not in _TABLES)
SECTIONS = (*_PLAIN, *_TABLES, *KINDS, *_CONFIGURABLE)
"""First parts of the names of settings."""
_STRICTNESS = ("auto", "allow-list", "off")


def read_core(
    layers: Sequence[Layer], env: Mapping[str, str], *, plugins: bool = True, problems: Sequence[str] = ()
) -> tuple[CoreSettings, dict[str, str]]:
    """Core settings and where each came from.

    Raises:
        SettingsError: Naming everything that is wrong, `problems` included.
    """
    if not layers and not problems and plugins and not env.get("DOVETAIL_PLUGINS"):
        return CoreSettings(), {}
    from dovetail.plugins.schema import build, problems_of

    wrong = [*problems, *(text for layer in layers for text in _shape(layer))]
    sources: dict[str, str] = {}
    values: dict[str, Given] = {}
    for name in _PLAIN:
        found = next((given for layer in layers if (given := layer.get(name)) is not None), None)
        if found is not None:
            values[name] = found
            sources[name] = found.source
    wrong += problems_of(CoreSettings, values, where="[tool.dovetail]")
    tags = _first(layers, "tags", sources)
    wrong += problems_of(TagSettings, tags, where="[tool.dovetail.tags]")
    artifacts = _artifacts(layers, sources)
    wrong += problems_of(ArtifactSettings, artifacts, where="[tool.dovetail.artifacts]")
    rules, rule_problems = _rules(layers, env, plugins, sources)
    wrong += rule_problems
    if wrong:
        head = (f"{len(wrong)} settings are wrong:",) if len(wrong) > 1 else ()
        raise SettingsError("\n  ".join((*head, *wrong)))
    built = build(CoreSettings, values, where="settings")
    extra: dict[str, Any] = {
        "tags": build(TagSettings, tags, where="tags"),
        "artifacts": build(ArtifactSettings, artifacts, where="artifacts"),
        "plugins": rules,
    }
    return CoreSettings(**{name: getattr(built, name) for name in _PLAIN}, **extra), sources


def _shape(layer: Layer) -> list[str]:
    """Unknown sections, and tables where there must be none."""
    wrong = []
    for key, value in layer.tree.items():
        section = next((name for name in SECTIONS if same_key(name, key)), None)
        where = layer.given(value, key).source
        if section is None:
            from dovetail.plugins.suggest import did_you_mean

            where = next((text for path, text in layer.sources.items() if path[0] == key), where)
            hint = did_you_mean(key, SECTIONS) or f"There are: {', '.join(sorted(SECTIONS))}."
            wrong.append(f"there is no setting {key!r} ({where}). {hint}")
        elif section in KINDS:
            wrong += _shape_of_kind(layer, section, value)
        elif (section in _TABLES or section in _CONFIGURABLE) and not isinstance(value, Mapping):
            wrong.append(f"{section} must be a table ({where})")
        elif section in _CONFIGURABLE:
            from dovetail.settings.merging import merge
            from dovetail.settings.steps import problems_in

            wrong += problems_in(section, merge(section, [dict(layer.values(key))]), f"[tool.dovetail.{section}]")
    return wrong


def _shape_of_kind(layer: Layer, kind: str, value: Any) -> list[str]:
    if isinstance(value, str):
        return []
    if not isinstance(value, Mapping):
        return [f"{kind} must be a name or a table ({layer.name})"]
    wrong = []
    for key, entry in value.items():
        if same_key(key, "default"):
            if not isinstance(entry, str):
                wrong.append(f"{kind}.default must be a name or URL ({layer.given(entry, kind, key).source})")
        elif not isinstance(entry, Mapping):
            where = layer.given(entry, kind, key).source
            example = f"[tool.dovetail.{kind}.NAME] {key} = ..."
            wrong.append(f"{kind}.{key} must be a table: settings belong to an instance, {example} ({where})")
    return wrong


def _first(layers: Sequence[Layer], section: str, sources: dict[str, str]) -> dict[str, Given]:
    """Key → the value of the highest layer that has it; unknown keys are kept, to be complained about."""
    found: dict[str, Given] = {}
    for layer in layers:
        for key, given in layer.values(section):
            name = key.replace("-", "_")
            if name not in found:
                found[name] = given
                sources[f"{section}.{name}"] = given.source
    return found


def _artifacts(layers: Sequence[Layer], sources: dict[str, str]) -> dict[str, Given]:
    """How values are loaded. Where the user's own file is strict, a project's file, which may come from those who are
    not trusted, changes nothing of that."""
    strict: set[str] = set()
    for layer in layers:
        if layer.rank == "user":
            given = {key: said.value for key, said in layer.values("artifacts")}
            strict |= {"signed", "signing_key", "trusted_keys"} if given.get("signed") is True else set()
            strict |= {"load"} if given.get("load") == "safe" else set()
    kept = [layer for layer in layers if layer.rank != "project"]
    found = _first(kept, "artifacts", sources) if strict else {}
    both = _first(layers, "artifacts", sources)
    for name in strict:
        both.pop(name, None)
        sources.pop(f"artifacts.{name}", None)
        if name in found:
            both[name] = found[name]
            sources[f"artifacts.{name}"] = found[name].source
    return both


def _rules(
    layers: Sequence[Layer], env: Mapping[str, str], plugins: bool, sources: dict[str, str]
) -> tuple[PluginRules, list[str]]:
    """Rules about plugins. The user's own layers decide; a project's file, which comes with code that may not be
    trusted yet, can only block more and allow less."""
    from dovetail.plugins.schema import build, problems_of

    problems: list[str] = []
    parsed: list[tuple[Layer, dict[str, Any]]] = []
    for layer in layers:
        given = dict(layer.values("plugins"))
        wrong = problems_of(PluginRules, given, where="[tool.dovetail.plugins]")
        problems += wrong
        if given and not wrong:
            built = build(PluginRules, given, where="plugins")
            parsed.append((layer, {name.replace("-", "_"): None for name in given} | {"built": built}))
    if problems:
        return PluginRules(), problems
    wanted = env.get("DOVETAIL_PLUGINS")
    mode, allow = _mode_and_allow(parsed, sources, strict=wanted == "allow-list")
    if wanted:
        if wanted not in _STRICTNESS:
            problems.append(f"DOVETAIL_PLUGINS must be one of {', '.join(_STRICTNESS)}, not {wanted!r}")
        mode, sources["plugins.mode"] = wanted, "environment variable DOVETAIL_PLUGINS"
    if not plugins:
        mode, sources["plugins.mode"] = "off", "--no-plugins"
    block = tuple(dict.fromkeys(name for _, said in parsed for name in said["built"].block))
    override: dict[str, str] = {}
    for layer, said in parsed:
        for key, dist in said["built"].override.items():
            if override.setdefault(key, dist) == dist:
                sources.setdefault(f"plugins.override.{key}", layer.name)
        if said["built"].block:
            sources["plugins.block"] = " + ".join(filter(None, (sources.get("plugins.block"), layer.name)))
    rules: Any = {"mode": mode, "allow": allow, "block": block, "override": override}
    return PluginRules(**rules), problems


def _mode_and_allow(
    parsed: Sequence[tuple[Layer, dict[str, Any]]], sources: dict[str, str], *, strict: bool
) -> tuple[str, tuple[str, ...] | None]:
    """Mode and allow list. `strict`: the user asks for a list by other means than a file."""
    mode, mode_layer = _said("mode", parsed, project=False)
    allow, allow_layer = _said("allow", parsed, project=False)
    stricter, mode_project = _said("mode", parsed, project=True)
    fewer, allow_project = _said("allow", parsed, project=True)
    if allow is None and fewer is not None and (strict or mode == "allow-list"):  # who allows nobody allows nobody's
        allow, allow_layer = (), mode_layer or "environment variable DOVETAIL_PLUGINS"
    if stricter is not None and _STRICTNESS.index(stricter) > _STRICTNESS.index(mode or "auto"):
        mode, mode_layer = stricter, mode_project
    if fewer is not None and allow is not None:
        names = {normalised(name) for name in fewer}
        allow = tuple(name for name in allow if normalised(name) in names)
        allow_layer = f"{allow_layer}, narrowed by {allow_project}"
    elif fewer is not None:
        allow, allow_layer = fewer, allow_project
    if mode is not None:
        sources["plugins.mode"] = mode_layer
    if allow is not None:
        sources["plugins.allow"] = allow_layer
    return mode or "auto", allow


def _said(key: str, parsed: Sequence[tuple[Layer, dict[str, Any]]], *, project: bool) -> tuple[Any, str]:
    """The value of the highest layer that has the key, among the project's or the others; (None, "") without one."""
    for layer, said in parsed:
        if key in said and (layer.rank == "project") is project:
            return getattr(said["built"], key), layer.name
    return None, ""
