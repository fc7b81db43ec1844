from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the test folders are no packages

from flowmatrix.perform import Bench
from flowmatrix.performances import Performances

from dovetail.client import Client


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A home that all cases of this process share."""
    return Bench(tmp_path_factory.mktemp("matrix"))


@pytest.fixture(scope="session")
def performances(bench: Bench, request: pytest.FixtureRequest) -> Iterator[Performances]:
    """Outcomes of cases."""
    wanted = [
        (item.callspec.params["case"], item.callspec.params["context"])
        for item in request.session.items
        if isinstance(item, pytest.Function) and {"case", "context"} <= getattr(item, "callspec", _NONE).params.keys()
    ]
    made = Performances(bench, wanted, ahead=not hasattr(request.config, "workerinput"))
    began = time.monotonic()
    yield made
    made.close()
    request.config.stash[TOLD] = f"{len(wanted)} pairs, {made.runs} runs in {time.monotonic() - began:.0f} s"


class _NONE:
    params: dict[str, object] = {}  # noqa: RUF012


TOLD = pytest.StashKey[str]()


@pytest.fixture(scope="session")
def client(bench: Bench) -> Iterator[Client]:
    """A client of the home."""
    with Client(bench.home, namespace=None) as made:
        yield made


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell the main process of pytest-xdist what this worker did."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["matrix"] = session.config.stash.get(TOLD, "")


def pytest_testnodedown(node: object) -> None:
    """Keep what a worker told."""
    told = getattr(node, "workeroutput", {}).get("matrix")
    if told:
        _WORKERS.append(told)


_WORKERS: list[str] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """How many pairs there were, and how long they took."""
    for told in [*_WORKERS, *filter(None, [config.stash.get(TOLD, "")])]:
        terminalreporter.write_line(f"matrix: {told}")
