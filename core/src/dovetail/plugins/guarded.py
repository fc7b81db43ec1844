"""Which methods of the interfaces may be retried, and which come with an ability.

`always`: after throttling and after a time-out, where it may have happened: doing it twice equals doing it once.
`throttled`: after throttling alone, since a second try of something that did happen would report a false failure
(a create-only put would lose against itself) or do it twice. `never`: not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["ABILITIES", "RESUMES", "RETRIES", "interface_of"]


def _put(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    return "always" if kwargs.get("mode", "create") == "overwrite" else "throttled"


def _create_run(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    return "always" if kwargs.get("run_id") is not None else "throttled"


RETRIES: dict[str, dict[str, str | Callable[[tuple[Any, ...], Mapping[str, Any]], str]]] = {
    "datastore": {
        "put": _put,
        "get": "always",
        "get_many": "never",
        "head": "always",
        "refresh": "always",
        "scan": "always",
        "delete": "always",
        "presign": "always",
        "copy": "throttled",
        "local_path": "always",
        "append": "throttled",
        "sync": "always",
        "stage": "never",
    },
    "metadata": {
        "create_run": _create_run,
        "append": "always",
        "read": "always",
        "watch": "always",
        "query": "always",
        "counts": "always",
        "delete_run": "always",
        "lease": "throttled",
        "renew": "always",
        "release": "always",
        "leases": "always",
        "set_limit": "always",
        "delete_limit": "throttled",
        "limits": "always",
        "take_slots": "throttled",
        "may_take": "always",
        "limit_mark": "always",
        "limit_uses": "always",
    },
    "compute": {
        "validate": "always",
        "submit": "always",
        "watch": "always",
        "cancel": "always",
        "logs": "always",
    },
    "environment": {
        "lock": "always",
        "build": "always",
        "ship": "always",
        "list_built": "always",
        "remove": "always",
    },
    "secrets": {"get": "always"},
}
"""Kind → method → how it may be retried. A method that is not named here is not retried."""

RESUMES: dict[tuple[str, str], tuple[str, Callable[[Any], Any]]] = {
    ("datastore", "scan"): ("after", lambda info: info.key),
    ("metadata", "read"): ("since", lambda event: event.seq),
    ("metadata", "watch"): ("since", lambda event: event.seq),
    ("compute", "logs"): ("after", lambda chunk: chunk.cursor or None),
}
"""(kind, method) whose result is iterated over, so that errors come later than the call → the argument with which it
goes on behind an item, and that argument's value."""

ABILITIES: dict[str, dict[str, tuple[str, ...]]] = {
    "datastore": {
        "PRESIGN": ("presign",),
        "COPY": ("copy",),
        "LOCAL_PATH": ("local_path",),
        "APPEND": ("append", "sync"),
        "STAGE": ("stage",),
    },
    "metadata": {
        "LIMITS": ("set_limit", "delete_limit", "limits", "take_slots", "may_take", "limit_mark", "limit_uses"),
    },
    "compute": {"DIRECT": ("open_group",)},
}
"""Kind → flag → methods that exist only with it."""


def interface_of(kind: str) -> type:
    """The abstract base class of a kind."""
    from dovetail.plugins.loading import _BASES, import_object

    found = import_object(_BASES[kind])
    assert isinstance(found, type)
    return found
