"""Tags of a run, changed by an event in its journal: nothing is written to the data store, nobody is locked out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from dovetail.client.unknown import unknown
from dovetail.interfaces.errors import UsageError
from dovetail.interfaces.events import EventKind
from dovetail.interfaces.metadata import Query

if TYPE_CHECKING:
    from dovetail.client.run_row import RunRow

__all__ = ["change_tags", "check_tag"]

LONGEST = 500
"""Characters that a tag may have."""


def check_tag(tag: object) -> str:
    """`tag` as it is.

    Raises:
        UsageError: It is no tag: empty, not text, too long, or with control characters.
    """
    if not isinstance(tag, str) or not tag.strip() or not tag.isprintable() or len(tag) > LONGEST:
        raise UsageError(f"{tag!r} is not a tag", hint=f"A tag is 1 to {LONGEST} printable characters.")
    return tag


def change_tags(run: RunRow, remove: str | Iterable[str], add: str | Iterable[str]) -> list[str]:
    """Remove and add user tags in one event; the user tags that are then there."""
    adding = sorted({check_tag(tag) for tag in ([add] if isinstance(add, str) else add)})
    removing = sorted({check_tag(tag) for tag in ([remove] if isinstance(remove, str) else remove)} - set(adding))
    for tag in removing:
        if tag in run.system_tags:
            raise UsageError(f"{tag!r} is a system tag of run {run.pathspec}", hint="Only user tags can be removed.")
    rules = run._connection.settings.core.tags
    misfits = rules.misfits(adding)
    if misfits:
        raise UsageError("; ".join(misfits), hint="The settings have it at tags.pattern: dovetail config show.")
    if removing and rules.required:
        now = {*_present(run)}
        left = (now - {*removing}) | {*adding}
        taken = [wanted for wanted in rules.missing(left) if wanted not in rules.missing(now)]
        if taken:
            raise UsageError(
                f"run {run.pathspec} must keep a tag {', '.join(taken)}: it is required",
                hint="Replace it in one step: dovetail tag replace RUN OLD NEW. The settings have it at tags.required.",
            )
    if adding or removing:
        run._connection.append(run.id, EventKind.TAG, add=adding, remove=removing)
    return _present(run)


def _present(run: RunRow) -> list[str]:
    """The user tags that are on record."""
    rows = run._connection.provider.query(Query(kind="runs", run=run.id, limit=1), columns=("tags",)).rows
    if not rows:
        raise unknown("run", run.id, [], hint="It was deleted.")
    return list(rows[0][0] or ())
