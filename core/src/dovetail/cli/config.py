"""`dovetail config`: show settings, and explain what holds for a step and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dovetail.cli import output
from dovetail.cli.choosing import add_choosing, settings_from
from dovetail.cli.targets import split_file
from dovetail.interfaces.errors import UnknownNameError

if TYPE_CHECKING:
    import argparse

    from dovetail.interfaces.flow import FlowDescription
    from dovetail.settings import Settings
    from dovetail.settings.explain import Explained

__all__ = ["configure", "run", "show_step"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Sub-verbs `show`, `explain` and `schema`."""
    verbs = parser.add_subparsers(dest="action", required=True, metavar="show | explain | schema")
    show = verbs.add_parser("show", help="settings of Dovetail, and the backends that a run would use")
    show.add_argument("--json", action="store_true", help="print JSON")
    add_choosing(show)
    explain = verbs.add_parser("explain", help="every value that holds for a step, and where it came from")
    explain.add_argument("step", metavar="STEP", help="name of the step")
    explain.add_argument("file", metavar="FLOWFILE", help="file that holds the flow; FILE:NAME where it has several")
    explain.add_argument("--json", action="store_true", help="print JSON")
    add_choosing(explain)
    schema = verbs.add_parser("schema", help="JSON schema of the settings of Dovetail, or of a backend")
    schema.add_argument("backend", nargs="?", metavar="KIND:NAME", help="such as datastore:local")


def run(args: argparse.Namespace) -> int:
    """Show or explain."""
    if args.action == "schema":
        output.emit_json(_schema(args.backend))
        return 0
    settings = settings_from(args)
    if args.action == "show":
        _show(settings, as_json=args.json)
        return 0
    from dovetail.engine.describe import describe_file

    file, name = split_file(args.file)
    show_step(settings, describe_file(file, name=name or None), args.step, as_json=args.json)
    return 0


def _show(settings: Settings, *, as_json: bool) -> None:
    from dovetail.settings.explain import explain_core
    from dovetail.settings.kinds import KINDS

    rows = explain_core(settings) + settings.explain()
    instances = {kind: settings.instances(kind) for kind in KINDS}
    if as_json:
        layers = [layer.name for layer in settings.layers]
        output.emit_json({"settings": [row.to_plain() for row in rows], "instances": instances, "layers": layers})
        return
    _table(rows)
    for kind, names in instances.items():
        if names:
            output.say(f"\n{kind} instances: {', '.join(names)}")
    output.say(f"\nread from: {', '.join(layer.name for layer in settings.layers) or 'nothing but defaults'}")


def show_step(settings: Settings, flow: FlowDescription, name: str, *, as_json: bool = False) -> None:
    """Print every value that holds for a step.

    Raises:
        UnknownNameError: The flow has no such step.
    """
    step = flow.by_name.get(name)
    if step is None:
        from dovetail.plugins.suggest import did_you_mean

        hint = did_you_mean(name, flow.by_name) or f"It has {', '.join(flow.by_name)}."
        raise UnknownNameError(f"{flow.name} has no {flow.noun} {name!r}", hint=hint)
    rows = settings.explain(step, flow)
    if as_json:
        output.emit_json({"flow": flow.name, "step": name, "settings": [row.to_plain() for row in rows]})
        return
    _table(rows)


def _table(rows: list[Explained]) -> None:
    lines = []
    for row in rows:
        lines.append((row.key, _text(row.value), row.source))
        lines += [("", f"({_text(value)})", f"overridden: {source}") for value, source in row.overridden]
    output.table(("SETTING", "VALUE", "FROM"), lines)


def _text(value: Any) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict) and set(value) == {"secret"}:
        return f"secret {value['secret']}"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_text, value)) or "-"
    if isinstance(value, dict):
        return ", ".join(f"{key} = {_text(part)}" for key, part in value.items()) or "-"
    return str(value)


def _schema(backend: str | None) -> dict[str, Any]:
    from dovetail.plugins.schema import json_schema
    from dovetail.settings.core import CoreSettings

    if backend is None:
        return json_schema(CoreSettings)
    from dovetail.interfaces.errors import UsageError
    from dovetail.plugins.descriptors import BackendSpec
    from dovetail.plugins.opening import settings_class
    from dovetail.settings import Settings

    kind, colon, name = backend.partition(":")
    if not colon:
        raise UsageError(f"{backend!r} is not of the form KIND:NAME", hint="Such as datastore:local.")
    spec = Settings.load().registry.spec(kind, name)
    schema = settings_class(spec) if isinstance(spec, BackendSpec) else None
    return json_schema(schema) if schema else {"type": "object", "properties": {}, "additionalProperties": False}
