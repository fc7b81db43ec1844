"""The default of `DataStore.get_many`: a few reads at a time in threads."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING

from dovetail.interfaces.errors import NotFoundError

if TYPE_CHECKING:
    from dovetail.interfaces.datastore import ByteRange, DataStore, GetResult

__all__ = ["get_many"]

THREADS = 8
WINDOW = 2 * THREADS


def _read(store: DataStore, key: str, byte_range: ByteRange | None) -> GetResult | None:
    from dovetail.interfaces.datastore import GetResult

    try:
        result = store.get(key, byte_range=byte_range)
    except NotFoundError:
        return None
    return GetResult(result.info, io.BytesIO(result.read()), result.length)


def get_many(
    store: DataStore, requests: Iterable[tuple[str, ByteRange | None]]
) -> Iterator[tuple[str, GetResult | None]]:
    """Read in the order of the requests, at most `WINDOW` of them in memory."""
    pending: deque[tuple[str, Future[GetResult | None]]] = deque()
    source = iter(requests)
    with ThreadPoolExecutor(THREADS, thread_name_prefix="dovetail-get") as pool:

        def feed(count: int) -> None:
            for key, byte_range in islice(source, count):
                pending.append((key, pool.submit(_read, store, key, byte_range)))

        feed(WINDOW)
        while pending:
            key, future = pending.popleft()
            yield key, future.result()
            feed(1)
