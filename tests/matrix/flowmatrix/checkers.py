"""Two ways to look at a run: with the command line's JSON, and with the client in this process."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from dovetail.client import Client
from flowmatrix.oracle import Caught

if TYPE_CHECKING:
    from flowmatrix.perform import Outcome

__all__ = ["Checker", "CliChecker", "ClientChecker", "SeenRun", "SeenTask"]


@dataclass(frozen=True, kw_only=True)
class SeenTask:
    """A task as a checker sees it."""

    state: str
    attempt: int
    own: frozenset[str]
    """Names of the artifacts that it assigned."""
    caught: bool
    error: str
    """Message, where it failed."""


@dataclass(frozen=True, kw_only=True)
class SeenRun:
    """A run as a checker sees it."""

    flow: str
    state: str
    parameters: Mapping[str, Any]
    tags: frozenset[str]
    user: str
    origin: str | None
    failed: str | None
    """Path of the root cause."""
    counts: Mapping[str, Mapping[str, int]]
    """Step → state → number of tasks."""
    tasks: Mapping[str, SeenTask]


class Checker(Protocol):
    """A way to look at the last run of an outcome."""

    def run(self) -> SeenRun: ...
    def logs(self) -> dict[tuple[str, str], list[str]]:
        """(path, stream) → lines."""
        ...


class CliChecker:
    """Reads what the command line said."""

    def __init__(self, outcome: Outcome) -> None:
        self._said = outcome.said

    def run(self) -> SeenRun:
        """What `dovetail show --tree --json` says."""
        data = json.loads(self._said["show", "--tree", "--json"])
        return SeenRun(
            flow=data["flow"],
            state=data["state"],
            parameters=data["parameters"],
            tags=frozenset(data["tags"]),
            user=data["user"],
            origin=data["origin"],
            failed=(data["error"] or {}).get("path"),
            counts={row["step"]: _some(row["states"]) for row in data["steps"]},
            tasks={
                task["path"]: SeenTask(
                    state=task["state"],
                    attempt=task["attempt"],
                    own=frozenset(task["artifacts"]),
                    caught="caught" in task["metadata"],
                    error=(task["error"] or {}).get("message", ""),
                )
                for task in data["tasks"]
            },
        )

    def logs(self) -> dict[tuple[str, str], list[str]]:
        """What `dovetail logs --json` says."""
        found: dict[tuple[str, str], list[str]] = {}
        for text in self._said["logs", "--json"].splitlines():
            line = json.loads(text)
            found.setdefault((line["path"], line["stream"]), []).append(line["text"])
        return found

    def inline(self) -> dict[tuple[str, str], Any]:
        """(path, name) → value, of the small plain artifacts that `dovetail artifacts --json` shows."""
        listed = json.loads(self._said["artifacts", "--json", "--limit", "0"])
        return {(one["path"], one["name"]): one["value"] for one in listed if "value" in one}


class ClientChecker:
    """Reads with the client."""

    def __init__(self, client: Client, outcome: Outcome) -> None:
        self._run = client.run(outcome.runs[-1].run)

    def run(self) -> SeenRun:
        """What the client's objects say."""
        run = self._run
        return SeenRun(
            flow=run.flow_name,
            state=str(run.state),
            parameters=run.parameters,
            tags=run.user_tags,
            user=run.user,
            origin=run.origin,
            failed=run.failed_task.path if run.failed_task is not None else None,
            counts={name: _some(states) for name, states in run.counts().items() if _some(states)},
            tasks={
                task.path: SeenTask(
                    state=str(task.state),
                    attempt=task.attempt,
                    own=frozenset(task.outputs),
                    caught=task.caught is not None,
                    error="" if task.error is None else task.error.message,
                )
                for task in run.tasks()
            },
        )

    def logs(self) -> dict[tuple[str, str], list[str]]:
        """What each task wrote."""
        found: dict[tuple[str, str], list[str]] = {}
        for task in self._run.tasks():
            for stream in ("stdout", "stderr"):
                lines = [line.text for line in task.log(stream=stream)]
                if lines:
                    found[task.path, stream] = lines
        return found

    def artifacts(self, path: str) -> dict[str, Any]:
        """Everything that a task could see at its end."""
        return {name: _plain(found.data) for name, found in self._run.task(path).artifacts.items()}

    def parents(self, path: str) -> list[str]:
        """The tasks before a task."""
        return self._run.task(path).parent_task_paths

    def children(self, path: str) -> list[str]:
        """The tasks after a task."""
        return self._run.task(path).child_task_paths


def _some(counts: Mapping[str, int]) -> dict[str, int]:
    return {state: count for state, count in counts.items() if count and state != "expected"}


def _plain(value: Any) -> Any:
    """A value, with what was caught in the oracle's terms."""
    return Caught(value.type, value.message) if type(value).__name__ == "CaughtError" else value
