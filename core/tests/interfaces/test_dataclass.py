"""The quick `dataclass` makes what the standard library's makes."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
import sys
from typing import Any, ClassVar

import pytest

from dovetail.interfaces.dataclass import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Quick:
    """With a field of each kind."""

    name: str
    size: int = 3
    tags: list[str] = dataclasses.field(default_factory=list)
    secret: str = dataclasses.field(default="s", repr=False, compare=False)
    KIND: ClassVar[str] = "quick"

    @property
    def doubled(self) -> int:
        return self.size * 2


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Standard:
    """With a field of each kind."""

    name: str
    size: int = 3
    tags: list[str] = dataclasses.field(default_factory=list)
    secret: str = dataclasses.field(default="s", repr=False, compare=False)
    KIND: ClassVar[str] = "quick"


@dataclass(frozen=True, slots=True)
class Point:
    x: int
    y: int = 0

    def __post_init__(self) -> None:
        if self.y < 0:
            raise ValueError("below")


@dataclass(frozen=True, slots=True)
class Nothing:
    pass


@dataclass(frozen=True, slots=True)
class Further(Point):
    z: int = 1


def test_it_reads_as_the_standard_one() -> None:
    quick, standard = Quick(name="a", size=4), Standard(name="a", size=4)
    assert repr(quick) == repr(standard).replace("Standard", "Quick")
    assert dataclasses.asdict(quick) == dataclasses.asdict(standard)
    assert [(f.name, f.type, f.default) for f in dataclasses.fields(Quick)] == [
        (f.name, f.type, f.default) for f in dataclasses.fields(Standard)
    ]
    assert list(inspect.signature(Quick).parameters) == list(inspect.signature(Standard).parameters)
    assert Quick.__doc__ == Standard.__doc__
    assert (Quick.__module__, Quick.__qualname__, Quick.KIND) == (__name__, "Quick", "quick")
    made: Any = Quick
    usual: Any = Standard
    assert made.__match_args__ == usual.__match_args__
    assert made.__slots__ == usual.__slots__
    assert quick.doubled == 8


def test_it_compares_as_the_standard_one() -> None:
    assert Quick(name="a", secret="x") == Quick(name="a", secret="y")
    assert Quick(name="a") != Quick(name="b")
    other: object = Standard(name="a")
    assert other != Quick(name="a")
    assert hash(Point(1)) == hash(Point(1, 0))
    assert len({Point(1), Point(1, 0), Point(2)}) == 2
    assert Nothing() == Nothing()
    assert hash(Nothing()) == hash(Nothing())
    with pytest.raises(TypeError):
        hash(Quick(name="a"))  # it holds a list


def test_it_is_frozen_and_has_no_other_attributes() -> None:
    point: Any = Point(1)
    with pytest.raises(dataclasses.FrozenInstanceError, match="'x'"):
        point.x = 2
    with pytest.raises(dataclasses.FrozenInstanceError, match="'x'"):
        del point.x
    with pytest.raises(dataclasses.FrozenInstanceError):
        point.other = 2
    assert not hasattr(point, "__dict__")


def test_defaults_are_made_for_each() -> None:
    first, second = Quick(name="a"), Quick(name="a")
    first.tags.append("t")
    assert second.tags == []


def test_it_refuses_wrong_arguments() -> None:
    quick: Any = Quick
    with pytest.raises(TypeError, match="name"):
        quick()
    with pytest.raises(TypeError, match="other"):
        quick(name="a", other=1)
    with pytest.raises(TypeError, match="positional"):
        quick("a")
    with pytest.raises(ValueError, match="below"):
        Point(1, -1)


@pytest.mark.parametrize("value", [Quick(name="a", tags=["x"]), Point(1, 2), Nothing(), Further(1, 2, 3)], ids=repr)
def test_it_survives_pickles_and_copies(value: Any) -> None:
    assert pickle.loads(pickle.dumps(value)) == value
    assert copy.deepcopy(value) == value
    assert dataclasses.replace(value) == value


def test_replace_checks_again() -> None:
    assert dataclasses.replace(Point(1), y=2) == Point(1, 2)
    with pytest.raises(ValueError, match="below"):
        dataclasses.replace(Point(1), y=-1)


def test_patterns_match_it() -> None:
    match Point(3, 4):
        case Point(x, y):
            assert (x, y) == (3, 4)


def test_classes_that_inherit_are_made_by_the_standard_library() -> None:
    assert Further(1, 2, 3) == Further(1, 2, 3)
    assert repr(Further(1)) == "Further(x=1, y=0, z=1)"
    further: Any = Further(1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        further.z = 3


@pytest.mark.skipif(sys.version_info < (3, 13), reason="copy.replace is new in Python 3.13")
def test_copy_replaces() -> None:
    assert vars(copy)["replace"](Point(1), y=2) == Point(1, 2)
