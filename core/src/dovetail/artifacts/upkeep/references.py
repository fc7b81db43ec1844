"""Which objects the keys below `runs/` refer to.

A reader for whoever must not miss one: whole segments are read, also behind the ends that fences list, and whatever
looks like a digest in a JSON document counts. What can't be read is told, so that a collector can stop.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

from dovetail.artifacts.documents import has_check, read_json
from dovetail.artifacts.framing import RECORD_MAGIC
from dovetail.artifacts.layout import manifest_key
from dovetail.artifacts.msgpacked import unpack, unpack_checked
from dovetail.artifacts.packing import row_to_ref
from dovetail.artifacts.record_packing import RECORD_VERSION
from dovetail.artifacts.sequence_format import SEQUENCE_ID
from dovetail.artifacts.signed_store import unchecked
from dovetail.artifacts.store import ArtifactStore
from dovetail.artifacts.upkeep.segment_reading import Span, read_whole
from dovetail.interfaces.errors import CorruptDataError, DovetailError, NotFoundError, StoreVersionError

if TYPE_CHECKING:
    from dovetail.artifacts.framing import Frame
    from dovetail.artifacts.packing import Origin
    from dovetail.interfaces.datastore import DataStore, ObjectInfo

__all__ = ["Reference", "References", "runs_in"]

_DIGEST = re.compile(r"[0-9a-f]{64}")
_ITEMS = "[]"


class Reference(NamedTuple):
    """An object that a run needs."""

    store: str
    """UUID of the data store that holds it; empty: the run's own."""
    digest: bytes
    """Its name."""
    run: str
    """The run."""
    path: str
    """The task; empty: the run itself."""
    name: str
    """Name of the artifact, or what else it is; items of a foreach end in `[i]`."""

    def __str__(self) -> str:
        return "/".join(filter(None, (self.run, self.path, self.name)))


def runs_in(store: DataStore, prefix: str = "runs/") -> Iterator[tuple[str, Iterator[ObjectInfo]]]:
    """Each run of a store with what is below its key, in one scan; a run's keys must be read before the next run."""
    return groupby(store.scan(prefix), key=lambda info: info.key.split("/", 2)[1])


