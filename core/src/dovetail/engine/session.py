"""The backends that a run uses, opened: settings resolved once, then data store, metadata provider, workers."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dovetail.interfaces.compute import ComputeCapability
from dovetail.interfaces.dataclass import dataclass
from dovetail.interfaces.errors import UnsupportedOperationError, UsageError
from dovetail.interfaces.workers import Launch, SupportsDirectWorkers, WorkerGroup

if TYPE_CHECKING:
    from dovetail.engine.step_plans import Here
    from dovetail.interfaces.datastore import DataStore
    from dovetail.interfaces.flow import FlowDescription, StepDescription
    from dovetail.interfaces.metadata import MetadataProvider
    from dovetail.settings import Selection, Settings

__all__ = ["FlowSource", "Session", "find_flow_file"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowSource:
    """Which flow to import."""

    file: Path
    """The flow's file."""
    name: str | None = None
    """Name of the class, where the file has several."""
    hash_seed: str = "0"
    """PYTHONHASHSEED of every process that runs user code: sets iterate alike in all of them."""
    refusal: str = ""
    """Why no other process can import the flow; empty when it can."""


def find_flow_file(text: str) -> Path:
    """The absolute path of a flow's file.

    Raises:
        NotFoundError: There is no such file.
        UsageError: It is no Python file.
    """
    path = Path(text).absolute()
    if not path.exists():
        from difflib import get_close_matches

        near = (
            get_close_matches(path.name, [p.name for p in path.parent.glob("*.py")], n=1)
            if path.parent.is_dir()
            else []
        )
        raise UsageError(f"there is no file {text}", hint=f"Did you mean {path.with_name(near[0])}?" if near else None)
    if path.suffix != ".py":
        raise UsageError(f"{text} is not a Python file", hint="Give the file that holds the flow: dovetail run flow.py")
    return path


class Session:
    """Opens backends on demand, each once.

    Args:
        settings: The resolved layers.
        source: The flow.
        terminal: Whether inline tasks get the terminal.
        post_mortem: Whether pdb opens where an inline task fails.
    """

    def __init__(
        self, settings: Settings, source: FlowSource, *, terminal: bool = False, post_mortem: bool = False
    ) -> None:
        self.settings = settings
        self.source = source
        self.terminal = terminal
        """Whether inline tasks get the terminal."""
        self.surely_called: Callable[[FlowDescription], Collection[str]] = lambda flow: ()
        """Names of the tasks that every run of a flow calls, as far as whoever made the session can tell."""
        self.here: Here = "nothing"
        """What the process that calls the flow runs itself, see `StepPlans`."""
        self._post_mortem = post_mortem
        self.beside: dict[str, WorkerGroup] = {}
        """Groups that run nothing and are listened to, such as whoever waits for the run; closed by who made them."""
        self._opened: dict[tuple[str, str], Any] = {}
        self._groups: list[WorkerGroup] = []
        self._first: WorkerGroup | None = None

    # -- backends -------------------------------------------------------------------------------------------------

    def open(self, selection: Selection) -> Any:
        """The backend of a selection; the same instance is opened once."""
        # One instance with options of a decorator on top is another backend.
        key = (selection.kind, repr(selection.to_plain()))
        signing = self.settings.core.artifacts.signing if selection.kind == "datastore" else None
        if signing is not None:  # what is kept may have been opened while other settings held
            key = (selection.kind, repr((selection.to_plain(), signing)))
        if key not in self._opened:
            opened = self.settings.open(selection)
            if signing is not None:
                from dovetail.artifacts.signed_store import signed_store

                opened = signed_store(opened, signing, self.settings.home)
            self._opened[key] = opened
        return self._opened[key]

    def adopt(self, other: Session) -> None:
        """Take over what another session of the same settings has opened."""
        self.beside.update(other.beside)
        self._opened.update(other._opened)
        other._opened.clear()

    def datastore(self, step: StepDescription | None = None, flow: FlowDescription | None = None) -> DataStore:
        """The data store of a step, or of the run."""
        store: DataStore = self.open(self.settings.select("datastore", step, flow))
        return store

    def metadata(self) -> MetadataProvider:
        """The metadata provider."""
        provider: MetadataProvider = self.open(self.settings.select("metadata", None, None))
        return provider

    # -- workers --------------------------------------------------------------------------------------------------

    def begin_import(self) -> WorkerGroup:
        """Begin to import the flow on the flow-level compute; the same group however often it is asked for."""
        if self._first is None:
            self._first = self.open_group(self.settings.select("compute", None, None))
        return self._first

    def open_group(
        self, selection: Selection, *, python: tuple[str, ...] = (), env: Mapping[str, str] | None = None
    ) -> WorkerGroup:
        """Begin to import the flow on a compute instance.

        Raises:
            UnsupportedOperationError: The backend can't run tasks beside the driver.
        """
        backend = self.open(selection)
        if ComputeCapability.DIRECT not in backend.capabilities or not isinstance(backend, SupportsDirectWorkers):
            raise UnsupportedOperationError(
                f"compute {selection.instance!r} does not run tasks beside the driver",
                hint="Choose another one for this step, such as --compute local.",
            )
        group = backend.open_group(
            Launch(
                file=str(self.source.file),
                flow=self.source.name,
                python=python or (sys.executable,),
                env={
                    "PYTHONHASHSEED": self.source.hash_seed,
                    **self.settings.core.plugins.to_env(),
                    **(env or {}),
                },
                cwd=os.getcwd(),
                terminal=self.terminal,
                post_mortem=self._post_mortem,
            )
        )
        self._groups.append(group)
        return group

    def close(self) -> None:
        """Close everything that was opened."""
        for group in self._groups:
            group.close(grace=1.0)
        self._groups.clear()
        for backend in self._opened.values():
            backend.close()
        self._opened.clear()
