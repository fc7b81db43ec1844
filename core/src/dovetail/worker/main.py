"""Entry of every process that imports a flow: the warm parent, and workers that can't be forked from one.

On POSIX systems the driver hands over a connected control socket and a lifeline (`dovetail.worker.lifeline`) as
descriptors. Elsewhere the process connects to a port of the loopback interface that its environment names together
with a token, and ends when its standard input does.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import TYPE_CHECKING, Any, Final

from dovetail.worker.wire import Kind, Mode, facts_from_plain, launch_from_plain, pack, unpacker

if TYPE_CHECKING:
    from dovetail.authoring.flowspec import FlowSpec
    from dovetail.interfaces.flow import FlowDescription
    from dovetail.interfaces.tasks import ErrorReport
    from dovetail.interfaces.workers import Launch

__all__ = ["CONNECT_VARIABLE", "CONTROL", "ENTRY", "LIFELINE", "Inbox", "Role", "main"]

ENTRY: Final = "from dovetail.worker.main import main; main()"
"""What the interpreter runs; `-c`, because `-m` costs an import of `runpy`."""
CONTROL: Final = 3
"""Descriptor of the control socket."""
CONNECT_VARIABLE: Final = "DOVETAIL_WORKER_CONNECT"
"""Variable that holds the driver's port and a token, where nothing can be inherited."""
LIFELINE: Final = 4
"""Descriptor of the read end of the driver's lifeline."""


class Role:
    """What an importing process is for."""

    PARENT: Final = 0
    """Describe the flow, then fork workers."""
    DESCRIBER: Final = 1
    """Describe the flow, then perhaps become a worker."""
    WORKER: Final = 2
    """Become a worker; the driver knows the description."""


class Inbox:
    """Messages from the driver, with the descriptors that came along."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self.decoder = unpacker()
        """Holds what was read and not taken yet, perhaps the first part of a message."""
        self._receives = hasattr(socket, "recv_fds")
        self.descriptors: list[int] = []

    def next(self) -> list[Any]:
        """The next message; waits for it. Does not return when the driver is gone."""
        while True:
            for message in self.decoder:
                found: list[Any] = message
                return found
            if not self.fill():
                os._exit(0)

    def fill(self) -> bool:
        """Read once, which may wait; False at the end."""
        if self._receives:
            data, descriptors, _, _ = socket.recv_fds(self._control, 1 << 16, 253)
            self.descriptors += descriptors
        else:
            data = self._control.recv(1 << 16)
        self.decoder.feed(data)
        return bool(data)

    def complete(self) -> list[list[Any]]:
        """Messages that are there."""
        return list(self.decoder)


def main() -> None:
    """Import a flow and do what the driver asks. Does not return."""
    control = _take_over() if sys.argv[1] == "inherited" else _connect()
    _prepare_streams()
    _explain_crashes()
    inbox = Inbox(control)
    _, plain, role = inbox.next()
    launch = launch_from_plain(plain)
    flow_cls, failure = _import(launch)
    if role == Role.WORKER:
        _serve(control, inbox, launch, flow_cls, failure)
    description: FlowDescription | None = None
    if flow_cls is not None:
        from dovetail.worker.describing import describe_flow

        try:
            description = describe_flow(flow_cls, gated=role == Role.PARENT)
        except BaseException as error:
            failure = _report(error)
    if description is None or flow_cls is None:
        assert failure is not None
        control.sendall(pack((Kind.FAILED, failure.to_plain())))
        _flush_and_exit(1)
    assert description is not None
    control.sendall(pack((Kind.DESCRIBED, description.to_plain())))
    if role == Role.DESCRIBER:
        _serve(control, inbox, launch, flow_cls, None)
    if description.fork_hazards:
        _after_checks(control, inbox, flow_cls)  # nothing but these can be asked of it
        _flush_and_exit(0)
    from dovetail.worker.forking import Forker

    assert flow_cls is not None
    Forker(control, inbox, flow_cls, description).serve()


def _prepare_streams() -> None:
    """Lose at most a line when killed, and write what logs are read as."""
    for stream in (sys.stdout, sys.stderr):
        if not stream.isatty():
            stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)  # type: ignore[union-attr]


def _explain_crashes() -> None:
    """Have a fatal signal print the Python stack to the log before it ends the process."""
    import faulthandler

    if not faulthandler.is_enabled():
        faulthandler.enable()


def _take_over() -> socket.socket:
    """The connection and lifeline that were inherited."""
    from dovetail.worker.lifeline import tie

    tie(LIFELINE, os.getpgid(0) if os.getpgid(0) == os.getpid() else 0)
    os.set_inheritable(CONTROL, False)
    os.set_inheritable(LIFELINE, False)
    return socket.socket(fileno=CONTROL)


def _connect() -> socket.socket:
    """Connect to the driver."""
    port, token = os.environ.pop(CONNECT_VARIABLE).split()
    if sys.argv[1] == "connect":
        _end_with_input()
    control = socket.create_connection(("127.0.0.1", int(port)))
    control.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    control.sendall(token.encode())
    return control


def _end_with_input() -> None:
    """End this process when its standard input does, which the driver holds open; the flow sees an empty one."""
    from threading import Thread

    own = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)

    def wait() -> None:
        while os.read(own, 1):
            pass
        os._exit(1)

    Thread(target=wait, name="dovetail-lifeline", daemon=True).start()


def _import(launch: Launch) -> tuple[Any, ErrorReport | None]:
    from dovetail.worker.importing import import_flow

    try:
        os.chdir(launch.cwd)
        return import_flow(launch), None
    except BaseException as error:  # whatever the user's module does, the driver is told
        return None, _report(error)


def _report(error: BaseException) -> ErrorReport:
    from dovetail.worker.reports import report_exception

    return report_exception(error, kind="start")


def _serve(
    control: socket.socket,
    inbox: Inbox,
    launch: Launch,
    flow_cls: type[FlowSpec] | None,
    failure: ErrorReport | None,
) -> None:
    """Become a worker. Does not return."""
    from dovetail.interfaces.flow import FlowDescription
    from dovetail.worker.child import flush, leave, serve, write_mark
    from dovetail.worker.streams import mark

    message = _after_checks(control, inbox, flow_cls)
    if message[0] != Kind.SERVE:
        _flush_and_exit(0)
    _, mode, tasks, nonce, plain, facts = message
    executor: Any
    if flow_cls is None:
        from dovetail.worker.refusing import RefusingExecutor

        assert failure is not None
        executor = RefusingExecutor(failure)
    else:
        from dovetail.worker.execute import Executor

        executor = Executor(flow_cls, FlowDescription.from_plain(plain), facts_from_plain(facts))
        executor.post_mortem = launch.post_mortem
    flush()
    if mode in (Mode.ONE, Mode.MANY):
        write_mark(mark(nonce, 0))  # what was printed so far belongs to the import
    leave(serve(control, executor, mode, tasks, nonce, decoder=inbox.decoder))


def _after_checks(control: socket.socket, inbox: Inbox, flow_cls: Any) -> list[Any]:
    """The next message that does not ask to look at parameters."""
    while True:
        message = inbox.next()
        if message[0] != Kind.CHECK or flow_cls is None:
            return message
        from dovetail.worker.checking import checked

        control.sendall(checked(flow_cls, message[1]))


def _flush_and_exit(code: int) -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            continue
    os._exit(code)
