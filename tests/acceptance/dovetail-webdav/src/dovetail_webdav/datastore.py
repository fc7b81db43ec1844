"""A data store over WebDAV, by the two steps of it that servers do at once: MKCOL, and a MOVE to a new name.

PUT and a MOVE that overwrites are seen half done, and `Overwrite: F` is a look before a rename. So an object is a
collection with a file in it, made aside and moved to its name: a rename replaces no collection that has a member, and
who has won is seen in the collection. Overwriting moves a file with a higher number in, deleting moves the collection
away, and a refresh changes its time by a member that comes and goes.
"""

from __future__ import annotations

import io
import json
import os
from base64 import b32decode, b32encode
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from urllib.parse import urlsplit

from dovetail.interfaces.datastore import (
    Body,
    ByteRange,
    DataStore,
    DataStoreCapability,
    GetResult,
    ObjectInfo,
    check_key,
)
from dovetail.interfaces.errors import (
    AlreadyExistsError,
    NotFoundError,
    PermissionDeniedError,
    SettingsError,
)

from dovetail_webdav.client import Client, Member
from dovetail_webdav.settings import WebdavDataStoreSettings

if TYPE_CHECKING:
    from dovetail.interfaces.context import PluginContext
    from typing_extensions import Self

__all__ = ["WebdavDataStore"]

SCHEMES = {"webdav": "http", "webdavs": "https"}
LONGEST = 150  # bytes of a key that names its collection itself: file names are shorter than 256


@dataclass(frozen=True, slots=True)
class _Version:
    """The newest file of an object. Its name has a number, something random, and the sizes of its header and body."""

    path: str
    etag: str
    header: int
    size: int
    modified: float
    now: float

    @property
    def number(self) -> int:
        return int(self.etag.partition("-")[0])


