"""A data store in one folder: a file for each object. Replace it method by method."""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from pathlib import Path
from shutil import copyfileobj
from typing import TYPE_CHECKING, BinaryIO, ClassVar, Literal

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
    StoreFullError,
)

from dovetail_webdav.settings import WebdavDataStoreSettings

if TYPE_CHECKING:
    from dovetail.interfaces.context import PluginContext
    from typing_extensions import Self

__all__ = ["WebdavDataStore"]

SCHEME = "webdav://"


class WebdavDataStore(DataStore):
    """Each object is a file: a line of JSON that tells its key, etag and metadata, then its bytes.

    Files are named by a hash of the key, so that every key is one, whatever it is made of.
    """

    capabilities: ClassVar[DataStoreCapability] = DataStoreCapability.NONE

    def __init__(self, folder: Path, *, read_only: bool = False) -> None:
        self.folder = folder
        self.read_only = read_only

    @classmethod
    def open(cls, target: str, settings: WebdavDataStoreSettings | None, ctx: PluginContext) -> Self:
        """Open the folder that a URL names; else the one of the settings; else one beside the runs' other state."""
        given = settings or WebdavDataStoreSettings()
        place = target.removeprefix(SCHEME) or given.folder
        folder = Path(place).absolute() if place else ctx.home / ctx.instance
        if not given.read_only:
            folder.mkdir(parents=True, exist_ok=True)
        return cls(folder, read_only=given.read_only)

    def __repr__(self) -> str:
        return f"WebdavDataStore({str(self.folder)!r})"

    @property
    def url(self) -> str:
        return f"{SCHEME}{self.folder}"

    def put(
        self,
        key: str,
        body: Body,
        *,
        mode: Literal["create", "overwrite"] = "create",
        metadata: Mapping[str, str] | None = None,
    ) -> ObjectInfo:
        path = self._path(key)
        self._may_write()
        part = self.folder / f".{os.urandom(16).hex()}"  # scan looks at no hidden files
        header = {"key": key, "etag": os.urandom(12).hex(), "metadata": dict(metadata or {})}
        try:
            with part.open("xb") as file:
                file.write(json.dumps(header).encode() + b"\n")
                _write(body, file)
            if mode == "overwrite":
                part.replace(path)
            else:
                os.link(part, path)  # fails where the name is taken: one of any number wins
        except FileExistsError:
            raise AlreadyExistsError(f"there is a {key} in {self.url} already") from None
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StoreFullError(f"there is no room in {self.url}") from error
            raise
        finally:
            part.unlink(missing_ok=True)
        return self.head(key)

    def get(self, key: str, *, byte_range: ByteRange | None = None) -> GetResult:
        file, info = self._open(self._path(key), key)
        begin, end = byte_range or (0, info.size)
        file.seek(begin, os.SEEK_CUR)
        return GetResult(info, file, max(0, min(end, info.size) - begin))

    def head(self, key: str) -> ObjectInfo:
        file, info = self._open(self._path(key), key)
        file.close()
        return info

    def refresh(self, key: str) -> ObjectInfo:
        path = self._path(key)
        self._may_write()
        try:
            os.utime(path)
        except FileNotFoundError:
            raise NotFoundError(f"there is no {key} in {self.url}") from None
        return self.head(key)

    def scan(self, prefix: str = "", *, after: str | None = None) -> Iterator[ObjectInfo]:
        found = []
        for path in self.folder.iterdir() if self.folder.exists() else ():
            if not path.name.startswith("."):
                try:
                    file, info = self._open(path)
                except NotFoundError:
                    continue  # deleted meanwhile
                file.close()
                if info.key.startswith(prefix) and (after is None or info.key > after):
                    found.append(info)
        yield from sorted(found, key=lambda info: info.key)

    def delete(self, keys: Iterable[str], *, not_modified_since: float | None = None) -> None:
        for key in keys:
            path = self._path(key)
            self._may_write()
            try:
                if not_modified_since is None or path.stat().st_mtime <= not_modified_since:
                    path.unlink()
            except FileNotFoundError:
                continue

    # -- inside ---------------------------------------------------------------------------------------------------

    def _path(self, key: str) -> Path:
        check_key(key)
        return self.folder / blake2b(key.encode(), digest_size=20).hexdigest()

    def _may_write(self) -> None:
        if self.read_only:
            raise PermissionDeniedError(f"{self.url} may only be read", hint="Its setting read_only is on.")

    def _open(self, path: Path, key: str = "") -> tuple[BinaryIO, ObjectInfo]:
        """An object's file at the first of its bytes, and what it is: both of one moment."""
        try:
            file = path.open("rb")
        except FileNotFoundError:
            raise NotFoundError(f"there is no {key} in {self.url}") from None
        header = json.loads(file.readline())
        facts = os.fstat(file.fileno())
        info = ObjectInfo(
            key=header["key"],
            size=facts.st_size - file.tell(),
            modified=facts.st_mtime,
            now=max(time.time(), facts.st_mtime),
            etag=header["etag"],
            metadata=header["metadata"],
        )
        return file, info


def _write(body: Body, file: BinaryIO) -> None:
    if isinstance(body, Path):
        with body.open("rb") as source:
            copyfileobj(source, file)
    elif isinstance(body, (bytes, bytearray, memoryview)):
        file.write(body)
    else:
        for piece in body:
            file.write(piece)
