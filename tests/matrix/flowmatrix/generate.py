"""Writes a flow file from a shape and a body."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from textwrap import dedent, indent
from typing import TYPE_CHECKING

from flowmatrix.bodies import BODIES
from flowmatrix.graphs import GRAPHS

if TYPE_CHECKING:
    from flowmatrix.bodies import Body
    from flowmatrix.graphs import Graph, Node

__all__ = ["Case", "cases"]

_HEADER = '''
"""Generated from shape {shape} and body {body}."""

import os
import signal
import sys
import time

from dovetail import FlowSpec, JSONType, Parameter, catch, current, isolation, retry, step, timeout

{module_code}

def good(inputs):
    """The inputs that did not fail."""
    return [one for one in inputs if one.error is None]


def begun():
    """Leave a line for each attempt that begins."""
    if "MATRIX_TRACE" in os.environ:
        with open(os.environ["MATRIX_TRACE"], "a") as trace:
            trace.write(f"{{current.task_id}} {{current.retry_count}}\\n")


def asked(what):
    """Whether this task is the one that is told to misbehave."""
    return os.environ.get("MATRIX_" + what) == current.task_id

'''


@dataclass(frozen=True, eq=False)
class Case:
    """A shape with a body."""

    graph: Graph
    body: Body
    at: str = ""
    """Which kind of step is told to misbehave."""

    @property
    def name(self) -> str:
        """Of the test."""
        return f"{self.graph.name}-{self.body.name}" + (f"_{self.at.split()[-1]}" if len(self.body.ask_at) > 1 else "")

    @property
    def flow(self) -> str:
        """Name of the flow's class."""
        return "".join(part.capitalize() for part in f"{self.graph.name}_{self.body.name}".split("_"))

    def source(self) -> str:
        """Text of the flow file."""
        header = _HEADER.format(
            shape=self.graph.name, body=self.body.name, module_code=dedent(self.body.module_code).strip()
        )
        owned = [self._class(name, base, owner=name) for name, base in self.graph.bases.items()]
        bases = ", ".join([*self.graph.bases, *(["FlowSpec"] if "FlowSpec" not in self.graph.bases.values() else [])])
        whole = self._class(self.flow, bases, owner="", class_code=self.body.class_code)
        return "\n\n".join([header.strip() + "\n", *owned, whole, _MAIN.format(flow=self.flow)])

    def _class(self, name: str, bases: str, *, owner: str, class_code: str = "") -> str:
        steps = [self._step(node) for node in self.graph.nodes if node.owner == owner]
        lines = [dedent(class_code).strip(), *steps]
        return f"class {name}({bases}):\n" + indent("\n\n".join(line for line in lines if line) + "\n", "    ")

    def _step(self, node: Node) -> str:
        template = self.body.template(self.graph, node)
        code = dedent(template.code).strip().replace("CONTROL", repr(list(self.graph.control)))
        lines = ["begun()", *node.before, code, *node.after, node.next]
        decorators = [f"@{one}" for one in (*template.decorators, *node.decorators)]
        mark = f"@step({node.mark})" if node.mark else "@step"
        arguments = "self, inputs" if node.join else "self"
        body = indent("\n".join(line for line in lines if line), "    ")
        return "\n".join([*decorators, mark, f"def {node.name}({arguments}):", body])


_MAIN = """if __name__ == "__main__":
    {flow}()
"""


def cases() -> Iterator[Case]:
    """Every pair that makes sense."""
    for graph in GRAPHS.values():
        for body in BODIES.values():
            if body.fits(graph):
                for at in body.ask_at or ("",):
                    if not at or body.told(graph, at) is not None:
                        yield Case(graph, body, at)
