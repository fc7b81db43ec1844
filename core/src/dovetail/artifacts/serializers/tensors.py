"""`tensors`: PyTorch tensors, JAX arrays, and dictionaries of names to these or to NumPy arrays.

What safetensors holds, with a frame for each tensor instead of one for all. The header is `{"kind", "tensors"}` with
`{"dtype", "shape"}` of each, its `"name"` in a dictionary, and `"framework"`: `torch`, `jax` or `numpy`. Frames are the
elements in C order, little-endian. Tensors that are the same memory share a frame (`"same"`: its position), and memory
again when they are loaded; others that overlap come back apart. Tensors of other devices are loaded on the CPU.
"""

from __future__ import annotations

import math
import sys
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from dovetail.artifacts.serializers.headers import decode_header, encode_header
from dovetail.artifacts.serializers.json_text import json_frame
from dovetail.artifacts.serializers.type_names import type_name
from dovetail.interfaces.artifacts import DeclinedError, LazyFrame, SerializedValue, Serializer
from dovetail.interfaces.errors import CorruptDataError, PluginLoadError

__all__ = ["TensorSerializer"]

_TORCH = ("torch.Tensor", "torch.nn.parameter.Parameter")
_JAX = ("jaxlib._jax.ArrayImpl", "jaxlib.xla_extension.ArrayImpl")
_NUMPY = ("numpy.ndarray",)
_KINDS = {**dict.fromkeys(_TORCH, "torch"), **dict.fromkeys(_JAX, "jax"), **dict.fromkeys(_NUMPY, "numpy")}
_DTYPES = {
    "bool": "BOOL",
    "uint8": "U8",
    "int8": "I8",
    "uint16": "U16",
    "int16": "I16",
    "uint32": "U32",
    "int32": "I32",
    "uint64": "U64",
    "int64": "I64",
    "float16": "F16",
    "bfloat16": "BF16",
    "float32": "F32",
    "float64": "F64",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
    "complex64": "C64",
    "complex128": "C128",
}
"""The libraries' names of dtypes → those of safetensors."""
_NAMES = {name: dtype for dtype, name in _DTYPES.items()}
_ML_DTYPES = ("bfloat16", "float8_e4m3fn", "float8_e5m2")


def _framework(value: object) -> str | None:
    return _KINDS.get(type_name(type(value)))


def _torch() -> Any:
    try:
        import torch  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise PluginLoadError(
            "it holds PyTorch tensors, and torch is not installed", hint="pip install torch"
        ) from error
    return torch


class TensorSerializer(Serializer):
    """Tensors, alone and by name."""

    id: ClassVar[str] = "tensors"
    partial: ClassVar[bool] = True

    def accepts(self, value: object) -> bool:
        if type(value) is dict or type(value) is OrderedDict:
            first = next(iter(value.values()), None)
            framework = _framework(first)
            return framework is not None and all(
                type(name) is str and _framework(part) == framework for name, part in value.items()
            )
        return _framework(value) in ("torch", "jax")

    def dump(self, value: Any) -> SerializedValue:
        frames: list[memoryview | bytes] = []
        written: dict[Any, int] = {}
        content: dict[str, Any] = {"kind": "tensor"}
        if isinstance(value, dict):
            content["kind"] = "ordered" if type(value) is OrderedDict else "dict"
            content["framework"] = _framework(next(iter(value.values())))
            content["tensors"] = [{"name": name, **_write(part, frames, written)} for name, part in value.items()]
            content |= _metadata(value)
        else:
            content["framework"] = _framework(value)
            content["tensors"] = [_write(value, frames, written)]
        kin = ",".join(f"{node['dtype']}{node['shape']}" for node in content["tensors"])[:500]
        return SerializedValue(self.id, encode_header(content), frames, type_name(type(value)), raw=True, kin=kin)

    def load(self, header: bytes, frames: Sequence[memoryview]) -> Any:
        content = decode_header(header)
        framework, nodes = content["framework"], content["tensors"]
        source = iter(frames)
        loaded: list[Any] = []
        tensors: list[Any] = []
        for node in nodes:
            if "same" not in node:
                loaded.append(_elements(node, next(source), framework))
            tensors.append(_finished(node, loaded[node.get("same", -1)], framework))
        if content["kind"] == "tensor":
            return tensors[0]
        made: Any = OrderedDict() if content["kind"] == "ordered" else {}
        made.update(zip((node["name"] for node in nodes), tensors, strict=True))
        if "metadata" in content:
            made._metadata = OrderedDict(content["metadata"])
        return made

    def describe(self, header: bytes) -> Mapping[str, Any]:
        content = decode_header(header)
        nodes = content["tensors"]
        if content["kind"] != "tensor":
            return {"tensors": [[node["name"], node["dtype"], node["shape"]] for node in nodes]}
        shape = nodes[0]["shape"]
        told = {"dtype": nodes[0]["dtype"], "shape": shape, "framework": content["framework"]}
        return {**told, "rows": shape[0]} if shape else told

    def load_rows(self, header: bytes, frames: Sequence[LazyFrame], start: int, stop: int) -> Any:
        content = decode_header(header)
        node = content["tensors"][0]
        if content["kind"] != "tensor" or not node["shape"]:
            raise TypeError("only a single tensor has rows")
        row = math.prod(node["shape"][1:]) * _size(node["dtype"])
        part = {**node, "shape": [stop - start, *node["shape"][1:]]}
        elements = _elements(part, frames[0].read(start * row, stop * row), content["framework"])
        return _finished(part, elements, content["framework"])


