"""Logs of tasks: segments of frames whose data is the chunks of many tasks, as they came.

A frame's meta is a msgpack list of `[path, attempt, stream, offset in the stream, time, length]` (stream 0: stdout,
1: stderr), its data the chunks joined. A task's location is `(segment, begin, end)`: the range of a log segment that
holds all of its frames, others between them. In a store that can't append, each frame is an object; a location is then
`(<fence>-<first n>:<last n>, 0, 0)`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

from dovetail.artifacts.framing import LOG_MAGIC, Frame, encode_frame, read_frames
from dovetail.artifacts.layout import log_key, logs_prefix
from dovetail.interfaces.dataclass import dataclass
from dovetail.interfaces.datastore import DataStoreCapability, SupportsAppend
from dovetail.interfaces.errors import ArtifactGoneError, CorruptDataError, NotFoundError

if TYPE_CHECKING:
    from dovetail.interfaces.datastore import Buffer, DataStore

__all__ = ["FLUSH_SIZE", "LogEntry", "LogFollower", "LogLocation", "LogWriter", "read_log", "tail_log"]

FLUSH_SIZE = 1 << 20
"""Bytes that wait in memory at most."""
SEGMENT_LIMIT = 64 * 1024 * 1024
"""No new task is put into a segment of at least this many bytes."""

LogLocation = tuple[str, int, int]
"""Where a task's log is: (name of a segment, or of a range of them, begin, end)."""

_STREAMS = ("stdout", "stderr")


@dataclass(frozen=True, slots=True)
class LogEntry:
    """A piece of a task's output."""

    path: str
    """Path of the task; empty for output outside of tasks."""
    attempt: int
    """Attempt; 0 for output outside of tasks."""
    stream: str
    """`stdout` or `stderr`."""
    offset: int
    """Byte offset in the stream."""
    time: float
    """Seconds since the epoch when it was read."""
    data: bytes
    """The bytes; lines may be cut."""


class _Segment:
    """A log segment of this writer: what waits for it, as chunks and as frames that are encoded but not written."""

    __slots__ = ("chunks", "end", "frames", "items", "n")

    def __init__(self, n: int) -> None:
        self.n = n
        self.end = 0  # behind the last encoded frame
        self.items: list[tuple[str, int, int, int, float, int]] = []
        self.chunks: list[bytes] = []
        self.frames: list[tuple[int, list[Buffer]]] = []  # (number of the object, where the store can't append)


class _Span:
    """What the location of one attempt is made of."""

    __slots__ = ("begin", "end", "segment", "waiting")

    def __init__(self, segment: _Segment) -> None:
        self.segment = segment
        self.begin = -1
        self.end = -1
        self.waiting = True


class LogWriter:
    """Writes what tasks print. Not thread-safe: the driver owns it.

    Args:
        store: The run's data store.
        run: Run id.
        fence: The driver's fence.
    """

    def __init__(self, store: DataStore, run: str, fence: int) -> None:
        self._store = store
        self._run = run
        self._fence = fence
        self._appends = bool(store.capabilities & DataStoreCapability.APPEND)
        self._n = 0
        self._newest = self._open()
        self._dirty: dict[int, _Segment] = {}
        self._spans: dict[tuple[str, int], _Span] = {}
        self._size = 0
        self._touched: dict[str, None] = {}

    @property
    def pending(self) -> int:
        """Bytes that are not written yet."""
        return self._size

    def append(self, path: str, attempt: int, stream: str | int, offset: int, time: float, data: bytes) -> None:
        """Take a chunk; it is written by the next `flush`, or at once when much waits.

        Args:
            path: Path of the task.
            attempt: Attempt.
            stream: `stdout` or `stderr`, or 0 or 1.
            offset: Byte offset in the stream.
            time: Seconds since the epoch when it was read.
            data: The bytes.
        """
        if not data:
            return
        number = stream if isinstance(stream, int) else _STREAMS.index(stream)
        span = self._spans.get((path, attempt))
        if span is None:
            if self._appends and self._newest.end >= SEGMENT_LIMIT:
                self._newest = self._open()
            span = self._spans[path, attempt] = _Span(self._newest)
        span.waiting = True
        segment = span.segment
        segment.items.append((path, attempt, number, offset, time, len(data)))
        segment.chunks.append(data)
        self._dirty[segment.n] = segment
        self._size += len(data)
        if self._size >= FLUSH_SIZE:
            self._write()

    def flush(self) -> tuple[str, ...]:
        """Write what waits; kill-durable when it returns. The keys that were written since the last call."""
        self._write()
        touched = tuple(self._touched)
        self._touched.clear()
        return touched

    def location(self, path: str, attempt: int) -> LogLocation | None:
        """Where the attempt's log is, or will be after the next `flush`; None when it wrote nothing.

        To be asked when the attempt has ended. Cheaper for many attempts after one `flush` than between their
        chunks, since what waits must become a frame first.
        """
        span = self._spans.get((path, attempt))
        if span is None:
            return None
        if span.waiting:
            self._encode(span.segment)
        if self._appends:
            return f"{self._fence:06d}-{span.segment.n:06d}", span.begin, span.end
        return f"{self._fence:06d}-{span.begin:06d}:{span.end:06d}", 0, 0

    def forget(self, path: str, attempt: int) -> None:
        """The attempt has ended and its location is known."""
        self._spans.pop((path, attempt), None)

    def close(self) -> None:
        """Write what waits."""
        self._write()

    def _open(self) -> _Segment:
        segment = _Segment(self._n)
        self._n += 1
        return segment

    def _encode(self, segment: _Segment) -> None:
        """Make a frame of the chunks that wait for a segment."""
        items, segment.items = segment.items, []
        chunks, segment.chunks = segment.chunks, []
        buffers, _ = encode_frame(LOG_MAGIC, items, chunks)
        if self._appends:
            number, begin = segment.n, segment.end
            segment.end = end = begin + sum(map(len, buffers))
        else:
            number = begin = end = self._n
            self._n += 1
        segment.frames.append((number, cast("list[Buffer]", buffers)))
        for item in items:
            span = self._spans.get((item[0], item[1]))
            if span is not None:
                span.begin = begin if span.begin < 0 else span.begin
                span.end = end
                span.waiting = False

    def _write(self) -> None:
        dirty, self._dirty = self._dirty, {}
        self._size = 0
        for segment in dirty.values():
            if segment.items:
                self._encode(segment)
            frames, segment.frames = segment.frames, []
            if self._appends:
                frames = [(segment.n, [buffer for _, buffers in frames for buffer in buffers])]
            for number, buffers in frames:
                key = log_key(self._run, self._fence, number)
                if not self._appends:
                    self._store.put(key, buffers)
                else:
                    self._append(segment, key, buffers)
                self._touched[key] = None

    def _append(self, segment: _Segment, key: str, buffers: list[Buffer]) -> None:
        try:
            end = cast(SupportsAppend, self._store).append(key, buffers)
            if end != segment.end:
                raise CorruptDataError(f"{key} ends at {end}, not {segment.end}: part of it was lost")
        except BaseException:
            # Frames that follow would not be where their locations say.
            fresh = self._open()
            self._newest = fresh if segment is self._newest else self._newest
            for span in self._spans.values():
                if span.segment is segment:
                    span.segment, span.begin, span.end = fresh, -1, -1
            raise


