"""Serializers: what they take, that it comes back equal and mutable, and what is said of what can't be stored."""

from __future__ import annotations

import io
import json
import math
import subprocess
import sys
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, ClassVar

import pytest
from amounts import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail.artifacts.caught import CaughtError
from dovetail.artifacts.serializers.json_text import NODE_LIMIT
from dovetail.artifacts.serializers.pickled import PickleSerializer
from dovetail.artifacts.serializers.registry import SerializerRegistry
from dovetail.interfaces.artifacts import DeclinedError, SerializedValue, Serializer
from dovetail.interfaces.errors import PluginConflictError, PluginNotFoundError, UnpicklableError
from dovetail.interfaces.stored import Stored
from dovetail.interfaces.tasks import ErrorReport

REGISTRY = SerializerRegistry()


def back(value: SerializedValue) -> Any:
    frames = [memoryview(bytearray(frame)) for frame in value.frames]
    return REGISTRY.by_id(value.serializer).load(value.header, frames)


def round_trip(value: Any) -> Any:
    return back(REGISTRY.serialize(value))


def same(a: Any, b: Any) -> bool:
    """Equal, types and orders included; nan equals nan."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return repr(a) == repr(b)
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(x, y) for x, y in zip(a.values(), b.values(), strict=True))
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.binary()
HASHABLE = st.none() | st.booleans() | st.integers() | st.text() | st.binary() | st.tuples(st.integers(), st.text())
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(HASHABLE, inner)
        | st.tuples(inner, inner)
        | st.sets(HASHABLE)
        | st.frozensets(HASHABLE)
    ),
)


@settings(max_examples=examples(120))
@given(VALUES)
def test_round_trip(value: Any) -> None:
    written = REGISTRY.serialize(value)
    assert same(back(written), value)
    assert REGISTRY.for_value(value).id == written.serializer


@settings(max_examples=examples(50))
@given(VALUES)
def test_writing_again_gives_the_same_bytes(value: Any) -> None:
    first, second = REGISTRY.serialize(value), REGISTRY.serialize(value)
    assert (first.header, list(first.frames)) == (second.header, list(second.frames))


class Colour(IntEnum):
    RED = 1


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (-7, "-7"),
        (2**63 - 1, "9223372036854775807"),
        (0.1, "0.1"),
        (1e16, "1e+16"),
        ('quote " and ü', '"quote \\" and ü"'),
        ([1, {"b": None, "a": []}], '[1,{"b":null,"a":[]}]'),
    ],
)
def test_json_text(value: Any, text: str) -> None:
    written = REGISTRY.serialize(value)
    assert (written.serializer, written.header, written.frames) == ("json", b"", [text.encode()])
    assert same(json.loads(text), value)


SHARED: list[int] = [1]
CYCLE: list[Any] = []
CYCLE.append(CYCLE)


@pytest.mark.parametrize(
    "value",
    [
        (1, 2),
        {1: 2},
        {None: 1},
        2**63,
        math.nan,
        [math.inf],
        OrderedDict(a=1),
        Colour.RED,
        [Colour.RED],
        {"a": (1,)},
        "lone \ud800",
        ["lone \udfff"],
        [SHARED, SHARED],
        CYCLE,
        [0] * (NODE_LIMIT + 1),
        bytearray(b"x"),
    ],
    ids=repr,
)
def test_what_json_would_change_goes_to_pickle(value: Any) -> None:
    assert REGISTRY.serialize(value).serializer == "pickle"


def test_deep_nesting_goes_to_pickle() -> None:
    deep: list[Any] = []
    for _ in range(100):
        deep = [deep]
    assert REGISTRY.serialize(deep).serializer == "pickle"
    assert same(round_trip(deep), deep)


def test_sharing_survives() -> None:
    loaded = round_trip([SHARED, SHARED])
    assert loaded[0] is loaded[1]


def test_bytes_borrow() -> None:
    value = b"x" * 100
    assert REGISTRY.serialize(value).frames[0] is value


# -- numpy ------------------------------------------------------------------------------------------------------------


def test_arrays_are_out_of_band_and_come_back_writable() -> None:
    np = pytest.importorskip("numpy")
    array = np.arange(10_000.0)
    written = REGISTRY.serialize([array, array, np.arange(3)])
    assert [len(memoryview(frame)) for frame in written.frames[1:]] == [array.nbytes]
    assert memoryview(written.frames[1]).obj is not None  # borrowed, not copied
    loaded = back(written)
    loaded[0][0] = 7.0
    loaded[2][0] = 7
    assert loaded[1][0] == 7.0  # the same array twice stays one array
    assert array[0] == 0.0


def test_arrays_of_objects_are_pickled() -> None:
    np = pytest.importorskip("numpy")
    array = np.array([{"a": 1}, None], dtype=object)
    assert REGISTRY.serialize(array).serializer == "pickle"
    assert np.array_equal(round_trip(array), array)


# -- code by value ----------------------------------------------------------------------------------------------------


@dataclass
class Point:
    x: int
    tags: set[str] = field(default_factory=set)


def test_classes_of_modules_go_by_name() -> None:
    # What importlib mode calls this file can be imported again in this process only, which is enough here.
    written = REGISTRY.serialize(Point(3, {"a", "b"}))
    assert written.header == b""
    assert back(written) == Point(3, {"a", "b"})


def test_code_by_value_carries_the_interpreter() -> None:
    factor = 3
    written = REGISTRY.serialize(lambda x: x * factor)
    assert json.loads(written.header) == {"python": sys.implementation.cache_tag}
    assert back(written)(5) == 15


def test_code_of_another_python_is_refused_before_unpickling() -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return (exec, ("raise SystemExit('it was run')",))

    written = PickleSerializer().dump(Trap())
    foreign = json.dumps({"python": "cpython-27"}).encode()
    with pytest.raises(UnpicklableError, match=r"cpython-27 wrote"):
        PickleSerializer().load(foreign, [memoryview(written.frames[0])])


def test_data_that_only_cloudpickle_writes_has_no_tag() -> None:
    # A class by value without any function in it.
    kind = type("Bare", (), {"x": 1, "__module__": "__main__"})
    written = REGISTRY.serialize(kind)
    assert written.header == b""


def test_nothing_stored_names_main() -> None:
    program = """