class WebdavDataStore(DataStore):
    """Below `objects` a collection for each object; below `parts` what is being written or deleted."""

    capabilities: ClassVar[DataStoreCapability] = DataStoreCapability.NONE

    def __init__(self, url: str, client: Client, *, read_only: bool = False) -> None:
        self._url = url
        self.client = client
        self.read_only = read_only

    @classmethod
    def open(cls, target: str, settings: WebdavDataStoreSettings | None, ctx: PluginContext) -> Self:
        """Open the collection that a URL names, else the one of the settings; it is made if only it is missing."""
        given = settings or WebdavDataStoreSettings()
        url = (target or given.url).rstrip("/")
        scheme, _, place = url.partition("://")
        if scheme not in SCHEMES or not place or "@" in urlsplit(url).netloc:
            raise SettingsError(f"{ctx.instance} needs a URL webdav[s]://host/path, without a user", hint="Set its url.")
        options: dict[str, Any] = {"timeout": given.timeout}
        if given.user:
            options["auth"] = (given.user, ctx.secret(given.password) if given.password else "")
        store = cls(url, Client(f"{SCHEMES[scheme]}://{place}", **options), read_only=given.read_only)
        if not given.read_only:
            try:
                for path in ("", "/parts", "/objects"):
                    store.client.call("MKCOL", path, 405)  # 405: it is there
            except BaseException:
                store.close()
                raise
        return store

    def close(self) -> None:
        self.client.close()

    def __repr__(self) -> str:
        return f"WebdavDataStore({self.url!r})"

    @property
    def url(self) -> str:
        return self._url

    def put(
        self,
        key: str,
        body: Body,
        *,
        mode: Literal["create", "overwrite"] = "create",
        metadata: Mapping[str, str] | None = None,
    ) -> ObjectInfo:
        place = _place(key)
        self._may_write()
        long = len(key.encode()) > LONGEST
        header = json.dumps({"key": key, "metadata": dict(metadata or {})}).encode() if long or metadata else b""
        pieces = [body] if isinstance(body, (bytes, bytearray, memoryview, Path)) else list(body)
        size = sum(piece.stat().st_size if isinstance(piece, Path) else memoryview(piece).nbytes for piece in pieces)
        random = os.urandom(12).hex()
        name, part = f"-{random}-{len(header)}-{size}", f"/parts/{random}"
        self.client.call("MKCOL", part, 405)
        found = None
        try:
            length = {"Content-Length": str(len(header) + size)}
            self.client.call("PUT", f"{part}/0{name}", content=lambda: _content(header, pieces), headers=length)
            while not (found := self._create(part, place, name)):
                if mode == "create":
                    raise AlreadyExistsError(f"there is a {key} in {self.url} already")
                if self._supersede(part, place, name):
                    break
        finally:
            if not found:
                self.client.call("DELETE", part, 404)
        found = found or self._find(place, key)
        return self._info(found, key, metadata or {} if name in found.etag else None)

    def get(self, key: str, *, byte_range: ByteRange | None = None) -> GetResult:
        place = _place(key)
        while True:
            found = self._find(place, key)
            begin, end = byte_range or (0, found.size)
            length = max(0, min(end, found.size) - begin)
            first = found.header + begin
            stream = self.client.read(found.path, first, first + length) if length else io.BytesIO()
            if stream is not None:  # None: it was overwritten or deleted meanwhile
                with suppress(FileNotFoundError):
                    return GetResult(self._info(found, key), stream, length)

    def head(self, key: str) -> ObjectInfo:
        place = _place(key)
        while True:
            found = self._find(place, key)
            with suppress(FileNotFoundError):  # overwritten or deleted meanwhile
                return self._info(found, key)

    def refresh(self, key: str) -> ObjectInfo:
        touch = f"{_place(key)}/touch-{os.urandom(12).hex()}"
        self._may_write()
        if self.client.call("MKCOL", touch, 404, 405, 409).status_code in (404, 409):
            raise NotFoundError(f"there is no {key} in {self.url}")
        self.client.call("DELETE", touch, 404)
        return self.head(key)

    def scan(self, prefix: str = "", *, after: str | None = None) -> Iterator[ObjectInfo]:
        members, now = self.client.members("/objects", "infinity")
        infos = []
        for name, group in groupby(sorted(members, key=lambda one: one.path), lambda one: one.path.split("/")[0]):
            if name and (found := _newest(f"/objects/{name}", list(group), now, skip=len(name) + 1)):
                with suppress(FileNotFoundError):  # deleted meanwhile
                    key = b32decode(name[1:].upper() + "=" * (-len(name[1:]) % 8)).decode() if name[0] == "k" else ""
                    key = key or self._header(found)["key"]
                    if key.startswith(prefix) and (after is None or key > after):
                        infos.append(self._info(found, key, {}))
        yield from sorted(infos, key=lambda info: info.key)

    def delete(self, keys: Iterable[str], *, not_modified_since: float | None = None) -> None:
        for key in keys:
            place, part = _place(key), f"/parts/{os.urandom(12).hex()}"
            self._may_write()
            with suppress(NotFoundError):
                if not_modified_since is None or self._find(place, key).modified <= not_modified_since:
                    self.client.move(place, part, 404)
                    self.client.call("DELETE", part, 404)

    # -- inside ---------------------------------------------------------------------------------------------------

    def _may_write(self) -> None:
        if self.read_only:
            raise PermissionDeniedError(f"{self.url} may only be read", hint="Its setting read_only is on.")

    def _create(self, part: str, place: str, name: str) -> _Version | None:
        """Give a collection aside its name; None: another has it.

        Who comes second is told so, fails, or finds its collection inside the other one.
        """
        inside = part.rpartition("/")[2]
        while True:
            status = self.client.move(part, place, 207, 412, 423, 500)
            members, now = self.client.members(place, "1")
            paths = {member.path for member in members}
            if inside in paths:
                self.client.move(f"{place}/{inside}", part, 404)
                return None
            if f"0{name}" in paths or status == 201:  # 201 alone: it is overwritten or deleted again
                return _newest(place, members, now) or self._find(place, "object any more")
            if paths:
                return None

    def _supersede(self, part: str, place: str, name: str) -> bool:
        """Move a file from aside into an object, and what is older away; False: there is no object any more."""
        found = _newest(place, *self.client.members(place, "1"))
        if found is None:
            return False
        target = f"{place}/{found.number + 1:06}{name}"
        if self.client.move(f"{part}/0{name}", target, 404, 409) not in (201, 204, 404):
            return False
        for member in self.client.members(place, "1")[0]:
            if member.size >= 0 and int(member.path.partition("-")[0]) <= found.number:
                self.client.call("DELETE", f"{place}/{member.path}", 404)
        return True

    def _find(self, place: str, key: str) -> _Version:
        found = _newest(place, *self.client.members(place, "1"))
        if found is None:
            raise NotFoundError(f"there is no {key} in {self.url}")
        return found

    def _header(self, found: _Version) -> dict[str, Any]:
        stream = self.client.read(found.path, 0, found.header)
        if stream is None:
            raise NotFoundError(f"there is no {found.path} in {self.url} any more")
        with stream:
            header: dict[str, Any] = json.loads(stream.read(found.header))
        return header

    def _info(self, found: _Version, key: str, metadata: Mapping[str, str] | None = None) -> ObjectInfo:
        if metadata is None:
            metadata = self._header(found)["metadata"] if found.header else {}
        now = max(found.now, found.modified)
        return ObjectInfo(
            key=key, size=found.size, modified=found.modified, now=now, etag=found.etag, metadata=dict(metadata)
        )


def _place(key: str) -> str:
    check_key(key)
    data = key.encode()
    if len(data) > LONGEST:
        return f"/objects/h{blake2b(data, digest_size=20).hexdigest()}"
    return f"/objects/k{b32encode(data).decode().rstrip('=').lower()}"


def _newest(place: str, members: list[Member], now: float, *, skip: int = 0) -> _Version | None:
    """The file of an object that counts: the highest, unless it is not whole."""
    best = None
    for member in members:
        name = member.path[skip:]
        if member.size >= 0 and "/" not in name:
            header, size = map(int, name.split("-")[2:])
            if member.size == header + size and (best is None or _rank(name) > _rank(best.etag)):
                best = _Version(f"{place}/{name}", name, header, size, 0.0, now)
    if best is None:
        return None
    times = [member.modified for member in members if "/" not in member.path[skip:]]
    return _Version(best.path, best.etag, best.header, best.size, max(times), now)


def _rank(name: str) -> tuple[int, str]:
    number, _, rest = name.partition("-")
    return int(number), rest


def _content(header: bytes, pieces: list[Any]) -> Iterator[bytes]:
    yield header
    for piece in pieces:
        if isinstance(piece, Path):
            with piece.open("rb") as file:
                while data := file.read(1 << 18):
                    yield data
        else:
            yield bytes(piece)
