"""Each status that a plugin can have, and that nothing is imported which must not be."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dovetail.interfaces.errors import (
    PluginBlockedError,
    PluginConflictError,
    PluginIncompatibleError,
    PluginLoadError,
    PluginNotFoundError,
)

STORE = """
@hookimpl
def dovetail_datastores():
    return [DataStoreSpec(name="{name}", factory="{package}.store:Store", schemes=("{name}",){more})]
"""


def store(name: str, package: str, more: str = "") -> str:
    return STORE.format(name=name, package=package, more=more)


def status(registry, dist: str) -> tuple[str, str]:
    record = next(record for record in registry.records() if record.dist == dist)
    return record.status, record.reason


def test_ready(site, load):
    package = site.add("dovetail-s9", store("s9", "dovetail_s9"))
    registry = load()
    assert registry.datastore("s9").factory == f"{package}.store:Store"
    assert registry.datastore_for_url("s9://bucket/key").name == "s9"
    assert status(registry, "dovetail-s9") == ("ready", "")
    assert "dovetail_s9.store" not in sys.modules


def test_built_in_comes_first_and_its_names_need_no_scan(site, load):
    site.add("dovetail-boom", "raise RuntimeError('imported')")
    registry = load()
    assert registry.compute("local").factory == "dovetail.local.compute:LocalCompute"
    assert registry._plugins is None
    first = registry.records()[0]
    assert (first.dist, first.status) == ("dovetail", "built-in")
    assert [(o.spec.kind, o.spec.name) for o in first.offers] == [
        ("datastore", "local"),
        ("metadata", "sqlite"),
        ("compute", "local"),
        ("environment", "host"),
        ("secrets", "env"),
        ("secrets", "file"),
        ("serializer", "ndarray"),
        ("serializer", "pandas"),
        ("serializer", "arrow"),
        ("serializer", "polars"),
        ("serializer", "tensors"),
        ("serializer", "file"),
        ("serializer", "directory"),
        ("serializer", "parquet"),
    ]


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ({"block": ("dovetail-boom",)}, "blocked"),
        ({"block": ("boom",)}, "blocked"),
        ({"block": ("Dovetail_Boom",)}, "blocked"),
        ({"allow": ()}, "not-allowed"),
        ({"allow": ("other",)}, "not-allowed"),
        ({"mode": "allow-list"}, "not-allowed"),
        ({"mode": "off"}, "not-allowed"),
        ({"allow": ("boom",), "block": ("boom",)}, "blocked"),
    ],
)
def test_refused_plugins_are_not_imported(site, load, rules, expected):
    package = site.add("dovetail-boom", "raise RuntimeError('imported')")
    registry = load(**rules)
    assert status(registry, "dovetail-boom")[0] == expected
    assert package not in sys.modules
    with pytest.raises((PluginBlockedError, PluginNotFoundError)):
        registry.compute("boom")
    assert package not in sys.modules


def test_allowed(site, load):
    site.add("dovetail-s9", store("s9", "dovetail_s9"))
    assert status(load(allow=("s9",)), "dovetail-s9")[0] == "ready"
    assert status(load(mode="allow-list", allow=("dovetail-s9",)), "dovetail-s9")[0] == "ready"


@pytest.mark.parametrize("requirement", ["dovetail>=99", "dovetail (<0.0.1)", "Dovetail==77.*", "dovetail[x]~=9.1"])
def test_incompatible(site, load, requirement):
    package = site.add("dovetail-old", "raise RuntimeError('imported')", requires=[requirement])
    registry = load()
    found, reason = status(registry, "dovetail-old")
    assert found == "incompatible"
    assert "needs dovetail" in reason
    assert package not in sys.modules
    with pytest.raises(PluginIncompatibleError):
        registry.compute("old")


@pytest.mark.parametrize(
    "requirement", ["dovetail>=0", "dovetail", "numpy<1", "dovetail>=99; extra == 'test'", "dovetail @ file:///x"]
)
def test_compatible(site, load, requirement):
    site.add("dovetail-s9", store("s9", "dovetail_s9"), requires=[requirement])
    assert status(load(), "dovetail-s9")[0] == "ready"


def test_requirement_that_cannot_be_read_is_incompatible(site, load):
    site.add("dovetail-odd", "raise RuntimeError('imported')", requires=["dovetail>>1"])
    assert status(load(), "dovetail-odd")[0] == "incompatible"


def test_api_of_the_future_is_incompatible(site, load):
    site.add("dovetail-new", store("new", "dovetail_new", ", api=2"))
    found, reason = status(load(), "dovetail-new")
    assert found == "incompatible"
    assert "speaks api 2" in reason


def test_broken_takes_nothing_else_down(site, load):
    site.add("dovetail-broken", "import does_not_exist_anywhere")
    site.add("dovetail-s9", store("s9", "dovetail_s9"))
    registry = load()
    assert registry.datastore("s9").name == "s9"
    record = next(r for r in registry.records() if r.dist == "dovetail-broken")
    assert record.status == "broken"
    assert "does_not_exist_anywhere" in record.reason
    assert "dovetail_broken/plugin.py" in record.traceback.replace("\\", "/")
    with pytest.raises(PluginLoadError) as caught:
        registry.compute("broken")
    assert "dovetail plugins show dovetail-broken" in str(caught.value)


def test_exit_of_a_manifest_does_not_end_the_process(site, load):
    site.add("dovetail-exit", "raise SystemExit('bye')")
    registry = load()
    assert status(registry, "dovetail-exit")[0] == "broken"


def test_duplicate_names_both_and_the_override(site, load):
    site.add("acme-s9", store("s9", "acme_s9"), entry="acme", version="2.1")
    site.add("dovetail-s9", store("s9", "dovetail_s9"), version="0.3")
    registry = load()
    with pytest.raises(PluginConflictError) as caught:
        registry.datastore("s9")
    text = str(caught.value)
    assert "acme-s9 2.1" in text
    assert "dovetail-s9 0.3" in text
    assert '[tool.dovetail.plugins] override = {"datastore:s9" = "acme-s9"}' in text
    assert {status(registry, dist)[0] for dist in ("acme-s9", "dovetail-s9")} == {"duplicate"}

    for winner, package in (("acme-s9", "acme_s9"), ("s9", "dovetail_s9"), ("dovetail-s9", "dovetail_s9")):
        chosen = load(override={"datastore:s9": winner})
        assert chosen.datastore("s9").factory == f"{package}.store:Store"
        ready = [r.dist for r in chosen.records() if r.status == "ready"]
        assert ready == [package.replace("_", "-")]


def test_conflict_of_schemes(site, load):
    site.add("dovetail-a", store("a", "a").replace('("a",)', '("shared",)'))
    site.add("dovetail-b", store("b", "b").replace('("b",)', '("shared",)'))
    registry = load()
    with pytest.raises(PluginConflictError, match="scheme:shared"):
        registry.datastore_for_url("shared://x")
    assert load(override={"scheme:shared": "dovetail-b"}).datastore_for_url("shared://x").name == "b"


def test_override_of_something_that_nobody_offers(site, load):
    site.add("dovetail-s9", store("s9", "dovetail_s9"))
    with pytest.raises(PluginConflictError, match="no plugin 'acme' in use offers it"):
        load(override={"datastore:s9": "acme"}).datastore("s9")


def test_built_in_names_are_reserved(site, load):
    site.add("acme-local", store("local", "acme_local"), entry="acme")
    registry = load()
    assert registry.datastore("local").factory == "dovetail.local.store:LocalStore"
    found, reason = status(registry, "acme-local")
    assert found == "duplicate"
    assert "built-in name" in reason
    replaced = load(override={"datastore:local": "acme-local"})
    assert replaced.datastore("local").factory == "acme_local.store:Store"


def test_missing_dependency_names_the_install_command(site, load):
    more = ', requires=("no_such_sdk", "json"), install_hint="pip install \'dovetail-s9[sdk]\'"'
    site.add("dovetail-s9", store("s9", "dovetail_s9", more))
    registry = load()
    found, reason = status(registry, "dovetail-s9")
    assert found == "missing-dependency"
    assert "no_such_sdk" in reason
    with pytest.raises(PluginLoadError) as caught:
        registry.load(registry.datastore("s9"))
    assert "needs no_such_sdk" in str(caught.value)
    assert "pip install 'dovetail-s9[sdk]'" in str(caught.value)
    assert "dovetail_s9.store" not in sys.modules


def test_plugin_that_only_observes_is_ready(site, load):
    site.add("dovetail-watch", "@hookimpl\ndef dovetail_run_started(run): pass")
    record = next(r for r in load().records() if r.dist == "dovetail-watch")
    assert (record.status, record.hooks) == ("ready", ("dovetail_run_started",))


def test_off_finds_nothing_and_says_why(site, load):
    site.add("dovetail-s3", store("s3", "dovetail_s3"))
    registry = load(mode="off")
    with pytest.raises(PluginBlockedError, match="plugins are off"):
        registry.datastore("s3")
    with pytest.raises(PluginNotFoundError) as caught:
        registry.datastore_for_url("acme://place")
    assert caught.value.hint == "There are: file. Plugins are off (--no-plugins, DOVETAIL_PLUGINS or plugins.mode)."
    assert registry.names("datastore") == ["local"]


@pytest.mark.parametrize(
    ("rules", "hint"), [({"block": ["s9"]}, "plugins.block"), ({"allow": []}, "plugins.allow = ['dov")]
)
def test_what_settings_refuse_says_how_to_allow_it(site, load, rules, hint):
    site.add("dovetail-s9", store("s9", "dovetail_s9"))
    with pytest.raises(PluginBlockedError, match=r"dovetail-s9 1\.0 seems to provide that, and is") as caught:
        load(**rules).datastore_for_url("s9://place")
    assert hint in str(caught.value.hint)


def test_scan_happens_once_a_process_and_only_when_needed(site, tmp_path: Path):
    """In a process of its own: the embedded defaults cost neither importlib.metadata nor pluggy."""
    code = """
import sys
from dovetail.settings import Settings
settings = Settings.load()
for kind in ("datastore", "metadata", "compute", "environment"):
    settings.select(kind)
assert settings.registry.serializers() == []
assert settings.registry.event_hooks(None) is None
assert settings.registry.child_hooks().to_plain() == {}
assert settings.registry.route("compute", "F", None, "local") is None
heavy = {"importlib.metadata", "pluggy", "sqlite3", "asyncio", "inspect", "tomllib", "logging", "email"}
allowed = {"inspect"}  # dataclasses imports it
print(sorted((heavy - allowed) & set(sys.modules)))
"""
    run = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False, timeout=60
    )
    assert run.stdout.strip() == "[]", run.stderr


def test_the_scheme_of_files_is_reserved(site, load):
    site.add("acme-files", store("files", "acme_files").replace('("files",)', '("file",)'))
    registry = load()
    assert registry.datastore_for_url("file:///x").name == "local"
    assert registry.datastore("files").factory == "acme_files.store:Store"
    assert '"scheme:file" = "acme-files"' in status(registry, "acme-files")[1]
    registry = load(override={"scheme:file": "acme-files"})
    assert registry.datastore_for_url("file:///x").name == "files"
    assert status(registry, "acme-files") == ("ready", "")
