"""What the code of a called task is made of, where `run.json` does not tell: who was known only when it was called."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from dovetail.artifacts.layout import task_code_key
from dovetail.artifacts.manifest import read_json
from dovetail.interfaces.errors import AlreadyExistsError, CorruptDataError, NotFoundError

if TYPE_CHECKING:
    from dovetail.interfaces.datastore import DataStore

__all__ = ["put_task_code", "read_task_code"]


def put_task_code(store: DataStore, run: str, name: str, code_key: str, parts: Mapping[str, str]) -> str:
    """Write the parts of a code key; the key of the object. Create-only: equal code has equal parts."""
    key = task_code_key(run, code_key)
    body = json.dumps({"name": name, "code_key": code_key, "code_parts": dict(parts)}, separators=(",", ":"))
    with suppress(AlreadyExistsError):
        store.put(key, body.encode())
    return key


def read_task_code(store: DataStore, run: str, code_key: str) -> dict[str, str]:
    """Name → hex digest of what went into a code key; empty where the run did not keep it.

    Raises:
        CorruptDataError: It is damaged.
    """
    key = task_code_key(run, code_key)
    try:
        plain = read_json(store.get(key).read(), key)
    except NotFoundError:
        return {}
    parts = plain.get("code_parts") if isinstance(plain, dict) else None
    if not isinstance(parts, dict):
        raise CorruptDataError(f"{key} is malformed")
    return {str(name): str(digest) for name, digest in parts.items()}