class References:
    """Reads what runs of one data store refer to.

    Args:
        store: The store that holds the runs.
        uuid: Its uuid.
        stores: Data stores by uuid, in which sequences are opened: those of other stores are told without their items.
    """

    def __init__(self, store: DataStore, uuid: str, stores: Mapping[str, DataStore] | None = None) -> None:
        self._store = store = unchecked(store)  # who is not trusted may still need what there is
        self._uuid = uuid
        others = {name: unchecked(other) for name, other in (stores or {}).items()}
        self._artifacts = ArtifactStore({uuid: store, **others}, default=uuid)
        self._known = {uuid, *(stores or {})}
        self.damage: list[str] = []
        """What could not be read, one line each."""
        self.unchecked = 0
        """Documents without a check, which earlier versions wrote: what changed in them may go unnoticed."""

    def flow_of(self, run: str) -> str:
        """Name of a run's flow; `?` where its manifest can't be read."""
        try:
            plain = read_json(self._store.get(manifest_key(run)).read(), "run.json")
        except (NotFoundError, CorruptDataError):
            return "?"
        return str(plain.get("flow") or "?") if isinstance(plain, dict) else "?"

    def of_run(self, run: str, infos: Iterable[ObjectInfo]) -> Iterator[Reference]:
        """What a run refers to; what it refers to twice is told twice.

        Args:
            run: Run id.
            infos: Everything below its key, sorted.
        """
        begin = len(f"runs/{run}/")
        spans: dict[str, Mapping[str, int]] = {}
        ended: set[int] = set()
        for info in infos:
            key, rest = info.key, info.key[begin:]
            kind = rest.partition("/")[0]
            if kind == "logs":
                continue
            if kind == "commits":
                yield from self._records(run, key, Span(single=True))
            elif kind == "segments":
                yield from self._records(run, key, Span.of(key, spans, ended))
            else:
                plain = self._json(key)
                if plain is None:
                    continue
                if kind == "fences" and isinstance(plain, dict):
                    spans[rest.partition("/")[2]] = plain.get("ends") or {}
                elif kind == "end":
                    ended.add(int(rest.partition("/")[2]))
                yield from self._document(run, rest, plain)

    # -- documents ------------------------------------------------------------------------------------------------

    def _json(self, key: str) -> Any:
        try:
            data = self._store.get(key).read()
            self.unchecked += not has_check(data)
            return read_json(data, key)
        except NotFoundError:  # the run is being deleted
            return None
        except CorruptDataError as error:
            self.damage.append(error.message)
            return None

    def _document(self, run: str, rest: str, plain: Any) -> Iterator[Reference]:
        path = ""
        if rest.startswith("attempts/") and isinstance(plain, dict):
            path = rest[len("attempts/") :].rpartition("/")[0]
            try:
                rows = unpack(b64decode(plain["arguments"])) if plain.get("arguments") else {}
                yield from self._rows(run, path, "argument ", rows, None)
            except Exception as error:
                self.damage.append(f"runs/{run}/{rest} has arguments that can't be read: {error!r}")
            plain = {name: value for name, value in plain.items() if name not in ("arguments", "error")}
        yield from self._walk(run, path, plain, rest)

    def _walk(self, run: str, path: str, plain: Any, name: str) -> Iterator[Reference]:
        """Every text in a document that may be a digest, with the key that leads there."""
        if isinstance(plain, dict):
            store = plain.get("object")
            home = (store or self._uuid) if isinstance(store, str) else ""  # constants leave their store empty
            pack = plain.get("pack")
            if isinstance(pack, list) and len(pack) == 4 and isinstance(pack[0], str):
                home = pack[0]
            for key, value in plain.items():
                inner = name if key in ("digest", "pack") else key
                for found in self._walk(run, path, value, inner):
                    yield found._replace(store=home) if not found.store else found
            if plain.get("serializer") == SEQUENCE_ID and isinstance(plain.get("digest"), str):
                from dovetail.artifacts.packing import ref_from_plain

                yield from self._items(run, path, name, lambda: ref_from_plain(plain))
        elif isinstance(plain, list):
            for value in plain:
                yield from self._walk(run, path, value, name)
        elif isinstance(plain, str) and len(plain) == 64 and _DIGEST.fullmatch(plain):
            yield Reference("", bytes.fromhex(plain), run, path, name)

    # -- records --------------------------------------------------------------------------------------------------

    def _records(self, run: str, key: str, span: Span) -> Iterator[Reference]:
        for frame in read_whole(self._store, key, RECORD_MAGIC, span, self.damage):
            try:
                yield from self._frame(run, key, frame)
            except StoreVersionError:
                raise
            except CorruptDataError as error:
                self.damage.append(f"{key} has a record at byte {frame.offset} that can't be read: {error.message}")

    def _frame(self, run: str, key: str, frame: Frame) -> Iterator[Reference]:
        for data, offset, _ in frame.items():
            found = unpack_checked(data, "a commit record")
            try:
                (version, path, call, *_), body = found
                if version > RECORD_VERSION:
                    raise StoreVersionError(
                        f"a commit record of run {run} has version {version}",
                        hint="Upgrade dovetail: what it refers to is not known to this version.",
                    )
                table, _, _, _, _, _, _, *more = unpack_checked(body, "a commit record")
                outputs = unpack_checked(table, "an output table")
                arguments = unpack_checked(more[0], "a table of arguments") if more and more[0] else {}
            except (TypeError, ValueError) as error:
                raise CorruptDataError(f"it has an unknown shape: {error}") from error
            origin: Origin = (self._uuid, run, path, call, key, frame.data_at + offset)
            yield from self._rows(run, path, "", outputs, origin)
            yield from self._rows(run, path, "argument ", arguments, origin)

    def _rows(
        self, run: str, path: str, prefix: str, rows: Mapping[str, Any], origin: Origin | None
    ) -> Iterator[Reference]:
        for name, row in rows.items():
            digest, place, serializer = row[0], row[3], row[2]
            if isinstance(place, str):
                yield Reference(place, digest, run, path, prefix + name)
            elif isinstance(place, list) and len(place) == 4:
                yield Reference(place[0], place[1], run, path, prefix + name)
            if serializer == SEQUENCE_ID and not isinstance(place, bytes) and place is not None and len(place) != 8:
                yield from self._items(run, path, prefix + name, lambda: row_to_ref(name, row, origin))  # noqa: B023

    def _items(self, run: str, path: str, name: str, ref_of: Callable[[], Any]) -> Iterator[Reference]:
        """Items of a foreach that are objects of their own."""
        from dovetail.artifacts.sequences import SequenceReader

        what = f"{run}/{path}/{name}"
        try:
            ref = ref_of()
            home = str(getattr(ref.place, "store", "")) or self._uuid
            if home not in self._known:
                return
            for index, digest in SequenceReader(self._artifacts, ref, name=what).objects():
                yield Reference(home, digest, run, path, f"{name}[{index}]")
        except DovetailError as error:
            if not self._is_gone(run):
                self.damage.append(f"the items of {what} can't be read: {error.message}")

    def _is_gone(self, run: str) -> bool:
        """Whether a run is being deleted."""
        return next(iter(self._store.scan(f"runs/{run}/run.json")), None) is None
