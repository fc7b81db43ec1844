from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovetail.client.pathspec import Pathspec, parse_pathspec, run_number, run_prefix
from dovetail.interfaces.errors import UsageError
from dovetail.interfaces.runs import RUN_ID, new_run_id


@pytest.mark.parametrize(
    ("text", "flow", "run", "rest"),
    [
        ("Flow", "Flow", None, ()),
        ("Flow/01k5", "Flow", "01k5", ()),
        ("01K5", None, "01k5", ()),
        ("01k5/train[3,0]/y", None, "01k5", ("train[3,0]", "y")),
        ("Flow/train[3]", "Flow", None, ("train[3]",)),
        ("Flow/01k5/train/7/y", "Flow", "01k5", ("train", "7", "y")),
        (" Flow/01k5/ ", "Flow", "01k5", ()),
    ],
)
def test_parts(text: str, flow: str | None, run: str | None, rest: tuple[str, ...]) -> None:
    assert parse_pathspec(text) == Pathspec(flow=flow, run=run, rest=rest)


@pytest.mark.parametrize("text", ["", "/", "Flow//x", "  "])
def test_what_names_nothing(text: str) -> None:
    with pytest.raises(UsageError, match="names nothing"):
        parse_pathspec(text)


@given(st.integers(min_value=1_000_000_000_000, max_value=9_999_999_999_999))
def test_the_number_of_a_run_finds_it(milliseconds: int) -> None:
    run = new_run_id(milliseconds / 1000)
    assert RUN_ID.fullmatch(run)
    assert run.startswith(run_prefix(str(run_number(run))))


def test_a_prefix_is_no_number() -> None:
    assert run_prefix("0123456789012") == "0123456789012"
    assert run_prefix("176") == "176"
