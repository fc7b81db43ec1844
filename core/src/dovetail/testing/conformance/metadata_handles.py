"""Metadata provider: handles, secrets, and any sequence of calls."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from dovetail.interfaces.metadata import MetadataProvider
from dovetail.testing.conformance.datastore_suite import error_of
from dovetail.testing.conformance.metadata_suite import MetadataSuite, note, run_rows, tagged
from dovetail.testing.conformance.secrecy import shown_secrets
from dovetail.testing.conformance.suite import guards

__all__ = ["MetadataHandles"]


class MetadataHandles(MetadataSuite):
    """A provider as a whole."""

    @guards("metadata.close-is-idempotent")
    def test_close_may_be_called_again(
        self, provider: MetadataProvider, reopen: Callable[[], MetadataProvider]
    ) -> None:
        handle = reopen()
        handle.create_run("Train", run_id="r1")
        handle.append("r1", [note(1)], fence=1)
        handle.close()
        handle.close()
        found = (run_rows(provider), len(list(provider.read("r1"))))
        assert found == ([("r1",)], 1), f"expected runs to stay when a handle is closed, came {found}"

    @guards("metadata.hides-secrets")
    def test_no_secret_is_shown(self, provider: MetadataProvider, caplog: pytest.LogCaptureFixture) -> None:
        if not self.secrets:
            pytest.skip("the suite names no secrets")
        with caplog.at_level(logging.DEBUG):
            provider.create_run("Train", run_id="r1")
            errors = [error_of(lambda: provider.append("r", [tagged(1)])), error_of(lambda: list(provider.read("r")))]
        places = {"repr": repr(provider), "errors": repr(errors), "log": caplog.text}
        shown = shown_secrets(self.secrets, places)
        assert not shown, f"expected no secret to be shown, came one in the {', '.join(shown)}"

    @guards("metadata.model")
    def test_any_sequence_of_calls(self, provider: MetadataProvider) -> None:
        from dovetail.testing.conformance.effort import run_machine
        from dovetail.testing.conformance.metadata_model import provider_machines

        for machine in provider_machines(provider):
            run_machine(machine, effort=self.effort, examples=30 if "Lease" in machine.__name__ else 15)
