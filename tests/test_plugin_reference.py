"""Nothing that a plugin's author may use is missing from the reference."""

from __future__ import annotations

import dataclasses
import importlib.util
import inspect
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

import dovetail.plugins
from dovetail.interfaces.compute import ComputeBackend
from dovetail.interfaces.datastore import DataStore, DataStoreCapability
from dovetail.interfaces.environment import EnvironmentBuilder
from dovetail.interfaces.metadata import MetadataProvider
from dovetail.plugins import hookspecs
from dovetail.plugins.descriptors import API, BackendSpec
from dovetail.plugins.hooknames import all_hooks
from dovetail.plugins.opening import settings_class
from dovetail.plugins.registry import Registry
from dovetail.plugins.rules import PluginRules
from dovetail.plugins.schema import fields_of

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "docs" / "reference"


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    """`scripts/reference.py`, which mkdocs calls for every page."""
    spec = importlib.util.spec_from_file_location("reference", ROOT / "scripts" / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["reference"] = module
    spec.loader.exec_module(module)
    return module


def page(generator: ModuleType, name: str) -> str:
    text: str = generator.on_page_markdown((PAGES / name).read_text(encoding="utf-8"))
    assert "<!-- generated" not in text
    return text


def test_every_hook_with_its_arguments(generator: ModuleType) -> None:
    text = page(generator, "hooks.md")
    assert {name for name in vars(hookspecs) if name.startswith("dovetail_")} == set(all_hooks())
    for name in all_hooks():
        arguments = ", ".join(inspect.signature(getattr(hookspecs, name)).parameters)
        assert f"## `{name}({arguments})`" in text


@pytest.mark.parametrize("cls", [DataStore, MetadataProvider, ComputeBackend, EnvironmentBuilder])
def test_every_method_of_an_interface(generator: ModuleType, cls: type) -> None:
    text = page(generator, "interfaces.md")
    assert f"## `{cls.__name__}`" in text
    methods = {name for name in vars(cls) if not name.startswith("_") and name != "capabilities"}
    assert cls.__abstractmethods__ <= methods  # type: ignore[attr-defined]
    for name in methods:
        assert f"### `{cls.__name__}.{name}`" in text
    section = text.partition(f"## `{cls.__name__}`")[2]
    for name in cls.__abstractmethods__:  # type: ignore[attr-defined]
        assert "*abstract" in section.partition(f"### `{cls.__name__}.{name}`")[2].partition("###")[0]


def test_every_ability(generator: ModuleType) -> None:
    text = page(generator, "interfaces.md")
    for flag in DataStoreCapability:
        if flag.value:
            assert f"| `{flag.name}` | `Supports" in text


def test_every_descriptor_with_its_fields(generator: ModuleType) -> None:
    text = page(generator, "interfaces.md")
    for name in dovetail.plugins.__all__:
        if name.endswith("Spec"):
            section = text.partition(f"## `{name}`\n")[2].partition("\n## ")[0]
            for field in dataclasses.fields(getattr(dovetail.plugins, name)):
                assert f"`{field.name}`" in section, (name, field.name)


def test_every_setting_of_the_rules_and_of_embedded_backends(generator: ModuleType) -> None:
    text = page(generator, "settings.md")
    for field in dataclasses.fields(PluginRules):
        assert f"| `plugins.{field.name}` |" in text
    for record in Registry(PluginRules(mode="off")).records():
        for spec in (offer.spec for offer in record.offers if isinstance(offer.spec, BackendSpec)):
            schema = settings_class(spec)
            if schema is None:
                continue
            section = text.partition(f"## `[tool.dovetail.{spec.kind}.{spec.name}]`")[2].partition("\n## ")[0]
            for field in fields_of(schema):
                assert f"| `{field.name}` |" in section


def test_the_catalogue_has_every_offer_of_this_repository(generator: ModuleType) -> None:
    text = page(generator, "catalogue.md")
    members = {"dovetail"}
    for file in ROOT.glob("plugins/*/pyproject.toml"):
        members.add(file.parent.name if file.parent.name.startswith("dovetail") else f"dovetail-{file.parent.name}")
    records = [record for record in Registry(PluginRules()).records() if record.dist in members]
    assert [record.dist for record in records] == sorted(members)
    for record in records:
        section = text.partition(f"## {record.dist}\n")[2].partition("\n## ")[0]
        for offer in record.offers:
            row = f"| {offer.spec.kind} | `{offer.spec.name}` | {offer.spec.summary} | {offer.spec.api} |"
            assert row in section


def test_the_catalogue_reads_reports(generator: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    suite = {
        "interface": "datastore",
        "plugin": {"name": "dovetail", "version": "1"},
        "backend": "dovetail.local.store:LocalStore",
        "totals": {"failed": 0, "passed": 71, "skipped": 3},
    }
    (tmp_path / "dovetail.json").write_text(json.dumps({"suites": [suite]}))
    monkeypatch.setattr(generator, "REPORTS", tmp_path)
    text = "\n".join(generator.catalogue())
    assert "71 passed, 3 skipped |" in text
    assert text.count("no report") == 3


def test_compatibility_names_the_number() -> None:
    text = (PAGES / "compatibility.md").read_text(encoding="utf-8")
    assert f"It is {API} for all of them." in text


def test_every_kind_has_a_page_that_tells_how_to_write_one() -> None:
    menu = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for kind in ("a-data-store", "a-metadata-provider", "a-compute-backend", "an-environment-builder"):
        text = (ROOT / "docs" / "how-to" / f"write-{kind}.md").read_text(encoding="utf-8")
        assert "dovetail plugins test" in text
        assert f"how-to/write-{kind}.md" in menu
