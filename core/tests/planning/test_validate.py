"""Everything that is wrong with a flow is found at once, each with file, line and a fix."""

from __future__ import annotations

import pytest

from dovetail.planning.validate import validate


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a -> end\nend", [("no-start", 1, "has no start step")]),
        ("start -> a\na -> b\nb", [("no-end", 3, "has no end step"), ("no-next", 3, "b never calls self.next")]),
        ("start -> ned\nend", [("unknown-step", 1, "leads to 'ned'")]),
        ("start -> if x, end\nend", [("unknown-step", 1, "leads to 'x'")]),
        ("start -> end\nend\nlost -> end", [("unreachable-step", 3, "no step leads to lost")]),
        ("start -> end\nend\nlost -> more\nmore -> lost", [("unreachable-step", 3, "no step leads to lost")]),
        ("start -> end\nend\nlost -> more\nmore -> end", [("unreachable-step", 3, "no step leads to lost")]),
        ("start -> a\na\nend", [("no-next", 2, "a never calls"), ("unreachable-step", 3, "no step leads to end")]),
        ("start -> end\nend -> start", [("end-continues", 2, "end step end calls self.next")]),
        ("start -> a, b\na -> j\nb -> j\nj -> end\nend",
         [("never-joined", 1, "branches of step start are never joined"),
          ("join-without-inputs", 4, "branches a, b of step start meet in step j, which does not take inputs")]),
        ("start -> a\n+a -> end\nend", [("inputs-without-join", 2, "no split is open where start leads to it")]),
        ("+start -> end\nend", [("inputs-without-join", 1, "start step start takes inputs")]),
        ("start -> each w\nw -> end\nend", [("never-joined", 1, "foreach of step start is never joined")]),
        ("start -> each j\n+j -> end\nend", [("foreach-into-join", 1, "leads straight to j")]),
        ("start -> a, b\na -> j\nb -> k\n+j -> end\n+k -> end\nend",
         [("two-joins", 1, "joined by both")]),
        ("start -> each w\nw -> if j, k\n+j -> end\n+k -> end\nend", [("two-joins", 1, "joined by both")]),
        ("start -> a, b\na -> j\nb -> end\n+j -> end\nend",
         [("never-joined", 3, "b leads to end without passing j, which joins the split of step start")]),
        ("start -> a, b\na -> if j, end\nb -> j\n+j -> x\nx -> end\nend",
         [("never-joined", 2, "a leads to end without passing j")]),
        ("start -> each w | w\nw -> j\n+j -> end\nend", [("different-depth", 1, "w is reached inside"),]),
        ("start -> a\na -> each w\nw -> if a, j\n+j -> end\nend", [("different-depth", 3, "a is reached inside")]),
        ("start -> a, b | each a\na -> j\nb -> j\n+j -> end\nend",
         [("different-depth", 1, "a is reached as an item of a foreach on one way")]),
        ("start -> a, b\na -> c, d\nb -> e, f\nc -> j\nd -> j\ne -> j\nf -> j\n+j -> k\n+k -> end\nend",
         [("join-without-inputs", 8, "meet in step j, which joins an inner split")]),
        ("start -> a\na -> b\nb -> a\nend",
         [("endless-cycle", 3, "steps a -> b -> a repeat"), ("unreachable-step", 4, "no step leads to end")]),
        ("start -> a\na -> if b, c\nb -> a\nc -> a\nend",
         [("endless-cycle", None, "repeat without end"), ("unreachable-step", 5, "no step leads to end")]),
        ("start -> start\nend", [("endless-cycle", 1, "start -> start repeat"), ("unreachable-step", 2, "end")]),
        ("", [("no-steps", 0, "Made has no steps")]),
    ],
)  # fmt: skip
def test_problems(make, text, expected) -> None:
    problems = validate(make(text))
    found = [(p.code, p.line, p.message) for p in problems]
    assert [code for code, _, _ in found] == [code for code, _, _ in expected], found
    for (_, line, message), (_, wanted, part) in zip(found, expected, strict=True):
        assert wanted in (None, line), found
        assert part in message
    assert all(p.fix for p in problems)


def test_a_typo_has_a_suggestion_and_hides_nothing(make) -> None:
    problems = validate(make("start -> trian\ntrain -> each w\nw -> end\nend"))
    assert [(p.code, p.line) for p in problems] == [("unknown-step", 1), ("never-joined", 2)]
    assert problems[0].fix == "Did you mean train?"
    (lone,) = validate(make("start -> zzz | end\nend"))
    assert lone.fix == "The steps are start, end."


def test_all_at_once_in_order_of_lines(make) -> None:
    problems = validate(make("start -> a, b\na -> jion\nb -> join\njoin -> c\nc -> d\nd -> c\nend\nlost -> end"))
    assert [p.line for p in problems] == sorted(p.line for p in problems)
    assert {p.code for p in problems} == {
        "unknown-step", "never-joined", "join-without-inputs", "endless-cycle", "unreachable-step",
    }  # fmt: skip


def test_what_can_not_be_read_causes_no_other_problems(make) -> None:
    from dataclasses import replace

    from dovetail.interfaces.problems import Problem

    flow = make("start\na -> j\nb -> j\n+j -> end\nend")
    unread = Problem(code="dynamic-target", message="which step?", fix="Name it.", file="flow.py", line=1)
    assert validate(replace(flow, problems=(unread,))) == [unread]


@pytest.mark.parametrize(
    "text",
    [
        "start",
        "start -> end\nend",
    ],
)
def test_small_flows_are_fine(make, text) -> None:
    end = "start" if text == "start" else "end"
    assert validate(make(text, end=end)) == []


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("start -> a\na -> end\nend", None),
        ("start -> a, b\na -> j\nb -> j\n+j -> end\nend", None),
        ("start -> each a\na -> j\n+j -> end\nend", "it has a foreach"),
        ("start -> if a, end\na -> end\nend", "it has a switch"),
        ("start -> a | end\na -> end\nend", "it has several ways"),
    ],
)
def test_a_caught_step_has_one_way_on(make, text, part) -> None:
    from dataclasses import replace

    from dovetail.interfaces.flow import DecoratorUse

    flow = make(text)
    use = DecoratorUse(kind="catch", name="catch", source="flow.py:12")
    steps = (replace(flow.steps[0], decorators=(use,)), *flow.steps[1:-1], replace(flow.steps[-1], decorators=(use,)))
    problems = validate(replace(flow, steps=steps))
    assert [(p.code, p.line) for p in problems] == ([] if part is None else [("catch-with-choice", 12)])
    assert part is None or part in problems[0].message
