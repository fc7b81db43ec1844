"""One run that this process asked for: takes a driver, serves what it assigns, says how it went."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from dovetail.interfaces import errors
from dovetail.interfaces.errors import DovetailError, RunFailedError
from dovetail.interfaces.tasks import ErrorReport
from dovetail.runner._body import Body
from dovetail.runner._driver_process import drivers
from dovetail.runner._printing import printing
from dovetail.worker.wire import Kind, pack

if TYPE_CHECKING:
    import socket

__all__ = ["Ending", "drive", "request_of"]

QUIET = "DOVETAIL_QUIET"
"""Variable that, set to 1, silences the lines about runs in a terminal."""


class Ending:
    """How a run ended.

    Args:
        name: Of the flow.
        has_file: Whether another process can go on with the run.
        body: What served it.
    """

    def __init__(self, name: str, has_file: bool, body: Body) -> None:
        self.name = name
        self.body = body
        self.way_on = f"Go on with: dovetail resume {body.run}" if has_file else f"See: dovetail logs {body.run}"
        """The next step to take."""
        self.state = ""
        """Final state."""
        self.path = ""
        """Path of the task that failed first."""
        self.error: ErrorReport | None = None
        """Why it failed."""

    def read(self, seconds: float) -> None:
        """Take in what the driver said at the end.

        Raises:
            RunFailedError: The driver died.
            DovetailError: It could not begin the run, or not drive it on.
        """
        body = self.body
        if body.end is None:
            raise RunFailedError(
                f"the driver of run {body.run} of {self.name} died" if body.run else f"the driver of {self.name} died",
                hint=f"What is recorded is kept. {self.way_on}" if body.run else "Nothing was run; call it again.",
            )
        if body.end[0] == Kind.REFUSED:
            raise _refusal(body.end)
        _, self.state, self.path, error, tasks = body.end
        self.error = None if error is None else ErrorReport.from_plain(error)
        count = "1 task" if tasks == 1 else f"{tasks} tasks"
        _tell(f"run {body.run} {self.state}: {count}, {seconds:.2f} s")

    def failure(self) -> RunFailedError:
        """What to raise for a run that did not succeed."""
        why = "" if self.error is None else f": {self.path}: {self.error}" if self.path else f": {self.error}"
        return RunFailedError(f"run {self.body.run} of {self.name} {self.state}{why}", hint=self.way_on)


def request_of(
    file: str,
    name: str,
    *,
    flow: Mapping[str, Any] | None,
    refusal: str,
    parameters: Mapping[str, Any],
    saved: Mapping[str, Any],
    said: Mapping[str, Any] | None = None,
    parent: str = "",
    home: str = "",
) -> dict[str, Any]:
    """What a driver is asked.

    Args:
        file: The flow's file, empty where there is none.
        name: What finds the flow in its file.
        flow: Its description, when this process runs the body; None: the driver has it imported, and runs it all.
        refusal: Why no other process can import it; empty when it can.
        parameters: Values that are plain data.
        saved: Values that only this process can store.
        said: Of a flow that the driver has imported: decorators and hooks of the object that was called.
        parent: `run/path` of the task that calls the flow; empty where none does.
        home: Folder of local state; empty: as this process's settings have it.
    """
    env = dict(os.environ)
    if home:
        env["DOVETAIL_HOME"] = home
    return {
        "file": file,
        "name": name,
        "flow": flow,
        "refusal": refusal,
        "parameters": parameters,
        "saved": list(saved),
        "said": said,
        "parent": parent,
        "cwd": os.getcwd(),
        "env": env,
    }


def drive(name: str, prepare: Callable[[], tuple[dict[str, Any], Callable[[socket.socket], Body]]]) -> Ending:
    """Have a run driven to its end.

    Args:
        name: Of the flow.
        prepare: Gives the request, and what makes the body for a connection. The driver starts meanwhile.

    Raises:
        KeyboardInterrupt: The user does not want it to go on; the run is left as interrupted.
        DovetailError: The run could not begin, or its driver died.
    """
    driver = drivers.take()
    usable = False
    try:
        request, make = prepare()
        driver.connection.sendall(pack((Kind.REQUEST, request)))
        body = make(driver.connection)
        begun = time.monotonic()
        body.on_begin = lambda: _tell(f"{name} runs as {body.run}")
        try:
            _serve(body)
            usable = body.is_clean
        finally:
            body.close()
    finally:
        drivers.give_back(driver, usable=usable)
    ending = Ending(name, bool(request["file"]), body)
    ending.read(time.monotonic() - begun)
    return ending


def _serve(body: Body) -> None:
    try:
        body.serve()
    except KeyboardInterrupt:
        body.interrupt()
        body.wait_end()  # a second Ctrl-C leaves the run as lost
        if body.end is not None:
            _tell(f"run {body.run} interrupted; go on: dovetail resume {body.run}")
        raise


def _refusal(end: list[Any]) -> DovetailError:
    """The error of a driver that could not begin a run, or not drive it on."""
    _, name, message, hint, run = end
    cls = getattr(errors, name, RunFailedError)
    if run and run not in message:
        message = f"run {run}: {message}"
    try:
        error: DovetailError = cls(message, hint=hint)
    except TypeError:  # takes something else
        error = RunFailedError(message, hint=hint)
    return error


def _tell(line: str) -> None:
    """Say how it goes, where somebody looks on."""
    try:
        is_terminal = sys.stderr is not None and sys.stderr.isatty()
    except ValueError:  # closed
        is_terminal = False
    if is_terminal and os.environ.get(QUIET) != "1":
        printing.show("stderr", line + "\n")
