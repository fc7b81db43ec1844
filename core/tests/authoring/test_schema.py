"""JSON schemas of hints, and answers that are checked against them."""

from __future__ import annotations

import datetime
import enum
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Optional

import pytest
from typing_extensions import TypedDict

from dovetail.authoring.hints import coerced, plain
from dovetail.authoring.schema import schema_of
from dovetail.interfaces.answers import answer_problems, example_answer


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Size:
    width: int
    height: float = 1.0


@dataclass
class Order:
    size: Size
    colour: Colour = Colour.RED
    notes: list[str] = field(default_factory=list)
    by: Optional[str] = None  # noqa: UP045


class Named(TypedDict):
    name: str


class Row(Named, total=False):
    count: int


@pytest.mark.parametrize(
    ("hint", "good", "bad"),
    [
        (bool, [True, False], [1, "yes", None]),
        (int, [1, -3, 2.0], [1.5, True, "1"]),
        (float, [1, 1.5], ["1", False]),
        (str, ["", "a"], [1, None]),
        (None, [None], [0]),
        (Any, [1, "a", None, {}], []),
        (Optional[int], [None, 1], ["a", 1.5]),  # noqa: UP045
        (Literal["a", 1], ["a", 1], ["b", True]),
        (Colour, ["red"], ["green"]),
        (Annotated[int, "more"], [1], ["x"]),
        (list[int], [[], [1, 2]], [1, ["a"], {}]),
        (tuple[int, str], [[1, "a"]], [[1], [1, "a", 2], ["a", 1]]),
        (dict[str, int], [{}, {"a": 1}], [{"a": "b"}, []]),
        (datetime.date, ["2026-01-31"], [3]),
        (Size, [{"width": 1}, {"width": 1, "height": 2.5}], [{}, {"width": "a"}, {"width": 1, "depth": 2}, 3]),
        (Order, [{"size": {"width": 1}, "by": None}], [{"size": {"width": []}}, {"size": {}, "notes": [1]}]),
        (Row, [{"name": "a"}, {"name": "a", "count": 1}], [{"count": 1}, {"name": 1}]),
    ],
)
def test_a_schema_takes_what_a_hint_takes(hint: Any, good: list[Any], bad: list[Any]) -> None:
    schema = schema_of(hint)
    for value in good:
        assert answer_problems(schema, value) == []
        coerced(hint, value)
    for value in bad:
        assert answer_problems(schema, value), value
    assert answer_problems(schema, example_answer(schema)) == []


def test_problems_name_the_field() -> None:
    schema = schema_of(Order)
    wrong = answer_problems(schema, {"size": {"height": "x"}, "notes": ["a", 1], "colour": "green"})
    assert wrong == [
        "size.width: it is missing",
        "size.height: 'x' is not a number",
        "notes[1]: 1 is not text",
        "colour: 'green' is not one of 'red', 'blue'",
    ]


def test_a_default_is_in_the_schema() -> None:
    schema = schema_of(Order)
    assert schema["required"] == ["size"]
    assert schema["properties"]["colour"]["default"] == "red"
    assert plain(coerced(Order, example_answer(schema))) == plain(Order(Size(1)))


def test_references_and_alternatives() -> None:
    schema = {
        "$defs": {"Cat": {"type": "object", "properties": {"lives": {"type": "integer", "maximum": 9}}}},
        "type": "object",
        "properties": {"pet": {"anyOf": [{"$ref": "#/$defs/Cat"}, {"type": "null"}]}},
    }
    assert answer_problems(schema, {"pet": None}) == []
    assert answer_problems(schema, {"pet": {"lives": 3}}) == []
    assert answer_problems(schema, {"pet": {"lives": 10}}) == ["pet.lives: 10 is not at most 9"]
    assert answer_problems(schema, {"pet": 3}) == ["pet: 3 is not an object or null"]


def test_a_reference_to_itself_ends() -> None:
    schema = {"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/A"}}}
    assert answer_problems(schema, 1) == []
