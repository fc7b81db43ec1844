"""The archive of a run's sources."""

from __future__ import annotations

import io
import os
import zipfile

import pytest
from blake3 import blake3

from dovetail.packaging.package import build_package
from dovetail.packaging.project import project_root


def write(folder, files: dict[str, bytes]) -> dict[str, str]:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return {str(folder / name): blake3(content).hexdigest() for name, content in files.items()}


FILES = {"flow.py": b"print(1)\n" * 100, "pack/__init__.py": b"", "pack/café.py": b"x = 1\n"}


def test_an_archive_holds_the_sources_relative_to_the_project(tmp_path) -> None:
    (tmp_path / "pyproject.toml").write_text("")
    sources = write(tmp_path, FILES)
    package = build_package(sources, str(tmp_path / "flow.py"))
    assert package.root == str(tmp_path)
    with zipfile.ZipFile(io.BytesIO(package.data)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == sorted(FILES)
        assert {name: archive.read(name) for name in FILES} == FILES
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {info.external_attr >> 16 for info in archive.infolist()} == {0o100644}
        assert archive.getinfo("flow.py").compress_size < 100
        archive.extractall(tmp_path / "out")
    assert (tmp_path / "out" / "pack" / "café.py").read_bytes() == b"x = 1\n"
    assert package.files == {name: blake3(content).hexdigest() for name, content in sorted(FILES.items())}


def test_equal_sources_make_equal_packages_wherever_they_are(tmp_path) -> None:
    packages = []
    for name in ("one", "two"):
        folder = tmp_path / name
        sources = write(folder, FILES)
        (folder / "pyproject.toml").write_text("")
        packages.append(build_package(dict(reversed(sources.items())), str(folder / "flow.py")))
        os.utime(folder / "flow.py", (1, 1))
    assert packages[0].data == packages[1].data
    assert packages[0].digest == packages[1].digest
    write(tmp_path / "two", {"flow.py": b"print(2)\n"})
    sources = write(tmp_path / "two", {**FILES, "flow.py": b"print(2)\n"})
    assert build_package(sources, str(tmp_path / "two" / "flow.py")).digest != packages[0].digest


def test_a_source_that_changed_is_refused(tmp_path) -> None:
    sources = write(tmp_path, {"flow.py": b"1"})
    (tmp_path / "flow.py").write_bytes(b"2")
    with pytest.raises(ValueError, match=r"flow\.py was changed"):
        build_package(sources, str(tmp_path / "flow.py"))
    (tmp_path / "flow.py").unlink()
    with pytest.raises(FileNotFoundError):
        build_package(sources, str(tmp_path / "flow.py"))


def test_a_source_outside_of_the_project_stays_inside_of_the_archive(tmp_path) -> None:
    sources = write(tmp_path, {"project/flow.py": b"1", "elsewhere/lib.py": b"2"})
    (tmp_path / "project" / "pyproject.toml").write_text("")
    package = build_package(sources, str(tmp_path / "project" / "flow.py"))
    assert [name.partition("/")[0] for name in package.files] == ["_outside", "flow.py"]
    assert not any(".." in name or name.startswith("/") for name in package.files)


def test_nothing_makes_an_empty_archive(tmp_path) -> None:
    with zipfile.ZipFile(io.BytesIO(build_package({}, str(tmp_path / "flow.py")).data)) as archive:
        assert archive.namelist() == []


def test_the_root_is_the_nearest_project_or_the_files_folder(tmp_path) -> None:
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    (tmp_path / "a" / ".git").mkdir()
    assert project_root(str(deep / "flow.py")) == str(tmp_path / "a")
    (deep / "pyproject.toml").write_text("")
    project_root.cache_clear()
    assert project_root(str(deep / "flow.py")) == str(deep)
