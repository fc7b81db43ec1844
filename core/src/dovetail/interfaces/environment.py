"""`EnvironmentBuilder`: locks, builds and ships the interpreter and packages that a step runs in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from dovetail.interfaces.dataclass import dataclass

if TYPE_CHECKING:
    import enum

    from typing_extensions import Self

    from dovetail.interfaces.context import PluginContext
    from dovetail.interfaces.datastore import DataStore

__all__ = ["BuiltEnvironment", "Bundle", "EnvironmentBuilder", "EnvironmentSpec", "LockedEnvironment"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentSpec:
    """What a step asks for."""

    options: Mapping[str, Any] = field(default_factory=dict)
    """The decorator's options, checked against the builder's settings."""
    root: Path
    """Folder that relative paths in the options start from: the project's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedEnvironment:
    """A solved environment. Plain JSON: it is stored with the run."""

    builder: str
    """Name of the builder."""
    id: str
    """Content hash; equal ids are equal environments."""
    platform: str
    """Such as `linux-64`."""
    python: str
    """Python version, `3.11` at least."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """What the builder needs to build it, JSON-able."""
    report: Mapping[str, Any] = field(default_factory=dict)
    """What people want to see and what does not count in the id, such as the package list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltEnvironment:
    """An environment on this machine."""

    id: str
    """Id of the locked environment."""
    path: Path
    """Folder that holds it."""
    python: tuple[str, ...]
    """Interpreter and its options."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Variables to set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """How to build an environment elsewhere, offline. Plain JSON."""

    id: str
    """Id of the locked environment."""
    platform: str
    """What it was made for."""
    blobs: Mapping[str, str] = field(default_factory=dict)
    """File name → key in the data store; the installer tool is one of them."""
    steps: tuple[tuple[str, ...], ...] = ()
    """Programs to run in order, `{into}` standing for the target folder."""
    python: tuple[str, ...] = ()
    """Interpreter and its options, with `{into}`."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Variables to set, with `{into}`."""


class EnvironmentBuilder(ABC):
    """Locks and builds environments. Synchronous, thread-safe, opened after any fork.

    No secret is in the `repr`, a lock, a bundle or a log.
    """

    capabilities: ClassVar[enum.Flag | None] = None
    """Reserved; no optional abilities exist yet."""

    @classmethod
    @abstractmethod
    def open(cls, target: str, settings: Any, ctx: PluginContext) -> Self:
        """Open the builder (`target`: empty, or a cache folder)."""

    def close(self) -> None:
        """Release what the builder holds. Idempotent."""
        return

    @abstractmethod
    def lock(self, spec: EnvironmentSpec, *, platform: str) -> LockedEnvironment:
        """Solve for this or a foreign platform. The same answer for the same spec and index.

        Raises:
            SettingsError: An option that the builder does not know.
            UnsupportedOperationError: The builder can't solve for `platform`.
        """

    @abstractmethod
    def build(
        self, source: LockedEnvironment | Bundle, *, into: Path, cache: DataStore | None = None
    ) -> BuiltEnvironment:
        """Make the environment below `into`: atomic, safe under concurrency, offline from a bundle.

        Whatever a build that was killed has left, the next one makes the environment whole.

        Args:
            source: What to build.
            into: Folder that holds environments; each gets a folder of its own in it.
            cache: Holds the blobs of a bundle.

        Raises:
            PreconditionError: `source` is of another platform than this machine's.
        """

    @abstractmethod
    def ship(self, locked: LockedEnvironment, store: DataStore, *, platform: str) -> Bundle:
        """Put what a machine elsewhere needs into a store. Idempotent.

        Raises:
            UnsupportedOperationError: The environment can't leave this machine.
        """

    @abstractmethod
    def list_built(self) -> list[BuiltEnvironment]:
        """Environments that exist on this machine."""

    @abstractmethod
    def remove(self, id: str) -> None:
        """Delete a built environment. Idempotent.

        Raises:
            UnsupportedOperationError: The environment is not the builder's to delete.
        """