# -- writing ------------------------------------------------------------------------------------------------------


def _write(value: Any, frames: list[memoryview | bytes], written: dict[Any, int]) -> dict[str, Any]:
    if sys.byteorder != "little":
        raise DeclinedError("tensors are written as little-endian processors have them")
    framework = _framework(value)
    if framework == "torch":
        return _write_torch(value, frames, written)
    import numpy as np

    array = np.asarray(value)
    node = {"dtype": _dtype(array.dtype.name if array.dtype.isnative else "swapped"), "shape": list(array.shape)}
    if framework == "jax" and getattr(value, "weak_type", False):
        raise DeclinedError("JAX arrays of a weak type have no layout of ours")
    flat: Any = np.ascontiguousarray(array).reshape(-1)
    where = (array.__array_interface__["data"][0], node["dtype"], array.shape, array.strides)
    return _placed(node, where, memoryview(flat.view(np.uint8)) if flat.size else b"", frames, written)


def _write_torch(tensor: Any, frames: list[memoryview | bytes], written: dict[Any, int]) -> dict[str, Any]:
    torch = _torch()
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type == "meta" or not tensor.is_leaf:
        raise DeclinedError("sparse, quantized and computed tensors have no layout of ours")
    if vars(tensor):
        raise DeclinedError("a tensor has attributes of its own")
    node: dict[str, Any] = {"dtype": _dtype(str(tensor.dtype).removeprefix("torch.")), "shape": list(tensor.shape)}
    if isinstance(tensor, torch.nn.Parameter):
        node["parameter"] = True
    if tensor.requires_grad:
        node["grad"] = True
    where = (tensor.data_ptr(), str(tensor.device), tensor.dtype, tensor.shape, tensor.stride())
    plain = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous()
    frame: memoryview | bytes = b""
    if plain.numel():
        frame = memoryview(plain.reshape(-1).view(torch.uint8).numpy())
    return _placed(node, where, frame, frames, written)


def _placed(
    node: dict[str, Any],
    where: Any,
    frame: memoryview | bytes,
    frames: list[memoryview | bytes],
    written: dict[Any, int],
) -> dict[str, Any]:
    """The node, its frame appended unless the same memory is there already."""
    if len(frame) and where in written:
        return {**node, "same": written[where]}
    written[where] = len(frames)
    frames.append(frame)
    return node


def _dtype(name: str) -> str:
    found = _DTYPES.get(name)
    if found is None:
        raise DeclinedError(f"tensors of {name} have no layout of ours")
    return found


def _metadata(value: Any) -> dict[str, Any]:
    """Versions of modules that PyTorch adds to a state dict."""
    attributes = dict(getattr(value, "__dict__", {}))
    metadata = attributes.pop("_metadata", None)
    if attributes:
        raise DeclinedError("a dictionary has attributes of its own")
    if metadata is None:
        return {}
    plain = dict(metadata)
    if json_frame(plain) is None:
        raise DeclinedError("the metadata of a state dict is not plain")
    return {"metadata": plain}


# -- reading ------------------------------------------------------------------------------------------------------


def _size(dtype: str) -> int:
    name = _NAMES[dtype]
    if name in _ML_DTYPES:
        return 2 if name == "bfloat16" else 1
    return 1 if name == "bool" else int("".join(filter(str.isdigit, name))) // 8


def _elements(node: dict[str, Any], frame: memoryview, framework: str) -> Any:
    """The tensor whose memory is `frame`."""
    dtype, shape = node["dtype"], node["shape"]
    if dtype not in _NAMES or math.prod(shape) * _size(dtype) != frame.nbytes:
        raise CorruptDataError(f"a tensor of {dtype} and shape {shape} has {frame.nbytes} bytes")
    name = _NAMES[dtype]
    if framework == "torch":
        torch = _torch()
        kind = getattr(torch, name)
        return torch.frombuffer(frame, dtype=kind).reshape(shape) if frame.nbytes else torch.empty(shape, dtype=kind)
    import numpy as np

    if name in _ML_DTYPES:
        import ml_dtypes  # type: ignore[import-not-found, unused-ignore]

        found = np.dtype(getattr(ml_dtypes, name))
    else:
        found = np.dtype(name)
    return np.ndarray(shape, found, frame) if frame.nbytes else np.empty(shape, found)


def _finished(node: dict[str, Any], elements: Any, framework: str) -> Any:
    if framework == "torch":
        grad = node.get("grad", False)
        if node.get("parameter"):
            return _torch().nn.Parameter(elements, requires_grad=grad)
        return elements.detach().requires_grad_(True) if grad else elements
    if framework == "jax":
        try:
            import jax.numpy  # type: ignore[import-not-found, unused-ignore]  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise PluginLoadError("it holds JAX arrays, and jax is not installed", hint="pip install jax") from error
        made = jax.numpy.asarray(elements)
        if made.dtype != elements.dtype:
            raise PluginLoadError(
                f"it holds JAX arrays of {elements.dtype}, which JAX here would cut to {made.dtype}",
                hint='Set jax.config.update("jax_enable_x64", True) before loading.',
            )
        return made
    return elements
