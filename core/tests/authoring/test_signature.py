"""Parameters of a flow function: described from hints, and values made what the hints say."""

from __future__ import annotations

import datetime as dt
import enum
import json
import math
import sys
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NewType, Optional, TypedDict
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovetail.authoring.signature import coerce_arguments, plain_arguments, read_signature
from dovetail.interfaces.errors import UsageError
from dovetail.interfaces.flow import ParameterDescription
from dovetail.interfaces.problems import Problem

if TYPE_CHECKING:
    from nowhere import Unknown  # type: ignore[import-not-found]


class Color(enum.Enum):
    RED = "red"
    TWO = 2


class Level(str, enum.Enum):
    LOW = "low"


@dataclass
class Inner:
    when: dt.date
    path: Path = Path()


@dataclass
class Config:
    rate: float
    inner: Inner | None = None
    tags: list[str] = field(default_factory=list)


class Row(TypedDict, total=False):
    n: int


UserId = NewType("UserId", int)


def described(fn: Callable[..., Any]) -> tuple[dict[str, ParameterDescription], list[Problem]]:
    problems: list[Problem] = []
    return {p.name: p for p in read_signature(fn, problems)}, problems


def test_what_hints_become() -> None:
    def fn(
        text: str,
        count: int = 3,
        rate: float = 1,
        flag: bool = False,
        names: list[str] = ["a"],  # noqa: B006
        maybe: int | None = None,
        old: Optional[str] = "x",  # noqa: UP045
        noted: Annotated[int, "note"] = 2,
        day: dt.date = dt.date(2026, 1, 2),
        color: Color = Color.RED,
        mode: Literal["a", "b"] = "a",
        setup: Config | None = None,
        table: dict[str, int] = {},  # noqa: B006
        path: Path = Path("x"),
        bare: Any = None,
        guessed=4,
        unknown: Unknown = None,
        both: int | str = 3,
    ) -> None: ...

    found, problems = described(fn)
    assert problems == []
    shown = {n: (p.type, p.is_list, p.nullable, p.takes_text, p.required, p.default) for n, p in found.items()}
    assert shown == {
        "text": ("str", False, False, False, True, None),
        "count": ("int", False, False, False, False, 3),
        "rate": ("float", False, False, False, False, 1.0),
        "flag": ("bool", False, False, False, False, False),
        "names": ("str", True, False, False, False, ["a"]),
        "maybe": ("int", False, True, False, False, None),
        "old": ("str", False, True, False, False, "x"),
        "noted": ("int", False, False, False, False, 2),
        "day": ("json", False, True, True, False, "2026-01-02"),
        "color": ("json", False, True, True, False, "red"),
        "mode": ("json", False, True, True, False, "a"),
        "setup": ("json", False, True, False, False, None),
        "table": ("json", False, True, False, False, {}),
        "path": ("json", False, True, True, False, "x"),
        "bare": ("json", False, True, True, False, None),
        "guessed": ("int", False, False, False, False, 4),
        "unknown": ("json", False, True, True, False, None),
        "both": ("json", False, False, True, False, 3),
    }
    json.dumps([p.to_plain() for p in found.values()], allow_nan=False)


def test_help_is_what_the_docstring_says() -> None:
    def google(rate: float, mode: Literal["a", "b"], color: Color, other: int = 1) -> None:
        """Train.

        Args:
            rate: Learning rate,
                of the first epoch.
            other (int): See: there.

        Returns:
            mode: Nothing.
        """

    def sphinx(rate: float, n: int) -> None:
        """Train.

        :param rate: Learning rate.
        :param int n: How
            many.
        :returns: Nothing.
        """

    found, _ = described(google)
    assert {name: p.help for name, p in found.items()} == {
        "rate": "Learning rate, of the first epoch.",
        "mode": "one of a, b",
        "color": "one of red, 2",
        "other": "See: there.",
    }
    found, _ = described(sphinx)
    assert {name: p.help for name, p in found.items()} == {"rate": "Learning rate.", "n": "How many."}


