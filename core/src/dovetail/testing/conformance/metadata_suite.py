"""What the parts of the metadata provider's suite share: fixtures, and events to append."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from dovetail.interfaces.events import Event, EventKind
from dovetail.interfaces.metadata import Holder, MetadataProvider, Query
from dovetail.testing.conformance.suite import Conformance

__all__ = ["HOLDER", "NOW", "OTHER", "MetadataSuite", "note", "run_rows", "tagged", "task", "task_rows"]

NOW = 1_795_250_000.0
HOLDER = Holder(host="elsewhere", boot="b", pid=1, started="1")
OTHER = Holder(host="elsewhere", boot="b", pid=2, started="1")


class MetadataSuite(Conformance):
    """Give a fixture `provider`: an open provider without runs, another one for each test.

    Give `reopen` too, a function that returns another handle of the same provider, where there is such a thing; and
    `opener`, which tells a process of its own how to open it, so that writers can be killed.
    """

    interface: ClassVar[str] = "metadata"
    patience: ClassVar[float] = 30.0
    """Seconds after which what should have happened is given up."""

    @pytest.fixture
    def provider(self) -> MetadataProvider:
        """To be overridden."""
        pytest.fail(f"{type(self).__qualname__} needs a fixture `provider` that returns an open metadata provider")

    @pytest.fixture
    def reopen(self, provider: MetadataProvider) -> Callable[[], MetadataProvider]:
        """Opens further handles of `provider`; to be overridden."""
        pytest.skip("there is no fixture reopen")

    @pytest.fixture
    def opener(self) -> tuple[Any, ...]:
        """How a process of its own opens the same provider: a function as `module:name`, and its arguments, which JSON
        can write; to be overridden."""
        pytest.skip("there is no fixture opener")


def note(n: int, writer: str = "w") -> Event:
    """An event that only a driver may append."""
    return Event(writer, n, EventKind.NOTE, NOW + n, "", {"message": f"{writer}{n}", "level": "info"})


def tagged(n: int, writer: str = "w", add: tuple[str, ...] = (), remove: tuple[str, ...] = ()) -> Event:
    """An event that anyone may append."""
    return Event(writer, n, EventKind.TAG, NOW + n, "", {"add": list(add), "remove": list(remove)})


def task(n: int, path: str, state: str, *, was: str | None = None, **columns: Any) -> Event:
    """An event of a task."""
    return Event("w", n, EventKind.TASK, NOW + n, path, {"was": was, "state": state, **columns})


def run_rows(provider: MetadataProvider, *columns: str, **query: Any) -> list[tuple[Any, ...]]:
    """Columns of the runs that a query finds."""
    return provider.query(Query(kind="runs", **query), columns=columns or ("run",)).rows


def task_rows(provider: MetadataProvider, *columns: str, **query: Any) -> list[tuple[Any, ...]]:
    """Columns of the tasks that a query finds."""
    return provider.query(Query(kind="tasks", **query), columns=columns or ("path",)).rows
