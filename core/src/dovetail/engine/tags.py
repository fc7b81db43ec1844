"""User tags of a run: the given ones, the defaults of the settings, and the rules that both must keep."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from dovetail.interfaces.errors import ValidationError
from dovetail.interfaces.problems import Problem

if TYPE_CHECKING:
    from dovetail.settings import CoreSettings

__all__ = ["resolve_tags"]

LONGEST = 500


def resolve_tags(settings: CoreSettings, given: Sequence[str]) -> tuple[str, ...]:
    """The tags that a run starts with.

    A required tag is met by itself, or by any `name:value` where the setting says `name:`.

    Raises:
        ValidationError: A tag breaks the rules of `[tool.dovetail.tags]`, or a required one is missing.
    """
    rules = settings.tags
    tags = tuple(sorted({*rules.default, *given}))
    problems = []
    for required in rules.required:
        if not any(tag == required or (required.endswith(":") and tag.startswith(required)) for tag in tags):
            example = required + "VALUE" if required.endswith(":") else required
            problems.append(
                Problem(
                    code="tag-required",
                    message=f"the project requires a tag {required!r}",
                    fix=f"Add --tag {example} to the command.",
                )
            )
    pattern = re.compile(rules.pattern) if rules.pattern else None
    for tag in tags:
        if not tag or len(tag) > LONGEST or not tag.isprintable():
            problems.append(
                Problem(code="tag-text", message=f"{tag[:40]!r} is no tag: 1 to {LONGEST} printable characters")
            )
        elif pattern is not None and not pattern.fullmatch(tag):
            problems.append(
                Problem(
                    code="tag-pattern",
                    message=f"tag {tag!r} does not match the project's pattern {rules.pattern}",
                    fix="Change the tag, or the pattern in [tool.dovetail.tags].",
                )
            )
    if problems:
        raise ValidationError("the run can't be started with these tags:", problems=problems)
    return tags