def test_what_is_wrong_with_parameters() -> None:
    def fn(*args: int, _hidden: int = 1, tags: str = "", Rate: int = 1, rate: int = 2, **more: int) -> None: ...
    def defaults(count: int = "three", names: list[int] = "ab") -> None: ...  # type: ignore[assignment]

    _, problems = described(fn)
    assert [(p.code, p.fix) for p in problems] == [
        ("parameter-starred", "Write each one, or one that holds them: args: list."),
        ("reserved-name", "Name it hidden."),
        ("reserved-name", "Give it another name."),
        ("parameter-name", "Options are compared without case: rename one."),
        ("parameter-starred", "Write each one, or one that holds them: more: dict."),
    ]
    _, problems = described(defaults)
    assert [p.message for p in problems] == [
        "parameter 'count' is int, but its default is 'three': 'three' is not a whole number",
        "parameter 'names' is list[int], but its default is 'ab': 'ab' is not a list",
    ]
    assert all(p.file.endswith("test_signature.py") and p.line for p in problems)


CASES: list[tuple[Any, Any, Any]] = [
    (int, 3, 3),
    (int, "3", 3),
    (int, 3.0, 3),
    (float, 3, 3.0),
    (float, "inf", math.inf),
    (bool, "yes", True),
    (bool, False, False),
    (str, "12", "12"),
    (UserId, 4, 4),
    (Annotated[int, "note"], "4", 4),
    (Optional[int], None, None),  # noqa: UP045
    (int | None, "5", 5),
    (int | str, "5", "5"),
    (str | int, 5, 5),
    (Literal["a", 1], "a", "a"),
    (Literal["1", "2"], 1, "1"),
    (Color, "red", Color.RED),
    (Color, "TWO", Color.TWO),
    (Color, 2, Color.TWO),
    (Color, Color.RED, Color.RED),
    (Level, "low", Level.LOW),
    (dt.date, "2026-01-02", dt.date(2026, 1, 2)),
    (dt.datetime, "2026-01-02T03:04:05Z", dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.timezone.utc)),
    (dt.time, "03:04", dt.time(3, 4)),
    (dt.timedelta, 1.5, dt.timedelta(seconds=1.5)),
    (Path, "a/b", Path("a/b")),
    (Path, 2026, Path("2026")),
    (Decimal, "1.10", Decimal("1.10")),
    (UUID, "12345678123456781234567812345678", UUID(int=0x12345678123456781234567812345678)),
    (bytes, "ab", b"ab"),
    (list[int], ["1", 2], [1, 2]),
    (list, (1, "a"), [1, "a"]),
    (tuple[int, ...], [1, 2], (1, 2)),
    (tuple[int, str], [1, "b"], (1, "b")),
    (set[int], [1, 1], {1}),
    (Sequence[float], [1], [1.0]),
    (dict[str, int], {"a": "1"}, {"a": 1}),
    (dict[int, str], {"1": "a"}, {1: "a"}),
    (Config, {"rate": 1}, Config(rate=1.0)),
    (
        Config,
        {"rate": 1, "inner": {"when": "2026-01-02"}, "tags": ["a"]},
        Config(1.0, Inner(dt.date(2026, 1, 2)), ["a"]),
    ),
    (Row, {"n": "1"}, {"n": 1}),
    (Any, {"x": [1]}, {"x": [1]}),
    (None, None, None),
]


def function_of(hint: Any) -> Callable[..., Any]:
    def fn(x: Any) -> None: ...

    fn.__annotations__["x"] = hint
    return fn


@pytest.mark.parametrize(("hint", "value", "expected"), CASES, ids=[f"{c[0]}-{c[1]}"[:50] for c in CASES])
def test_values_become_what_hints_say(hint: Any, value: Any, expected: Any) -> None:
    made = coerce_arguments(function_of(hint), {"x": value})["x"]
    assert made == expected
    assert type(made) is type(expected)
    # What a run keeps of it gives it back.
    if made != math.inf:
        kept = json.loads(json.dumps(plain_arguments(function_of(hint), {"x": made}), allow_nan=False))
        assert coerce_arguments(function_of(hint), kept)["x"] == expected


