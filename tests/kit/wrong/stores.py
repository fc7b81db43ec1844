"""Data stores that are wrong."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from kit.wrong.declared import Wrong, suites_of, wrong

from dovetail.interfaces.datastore import DataStoreCapability
from dovetail.interfaces.errors import AlreadyExistsError, NotFoundError
from dovetail.local.store import LocalStore
from dovetail.testing import DataStoreConformance, MemoryStore


@wrong("one_of_many_creators_wins", "one_of_many_stages_gets_the_name")
class RacyCreate(MemoryStore):
    """Looks first and writes later."""

    def put(self, key, body, *, mode="create", metadata=None):
        if mode == "create" and any(info.key == key for info in self.scan(key)):
            raise AlreadyExistsError(key)
        time.sleep(0.002)
        return super().put(key, body, mode="overwrite", metadata=metadata)


@wrong("readers_never_see_half_an_overwrite")
class TornOverwrite(MemoryStore):
    """Writes in two parts over what is there."""

    def put(self, key, body, *, mode="create", metadata=None):
        if mode == "overwrite" and isinstance(body, list) and len(body) > 1:
            super().put(key, body[:-1], mode=mode, metadata=metadata)
            time.sleep(0.002)
        return super().put(key, body, mode=mode, metadata=metadata)


@wrong("readers_never_see_half_a_create")
class TornCreate(MemoryStore):
    """Shows an object while it is written."""

    def put(self, key, body, *, mode="create", metadata=None):
        if mode == "create" and isinstance(body, (list, tuple)) and len(body) > 1:
            super().put(key, body[0], mode=mode, metadata=metadata)
            time.sleep(0.002)
            mode = "overwrite"
        return super().put(key, body, mode=mode, metadata=metadata)


@wrong("a_body_that_breaks_off_changes_nothing")
class KeepsBrokenBodies(MemoryStore):
    """Keeps what came of a body that broke off."""

    def put(self, key, body, *, mode="create", metadata=None):
        try:
            return super().put(key, body, mode=mode, metadata=metadata)
        except Exception as error:
            if not isinstance(error, AlreadyExistsError) and not isinstance(body, (bytes, Path)):
                super().put(key, b"the beginning", mode="overwrite")
            raise


@wrong("scan_is_sorted_by_code_points")
class SortsWithoutCase(MemoryStore):
    """Sorts as people do."""

    def scan(self, prefix="", *, after=None):
        return iter(sorted(super().scan(prefix, after=after), key=lambda info: info.key.lower()))


@wrong("a_prefix_is_a_plain_string", "after_starts_behind_a_key")
class PrefixSiblings(MemoryStore):
    """Tells `cc/x` below `c/`."""

    def scan(self, prefix="", *, after=None):
        return super().scan(prefix.rstrip("/"), after=after)


@wrong("a_scan_is_resumed_from_any_key", "after_starts_behind_a_key")
class AfterInclusive(MemoryStore):
    """Begins at the key, not behind it."""

    def scan(self, prefix="", *, after=None):
        found = super().scan(prefix)
        return (info for info in found if after is None or info.key >= after)


@wrong("delete_removes_exactly_what_is_named", "every_key_is_an_object_of_its_own")
class DeletesBelow(MemoryStore):
    """Deletes `a/b` with `a`."""

    def delete(self, keys: Iterable[str], *, not_modified_since=None):
        for key in keys:
            below = [info.key for info in self.scan(f"{key}/")]
            super().delete([key, *below], not_modified_since=not_modified_since)


@wrong("refresh_sets_the_time_alone")
class RefreshDoesNothing(MemoryStore):
    """Leaves the time as it is."""

    def refresh(self, key):
        return self.head(key)


@wrong("refresh_does_not_bring_back", "what_is_missing_is_told")
class RefreshBringsBack(MemoryStore):
    """Makes what it refreshes."""

    def refresh(self, key):
        try:
            return super().refresh(key)
        except NotFoundError:
            return self.put(key, b"")


@wrong("nothing_is_younger_than_now")
class TwoClocks(MemoryStore):
    """`now` is not of the clock that `modified` is of."""

    def _info(self, key, found):
        return replace(super()._info(key, found), now=time.time() - 100.0)


@wrong("the_etag_follows_the_content")
class EtagOfTheSize(MemoryStore):
    """Has the same etag for all contents of one size."""

    def _info(self, key, found):
        return replace(super()._info(key, found), etag=str(len(found.data)))


@wrong("what_was_written_is_seen_at_once")
class CachesInfos(MemoryStore):
    """Keeps what it once knew of a key."""

    def head(self, key):
        cache = self.__dict__.setdefault("cache", {})
        if key not in cache:
            cache[key] = super().head(key)
        return cache[key]


@wrong("presign")
class ClaimsToPresign(MemoryStore):
    """Declares an ability that it does not have."""

    capabilities: ClassVar[DataStoreCapability] = MemoryStore.capabilities | DataStoreCapability.PRESIGN


@wrong("undeclared_abilities_are_refused")
class CopiesInSecret(MemoryStore):
    """Does not declare what it can do."""

    capabilities: ClassVar[DataStoreCapability] = MemoryStore.capabilities & ~DataStoreCapability.COPY


@wrong("append_adds_at_the_end", "sync_takes_every_object", "what_was_appended_is_seen_by_others")
class LosesTheTail(MemoryStore):
    """Keeps the last append to itself until the next one."""

    def append(self, key, body):
        data = body if isinstance(body, (bytes, bytearray)) else b"".join(bytes(piece) for piece in body)
        tails = self.__dict__.setdefault("tails", {})
        end = super().append(key, tails.get(key, b""))
        tails[key] = bytes(data)
        return end + len(data)


@wrong("leaving_a_stage_drops_it")
class KeepsWhatWasStaged(MemoryStore):
    """Leaves what was not committed."""

    @contextmanager
    def stage(self) -> Iterator[Any]:
        with super().stage() as staged:
            yield staged
            if staged.open:
                super().put("left-over", b"")


@wrong("no_secret_is_shown", secrets=("s3cr3t-token",))
class ShowsItsToken(MemoryStore):
    """Has its password in its `repr`."""

    def __repr__(self):
        return f"ShowsItsToken({self.name!r}, token='s3cr3t-token')"


@wrong("a_mapped_file_outlives_its_object", "overwrite_replaces_and_creates", local=True)
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
