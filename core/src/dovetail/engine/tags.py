"""User tags of a run: the given ones, the defaults of the settings, and the rules that both must keep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dovetail.interfaces.errors import ValidationError
from dovetail.interfaces.problems import Problem

if TYPE_CHECKING:
    from dovetail.settings import CoreSettings

__all__ = ["resolve_tags"]

LONGEST = 500
"""Characters of a tag."""


def resolve_tags(settings: CoreSettings, given: Sequence[str]) -> tuple[str, ...]:
    """The tags that a run starts with.

    Raises:
        ValidationError: A tag breaks the rules of `[tool.dovetail.tags]`, or a required one is missing.
    """
    tags = tuple(sorted({*settings.tags.default, *given}))
    wrong = settings.tags.problems(tags)
    wrong += [
        f"{tag[:40]!r} is no tag: it takes 1 to {LONGEST} printable characters"
        for tag in tags
        if not tag or len(tag) > LONGEST or not tag.isprintable()
    ]
    if wrong:
        problems = [Problem(code="tag", message=message) for message in wrong]
        raise ValidationError("the run can't be started with these tags:", problems=problems)
    return tags
