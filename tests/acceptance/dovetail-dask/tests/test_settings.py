"""Settings: as users write them, and what comes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from dovetail.interfaces.compute import Job, JobEvent, JobState
from dovetail.interfaces.errors import SettingsError
from dovetail.plugins import open_backend

from dovetail_dask import (
    dask_compute,
)

KINDS = ["compute"]


def opened(kind: str, tmp_path: Path, **settings: Any) -> Any:
    """The backend that a run would open, without retries around it."""
    pinned = {"backend": "dask", "settings": settings}
    return open_backend(kind, pinned, home=tmp_path / "home", bare=True)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_needs_to_be_set(kind: str, tmp_path: Path) -> None:
    backend = opened(kind, tmp_path)
    assert repr(backend).startswith("Dask")
    backend.close()


@pytest.mark.parametrize("kind", KINDS)
def test_an_unknown_setting_is_refused(kind: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="colour"):
        opened(kind, tmp_path, colour="red")


def test_jobs_stand_back(tmp_path: Path) -> None:
    backend = opened("compute", tmp_path, nice=7)
    [handle] = backend.submit([Job(key="k", group="g", argv=("nice",))])
    watch = backend.watch("g")
    events: list[JobEvent] = []
    while not events or events[-1].state in (JobState.PENDING, JobState.RUNNING):
        events += watch.read()
    assert events[-1].state == JobState.SUCCEEDED
    assert b"".join(chunk.data for chunk in backend.logs(handle, 0)) == b"7\n"


def test_the_compute_decorator_stores_what_is_written() -> None:
    use = dask_compute(nice=3).use
    assert (use.kind, use.name, use.options) == ("compute", "dask", {"nice": 3})
    assert dask_compute(nice=30).use.wrong
