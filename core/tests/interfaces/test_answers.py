"""What an answer can be, in words and field by field."""

from __future__ import annotations

from typing import Any

import pytest

from dovetail.interfaces.answers import answer_in_words, answer_problems, fields_of

REFERRED = {
    "$defs": {"Who": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}},
    "type": "object",
    "properties": {
        "extra": {"anyOf": [{"$ref": "#/$defs/Who"}, {"type": "null"}]},
        "who": {"$ref": "#/$defs/Who"},
        "n": {"type": "integer", "minimum": 1, "exclusiveMaximum": 9},
    },
    "required": ["n", "who"],
}


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "boolean"}, "true or false"),
        ({"type": "integer", "minimum": 1, "exclusiveMaximum": 9}, "a whole number, at least 1, less than 9"),
        ({"type": "string", "minLength": 2}, "text, at least 2 characters long"),
        ({"enum": ["a", 1]}, "one of 'a', 1"),
        ({"const": 3}, "3"),
        ({"type": ["number", "null"]}, "a number or null"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}, {"type": "integer"}]}, "a whole number or null"),
        (REFERRED, "an object"),
        ({}, ""),
    ],
)
def test_in_words(schema: dict[str, Any], words: str) -> None:
    assert answer_in_words(schema) == words


def test_fields_stand_by_themselves_the_required_ones_first() -> None:
    fields = fields_of(REFERRED)
    assert fields is not None
    assert [(name, needed) for name, (_, needed) in fields.items()] == [("n", True), ("who", True), ("extra", False)]
    extra = fields["extra"][0]
    assert answer_in_words(extra) == "an object or null"
    assert answer_problems(extra, None) == answer_problems(extra, {"name": "ada"}) == []
    assert answer_problems(extra, {"name": 1}) == ["name: 1 is not text"]
    assert answer_problems(fields["who"][0], {}) == ["name: it is missing"]


@pytest.mark.parametrize("schema", [{"type": "boolean"}, {"type": "object"}, {"anyOf": [{"type": "object"}]}, {}])
def test_what_has_no_fields(schema: dict[str, Any]) -> None:
    assert fields_of(schema) is None
