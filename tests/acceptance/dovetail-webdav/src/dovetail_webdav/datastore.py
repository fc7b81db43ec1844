"""A data store over WebDAV, by the step of it that servers do at once: a MOVE to a new name.

PUT and a MOVE that overwrites are seen half done, and `Overwrite: F` is a look before a rename. So an object is a
collection with a file in it, made aside and moved to its name: no rename replaces a collection that has a member, and
who has won is seen in it. Overwriting moves a file with a higher number in; deleting moves the collection away.
"""

from __future__ import annotations

import io
import json
import os
from base64 import b32decode, b32encode
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from hashlib import blake2b
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple
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


class _Version(NamedTuple):
    """The newest file of an object. Its name has a number, something random, and the sizes of its header and body."""

    number: int
    name: str
    path: str
    header: int
    size: int
    modified: float
    now: float


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
            raise SettingsError(
                f"{ctx.instance} needs a URL webdav[s]://host/path, without a user", hint="Set its url."
            )
        auth = (given.user, ctx.secret(given.password)) if given.password else None
        client = Client(f"{SCHEMES[scheme]}://{place}", auth)
        store = cls(url, client, read_only=given.read_only)
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
        data = body.read_bytes() if isinstance(body, Path) else body
        data = bytes(data) if isinstance(data, (bytes, bytearray, memoryview)) else b"".join(data)
        told = json.dumps({"key": key, "metadata": dict(metadata or {})}).encode()
        header = told if metadata or place.startswith("/objects/h") else b""
        random = os.urandom(12).hex()
        name, part = f"-{random}-{len(header)}-{len(data)}", f"/parts/{random}"
        self.client.call("MKCOL", part, 405)
        found = None
        try:
            self.client.call("PUT", f"{part}/0{name}", content=header + data)
            while not (found := self._create(part, place, name)):
                if mode == "create":
                    raise AlreadyExistsError(f"there is a {key} in {self.url} already")
                if self._supersede(part, place, name):
                    break
        finally:
            if not found:
                self.client.call("DELETE", part, 404)
        return _told(found or self._find(place, key), key, dict(metadata or {}))

    def get(self, key: str, *, byte_range: ByteRange | None = None) -> GetResult:
        while True:
            found = self._find(_place(key), key)
            begin, end = byte_range or (0, found.size)
            end = max(begin, min(end, found.size))
            data = self.client.read(found.path, found.header + begin, found.header + end)
            header = self._header(found)
            if data is not None and header:  # else it was overwritten or deleted meanwhile
                return GetResult(_told(found, key, header["metadata"]), io.BytesIO(data), len(data))

    def head(self, key: str) -> ObjectInfo:
        while True:
            found = self._find(_place(key), key)
            if header := self._header(found):
                return _told(found, key, header["metadata"])

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
        for name, group in groupby(sorted(members), lambda one: one.path.partition("/")[0]):
            inside = [one._replace(path=one.path[len(name) + 1 :]) for one in group]
            if name and (found := _newest(f"/objects/{name}", inside, now)):
                coded = name[1:].upper() + "=" * (-len(name[1:]) % 8)
                key = b32decode(coded).decode() if name[0] == "k" else (self._header(found) or {}).get("key", "")
                if key and key.startswith(prefix) and (after is None or key > after):
                    infos.append(_told(found, key, {}))
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
        target = f"{place}/{found.number + 1}{name}"
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

    def _header(self, found: _Version) -> Any:
        """None: the file is not there any more."""
        text = self.client.read(found.path, 0, found.header)
        return None if text is None else {"metadata": {}, **json.loads(text or b"{}")}


def _told(found: _Version, key: str, metadata: dict[str, str]) -> ObjectInfo:
    now = max(found.now, found.modified)
    return ObjectInfo(key=key, size=found.size, modified=found.modified, now=now, etag=found.name, metadata=metadata)


def _place(key: str) -> str:
    check_key(key)
    data = key.encode()
    if len(data) > LONGEST:
        return f"/objects/h{blake2b(data, digest_size=20).hexdigest()}"
    return f"/objects/k{b32encode(data).decode().rstrip('=').lower()}"


def _newest(place: str, members: list[Member], now: float) -> _Version | None:
    """The file of an object that counts: the highest that is whole."""
    modified = max((member.modified for member in members), default=0.0)
    versions = []
    for name, _, length in (member for member in members if member.size >= 0 and "/" not in member.path):
        number, _, header, size = name.split("-")
        if length == int(header) + int(size):
            versions.append(_Version(int(number), name, f"{place}/{name}", int(header), int(size), modified, now))
    return max(versions, default=None)
