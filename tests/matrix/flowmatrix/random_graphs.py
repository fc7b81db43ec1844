"""Shapes made at random: sequences, branches, foreaches, switches and loops inside each other."""

from __future__ import annotations

import random
from typing import Any

from flowmatrix.bodies import Body, Template
from flowmatrix.graphs import Graph, Node

__all__ = ["ROAMING", "random_graph"]

_CARRY = "self.rounds = dict(good(inputs)[0].rounds) if good(inputs) else {}"
_JOINED = """
self.trail = [[one.trail, one.index, one.input] for one in good(inputs)]
self.failed = [at for at, one in enumerate(inputs) if one.error is not None]
"""
_SEEN = "self.seen = [current.task_id, self.index, self.input, [list(frame) for frame in self.foreach_stack()]]"

ROAMING = Body(
    name="roaming",
    templates=(
        Template(to=frozenset({"join"}), code=f"{_CARRY}{_JOINED}{_SEEN}", required=False),
        Template(
            to=frozenset({"any"}),
            code=f"{_SEEN}\nself.trail = [*getattr(self, 'trail', []), current.task_id][-3:]",
            required=False,
        ),
    ),
)
"""Every step notes where it is, what came before, and what a join is given."""


class _Maker:
    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.nodes: list[Node] = []
        self._count = 0
        self._loops = 0

    def name(self, kind: str) -> str:
        self._count += 1
        return f"{kind}{self._count}"

    def block(self, following: str, depth: int, *, looping: bool) -> str:
        """Add steps that lead to `following`; the first of them."""
        for _ in range(self.random.choice((1, 1, 2, 3) if depth else (2, 3))):
            kinds = ["step", "branch", "foreach", "foreach", "switch", "loop"] if depth < 3 else ["step"]
            make = getattr(self, f"_{self.random.choice(kinds)}")
            following = make(following, depth, looping)
        return following

    def add(self, name: str, targets: tuple[str, ...], statement: str, kind: str, **more: Any) -> str:
        self.nodes.insert(0, Node(name=name, targets=targets, next=statement, kind=kind, **more))
        return name

    def _step(self, following: str, depth: int, looping: bool) -> str:
        return self.add(self.name("step"), (following,), f"self.next(self.{following})", "linear")

    def _join(self, following: str) -> str:
        return self.add(self.name("join"), (following,), f"self.next(self.{following})", "linear", join=True)

    def _branch(self, following: str, depth: int, looping: bool) -> str:
        join = self._join(following)
        ways = [self.block(join, depth + 1, looping=looping) for _ in range(self.random.choice((1, 2, 2, 3)))]
        if len(ways) == 1:
            ways.append(join)
        listed = ", ".join(f"self.{way}" for way in ways)
        return self.add(self.name("branch"), tuple(ways), f"self.next({listed})", "branch")

    def _foreach(self, following: str, depth: int, looping: bool) -> str:
        join = self._join(following)
        # A step of its own at the beginning: a foreach can't lead straight into its join.
        target = self._step(self.block(join, depth + 1, looping=looping), depth, looping)
        items = [f"i{n}" for n in range(self.random.choice((1, 2, 3) if looping else (0, 1, 2, 3)))]
        collect = ', on_error="collect"' if not looping and self.random.random() < 0.4 else ""
        return self.add(
            self.name("foreach"),
            (target,),
            f"self.next(self.{target}, foreach={items}{collect})",
            "foreach",
            closed_by=join,
        )

    def _switch(self, following: str, depth: int, looping: bool) -> str:
        ways = [self.block(following, depth + 1, looping=looping) for _ in range(self.random.choice((1, 2)))]
        ways = [*ways, following] if len(ways) == 1 else ways
        table = ", ".join(f"{at}: self.{way}" for at, way in enumerate(ways))
        name = self.name("switch")
        choice = f"self.choice = (sum(map(ord, current.task_id)) + {self.random.randrange(2)}) % {len(ways)}"
        statement = f'self.next({{{table}}}, condition="choice")'
        return self.add(name, tuple(ways), statement, "switch", after=(choice,))

    def _loop(self, following: str, depth: int, looping: bool) -> str:
        check = self.name("check")
        place = len(self.nodes)
        head = self._step(self.block(check, depth + 1, looping=True), depth, looping=True)
        count = f'self.rounds = {{**self.rounds, "{check}": self.rounds.get("{check}", 0) + 1}}'
        choice = f'self.choice = "again" if self.rounds["{check}"] % 2 else "done"'
        statement = f'self.next({{"again": self.{head}, "done": self.{following}}}, condition="choice")'
        node = Node(
            name=check, targets=(head, following), next=statement, kind="switch", before=(count,), after=(choice,)
        )
        self.nodes.insert(len(self.nodes) - place, node)
        return head


def random_graph(seed: int) -> Graph:
    """A shape."""
    maker = _Maker(seed)
    maker.nodes.append(Node(name="end"))
    first = maker.block("end", 0, looping=False)
    maker.add("start", (first,), f"self.next(self.{first})", "linear", before=("self.rounds = {}",))
    return Graph(name=f"random_{seed}", nodes=tuple(maker.nodes), control=("choice", "rounds"))
