"""Describes an imported flow as the driver needs it: graph, code keys, constants, and whether forking is safe."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from dovetail.artifacts.serializers.registry import SerializerRegistry
from dovetail.authoring.describe import describe
from dovetail.packaging.code_key import with_code_keys
from dovetail.worker.constants import describe_constants
from dovetail.worker.gate import find_hazards

if TYPE_CHECKING:
    from dovetail.authoring.flowspec import FlowSpec
    from dovetail.interfaces.flow import FlowDescription

__all__ = ["describe_flow"]


def _why_not_asked() -> str:
    if os.environ.get("DOVETAIL_FORCE_SPAWN") == "1":
        return "DOVETAIL_FORCE_SPAWN is set"
    return f"{sys.platform} has no safe fork"


def describe_flow(flow_cls: type[FlowSpec], *, gated: bool) -> FlowDescription:
    """The flow as plain data.

    Args:
        flow_cls: Imported already.
        gated: Whether this process is to fork; then what forbids it is in `fork_hazards`.
    """
    hazards = find_hazards() if gated else [_why_not_asked()]
    return replace(
        with_code_keys(describe(flow_cls), flow_cls),
        constants=describe_constants(flow_cls, SerializerRegistry()),
        fork_hazards=tuple(hazards),
    )
