"""Looks at values of parameters in the process that imported the flow, before there is a run."""

from __future__ import annotations

import json
from typing import Any

from dovetail.worker.wire import Kind, pack

__all__ = ["checked"]


def checked(flow: Any, values: str) -> bytes:
    """The answer to a `CHECK`.

    Args:
        flow: A class or function.
        values: Name → value as JSON text.
    """
    if isinstance(flow, type):  # parameters of classes have no more to them than their description says
        return pack((Kind.CHECKED, []))
    from dovetail.authoring.signature import argument_problems

    return pack((Kind.CHECKED, argument_problems(flow.fn, json.loads(values))))
