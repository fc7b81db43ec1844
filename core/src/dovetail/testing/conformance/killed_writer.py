"""A process that writes through a backend until it is killed, and says what it was told is written.

    python -m dovetail.testing.conformance.killed_writer KIND OPENER PREFIX

It prints a line when it has found what its parent wrote, and one after each write that returned.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from typing import Any

from dovetail.interfaces.datastore import DataStoreCapability
from dovetail.interfaces.events import Event, EventKind

__all__ = ["MARK", "batch", "body", "main", "record"]

MARK = "mark"
"""What the parent wrote, below the prefix: an object, or a run."""
_PIECES, _PIECE = 4, 1 << 15


def body(n: int) -> list[bytes]:
    """What is put with a number: pieces of the same bytes."""
    return [(b"%07d," % n) * (_PIECE // 8)] * _PIECES


def record(n: int) -> bytes:
    """What is appended with a number."""
    return (b"%07d," % n) * 64


def batch(n: int) -> list[Event]:
    """Events that are appended at once: a task begins and ends."""
    path = f"body[{n}]"
    rows: list[tuple[str, str, dict[str, Any]]] = [
        (EventKind.TASK, path, {"state": "running", "was": None, "step": "body"}),
        (EventKind.NOTE, "", {"message": path, "level": "info"}),
        (EventKind.TASK, path, {"state": "succeeded", "was": "running", "step": "body"}),
    ]
    return [Event("w", 3 * n + at, kind, 1e9, where, data) for at, (kind, where, data) in enumerate(rows, 1)]


def _say(what: str, n: int) -> None:
    sys.stdout.write(json.dumps([what, n]) + "\n")
    sys.stdout.flush()


def _objects(store: Any, prefix: str) -> None:
    grows = DataStoreCapability.APPEND in store.capabilities
    store.get(prefix + MARK).read()
    _say("found", 0)
    for n in range(1 << 20):
        store.put(f"{prefix}new/{n}", body(n))
        _say("new", n)
        store.put(f"{prefix}same", body(n), mode="overwrite")
        _say("same", n)
        if grows:
            store.append(f"{prefix}log", record(n))
            _say("log", n)


def _events(provider: Any, prefix: str) -> None:
    list(provider.read(prefix + MARK))
    _say("found", 0)
    for n in range(1 << 20):
        provider.append(prefix + MARK, batch(n), fence=1)
        _say("batch", n)


def main(kind: str, opener: str, prefix: str) -> None:
    """Write until somebody kills this process."""
    target, *arguments = json.loads(opener)
    module, _, name = target.partition(":")
    backend: Any = import_module(module)
    for part in name.split("."):
        backend = getattr(backend, part)
    writes = {"datastore": _objects, "metadata": _events}[kind]
    writes(backend(*arguments), prefix)


if __name__ == "__main__":
    main(*sys.argv[1:])
