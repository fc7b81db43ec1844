"""What the steps of a generated flow do: templates, each for the steps whose qualifiers it asks for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from textwrap import dedent
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flowmatrix.graphs import Graph, Node

__all__ = ["BODIES", "Body", "Template"]


@dataclass(frozen=True, kw_only=True)
class Template:
    """What a step does if it has all the qualifiers."""

    to: frozenset[str]
    """Qualifiers."""
    code: str
    """Statements. CONTROL stands for the names of the shape's own artifacts."""
    decorators: tuple[str, ...] = ()
    """Ahead of `@step`, outermost first."""
    required: bool = True
    """Whether a shape without a step for it is left out."""


@dataclass(frozen=True, kw_only=True)
class Body:
    """What a flow does and how it is started. A step takes the first template that fits it."""

    name: str
    templates: tuple[Template, ...]
    class_code: str = ""
    """Statements of the class: parameters and constants."""
    module_code: str = ""
    """Statements of the module."""
    arguments: tuple[str, ...] = ()
    """Of the command line."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """What the arguments say, with defaults."""
    tags: tuple[str, ...] = ()
    ask: str = ""
    """What one task is told to do: HANG or DIE at its first attempt, or FAIL, after which the run is resumed."""
    ask_at: tuple[str, ...] = ()
    """Kinds of steps that are told, a pair for each: qualifiers with spaces between."""
    shapes: frozenset[str] = frozenset()
    """The only shapes that it is for; empty: all."""
    narrow: bool = False
    """Whether the wide shape is left out."""
    logs: bool = False
    """Whether every line of the logs is held against the expected ones."""

    def template(self, graph: Graph, node: Node) -> Template:
        """What a step does."""
        qualifiers = graph.qualifiers(node)
        return next(template for template in self.templates if template.to <= qualifiers)

    def fits(self, graph: Graph) -> bool:
        """Whether the body makes sense for a shape: every required template has its step."""
        if (self.shapes and graph.name not in self.shapes) or (self.narrow and graph.name == "wide_foreach"):
            return False
        used = {id(self.template(graph, node)) for node in graph.nodes}
        return all(id(template) in used for template in self.templates if template.required)

    def told(self, graph: Graph, at: str) -> Node | None:
        """The first step of a kind whose task can be told to misbehave."""
        wanted = {*at.split(), "runs", *(["decisive"] if self.ask == "FAIL" else [])}
        return next((node for node in graph.nodes if wanted <= graph.qualifiers(node)), None)


def _to(qualifiers: str, code: str, *decorators: str, required: bool = True) -> Template:
    return Template(to=frozenset(qualifiers.split()), code=code, decorators=decorators, required=required)


_TRAIL_START = "self.trail = [current.task_id]"
_TRAIL = "self.trail = [*self.trail, current.task_id]"
_TRAIL_JOIN = "self.trail = [name for one in good(inputs) for name in one.trail] + [current.task_id]"


def _trailing(extra: str = "", *decorators: str) -> tuple[Template, ...]:
    """Every step notes that it was there, after `extra`."""
    extra = dedent(extra).strip()
    return (
        _to("start", f"{extra}\n{_TRAIL_START}", *decorators),
        _to("join", f"{extra}\n{_TRAIL_JOIN}", *decorators, required=False),
        _to("any", f"{extra}\n{_TRAIL}", *decorators, required=False),
    )


def _bodies() -> Iterator[Body]:
    yield Body(
        name="artifacts",
        templates=(
            _to(
                "start",
                """
                self.text = "grün"
                self.number = -1.5
                self.nothing = None
                self.blob = bytes(range(256)) * 1024
                self.medium = list(range(2000))
                self.table = {"a": [1, (2, 3)], "b": {4, 5}}
                self.trail = [current.task_id]
                self.counts = {"tasks": 1}
                """,
            ),
            _to(
                "join",
                """
                self.trail = [name for one in good(inputs) for name in one.trail] + [current.task_id]
                self.counts = {"tasks": sum(one.counts["tasks"] for one in good(inputs))}
                self.blob = good(inputs)[0].blob if good(inputs) else b""
                """,
                required=False,
            ),
            _to(
                "any",
                """
                self.trail = [*self.trail, current.task_id]
                self.counts["tasks"] += 1
                self.length = len(self.blob)
                """,
                required=False,
            ),
        ),
    )
    yield Body(
        name="merge",
        templates=(
            _to("start", 'self.common = ["same"]\nself.mine = current.task_id'),
            _to(
                "join inner",
                """
                if good(inputs):
                    self.merge_artifacts(good(inputs), include=["common"])
                self.mine = current.task_id
                """,
                required=False,
            ),
            _to(
                "join",
                """
                try:
                    self.merge_artifacts(inputs)
                    refused = False
                except ValueError:
                    refused = True
                self.refused = refused
                self.mine = current.task_id
                self.merge_artifacts(inputs, exclude=CONTROL)
                """,
            ),
            _to("any", "self.mine = current.task_id", required=False),
        ),
    )
    yield Body(
        name="coordinates",
        templates=(
            _to(
                "join",
                """
                self.where = [current.step_name, current.task_id, current.retry_count, self.index, self.input]
                self.stack = [list(frame) for frame in self.foreach_stack()]
                self.joined = [[one.index, one.input, one.where[1]] for one in good(inputs)]
                self.failed = [at for at, one in enumerate(inputs) if one.error is not None]
                """,
                required=False,
            ),
            _to(
                "any",
                """
                self.where = [current.step_name, current.task_id, current.retry_count, self.index, self.input]
                self.stack = [list(frame) for frame in self.foreach_stack()]
                """,
            ),
        ),
    )
    yield Body(
        name="parameters",
        class_code="""
        count = Parameter(default=3, help="how many")
        rate: float = Parameter(default=0.5)
        deep = Parameter(default=False)
        words = Parameter(type=list[str], default=["x"])
        table = Parameter(type=JSONType, default=None)
        long_name = Parameter(help="a required one")
        left_out = Parameter(default="left out")
        FACTOR = 3
        NAMES = ("a", "b")
        """,
        arguments=(
            "--count", "5", "--rate=2", "--deep", "--words", "p", "--words", "q", "--table", '{"k": [1, null]}',
            "--long-name", "with space",
        ),
        parameters={
            "count": 5, "rate": 2.0, "deep": True, "words": ["p", "q"], "table": {"k": [1, None]},
            "long_name": "with space", "left_out": "left out",
        },
        tags=("alpha", "team:ml"),
        templates=(
            _to(
                "any",
                """
                self.echo = [self.count * self.FACTOR, self.rate, self.deep, self.words, self.table, self.long_name]
                self.echo += [self.left_out, list(self.NAMES)]
                self.told = [sorted(current.tags), sorted(current.parameter_names)]
                """,
            ),
        ),
    )  # fmt: skip
    yield Body(
        name="retry_and_logs",
        module_code="""
        import logging
        logging.basicConfig(format="%(levelname)s %(message)s")
        log = logging.getLogger(__name__)
        """,
        logs=True,
        templates=_trailing(
            """
            self.lost = current.retry_count
            print("out", current.task_id, "grün")
            print("err", current.task_id, current.retry_count, file=sys.stderr)
            log.warning("logged %s", current.task_id)
            os.write(1, b"raw\\n")
            if current.retry_count < 2 and (self.index or 0) % 250 == 0:
                raise ValueError("not yet")
            del self.lost
            self.tries = current.retry_count
            print("last", end="")
            """,
            "retry(times=2)",
        ),
    )
    yield Body(
        name="catch",
        narrow=True,
        templates=(
            _to(
                "plain",
                "self.before = current.task_id\nif current.task_id:\n    raise KeyError(current.task_id)",
                "catch(var='problem', print_exception=False)",
                "retry(times=1)",
            ),
            _to("any", "self.passed = current.task_id", required=False),
        ),
    )
    yield Body(
        name="timeout",
        ask="HANG",
        ask_at=("inside plain",),
        shapes=frozenset({"linear", "branch", "foreach", "nested_foreach", "collect", "switch", "loop"}),
        templates=(
            _to(
                "inside plain",
                """
                if asked("HANG") and current.retry_count == 0:
                    time.sleep(600)
                self.passed = current.retry_count
                """,
                "timeout(seconds=2)",
                "retry(times=1)",
            ),
            _to("any", "self.here = current.task_id", required=False),
        ),
    )
    yield Body(
        name="kill",
        shapes=frozenset({"linear", "nested_branch", "foreach", "collect", "switch_in_foreach", "loop", "mixin"}),
        ask="DIE",
        ask_at=("inside",),
        templates=_trailing(
            "if asked('DIE') and current.retry_count == 0:\n    os.kill(os.getpid(), signal.SIGKILL)", "retry(times=1)"
        ),
    )
    yield Body(
        name="resume",
        ask="FAIL",
        ask_at=("start", "end", "inside linear", "branch", "foreach", "item", "join", "switch", "loop", "either"),
        templates=_trailing("if asked('FAIL'):\n    raise RuntimeError('told to fail')"),
    )


BODIES: Mapping[str, Body] = {body.name: body for body in _bodies()}
"""Name → body."""
