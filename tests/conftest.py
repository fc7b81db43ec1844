from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from flowproject import FlowProject


@pytest.fixture(autouse=True, scope="session")
def signals() -> None:
    """Commands get the signals that they are sent, also below `nohup` or in the background of a script."""
    for name in ("SIGINT", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if name == "SIGINT" else signal.SIG_DFL)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[FlowProject]:
    """A folder for a flow."""
    made = FlowProject(tmp_path)
    yield made
    made.close()
