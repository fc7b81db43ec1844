"""Which join closes which split, and how deep each step lies."""

from __future__ import annotations

import pytest

from dovetail.planning.graph import Graph
from dovetail.planning.validate import validate


@pytest.mark.parametrize(
    ("text", "joins", "depths"),
    [
        ("start -> end\nend", {}, {"start": 0, "end": 0}),
        ("start -> a, b\na -> j\nb -> j\n+j -> end\nend", {("start", 0): "j"}, {"a": 0, "j": 0}),
        ("start -> each w\nw -> j\n+j -> end\nend", {("start", 0): "j"}, {"w": 1, "j": 0, "end": 0}),
        (
            "start -> each a\na -> each b\nb -> j\n+j -> k\n+k -> end\nend",
            {("start", 0): "k", ("a", 0): "j"},
            {"a": 1, "b": 2, "j": 1, "k": 0},
        ),
        (
            "start -> each a\na -> b, c\nb -> j\nc -> j\n+j -> k\n+k -> end\nend",
            {("start", 0): "k", ("a", 0): "j"},
            {"a": 1, "b": 1, "c": 1, "j": 1, "k": 0},
        ),
        (
            "start -> a, b\na -> each w\nw -> j\n+j -> k\nb -> k\n+k -> end\nend",
            {("start", 0): "k", ("a", 0): "j"},
            {"w": 1, "k": 0},
        ),
        # a switch whose case leads straight into a join
        ("start -> each a\na -> if j, b\nb -> j\n+j -> end\nend", {("start", 0): "j"}, {"b": 1, "j": 0}),
        # alternatives that open the same level
        (
            "start -> each w | each w collect\nw -> j\n+j -> end\nend",
            {("start", 0): "j", ("start", 1): "j"},
            {"w": 1, "j": 0},
        ),
        (
            "start -> a, b | b, c\na -> j\nb -> j\nc -> j\n+j -> end\nend",
            {("start", 0): "j", ("start", 1): "j"},
            {"j": 0},
        ),
        # a join that splits again, and an end that joins
        (
            "start -> a, b\na -> j\nb -> j\n+j -> each w\nw -> end\n+end",
            {("start", 0): "j", ("j", 0): "end"},
            {"w": 1, "end": 0},
        ),
        # loops: to itself, to an earlier step, over a split, inside a foreach
        ("start -> a\na -> if a, end\nend", {}, {"a": 0}),
        ("start -> a\na -> b\nb -> if a, end\nend", {}, {"b": 0}),
        (
            "start -> a\na -> each w\nw -> j\n+j -> if a, end\nend",
            {("a", 0): "j"},
            {"w": 1, "j": 0},
        ),
        (
            "start -> each a\na -> b\nb -> if a, j\n+j -> end\nend",
            {("start", 0): "j"},
            {"a": 1, "b": 1, "j": 0},
        ),
        ("start -> a\na -> if start, end\nend", {}, {"a": 0}),
        # nested branches that share their join's name on two levels
        (
            "start -> a, b\na -> c, d\nc -> j\nd -> j\n+j -> k\nb -> k\n+k -> end\nend",
            {("start", 0): "k", ("a", 0): "j"},
            {"j": 0, "k": 0},
        ),
    ],
)
def test_splits_and_joins(make, text, joins, depths) -> None:
    flow = make(text)
    assert [str(p) for p in validate(flow)] == []
    graph = Graph(flow)
    assert graph.join_of == joins
    assert {step: graph.depth(step) for step in depths} == depths
    for split, join in joins.items():
        assert split in graph.splits_of(join)


def test_predecessors_and_followers(make) -> None:
    graph = Graph(make("start -> a, b\na -> j\nb -> j\n+j -> end\nend"))
    assert graph.predecessors == {"start": (), "a": ("start",), "b": ("start",), "j": ("a", "b"), "end": ("j",)}
    assert graph.ends_in("a") == {"a", "j", "end"}
    assert graph.reachable == {"start", "a", "b", "j", "end"}


def test_the_text_of_a_graph(make) -> None:
    flow = make(
        "start -> each a collect\na -> b, c\nb -> j\nc -> if j, d\nd -> j\n+j -> k\n+k -> if start, end\nend\n"
        "lost -> end"
    )
    assert Graph(flow).render().splitlines() == [
        "start -> a for each of xs, errors collected",
        "  a -> b, c",
        "    b -> j",
        '    c -> v {"0": j, "1": d}',
        "    d -> j",
        "  j (join) -> k",
        'k (join) -> v {"0": start, "1": end}',
        "end",
        "lost (unreachable) -> end",
    ]


def test_the_graph_as_plain_data(make) -> None:
    plain = Graph(make("start -> each w\nw -> j\n+j -> end\nend")).to_plain()
    assert (plain["start_step"], plain["end_step"]) == ("start", "end")
    assert plain["steps"]["start"]["matching_join"] == "j"
    assert plain["steps"]["w"] == {
        "name": "w",
        "type": "linear",
        "next": ["j"],
        "previous": ["start"],
        "depth": 1,
        "doc": "",
        "line": 2,
        "matching_join": None,
    }
    assert plain["steps"]["j"]["type"] == "join,linear"
