"""What a fresh worker has read beyond the message that makes it one is not lost, not even half of a message."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from dovetail.worker.child import Inbox
from dovetail.worker.wire import Kind, pack, unpacker


@pytest.mark.parametrize("cut", range(9))
def test_a_message_cut_at_the_hand_over_is_put_together(cut: int) -> None:
    ours, theirs = socket.socketpair()
    taken: list[Any] = []

    class Executor:
        def save_constants(self) -> None:
            taken.append("saved")

    data = pack((Kind.SAVE,)) * 4 + pack((Kind.FINISH,))
    decoder = unpacker()
    decoder.feed(data[:cut])
    with ours, theirs:
        inbox = Inbox()
        inbox.begin(theirs, Executor(), decoder)  # type: ignore[arg-type]
        ours.sendall(data[cut:])
        assert inbox.wait() is False
    assert taken == ["saved"] * 4
