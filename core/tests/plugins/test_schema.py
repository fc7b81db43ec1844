"""Typed settings: coercion, complaints, JSON and back."""

from __future__ import annotations

import contextlib
import enum
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovetail.interfaces.context import SecretRef
from dovetail.interfaces.errors import SettingsError
from dovetail.plugins.coercion import Mismatch, coerce
from dovetail.plugins.given import Given
from dovetail.plugins.schema import build, fields_of, json_schema, to_plain


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    host: str
    port: int = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    bucket: Annotated[str, "name of the bucket"]
    region: Annotated[str, "where it is"] = "eu"
    retries: int = 3
    ratio: float = 0.5
    fast: bool = False
    folder: Path | None = None
    mode: Literal["a", "b", 3] = "a"
    colour: Colour = Colour.RED
    token: SecretRef | None = None
    login: str | SecretRef = ""
    names: tuple[str, ...] = ()
    numbers: list[int] = field(default_factory=list)
    flags: frozenset[str] = frozenset()
    labels: Mapping[str, int] = field(default_factory=dict)
    proxy: Proxy | None = None
    extra: Any = None


def made(text: bool = False, base: Path | None = None, **values: Any) -> Example:
    return build(Example, {k: Given(v, "here", text, base) for k, v in values.items()}, where="store 'x'")


def test_from_a_file():
    found = made(
        bucket="b",
        retries=5,
        ratio=1,
        fast=True,
        mode=3,
        colour="blue",
        token={"secret": "env:TOKEN"},
        names=["a", "b"],
        flags=["x"],
        labels={"n": 1},
        proxy={"host": "h"},
        extra={"any": [1]},
    )
    assert found == Example(
        bucket="b",
        retries=5,
        ratio=1.0,
        fast=True,
        mode=3,
        colour=Colour.BLUE,
        token=SecretRef(provider="env", id="TOKEN"),
        names=("a", "b"),
        flags=frozenset("x"),
        labels={"n": 1},
        proxy=Proxy(host="h"),
        extra={"any": [1]},
    )


def test_from_text():
    found = made(
        text=True,
        bucket="8",
        retries="5",
        ratio="0.25",
        fast="on",
        mode="3",
        colour="RED",
        token="file:/run/secret",
        names="a, b",
        numbers="[1, 2]",
        labels="n=1,m=2",
        proxy='{"host": "h", "port": 81}',
        extra="[1]",
    )
    assert (found.bucket, found.retries, found.ratio, found.fast, found.mode) == ("8", 5, 0.25, True, 3)
    assert (found.names, found.numbers, found.labels) == (("a", "b"), [1, 2], {"n": 1, "m": 2})
    assert found.token == SecretRef(provider="file", id="/run/secret")
    assert (found.proxy, found.extra) == (Proxy(host="h", port=81), [1])


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("retries", "5", "must be a whole number, not '5'"),
        ("retries", True, "must be a whole number"),
        ("retries", 1.5, "must be a whole number"),
        ("ratio", "x", "must be a number"),
        ("fast", 1, "must be true or false"),
        ("region", 3, "must be text"),
        ("mode", "c", "must be one of a, b, 3"),
        ("colour", "green", "must be one of red, blue"),
        ("names", "a", "must be a list"),
        ("labels", ["a"], "must be a table"),
        ("labels", {"n": "x"}, "must be a whole number"),
        ("proxy", {"hots": "h"}, "Did you mean 'host'?"),
        ("region", {"secret": "env:X"}, "does not take a secret"),
        ("folder", 3, "must be a path"),
    ],
)
def test_what_does_not_fit(name, value, message):
    with pytest.raises(SettingsError) as caught:
        made(bucket="b", **{name: value})
    assert message in str(caught.value)
    assert f"store 'x': {name}" in str(caught.value)
    assert "(here)" in str(caught.value)


