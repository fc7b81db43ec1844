"""`dovetail limits`: define limits that all runs share, and see who holds them and who waits."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from dovetail.cli import output
from dovetail.interfaces.errors import NotFoundError, UnknownNameError, UsageError
from dovetail.interfaces.limits import Limit

if TYPE_CHECKING:
    import argparse

    from dovetail.interfaces.limits import LimitUse, SupportsLimits

__all__ = ["configure", "format_rate", "parse_rate", "run"]

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_RATE = re.compile(r"(\d+)/(\d+(?:\.\d+)?)?([smhd])")
_NAME = re.compile(r"[\w.:/-]+")
MOST = 10_000
"""Slots of a rate: each that was taken is kept for a period."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Sub-verbs `list`, `show`, `set` and `delete`."""
    verbs = parser.add_subparsers(dest="action", required=True, metavar="list | show | set | delete")
    _add(verbs, "list", "all limits, and how many slots are taken")
    show = _add(verbs, "show", "who holds slots of a limit, and who waits")
    show.add_argument("name", metavar="NAME", help="the limit")
    define = _add(verbs, "set", "define a limit, or change it: who holds a slot keeps it")
    define.add_argument("name", metavar="NAME", help="the limit")
    define.add_argument("slots", nargs="?", type=int, metavar="SLOTS", help="how many may hold it; 0: all wait for now")
    define.add_argument("--rate", metavar="COUNT/TIME", help="how often instead: 10/1m, 100/s, 1000/1d")
    delete = _add(verbs, "delete", "forget a limit: whoever waits for it goes on")
    delete.add_argument("name", metavar="NAME", help="the limit")


def _add(verbs: Any, name: str, help: str) -> Any:
    parser = verbs.add_parser(name, help=help, description=f"{help[:1].upper()}{help[1:]}.")
    parser.add_argument("--json", action="store_true", help="write one JSON document instead")
    group = parser.add_argument_group("settings")
    group.add_argument("--metadata", metavar="NAME", help="metadata provider that has the limits")
    group.add_argument("--profile", metavar="NAME", help="profile of the settings files")
    return parser


def run(args: argparse.Namespace) -> int:
    """Define or look."""
    from dovetail.client.connection import Connection
    from dovetail.client.slots import limiting

    connection = Connection(metadata=args.metadata, profile=args.profile)
    if args.action == "list" and connection.empty:  # looking makes no home
        _list([], as_json=args.json)
        return 0
    settings = connection.settings
    provider = limiting(settings.open(settings.select("metadata")) if args.action == "set" else connection.provider)
    try:
        if args.action == "set":
            provider.set_limit(_limit(args.name, args.slots, args.rate))
        elif args.action == "delete":
            _find(provider, args.name)
            with suppress(NotFoundError):  # somebody else was faster
                provider.delete_limit(args.name)
        if args.action == "list":
            _list([(limit, provider.limit_uses(limit.name)) for limit in provider.limits()], as_json=args.json)
        elif args.action == "delete":
            output.emit_json({"deleted": args.name}) if args.json else output.say(f"{args.name}: deleted")
        else:
            _show(provider, _find(provider, args.name), as_json=args.json, uses=args.action == "show")
    finally:
        provider.close()
        connection.close()
    return 0


def parse_rate(text: str) -> tuple[int, float]:
    """`COUNT/TIME` as (count, seconds).

    Raises:
        UsageError: It is none.
    """
    found = _RATE.fullmatch(text.strip())
    if found is None:
        raise UsageError(f"{text!r} is no rate", hint="Write 10/1m, 100/s or 1000/1d.")
    count, seconds = int(found[1]), float(found[2] or 1) * _UNITS[found[3]]
    if not seconds:
        raise UsageError(f"{text!r} is no rate: its time is 0")
    if count > MOST:
        raise UsageError(f"{text!r} is over {MOST:,} a period", hint="Give a shorter period, such as 100/1s.")
    return count, seconds


