"""`dovetail plugins`: what is installed, whether it can be used, is right and healthy, and how a new one begins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dovetail.cli import output
from dovetail.interfaces.errors import UnknownNameError

if TYPE_CHECKING:
    import argparse

    from dovetail.plugins.records import Offer, PluginRecord
    from dovetail.settings import Settings

__all__ = ["configure", "run"]

_COLOURS = {
    "ready": "green",
    "built-in": "dim",
    "broken": "red",
    "incompatible": "red",
    "duplicate": "yellow",
    "missing-dependency": "yellow",
    "blocked": "yellow",
    "not-allowed": "yellow",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """One sub-verb for each thing to do."""
    from dovetail.cli import _plugins_new, _plugins_test

    verbs = parser.add_subparsers(dest="action", required=True, metavar="list | show | new | test | doctor | freeze")
    listing = verbs.add_parser("list", help="what every plugin provides")
    listing.add_argument(
        "--kind", help="only this kind: datastore, metadata, compute, environment, secrets, command ..."
    )
    listing.add_argument("--json", action="store_true", help="print JSON")
    show = verbs.add_parser("show", help="everything about one plugin, or about what has a name")
    show.add_argument("name", metavar="NAME", help="distribution, entry point, NAME or KIND:NAME of a backend")
    show.add_argument("--json", action="store_true", help="print JSON")
    _plugins_test.configure(verbs.add_parser("test", help="run the conformance kit against what is configured"))
    doctor = verbs.add_parser("doctor", help="load, open and try what is selected, and run the plugins' checks")
    doctor.add_argument("name", nargs="?", metavar="NAME", help="only this plugin, backend, instance or KIND:NAME")
    doctor.add_argument("--online", action="store_true", help="let checks talk to services")
    doctor.add_argument("--json", action="store_true", help="print JSON")
    _plugins_new.configure(verbs.add_parser("new", help="begin a plugin that works, to be changed into yours"))
    freeze = verbs.add_parser("freeze", help="print the plugins in use as lines of a requirements file")
    freeze.add_argument("--flow", metavar="FILE", help="only those that this flow selects; FILE:NAME of several")
    freeze.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Do what the sub-verb says."""
    if args.action == "new":
        from dovetail.cli import _plugins_new

        return _plugins_new.run(args)
    from dovetail.settings import Settings

    settings = Settings.load()
    records = settings.registry.records()
    if args.action == "list":
        _list(records, args.kind, as_json=args.json)
        return 0
    if args.action == "show":
        _show(settings, records, args.name, as_json=args.json)
        return 0
    if args.action == "freeze":
        from dovetail.cli._plugins_freeze import freeze

        return freeze(settings, records, args.flow, as_json=args.json)
    if args.action == "test":
        from dovetail.cli._plugins_test import test

        return test(settings, records, args)
    from dovetail.cli._plugins_doctor import doctor

    return doctor(settings, records, args.name, online=args.online, as_json=args.json)


# -- list -----------------------------------------------------------------------------------------------------


def _list(records: Sequence[PluginRecord], kind: str | None, *, as_json: bool) -> None:
    if kind is not None:
        _known_kind(kind)
    if as_json:
        plugins = [_record_json(record) for record in records]
        if kind is not None:
            for plugin in plugins:
                plugin["offers"] = [offer for offer in plugin["offers"] if offer["kind"] == kind]
            plugins = [plugin for plugin in plugins if plugin["offers"]]
        output.emit_json(plugins)
        return
    rows: list[tuple[Any, ...]] = []
    for record in records:
        rows += [_offer_row(record, offer) for offer in record.offers if kind in (None, offer.spec.kind)]
        if not record.offers and kind is None:
            status = record.status
            note = record.reason or f"hooks: {', '.join(record.hooks) or 'none'}"
            rows.append((record.entry, "-", record.version, "-", status, record.dist, note))
    output.table(("NAME", "KIND", "VERSION", "API", "STATUS", "FROM", ""), rows, colours={"STATUS": _COLOURS})
    broken = [record.dist for record in records if record.status == "broken"]
    for dist in broken:
        output.say(f"\n{dist} is broken: dovetail plugins show {dist} has the traceback")


def _offer_row(record: PluginRecord, offer: Offer) -> tuple[Any, ...]:
    spec = offer.spec
    note = offer.reason or _abilities(spec) or spec.summary
    return (spec.name, spec.kind, record.version, spec.api, offer.status, record.dist, note)


def _abilities(spec: Any) -> str:
    schemes = [f"{scheme}://" for scheme in getattr(spec, "schemes", ())]
    return "  ".join(filter(None, (" ".join(schemes), ", ".join(getattr(spec, "capabilities", ())))))


