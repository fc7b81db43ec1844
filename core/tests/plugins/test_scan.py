"""The cheap answer never says "no" where the real scan would find something."""

from __future__ import annotations

import json
import os
import sys
import time
import zipfile

import pytest

from dovetail.plugins import scan
from dovetail.plugins.scan import cache_folder, may_have_plugins


@pytest.fixture
def old(site):
    """A site that was not touched for an hour, so that its answer may be kept."""

    def settle() -> str:
        hour_ago = time.time() - 3600
        os.utime(site.folder, (hour_ago, hour_ago))
        return str(site.folder)

    return settle


def test_nothing_installed(site):
    assert not may_have_plugins([str(site.folder), "/does/not/exist"])


def test_entry_point_of_the_group(site):
    site.add("dovetail-x")
    assert may_have_plugins([str(site.folder)])


def test_entry_points_of_other_groups_and_unreadable_ones(site):
    for name, text in (("a", "[console_scripts]\nx = y:z\n"), ("b", "[pytest11]\nx = y\n")):
        (site.folder / f"{name}-1.dist-info").mkdir()
        (site.folder / f"{name}-1.dist-info" / "entry_points.txt").write_text(text)
    (site.folder / "c-1.dist-info").write_text("a file")
    assert not may_have_plugins([str(site.folder)])


def test_egg_folders_count(site):
    (site.folder / "x.egg-info").mkdir()
    (site.folder / "x.egg-info" / "entry_points.txt").write_text("[dovetail.plugins]\nx = y\n")
    assert may_have_plugins([str(site.folder)])


def test_zip_files_count_as_maybe(site, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("x.py", "")
    assert may_have_plugins([str(tmp_path / "a.zip")])


def test_finders_with_metadata_of_their_own_count_as_maybe(site, monkeypatch):
    class Finder:
        def find_distributions(self, context=None):
            return iter(())

        def find_spec(self, *args):
            return None

    monkeypatch.setattr(sys, "path", [str(site.folder)])
    assert not may_have_plugins()
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder()])
    assert may_have_plugins()


def test_answers_are_kept_until_the_folder_changes(site, old, monkeypatch):
    path = [old()]
    assert not may_have_plugins(path)
    assert list(cache_folder().glob("plugins-*.json"))
    looked: list[str] = []
    real = scan._look_into
    monkeypatch.setattr(scan, "_look_into", lambda folder: looked.append(folder) or real(folder))
    assert not may_have_plugins(path)
    assert looked == []
    site.add("dovetail-x")
    assert may_have_plugins(path)
    assert looked == path


def test_a_folder_that_just_changed_is_not_kept(site):
    assert not may_have_plugins([str(site.folder)])
    assert not list(cache_folder().glob("plugins-*.json"))


@pytest.mark.parametrize("text", ["", "{", "[]", json.dumps({"version": 99, "folders": []}), '{"version": 1}'])
def test_a_damaged_cache_only_costs_a_scan(site, old, text):
    site.add("dovetail-x")
    path = [old()]
    assert may_have_plugins(path)
    [file] = cache_folder().glob("plugins-*.json")
    file.write_text(text)
    assert may_have_plugins(path)


def test_a_cache_that_cannot_be_written_is_no_error(site, old, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert not may_have_plugins([old()])


def test_listing_looks_past_the_cache(site, old, load):
    package = site.add("dovetail-x", "@hookimpl\ndef dovetail_run_started(run): pass")
    entry_points = site.folder / f"{package}-1.0.dist-info" / "entry_points.txt"
    text = entry_points.read_text()
    entry_points.write_text("")
    old()
    registry = load()
    assert registry.event_hooks(None) is None
    entry_points.write_text(text)  # An edit in place, which does not change the folder's time.
    assert "dovetail-x" in {record.dist for record in load().records()}