def format_rate(limit: Limit) -> str:
    """`10/1m`, or the slots."""
    if limit.period is None:
        return str(limit.slots)
    unit = next((unit for unit in "dhm" if limit.period % _UNITS[unit] == 0), "s")
    return f"{limit.slots}/{limit.period / _UNITS[unit]:g}{unit}"


def _limit(name: str, slots: int | None, rate: str | None) -> Limit:
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} can't be the name of a limit", hint="Use letters, digits and . _ - : /")
    if (slots is None) == (rate is None):
        raise UsageError(
            f"how much does limit {name} allow?",
            hint=f"As in: dovetail limits set {name} 3, or dovetail limits set {name} --rate 10/1m",
        )
    if rate is not None:
        count, seconds = parse_rate(rate)
        return Limit(name=name, slots=count, period=seconds)
    assert slots is not None
    if slots < 0:
        raise UsageError(f"limit {name} can't have {slots} slots", hint="0 makes everybody wait for now.")
    return Limit(name=name, slots=slots)


def _find(provider: SupportsLimits, name: str) -> Limit:
    limits = {limit.name: limit for limit in provider.limits()}
    if name not in limits:
        from dovetail.plugins.suggest import did_you_mean

        raise UnknownNameError(
            f"there is no limit {name!r}",
            hint=did_you_mean(name, limits) or f"Define it with: dovetail limits set {name} 1",
        )
    return limits[name]


def _list(limits: list[tuple[Limit, list[LimitUse]]], *, as_json: bool) -> None:
    if as_json:
        output.emit_json([_plain(limit, uses) for limit, uses in limits])
        return
    if not limits:
        output.say("no limits are defined; define one with: dovetail limits set NAME 3")
        return
    output.table(
        ("NAME", "ALLOWS", "TAKEN", "WAITING"),
        [
            (limit.name, format_rate(limit), str(_taken(uses)), str(sum(use.waits for use in uses)))
            for limit, uses in limits
        ],
    )


def _show(provider: SupportsLimits, limit: Limit, *, as_json: bool, uses: bool) -> None:
    found: list[LimitUse] = provider.limit_uses(limit.name)
    if as_json:
        more = {"uses": [_use_to_plain(use) for use in found]} if uses else {}
        output.emit_json({**_plain(limit, found), **more})
        return
    taken = f", {_taken(found)} taken" if uses else ""
    output.say(f"{limit.name}: {format_rate(limit)}{taken}")
    if uses and found:
        output.table(
            ("", "SLOTS", "SINCE", "WHO", "PROCESS"),
            [
                (
                    "waits" if use.waits else "holds" if limit.period is None else "took",
                    str(use.occupy),
                    output.human_age(use.since) or "",
                    output.clean(use.note),
                    f"{use.lease.holder.pid} on {use.lease.holder.host}" if use.lease.holder.pid else "",
                )
                for use in _together(found)
            ],
        )


def _together(uses: list[LimitUse]) -> list[LimitUse]:
    """One row for the slots that were taken at once."""
    seen = {(use.waits, use.note, use.since, use.lease.holder): use for use in reversed(uses)}
    return [use for use in uses if seen.get((use.waits, use.note, use.since, use.lease.holder)) is use]


def _taken(uses: list[LimitUse]) -> int:
    return sum(not use.waits for use in uses)


def _plain(limit: Limit, uses: list[LimitUse]) -> dict[str, Any]:
    return {
        "name": limit.name,
        "slots": limit.slots,
        "period": limit.period,
        "taken": _taken(uses),
        "waiting": sum(use.waits for use in uses),
    }


def _use_to_plain(use: LimitUse) -> dict[str, Any]:
    holder = use.lease.holder
    return {
        "state": "waiting" if use.waits else "holding",
        "who": use.note,
        "occupy": use.occupy,
        "since": use.since,
        "expires": use.lease.expires,
        "slot": None if use.waits else use.lease.slot,
        "token": use.lease.token,
        "host": holder.host,
        "pid": holder.pid or None,
    }
