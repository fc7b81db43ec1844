"""`dovetail store`: free space, measure, verify and copy data stores, pin what must stay."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

__all__ = ["configure", "run"]

_MODULES = {
    "gc": "_store_gc",
    "du": "_store_du",
    "verify": "_store_verify",
    "copy": "_store_copy",
    "pin": "_store_pins",
    "unpin": "_store_pins",
    "pins": "_store_pins",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Sub-verbs."""
    verbs = parser.add_subparsers(dest="action", required=True, metavar=" | ".join(_MODULES))
    gc = _add(verbs, "gc", "delete the objects that no run and no pin refers to")
    gc.add_argument("--dry-run", action="store_true", help="only say what would be freed")
    gc.add_argument(
        "--grace", metavar="TIME", help="keep what is younger: 24h by default; less only while nothing runs"
    )
    gc.add_argument("--without", action="append", default=[], metavar="UUID", help="a data store that is gone for good")
    du = _add(verbs, "du", "how many bytes belong to whom: alone, and shared with others")
    du.add_argument("--by", choices=("flow", "run", "artifact"), default="flow", help="what a row is (default: flow)")
    du.add_argument("--limit", type=int, default=50, metavar="N", help="at most N rows, 0 for all (default: 50)")
    verify = _add(verbs, "verify", "check every byte, and say which artifacts a fault touches")
    verify.add_argument("--sample", type=int, metavar="N", help="only N objects, drawn at random")
    verify.add_argument("--repair-from", metavar="NAME", help="take sound copies from this data store: a name or URL")
    copy = _add(verbs, "copy", "copy runs to another data store, with everything that they need", chosen=False)
    copy.add_argument("source", metavar="FROM", help="data store: a name or URL")
    copy.add_argument("target", metavar="TO", help="data store: a name or URL")
    copy.add_argument("--run", action="append", default=[], metavar="RUN", help="this run; repeatable; all by default")
    copy.add_argument("--flow", metavar="FLOW", help="all runs of this flow")
    copy.add_argument(
        "--trust-source", action="store_true", help="sign also the copy of what no trusted key has signed"
    )
    copy.add_argument(
        "--drop-signatures",
        action="store_true",
        help="copy signed runs also where nothing is signed: without signatures",
    )
    pin = _add(verbs, "pin", "keep a run or an artifact, whatever retention says")
    pin.add_argument("what", metavar="RUN|RUN/PATH/NAME", help="run or artifact")
    pin.add_argument("--note", default="", metavar="TEXT", help="why")
    unpin = _add(verbs, "unpin", "keep it no longer than anything else")
    unpin.add_argument("what", metavar="RUN|RUN/PATH/NAME", help="run, artifact, or name of the pin")
    _add(verbs, "pins", "what is pinned")


def _add(verbs: Any, name: str, help: str, *, chosen: bool = True) -> Any:
    parser = verbs.add_parser(name, help=help, description=f"{help[:1].upper()}{help[1:]}.")
    parser.add_argument("--json", action="store_true", help="write one JSON document instead")
    group = parser.add_argument_group("settings")
    group.add_argument("--metadata", metavar="NAME", help="metadata provider to look in")
    if chosen:
        group.add_argument("--datastore", metavar="NAME", help="data store: a name or URL")
    group.add_argument("--profile", metavar="NAME", help="profile of the settings files")
    return parser


def run(args: argparse.Namespace) -> int:
    """Do it."""
    args.datastore = getattr(args, "datastore", None)
    return int(import_module(f"dovetail.cli.{_MODULES[args.action]}").run(args))
