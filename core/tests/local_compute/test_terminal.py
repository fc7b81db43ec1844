"""Inline tasks on the driver's terminal: breakpoints, and pdb where a step fails. Through a pseudo-terminal."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

pty = pytest.importorskip("pty", reason="needs pseudo-terminals")

FLOW = """
    from dovetail import FlowSpec, step

    class Debug(FlowSpec):
        @step
        def start(self):
            secret = 6 * 7
            breakpoint()
            print("went on with", secret)
            self.next(self.end)

        @step
        def fails(self):
            culprit = "the cat"
            raise ValueError("no")

        @step
        def end(self):
            pass
"""
SCRIPT = """
    import signal, sys
    from pathlib import Path
    sys.path.insert(0, sys.argv[1])
    from conftest import Driver
    from dovetail.interfaces.tasks import Isolation

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    launch = {"terminal": True, "post_mortem": True}
    driver = Driver(Path(sys.argv[2]), Path(sys.argv[2], "flow.py").read_text(), launch=launch)
    driver.begin()
    ended = driver.run(sys.argv[3], isolation=Isolation.INLINE, tasks=0)
    print("ended with", ended.outcome.error and ended.outcome.error.type)
    driver.group.close()
"""


class Terminal:
    """A program on a pseudo-terminal."""

    def __init__(self, command: list[str], env: dict[str, str]) -> None:
        self._ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, env=env, start_new_session=True
        )
        os.close(theirs)
        self.seen = ""

    def expect(self, text: str) -> None:
        """Read until a text was shown behind what was expected before."""
        deadline = time.monotonic() + 60
        while text not in self.seen:
            assert time.monotonic() < deadline, self.seen
            try:
                data = os.read(self._ours, 4096)
            except OSError:
                data = b""
            assert data, self.seen
            self.seen += data.decode()
        self.seen = self.seen.partition(text)[2]

    def type(self, line: str) -> None:
        """Type a line."""
        os.write(self._ours, line.encode() + b"\n")

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)


@pytest.mark.parametrize("forced", ["0", "1"], ids=["posix", "portable"])
@pytest.mark.parametrize("step", ["start", "fails"])
def test_pdb_stops_in_a_step(tmp_path: Path, step: str, forced: str) -> None:
    (tmp_path / "flow.py").write_text(textwrap.dedent(FLOW))
    command = [sys.executable, "-c", textwrap.dedent(SCRIPT), str(Path(__file__).parent), str(tmp_path), step]
    terminal = Terminal(command, {**os.environ, "DOVETAIL_FORCE_SPAWN": forced})
    try:
        terminal.expect("(Pdb)")
        terminal.type("p secret + 1000" if step == "start" else "p culprit.upper()")
        terminal.expect("1042" if step == "start" else "THE CAT")
        terminal.expect("(Pdb)")
        terminal.type("c" if step == "start" else "q")
        if step == "start":
            terminal.expect("went on with 42")
        terminal.expect("ended with None" if step == "start" else "ended with ValueError")
    finally:
        terminal.close()
