"""`dovetail plugins freeze`: the plugins in use, as lines of a requirements file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dovetail.cli import output
from dovetail.cli._plugins_origin import origin_of, requirement_of

if TYPE_CHECKING:
    from dovetail.plugins.records import PluginRecord
    from dovetail.settings import Settings

__all__ = ["freeze"]


def freeze(settings: Settings, records: Sequence[PluginRecord], file: str | None, *, as_json: bool) -> int:
    """Print the pins of the plugins that a flow selects, or of all that can be used.

    Raises:
        DovetailError: What the flow selects is not there.
    """
    from dovetail.plugins.closure import installed_pins

    if file is None:
        usable = {record.dist for record in records if record.status == "ready"}
        pins = installed_pins(usable)
    else:
        pins = _pins_of_flow(settings, file)
    if as_json:
        output.emit_json(
            [
                {"dist": name, **pin, "requirement": requirement_of(name), **origin_of(name)}
                for name, pin in pins.items()
            ]
        )
        return 0
    for name in pins:
        output.say(requirement_of(name))
    return 0


def _pins_of_flow(settings: Settings, file: str) -> dict[str, dict[str, object]]:
    from dovetail.cli.targets import split_file
    from dovetail.engine.describe import check, describe_file
    from dovetail.settings.taking_part import pins_of

    path, name = split_file(file)
    flow = describe_file(path, name=name or None, settings=settings)
    check(flow, settings)
    return pins_of(settings, flow)
