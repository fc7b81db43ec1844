"""Retries, limits, timing, error mapping and redaction around remote backends."""

from __future__ import annotations

import io
from contextlib import contextmanager

import pytest

from dovetail.interfaces.compute import ComputeBackend, Job, JobHandle, LogChunk
from dovetail.interfaces.datastore import (
    DataStore,
    DataStoreCapability,
    GetResult,
    ObjectInfo,
    SupportsCopy,
    SupportsPresign,
    SupportsStage,
)
from dovetail.interfaces.errors import (
    AlreadyExistsError,
    BackendError,
    BackendTimeoutError,
    NotFoundError,
    PermissionDeniedError,
    ThrottledError,
    UnsupportedOperationError,
)
from dovetail.interfaces.limits import Limit, SupportsLimits
from dovetail.interfaces.metadata import MetadataCapability
from dovetail.plugins import ComputeBackendSpec, DataStoreSpec, stats_of
from dovetail.plugins.descriptors import MetadataProviderSpec
from dovetail.plugins.guard import GuardPolicy, guard, open_guarded
from dovetail.testing.memory_metadata import MemoryMetadata


def info(key: str) -> ObjectInfo:
    return ObjectInfo(key=key, size=3, modified=0.0, now=0.0)


class Failing(io.BytesIO):
    def read(self, size=-1):
        raise ConnectionResetError("gone")


class Store(DataStore):
    """Raises what `script` says, one entry a call; None works."""

    capabilities = DataStoreCapability.PRESIGN

    def __init__(self, script=()):
        self.script = list(script)
        self.calls = []
        self.closed = False

    @classmethod
    def open(cls, target, settings, ctx):
        return cls()

    def _next(self, *call):
        self.calls.append(call)
        error = self.script.pop(0) if self.script else None
        if error is not None:
            raise error

    def close(self):
        self.closed = True

    @property
    def url(self):
        return "fake://store"

    def put(self, key, body, *, mode="create", metadata=None):
        self._next("put", key, mode)
        return info(key)

    def get(self, key, *, byte_range=None):
        self._next("get", key)
        return GetResult(info(key), Failing() if key == "torn" else io.BytesIO(b"abc"), 3)

    def head(self, key):
        self._next("head", key)
        return info(key)

    def refresh(self, key):
        self._next("refresh", key)
        return info(key)

    def scan(self, prefix="", *, after=None):
        for key in ("a", "b", "c"):
            if after is None or key > after:
                self._next("scan", key, after)
                yield info(key)

    def delete(self, keys, *, not_modified_since=None):
        self._next("delete", tuple(keys))

    def presign(self, key, *, method, expires):
        self._next("presign", key)
        return f"https://host/{key}?X-Amz-Signature=abc"

    def copy(self, src, dst):  # Implemented but not declared.
        return info(dst)

    def bucket_policy(self):
        return "of its own"


class Clock:
    def __init__(self):
        self.now = 0.0
        self.slept = []

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds

    def __call__(self):
        return self.now


SPEC = DataStoreSpec(name="fake", factory="x:Y")


def guarded(script=(), redact=None, **options):
    clock = Clock()
    store = Store(script)
    policy = GuardPolicy(sleep=clock.sleep, clock=clock, **options)
    return guard(store, SPEC, instance="archive", policy=policy, redact=redact), store, clock


def test_it_is_of_the_same_interface_with_the_declared_abilities_only():
    wrapped, _, _ = guarded()
    assert isinstance(wrapped, DataStore)
    assert wrapped.capabilities == DataStoreCapability.PRESIGN
    assert isinstance(wrapped, SupportsPresign)
    assert not isinstance(wrapped, SupportsCopy)
    assert wrapped.url == "fake://store"
    assert wrapped.bucket_policy() == "of its own"
    assert not hasattr(wrapped, "copy")
    with pytest.raises(UnsupportedOperationError, match=r"'archive' .fake. does not declare copy"):
        wrapped.copy("a", "b")
    wrapped.close()
    assert wrapped._dovetail_inner.closed


def test_throttled_calls_are_tried_again_after_growing_pauses():
    wrapped, store, clock = guarded([ThrottledError("slow down")] * 4, delay=1.0, max_delay=3.0)
    assert wrapped.head("k").key == "k"
    assert len(store.calls) == 5
    assert len(clock.slept) == 4
    assert all(0 <= pause <= limit for pause, limit in zip(clock.slept, (1, 2, 3, 3), strict=True))


def test_pauses_are_spread():
    pauses = {GuardPolicy(delay=1.0).pause(3) for _ in range(50)}
    assert len(pauses) > 40
    assert max(pauses) - min(pauses) > 1


def test_a_service_may_ask_for_a_longer_pause():
    error = ThrottledError("slow down")
    error.retry_after = 7.0
    wrapped, _, clock = guarded([error])
    wrapped.head("k")
    assert clock.slept == [7.0]


def test_it_gives_up():
    wrapped, store, _ = guarded([ThrottledError("slow down")] * 9, retries=2)
    with pytest.raises(ThrottledError, match=r"^slow down \(3 tries in \d+ s\)"):
        wrapped.head("k")
    assert len(store.calls) == 3
    stats = stats_of(wrapped)["head"]
    assert (stats.calls, stats.retries, stats.errors) == (1, 2, 1)


