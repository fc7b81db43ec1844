from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the test folders are no packages

from flowmatrix.generate import Case
from flowmatrix.perform import CONTEXTS, Bench, Outcome, chains

from dovetail.client import Client


class Performances:
    """Runs the cases of the session ahead of their tests, as many at once as there are processors.

    A worker of pytest-xdist is one of several processes that do so and runs each case when its test comes.
    """

    def __init__(self, bench: Bench, wanted: list[tuple[Case, str]], *, ahead: bool) -> None:
        self._bench = bench
        self._pool = ThreadPoolExecutor(max_workers=len(os.sched_getaffinity(0)) if ahead else 1)
        self._futures: dict[tuple[Case, str], Future[Outcome]] = {}
        self._chains: dict[tuple[Case, str], list[Case]] = {}
        resuming: dict[tuple[str, str], list[Case]] = {}
        for case, context in wanted:
            if case.body.ask == "FAIL":
                resuming.setdefault((case.graph.name, context), []).append(case)
        for (_, context), cases in resuming.items():
            for chain in chains(cases):
                self._chains.update(((case, context), chain) for case in chain)
        self.units = 0
        if ahead:
            for case, context in wanted:
                self._submit(case, context)

    def _submit(self, case: Case, context: str) -> Future[Outcome]:
        future = self._futures.get((case, context))
        if future is None:
            self.units += 1
            chain = self._chains.get((case, context))
            if chain is None:
                future = self._pool.submit(self._bench.perform, case, CONTEXTS[context])
            else:
                future = self._pool.submit(self._bench.perform_resumes, chain, CONTEXTS[context])
            self._futures.update(((one, context), future) for one in chain or [case])
        return future

    def outcome(self, case: Case, context: str) -> Outcome:
        """What came of a case, once."""
        return self._submit(case, context).result()

    def place(self, case: Case, context: str) -> int:
        """Which of the failures of a chain is the case's."""
        return self._chains[case, context].index(case)

    def close(self) -> None:
        """Begin nothing more."""
        self._pool.shutdown(cancel_futures=True)


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
    request.config.stash[TOLD] = f"{len(wanted)} pairs, {made.units} flows in {time.monotonic() - began:.0f} s"


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
