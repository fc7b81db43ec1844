"""Forks a worker for each request of the driver, reaps them, and tells how they ended."""

from __future__ import annotations

import atexit
import gc
import os
import sys
from _socket import AF_UNIX, SOCK_STREAM
from _socket import socket as Connection  # the class in `socket` runs code of its own
from collections.abc import Callable

# What only a child runs was never run before, and then a name costs fewer pages than an attribute.
from os import O_WRONLY, close, dup2, getpid, setsid, write
from os import open as open_file
from sys import modules
from typing import TYPE_CHECKING, Any, Final, NoReturn

from dovetail.worker.child import Inbox, leave, serve
from dovetail.worker.lifeline import bind, open_end, tie
from dovetail.worker.reaping import make_reaper
from dovetail.worker.wire import Kind, facts_from_plain, pack, ref_from_wire

if TYPE_CHECKING:
    import socket

    from dovetail.authoring.flowspec import FlowSpec
    from dovetail.interfaces.flow import FlowDescription
    from dovetail.interfaces.workers import RunFacts
    from dovetail.worker.execute import Executor
    from dovetail.worker.main import Inbox as ParentInbox

__all__ = ["Forker"]

TIMES: Final = 10
"""How often code is run before a fork: CPython adapts it after eight calls."""
_SIGKILL = 9
_OOM_SCORE = b"500"  # a worker is a better victim than the driver or the warm parent


class Forker:
    """The loop of a warm parent.

    Args:
        control: To the driver.
        inbox: Its messages.
        flow_cls: Imported already.
        description: The flow as plain data.
    """

    def __init__(
        self, control: socket.socket, inbox: ParentInbox, flow_cls: type[FlowSpec], description: FlowDescription
    ) -> None:
        self._control = control
        self._inbox = inbox
        self._flow_cls = flow_cls
        self._description = description
        self._executor: Executor | None = None
        self._numbers: dict[int, int] = {}
        """Process id → worker."""
        self._pids: dict[int, int] = {}
        """Worker → process id."""
        self._reports: list[bytes] = []
        # Python 3.12 warns of a fork beside threads. Those that are left were looked at, see `gate`.
        self._warns = sys.version_info >= (3, 12) and len(os.listdir("/proc/self/task")) > 1
        self._life_read, self._life_write = os.pipe()
        self._pid = os.getpid()
        self._reaper = make_reaper()

    def serve(self) -> NoReturn:
        """Fork and reap until the driver is gone."""
        preload(tasks=any(step.kind == "task" for step in self._description.steps))
        self._child_inbox = Inbox()
        self._rehearse_tie()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        gc.collect()
        gc.freeze()
        control = self._control.fileno()
        self._obey()  # what came together with the launch
        while True:
            self._report()
            asked, ended = self._reaper.wait(control)
            if asked:
                self._listen()
            for pid in ended:
                self._reap(pid)

    def _rehearse_tie(self) -> None:
        for _ in range(TIMES):
            own = open_end(self._life_read)
            if own is None:
                return
            bind(own, self._pid)
            os.close(own)

    def _report(self) -> None:
        if self._reports:
            data = b"".join(self._reports)
            self._reports.clear()
            self._control.sendall(data)

    def _listen(self) -> None:
        if not self._inbox.fill():
            self._kill_all()
            os._exit(0)
        self._obey()

    def _obey(self) -> None:
        for message in self._inbox.complete():
            kind = message[0]
            if kind == Kind.FORK:
                self._fork(*message[1:])
            elif kind == Kind.KILL:
                self._kill(*message[1:])
            elif kind == Kind.CHECK:
                from dovetail.worker.checking import checked

                self._reports.append(checked(self._flow_cls, message[1]))
            elif kind == Kind.BEGIN:
                from dovetail.worker.execute import Executor

                facts = facts_from_plain(message[1])
                preload_stores(facts)
                self._executor = Executor(self._flow_cls, self._description, facts)
                self._executor.share_with_children()
                gc.freeze()
            elif kind == Kind.SEQUENCE and self._executor is not None:
                self._executor.share_sequence(ref_from_wire(message[1]))
                gc.freeze()

    # -- forking --------------------------------------------------------------------------------------------------

    def _fork(self, worker: int, mode: int, tasks: int, nonce: bytes) -> None:
        descriptors = self._inbox.descriptors
        inherited = descriptors[:3]
        del descriptors[:3]
        try:
            pid = _fork_quietly() if self._warns else os.fork()
        except OSError as error:
            self._reports.append(pack((Kind.NOT_FORKED, worker, str(error))))
        else:
            if pid == 0:
                self._be_child(mode, tasks, nonce, *inherited)
            self._numbers[pid] = worker
            self._pids[worker] = pid
            self._reaper.watch(pid)
        for descriptor in inherited:
            os.close(descriptor)

    def _be_child(self, mode: int, tasks: int, nonce: bytes, control: int, out: int, err: int) -> NoReturn:
        try:
            self._become_child(out, err)
            connection: Any = Connection(AF_UNIX, SOCK_STREAM, 0, control)
            assert self._executor is not None
            code = serve(connection, self._executor, mode, tasks, nonce, inbox=self._child_inbox)
        except (BrokenPipeError, ConnectionResetError):  # the driver is gone, and this process will be
            os._exit(1)
        except BaseException as error:
            sys.excepthook(type(error), error, error.__traceback__)
            code = 1
        leave(code)

    def _become_child(self, out: int, err: int) -> None:
        """Cut every tie to the parent but the one that ends this process with it."""
        setsid()
        close(self._life_write)
        tie(self._life_read, getpid(), parent=self._pid)
        dup2(out, 1)
        dup2(err, 2)
        for descriptor in (out, err, self._life_read):
            close(descriptor)
        self._reaper.leave()
        for descriptor in self._inbox.descriptors:
            close(descriptor)
        close(self._control.fileno())
        atexit._clear()  # what the module registered at import belongs to the parent
        _reseed()
        _offer_to_oom_killer()

    # -- ending ---------------------------------------------------------------------------------------------------

    def _kill(self, worker: int, number: int) -> None:
        pid = self._pids.get(worker)
        if pid is not None:
            _signal_group(pid, number)

    def _kill_all(self) -> None:
        for pid in self._numbers:
            _signal_group(pid, _SIGKILL)

    def _reap(self, pid: int) -> None:
        worker = self._numbers.pop(pid)
        del self._pids[worker]
        # Before the process is reaped, its id can't be anyone else's: what it left in its group goes now.
        _signal_group(pid, _SIGKILL)
        _, status, usage = os.wait4(pid, 0)
        self._reports.append(
            pack((Kind.REAPED, worker, status, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024))
        )


