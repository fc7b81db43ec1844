"""Performs the cases of a test session, each once and as many at a time as the machine takes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from flowmatrix.perform import CONTEXTS, chains

if TYPE_CHECKING:
    from flowmatrix.generate import Case
    from flowmatrix.perform import Bench, Outcome

__all__ = ["Performances"]


class Performances:
    """Runs the cases of the session ahead of their tests, as many at once as there are processors.

    A worker of pytest-xdist is one of several processes that do so and runs each case when its test comes.
    """

    def __init__(self, bench: Bench, wanted: Sequence[tuple[Case, str]], *, ahead: bool) -> None:
        self._bench = bench
        self._pool = ThreadPoolExecutor(max_workers=(os.cpu_count() or 1) if ahead else 1)
        self._futures: dict[tuple[Case, str], Future[Outcome]] = {}
        self._chains: dict[tuple[Case, str], list[list[Case]]] = {}
        resuming: dict[tuple[str, str], list[Case]] = {}
        for case, context in wanted:
            if case.body.ask == "FAIL":
                resuming.setdefault((case.graph.name, context), []).append(case)
        for (_, context), cases in resuming.items():
            for chain in chains(cases):
                self._chains.update(((case, context), chain) for link in chain for case in link)
        self.runs = 0
        if ahead:
            for case, context in wanted:
                self._submit(case, context)

    def _submit(self, case: Case, context: str) -> Future[Outcome]:
        future = self._futures.get((case, context))
        if future is None:
            chain = self._chains.get((case, context))
            self.runs += 1 + len(chain or ())
            if chain is None:
                future = self._pool.submit(self._bench.perform, case, CONTEXTS[context])
            else:
                future = self._pool.submit(self._bench.perform_resumes, chain, CONTEXTS[context])
            self._futures.update(((one, context), future) for link in chain or [[case]] for one in link)
        return future

    def outcome(self, case: Case, context: str) -> Outcome:
        """What came of a case, once."""
        return self._submit(case, context).result()

    def place(self, case: Case, context: str) -> int:
        """Which of the failures of a chain is the case's."""
        return next(at for at, link in enumerate(self._chains[case, context]) if case in link)

    def close(self) -> None:
        """Begin nothing more."""
        self._pool.shutdown(cancel_futures=True)
