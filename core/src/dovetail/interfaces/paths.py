"""Coordinates of tasks inside a run.

`path = node ('/' node)*`, `node = name ['[' i (',' j)* ']'] ['~' h] ['#' k]`: brackets are foreach or map
indexes, outermost first; `~h` tells function calls apart by their inputs; `#k` counts equal ones from #2.
"""

from __future__ import annotations

import re
from functools import lru_cache

from dovetail.interfaces.dataclass import dataclass
from dovetail.interfaces.errors import UsageError

__all__ = ["Node", "format_node", "parse_node", "parse_path", "sort_key", "step_of"]

_NODE = re.compile(
    r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"(?:\[(?P<indexes>\d+(?:,\d+)*)\])?"
    r"(?:~(?P<call>[0-9a-f]{16}))?"
    r"(?:#(?P<ordinal>[2-9]|[1-9]\d+))?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One part of a path."""

    name: str
    """Name of the step or task function."""
    indexes: tuple[int, ...] = ()
    """Foreach or map indexes, outermost first."""
    call: str = ""
    """First 16 hex digits of the digest of a function call's inputs; empty for steps."""
    ordinal: int = 1
    """Which of the equal ones, from 1."""

    def __str__(self) -> str:
        return format_node(self.name, self.indexes, call=self.call, ordinal=self.ordinal)


def format_node(name: str, indexes: tuple[int, ...] = (), *, call: str = "", ordinal: int = 1) -> str:
    """A node as text, such as `train[3,0]#2`."""
    text = name
    if indexes:
        text += f"[{','.join(map(str, indexes))}]"
    if call:
        text += f"~{call}"
    return text if ordinal == 1 else f"{text}#{ordinal}"


@lru_cache(maxsize=4096)
def parse_node(text: str) -> Node:
    """The inverse of `format_node`.

    Raises:
        UsageError: `text` is not a node.
    """
    match = _NODE.fullmatch(text)
    if match is None:
        raise UsageError(
            f"{text!r} is not a task path",
            hint="A path looks like train, train[3], loop#2 or train[3,0]/fit.",
        )
    indexes = tuple(map(int, match["indexes"].split(","))) if match["indexes"] else ()
    return Node(name=match["name"], indexes=indexes, call=match["call"] or "", ordinal=int(match["ordinal"] or 1))


def parse_path(path: str) -> tuple[Node, ...]:
    """The nodes of a path, outermost first."""
    return tuple(parse_node(part) for part in path.split("/"))


def step_of(path: str) -> str:
    """Name of the step that the path's last node executes."""
    node = path.rpartition("/")[2]
    for mark in "[~#":
        node = node.partition(mark)[0]
    return node


def sort_key(path: str) -> tuple[tuple[str, tuple[int, ...], str, int], ...]:
    """Sorts paths as a reader expects: `train[2]` before `train[10]`."""
    return tuple((node.name, node.indexes, node.call, node.ordinal) for node in parse_path(path))
