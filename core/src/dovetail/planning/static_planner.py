"""Decides the next tasks of a class flow from what has been committed.

Every split opens a *fan*: a set of members, each of which arrives exactly once at the join that closes the fan.
A task carries the fan that it is in, so a join needs no look at the graph: it is ready when its fan is full.
Members of a foreach are made when they are taken, never up front: a fan of 100,000 costs what is in flight.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence

from dovetail.interfaces.flow import FlowDescription
from dovetail.interfaces.paths import format_node
from dovetail.interfaces.tasks import ErrorReport, ForeachFrame, JoinInput, Next, Scope, Sequenced
from dovetail.planning.planned import PlannedTask

__all__ = ["StaticPlanner"]


class _Fan:
    """One execution of a split: who is in it, and who has arrived."""

    __slots__ = (
        "arrived",
        "base",
        "closed",
        "collect",
        "count",
        "errors",
        "frames",
        "join",
        "levels",
        "live",
        "member",
        "outer",
        "paths",
        "size",
        "split",
        "step",
    )

    def __init__(
        self,
        split: PlannedTask,
        size: int,
        base: Scope,
        *,
        join: str,
        step: str = "",
        levels: tuple[Sequenced, ...] = (),
        collect: bool = False,
    ) -> None:
        self.split = split.path
        self.outer = split.fan
        self.member = split.member
        self.frames = split.frames
        self.base = base
        self.size = size
        self.join = join
        self.step = step  # of a foreach, the step of its members: their paths need not be kept
        self.levels = levels
        self.collect = collect
        self.count = 0
        self.live = 0  # tasks of this fan, and of fans inside it, that are planned or running
        self.closed = False  # a member failed for good: nothing of this fan goes on
        # Of most members the layer and digest are enough (their scope lies directly on `base`): one bytes object.
        self.arrived: list[bytes | Scope | None] = [None] * size
        self.paths: dict[int, str] = {}
        self.errors: dict[int, ErrorReport] = {}


class _Joined(Sequence[JoinInput]):
    """The inputs of a join, made one by one when looked at: there may be 100,000."""

    def __init__(self, fan: _Fan) -> None:
        self._fan = fan

    def __len__(self) -> int:
        return self._fan.size

    def __getitem__(self, index: int) -> JoinInput:  # type: ignore[override]
        fan = self._fan
        if not -fan.size <= index < fan.size:
            raise IndexError(index)
        index %= fan.size
        frames = fan.frames + tuple(ForeachFrame(level, index) for level in fan.levels)
        entry = fan.arrived[index]
        scope = Scope(fan.base, entry[32:], entry[:32]) if isinstance(entry, bytes) else entry
        path = fan.paths.get(index) or format_node(fan.step, tuple(frame.index for frame in frames))
        return JoinInput(path=path, scope=scope, frames=frames, error=fan.errors.get(index))

    def __iter__(self) -> Iterator[JoinInput]:
        return (self[i] for i in range(self._fan.size))

    def digests(self) -> Iterator[bytes]:
        """The scopes' digests in order, empty for members that failed."""
        for entry in self._fan.arrived:
            yield b"" if entry is None else entry[:32] if isinstance(entry, bytes) else entry.digest


