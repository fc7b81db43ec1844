"""What the driver, warm parents and workers say to one another: a stream of msgpack arrays, the kind first.

Both ends are of one installation, so there is no version. What tasks share (scopes, sequences, what is the same
for every task of a step) is sent once a worker and named by a slot afterwards; see `dovetail.worker.assignments`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgpack  # type: ignore[import-untyped, unused-ignore]

from dovetail.interfaces.artifacts import ArtifactRef, InlinePlace, ObjectPlace, PackPlace, RecordPlace
from dovetail.interfaces.tasks import CatchPolicy, ErrorReport, Next, TaskOutcome, Usage
from dovetail.interfaces.workers import Answer, Launch, RunFacts

__all__ = [
    "Kind",
    "Mode",
    "answer_from_plain",
    "answer_to_plain",
    "facts_from_plain",
    "facts_to_plain",
    "launch_from_plain",
    "launch_to_plain",
    "new_packer",
    "outcome_from_plain",
    "outcome_to_plain",
    "pack",
    "ref_from_wire",
    "ref_to_wire",
    "unpacker",
]


class Kind:
    """The first item of a message."""

    # driver → the process that imports
    LAUNCH: Final = 1
    """What to import, and what for: `[launch, role]`."""
    BEGIN: Final = 2
    """The facts of the run: `[facts]`."""
    FORK: Final = 3
    """`[worker, mode, tasks, nonce]`, with three descriptors: control socket, stdout, stderr."""
    KILL: Final = 4
    """`[worker, signal]`."""
    CHECK: Final = 5
    """Values of parameters, as JSON text: `[values]`."""
    # the process that imports → driver
    DESCRIBED: Final = 10
    """`[description]`."""
    FAILED: Final = 11
    """`[error]`."""
    NOT_FORKED: Final = 12
    """`[worker, reason]`."""
    REAPED: Final = 13
    """`[worker, wait status, CPU seconds, peak resident bytes]`."""
    CHECKED: Final = 14
    """`[(parameter, what is wrong with its value) of each]`."""
    # driver → worker
    SERVE: Final = 20
    """`[mode, tasks, nonce, description, facts]`; of a process that was not forked."""
    SCOPE: Final = 21
    SEQUENCE: Final = 22
    """`[slot, ref, length, step, var]`; to the process that forks it is `[ref]`: many children will read from it."""
    TEMPLATE: Final = 23
    JOINED: Final = 24
    RUN: Final = 25
    SAVE: Final = 26
    """Store the constants that were too large for the description."""
    FINISH: Final = 27
    """End when everything before is done."""
    ANSWER: Final = 28
    """Of a call or a declaration; see `answer_to_plain`."""
    # worker → driver
    STARTED: Final = 30
    """`[pid, seq]`: this assignment begins; left out where a `DONE` said so."""
    DONE: Final = 31
    """An attempt ended; see `outcome_to_plain`. Its second item is the assignment that begins now, or 0."""
    OUTPUT: Final = 32
    """`[seq, stream, bytes]`, from threads, which share the pipes."""
    SAVED: Final = 33
    """`[error or None]`."""
    DECLARE: Final = 34
    """A task that will be called: `[slot, description of the step]`."""
    CALL: Final = 35
    """`[seq, number, slot, path, arguments, digest, after, here, asks, looks, known]`."""
    CALL_DONE: Final = 36
    """An attempt of a called task ended that was made in the worker itself; as `DONE`, with the number of the call and
    the attempt."""
    # a process that calls a flow ↔ its driver
    REQUEST: Final = 40
    """Run this flow: `[request]`."""
    STORES: Final = 41
    """Where parameters are to be saved: `[uuid, stores, home]`; answered with `PARAMETERS`."""
    PARAMETERS: Final = 42
    """`[name → reference]`."""
    INTERRUPT: Final = 43
    """The user does not want the run to go on; nothing more comes of the body."""
    CANCEL: Final = 44
    """Leave the body as soon as it calls something: the run is being ended."""
    SHOW: Final = 45
    """Something to print: `[stream, text]`."""
    RUN_ENDED: Final = 46
    """`[state, path of the first failure, its error or None, tasks that ended]`."""
    REFUSED: Final = 47
    """The run can't be begun or driven: `[class of the error, message, hint, run id or empty]`."""


class Mode:
    """How a worker treats its assignments."""

    ONE: Final = 0
    """One, then the process ends; nothing marks the logs."""
    MANY: Final = 1
    """One after the other, with marks in the logs."""
    THREADS: Final = 2
    """All at the same time."""
    TERMINAL: Final = 3
    """One after the other, on the driver's terminal."""


def new_packer() -> Callable[[object], bytes]:
    """Makes messages bytes. Not thread-safe."""
    made: Callable[[object], bytes] = msgpack.Packer(unicode_errors="surrogatepass").pack
    return made


pack = new_packer()
"""A message as bytes. Not thread-safe."""

_LIMIT = 2**31 - 1
_READ = 1 << 14  # the buffer to begin with; left alone it is a megabyte for each connection


def unpacker() -> msgpack.Unpacker:
    """A decoder for one direction of one connection."""
    return msgpack.Unpacker(
        max_buffer_size=_LIMIT, read_size=_READ, strict_map_key=False, unicode_errors="surrogatepass"
    )


def ref_to_wire(ref: ArtifactRef) -> list[Any]:
    """A reference as a message holds it."""
    place = ref.place
    if isinstance(place, InlinePlace):
        where: list[Any] = [place.data]
    elif isinstance(place, ObjectPlace):
        where = [place.store]
    elif isinstance(place, PackPlace):
        where = [place.store, place.pack, place.offset, place.length]
    else:
        where = [place.store, place.run, place.path, place.call_digest, place.name, place.at]
    return [ref.digest, ref.size, ref.serializer, ref.type, *where]


