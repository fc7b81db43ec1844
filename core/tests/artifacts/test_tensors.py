"""Tensors: of PyTorch and JAX where they are installed, and dictionaries of them or of NumPy arrays."""

from __future__ import annotations

import json
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
from serialized import REGISTRY, back, describe, digest, round_trip, rows

from dovetail.interfaces.errors import CorruptDataError


def test_dictionaries_of_arrays() -> None:
    base = np.arange(12, dtype="f4").reshape(3, 4)
    value = {"w": base, "column": base[:, 1], "none": np.zeros((0, 2)), "flag": np.array(True)}
    loaded = round_trip(value, "tensors")
    assert list(loaded) == list(value)
    for name, array in value.items():
        assert np.array_equal(loaded[name], array)
        assert loaded[name].dtype == array.dtype
        assert loaded[name].flags.writeable
    assert digest(loaded) == digest(value)
    assert type(round_trip(OrderedDict(value), "tensors")) is OrderedDict
    assert describe(value)["tensors"][:2] == [["w", "F32", [3, 4]], ["column", "F32", [3]]]


def test_the_same_memory_stays_the_same() -> None:
    array = np.ones(5)
    value = {"a": array, "b": array, "tail": array[1:]}
    written = REGISTRY.serialize(value)
    assert [len(frame) for frame in written.frames] == [40, 32]
    loaded = back(written)
    loaded["a"][1] = 7
    assert loaded["b"][1] == 7
    assert loaded["tail"][0] == 1  # a part of it is apart


@pytest.mark.parametrize(
    ("value", "serializer"),
    [
        ({"a": np.ones(2), "b": 1}, "pickle"),
        ({1: np.ones(2)}, "pickle"),
        ({"a": np.array([None])}, "pickle"),
        ({"a": np.array(["text"])}, "pickle"),
        ({"a": np.ones(2, ">f8")}, "pickle"),
        ({}, "json"),
    ],
    ids=str,
)
def test_other_dictionaries(value: Any, serializer: str) -> None:
    assert REGISTRY.serialize(value).serializer == serializer


def test_a_frame_of_another_size_is_refused() -> None:
    header = {"kind": "tensor", "framework": "numpy", "tensors": [{"dtype": "F32", "shape": [2]}]}
    with pytest.raises(CorruptDataError, match="4 bytes"):
        REGISTRY.by_id("tensors").load(json.dumps(header).encode(), [memoryview(bytearray(4))])


def same(a: Any, b: Any) -> bool:
    kinds = (type(a), a.dtype, a.shape, a.requires_grad) == (type(b), b.dtype, b.shape, b.requires_grad)
    return bool(kinds and a.detach().flatten().tolist() == b.detach().flatten().tolist())


def test_torch_tensors() -> None:
    torch = pytest.importorskip("torch")
    for tensor in (
        torch.arange(6).reshape(2, 3),
        torch.arange(6).reshape(2, 3).t(),
        torch.arange(10)[::3],
        torch.tensor(1.5),
        torch.empty(0, 3),
        torch.randn(3).bfloat16(),
        torch.randn(3).to(torch.float8_e4m3fn).float(),
        torch.randn(2, dtype=torch.complex64).conj(),
        torch.tensor([True, False]),
        torch.ones(2, dtype=torch.uint16),
        torch.nn.Parameter(torch.ones(2)),
        torch.nn.Parameter(torch.ones(2), requires_grad=False),
        torch.ones(2, requires_grad=True),
    ):
        loaded = round_trip(tensor, "tensors")
        assert same(loaded, tensor)
        assert digest(loaded) == digest(tensor)
    found, read = rows(torch.arange(3000).reshape(1000, 3), 10, 12)
    assert found.tolist() == [[30, 31, 32], [33, 34, 35]]
    assert read == 48
    tensor = torch.arange(1000)
    assert np.shares_memory(np.frombuffer(REGISTRY.serialize(tensor).frames[0], "u1"), tensor.numpy())
    assert describe(tensor) == {"dtype": "I64", "shape": [1000], "framework": "torch", "rows": 1000}


def test_state_dicts_with_tied_weights() -> None:
    torch = pytest.importorskip("torch")
    layer = torch.nn.Linear(2, 3)
    model = torch.nn.Sequential(layer, torch.nn.BatchNorm1d(3), layer)
    state = model.state_dict()
    loaded = round_trip(state, "tensors")
    assert type(loaded) is OrderedDict
    assert loaded._metadata == state._metadata
    assert loaded["0.weight"].data_ptr() == loaded["2.weight"].data_ptr()
    other = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3), torch.nn.Linear(2, 3))
    assert str(other.load_state_dict(loaded)) == "<All keys matched successfully>"
    assert all(same(value, state[name]) for name, value in other.state_dict().items())


def test_torch_tensors_without_a_layout_are_pickled() -> None:
    torch = pytest.importorskip("torch")
    named = torch.ones(2)
    named.mine = 1
    for value in (torch.ones(2, 2).to_sparse(), named, {"a": torch.ones(1), "b": np.ones(1)}):
        assert REGISTRY.serialize(value).serializer == "pickle"


def test_jax_arrays() -> None:
    jax = pytest.importorskip("jax")
    for array in (jax.numpy.arange(6.0).reshape(2, 3), jax.numpy.ones(3, "bfloat16"), jax.numpy.zeros((0, 2))):
        loaded = round_trip(array, "tensors")
        assert type(loaded) is type(array)
        assert loaded.dtype == array.dtype
        assert np.array_equal(np.asarray(loaded), np.asarray(array))
