"""A disk that fills up while runs are copied to it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from storemaking import Making, values_of

from dovetail.artifacts.layout import manifest_key
from dovetail.artifacts.upkeep.copying import copy_run
from dovetail.artifacts.upkeep.verifying import verify
from dovetail.interfaces.errors import StoreFullError
from dovetail.local.store import LocalStore


def test_a_copy_to_a_disk_that_is_full_goes_on_when_there_is_room(mounts: Any, tmp_path: Path) -> None:
    source = LocalStore(tmp_path / "source")
    making = Making(source)
    run = making.run().everything().end()
    place = mounts.tmpfs(tmp_path / "small", "300k")
    target = LocalStore(place)
    with pytest.raises(StoreFullError, match="no space is left"):
        copy_run(source, target, run.id, stores=making.stores, pin={})
    assert not list(target.scan(manifest_key(run.id)))
    assert list(target.scan("objects/"))
    assert os.listdir(target.root / "%tmp") == []
    mounts.resize(place, "4m")
    copy_run(source, target, run.id, stores=making.stores, pin={})
    assert values_of(target, run.id) == values_of(source, run.id)
    assert verify(target).sound
    source.close()
    target.close()
