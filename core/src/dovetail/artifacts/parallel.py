"""Work on the pieces of one large value, on all processors."""

from __future__ import annotations

import os
from _thread import allocate_lock  # not `threading`, see `dovetail.worker.forking.preload`
from collections.abc import Callable, Iterable
from typing import TypeVar

__all__ = ["for_each"]

_T = TypeVar("_T")
_THREADS = 4


def for_each(items: Iterable[_T], work: Callable[[_T], object]) -> None:
    """Call `work` with each item, on several threads where there are several; raises the first failure."""
    pending = list(items)
    threads = min(_THREADS, os.cpu_count() or 1, len(pending))
    if threads < 2:
        for item in pending:
            work(item)
        return
    import threading

    source = iter(pending)
    lock = allocate_lock()
    failures: list[BaseException] = []

    def run() -> None:
        while not failures:
            with lock:
                item = next(source, pending)
            if item is pending:
                return
            try:
                work(item)  # type: ignore[arg-type]
            except BaseException as error:
                failures.append(error)

    others = [threading.Thread(target=run, name="dovetail-save", daemon=True) for _ in range(threads - 1)]
    for thread in others:
        thread.start()
    run()
    for thread in others:
        thread.join()
    if failures:
        raise failures[0]
