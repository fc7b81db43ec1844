"""Threads that begin at the same moment."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["THREADS", "race"]

THREADS = 8


def race(actions: Sequence[Callable[[], Any]]) -> list[Any]:
    """Run each action in a thread of its own, all released at once; what each returned or raised, in order."""
    gate = threading.Barrier(len(actions))
    outcomes: list[Any] = [None] * len(actions)

    def run(at: int, action: Callable[[], Any]) -> None:
        gate.wait()
        try:
            outcomes[at] = action()
        except Exception as error:
            outcomes[at] = error

    threads = [threading.Thread(target=run, args=pair, daemon=True) for pair in enumerate(actions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes
