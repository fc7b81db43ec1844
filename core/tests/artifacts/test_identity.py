"""Identity: the same value has the same digest everywhere, and it is what the documentation says."""

from __future__ import annotations

import os
import subprocess
import sys

import msgpack
import pytest
from amounts import examples
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail.artifacts.identity import (
    LEAF_SIZE,
    digest_of,
    frame_leaves,
    outputs_digest,
    simple_digest,
    value_digest,
)
from dovetail.artifacts.serializers.registry import SerializerRegistry
from dovetail.interfaces.artifacts import SerializedValue


def by_the_book(serializer: str, header: bytes, frames: list[bytes]) -> bytes:
    """The identity, written from its documentation."""
    listed = [
        [len(frame), [blake3(frame[at : at + 65536]).digest() for at in range(0, len(frame), 65536)]]
        for frame in frames
    ]
    return blake3(b"dovetail-value-1\0" + msgpack.packb([serializer, header, listed])).digest()


SIZES = [0, 1, 127, 128, 255, 256, LEAF_SIZE - 1, LEAF_SIZE, LEAF_SIZE + 1, 3 * LEAF_SIZE]


@pytest.mark.parametrize("size", SIZES)
def test_one_frame(size: int) -> None:
    frame = bytes(i * 7 % 251 for i in range(size))
    expected = by_the_book("x", b"", [frame])
    assert simple_digest("x", frame) == expected
    assert value_digest("x", b"", [frame_leaves(frame)]) == expected


@given(st.text(), st.binary(), st.lists(st.binary(max_size=300), max_size=5))
def test_any_frames(serializer: str, header: bytes, frames: list[bytes]) -> None:
    assert digest_of(SerializedValue(serializer, header, frames, "t")) == by_the_book(serializer, header, frames)


def test_what_counts() -> None:
    base = digest_of(SerializedValue("a", b"h", [b"12", b"3"], "t"))
    assert digest_of(SerializedValue("a", b"h", [b"12", b"3"], "other type name")) == base
    for other in (
        SerializedValue("b", b"h", [b"12", b"3"], "t"),
        SerializedValue("a", b"i", [b"12", b"3"], "t"),
        SerializedValue("a", b"h", [b"1", b"23"], "t"),
        SerializedValue("a", b"h", [b"12", b"3", b""], "t"),
    ):
        assert digest_of(other) != base


def test_shape_of_a_buffer_does_not_count() -> None:
    import array

    numbers = array.array("d", [1.0, 2.0, 3.0])
    assert frame_leaves(memoryview(numbers)) == frame_leaves(numbers.tobytes())


@settings(max_examples=examples(50))
@given(st.dictionaries(st.text(min_size=1), st.binary(min_size=32, max_size=32)))
def test_outputs_digest_ignores_order(digests: dict[str, bytes]) -> None:
    turned = dict(reversed(list(digests.items())))
    assert outputs_digest(digests) == outputs_digest(turned)
    pairs = [[name, digests[name]] for name in sorted(digests)]
    assert outputs_digest(digests) == blake3(msgpack.packb(pairs)).digest()


PROGRAM = """
import dataclasses, datetime, decimal, sys
from dovetail.artifacts.identity import digest_of
from dovetail.artifacts.serializers.registry import SerializerRegistry
words = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta"] * 3
class Bag:
    def __init__(self): self.tags = set(words); self.seen = frozenset((w, len(w)) for w in words)
Bag.__module__ = "bags"
import types
sys.modules["bags"] = types.ModuleType("bags"); sys.modules["bags"].Bag = Bag; Bag.__qualname__ = "Bag"
values = [
    None, True, 0, -5, 2**62, 1.5, -0.0, 1e300, "", "text \\u00fc", [], {}, [1, [2.5, None], {"a": [True]}],
    {"b": 1, "a": {"z": 0}}, b"", b"bytes" * 50000, (1, 2), {1: 2}, 2**70, float("nan"), float("inf"),
    set(words), frozenset(words), {"s": set(words), "t": (frozenset({("x", 1), ("y", 2.5), None}),)},
    {frozenset({"a", "b"}), frozenset({"c", "b"}), 1, "x"}, Bag(), list(range(20000)),
    datetime.datetime(2024, 2, 29), decimal.Decimal("1.10"), "lone \\ud800",
]
for value in values:
    print(digest_of(SerializerRegistry().serialize(value)).hex())
"""


def test_same_digests_in_every_process_and_with_every_hash_seed() -> None:
    def digests(seed: str) -> list[str]:
        env = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run([sys.executable, "-c", PROGRAM], env=env, capture_output=True, text=True, check=True)
        return done.stdout.split()

    first = digests("0")
    assert len(first) == len(set(first)) == 30
    assert digests("1") == first
    assert digests("4242") == first


def test_equal_sets_built_differently_have_one_digest() -> None:
    serializers = SerializerRegistry()
    # Integers that collide in a small table come out in the order in which they went in.
    up, down = [0, 8], [8, 0]
    forwards, backwards = set(up), set(down)
    assert list(forwards) != list(backwards)
    assert digest_of(serializers.serialize(forwards)) == digest_of(serializers.serialize(backwards))
