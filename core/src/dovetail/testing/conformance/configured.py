"""The suites against what is configured, as `dovetail plugins test` runs them: one for each backend that it was told.

What to open comes as JSON in an environment variable, since pytest runs in a process of its own.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from dovetail.interfaces.errors import DovetailError
from dovetail.plugins.opening import open_backend
from dovetail.testing.conformance.compute import ComputeBackendConformance
from dovetail.testing.conformance.datastore import DataStoreConformance
from dovetail.testing.conformance.environment import EnvironmentBuilderConformance
from dovetail.testing.conformance.metadata import MetadataProviderConformance
from dovetail.testing.conformance.plugin import PluginConformance
from dovetail.testing.conformance.suite import Conformance

__all__ = ["SUBJECTS", "suites"]

SUBJECTS = "DOVETAIL_CONFORMANCE_SUBJECTS"
"""Variable with the list of subjects."""
_SUITES: dict[str, tuple[type[Conformance], str]] = {
    "datastore": (DataStoreConformance, "store"),
    "metadata": (MetadataProviderConformance, "provider"),
    "compute": (ComputeBackendConformance, "backend"),
    "environment": (EnvironmentBuilderConformance, "builder"),
}


def suites() -> dict[str, type]:
    """Name → class of each suite, for a module of tests."""
    found: dict[str, type] = {}
    for subject in json.loads(os.environ[SUBJECTS]):
        name = "".join(part.capitalize() for part in (subject["kind"], *str(subject["name"]).split("-")))
        found[f"Test{name}"] = _suite(f"Test{name}", subject)
    return found


def _suite(name: str, subject: Mapping[str, Any]) -> type:
    """A suite of one subject.

    Args:
        name: Of the class.
        subject: `kind` (`plugin` for the distribution itself), `name`, `dist`, and of a backend `pinned`, `place`
            (where tests may write, `{test}` standing for a name; empty: below a temporary home), `elsewhere` (whether
            it works on other machines than this one) and `image`.
    """
    common = {"plugin": subject["dist"], "__module__": __name__.rpartition(".")[0] + "_of_a_plugin"}
    if subject["kind"] == "plugin":
        return type(name, (PluginConformance,), common)
    base, fixture = _SUITES[subject["kind"]]
    members: dict[str, Any] = {**common, fixture: _opened(fixture), "reopen": _reopen, "_handles": _handles(subject)}
    if subject["kind"] == "compute":
        members["image"] = subject["image"]
        if subject["elsewhere"]:
            members |= {"python": ("python3", "-S", "-E"), "shared_folder": _nowhere}
    return type(name, (base,), members)


def _opened(name: str) -> Any:
    @pytest.fixture(name=name)
    def opened(self: Any, _handles: Callable[[], Any]) -> Any:
        """The backend, opened at a place of this test's own."""
        return _handles()

    return opened


@pytest.fixture(name="reopen")
def _reopen(self: Any, _handles: Callable[[], Any]) -> Callable[[], Any]:
    """Opens further handles of the same place."""
    return _handles


def _handles(subject: Mapping[str, Any]) -> Any:
    @pytest.fixture(name="_handles")
    def handles(self: Any, tmp_path: Path) -> Iterator[Callable[[], Any]]:
        """Opens handles of this test's place; in the end it is emptied and they are closed."""
        place = str(subject["place"]).replace("{test}", f"t{uuid4().hex[:12]}")
        pinned = {**subject["pinned"], "target": place}
        opened: list[Any] = []

        def again() -> Any:
            opened.append(open_backend(subject["kind"], pinned, home=tmp_path / "home", bare=True))
            return opened[-1]

        yield again
        if opened and subject["kind"] == "datastore":
            with suppress(DovetailError):
                opened[0].delete([info.key for info in opened[0].scan()])
        for handle in opened:
            handle.close()

    return handles


@pytest.fixture(name="shared_folder")
def _nowhere(self: Any) -> Path:
    """Jobs may run on another machine."""
    pytest.skip("jobs may not see the folders of this machine")
