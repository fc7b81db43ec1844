"""Data stores that are wrong."""

from __future__ import annotations

import io
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from kit.wrong.declared import Wrong, suites_of, wrong
from readonly import read_only
from servers.signing import SigningStore, signing_server

from dovetail.interfaces.datastore import DataStoreCapability
from dovetail.interfaces.errors import AlreadyExistsError, NotFoundError, StoreError
from dovetail.local.store import LocalStore
from dovetail.testing import DataStoreConformance, MemoryStore


@wrong("one_of_many_creators_wins")
class RacyCreate(LocalStore):
    """Looks first and writes later."""

    def put(self, key, body, *, mode="create", metadata=None):
        if mode == "create" and self._files.exists(self._path(key)):
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
class TornCreate(LocalStore):
    """Shows an object while it is written."""

    def put(self, key, body, *, mode="create", metadata=None):
        if mode == "create" and isinstance(body, (list, tuple)) and len(body) > 1:
            super().put(key, body[0], mode=mode, metadata=metadata)
            time.sleep(0.002)
            mode = "overwrite"
        return super().put(key, body, mode=mode, metadata=metadata)


@wrong("a_body_that_breaks_off_changes_nothing")
class KeepsBrokenBodies(LocalStore):
    """Keeps what came of a body that broke off."""

    def put(self, key, body, *, mode="create", metadata=None):
        try:
            return super().put(key, body, mode=mode, metadata=metadata)
        except Exception as error:
            if not isinstance(error, AlreadyExistsError) and not isinstance(body, (bytes, Path)):
                super().put(key, b"the beginning", mode="overwrite")
            raise


@wrong("scan_is_sorted_by_code_points")
class SortsWithoutCase(LocalStore):
    """Sorts as people do."""

    def scan(self, prefix="", *, after=None):
        return iter(sorted(super().scan(prefix, after=after), key=lambda info: info.key.lower()))


@wrong("a_prefix_is_a_plain_string", "after_starts_behind_a_key")
class PrefixSiblings(LocalStore):
    """Tells `cc/x` below `c/`."""

    def scan(self, prefix="", *, after=None):
        return super().scan(prefix.rstrip("/"), after=after)


@wrong("a_scan_is_resumed_from_any_key", "after_starts_behind_a_key")
class AfterInclusive(LocalStore):
    """Begins at the key, not behind it."""

    def scan(self, prefix="", *, after=None):
        found = super().scan(prefix)
        return (info for info in found if after is None or info.key >= after)


@wrong("delete_removes_exactly_what_is_named", "every_key_is_an_object_of_its_own")
class DeletesBelow(LocalStore):
    """Deletes `a/b` with `a`."""

    def delete(self, keys: Iterable[str], *, not_modified_since=None):
        for key in keys:
            below = [info.key for info in self.scan(f"{key}/")]
            super().delete([key, *below], not_modified_since=not_modified_since)


@wrong("refresh_sets_the_time_alone")
class RefreshDoesNothing(LocalStore):
    """Leaves the time as it is."""

    def refresh(self, key):
        return self.head(key)


@wrong("refresh_does_not_bring_back", "what_is_missing_is_told")
class RefreshBringsBack(LocalStore):
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
class CachesInfos(LocalStore):
    """Keeps what it once knew of a key."""

    def head(self, key):
        cache = self.__dict__.setdefault("cache", {})
        if key not in cache:
            cache[key] = super().head(key)
        return cache[key]


@wrong("a_presigned_url_expires", "presign")
class ClaimsToPresign(MemoryStore):
    """Declares an ability that it does not have."""

    capabilities: ClassVar[DataStoreCapability] = MemoryStore.capabilities | DataStoreCapability.PRESIGN


@wrong("undeclared_abilities_are_refused")
class CopiesInSecret(LocalStore):
    """Does not declare what it can do."""

    capabilities: ClassVar[DataStoreCapability] = LocalStore.capabilities & ~DataStoreCapability.COPY


@wrong("append_adds_at_the_end", "sync_takes_every_object", "what_was_appended_is_seen_by_others")
class LosesTheTail(LocalStore):
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
class ShowsItsToken(LocalStore):
    """Has its password in its `repr`."""

    def __repr__(self):
        return f"ShowsItsToken({str(self.root)!r}, token='s3cr3t-token')"


@wrong("a_mapped_file_outlives_its_object")
class ChangesFilesInPlace(LocalStore):
    """Overwrites the file that others have mapped."""

    def put(self, key, body, *, mode="create", metadata=None):
        path = Path(self._path(key))
        if mode == "overwrite" and not metadata and path.is_file() and isinstance(body, bytes):
            os.chmod(path, 0o644)
            with io.FileIO(path, "r+") as file:
                file.write(body)
                file.truncate(len(body))
            return self.head(key)
        return super().put(key, body, mode=mode, metadata=metadata)


@wrong("what_may_not_be_written_is_told")
class BreaksWhereItMayNotWrite(LocalStore):
    """Does not say that it is the right that is missing."""

    def put(self, key, body, *, mode="create", metadata=None):
        try:
            return super().put(key, body, mode=mode, metadata=metadata)
        except PermissionError as error:
            raise StoreError("it did not work") from error


