"""Pins: runs and objects that are kept whatever retention says."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dovetail.artifacts.documents import encode_json, read_json
from dovetail.artifacts.layout import object_key
from dovetail.artifacts.packing import ref_from_plain, ref_to_plain
from dovetail.artifacts.signed_store import unchecked
from dovetail.artifacts.store import ArtifactStore
from dovetail.interfaces.dataclass import dataclass
from dovetail.interfaces.errors import CorruptDataError, NotFoundError

if TYPE_CHECKING:
    from dovetail.interfaces.artifacts import ArtifactRef
    from dovetail.interfaces.datastore import DataStore

__all__ = ["Pin", "pinned_runs", "put_pin", "read_pin", "read_pins", "remove_pin"]

_PREFIX = "pins/"
_PLAIN = re.compile(r"[^\w.\[\],~#-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """What is kept."""

    run: str
    """The run; of an object the run that it was pinned from."""
    artifact: str = ""
    """`path/name` of a pinned artifact; empty: the run as a whole."""
    ref: ArtifactRef | None = None
    """The pinned artifact's object."""
    note: str = ""
    """Why."""
    created: float
    """Seconds since the epoch."""

    @property
    def name(self) -> str:
        """Its name, the same for the same thing."""
        return _PLAIN.sub("--", f"{self.run}/{self.artifact}" if self.artifact else self.run)

    def to_plain(self) -> dict[str, Any]:
        """This pin as JSON-able data."""
        plain: dict[str, Any] = {"version": 1, "run": self.run, "note": self.note, "created": self.created}
        if self.ref is not None:
            plain.update(artifact=self.artifact, digest=self.ref.digest.hex(), ref=ref_to_plain(self.ref))
        return plain

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any], what: str) -> Pin:
        """The inverse of `to_plain`.

        Raises:
            CorruptDataError: It is none.
        """
        try:
            return cls(
                run=str(plain.get("run") or ""),
                artifact=str(plain.get("artifact") or ""),
                ref=ref_from_plain(plain["ref"]) if "ref" in plain else None,
                note=str(plain.get("note") or ""),
                created=float(plain["created"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CorruptDataError(f"{what} is malformed: {error!r}") from error


def put_pin(store: DataStore, run: str, *, artifact: str = "", ref: ArtifactRef | None = None, note: str = "") -> Pin:
    """Pin a run, or an artifact that is an object; a second pin of the same thing takes the place of the first.

    The object of a pin is refreshed first, so that no collector is about to delete it.

    Raises:
        NotFoundError: The object is gone.
    """
    if ref is not None and not ArtifactStore({"": store}).renew("", ref.digest):
        raise NotFoundError(f"{object_key(ref.digest)} is not in {store.url}")
    pin = Pin(run=run, artifact=artifact, ref=ref, note=note, created=time.time())
    body = encode_json(pin.to_plain())
    store.put(_PREFIX + pin.name, body, mode="overwrite")
    return pin


def remove_pin(store: DataStore, pin: Pin) -> None:
    """Take a pin away. Idempotent."""
    store.delete([_PREFIX + pin.name])


def read_pin(store: DataStore, name: str) -> Pin:
    """A pin whose value is to be loaded.

    Raises:
        NotFoundError: There is none of this name.
        CorruptDataError: It is damaged.
        SignatureError: The store is a signed one, and no trusted key has signed it.
    """
    key = _PREFIX + name
    return Pin.from_plain(read_json(store.get(key).read(), key), key)


def read_pins(store: DataStore, damage: dict[str, str] | None = None) -> list[Pin]:
    """All pins, by name, for whoever lists, deletes or keeps things: of a signed store also those that nobody signed.

    Args:
        store: Where they are.
        damage: Gets the key of each one that is damaged, and why, instead of an error.

    Raises:
        CorruptDataError: One is damaged.
    """
    pins = []
    store = unchecked(store)
    for key in [info.key for info in store.scan(_PREFIX)]:
        try:
            pins.append(Pin.from_plain(read_json(store.get(key).read(), key), key))
        except NotFoundError:  # taken away just now
            continue
        except CorruptDataError as error:
            if damage is None:
                raise
            damage[key] = error.message
    return pins


def pinned_runs(store: DataStore) -> dict[str, str]:
    """Run → note, of the runs that are pinned as a whole."""
    return {pin.run: pin.note for pin in read_pins(store) if not pin.artifact}