@pytest.mark.parametrize(
    ("hint", "value", "message"),
    [
        (int, True, "True is not a whole number"),
        (int, 2.5, "2.5 is not a whole number"),
        (int, "x", "'x' is not a whole number"),
        (float, "x", "'x' is not a number"),
        (bool, 1, "1 is not true or false"),
        (str, 3, "3 is not text"),
        (int | None, "x", "'x' is not int or null"),
        (Literal["a", "b"], "c", "'c' is not one of 'a', 'b'"),
        (Color, "blue", "'blue' is not one of 'red', 2"),
        (dt.date, "tomorrow", "'tomorrow' is not a date"),
        (list[int], "12", "'12' is not a list"),
        (list[int], [1, "x"], "[1]: 'x' is not a whole number"),
        (tuple[int, int], [1], "[1] has 1 items, not 2"),
        (dict[str, int], {"a": "x"}, "['a']: 'x' is not a whole number"),
        (Config, {}, "Config needs rate"),
        (Config, {"rate": 1, "rat": 2}, "Config has no rat; it has inner, rate, tags"),
        (Config, {"rate": "x"}, "['rate']: 'x' is not a number"),
        (Config, 3, "3 is not a Config"),
    ],
)
def test_what_they_can_not_become(hint: Any, value: Any, message: str) -> None:
    with pytest.raises(UsageError) as told:
        coerce_arguments(function_of(hint), {"x": value})
    assert f"x: {message}" in str(told.value)


def test_every_wrong_parameter_is_named() -> None:
    def train(n: int, rate: float, name: str) -> None: ...

    with pytest.raises(UsageError) as told:
        coerce_arguments(train, {"n": "x", "rate": None, "name": "fine", "other": 1})
    for part in ("train can't run", "n: 'x' is not", "rate: None is not", "no parameter 'other'"):
        assert part in str(told.value)


def test_a_default_that_json_can_not_hold_is_the_function_s_own() -> None:
    marker = object()

    def fn(x: Any = marker, y: int = 3) -> None: ...

    found, problems = described(fn)
    assert (found["x"].default, problems) == (None, [])
    assert coerce_arguments(fn, {"x": None, "y": 3}) == {"x": marker, "y": 3}
    assert plain_arguments(fn, {"x": marker, "y": 3}) == {"x": None, "y": 3}
    with pytest.raises(UsageError, match=r"x: a object can't be written as JSON(.|\n)*load it in a task"):
        plain_arguments(fn, {"x": object()})


def test_hints_that_only_the_function_can_see() -> None:
    class Local(enum.Enum):
        A = 1

    def fn(x: list[Local]) -> Any:
        return Local

    assert coerce_arguments(fn, {"x": [1]}) == {"x": [Local.A]}


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda s: st.lists(s) | st.dictionaries(st.text(), s)
    )
)
def test_json_data_without_a_hint_stays_as_it_is(value: Any) -> None:
    def fn(x) -> None: ...  # type: ignore[no-untyped-def]

    assert plain_arguments(fn, {"x": value}) == {"x": value}
    assert coerce_arguments(fn, {"x": value}) == {"x": value}


PYDANTIC = """
from pydantic import BaseModel, Field
from typing import Annotated

class Settings(BaseModel):
    depth: int = 3

def fn(x: Settings = Settings(depth=5), n: Annotated[int, Field(gt=0)] = 1) -> None: ...
"""


def test_pydantic_validates_where_the_module_uses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pydantic")
    module = types.ModuleType("with_pydantic")
    monkeypatch.setitem(sys.modules, "with_pydantic", module)
    exec(PYDANTIC, vars(module))
    found, problems = described(module.fn)
    assert problems == []
    assert found["x"].default == {"depth": 5}
    assert (found["x"].takes_text, found["n"].type) == (False, "int")
    made = coerce_arguments(module.fn, {"x": {"depth": "7"}, "n": "2"})
    assert made == {"x": module.Settings(depth=7), "n": 2}
    assert plain_arguments(module.fn, made) == {"x": {"depth": 7}, "n": 2}
    with pytest.raises(UsageError) as told:
        coerce_arguments(module.fn, {"x": {"depth": "x"}, "n": 0})
    assert "x: ['depth']: Input should be a valid integer" in str(told.value)
    assert "n: Input should be greater than 0" in str(told.value)
