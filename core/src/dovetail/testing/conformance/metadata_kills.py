"""Metadata provider: what is left when a writer is killed."""

from __future__ import annotations

from typing import Any

from dovetail.interfaces.metadata import MetadataProvider
from dovetail.testing.conformance.killed_writer import MARK, batch
from dovetail.testing.conformance.killing import killed_writers
from dovetail.testing.conformance.metadata_suite import MetadataSuite, task_rows
from dovetail.testing.conformance.suite import guards

__all__ = ["MetadataKills"]


class MetadataKills(MetadataSuite):
    """Writers that are killed with SIGKILL, in processes of their own."""

    @guards("metadata.survives-kills")
    def test_killed_writers_leave_whole_batches(self, provider: MetadataProvider, opener: tuple[Any, ...]) -> None:
        for killed in killed_writers(
            "metadata", opener, lambda prefix: provider.create_run("Killed", run_id=prefix + MARK)
        ):
            run, written = killed.prefix + MARK, killed.written("batch")
            found = [(event.seq, event.n) for event in provider.read(run)]
            expected = [[(n, n) for n in range(1, 3 * count + 1)] for count in (written, written + 1)]
            assert found in expected, (
                f"expected {written} batches of 3 events, and at most one more, {killed.when}, came {len(found)} events"
            )
            count = len(found) // 3
            counts = {"body": {"succeeded": count}} if count else {}
            came = (provider.counts(run), len(task_rows(provider, run=run)))
            assert came == (counts, count), (
                f"expected rows of what is in the journal, {counts} of {count} tasks, {killed.when}, came {came}"
            )
            last = provider.append(run, batch(count), fence=1)
            assert last == 3 * count + 3, f"expected the next writer to go on {killed.when}, came number {last}"