class StaticPlanner:
    """Plans a class flow.

    Args:
        flow: What to plan; it has been validated.
        join_of: (step, index of its transition) → join that closes the split.
        root: Parameters and constants of the run.
    """

    def __init__(self, flow: FlowDescription, join_of: Mapping[tuple[str, int], str], root: Scope) -> None:
        self._flow = flow
        self._steps = flow.by_name
        self._join_of = join_of
        self._root = root
        self._singles: deque[PlannedTask] = deque()
        self._foreaches: deque[_Cursor] = deque()
        self._ordinals: dict[tuple[str, tuple[int, ...]], int] = {}
        self._looping = _steps_in_loops(flow)
        self._abandoned = False
        self.live = 0
        self.expected: dict[str, int] = {}
        self._plan(flow.start, root, None, 0, ())

    # -- what can run ---------------------------------------------------------------------------------------------

    def take(self) -> PlannedTask | None:
        """The next task that can run, or None while there is none.

        Single tasks go before members of a foreach, so that what was begun is finished first.
        """
        while self._singles:
            task = self._singles.popleft()
            if not _is_closed(task.fan):
                return task
            self._left(task.fan)
        while self._foreaches:
            cursor = self._foreaches[0]
            if cursor.index < cursor.fan.size and not _is_closed(cursor.fan):
                return self._member(cursor)
            self._drop(self._foreaches.popleft())
        return None

    def put_back(self, task: PlannedTask) -> None:
        """Return a task that was taken and not begun."""
        self._singles.appendleft(task)

    @property
    def done(self) -> bool:
        """Whether nothing is planned or running."""
        return self.live == 0

    def abandon(self) -> None:
        """Plan nothing more, for good; what was taken may still end."""
        self._abandoned = True
        while self._singles:
            self._left(self._singles.popleft().fan)
        while self._foreaches:
            self._drop(self._foreaches.popleft())

    # -- what happened --------------------------------------------------------------------------------------------

    def committed(self, task: PlannedTask, taken: Next, scope: Scope) -> None:
        """A task was committed: plan what follows.

        Args:
            task: Which.
            taken: The transition that it took.
            scope: Its own scope with its outputs on top.
        """
        try:
            if self._abandoned or _is_closed(task.fan) or not taken.targets:
                return
            if taken.length is not None:
                self._open_foreach(task, taken, scope)
            elif len(taken.targets) > 1:
                join = self._join_of[task.step, self._transition(task.step, "branch", taken.targets)]
                fan = _Fan(task, len(taken.targets), scope, join=join)
                for member, target in enumerate(taken.targets):
                    self._advance(target, task.path, scope, fan, member, task.frames)
            else:
                for target in taken.targets:  # the only one
                    self._advance(target, task.path, scope, task.fan, task.member, task.frames)
        finally:
            self._left(task.fan)

    def failed(self, task: PlannedTask, error: ErrorReport) -> bool:
        """A task failed for good. Whether a foreach with `on_error="collect"` takes the failure."""
        fan, member = task.fan, task.member
        inside: list[_Fan] = []
        while fan is not None and not fan.collect:
            inside.append(fan)
            member = fan.member
            fan = fan.outer
        if fan is not None:
            for inner in inside:
                inner.closed = True
            fan.errors.setdefault(member, error)
            if not inside:
                fan.paths[member] = task.path
                self._arrived(fan)
            else:
                fan.paths[member] = inside[-1].split
        self._left(task.fan)
        return fan is not None

    # -- inside ---------------------------------------------------------------------------------------------------

    def _drop(self, cursor: _Cursor) -> None:
        if cursor.index < cursor.fan.size:
            self._left(cursor.fan, cursor.fan.size - cursor.index)

    def _left(self, fan: _Fan | None, count: int = 1) -> None:
        self.live -= count
        while fan is not None:
            fan.live -= count
            # The last task of a closed fan has ended: its failed member arrives where failures are collected.
            if fan.closed and fan.live == 0 and fan.outer is not None:
                outer = fan.outer
                if outer.collect and not outer.closed and fan.member in outer.errors:
                    self._arrived(outer)
            fan = fan.outer

    def _entered(self, fan: _Fan | None, count: int = 1) -> None:
        self.live += count
        while fan is not None:
            fan.live += count
            fan = fan.outer

    def _plan(
        self,
        step: str,
        scope: Scope,
        fan: _Fan | None,
        member: int,
        frames: tuple[ForeachFrame, ...],
        *,
        after: str = "",
        joined: Sequence[JoinInput] | None = None,
    ) -> None:
        if self._abandoned:
            return
        self.expected[step] = self.expected.get(step, 0) + 1
        self._entered(fan)
        self._singles.append(PlannedTask(self._path(step, frames), step, scope, frames, joined, after, fan, member))

    def _path(self, step: str, frames: tuple[ForeachFrame, ...]) -> str:
        indexes = tuple(frame.index for frame in frames)
        ordinal = 1
        if step in self._looping:
            ordinal = self._ordinals.get((step, indexes), 0) + 1
            self._ordinals[step, indexes] = ordinal
        return format_node(step, indexes, ordinal=ordinal)

    def _advance(
        self, target: str, path: str, scope: Scope, fan: _Fan | None, member: int, frames: tuple[ForeachFrame, ...]
    ) -> None:
        if not self._steps[target].is_join:
            self._plan(target, scope, fan, member, frames, after=path)
            return
        assert fan is not None, "validation lets no join be reached outside of a split"
        if scope.parent is fan.base and fan.step != "":
            fan.arrived[member] = scope.digest + scope.layer
            if path != format_node(fan.step, tuple(frame.index for frame in frames)):
                fan.paths[member] = path
        else:
            fan.arrived[member] = scope
            fan.paths[member] = path
        self._arrived(fan)

    def _arrived(self, fan: _Fan) -> None:
        fan.count += 1
        if fan.count == fan.size:
            self._open_join(fan)

    def _open_join(self, fan: _Fan) -> None:
        after = "" if fan.size else fan.split  # an empty foreach has no members to follow
        self._plan(fan.join, self._root, fan.outer, fan.member, fan.frames, after=after, joined=_Joined(fan))

    def _open_foreach(self, task: PlannedTask, taken: Next, scope: Scope) -> None:
        (target,) = taken.targets
        assert taken.length is not None
        assert taken.sequence is not None
        join = self._join_of[task.step, self._transition(task.step, "foreach", taken.targets)]
        level = Sequenced(ref=taken.sequence, length=taken.length, step=task.step, var=taken.var)
        fan = _Fan(
            task,
            taken.length,
            scope,
            join=join,
            step=target,
            levels=(level,),
            collect=taken.on_error == "collect",
        )
        if taken.length == 0:
            self._open_join(fan)
            return
        self.expected[target] = self.expected.get(target, 0) + taken.length
        self._entered(fan, taken.length)
        self._foreaches.append(_Cursor(fan, target, level))

    def _member(self, cursor: _Cursor) -> PlannedTask:
        fan, index = cursor.fan, cursor.index
        cursor.index += 1
        frames = (*fan.frames, ForeachFrame(cursor.level, index))
        path = self._path(cursor.step, frames)
        return PlannedTask(path, cursor.step, fan.base, frames, None, fan.split, fan, index)

    def _transition(self, step: str, kind: str, targets: tuple[str, ...]) -> int:
        for index, transition in enumerate(self._steps[step].transitions):
            if transition.kind == kind and transition.targets == targets:
                return index
        raise AssertionError(f"{step} took a transition that it does not have: {kind} to {targets}")


class _Cursor:
    """The members of a foreach that have not been made yet."""

    __slots__ = ("fan", "index", "level", "step")

    def __init__(self, fan: _Fan, step: str, level: Sequenced) -> None:
        self.fan = fan
        self.step = step
        self.level = level
        self.index = 0


def _is_closed(fan: _Fan | None) -> bool:
    while fan is not None:
        if fan.closed:
            return True
        fan = fan.outer
    return False


def _steps_in_loops(flow: FlowDescription) -> frozenset[str]:
    """Steps that can follow themselves: only their tasks need an ordinal."""
    follows = {step.name: set(step.targets) for step in flow.steps}
    found = set()
    for name in follows:
        seen: set[str] = set()
        pending = list(follows[name])
        while pending:
            step = pending.pop()
            if step == name:
                found.add(name)
                break
            if step not in seen:
                seen.add(step)
                pending.extend(follows.get(step, ()))
    return frozenset(found)
