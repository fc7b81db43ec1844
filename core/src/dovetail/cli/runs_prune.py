"""`dovetail runs prune`: delete the runs that the retention rules of the settings say."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from dovetail.cli import output
from dovetail.cli.runs_delete import confirm, delete_all, run_plain
from dovetail.cli.targets import add_common, open_client
from dovetail.interfaces.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from dovetail.client.retention import Outcome

__all__ = ["SUMMARY", "configure", "run"]

SUMMARY = "delete the runs that the retention rules of the settings say"


def configure(parser: argparse.ArgumentParser) -> None:
    """Options."""
    parser.add_argument("--dry-run", action="store_true", help="only say what each rule would delete")
    parser.add_argument("--yes", "-y", action="store_true", help="do not ask")
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    """Apply the rules."""
    from dovetail.client.deleting import pinned_among
    from dovetail.client.retention import apply_rules

    with open_client(args) as client:
        rules = client._connection.settings.core.retention
        if not rules:
            raise UsageError(
                "the settings have no retention rules",
                hint='As in pyproject.toml: [[tool.dovetail.retention]] with flow = "*" and older_than = "90d"',
            )
        runs = list(client.runs())
        outcomes = apply_rules(rules, runs, now=time.time(), pinned=pinned_among(runs))
        goes = [one for outcome in outcomes for one in outcome.goes]
        if not args.json:
            _table(outcomes)
        if goes and not args.dry_run:
            confirm(goes, yes=args.yes)
            delete_all(client, goes, force=False, quiet=args.json)
    if args.json:
        output.emit_json({"rules": [_plain(outcome) for outcome in outcomes], "dry_run": args.dry_run})
    else:
        done = "would be deleted" if args.dry_run else "deleted"
        more = "; dovetail store gc frees the space" if goes and not args.dry_run else ""
        output.say(f"{output.counted(len(goes), 'run')} {done}{more}")
    return 0


def _table(outcomes: list[Outcome]) -> None:
    output.table(
        ["rule", "goes", "kept", "pinned", "not ended"],
        [(str(one.rule), len(one.goes), one.kept, one.pinned, one.live) for one in outcomes],
        right=["goes", "kept", "pinned", "not ended"],
    )


def _plain(outcome: Outcome) -> dict[str, object]:
    rule = outcome.rule
    names = ("flow", "tag", "state", "older_than", "keep_last")
    return {
        "rule": {name: getattr(rule, name) for name in names},
        "deleted": [run_plain(one) for one in outcome.goes],
        "kept": outcome.kept,
        "pinned": outcome.pinned,
        "live": outcome.live,
    }
