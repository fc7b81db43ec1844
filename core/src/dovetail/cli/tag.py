"""`dovetail tag`: add, remove, replace or list tags of a run, during it or years later."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dovetail.cli import output
from dovetail.cli.targets import add_common, open_client, qualify, run_of
from dovetail.interfaces.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from dovetail.client.client import Client
    from dovetail.client.run import Run

__all__ = ["configure", "run"]

_ACTIONS = ("add", "remove", "replace", "list")


def configure(parser: argparse.ArgumentParser) -> None:
    """Options."""
    parser.usage = (
        "dovetail tag add RUN TAG ... | remove RUN TAG ... | replace RUN OLD[,OLD] NEW[,NEW] | list RUN   [--json]"
    )
    parser.add_argument(
        "words",
        nargs="+",
        metavar="add|remove|replace|list RUN TAG ...",
        help="what to do, the run, and the tags; replace takes what to remove and what to add, in one step",
    )
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    """Change or list tags."""
    words = list(args.words)
    file = [words.pop(0)] if words[0].endswith(".py") else []
    action, *rest = words or [""]
    if action not in _ACTIONS:
        from dovetail.client.unknown import unknown

        raise unknown("tag action", action, _ACTIONS)
    if not rest:
        raise UsageError(f"tag {action} needs a run", hint=f"dovetail tag {action} RUN" + (" TAG" * (action != "list")))
    with open_client(args) as client:
        found = _run(client, file, rest[0])
        _change(found, action, rest[1:])
        if args.json:
            tags = {"user": sorted(found.user_tags), "system": sorted(found.system_tags)}
            output.emit_json({"run": found.id, "flow": found.flow_name, "tags": tags})
        elif action == "list":
            output.table(
                ["tag", "kind"],
                [
                    *((tag, "user") for tag in sorted(found.user_tags)),
                    *((t, "system") for t in sorted(found.system_tags)),
                ],
            )
        else:
            output.say(f"{found.pathspec}: {output.clean(', '.join(sorted(found.user_tags))) or 'no user tags'}")
    return 0


def _run(client: Client, file: list[str], name: str) -> Run:
    found, rest = run_of(client, qualify(client, [*file, name])[0])
    if rest:
        raise UsageError(f"{name!r} names more than a run", hint="Tags belong to runs.")
    return found


def _change(run: Run, action: str, tags: list[str]) -> None:
    if action == "list":
        if tags:
            raise UsageError("tag list takes a run and nothing else")
        return
    if action == "replace":
        if len(tags) != 2:
            raise UsageError(
                "tag replace takes what to remove and what to add", hint="As in: dovetail tag replace RUN old1,old2 new"
            )
        run.replace_tags(*([tag for tag in text.split(",") if tag] for text in tags))
        return
    if not tags:
        raise UsageError(f"tag {action} needs at least one tag")
    if action == "add":
        run.add_tags(tags)
    else:
        run.remove_tags(tags)
