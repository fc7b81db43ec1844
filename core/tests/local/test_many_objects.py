"""A store of very many small objects: each is listed, read and deleted as if it were alone.

DOVETAIL_OBJECTS sets how many (soak: 100,000).
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from amounts import amount

from dovetail.local.store import LocalStore

OBJECTS = amount("OBJECTS", 500)


def by_digest(at: int) -> str:
    digest = sha256(b"%d" % at).hexdigest()
    return f"objects/{digest[:2]}/{digest}"


def in_one_folder(at: int) -> str:
    return f"runs/a/segments/{at:012}"


@pytest.mark.parametrize("key_of", [by_digest, in_one_folder])
def test_each_of_many_objects(tmp_path: Path, key_of: Callable[[int], str]) -> None:
    store = LocalStore(tmp_path / "store")
    bodies = {key_of(at): b"object %d" % at for at in range(OBJECTS)}
    for key, body in bodies.items():
        assert store.put(key, body).size == len(body)
    store.close()

    store = LocalStore(tmp_path / "store")
    keys = sorted(bodies)
    assert [(info.key, info.size) for info in store.scan()] == [(key, len(bodies[key])) for key in keys]
    middle = keys[OBJECTS // 2]
    assert [info.key for info in store.scan(after=middle)] == keys[OBJECTS // 2 + 1 :]
    found = {key: result and result.read() for key, result in store.get_many((key, None) for key in bodies)}
    assert found == bodies

    store.delete(keys[::2])
    assert [info.key for info in store.scan()] == keys[1::2]
    found = {key: result and result.read() for key, result in store.get_many((key, None) for key in keys)}
    assert found == {key: None if at % 2 == 0 else bodies[key] for at, key in enumerate(keys)}
    store.delete(keys)
    assert list(store.scan()) == []
    store.close()
