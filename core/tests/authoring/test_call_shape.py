"""Binding arguments agrees with Python's own calls."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovetail.authoring.call_shape import CallShape

NAMES = ("a", "b", "c", "d", "e")


@st.composite
def functions(draw: st.DrawFn) -> Callable[..., dict[str, Any]]:
    """A function of any signature that returns its arguments by name."""
    kinds = draw(st.lists(st.sampled_from("pnk"), max_size=5))
    kinds.sort(key="pnk".index)
    has_default = False
    parts: list[str] = []
    star = draw(st.booleans())
    for name, kind in zip(NAMES, kinds, strict=False):
        if kind == "k" and "*" not in "".join(parts):
            parts.append("*args" if star else "*")
        has_default = draw(st.booleans()) or (has_default and kind != "k")
        parts.append(f"{name}={name!r}" if has_default else name)
        if kind == "p" and kinds.count("p") == sum(not p.startswith("*") for p in parts):
            parts.append("/")
    if star and "k" not in kinds:
        parts.append("*args")
    if draw(st.booleans()):
        parts.append("**kwargs")
    scope: dict[str, Any] = {}
    exec(f"def made({', '.join(parts)}): return dict(locals())", scope)
    made: Callable[..., dict[str, Any]] = scope["made"]
    return made


def outcome(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except TypeError as error:
        return str(error)


@given(
    functions(),
    st.lists(st.integers(), max_size=6),
    st.dictionaries(st.sampled_from((*NAMES, "z", "self", "args")), st.integers(), max_size=4),
)
def test_bind_and_unbind_agree_with_a_call(
    function: Callable[..., dict[str, Any]], args: list[int], kwargs: dict[str, int]
) -> None:
    shape = CallShape(function)
    expected = outcome(lambda: function(*args, **kwargs))
    bound = outcome(lambda: shape.bind(*args, **kwargs))
    assert bound == expected
    if isinstance(bound, dict):
        again, named = shape.unbind(bound)
        assert function(*again, **named) == expected


def test_errors_are_those_of_the_function_itself() -> None:
    class Model:
        def train(self, x: int, *, rate: float) -> None: ...

    shape = CallShape(Model.train)
    for args, kwargs in (((), {}), ((1, 2), {}), ((1, 2, 3), {"rate": 1}), ((1, 2), {"rat": 3})):
        with pytest.raises(TypeError) as ours:
            shape.bind(*args, **kwargs)
        with pytest.raises(TypeError) as pythons:
            Model.train(*args, **kwargs)  # type: ignore[arg-type,call-arg]
        assert str(ours.value) == str(pythons.value)


def test_a_wrapper_that_hands_everything_on_has_the_names_of_what_it_wraps() -> None:
    def logged(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        return wrapper

    def narrowed(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(x: int) -> Any:
            return function(x, 2)

        return wrapper

    def add(x: int, y: int) -> int:
        return x + y

    assert CallShape(logged(add)).bind(1, y=2) == {"x": 1, "y": 2}
    assert CallShape(logged(narrowed(add))).names == ("x",)


def test_defaults_are_the_very_objects() -> None:
    shared: list[int] = []

    def keep(x: int, into: list[int] = shared) -> None: ...

    assert CallShape(keep).bind(1)["into"] is shared
