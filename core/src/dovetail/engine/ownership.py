"""The driver's right to write: a lease with the metadata provider, and a fence in the run's data store."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

from dovetail.artifacts.fences import claim_fence, newest_fence
from dovetail.interfaces.errors import DovetailError, StaleFenceError, UsageError
from dovetail.plugins.holder import current_holder

if TYPE_CHECKING:
    from dovetail.interfaces.datastore import DataStore
    from dovetail.interfaces.metadata import Lease, MetadataProvider

__all__ = ["LEASE_SECONDS", "Ownership", "lease_name"]

LEASE_SECONDS = 30.0


def lease_name(run: str) -> str:
    """Name of a run's lease."""
    return f"run:{run}"


class Ownership:
    """Holds a run's lease and fence, and renews the lease every quarter of its time.

    Raises:
        UsageError: Another live driver has the run.
    """

    def __init__(self, provider: MetadataProvider, store: DataStore, run: str) -> None:
        self._provider = provider
        self._store = store
        self._run = run
        lease = provider.lease(lease_name(run), holder=current_holder(), ttl=LEASE_SECONDS)
        if lease is None:
            raise UsageError(
                f"run {run} is being driven by another process",
                hint=f"Follow it with: dovetail logs {run} --follow, or end it with: dovetail cancel {run}",
            )
        self._lease: Lease = lease
        self._renewed = time.monotonic()
        self.fence = claim_fence(store, run)

    def next_due(self) -> float:
        """When the lease must be renewed, by `time.monotonic`."""
        return self._renewed + LEASE_SECONDS / 4

    def renew_if_due(self) -> None:
        """Renew the lease when its time has come.

        Raises:
            StaleFenceError: A newer driver owns the run, or the lease could not be renewed for half of its time.
        """
        now = time.monotonic()
        if now < self.next_due():
            return
        try:
            self._lease = self._provider.renew(self._lease)
        except StaleFenceError:
            raise
        except Exception as error:
            if now - self._renewed >= LEASE_SECONDS / 2:
                raise StaleFenceError(
                    f"the lease of run {self._run} could not be renewed for {LEASE_SECONDS / 2:g} s: {error}",
                    hint=f"Go on with: dovetail resume {self._run}",
                ) from error
            return
        self._renewed = now
        if newest_fence(self._store, self._run) > self.fence:
            raise StaleFenceError(f"a newer driver owns run {self._run}")

    def release(self) -> None:
        """Give the lease back. One that can't be (the disk is full) ends with this process: that is no reason to hide
        what ended the run."""
        with suppress(DovetailError):
            self._provider.release(self._lease)
