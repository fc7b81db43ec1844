"""Connections to the processes of a worker group, as the driver's event loop needs them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import IntEnum
from typing import Any

from dovetail.interfaces.dataclass import dataclass

__all__ = ["Board", "Ending", "Link", "Source"]


class Source(IntEnum):
    """What of a process can be read."""

    CONTROL = 0
    STDOUT = 1
    STDERR = 2
    EXIT = 3


@dataclass(frozen=True, slots=True)
class Ending:
    """How a process ended."""

    code: int
    """Exit code, or minus the number of the signal that ended it."""
    cpu: float | None = None
    """User and system CPU seconds, its ended children included."""
    memory: int | None = None
    """Peak resident bytes."""


class Link(ABC):
    """A process, seen from the driver."""

    owner: Any
    """Whom `Board.poll` names for it."""
    prompt: bool = True
    """Whether `drain` gives all that the process wrote before; if not, it comes out of `Board.poll` in its time."""
    pid: int
    """Its id; 0 where another process started it and the id is not known yet."""

    @abstractmethod
    def send(self, chunks: Iterable[bytes]) -> None:
        """Send, now or when the process reads. Chunks are drawn as they are sent. Never blocks."""

    @abstractmethod
    def drain(self, source: Source) -> bytes:
        """What can be read at this moment and was not given by `Board.poll` yet."""

    @abstractmethod
    def signal(self, number: int) -> None:
        """Send a signal to the process and everything in its group. Only for processes that the board started."""

    @abstractmethod
    def close(self) -> None:
        """Stop reading and writing. Idempotent."""


class Board(ABC):
    """Everything that one event loop waits for."""

    @abstractmethod
    def fileno(self) -> int:
        """Readable when `poll` has something."""

    @abstractmethod
    def poll(self) -> Iterator[tuple[Any, Source, Any]]:
        """(owner, source, what was read) of every link that has something: bytes, empty at the end; of `EXIT` an
        `Ending`. Each is read when it is asked for, so that `Link.drain` misses nothing. Never blocks."""

    @abstractmethod
    def start(
        self,
        owner: Any,
        argv: Sequence[str],
        env: Mapping[str, str],
        *,
        terminal: bool = False,
    ) -> Link:
        """Start a process that runs `dovetail.worker.main`.

        Args:
            owner: Named by `poll`.
            argv: Interpreter and options.
            env: All of its variables.
            terminal: Leave it the terminal, and the process group, of this process.
        """

    @abstractmethod
    def close(self) -> None:
        """End whatever still runs and release everything. Idempotent."""