import sys
from dovetail.artifacts.serializers.registry import SerializerRegistry
class Local:
    def __init__(self): self.x = 4
    def double(self): return self.x * 2
written = SerializerRegistry().serialize([Local()])
sys.stdout.buffer.write(written.frames[0])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    import pickle

    assert pickle.loads(done.stdout)[0].double() == 8


# -- what can't be stored ---------------------------------------------------------------------------------------------


class Model:
    def __init__(self) -> None:
        self.layers = [1, {"guard": threading.Lock()}]


class Slotted:
    __slots__ = ("handle",)


def test_blame_names_the_part_the_type_and_a_way_out() -> None:
    with pytest.raises(UnpicklableError) as caught:
        REGISTRY.serialize({"model": Model()})
    assert "['model'].layers[1]['guard'] is a _thread.lock" in caught.value.message
    assert "dict can't be stored" in caught.value.message
    assert caught.value.hint is not None
    assert "in the step that uses it" in caught.value.hint


def test_blame_of_the_value_itself() -> None:
    with pytest.raises(UnpicklableError, match="generator") as caught:
        REGISTRY.serialize(i for i in range(3))
    assert "list" in str(caught.value.hint)


def test_blame_looks_into_slots_closures_and_globals() -> None:
    slotted = Slotted()
    slotted.handle = open(sys.executable, "rb")  # noqa: SIM115
    with slotted.handle, pytest.raises(UnpicklableError, match=r": handle is a _io\.BufferedReader"):
        REGISTRY.serialize(slotted)
    lock = threading.Lock()
    with pytest.raises(UnpicklableError, match=r"<closure lock> is a _thread\.lock"):
        REGISTRY.serialize(lambda: lock)


def test_blame_of_endless_nesting() -> None:
    deep: Any = ()
    for _ in range(100_000):
        deep = (deep,)
    with pytest.raises(UnpicklableError) as caught:
        REGISTRY.serialize(deep)
    assert "nested too deeply" in str(caught.value.hint)
    while deep:  # or its deallocation nests as deeply
        (deep,) = deep


