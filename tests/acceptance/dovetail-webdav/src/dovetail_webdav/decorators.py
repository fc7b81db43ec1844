"""Typed decorators: each stands on a step or a flow class, and `--with` attaches it to all steps of a run.

They only store what was written. None stands for what the settings say.
"""

from __future__ import annotations

from typing import Any

from dovetail import StepDecorator

__all__ = [
    "webdav_datastore",
]


def webdav_datastore(
    *,
    url: str | None = None,
    read_only: bool | None = None,
) -> StepDecorator:
    """Keep the values of tasks in webdav.

    Args:
        url: Where objects are kept.
        read_only: Refuse to write.
    """
    return StepDecorator("datastore", "webdav", _given(url=url, read_only=read_only))


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}
