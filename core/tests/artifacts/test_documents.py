"""The check of JSON documents: every changed bit is told, and documents without one are read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from blake3 import blake3

from dovetail.artifacts.documents import encode_json, has_check, read_json
from dovetail.interfaces.errors import CorruptDataError

DOCUMENTS: list[Any] = [
    {"version": 1, "name": "Grüße", "inner": {"check": "x", "list": [1, 2.5, None]}},
    ["writer", 1, "kind", 5.0, "", {"add": ["x"]}],
    {"a": ""},
    [0],
]


@pytest.mark.parametrize("plain", DOCUMENTS, ids=repr)
def test_every_changed_bit_and_every_truncation_is_told(plain: Any) -> None:
    data = encode_json(plain)
    assert has_check(data)
    assert read_json(data, "it") == plain
    for at in range(8 * len(data)):
        bad = bytearray(data)
        bad[at // 8] ^= 1 << at % 8
        with pytest.raises(CorruptDataError, match=r"^it is"):
            read_json(bytes(bad), "it")
    for length in range(len(data)):
        with pytest.raises(CorruptDataError):
            read_json(data[:length], "it")


@pytest.mark.parametrize("plain", [*DOCUMENTS, {}, [], {"a": "check:" + "0" * 40}], ids=repr)
def test_documents_without_a_check_are_read_as_they_are(plain: Any) -> None:
    for text in (json.dumps(plain), json.dumps(plain, indent=1) + "\n"):
        if not has_check(text.encode()):
            assert read_json(text.encode(), "it") == plain
    assert read_json(encode_json(plain), "it") == plain


def test_the_form_that_the_page_tells() -> None:
    body = b'{"a":1'
    check = blake3(body).hexdigest()[:32].encode()
    assert encode_json({"a": 1}) == body + b',"check":"' + check + b'"}'
    assert json.loads(encode_json({"a": 1})) == {"a": 1, "check": check.decode()}