def ref_from_wire(data: list[Any]) -> ArtifactRef:
    """The inverse of `ref_to_wire`."""
    digest, size, serializer, kind, *where = data
    place: InlinePlace | ObjectPlace | PackPlace | RecordPlace
    if len(where) == 4:
        place = PackPlace(store=where[0], pack=where[1], offset=where[2], length=where[3])
    elif len(where) > 1:
        store, run, path, call_digest, name, at = where
        place = RecordPlace(
            store=store, run=run, path=path, call_digest=call_digest, name=name, at=tuple(at) if at else None
        )
    elif isinstance(where[0], bytes):
        place = InlinePlace(data=where[0])
    else:
        place = ObjectPlace(store=where[0])
    return ArtifactRef(digest=digest, size=size, serializer=serializer, type=kind, place=place)


def facts_to_plain(facts: RunFacts) -> dict[str, Any]:
    """The facts of a run as a message holds them."""
    return {
        "run": facts.run,
        "flow": facts.flow,
        "origin": facts.origin,
        "namespace": facts.namespace,
        "username": facts.username,
        "tags": list(facts.tags),
        "parameters": list(facts.parameters),
        "stores": {uuid: dict(store) for uuid, store in facts.stores.items()},
        "home": facts.home,
        "settings": dict(facts.settings),
    }


def facts_from_plain(data: Mapping[str, Any]) -> RunFacts:
    """The inverse of `facts_to_plain`."""
    return RunFacts(**{**data, "tags": tuple(data["tags"]), "parameters": tuple(data["parameters"])})


def launch_to_plain(launch: Launch) -> dict[str, Any]:
    """What an importing process needs of a launch: interpreter and variables are its own already."""
    return {
        "file": launch.file,
        "flow": launch.flow,
        "cwd": launch.cwd,
        "terminal": launch.terminal,
        "post_mortem": launch.post_mortem,
    }


def launch_from_plain(data: Mapping[str, Any]) -> Launch:
    """The inverse of `launch_to_plain`, seen from the process that it started."""
    return Launch(python=(), env={}, **data)


def answer_to_plain(answer: Answer) -> tuple[Any, ...]:
    """An answer as a message."""
    return (
        Kind.ANSWER,
        answer.number,
        answer.attempt,
        answer.last,
        None if answer.value is None else ref_to_wire(answer.value),
        None if answer.error is None else answer.error.to_plain(),
        answer.isolation,
        answer.datastore,
        answer.asks,
        None if answer.catch is None else (answer.catch.var, answer.catch.print_exception),
        [(path, digest, ref_to_wire(ref)) for path, (digest, ref) in answer.recorded.items()] or None,
        answer.around,
    )


def answer_from_plain(message: list[Any]) -> Answer:
    """The inverse of `answer_to_plain`."""
    _, number, attempt, last, value, error, isolation, datastore, asks, catch, recorded, around = message
    return Answer(
        number,
        attempt,
        last,
        None if value is None else ref_from_wire(value),
        None if error is None else ErrorReport.from_plain(error),
        isolation,
        datastore,
        asks,
        None if catch is None else CatchPolicy(var=catch[0], print_exception=catch[1]),
        {path: (digest, ref_from_wire(ref)) for path, digest, ref in recorded or ()},
        (around[0], around[1]),
    )


def outcome_to_plain(seq: int, following: int, outcome: TaskOutcome, *, kind: int = Kind.DONE) -> tuple[Any, ...]:
    """A finished attempt as a message; path and attempt are what `seq` stands for."""
    taken, usage = outcome.next, outcome.usage
    return (
        kind,
        seq,
        following,
        outcome.started,
        outcome.finished,
        None if outcome.error is None else outcome.error.to_plain(),
        None if outcome.caught is None else outcome.caught.to_plain(),
        outcome.body,
        outcome.values,
        outcome.outputs,
        outcome.outputs_digest,
        outcome.index,
        None if taken is None else _next_to_wire(taken),
        outcome.objects,
        None if usage is None else (usage.cpu, usage.memory),
    )


def outcome_from_plain(message: list[Any], path: str, attempt: int, nexts: dict[bytes, Next]) -> TaskOutcome:
    """The inverse of `outcome_to_plain`.

    Args:
        nexts: Transitions that were seen before; equal ones become one object, since most tasks of a step take
            the same.
    """
    _, _, _, started, finished, error, caught, body, values, outputs, digest, index, taken, objects, usage = message
    if taken is None:
        following = None
    else:
        following = nexts.get(taken)
        if following is None:
            following = _next_from_wire(taken)
            if following.sequence is None and len(nexts) < 4096:
                nexts[taken] = following
    return TaskOutcome(
        path=path,
        attempt=attempt,
        started=started,
        finished=finished,
        error=None if error is None else ErrorReport.from_plain(error),
        caught=None if caught is None else ErrorReport.from_plain(caught),
        body=body,
        values=values,
        outputs=outputs,
        outputs_digest=digest,
        index=index,
        next=following,
        objects=tuple(objects),
        usage=None if usage is None else Usage(cpu=usage[0], memory=usage[1]),
    )


def _next_to_wire(taken: Next) -> bytes:
    ref = None if taken.sequence is None else ref_to_wire(taken.sequence)
    return pack(taken.to_plain(ref))


def _next_from_wire(data: bytes) -> Next:
    targets, condition, ref, length, var, on_error = msgpack.unpackb(data, unicode_errors="surrogatepass")
    return Next(
        targets=tuple(targets),
        condition=condition,
        sequence=None if ref is None else ref_from_wire(ref),
        length=length,
        var=var,
        on_error=on_error,
    )