def test_blame_survives_user_code_that_fails() -> None:
    class Nasty:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError("no")

        def __reduce_ex__(self, protocol: int) -> Any:
            raise ValueError("never\nsecond line")

    with pytest.raises(UnpicklableError, match=r"can.t be stored: never"):
        REGISTRY.serialize(Nasty())


def test_a_type_that_is_gone_is_told() -> None:
    import pickle

    stream = pickle.dumps(Point(1), protocol=5).replace(b"Point", b"Joint")
    with pytest.raises(UnpicklableError, match=r"can't be loaded here: .*Joint"):
        PickleSerializer().load(b"", [memoryview(stream)])


# -- registry ---------------------------------------------------------------------------------------------------------


class Wave:
    def __init__(self, samples: bytes) -> None:
        self.samples = samples


class WaveSerializer(Serializer):
    id: ClassVar[str] = "wave"

    def accepts(self, value: object) -> bool:
        return isinstance(value, (Wave, int))

    def dump(self, value: Any) -> SerializedValue:
        return SerializedValue(self.id, b"8bit", [value.samples], "Wave")

    def load(self, header: bytes, frames: Sequence[memoryview]) -> Any:
        return Wave(bytes(frames[0]))


def test_plugins_serializers_come_before_pickle_and_after_plain_data() -> None:
    registry = SerializerRegistry([WaveSerializer()])
    assert registry.serialize(Wave(b"abc")).serializer == "wave"
    assert registry.for_value(Wave(b"abc")).id == "wave"
    assert registry.serialize(5).serializer == "json"
    assert registry.serialize(b"5").serializer == "bytes"


class FussyWave(WaveSerializer):
    id: ClassVar[str] = "fussy"

    def dump(self, value: Any) -> SerializedValue:
        raise DeclinedError("too loud")


def test_a_value_that_is_declined_goes_to_the_next() -> None:
    registry = SerializerRegistry([FussyWave(), WaveSerializer()])
    assert registry.serialize(Wave(b"abc")).serializer == "wave"
    assert registry.identify(Wave(b"abc")).serializer == "wave"
    assert SerializerRegistry([FussyWave()]).serialize(Wave(b"abc")).serializer == "pickle"


def test_a_serializer_that_is_asked_for_by_name_is_the_only_one() -> None:
    registry = SerializerRegistry([FussyWave(), WaveSerializer()])
    assert registry.serialize(Stored(5, "pickle")).serializer == "pickle"
    assert registry.for_value(Stored(5, "pickle")).id == "pickle"
    assert registry.identify(Stored(Wave(b""), "wave")).serializer == "wave"
    with pytest.raises(UnpicklableError, match="can't be stored by the serializer 'fussy': too loud"):
        registry.serialize(Stored(Wave(b"abc"), "fussy"))
    with pytest.raises(UnpicklableError, match="type tuple can't be stored by the serializer 'wave'"):
        registry.serialize(Stored((5,), "wave"))
    with pytest.raises(PluginNotFoundError, match="'flac'"):
        registry.serialize(Stored(5, "flac"))


def test_a_plugin_can_take_the_place_of_an_embedded_serializer() -> None:
    class OwnArrays(WaveSerializer):
        id: ClassVar[str] = "ndarray"

    own = OwnArrays()
    assert SerializerRegistry([own]).by_id("ndarray") is own


def test_ids_are_unique() -> None:
    with pytest.raises(PluginConflictError, match="wave"):
        SerializerRegistry([WaveSerializer(), WaveSerializer()])


def test_an_unknown_id_is_told() -> None:
    with pytest.raises(PluginNotFoundError, match="'avro'"):
        REGISTRY.by_id("avro")


# -- caught error -----------------------------------------------------------------------------------------------------


def test_caught_error() -> None:
    report = ErrorReport(type="ValueError", message="bad", traceback="Traceback ...", bases=("ValueError",))
    error = CaughtError.from_report(report)
    assert error
    assert str(error) == "ValueError: bad"
    written = REGISTRY.serialize(error)
    assert written.serializer == "caught-error"
    assert back(written) == error
    died = CaughtError(type="", message="killed by SIGKILL", kind="signal")
    assert str(died) == "killed by SIGKILL"
    assert io.StringIO  # the value is data: no exception class is needed to read it
