"""What a run is (`run.json`) and what a store is (`dovetail-store.json`)."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import field, fields
from typing import TYPE_CHECKING, Any

from dovetail.artifacts.documents import encode_json, read_json
from dovetail.artifacts.layout import MARKER, manifest_key
from dovetail.interfaces.dataclass import dataclass
from dovetail.interfaces.errors import AlreadyExistsError, CorruptDataError, NotFoundError, StoreVersionError

if TYPE_CHECKING:
    from dovetail.interfaces.datastore import DataStore

__all__ = [
    "MANIFEST_VERSION",
    "STORE_FORMAT",
    "RunManifest",
    "StoreMarker",
    "open_store",
    "put_manifest",
    "read_manifest",
    "read_marker",
]

STORE_FORMAT = 1
"""Format of a store as a whole; a reader refuses a higher one."""
MANIFEST_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreMarker:
    """`dovetail-store.json`."""

    uuid: str
    """Names the store in references, wherever it is reached from."""
    format: int = STORE_FORMAT
    """Format of the store."""


def read_marker(store: DataStore) -> StoreMarker:
    """The marker of a store.

    Raises:
        NotFoundError: The place is no store of Dovetail.
        StoreVersionError: A newer Dovetail made it.
        CorruptDataError: The marker is damaged.
    """
    what = f"{MARKER} in {store.url}"
    plain = read_json(store.get(MARKER).read(), what)
    try:
        marker = StoreMarker(uuid=str(plain["uuid"]), format=int(plain["format"]))
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptDataError(f"{what} is malformed: {error!r}") from error
    if marker.format > STORE_FORMAT:
        raise StoreVersionError(
            f"the store {store.url} has format {marker.format}, and this Dovetail knows up to {STORE_FORMAT}",
            hint="Upgrade dovetail to use this store.",
        )
    return marker


def open_store(store: DataStore) -> str:
    """UUID of a store; marks it first where that was not done. Of several that mark at once, one wins.

    Raises:
        StoreVersionError: A newer Dovetail made it.
        CorruptDataError: The marker is damaged.
        StoreReadOnlyError: It is not marked and can't be written.
    """
    try:
        return read_marker(store).uuid
    except NotFoundError:
        pass
    import uuid

    body = encode_json({"format": STORE_FORMAT, "uuid": str(uuid.uuid4())})
    with suppress(AlreadyExistsError):
        store.put(MARKER, body)
    return read_marker(store).uuid


@dataclass(frozen=True, slots=True, kw_only=True)
class RunManifest:
    """`run.json`: written once, before the first task of a run."""

    run: str
    """Run id."""
    flow: str
    """Name of the flow."""
    created: float
    """Seconds since the epoch."""
    user: str = ""
    """Who started it."""
    description: Mapping[str, Any] = field(default_factory=dict)
    """The flow as `FlowDescription.to_plain` gives it: the graph, code keys, constants."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Name → plain reference (`dovetail.artifacts.packing.ref_to_plain`)."""
    tags: tuple[str, ...] = ()
    """User tags at the start."""
    system_tags: tuple[str, ...] = ()
    """System tags."""
    code: Mapping[str, Any] = field(default_factory=dict)
    """The code package."""
    environments: Mapping[str, Any] = field(default_factory=dict)
    """Pinned environments, by id."""
    plugins: Mapping[str, Any] = field(default_factory=dict)
    """Pinned plugins, by distribution."""
    stores: Mapping[str, Any] = field(default_factory=dict)
    """Store uuid → how it is opened; no credentials."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Resolved settings."""
    origin: str | None = None
    """Run that this one resumes."""
    info: Mapping[str, Any] = field(default_factory=dict)
    """Whatever else is pinned, by name."""

    def to_plain(self) -> dict[str, Any]:
        """This manifest as JSON-able data."""
        plain: dict[str, Any] = {"version": MANIFEST_VERSION}
        for spec in fields(self):
            value = getattr(self, spec.name)
            plain[spec.name] = list(value) if isinstance(value, tuple) else value
        return plain

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> RunManifest:
        """The inverse of `to_plain`; names that are not known are left out.

        Raises:
            StoreVersionError: A newer Dovetail wrote it.
            CorruptDataError: It is malformed.
        """
        version = plain.get("version")
        if not isinstance(version, int):
            raise CorruptDataError("a run manifest has no version")
        if version > MANIFEST_VERSION:
            raise StoreVersionError(
                f"run {plain.get('run')} has a manifest of version {version}, "
                f"and this Dovetail reads up to {MANIFEST_VERSION}",
                hint="Upgrade dovetail to read this run.",
            )
        known = {spec.name for spec in fields(cls)}
        found = {name: value for name, value in plain.items() if name in known}
        for name in ("tags", "system_tags"):
            found[name] = tuple(found.get(name, ()))
        try:
            return cls(**found)
        except TypeError as error:
            raise CorruptDataError(f"the manifest of run {plain.get('run')} is malformed: {error}") from error


def put_manifest(store: DataStore, manifest: RunManifest) -> None:
    """Write `run.json`, create-only.

    Raises:
        AlreadyExistsError: The run has one.
    """
    store.put(manifest_key(manifest.run), encode_json(manifest.to_plain()))


def read_manifest(store: DataStore, run: str) -> RunManifest:
    """`run.json` of a run.

    Raises:
        NotFoundError: The store has no such run.
        StoreVersionError: A newer Dovetail wrote it.
        CorruptDataError: It is damaged.
    """
    plain = read_json(store.get(manifest_key(run)).read(), f"run.json of {run}")
    if not isinstance(plain, dict):
        raise CorruptDataError(f"run.json of {run} is malformed")
    return RunManifest.from_plain(plain)
