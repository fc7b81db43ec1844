"""Data stores that are wrong."""

from __future__ import annotations

import io
import os
import posixpath
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from kit.wrong.declared import Wrong, suites_of, wrong

from dovetail.interfaces.datastore import DataStoreCapability, GetResult
from dovetail.interfaces.errors import AlreadyExistsError, NotFoundError
from dovetail.local.store import LocalStore
from dovetail.testing import DataStoreConformance, MemoryStore


@wrong()
class RacyCreate(MemoryStore):
    """Looks first and writes later."""

    def put(self, key, body, *, mode="create", metadata=None):
        if mode == "create" and any(info.key == key for info in self.scan(key)):
            raise AlreadyExistsError(key)
        time.sleep(0.002)
        return super().put(key, body, mode="overwrite", metadata=metadata)


@wrong()
class TornOverwrite(MemoryStore):
    """Writes in two parts over what is there."""

    def put(self, key, body, *, mode="create", metadata=None):
        if mode == "overwrite" and isinstance(body, list) and len(body) > 1:
            super().put(key, body[:-1], mode=mode, metadata=metadata)
            time.sleep(0.002)
        return super().put(key, body, mode=mode, metadata=metadata)


@wrong()
class TornCreate(MemoryStore):
    """Shows an object while it is written."""

    def put(self, key, body, *, mode="create", metadata=None):
        if mode == "create" and isinstance(body, (list, tuple)) and len(body) > 1:
            super().put(key, body[0], mode=mode, metadata=metadata)
            time.sleep(0.002)
            mode = "overwrite"
        return super().put(key, body, mode=mode, metadata=metadata)


@wrong()
class KeepsBrokenBodies(MemoryStore):
    """Keeps what came of a body that broke off."""

    def put(self, key, body, *, mode="create", metadata=None):
        try:
            return super().put(key, body, mode=mode, metadata=metadata)
        except Exception as error:
            if not isinstance(error, AlreadyExistsError) and not isinstance(body, (bytes, Path)):
                super().put(key, b"the beginning", mode="overwrite")
            raise


@wrong()
class CreateOverwrites(MemoryStore):
    """Has no create."""

    def put(self, key, body, *, mode="create", metadata=None):
        return super().put(key, body, mode="overwrite", metadata=metadata)


@wrong()
class SortsWithoutCase(MemoryStore):
    """Sorts as people do."""

    def scan(self, prefix="", *, after=None):
        return iter(sorted(super().scan(prefix, after=after), key=lambda info: info.key.lower()))


@wrong()
class PrefixSiblings(MemoryStore):
    """Tells `cc/x` below `c/`."""

    def scan(self, prefix="", *, after=None):
        return super().scan(prefix.rstrip("/"), after=after)


@wrong()
class PrefixesAreFolders(MemoryStore):
    """Takes every prefix for a folder."""

    def scan(self, prefix="", *, after=None):
        folder = prefix.rstrip("/") + "/" if prefix else ""
        return (info for info in super().scan(after=after) if info.key == prefix or info.key.startswith(folder))


@wrong()
class AfterInclusive(MemoryStore):
    """Begins at the key, not behind it."""

    def scan(self, prefix="", *, after=None):
        found = super().scan(prefix)
        return (info for info in found if after is None or info.key >= after)


@wrong()
class OnePageOfAScan(MemoryStore):
    """Forgets to ask for the second page."""

    def scan(self, prefix="", *, after=None):
        return (info for info, _ in zip(super().scan(prefix, after=after), range(1000), strict=False))


@wrong()
class DeletesBelow(MemoryStore):
    """Deletes `a/b` with `a`."""

    def delete(self, keys: Iterable[str], *, not_modified_since=None):
        for key in keys:
            below = [info.key for info in self.scan(f"{key}/")]
            super().delete([key, *below], not_modified_since=not_modified_since)


@wrong()
class DeleteOfMissingRaises(MemoryStore):
    """Complains of keys that are not there."""

    def delete(self, keys: Iterable[str], *, not_modified_since=None):
        for key in keys:
            self.head(key)
            super().delete([key], not_modified_since=not_modified_since)


@wrong()
class DeletesWhatIsYoung(MemoryStore):
    """Does not look at the time."""

    def delete(self, keys: Iterable[str], *, not_modified_since=None):
        super().delete(keys)


@wrong()
class RefreshDoesNothing(MemoryStore):
    """Leaves the time as it is."""

    def refresh(self, key):
        return self.head(key)


@wrong()
class RefreshBringsBack(MemoryStore):
    """Makes what it refreshes."""

    def refresh(self, key):
        try:
            return super().refresh(key)
        except NotFoundError:
            return self.put(key, b"")


@wrong()
class TwoClocks(MemoryStore):
    """`now` is not of the clock that `modified` is of."""

    def _info(self, key, found):
        return replace(super()._info(key, found), now=time.time() - 100.0)


@wrong()
class EtagOfTheSize(MemoryStore):
    """Has the same etag for all contents of one size."""

    def _info(self, key, found):
        return replace(super()._info(key, found), etag=str(len(found.data)))


@wrong()
class ForgetsMetadata(MemoryStore):
    """Keeps no metadata."""

    def _info(self, key, found):
        return replace(super()._info(key, found), metadata={})


