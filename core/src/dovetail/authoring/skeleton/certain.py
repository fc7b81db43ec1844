"""Which tasks a flow is sure to call, as far as its source tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dovetail.authoring.skeleton.reading import skeleton
from dovetail.interfaces.errors import DovetailError

if TYPE_CHECKING:
    from dovetail.interfaces.graphs import GraphNode

__all__ = ["surely_called"]


def surely_called(file: str, name: str) -> frozenset[str]:
    """Names of the tasks that every run of a flow calls that comes to its end.

    A call that depends on a condition, or on how often something is repeated, is left out; and so is everything
    where the source can't be read.

    Args:
        file: The flow's file.
        name: Which of its flows.
    """
    try:
        nodes = {node.id: node for node in skeleton(file, name).nodes}
    except (DovetailError, OSError, SyntaxError, ValueError, RecursionError):
        return frozenset()
    return frozenset(node.name for node in nodes.values() if node.kind == "task" and _is_sure(node, nodes))


def _is_sure(node: GraphNode, nodes: dict[str, GraphNode]) -> bool:
    at: GraphNode | None = node
    while at is not None:
        if at.maybe or at.many or at.kind in ("loop", "branch"):
            return False
        at = nodes.get(at.parent or "")
    return True
