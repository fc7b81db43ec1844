"""Values of every serializer in every form of an object file that a release has written: read by us, and by a second
reader that has nothing of ours.
"""

from __future__ import annotations

import datetime
import importlib.util
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from second_reader import decode, identity, read_object

from dovetail.artifacts.identity import digest_of
from dovetail.artifacts.objects import StoredObject
from dovetail.artifacts.serializers.registry import SerializerRegistry
from dovetail.artifacts.store import ArtifactStore
from dovetail.artifacts.upkeep.checking import check_object
from dovetail.interfaces.artifacts import ArtifactRef, ObjectPlace
from dovetail.interfaces.files import ArtifactDirectory, ArtifactFile
from dovetail.local.store import LocalStore

for library in ("numpy", "pandas", "polars", "pyarrow"):
    pytest.importorskip(library)

GOLDEN = Path(__file__).parent / "golden"
FORMATS = sorted(path.name for path in GOLDEN.iterdir() if path.name.startswith("values") and path.is_dir())


def _generator() -> Any:
    spec = importlib.util.spec_from_file_location("golden_values", GOLDEN / "values.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MADE = _generator()


@pytest.fixture(scope="module", params=FORMATS)
def golden(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    folder = GOLDEN / request.param
    root = tmp_path_factory.mktemp("golden") / "store"
    with zipfile.ZipFile(folder / "store.zip") as archive:
        archive.extractall(root)
    return root, json.loads((folder / "expected.json").read_text())


def plain(serializer: str, form: str) -> Any:
    """The value as the second reader gives it."""
    numbers, text = MADE.numbers(form), MADE.text(form)
    words = [None if n == 3 else f"w{n % 10}" for n in numbers]
    square = [numbers[at : at + 200] for at in range(0, len(numbers), 200)]
    arrow = {"n": numbers, "word": words, "pair": [[n, n + 1] if n % 2 else [] for n in numbers]}
    noon = datetime.datetime(2024, 2, 29, 11, tzinfo=datetime.timezone.utc)
    return {
        "json": lambda: [f"{n:018d}" for n in numbers[-10_000:]],
        "bytes": lambda: text,
        "pickle": lambda: [text, (1, "two")],
        "caught-error": lambda: {
            "type": "ValueError",
            "message": text.decode(),
            "traceback": "t\n",
            "kind": "exception",
        },
        "sequence": lambda: [*(text[at : at + 8000] for at in range(0, len(text), 8000)), 7],
        "ndarray": lambda: square,
        "pandas": lambda: {
            "at": list(range(0, 2 * len(numbers), 2)),
            "n": numbers,
            "real": [n / 4 for n in numbers],
            "word": words,
            "when": [noon + datetime.timedelta(hours=n % 24) for n in numbers],
            "kind": ["xyz"[n % 3] for n in numbers],
        },
        "arrow": lambda: arrow,
        "polars": lambda: {"n": numbers, "word": words},
        "tensors": lambda: {
            "weights": square,
            "bias": MADE.numbers("plain")[:200],
        },
        "file": lambda: (f"{form}.txt", text),
        "directory": lambda: {
            "inner/data.bin": ("file", text),
            "inner/empty": ("folder",),
            "link": ("link", "run.sh"),
            "run.sh": ("executable", b"#!/bin/sh\n"),
        },
        "parquet": lambda: arrow,
    }[serializer]()


def test_a_second_reader_reads_every_value(golden: tuple[Path, Any]) -> None:
    root, expected = golden
    for serializer, forms in expected.items():
        for form, name in forms.items():
            found, header, frames = read_object(root / "objects" / name[:2] / name)
            assert found == serializer
            assert identity(found, header, frames).hex() == name
            assert decode(found, header, frames) == plain(serializer, form), (serializer, form)


def test_we_read_every_value(golden: tuple[Path, Any], tmp_path: Path) -> None:
    root, expected = golden
    store = LocalStore(root)
    artifacts = ArtifactStore({MADE.UUID: store}, default=MADE.UUID, verify="always")
    registry = SerializerRegistry()
    makers = MADE.makers(tmp_path)
    for serializer, forms in expected.items():
        for form, name in forms.items():
            digest = bytes.fromhex(name)
            assert check_object(store, f"objects/{name[:2]}/{name}")
            ref = ArtifactRef(digest=digest, size=0, serializer=serializer, place=ObjectPlace(store=MADE.UUID))
            if serializer == "sequence":
                assert list(artifacts.open_sequence(ref)) == plain(serializer, form)
                continue
            loaded = artifacts.load(ref)
            if serializer == "pickle":
                assert [bytes(loaded[0]), loaded[1]] == plain(serializer, form)
            elif serializer == "parquet":
                assert loaded.to_pydict() == plain(serializer, form)
            elif not isinstance(loaded, (ArtifactFile, ArtifactDirectory)):
                made = registry.serialize(makers[serializer](form))
                assert digest_of(registry.serialize(loaded)) == digest_of(made) == digest, (serializer, form)


def test_every_form_is_there(golden: tuple[Path, Any]) -> None:
    root, expected = golden
    store = LocalStore(root)
    known = {"json", "bytes", "pickle", "caught-error", "sequence", "ndarray", "pandas", "arrow", "polars", "tensors"}
    assert set(expected) == known | {"file", "directory", "parquet"}
    for serializer, forms in expected.items():
        assert tuple(forms) == MADE.FEWER.get(serializer, MADE.FORMS)
        for form, name in forms.items():
            header = StoredObject(store, bytes.fromhex(name), name).header
            extents = [extent for frame in header.frames for extent in frame.extents]
            assert any(extent.codec == 2 for extent in extents) == (form == "zstd"), (serializer, form)
            assert any(extent.owner for extent in extents) == (form == "extents"), (serializer, form)


def test_the_script_overwrites_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileExistsError):
        MADE.main(tmp_path)