@wrong()
class RangesToTheEnd(MemoryStore):
    """Takes the end of a range for its last byte."""

    def get(self, key, *, byte_range=None):
        if byte_range is not None and byte_range[0] < byte_range[1]:
            byte_range = (byte_range[0], byte_range[1] + 1)
        return super().get(key, byte_range=byte_range)


@wrong()
class InfoOfTheRange(MemoryStore):
    """Tells the size of the range for that of the object."""

    def get(self, key, *, byte_range=None):
        result = super().get(key, byte_range=byte_range)
        return GetResult(replace(result.info, size=result.length), result.stream, result.length)


@wrong()
class AnswersOutOfOrder(MemoryStore):
    """Answers many requests sorted by key."""

    def get_many(self, requests):
        return super().get_many(sorted(requests, key=lambda request: request[0]))


@wrong()
class MissingIsAKeyError(MemoryStore):
    """Raises what its language has."""

    def head(self, key):
        try:
            return super().head(key)
        except NotFoundError:
            raise FileNotFoundError(key) from None


@wrong()
class NormalisesKeys(MemoryStore):
    """Mends keys that are none."""

    def put(self, key, body, *, mode="create", metadata=None):
        return super().put(posixpath.normpath(key).lstrip("/") or "a", body, mode=mode, metadata=metadata)


@wrong()
class OneCase(MemoryStore):
    """Has one object for keys that differ in case."""

    def put(self, key, body, *, mode="create", metadata=None):
        if mode == "create" and key == "A" and any(info.key == "a" for info in self.scan("a")):
            return self.head("a")
        return super().put(key, body, mode=mode, metadata=metadata)


@wrong()
class CachesInfos(MemoryStore):
    """Keeps what it once knew of a key."""

    def head(self, key):
        cache = self.__dict__.setdefault("cache", {})
        if key not in cache:
            cache[key] = super().head(key)
        return cache[key]


@wrong()
class ClaimsToPresign(MemoryStore):
    """Declares an ability that it does not have."""

    capabilities: ClassVar[DataStoreCapability] = MemoryStore.capabilities | DataStoreCapability.PRESIGN


@wrong()
class CopiesInSecret(MemoryStore):
    """Does not declare what it can do."""

    capabilities: ClassVar[DataStoreCapability] = MemoryStore.capabilities & ~DataStoreCapability.COPY


@wrong()
class CopyOverwrites(MemoryStore):
    """Copies over what is there."""

    def copy(self, src, dst):
        found = self.head(src)
        return self.put(dst, self.get(src).read(), mode="overwrite", metadata=found.metadata)


@wrong()
class LosesTheTail(MemoryStore):
    """Keeps the last append to itself until the next one."""

    def append(self, key, body):
        data = body if isinstance(body, (bytes, bytearray)) else b"".join(bytes(piece) for piece in body)
        tails = self.__dict__.setdefault("tails", {})
        end = super().append(key, tails.get(key, b""))
        tails[key] = bytes(data)
        return end + len(data)


@wrong()
class AppendsToPuts(MemoryStore):
    """Appends to what was written whole."""

    def append(self, key, body):
        found = self._contents.objects.get(key)
        if found is not None:
            found.grows = True
        return super().append(key, body)


@wrong()
class StagesInTheOpen(MemoryStore):
    """Gives what is staged a name too early."""

    @contextmanager
    def stage(self) -> Iterator[Any]:
        key = f"staging-{os.urandom(4).hex()}"
        super().put(key, b"")
        with super().stage() as staged:
            try:
                yield staged
            finally:
                self.delete([key])


@wrong()
class KeepsWhatWasStaged(MemoryStore):
    """Leaves what was not committed."""

    @contextmanager
    def stage(self) -> Iterator[Any]:
        with super().stage() as staged:
            yield staged
            if staged.open:
                super().put("left-over", b"")


@wrong(secrets=("s3cr3t-token",))
class ShowsItsToken(MemoryStore):
    """Has its password in its `repr`."""

    def __repr__(self):
        return f"ShowsItsToken({self.name!r}, token='s3cr3t-token')"


@wrong()
class UrlOfNothing(MemoryStore):
    """Has a url that opens another store."""

    @property
    def url(self):
        return "memory://somewhere-else"


@wrong()
class ClosesOnce(MemoryStore):
    """Can't be closed again."""

    def close(self):
        if self.__dict__.setdefault("closed", False):
            raise RuntimeError("closed already")
        self.__dict__["closed"] = True


@wrong(local=True)
class ChangesFilesInPlace(LocalStore):
    """Overwrites the file that others have mapped."""

    def put(self, key, body, *, mode="create", metadata=None):
        path = Path(self._path(key))
        if mode == "overwrite" and path.is_file() and isinstance(body, bytes):
            os.chmod(path, 0o644)
            with io.FileIO(path, "r+") as file:
                file.write(body)
                file.truncate(len(body))
            return self.head(key)
        return super().put(key, body, mode=mode, metadata=metadata)


class Suite(DataStoreConformance):
    wrong: ClassVar[Wrong]
    local: ClassVar[bool] = False

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Any]:
        opened = self.wrong.backend(tmp_path / "store") if self.local else self.wrong.backend()
        yield opened
        opened.close() if self.local else None


globals().update(suites_of("stores", Suite))