@pytest.mark.parametrize(
    "error", [NotFoundError("k"), AlreadyExistsError("k"), PermissionDeniedError("k"), OSError("x")]
)
def test_other_errors_are_not_tried_again(error):
    wrapped, store, _ = guarded([error])
    with pytest.raises(BackendError):
        wrapped.head("k")
    assert len(store.calls) == 1


def test_a_create_that_timed_out_is_not_tried_again_since_it_would_lose_against_itself():
    for mode, calls in (("create", 1), ("overwrite", 2)):
        wrapped, store, _ = guarded([BackendTimeoutError("late")])
        if mode == "create":
            with pytest.raises(BackendTimeoutError):
                wrapped.put("k", b"", mode=mode)
        else:
            wrapped.put("k", b"", mode=mode)
        assert len(store.calls) == calls
    wrapped, store, _ = guarded([ThrottledError("slow")])
    wrapped.put("k", b"")
    assert len(store.calls) == 2


def test_unknown_errors_are_mapped_and_name_instance_backend_and_operation():
    wrapped, _, _ = guarded([ValueError("bad header")])
    with pytest.raises(BackendError) as caught:
        wrapped.head("some/key")
    assert str(caught.value) == "datastore 'archive' (fake): head('some/key') failed: ValueError: bad header"
    assert isinstance(caught.value.__cause__, ValueError)


def test_time_outs_of_libraries_are_time_outs():
    wrapped, store, _ = guarded([TimeoutError("late")])
    wrapped.head("k")
    assert len(store.calls) == 2


def test_scan_goes_on_behind_what_it_gave():
    wrapped, store, _ = guarded([None, ThrottledError("slow"), None, BackendTimeoutError("late")])
    assert [i.key for i in wrapped.scan()] == ["a", "b", "c"]
    assert [call[1:] for call in store.calls] == [("a", None), ("b", None), ("b", "a"), ("c", "a"), ("c", "b")]


def test_scan_maps_errors_that_come_late():
    wrapped, _, _ = guarded([None, RuntimeError("broken page")])
    keys = []
    with pytest.raises(BackendError, match="broken page"):
        keys += [i.key for i in wrapped.scan()]
    wrapped, _, _ = guarded([ThrottledError("slow")] * 9, retries=2)
    with pytest.raises(ThrottledError):
        list(wrapped.scan())


def test_streams_map_errors():
    wrapped, _, _ = guarded()
    assert wrapped.get("k").read() == b"abc"
    with pytest.raises(BackendError, match="ConnectionResetError"):
        wrapped.get("torn").read()
    buffer = bytearray(3)
    assert wrapped.get("k").readinto(buffer) == 3


class Staging(Store):
    """A store that can stage; what a stage does takes from the same script."""

    capabilities = DataStoreCapability.STAGE

    @contextmanager
    def stage(self):
        self._next("stage")
        yield self
        self._next("leave")

    def write(self, body):
        self._next("write", bytes(body))

    def write_at(self, offset, body):
        self._next("write_at", offset, bytes(body))

    def commit(self, key, *, metadata=None):
        self._next("commit", key, metadata)
        return info(key)


def staging(*script):
    store = Staging(script)
    return guard(store, SPEC, instance="archive", policy=GuardPolicy(sleep=lambda _: None)), store


def write_staged(wrapped):
    with wrapped.stage() as staged:
        staged.write(b"ab")
        staged.write_at(0, b"c")
        return staged.commit("k", metadata={"a": "b"})


def test_a_staged_object_is_written_through_the_guard():
    throttled = ThrottledError("slow")
    wrapped, store = staging(None, throttled, None, BackendTimeoutError("late"), None, throttled)
    assert isinstance(wrapped, SupportsStage)
    assert write_staged(wrapped) == info("k")
    writes, commit = ("write", b"ab"), ("commit", "k", {"a": "b"})
    at = ("write_at", 0, b"c")
    assert store.calls == [("stage",), writes, writes, at, at, commit, commit, ("leave",)]
    assert stats_of(wrapped)["commit"].retries == 1


@pytest.mark.parametrize(
    ("works", "operation"), [(0, "stage"), (1, "write"), (2, "write_at"), (3, r"commit\('k'\)"), (4, "stage")]
)
def test_errors_of_staging_are_mapped(works, operation):
    wrapped, _ = staging(*[None] * works, ConnectionResetError("gone"))
    with pytest.raises(BackendError, match=rf"'archive' \(fake\): {operation} failed: ConnectionResetError: gone"):
        write_staged(wrapped)


def test_an_error_beside_a_staged_object_stays_as_it_is():
    wrapped, _ = staging()
    with pytest.raises(ZeroDivisionError), wrapped.stage():
        raise ZeroDivisionError
    wrapped, _ = staging(None, None, None, AlreadyExistsError("k is there"))
    with pytest.raises(AlreadyExistsError, match="k is there"):
        write_staged(wrapped)


