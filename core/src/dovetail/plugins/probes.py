"""What `dovetail plugins doctor` tries with an opened backend: harmless, and nothing of it stays."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from dovetail.interfaces.errors import AlreadyExistsError, DovetailError, NotFoundError
from dovetail.interfaces.problems import Problem
from dovetail.plugins.health import CheckResult, result_of

if TYPE_CHECKING:
    from dovetail.interfaces.datastore import DataStore
    from dovetail.interfaces.metadata import MetadataProvider

__all__ = ["SCRATCH", "SKEW_SECONDS", "probes"]

SCRATCH = "doctor"
"""Prefix of the objects and leases that are made and removed again."""
SKEW_SECONDS = 60.0
"""How far a store's clock may be from this machine's: services refuse requests that are minutes off."""
_BODY = b"written by dovetail plugins doctor"

Check = Callable[[], Iterator[Problem]]


def probes(kind: str, backend: Any, name: str) -> Iterator[CheckResult]:
    """Try a backend; one result for each right that it needs.

    Args:
        kind: `datastore`, `metadata`, `compute` or `environment`.
        backend: Opened.
        name: What results are called by: `datastore:archive`.
    """
    tries: dict[str, Callable[[Any], Iterator[tuple[str, Check]]]] = {
        "datastore": _of_store,
        "metadata": _of_provider,
        "environment": _of_builder,
    }
    for what, check in tries.get(kind, _of_nothing)(backend):
        yield result_of(f"{name} {what}", check)


def _of_nothing(backend: Any) -> Iterator[tuple[str, Check]]:
    """A compute backend has nothing to try that costs nothing."""
    yield from ()


def _of_store(store: DataStore) -> Iterator[tuple[str, Check]]:
    folder = f"{SCRATCH}/{uuid4().hex}"
    key = f"{folder}/object"
    at = f"below {store.url}"

    def write() -> Iterator[Problem]:
        store.put(key, _BODY)
        try:
            store.put(key, b"again")
        except AlreadyExistsError:
            return
        yield Problem(code="not-create-only", message="it lets a second writer create what exists", fix=_KIT)

    def read() -> Iterator[Problem]:
        if store.get(key).read() != _BODY:
            yield Problem(code="round-trip", message="it gives other bytes than were written", fix=_KIT)

    def listing() -> Iterator[Problem]:
        if [info.key for info in store.scan(f"{folder}/")] != [key]:
            yield Problem(code="round-trip", message="its listing lacks what was written", fix=_KIT)

    def clock() -> Iterator[Problem]:
        before = time.time()
        now = store.head(key).now
        skew = now - (before + time.time()) / 2
        if abs(skew) > SKEW_SECONDS:
            yield Problem(
                code="clock-skew",
                message=f"its clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} this machine's",
                fix="Let this machine set its clock from the network: timedatectl set-ntp true",
            )

    def delete() -> Iterator[Problem]:
        store.delete([key])
        try:
            store.head(key)
        except NotFoundError:
            return
        yield Problem(code="round-trip", message="what was deleted is still there", fix=_KIT)

    try:
        yield "write", _needing("write objects", at, write)
        yield "read", _needing("read objects", at, read)
        yield "list", _needing("list objects", at, listing)
        yield "clock", _needing("read objects", at, clock)
        yield "delete", _needing("delete objects", at, delete)
    finally:
        with suppress(DovetailError):
            store.delete([key])


def _of_provider(provider: MetadataProvider) -> Iterator[tuple[str, Check]]:
    from dovetail.interfaces.metadata import Query
    from dovetail.plugins.holder import current_holder

    def query() -> Iterator[Problem]:
        provider.query(Query(kind="runs", limit=1), columns=("run",))
        yield from ()

    def lease() -> Iterator[Problem]:
        taken = provider.lease(f"{SCRATCH}/{uuid4().hex}", holder=current_holder(), ttl=10.0)
        if taken is None:
            yield Problem(code="no-lease", message="it gives no lease of a name that nobody holds", fix=_KIT)
        else:
            provider.release(taken)

    yield "query", _needing("read", "in it", query)
    yield "lease", _needing("write", "in it", lease)


def _of_builder(builder: Any) -> Iterator[tuple[str, Check]]:
    def listing() -> Iterator[Problem]:
        list(builder.list_built())
        yield from ()

    yield "list", _needing("list environments", "of it", listing)


_KIT = "It breaks its interface; the conformance kit tells more: dovetail plugins test NAME"


def _needing(right: str, where: str, check: Check) -> Check:
    """A check whose refusal names the right that is missing."""

    def run() -> Iterator[Problem]:
        try:
            yield from check()
        except PermissionError as error:
            yield Problem(
                code="permission", message=str(error).partition("\n")[0], fix=f"Grant the right to {right} {where}."
            )

    return run
