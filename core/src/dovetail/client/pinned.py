"""Pinned artifacts whose run is gone: the pin is all that still knows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dovetail.client.artifact import DataArtifact
from dovetail.client.pathspec import parse_pathspec
from dovetail.interfaces.errors import (
    ArtifactGoneError,
    NotFoundError,
    SignatureError,
    StoreError,
    UsageError,
)

if TYPE_CHECKING:
    from datetime import datetime

    from dovetail.artifacts.lazy_values import LazyValue
    from dovetail.artifacts.store import ArtifactStore
    from dovetail.artifacts.upkeep.pins import Pin
    from dovetail.client.connection import Connection
    from dovetail.client.task import Task
    from dovetail.interfaces.artifacts import ArtifactRef

__all__ = ["PinnedArtifact", "find_pinned"]


class PinnedArtifact(DataArtifact):
    """An artifact that a pin keeps though its run was deleted. It loads and verifies as any other; its task is gone."""

    __slots__ = ("_loader", "pin")

    pin: Pin
    """What keeps it."""
    _loader: ArtifactStore

    @classmethod
    def _of_pin(cls, pin: Pin, artifacts: ArtifactStore) -> PinnedArtifact:
        self = cls.__new__(cls)
        self.name = pin.artifact.rpartition("/")[2]
        self.pin = pin
        self._entry = self._plain = self._told = None
        self._loader = artifacts
        return self

    @property
    def task(self) -> Task:  # type: ignore[override]
        """Raises ArtifactGoneError: it was deleted."""
        raise ArtifactGoneError(
            f"the task of {self.pathspec} is gone: its run was deleted", hint="The pin keeps the value alone."
        )

    @property
    def pathspec(self) -> str:
        """`run/path/name`."""
        return f"{self.pin.run}/{self.pin.artifact}"

    @property
    def path_components(self) -> list[str]:
        """The pathspec's parts."""
        return self.pathspec.split("/")

    @property
    def _run_id(self) -> str:
        return self.pin.run

    @property
    def _path(self) -> str:
        return self.pin.artifact.rpartition("/")[0]

    @property
    def _artifacts(self) -> ArtifactStore:
        return self._loader

    def _open(self) -> LazyValue:
        return self._loader.open(self.ref, name=self.pathspec)

    @property
    def ref(self) -> ArtifactRef:
        """Digest, size, serializer and where the bytes are."""
        assert self.pin.ref is not None
        return self.pin.ref

    @property
    def created_at(self) -> datetime | None:
        """None: it went with the task."""
        return None

    @property
    def finished_at(self) -> datetime | None:
        """None: it went with the task."""
        return None

    @property
    def data(self) -> Any:
        """The value, loaded anew each time.

        Raises:
            ArtifactGoneError: Its bytes are no longer in the store.
            CorruptDataError: Its bytes do not match its digest.
        """
        return self._artifacts.load(self.ref, name=self.pathspec)

    def raw(self) -> tuple[bytes, list[memoryview]]:
        """Header and frames as the serializer wrote them, verified; nothing is unpickled."""
        return self._artifacts.fetch(self.ref, name=self.pathspec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PinnedArtifact) and other.pin == self.pin

    def __hash__(self) -> int:
        return hash(self.pathspec)

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("a pinned artifact can't be pickled; pickle its data")


def find_pinned(connection: Connection, text: str) -> PinnedArtifact | None:
    """The pinned artifact that a name means: the pin's own name, or `run/path/name` with any prefix of the run's id.

    None where no whole pin has that name, or nothing was ever stored.

    Raises:
        BackendError, PluginError, SettingsError: The store, or a key of it, can't be had.
        UsageError: It fits several.
        SignatureError: No trusted key has signed the pin, where signatures are asked for.
    """
    from dovetail.artifacts.store import ArtifactStore
    from dovetail.artifacts.upkeep.pins import read_pin, read_pins

    try:
        uuid, store = connection.default_store()
        pins = [pin for pin in read_pins(store, {}) if pin.ref is not None]
    except StoreError:
        return None
    found = [pin for pin in pins if text in (pin.name, f"{pin.run}/{pin.artifact}")]
    if not found:
        spec = parse_pathspec(text)
        named = "/".join(spec.rest)
        found = [pin for pin in pins if spec.run and pin.run.startswith(spec.run) and pin.artifact == named]
    if len(found) > 1:
        names = ", ".join(f"{pin.run}/{pin.artifact}" for pin in found)
        raise UsageError(f"{text!r} fits more than one pin: {names}", hint="Give more of the id.")
    if not found:
        return None
    try:
        pin = read_pin(store, found[0].name)
    except NotFoundError:  # taken away meanwhile
        return None
    except SignatureError as error:
        raise SignatureError(
            f"artifact {found[0].run}/{found[0].artifact} is not loaded: {error.message}",
            key=error.key,
            hint="Its run is gone, so only the pin could say which value it is. If you trust whoever wrote it, put "
            "that key into artifacts.trusted_keys, or load it with artifacts.signed off.",
        ) from error
    if pin.ref is None:
        return None
    artifacts = ArtifactStore({uuid: store}, connection.serializers(), default=uuid, **connection.load_policy())
    return PinnedArtifact._of_pin(pin, artifacts)