def preload(*, tasks: bool = False) -> None:
    """Do once what every child would have to do: imports, and the first use of the code between fork and exit.

    The interpreter adapts code and fills caches at first use. A child that does so writes to pages that it shares
    with its parent, and each such page costs it a fault and a copy.

    For the same reason nothing on this way imports `threading`, whose clean-up after a fork touches 130 pages: a fifth
    of all that a child with a short step does.

    Args:
        tasks: Whether children may be asked to run functions, not only steps.
    """
    import dovetail.artifacts.sequences
    import dovetail.authoring.inputs
    import dovetail.authoring.merge
    import dovetail.plugins.opening
    from dovetail.worker.rehearsal import rehearse

    if tasks:
        import dovetail.worker.function_attempt  # noqa: F401
    rehearse(TIMES)


def preload_stores(facts: RunFacts) -> None:
    """Import the classes of the run's data stores. None is opened: no client may live through a fork."""
    from dovetail.interfaces.errors import DovetailError
    from dovetail.plugins.opening import settings_class
    from dovetail.plugins.registry import registry

    for pin in facts.stores.values():
        try:
            spec = registry().datastore(str(pin["backend"]))
            registry().load(spec)
            settings_class(spec)
        except DovetailError:  # the task that needs the store says it, with its own name
            continue


def _fork_quietly() -> int:
    import warnings

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*multi-threaded.*", category=DeprecationWarning)
        return os.fork()


def _signal_group(pid: int, number: int) -> None:
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        # It may not have made its group yet.
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return


def _reseed() -> None:
    """Give this child random numbers of its own. `random` does so by itself after a fork; NumPy does not."""
    numpy = modules.get("numpy.random")
    if numpy is not None:
        numpy.seed()
    torch = modules.get("torch")
    if torch is not None:
        seed: Callable[[], Any] | None = getattr(torch, "seed", None)
        if seed is not None:
            seed()


def _offer_to_oom_killer() -> None:
    try:
        descriptor = open_file("/proc/self/oom_score_adj", O_WRONLY)
    except OSError:
        return
    try:
        write(descriptor, _OOM_SCORE)
    except OSError:
        pass
    finally:
        close(descriptor)
