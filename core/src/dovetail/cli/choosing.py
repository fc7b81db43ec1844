"""Options that choose settings, shared by verbs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from dovetail.settings import Settings

__all__ = ["add_choosing", "settings_from"]


def add_choosing(parser: argparse.ArgumentParser) -> None:
    """Add `--with`, `--set`, `--profile` and a flag for each kind of backend."""
    group = parser.add_argument_group("settings")
    group.add_argument(
        "--with",
        dest="with_",
        action="append",
        default=[],
        metavar="NAME[:KEY=VALUE,...]",
        help="decorate every step that lacks it, such as retry:times=2; repeatable",
    )
    group.add_argument(
        "--set",
        dest="set_",
        action="append",
        default=[],
        metavar="STEP.KIND.KEY=VALUE",
        help="override one option, such as train.retry.times=5; repeatable",
    )
    group.add_argument("--compute", metavar="NAME", help="run every step on this compute instance")
    group.add_argument("--datastore", metavar="NAME", help="data store of the run: a name or URL")
    group.add_argument("--environment", metavar="NAME", help="environment builder of the run")
    group.add_argument("--metadata", metavar="NAME", help="metadata provider of the run")
    group.add_argument("--profile", metavar="NAME", help="profile of the settings files")


def settings_from(args: argparse.Namespace) -> Settings:
    """The settings that the options ask for."""
    from dovetail.settings import Settings

    refresh = [f"{task}.cache.refresh=true" for task in getattr(args, "refresh", ())]
    return Settings.load(
        profile=args.profile,
        set_=[*args.set_, *refresh],
        with_=args.with_,
        compute=args.compute,
        datastore=args.datastore,
        environment=args.environment,
        metadata=args.metadata,
    )
