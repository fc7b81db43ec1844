"""An answer of the driver that a coroutine waits for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dovetail.worker.channel import Reply

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from dovetail.interfaces.workers import Answer

__all__ = ["AsyncReply"]


class AsyncReply(Reply):
    """An answer that a coroutine waits for."""

    __slots__ = ("_decline", "_future", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(self._given)
        self._loop = loop
        self._decline: Callable[[Answer], None] | None = None
        self._future: asyncio.Future[Answer] = loop.create_future()

    def _given(self, answer: Answer) -> None:
        try:
            self._loop.call_soon_threadsafe(self._set, answer)
        except RuntimeError:  # the loop is closed, so nobody waits any more
            if self._decline is not None:
                self._decline(answer)

    def leave(self, decline: Callable[[Answer], None]) -> None:
        """The coroutine waits no more: have `decline` told of what was not taken, and of what comes."""
        self._decline = decline
        if self._future.done() and not self._future.cancelled():
            decline(self._future.result())

    def _set(self, answer: Answer) -> None:
        if self._decline is not None:
            self._decline(answer)
        elif not self._future.done():
            self._future.set_result(answer)

    async def arrived(self) -> Answer:
        """The next answer."""
        answer = await self._future
        self._future = self._loop.create_future()
        return answer
