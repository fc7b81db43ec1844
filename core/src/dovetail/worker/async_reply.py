"""An answer of the driver that a coroutine waits for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dovetail.worker.channel import Reply

if TYPE_CHECKING:
    import asyncio

    from dovetail.interfaces.workers import Answer

__all__ = ["AsyncReply"]


class AsyncReply(Reply):
    """An answer that a coroutine waits for."""

    __slots__ = ("_future", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(self._given)
        self._loop = loop
        self._future: asyncio.Future[Answer] = loop.create_future()

    def _given(self, answer: Answer) -> None:
        self._loop.call_soon_threadsafe(self._set, answer)

    def _set(self, answer: Answer) -> None:
        if not self._future.done():
            self._future.set_result(answer)

    async def arrived(self) -> Answer:
        """The next answer."""
        answer = await self._future
        self._future = self._loop.create_future()
        return answer
