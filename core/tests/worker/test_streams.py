"""Output is told apart at the marks, however the pipe cuts it."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from dovetail.worker.streams import MARK_LENGTH, NONCE_LENGTH, MarkReader, mark

NONCE = bytes(range(NONCE_LENGTH))
# Bytes of the nonce itself are likely, so that false beginnings of a mark appear.
OUTPUT = st.binary(max_size=40) | st.lists(st.integers(0, 4), max_size=40).map(bytes)


@given(st.lists(OUTPUT, min_size=1, max_size=8), st.data())
def test_pieces_come_back_by_task(written: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(piece + mark(NONCE, seq) for seq, piece in enumerate(written, 1)) + b"tail"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    reader = MarkReader(NONCE)
    found: dict[int, bytes] = defaultdict(bytes)
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        for seq, piece in reader.feed(stream[start:end]):
            found[seq] += piece
    for seq, piece in reader.flush():
        found[seq] += piece
    assert found[len(written) + 1] == b"tail"
    assert [found[seq] for seq in range(1, len(written) + 1)] == written


@given(OUTPUT)
def test_nothing_is_held_back_that_can_not_be_a_mark(output: bytes) -> None:
    reader = MarkReader(NONCE)
    told = b"".join(piece for _, piece in reader.feed(output + b"\xff"))
    assert told == output + b"\xff"


@given(OUTPUT)
def test_without_marks_everything_passes(output: bytes) -> None:
    reader = MarkReader(None)
    assert reader.feed(output) == ([(1, output)] if output else [])
    assert reader.flush() == []


def test_a_mark_has_a_fixed_length() -> None:
    assert len(mark(NONCE, 1)) == len(mark(NONCE, 2**32 - 1)) == MARK_LENGTH
