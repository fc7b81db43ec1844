"""Whether and how frames are compressed: zstd, where a sample says that it pays."""

from __future__ import annotations

from _thread import _local as Local  # not `threading`, see `dovetail.worker.forking.preload`
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from dovetail.interfaces.datastore import Buffer

__all__ = ["compress", "decompress", "pays"]

_SAMPLES, _SAMPLE_SIZE = 16, 4096
_LEVEL: Final = 1
"""Level 3 gains a tenth and takes twice the time."""
_of_thread = Local()


def pays(frame: memoryview, *, gain: float) -> bool:
    """Whether a frame shrinks to less than 1 / `gain` of its size, judged by pieces from all over it."""
    step = max(_SAMPLE_SIZE, frame.nbytes // _SAMPLES)
    sample = b"".join(frame[at : at + _SAMPLE_SIZE] for at in range(0, frame.nbytes, step))
    return len(sample) > gain * len(compress(sample))


def compress(data: Buffer) -> bytes:
    """One zstd frame that names its size."""
    return bytes(_tools()[0].compress(data))


def decompress(data: Buffer, length: int) -> bytes:
    """The bytes of a zstd frame.

    Args:
        data: The frame.
        length: Bytes that it holds; more are never made.

    Raises:
        ValueError: It is not a zstd frame of this length.
    """
    import zstandard

    try:
        found = zstandard.frame_content_size(data)
        if found != length:
            raise ValueError(f"it says that it holds {found} bytes, not {length}")
        return bytes(_tools()[1].decompress(data))
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from error


def _tools() -> tuple[Any, Any]:
    """Compressor and decompressor of this thread: they are not thread-safe, and take long to make."""
    tools: tuple[Any, Any] | None = getattr(_of_thread, "tools", None)
    if tools is None:
        import zstandard

        tools = _of_thread.tools = zstandard.ZstdCompressor(level=_LEVEL), zstandard.ZstdDecompressor()
    return tools
