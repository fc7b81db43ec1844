"""How plugins are pinned in a run, and what counts as another plugin."""

from __future__ import annotations

import json
import shutil
import sys

import pytest

from dovetail.interfaces.errors import PluginMismatchError
from dovetail.plugins import discovery
from dovetail.plugins.closure import check_closure, differences, installed_pins

SHELF = """
@hookimpl
def dovetail_datastores():
    return [DataStoreSpec(name="shelf", factory="dovetail_shelf.store:Store", schemes=("shelf",))]
"""
RECORD = """\
dovetail_shelf/__init__.py,sha256=aaa,1
dovetail_shelf/plugin.py,sha256=bbb,200
dovetail_shelf/__pycache__/plugin.cpython-311.pyc,,
dovetail_shelf-1.0.dist-info/METADATA,sha256=ccc,50
dovetail_shelf-1.0.dist-info/RECORD,,
"""
INSTALLED_ELSEWHERE = """\
../../../bin/shelf,sha256=zzz,200
dovetail_shelf-1.0.dist-info/INSTALLER,sha256=ddd,4
dovetail_shelf-1.0.dist-info/REQUESTED,sha256=eee,0
dovetail_shelf-1.0.dist-info/direct_url.json,sha256=fff,90
"""


def info(site):
    return site.folder / "dovetail_shelf-1.0.dist-info"


def pins():
    discovery.forget_scan()
    return installed_pins(["dovetail-shelf"])


@pytest.fixture
def shelf(site):
    """An installed wheel."""
    site.add("dovetail-shelf", SHELF)
    (info(site) / "RECORD").write_text(RECORD)
    return site


def test_a_wheel_is_known_by_its_record(shelf):
    found = pins()
    assert list(found) == ["dovetail-shelf"]
    pin = found["dovetail-shelf"]
    assert (pin["version"], pin["entries"]) == ("1.0", {"shelf": "dovetail_shelf.plugin"})
    assert pin["digest"].startswith("record:")
    assert json.loads(json.dumps(pin)) == pin
    assert "dovetail_shelf" not in sys.modules


def test_what_installers_add_does_not_count(shelf):
    before = pins()
    (info(shelf) / "RECORD").write_text("\n".join(reversed((RECORD + INSTALLED_ELSEWHERE).splitlines())))
    assert pins() == before


def test_another_wheel_of_the_same_version_is_another_plugin(shelf):
    before = pins()
    (info(shelf) / "RECORD").write_text(RECORD.replace("bbb", "bbc"))
    discovery.forget_scan()
    told = differences(before, missing=False)["dovetail-shelf"]
    assert told.startswith("the run pins dovetail-shelf 1.0 with files ")
    with pytest.raises(PluginMismatchError) as caught:
        check_closure(before, missing=False, asker="a worker", otherwise="Or go on.")
    assert str(caught.value.message) == f"a worker: {told}"
    hint = "Install what was pinned: pip install --force-reinstall dovetail-shelf==1.0 Or go on."
    assert caught.value.hint == hint


def test_another_version(shelf):
    before = pins()
    metadata = (info(shelf) / "METADATA").read_text()
    (info(shelf) / "METADATA").write_text(metadata.replace("Version: 1.0", "Version: 1.1"))
    discovery.forget_scan()
    told = differences(before, missing=False)
    assert told == {"dovetail-shelf": "the run pins dovetail-shelf 1.0, and dovetail-shelf 1.1 is installed"}


def test_another_entry_point(shelf):
    before = pins()
    (info(shelf) / "entry_points.txt").write_text("[dovetail.plugins]\nshelf = dovetail_shelf.other\n")
    discovery.forget_scan()
    assert "dovetail_shelf.other" in differences(before, missing=False)["dovetail-shelf"]


def test_one_that_is_gone_counts_where_it_is_asked_for(shelf):
    before = pins()
    shutil.rmtree(info(shelf))
    discovery.forget_scan()
    assert differences(before, missing=False) == {}
    told = differences(before, missing=True)
    assert told == {"dovetail-shelf": "the run pins dovetail-shelf 1.0, and it is not installed"}


def test_an_editable_installation_is_known_by_its_sources(shelf):
    url = {"url": f"file://{shelf.folder}", "dir_info": {"editable": True}}
    (info(shelf) / "direct_url.json").write_text(json.dumps(url))
    before = pins()
    assert before["dovetail-shelf"]["digest"].startswith("sources:")
    cache = shelf.folder / "dovetail_shelf" / "__pycache__"
    cache.mkdir()
    (cache / "plugin.cpython-311.pyc").write_bytes(b"code")
    assert pins() == before
    (shelf.folder / "dovetail_shelf" / "store.py").write_text("class Store: ...\n")
    assert pins() != before
    with pytest.raises(PluginMismatchError) as caught:
        check_closure(before, missing=False, asker="a worker")
    assert "with sources " in caught.value.message
    assert caught.value.hint == "Put the sources of an editable installation back as they were."
    assert "dovetail_shelf" not in sys.modules


def test_without_a_record_the_sources_count(site):
    site.add("dovetail-shelf", SHELF)
    assert pins()["dovetail-shelf"]["digest"].startswith("sources:")


def test_only_what_takes_part_is_pinned(site, load):
    site.add("dovetail-shelf", SHELF)
    site.add("observer", "@hookimpl\ndef dovetail_run_started(run): pass\n")
    site.add("wrapper", "@hookimpl(wrapper=True)\ndef dovetail_execute_task(task):\n    return (yield)\n")
    site.add("router", "@hookimpl\ndef dovetail_route_step(kind): pass\n")
    words = (
        "@hookimpl\ndef dovetail_serializers():\n    return [SerializerSpec(name='w', factory='a:B', types=('a.C',))]\n"
    )
    site.add("words", words)
    site.add("blocked", words.replace("'w'", "'x'"))
    registry = load(block=("blocked",))
    assert list(registry.closure([])) == ["router", "words", "wrapper"]
    chosen = [("datastore", "shelf"), ("compute", "local"), ("step-decorator", "nothing")]
    assert list(registry.closure(chosen)) == ["dovetail-shelf", "router", "words", "wrapper"]
    assert list(load(mode="off").closure([("compute", "local")])) == []