def _known_kind(kind: str) -> None:
    from dovetail.plugins.hooknames import REGISTRATION
    from dovetail.plugins.suggest import did_you_mean

    kinds = sorted(REGISTRATION.values())
    if kind not in kinds:
        raise UnknownNameError(
            f"there is no kind {kind!r}", hint=did_you_mean(kind, kinds) or f"There are: {', '.join(kinds)}."
        )


# -- show -----------------------------------------------------------------------------------------------------


def _show(settings: Settings, records: Sequence[PluginRecord], name: str, *, as_json: bool) -> None:
    found = [record for record in records if record.called(name)]
    found = found or [only for only in (_only(record, name) for record in records) if only.offers]
    if not found:
        from dovetail.plugins.known import install_command
        from dovetail.plugins.suggest import did_you_mean

        names = {record.dist for record in records} | {o.spec.name for record in records for o in record.offers}
        hint = install_command(name) or did_you_mean(name, names) or "dovetail plugins list shows what there is."
        raise UnknownNameError(f"nothing installed is called {name!r}", hint=hint)
    if as_json:
        output.emit_json([_record_json(record, settings_too=True) for record in found])
        return
    for number, record in enumerate(found):
        if number:
            output.say()
        _show_record(record)


def _only(record: PluginRecord, name: str) -> PluginRecord:
    """A plugin with no more than what has a name."""
    from dataclasses import replace

    return replace(
        record, offers=tuple(o for o in record.offers if name in (o.spec.name, f"{o.spec.kind}:{o.spec.name}"))
    )


def _show_record(record: PluginRecord) -> None:
    output.say(output.paint(f"{record.dist} {record.version}".strip(), "bold"))
    facts = [("status", record.status), ("why", record.reason), ("manifest", record.target), ("in", record.location)]
    if record.status != "built-in":
        from dovetail.cli._plugins_origin import docs_of, installed_from

        facts += [("origin", installed_from(record.dist)), ("docs", docs_of(record.dist) or "")]
    facts += [("hooks", ", ".join(record.hooks)), *(("note", note) for note in record.notes)]
    output.pairs([(key, value) for key, value in facts if value], indent="  ")
    if record.traceback:
        output.say("\n" + record.traceback.rstrip())
    for offer in record.offers:
        spec = offer.spec
        output.say(f"\n{spec.kind} {output.paint(spec.name, 'bold')}: {spec.summary}")
        facts = [("status", offer.status), ("why", offer.reason), ("class", spec.factory), ("can", _abilities(spec))]
        output.pairs([(key, value) for key, value in facts if value], indent="  ")
        rows = [
            (
                key["name"],
                key["type"],
                "(required)" if key["required"] else key["default"],
                key["variable"],
                key["help"],
            )
            for key in _settings_json(spec)
        ]
        if rows:
            output.table(("SETTING", "TYPE", "DEFAULT", "VARIABLE", ""), rows)


def _settings_json(spec: Any) -> list[dict[str, Any]]:
    from dovetail.interfaces.errors import PluginError
    from dovetail.plugins.descriptors import BackendSpec
    from dovetail.plugins.opening import settings_class
    from dovetail.plugins.schema import fields_of, to_plain

    if not isinstance(spec, BackendSpec):
        return []
    try:
        schema = settings_class(spec)
    except PluginError:
        return []
    return [
        {
            "name": field.name,
            "type": field.type_name,
            "required": field.required,
            "default": None if field.required else to_plain(field.default),
            "secret": _is_secret(field.type),
            "variable": field.variable(spec.kind, spec.name),
            "help": field.help,
        }
        for field in (fields_of(schema) if schema else ())
    ]


def _is_secret(kind: Any) -> bool:
    from typing import get_args

    from dovetail.interfaces.context import SecretRef

    return kind is SecretRef or any(_is_secret(part) for part in get_args(kind))


def _record_json(record: PluginRecord, *, settings_too: bool = False) -> dict[str, Any]:
    offers = []
    for offer in record.offers:
        spec = offer.spec
        entry: dict[str, Any] = {
            "kind": spec.kind,
            "name": spec.name,
            "api": spec.api,
            "status": offer.status,
            "reason": offer.reason,
            "summary": spec.summary,
            "factory": spec.factory,
            "schemes": list(getattr(spec, "schemes", ())),
            "capabilities": list(getattr(spec, "capabilities", ())),
        }
        if settings_too:
            entry["settings"] = _settings_json(spec)
        offers.append(entry)
    more: dict[str, Any] = {}
    if settings_too:
        from dovetail.cli._plugins_origin import docs_of, origin_of

        more = {"docs": docs_of(record.dist), **origin_of(record.dist)}
    return {
        **more,
        "entry": record.entry,
        "dist": record.dist,
        "version": record.version,
        "status": record.status,
        "reason": record.reason,
        "manifest": record.target,
        "location": record.location,
        "hooks": list(record.hooks),
        "notes": list(record.notes),
        "traceback": record.traceback,
        "offers": offers,
    }