@wrong("what_may_not_be_written_is_told")
class LosesWhatItMayNotWrite(LocalStore):
    """Says nothing where it may not delete."""

    def delete(self, keys, *, not_modified_since=None):
        with suppress(PermissionError):
            super().delete(keys, not_modified_since=not_modified_since)


@wrong("presign")
class SignsForAnything(SigningStore):
    """Makes URLs that allow every method."""

    def presign(self, key, *, method, expires):
        return self.sign(key, "GET,PUT", expires)


@wrong("presign")
class SignsForTheFirstPart(SigningStore):
    """Makes URLs of the key's first word."""

    def presign(self, key, *, method, expires):
        return self.sign(key.partition(" ")[0], method, expires)


@wrong("a_presigned_url_expires")
class SignsForEver(SigningStore):
    """Makes URLs that are good for as long as they like."""

    def presign(self, key, *, method, expires):
        return self.sign(key, method, expires + 1e6)


@wrong("killed_writers_leave_whole_objects")
class WritesInPlace(LocalStore):
    """Writes in two parts; only readers of its own process wait for the second one."""

    busy = threading.RLock()

    def put(self, key, body, *, mode="create", metadata=None):
        if mode != "overwrite" or not isinstance(body, list) or metadata:
            return super().put(key, body, mode=mode, metadata=metadata)
        with self.busy:
            super().put(key, body[:1], mode=mode)
            time.sleep(0.02)
            return super().put(key, body, mode=mode)

    def get(self, key, *, byte_range=None):
        with self.busy:
            return super().get(key, byte_range=byte_range)


@wrong("any_sequence_of_calls")
class KeepsMetadataOfTheDeleted(LocalStore):
    """Gives what is made again under a key the metadata that it had before it was deleted."""

    def delete(self, keys, *, not_modified_since=None):
        keys = list(keys)
        for key in keys:
            with suppress(NotFoundError):
                self.__dict__.setdefault("left", {})[key] = self.head(key).metadata
        super().delete(keys, not_modified_since=not_modified_since)

    def put(self, key, body, *, mode="create", metadata=None):
        if not metadata:
            metadata = self.__dict__.get("left", {}).get(key)
        return super().put(key, body, mode=mode, metadata=metadata)


@wrong("any_sequence_of_calls")
class HidesWhatIsMadeAgain(LocalStore):
    """Leaves what was deleted out of scans, also when it is there again."""

    def delete(self, keys, *, not_modified_since=None):
        keys = list(keys)
        before = {info.key for info in LocalStore.scan(self)}
        super().delete(keys, not_modified_since=not_modified_since)
        after = {info.key for info in LocalStore.scan(self)}
        self.__dict__.setdefault("deleted", set()).update((before - after).intersection(keys))

    def scan(self, prefix="", *, after=None):
        deleted = self.__dict__.get("deleted", set())
        return (info for info in LocalStore.scan(self, prefix, after=after) if info.key not in deleted)


@wrong("any_sequence_of_calls")
class GoesOnWithDeletedLogs(LocalStore):
    """Appends to what a log was before it was deleted."""

    def delete(self, keys, *, not_modified_since=None):
        keys = list(keys)
        for key in keys:
            with suppress(NotFoundError):
                self.__dict__.setdefault("left", {})[key] = self.get(key).read()
        super().delete(keys, not_modified_since=not_modified_since)

    def append(self, key, body):
        left = self.__dict__.get("left", {}).pop(key, None)
        if left and key not in [info.key for info in self.scan(key)]:
            super().append(key, left)
        return super().append(key, body)


class Suite(DataStoreConformance):
    wrong: ClassVar[Wrong]
    effort = 12
    patience = 0.3

    @pytest.fixture
    def opened(self, tmp_path: Path) -> Iterator[Callable[..., Any]]:
        """Opens handles of a folder."""
        with ExitStack() as handles:
            signs = issubclass(self.wrong.backend, SigningStore)
            further = (handles.enter_context(signing_server()),) if signs else ()
            yield lambda name="store": handles.enter_context(closing(self.wrong.backend(tmp_path / name, *further)))

    @pytest.fixture
    def store(self, opened: Callable[..., Any]) -> Any:
        return opened() if issubclass(self.wrong.backend, LocalStore) else self.wrong.backend()

    @pytest.fixture
    def reopen(self, store: Any, opened: Callable[..., Any]) -> Callable[[], Any]:
        if issubclass(self.wrong.backend, LocalStore):
            return opened
        return lambda: self.wrong.backend(store.name)

    @pytest.fixture
    def read_only_store(self, opened: Callable[..., Any], tmp_path: Path) -> Iterator[Any]:
        if "test_what_may_not_be_written_is_told" not in self.wrong.fails:
            pytest.skip("its fault is another one")
        opened("fixed").put("there", b"some bytes")
        with read_only(tmp_path / "fixed"):
            yield opened("fixed")

    @pytest.fixture
    def opener(self, tmp_path: Path) -> tuple[str, ...]:
        if "test_killed_writers_leave_whole_objects" not in self.wrong.fails:
            pytest.skip("its fault is another one")
        return f"kit.wrong.stores:{self.wrong.backend.__name__}", str(tmp_path / "store")


globals().update(suites_of("stores", Suite))
