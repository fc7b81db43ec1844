"""ArtifactFile and ArtifactDirectory."""

from __future__ import annotations

import gc
import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
from serialized import REGISTRY, describe, digest, round_trip

from dovetail import ArtifactDirectory, ArtifactFile
from dovetail.interfaces.errors import CorruptDataError, NotFoundError, UnpicklableError


def test_a_file_comes_back(tmp_path: Path) -> None:
    source = tmp_path / "run.sh"
    source.write_text("echo hello")
    source.chmod(0o755)
    loaded = round_trip(ArtifactFile(source), "file")
    source.unlink()
    assert (loaded.name, loaded.size, loaded.executable) == ("run.sh", 10, True)
    assert loaded.read() == b"echo hello"
    with loaded.open() as file:
        assert file.read(4) == b"echo"
    assert loaded.path.name == "run.sh"
    assert os.access(loaded.path, os.X_OK)
    assert Path(loaded).read_text() == "echo hello"
    saved = loaded.save_to(tmp_path)
    assert saved == tmp_path / "run.sh"
    with pytest.raises(FileExistsError):
        loaded.save_to(saved)


def test_the_copy_goes_away_with_the_object(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    loaded = round_trip(ArtifactFile(tmp_path / "f"), "file")
    place = loaded.path
    assert place.exists()
    del loaded
    gc.collect()
    assert not place.exists()


def test_a_large_file_is_mapped_and_its_place_does_not_count(tmp_path: Path) -> None:
    content = os.urandom(3 << 20)
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "model.bin").write_bytes(content)
    first, second = (ArtifactFile(tmp_path / folder / "model.bin") for folder in ("a", "b"))
    assert type(memoryview(REGISTRY.serialize(first).frames[0]).obj).__name__ == "mmap"
    assert digest(first) == digest(second)
    loaded = round_trip(first, "file")
    assert loaded.read() == content
    assert digest(loaded) == digest(first)
    assert describe(first) == {"files": [["model.bin", 3 << 20]]}


def test_inside_other_values_it_travels_with_its_content(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    loaded = pickle.loads(pickle.dumps([ArtifactFile(tmp_path / "f")]))
    (tmp_path / "f").unlink()
    assert loaded[0].read() == b"x"


def test_so_does_a_directory(folder: Path) -> None:
    value = ArtifactDirectory(folder)
    again = pickle.loads(pickle.dumps(value))
    assert digest(again) == digest(value)
    assert again.path.is_dir()
    assert digest(pickle.loads(pickle.dumps(again))) == digest(value)


def test_reading_as_from_any_file(tmp_path: Path) -> None:
    content = bytes(range(256)) * 100
    (tmp_path / "f").write_bytes(content)
    with round_trip(ArtifactFile(tmp_path / "f"), "file").open() as file:
        assert file.seek(-10, os.SEEK_END) == len(content) - 10
        assert file.read() == content[-10:]
        file.seek(1000)
        assert file.read(5) == content[1000:1005]
        assert file.tell() == 1005
        file.seek(5, os.SEEK_CUR)
        assert file.read() == content[1010:]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "checkpoint"
    (made / "weights").mkdir(parents=True)
    (made / "weights" / "part-0").write_bytes(b"zero")
    (made / "empty").mkdir()
    (made / "tool").write_text("#!")
    (made / "tool").chmod(0o700)
    (made / "latest").symlink_to("weights/part-0")
    (made / "ä").write_bytes(b"")
    return made


def test_a_directory_comes_back(folder: Path, tmp_path: Path) -> None:
    value = ArtifactDirectory(folder)
    loaded = round_trip(value, "directory")
    assert dict(loaded) == dict(value) == {"tool": 2, "weights/part-0": 4, "ä": 0}
    assert loaded.open("weights/part-0").read() == b"zero"
    target = loaded.save_to(tmp_path / "again")
    assert sorted(p.relative_to(target).as_posix() for p in target.rglob("*")) == [
        "empty",
        "latest",
        "tool",
        "weights",
        "weights/part-0",
        "ä",
    ]
    assert (target / "latest").readlink() == Path("weights/part-0")
    assert os.access(target / "tool", os.X_OK)
    assert not os.access(target / "ä", os.X_OK) or os.geteuid() == 0
    assert loaded.path.name == "checkpoint"
    assert digest(loaded) == digest(value)
    with pytest.raises(NotFoundError, match="no file 'x'"):
        loaded.open("x")
    with pytest.raises(NotFoundError, match=r"no file '\.\./x'"):
        value.open("../x")
    assert describe(value) == {"files": [["tool", 2], ["weights/part-0", 4], ["ä", 0]]}


def test_the_order_of_the_folder_does_not_count(tmp_path: Path) -> None:
    for folder, names in (("a/d", "xyz"), ("b/d", "zyx")):
        (tmp_path / folder).mkdir(parents=True)
        for name in names:
            (tmp_path / folder / name).write_text(name)
    assert digest(ArtifactDirectory(tmp_path / "a/d")) == digest(ArtifactDirectory(tmp_path / "b/d"))


@pytest.mark.parametrize("target", ["/etc/passwd", "../other", "weights/../../x", "weights/../tool"])
def test_links_that_might_lead_out_are_refused(folder: Path, target: str) -> None:
    (folder / "bad").symlink_to(target)
    with pytest.raises(UnpicklableError, match="is a link to"):
        REGISTRY.serialize(ArtifactDirectory(folder))


def test_pipes_are_refused(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    with pytest.raises(UnpicklableError, match="neither a file"):
        REGISTRY.serialize(ArtifactDirectory(folder))


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="not there"):
        ArtifactFile(tmp_path / "f")
    with pytest.raises(NotFoundError, match="use ArtifactDirectory"):
        ArtifactFile(tmp_path)
    with pytest.raises(NotFoundError, match="not there"):
        ArtifactDirectory(tmp_path / "f")


@pytest.mark.parametrize(
    "entries",
    [
        [["../x", "file", 1]],
        [["/x", "file", 1]],
        [["a//x", "file", 1]],
        [["l", "link", "/etc"]],
        [["l", "link", "d"], ["l/x", "file", 1]],
        [["f", "file", 1], ["f/x", "folder"]],
        [[7, "file", 1]],
    ],
    ids=str,
)
def test_stored_names_that_lead_elsewhere_are_refused(entries: Any) -> None:
    header = json.dumps({"name": "d", "entries": entries}).encode()
    with pytest.raises(CorruptDataError):
        REGISTRY.by_id("directory").load(header, [memoryview(bytearray(1))])
    with pytest.raises(CorruptDataError):
        REGISTRY.by_id("file").load(b'{"name": "../x", "size": 1}', [memoryview(bytearray(1))])