def _entries(frame: Frame) -> Iterator[LogEntry]:
    at = 0
    for path, attempt, stream, offset, time, length in frame.items():
        yield LogEntry(path, attempt, _STREAMS[stream], offset, time, frame.data[at : at + length])
        at += length


def read_log(store: DataStore, run: str, location: LogLocation, path: str, attempt: int) -> Iterator[LogEntry]:
    """What an attempt wrote, in the order in which it was read.

    Raises:
        ArtifactGoneError: The log segment is gone.
        CorruptDataError: The log is damaged; what comes before the damage was given.
    """
    name, begin, end = location
    fence, _, numbers = name.partition("-")
    first, colon, last = numbers.partition(":")
    for n in range(int(first), int(last if colon else first) + 1):
        key = log_key(run, int(fence), n)
        try:
            found = store.get(key, byte_range=None if colon else (begin, end))
        except NotFoundError as error:
            raise ArtifactGoneError(f"the log of {path} is gone: {key} is not in {store.url}") from error
        reached = 0
        with found:
            for frame in read_frames(found.stream, found.length, LOG_MAGIC, keep_data=True):
                reached = frame.end
                for entry in _entries(frame):
                    if entry.path == path and entry.attempt == attempt:
                        yield entry
        if reached != (found.length if colon else end - begin):
            raise CorruptDataError(f"the log of {path} is damaged: {key} in {store.url} from byte {begin + reached}")


def tail_log(
    store: DataStore,
    run: str,
    location: LogLocation,
    path: str,
    attempt: int,
    *,
    lines: int,
    stream: str | None = None,
) -> list[tuple[float, bytes]]:
    """The last lines that an attempt wrote, each with the time when its end was read.

    Args:
        store: The run's data store.
        run: Run id.
        location: Where the log is.
        path: Path of the task.
        attempt: Attempt.
        lines: Number of lines.
        stream: Only this stream.
    """
    found: deque[tuple[float, bytes]] = deque(maxlen=lines)
    rest: dict[str, bytes] = {}
    last: dict[str, float] = {}
    for entry in read_log(store, run, location, path, attempt):
        if stream is not None and entry.stream != stream:
            continue
        *whole, rest[entry.stream] = (rest.get(entry.stream, b"") + entry.data).split(b"\n")
        last[entry.stream] = entry.time
        found.extend((entry.time, line) for line in whole)
    found.extend((last[name], line) for name, line in rest.items() if line)
    return list(found)


class LogFollower:
    """Reads the logs of a whole run as they grow, without the locations that only ended tasks have.

    Args:
        store: The run's data store.
        run: Run id.
    """

    def __init__(self, store: DataStore, run: str) -> None:
        self._store = store
        self._run = run
        self._ends: dict[str, int] = {}

    def read(self) -> Iterator[LogEntry]:
        """What was written since the last call, segment by segment."""
        for info in list(self._store.scan(logs_prefix(self._run))):
            begin = self._ends.get(info.key, 0)
            if info.size <= begin:
                continue
            try:
                found = self._store.get(info.key, byte_range=(begin, info.size))
            except NotFoundError:
                continue
            with found:
                for frame in read_frames(found.stream, found.length, LOG_MAGIC, keep_data=True, offset=begin):
                    self._ends[info.key] = frame.end
                    yield from _entries(frame)
