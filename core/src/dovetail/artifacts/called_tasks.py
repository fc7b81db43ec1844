"""Called tasks that `run.json` does not tell of, since who calls them knew them first: their code and their hooks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from dovetail.artifacts.documents import encode_json, read_json
from dovetail.artifacts.layout import called_task_key, called_tasks_prefix
from dovetail.interfaces.errors import AlreadyExistsError, CorruptDataError, NotFoundError
from dovetail.interfaces.flow import StepDescription

if TYPE_CHECKING:
    from dovetail.interfaces.datastore import DataStore

__all__ = ["put_called_task", "read_called_tasks", "read_task_code"]


def put_called_task(store: DataStore, run: str, task: StepDescription) -> str:
    """Write what a task is; the key of the object. Create-only: equal code has equal parts."""
    key = called_task_key(run, task.code_key)
    plain = {
        "name": task.name,
        "code_key": task.code_key,
        "code_parts": dict(task.code_parts),
        "module": task.module,
        "qualname": task.qualname,
        "hooks": [list(hook) for hook in task.hooks],
    }
    with suppress(AlreadyExistsError):
        store.put(key, encode_json(plain))
    return key


def read_called_tasks(store: DataStore, run: str) -> Iterator[StepDescription]:
    """Every task that was kept.

    Raises:
        CorruptDataError: One is damaged.
    """
    for info in store.scan(called_tasks_prefix(run)):
        plain = _read(store, info.key)
        yield StepDescription(
            name=plain["name"],
            kind="task",
            code_key=plain["code_key"],
            code_parts=plain["code_parts"],
            module=plain.get("module", ""),
            qualname=plain.get("qualname", ""),
            hooks=tuple((kind, address) for kind, address in plain.get("hooks", ())),
        )


def read_task_code(store: DataStore, run: str, code_key: str) -> dict[str, str]:
    """Name → hex digest of what went into a code key; empty where the run did not keep it.

    Raises:
        CorruptDataError: It is damaged.
    """
    try:
        parts = _read(store, called_task_key(run, code_key))["code_parts"]
    except NotFoundError:
        return {}
    return {str(name): str(digest) for name, digest in parts.items()}


def _read(store: DataStore, key: str) -> dict[str, Any]:
    plain = read_json(store.get(key).read(), key)
    if not isinstance(plain, dict) or not isinstance(plain.get("code_parts"), dict) or "name" not in plain:
        raise CorruptDataError(f"{key} is malformed")
    return plain
