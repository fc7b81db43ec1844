"""The order in which a flow's steps are shown: as they run, branches as they are written."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dovetail.interfaces.flow import FlowDescription

__all__ = ["step_order"]


def step_order(flow: FlowDescription) -> dict[str, int]:
    """Step → position: reverse postorder from the start, so each step comes behind all that lead to it, loops aside."""
    targets = {step.name: step.targets for step in flow.steps}
    done: list[str] = []
    seen: set[str] = set()
    for root in (flow.start, *targets):
        if root in seen or root not in targets:
            continue
        seen.add(root)
        stack = [(root, iter(reversed(targets[root])))]
        while stack:
            name, following = stack[-1]
            for target in following:
                if target in targets and target not in seen:
                    seen.add(target)
                    stack.append((target, iter(reversed(targets[target]))))
                    break
            else:
                done.append(name)
                stack.pop()
        if root == flow.start:
            done.reverse()
    return {name: position for position, name in enumerate(done)}
