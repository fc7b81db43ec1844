"""Normalised trees: equal for equal code only, with the names that code needs from outside."""

from __future__ import annotations

import ast
import keyword

import pytest
from amounts import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail.packaging.syntax import read_tree


def read(text: str, *, me: str = ""):
    return read_tree(list(ast.parse(text).body), me=me)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("def f(a, *b, c=D, **e): return a, b, c, e, G", {"D", "G"}),
        ("def f():\n    x = 1\n    def g(): return x + y\n    return g", {"y"}),
        ("def f():\n    def g():\n        x = 1\n    return x", {"x"}),
        ("def f(): return [i for i in xs if i], i", {"xs", "i"}),
        ("def f(): return {k: v for k, v in d.items()}", {"d"}),
        ("f = lambda x, y=z: x + w", {"z", "w"}),
        ("def f():\n    global G\n    G = 1", {"G"}),
        ("def f():\n    import a.b, c as d\n    from e import g\n    return a, d, g, c", {"c"}),
        ("def f():\n    try: pass\n    except E as e: print(e)", {"E", "print"}),
        ("def f(x):\n    match x:\n        case {'a': y, **rest}: return y, rest\n        case [z, *w]: return z, w, P",
         {"P"}),
        ("class C(Base):\n    a = X\n    b = a\n    def m(self) -> R: return a, C", {"Base", "X", "R", "a", "C"}),
        ("def f():\n    with open(p) as s: return s", {"open", "p"}),
        ("def f():\n    for i in r: pass\n    del i\n    return i", {"r"}),
        ("@deco(opt)\ndef f(x: T) -> U: pass", {"deco", "opt", "T", "U"}),
        ("def f():\n    if (n := g()): return n", {"g"}),
        ("async def f():\n    async for x in y: await z(x)", {"y", "z"}),
        ("def outer():\n    x = 1\n    def inner():\n        nonlocal x\n        x = 2\n    return inner", set()),
    ],
)  # fmt: skip
def test_names_from_outside(text, names) -> None:
    assert read(text).names == names


def test_attributes_of_the_instance() -> None:
    found = read(
        "def f(self):\n    self.a = self.b.c\n    super().d()\n    self.next(self.e, foreach=self.g)\n"
        "    self.next({self.h: self.i}, condition='x')\n",
        me="self",
    )
    assert found.attributes == {"a", "b", "g", "h"}
    assert found.inherited == {"d"}
    assert not found.uses_instance
    for handed_on in ("tool(self)", "getattr(self, n)", "x = self", "self.next(choose(self))"):
        assert read(f"def f(self): {handed_on}", me="self").uses_instance


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("x = 1", "x = 1.0"),
        ("x = 1", "x = True"),
        ("x = 'a'", "x = b'a'"),
        ("x = 'a', 'b'", "x = 'a b',"),
        ("f(a, b)", "f(a, *b)"),
        ("f(a=b)", "f(a, b)"),
        ("def f(a, b): pass", "def f(a, *, b): pass"),
        ("def f(a, b=1): pass", "def f(a=1, b=1): pass"),
        ("def f(a, /, b): pass", "def f(a, b): pass"),
        ("def f(*a): pass", "def f(**a): pass"),
        ("def f(): return", "def f(): yield"),
        ("def f(): pass", "async def f(): pass"),
        ("x = {**a}", "x = {a: a}"),
        ("[x for x in y]", "{x for x in y}"),
        ("if a: b\nelse: c", "if a: b\nc"),
        ("a + b", "a - b"),
        ("a < b", "a <= b"),
        ("a[1:2]", "a[1, 2]"),
        ("class A(B): pass", "class A(m=B): pass"),
        ("from a import b", "from .a import b"),
        ("import a as b", "import b as a"),
        ("f'{x}'", "f'{x!r}'"),
        ("f'{x:>3}'", "f'{x:>4}'"),
        ("x: int", "x: str"),
        ("def f():\n    'doc'\n    'not doc'", "def f():\n    'doc'\n    'not docs'"),
    ],
)
def test_different_code_differs(one, two) -> None:
    assert read(one).digest != read(two).digest


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("x=1", "x  =  1  # one"),
        ("def f(a,b): return a", "def f(\n    a,\n    b,\n):\n    '''Doc.'''\n    return (a)"),
        ("class A:\n    'doc'\n    x = 1", "class A:\n\n    x = 1"),
        ("x = 'a' 'b'", 'x = "ab"'),
        ("x = 1_000", "x = 1000"),
        ("x = u'a'", "x = 'a'"),
        ("def f(): 'only'", "def f(): 'other'"),
    ],
)
def test_equal_code_is_equal(one, two) -> None:
    assert read(one).digest == read(two).digest


names = st.sampled_from(["a", "b", "self", "f"])
atoms = st.one_of(
    names.map(lambda n: ast.Name(n, ast.Load())),
    st.one_of(st.integers(-3, 3), st.booleans(), st.text("ab:;()[]", max_size=4), st.floats(0, 1), st.none()).map(
        ast.Constant
    ),
)
expressions = st.recursive(
    atoms,
    lambda e: st.one_of(
        st.tuples(e, e).map(lambda p: ast.BinOp(p[0], ast.Add(), p[1])),
        st.lists(e, max_size=3).map(lambda items: ast.Tuple(items, ast.Load())),
        st.lists(e, max_size=3).map(lambda items: ast.List(items, ast.Load())),
        st.tuples(e, st.lists(e, max_size=2), names, e).map(lambda p: ast.Call(p[0], p[1], [ast.keyword(p[2], p[3])])),
        st.tuples(e, names).map(lambda p: ast.Attribute(p[0], p[1], ast.Load())),
        st.lists(st.tuples(e, e), max_size=2).map(lambda ps: ast.Dict([k for k, _ in ps], [v for _, v in ps])),
    ),
    max_leaves=8,
)


@settings(max_examples=examples(150))
@given(expressions, expressions)
def test_the_digest_is_equal_exactly_where_the_tree_is(one: ast.expr, two: ast.expr) -> None:
    same = ast.dump(one) == ast.dump(two)
    assert (read_tree([one]).digest == read_tree([two]).digest) is same
    assert (read_tree([one], me="self").digest == read_tree([two], me="self").digest) is same
    assert read_tree([one]).names <= {"a", "b", "self", "f"}
    assert not any(keyword.iskeyword(name) for name in read_tree([one]).names)
