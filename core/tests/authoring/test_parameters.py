"""Types, defaults and names of parameters."""

from __future__ import annotations

import pytest

from dovetail.authoring.describe import describe


def parameter(make_flow, line: str):
    flow = make_flow(
        "from typing import *\nimport decimal\n"
        f"class Made(FlowSpec):\n    {line}\n    @step\n    def start(self): pass\n"
    )
    description = describe(flow)
    return description.parameters, description.problems


@pytest.mark.parametrize(
    ("line", "type", "is_list", "required", "default"),
    [
        ("p = Parameter()", "str", False, True, None),
        ("p = Parameter(default='x')", "str", False, False, "x"),
        ("p = Parameter(default=1)", "int", False, False, 1),
        ("p = Parameter(default=1.5)", "float", False, False, 1.5),
        ("p = Parameter(default=True)", "bool", False, False, True),
        ("p = Parameter(default=None)", "str", False, False, None),
        ("p = Parameter(required=False)", "str", False, False, None),
        ("p = Parameter(required=True, default=3)", "int", False, False, 3),
        ("p = Parameter(required=True, default=None, type=int)", "int", False, True, None),
        ("p = Parameter(default=[1, 2])", "int", True, False, [1, 2]),
        ("p = Parameter(default=('a',))", "str", True, False, ["a"]),
        ("p = Parameter(default=[])", "json", False, False, []),
        ("p = Parameter(default=[1, 'a'])", "json", False, False, [1, "a"]),
        ("p = Parameter(default={'a': [1]})", "json", False, False, {"a": [1]}),
        ("p = Parameter(type=float, default=1)", "float", False, False, 1.0),
        ("p = Parameter(type=int)", "int", False, True, None),
        ("p = Parameter(type=JSONType, default='\"text\"')", "json", False, False, "text"),
        ("p = Parameter(type=JSONType, default='{\"a\": 1}')", "json", False, False, {"a": 1}),
        ("p = Parameter(type=JSONType, default={'a': '[1]'})", "json", False, False, {"a": "[1]"}),
        ("p = Parameter(type=JSONType, default=['1'])", "json", False, False, ["1"]),
        ("p: Any = Parameter(default='text')", "json", False, False, "text"),
        ("p = Parameter(type=list[float], default=[1, 2.5])", "float", True, False, [1.0, 2.5]),
        ("p: int = Parameter()", "int", False, True, None),
        ("p: 'float' = Parameter(default=2)", "float", False, False, 2.0),
        ("p: Optional[int] = Parameter(default=None)", "int", False, False, None),
        ("p: int | None = Parameter(default=None)", "int", False, False, None),
        ("p: List[str] = Parameter(default=['a'])", "str", True, False, ["a"]),
        ("p: list[bool] = Parameter()", "bool", True, True, None),
        ("p: tuple[int, ...] = Parameter(default=(1,))", "int", True, False, [1]),
        ("p: Sequence[int] = Parameter(default=[])", "int", True, False, []),
        ("p: Annotated[int, 'unit'] = Parameter(default=1)", "int", False, False, 1),
        ("p: dict[str, int] = Parameter(default={})", "json", False, False, {}),
        ("p: Any = Parameter(default=1)", "json", False, False, 1),
        ("p: list[dict[str, int]] = Parameter(default=[{}])", "json", False, False, [{}]),
        ("p = Parameter('p', default=1, help='h')", "int", False, False, 1),
        ("p = Parameter(name='p', default=1)", "int", False, False, 1),
        ("my_date = Parameter('my-date', default='x')", "str", False, False, "x"),
    ],
)
def test_types_and_defaults(make_flow, line, type, is_list, required, default) -> None:
    (found,), problems = parameter(make_flow, line)
    assert problems == ()
    assert (found.type, found.is_list, found.required, found.default) == (type, is_list, required, default)
    assert __builtins__["type"](found.default) is __builtins__["type"](default)


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("p: decimal.Decimal = Parameter()", "parameter-type", "can't have the type Decimal"),
        ("p: 'Unknown' = Parameter()", "parameter-type", "can't have the type 'Unknown'"),
        ("p: int | str = Parameter()", "parameter-type", "can't have the type"),
        ("p = Parameter(type=[1])", "parameter-type", r"can't have the type [1]"),
        ("p: int = Parameter(default='x')", "parameter-default", "'p' is int, but its default is 'x'"),
        ("p: int = Parameter(default=True)", "parameter-default", "'p' is int, but its default is True"),
        ("p: list[int] = Parameter(default=3)", "parameter-default", "'p' is a list of int, but its default is 3"),
        ("p: list[int] = Parameter(default=[1.5])", "parameter-default", "'p' is a list of int"),
        ("p = Parameter(default=lambda context: 1)", "parameter-default", "is json, but its default is <function"),
        ("p = Parameter(type=JSONType, default={1, 2})", "parameter-default", "is json, but its default is {1, 2}"),
        (
            "p = Parameter(type=JSONType, default='text')",
            "parameter-default",
            "parameter 'p' is json, but its default 'text' is not JSON: Expecting value",
        ),
        ("p = Parameter(defualt=1)", "parameter-argument", "no argument 'defualt'"),
        ("p = Parameter('other')", "parameter-name", "'other' is kept in an attribute 'p'"),
        ("p = Parameter(); P = Parameter()", "parameter-name", "'p' and 'P' differ only in case"),
        ("input = Parameter()", "reserved-name", "can't be named 'input'"),
        ("max_workers = Parameter(default=1)", "reserved-name", "can't be named 'max_workers'"),
        ("TAG = Parameter(default=1)", "reserved-name", "can't be named 'TAG'"),
        ("_p = Parameter(default=1)", "reserved-name", "can't be named '_p'"),
    ],
)
def test_problems(make_flow, line, code, message) -> None:
    _, problems = parameter(make_flow, line)
    found = [p for p in problems if p.code == code]
    assert found, problems
    assert message in found[0].message
    assert found[0].fix
    assert found[0].line == 5


def test_parameters_of_bases_come_first(make_flow) -> None:
    flow = make_flow(
        """
        class Base(FlowSpec):
            a = Parameter(default=1)
            b = Parameter(default=2)
            c = Parameter(default=3)
        class Made(Base):
            b = Parameter(default="x")
            c = 4
            d: int = Parameter()
            @step
            def start(self): pass
        """
    )
    assert [(p.name, p.type) for p in describe(flow).parameters] == [("a", "int"), ("b", "str"), ("d", "int")]
    assert repr(flow.d) == "<Parameter d>"