def test_everything_wrong_is_named_at_once():
    with pytest.raises(SettingsError) as caught:
        made(buckt="b", retries="x", fast="maybe")
    text = str(caught.value)
    assert text.startswith("4 settings are wrong:")
    assert "has no setting 'buckt' (here). Did you mean 'bucket'?" in text
    assert "needs bucket (str): name of the bucket" in text
    assert "retries must be" in text
    assert "fast must be" in text


@pytest.mark.parametrize("value", ["hunter2-is-my-password", {"secret": "hunter2"}, 5, ""])
def test_a_secret_given_as_a_value_is_refused_and_not_repeated(value):
    with pytest.raises(SettingsError) as caught:
        made(bucket="b", token=value)
    assert "hunter2" not in str(caught.value)
    assert "reference" in str(caught.value)


def test_text_or_secret():
    assert made(bucket="b", login="ada").login == "ada"
    assert made(bucket="b", login={"secret": "env:U"}).login == SecretRef(provider="env", id="U")


def test_relative_paths_start_at_the_file(tmp_path):
    assert made(bucket="b", folder="x", base=tmp_path).folder == tmp_path / "x"
    assert made(bucket="b", folder="/x", base=tmp_path).folder == Path("/x")


def test_hyphens_count_as_underscores():
    @dataclass(frozen=True)
    class Hyphens:
        max_size: int = 1

    assert build(Hyphens, {"max-size": Given(2)}, where="it").max_size == 2


def test_a_class_that_refuses_a_combination():
    @dataclass(frozen=True)
    class Picky:
        a: int = 0

        def __post_init__(self) -> None:
            if self.a > 1:
                raise ValueError("a must be small")

    with pytest.raises(SettingsError, match="it: a must be small"):
        build(Picky, {"a": Given(2)}, where="it")


def test_one_class_says_flags_variables_and_help():
    first = fields_of(Example)[0]
    assert (first.name, first.help, first.required, first.type_name) == ("bucket", "name of the bucket", True, "str")
    retries = fields_of(Example)[2]
    assert (retries.flag, retries.variable("datastore", "my-store"), retries.default) == (
        "--retries",
        "DOVETAIL__DATASTORE__MY_STORE__RETRIES",
        3,
    )


def test_json_schema():
    schema = json_schema(Example)
    assert schema["required"] == ["bucket"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["region"] == {"type": "string", "description": "where it is", "default": "eu"}
    assert schema["properties"]["mode"]["enum"] == ["a", "b", 3]
    assert schema["properties"]["proxy"]["anyOf"][0]["required"] == ["host"]
    json.dumps(schema)


plain = st.builds(
    Example,
    bucket=st.text(),
    retries=st.integers(),
    ratio=st.floats(allow_nan=False),
    fast=st.booleans(),
    folder=st.none() | st.just(Path("/tmp/x")),
    mode=st.sampled_from(["a", "b", 3]),
    colour=st.sampled_from(Colour),
    token=st.none() | st.builds(SecretRef, provider=st.sampled_from(["env", "vault"]), id=st.text(min_size=1)),
    names=st.lists(st.text()).map(tuple),
    numbers=st.lists(st.integers()),
    flags=st.frozensets(st.text()),
    labels=st.dictionaries(st.text(), st.integers()),
    proxy=st.none() | st.builds(Proxy, host=st.text(), port=st.integers()),
)


@given(plain)
def test_plain_data_reads_back(example):
    data = json.loads(json.dumps(to_plain(example)))
    assert build(Example, {k: Given(v) for k, v in data.items()}, where="it") == example


@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.booleans())
def test_text_of_a_value_is_the_value(value):
    assert coerce(str(value), type(value), text=True) == value


@given(st.text(), st.sampled_from([int, float, bool, list[int], dict[str, int], SecretRef, Literal["a"], Colour]))
def test_any_text_fits_or_is_refused(text, kind):
    with contextlib.suppress(Mismatch):
        coerce(text, kind, text=True)