def test_get_many_reads_through_the_guard():
    wrapped, store, _ = guarded([ThrottledError("slow")])
    found = dict(wrapped.get_many([("a", None)]))
    assert found["a"].read() == b"abc"
    assert len(store.calls) == 2


def test_rate_limit():
    wrapped, _, clock = guarded(rate_limit=4.0)
    for _ in range(5):
        wrapped.head("k")
    assert clock.now == pytest.approx(1.0)


def test_secrets_are_cut_out_of_messages_and_causes():
    wrapped, _, _ = guarded([ValueError("token hunter2 refused")], redact=lambda t: t.replace("hunter2", "***"))
    with pytest.raises(BackendError) as caught:
        wrapped.head("k")
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
    wrapped, _, _ = guarded(
        [NotFoundError("no hunter2", hint="hunter2?")], redact=lambda t: t.replace("hunter2", "***")
    )
    with pytest.raises(NotFoundError) as found:
        wrapped.head("k")
    assert "hunter2" not in str(found.value)
    assert "hunter2" not in str(found.value.args)


def test_signatures_of_presigned_urls_are_cut_out():
    wrapped, _, _ = guarded([RuntimeError("GET https://h/k?X-Amz-Signature=abcdef&x=1 failed")])
    with pytest.raises(BackendError) as caught:
        wrapped.head("k")
    assert "abcdef" not in str(caught.value)
    assert "X-Amz-Signature=***&x=1" in str(caught.value)


def test_timing():
    wrapped, _, clock = guarded()
    inner = wrapped._dovetail_inner
    inner.head = lambda key: clock.sleep(2.0)
    wrapped.head("k")
    assert stats_of(wrapped)["head"].seconds == pytest.approx(2.0)
    assert stats_of(inner) == {}


def test_opening_is_guarded_too():
    clock = Clock()
    script = [ThrottledError("slow"), None]

    def open():
        error = script.pop(0)
        if error:
            raise error
        return Store()

    policy = GuardPolicy(sleep=clock.sleep, clock=clock)
    assert open_guarded(open, SPEC, "archive", policy).url == "fake://store"
    script[:] = [ConnectionError("no route")]
    with pytest.raises(BackendError, match=r"datastore 'archive' .fake.: open failed: ConnectionError: no route"):
        open_guarded(open, SPEC, "archive", policy)


def test_repr_has_no_secrets():
    wrapped, store, _ = guarded(redact=lambda t: t.replace("hunter2", "***"))
    type(store).__repr__ = lambda self: "Store(token=hunter2)"
    try:
        assert repr(wrapped) == "<guarded Store(token=***)>"
    finally:
        del type(store).__repr__


class Cluster(ComputeBackend):
    """Submits once it is not throttled; its watch breaks."""

    def __init__(self):
        self.script = [ThrottledError("slow")]
        self.cursors = []

    @classmethod
    def open(cls, target, settings, ctx):
        return cls()

    def validate(self, job):
        return []

    def submit(self, jobs):
        if self.script:
            raise self.script.pop()
        return [JobHandle(backend="c", id=job.key, key=job.key) for job in jobs]

    def watch(self, group, *, resume=None):
        return Watch()

    def cancel(self, handle, indexes=None): ...

    def logs(self, handle, index, *, after=None):
        self.cursors.append(after)
        for number in range(int(after or 0), 3):
            yield LogChunk(stream="stdout", offset=number, time=0.0, data=b"x", cursor=str(number + 1))
            if number == 1 and after is None:
                raise BackendTimeoutError("late")


class Watch:
    def read(self):
        raise ConnectionResetError("gone")

    def fileno(self):
        return None

    def close(self): ...


def test_compute():
    clock = Clock()
    spec = ComputeBackendSpec(name="cluster", factory="x:Y")
    cluster = Cluster()
    wrapped = guard(cluster, spec, policy=GuardPolicy(sleep=clock.sleep, clock=clock))
    assert [handle.id for handle in wrapped.submit([Job(key="k", group="g", argv=("x",))])] == ["k"]
    handle = JobHandle(backend="c", id="k", key="k")
    assert [chunk.offset for chunk in wrapped.logs(handle, 0)] == [0, 1, 2]
    assert cluster.cursors == [None, "2"]
    watch = wrapped.watch("g")
    assert watch.fileno() is None
    with pytest.raises(BackendError, match="ConnectionResetError: gone"):
        watch.read()
    assert not hasattr(wrapped, "open_group")


def test_limits_of_a_metadata_provider_are_an_ability():
    class Without(MemoryMetadata):
        capabilities = MetadataCapability.NONE

    spec = MetadataProviderSpec(name="fake", factory="x:Y")
    limited, plain = guard(MemoryMetadata(), spec), guard(Without(), spec)
    assert isinstance(limited, SupportsLimits)
    limited.set_limit(Limit(name="gpu", slots=1))
    assert [limit.name for limit in limited.limits()] == ["gpu"]
    assert not isinstance(plain, SupportsLimits)
    with pytest.raises(UnsupportedOperationError, match="does not declare set_limit"):
        plain.set_limit(Limit(name="gpu", slots=1))
