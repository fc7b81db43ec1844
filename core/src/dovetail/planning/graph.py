"""The graph of a class flow: which join closes which split, how deep each step lies, what can't work.

Every split (a branch or a foreach) opens a fan whose members each arrive exactly once at the join that closes
it. Walking from the start, each step gets the *levels* that are open around it: one a fan, outermost first. A
level is a set, since alternatives (a switch, several `self.next`) may open the same level in several ways.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dovetail.interfaces.flow import FlowDescription, StepDescription, Transition
from dovetail.interfaces.problems import Problem

__all__ = ["Graph", "Split"]

Split = tuple[str, int]
"""A transition that opens a fan: (step, index among its transitions)."""
Member = tuple[Split, str]
"""A split, and the branch of it that leads here (empty for a foreach)."""
Levels = tuple[frozenset[Member], ...]


class Graph:
    """The structure of a flow. Never raises: what does not fit is in `problems`."""

    def __init__(self, flow: FlowDescription) -> None:
        self.flow = flow
        self.steps: dict[str, StepDescription] = flow.by_name
        self.join_of: dict[Split, str] = {}
        """Split → name of the join that closes it."""
        self.problems: list[Problem] = []
        """What is wrong with the structure; step names that nothing has are left to `validate`."""
        self.predecessors: dict[str, tuple[str, ...]] = self._find_predecessors()
        """Step → steps that can come before it, each once."""
        self._levels: dict[str, Levels] = {}
        self._reported: set[tuple[str, str]] = set()
        self._past: list[tuple[StepDescription, Transition, frozenset[Member]]] = []  # ways to the end past a join
        self._cut: set[Split] = set()  # splits that were not followed to their join
        if flow.start in self.steps:
            self._walk(flow.start)
        for step, levels in self._levels.items():
            self._check_members(self.steps[step], levels)
        self._check_joined()

    # ------------------------------------------------------------------ questions

    @property
    def reachable(self) -> frozenset[str]:
        """Steps that can be reached from the start."""
        return frozenset(self._levels)

    def splits_of(self, join: str) -> tuple[Split, ...]:
        """The splits that a join closes."""
        return tuple(split for split, name in self.join_of.items() if name == join)

    def transition(self, split: Split) -> Transition:
        """The transition of a split."""
        return self.steps[split[0]].transitions[split[1]]

    def depth(self, step: str) -> int:
        """Number of foreach levels around a step's tasks, hence of indexes in their paths; 0 when unreachable."""
        return sum(self._is_foreach(level) for level in self._levels.get(step, ()))

    def ends_in(self, start: str) -> frozenset[str]:
        """Every step that can follow a step, directly or not, with itself."""
        found = {start}
        pending = [start]
        while pending:
            for target in self.steps[pending.pop()].targets:
                if target in self.steps and target not in found:
                    found.add(target)
                    pending.append(target)
        return frozenset(found)

    def to_plain(self) -> dict[str, Any]:
        """The graph as JSON-able data: `start_step`, `end_step`, `steps`."""
        return {
            "start_step": self.flow.start,
            "end_step": self.flow.end,
            "steps": {
                step.name: {
                    "name": step.name,
                    "type": self._type(step),
                    "next": list(step.targets),
                    "previous": list(self.predecessors[step.name]),
                    "depth": self.depth(step.name),
                    "doc": step.doc,
                    "line": step.line,
                    "matching_join": next(
                        (
                            self.join_of[step.name, n]
                            for n in range(len(step.transitions))
                            if (step.name, n) in self.join_of
                        ),
                        None,
                    ),
                }
                for step in self.flow.steps
            },
        }

    # ------------------------------------------------------------------ levels

    def _find_predecessors(self) -> dict[str, tuple[str, ...]]:
        found: dict[str, dict[str, None]] = {name: {} for name in self.steps}
        for step in self.flow.steps:
            for target in step.targets:
                if target in found:
                    found[target][step.name] = None
        return {name: tuple(before) for name, before in found.items()}

    def _walk(self, start: str) -> None:
        """Spread levels along every transition until nothing changes."""
        self._levels[start] = ()
        if self.steps[start].is_join:
            self._problem(
                "inputs-without-join",
                f"the start step {start} takes inputs, but nothing comes before it",
                f"Write def {start}(self).",
                self.steps[start].line,
                self.steps[start],
            )
        pending = [start]
        while pending:
            name = pending.pop()
            step = self.steps[name]
            for number, transition in enumerate(step.transitions):
                for target in transition.targets:
                    if target not in self.steps:
                        continue
                    levels = self._after(step, number, transition, target)
                    if self._join_in(step, transition, target, levels):
                        pending.append(target)

    def _after(self, step: StepDescription, number: int, transition: Transition, target: str) -> Levels:
        """Levels around `target` when `step` takes this transition to it."""
        levels = self._levels[step.name]
        split = (step.name, number)
        if transition.kind == "foreach":
            levels = (*levels, frozenset({(split, "")}))
        elif transition.kind == "branch":
            levels = (*levels, frozenset({(split, target)}))
        if not self.steps[target].is_join:
            return levels
        if not levels:
            self._problem(
                "inputs-without-join",
                f"step {target} takes inputs, but no split is open where {step.name} leads to it",
                f"Write def {target}(self), or put it behind a branch or foreach.",
                self.steps[target].line,
                self.steps[target],
            )
            return levels
        if transition.kind == "foreach":
            self._problem(
                "foreach-into-join",
                f"the foreach of step {step.name} leads straight to {target}, which joins it: no step gets the items",
                f"Let it lead to a step that takes one item, and that step to {target}.",
                transition.line or step.line,
                step,
            )
        for closed, _ in levels[-1]:
            known = self.join_of.setdefault(closed, target)
            if known != target:
                self._problem(
                    "two-joins",
                    f"the split in step {closed[0]} is joined by both {known} and {target}",
                    "Lead all of its branches to one join.",
                    self.transition(closed).line,
                    self.steps[closed[0]],
                )
        return levels[:-1]

    def _join_in(self, step: StepDescription, transition: Transition, target: str, levels: Levels) -> bool:
        """Add levels to what is known of a step; whether that was news."""
        if levels and target == self.flow.end:
            self._past.append((step, transition, levels[-1]))
            levels = ()
        known = self._levels.get(target)
        if known is None:
            self._levels[target] = levels
            return True
        same = len(known) == len(levels) and all(
            self._is_foreach(a) == self._is_foreach(b) for a, b in zip(known, levels, strict=True)
        )
        if not same:
            self._different(step, transition, target, known, levels)
            return False
        merged = tuple(a | b for a, b in zip(known, levels, strict=True))
        self._levels[target] = merged
        return merged != known

    def _different(
        self, step: StepDescription, transition: Transition, target: str, known: Levels, levels: Levels
    ) -> None:
        self._cut |= {split for level in (*known, *levels) for split, _ in level}
        opened = sorted({split[0] for level in (*known, *levels) for split, _ in level})
        if len(known) == len(levels):
            how = "as an item of a foreach on one way and as a branch on another"
        else:
            how = f"inside {len(known)} open splits on one way and inside {len(levels)} on another"
        self._problem(
            "different-depth",
            f"step {target} is reached {how}, through {step.name} (splits are opened in {', '.join(opened)})",
            "Close each split by a join before its ways meet, and enter a loop where it was left.",
            transition.line or step.line,
            step,
        )

    def _is_foreach(self, level: Iterable[Member]) -> bool:
        return all(self.transition(split).kind == "foreach" for split, _ in level)

    def _check_members(self, step: StepDescription, levels: Levels) -> None:
        """Two branches of one split must not meet but in a join: the step would run once for each."""
        for level in levels:
            branches: dict[Split, set[str]] = {}
            for split, branch in level:
                branches.setdefault(split, set()).add(branch)
            for split, members in branches.items():
                if len(members) > 1:
                    self._meet(step, split, members)
                    return

    def _meet(self, step: StepDescription, split: Split, members: set[str]) -> None:
        # Only where they first meet: what follows has the same levels.
        for before in self.predecessors[step.name]:
            levels = self._levels.get(before, ())
            if any(len({b for s, b in level if s == split} & members) > 1 for level in levels):
                return
        fix = (
            f"Write def {step.name}(self, inputs)."
            if not step.is_join
            else f"Join the branches {', '.join(sorted(members))} on their own before {step.name}, or in it."
        )
        self._problem(
            "join-without-inputs",
            f"the branches {', '.join(sorted(members))} of step {split[0]} meet in step {step.name}, "
            + ("which does not take inputs" if not step.is_join else "which joins an inner split"),
            fix,
            step.line,
            step,
        )

    def _check_joined(self) -> None:
        """Every split has a join, and none of its branches goes past it to the end."""
        for name in self._levels:
            step = self.steps[name]
            for number, transition in enumerate(step.transitions):
                opens = transition.kind in ("branch", "foreach")
                known = (name, number) in self.join_of or (name, number) in self._cut
                if opens and not known and self._all_known(transition):
                    what = "branches" if transition.kind == "branch" else "foreach"
                    self._problem(
                        "never-joined",
                        f"the {what} of step {name} {'are' if what == 'branches' else 'is'} never joined",
                        f"Let {', '.join(transition.targets)} lead to a step that takes inputs: "
                        "def join(self, inputs).",
                        transition.line or step.line,
                        step,
                    )
        for step, transition, level in self._past:
            for split, _ in sorted(level):
                if split in self.join_of:
                    join = self.join_of[split]
                    self._problem(
                        "never-joined",
                        f"step {step.name} leads to {self.flow.end} without passing {join}, which joins the split of "
                        f"step {split[0]}",
                        f"Lead it to {join}.",
                        transition.line or step.line,
                        step,
                    )

    def _all_known(self, transition: Transition) -> bool:
        return all(target in self.steps for target in transition.targets)

    def _problem(self, code: str, message: str, fix: str, line: int, step: StepDescription) -> None:
        if (code, message) not in self._reported:
            self._reported.add((code, message))
            self.problems.append(Problem(code=code, message=message, fix=fix, file=step.file, line=line))

    # ------------------------------------------------------------------ text

    def _type(self, step: StepDescription) -> str:
        kinds = {transition.kind for transition in step.transitions}
        name = "+".join(sorted(kinds)) if kinds else "end"
        return f"join,{name}" if step.is_join else name

    def render(self) -> str:
        """The flow as text, one step a line, indented by the splits around it."""
        lines: list[str] = []
        for name in self._order():
            step = self.steps[name]
            lines.append("  " * len(self._levels.get(name, ())) + self._line(step))
        return "\n".join(lines)

    def _line(self, step: StepDescription) -> str:
        marks = " (join)" if step.is_join else ""
        if step.name not in self._levels:
            marks += " (unreachable)"
        ways = " | ".join(self._way(step, n, t) for n, t in enumerate(step.transitions))
        return f"{step.name}{marks}" + (f" -> {ways}" if ways else "")

    def _way(self, step: StepDescription, number: int, transition: Transition) -> str:
        if transition.kind == "switch":
            cases = ", ".join(f"{key}: {target}" for key, target in transition.cases.items())
            return f"{transition.condition} {{{cases}}}"
        if transition.kind == "foreach":
            items = transition.foreach or "items"
            collect = ", errors collected" if transition.on_error == "collect" else ""
            return f"{transition.targets[0]} for each of {items}{collect}"
        return ", ".join(transition.targets)

    def _order(self) -> list[str]:
        """Steps as a run meets them: predecessors before successors where no loop forbids it."""
        done: list[str] = []
        seen: set[str] = set()
        # Depth first from the last target on: reversed finishing order then keeps the order written.
        stack = [(n, reversed(self.steps[n].targets)) for n in (self.flow.start,) if n in self.steps]
        seen.update(name for name, _ in stack)
        while stack:
            name, targets = stack[-1]
            following = next((t for t in targets if t in self.steps and t not in seen), None)
            if following is None:
                done.append(name)
                stack.pop()
            else:
                seen.add(following)
                stack.append((following, reversed(self.steps[following].targets)))
        return done[::-1] + [name for name in self.steps if name not in seen]
