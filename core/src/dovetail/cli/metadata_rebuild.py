"""`dovetail metadata-rebuild`: make the index of runs anew from the data stores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dovetail.cli import output
from dovetail.cli.targets import add_common
from dovetail.interfaces.errors import StoreError

if TYPE_CHECKING:
    import argparse

    from dovetail.client.rebuild import Rebuilt

__all__ = ["configure", "run"]

_NOT_RESTORED = (
    "Not in a data store, and so not restored: signals and other requests that no driver took in (send them again), "
    "notes, and tasks that were running, cancelled or only planned."
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Options."""
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    """Rebuild; 4 when something could not be restored."""
    from dovetail.client.rebuild import rebuild
    from dovetail.settings import Settings

    settings = Settings.load(profile=args.profile, metadata=args.metadata, datastore=args.datastore)
    if not settings.home.exists() and not settings.instances("datastore") and args.datastore is None:
        raise StoreError(f"{settings.home} does not exist", hint="Set DOVETAIL_HOME to the folder of local state.")
    with output.Progress("rebuilding", unit="runs") as progress:
        done = rebuild(settings, progress=progress.advance)
    if args.json:
        output.emit_json(
            {
                "stores": done.stores,
                "runs": done.runs,
                "tasks": done.tasks,
                "kept": done.kept,
                "tags": done.tags,
                "tags_lost": done.tags_lost,
                "aside": None if done.aside is None else str(done.aside),
                "failed": done.failed,
                "problems": done.problems,
            }
        )
    else:
        _tell(done)
    return StoreError.exit_code if done.failed else 0


def _tell(done: Rebuilt) -> None:
    tasks = output.counted(done.tasks, "task")
    output.say(f"{output.counted(done.runs, 'run')} with {tasks} restored from {', '.join(done.stores)}")
    if done.kept:
        output.say(
            f"{output.counted(done.kept, 'run')} taken over from the old database: no data store at hand has more"
        )
    if done.tags:
        output.say(f"tags of {output.counted(done.tags, 'run')} taken over from the old database")
    if done.aside is not None:
        output.say(f"the old database is at {done.aside}")
    for line in done.problems:
        output.warn(output.clean(line))
    for line in done.failed:
        output.warn(f"not restored: {output.clean(line)}")
    output.say(_NOT_RESTORED)
    if done.tags_lost:
        output.warn("Tags that were changed after the start of a run are lost where the old database can't be read.")
