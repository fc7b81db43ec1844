"""The suite of plugins, on one that is right and on ones that are not."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

MANIFEST = """
from dovetail.plugins import DataStoreSpec, FlowDecoratorSpec, StepDecoratorSpec, hookimpl

@hookimpl
def dovetail_datastores():
    return [
        DataStoreSpec(
            name="fine",
            factory="fine.store:FineStore",
            settings="fine.settings:FineSettings",
            summary="in a folder",
            capabilities=("append", "copy", "local-path", "stage"),
        )
    ]
"""
STORE = """
from dovetail.local.store import LocalStore

class FineStore(LocalStore):
    pass
"""
DECORATORS = """
from dovetail import StepDecorator

def fine(*, bucket: str = "") -> StepDecorator:
    return StepDecorator("datastore", "fine", {"bucket": bucket})
"""
DECORATED = """
@hookimpl
def dovetail_step_decorators():
    return [StepDecoratorSpec(name="fine", factory="fine.decorators:fine", summary="keep there", chooses="datastore")]

@hookimpl
def dovetail_flow_decorators():
    return [FlowDecoratorSpec(name="fine", factory="fine.decorators:fine", summary="keep there", chooses="datastore")]
"""
SETTINGS = """
from dataclasses import dataclass
from typing import Annotated
from dovetail.interfaces.context import SecretRef

@dataclass(frozen=True, slots=True, kw_only=True)
class FineSettings:
    bucket: Annotated[str, "where"] = ""
    password: Annotated[SecretRef | None, "with what"] = None
"""
METADATA = (
    "Metadata-Version: 2.1\nName: dovetail-fine\nVersion: 1.0\nRequires-Dist: dovetail>=0.1,<1\n\nbucket, password\n"
)
TEST = """
from dovetail.testing import PluginConformance

class TestFine(PluginConformance):
    plugin = "dovetail-fine"
"""


def failed(folder: Path, *, cache: Path | None = None, **files: str) -> set[str]:
    """Tests that fail when some files of the plugin are others."""
    texts = {
        "plugin": MANIFEST,
        "store": STORE,
        "settings": SETTINGS,
        "metadata": METADATA,
        "typed": "",
        "decorators": DECORATORS,
        **files,
    }
    package, info = folder / "fine", folder / "dovetail_fine-1.0.dist-info"
    package.mkdir()
    info.mkdir()
    (package / "__init__.py").write_text("")
    for name in ("plugin", "store", "settings", "decorators"):
        (package / f"{name}.py").write_text(textwrap.dedent(texts[name]))
    if texts["typed"] != "none":
        (package / "py.typed").write_text("")
    (info / "METADATA").write_text(texts["metadata"])
    (info / "entry_points.txt").write_text("[dovetail.plugins]\nfine = fine.plugin\n")
    (folder / "test_fine.py").write_text(TEST)
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--dovetail-report", "report.json"],
        cwd=folder,
        env={
            "PYTHONPATH": str(folder),
            "PATH": "/usr/bin:/bin",
            "HOME": str(folder),
            "XDG_CACHE_HOME": str(folder),
            "MYPY_CACHE_DIR": str(cache or folder / "cache"),
        },
        capture_output=True,
        check=False,
    )
    [suite] = json.loads((folder / "report.json").read_text())["suites"]
    assert suite["plugin"] == {"name": "dovetail-fine", "version": "1.0"}
    return {test["test"].removeprefix("test_") for test in suite["tests"] if test["outcome"] == "failed"}


def test_a_right_plugin_passes(tmp_path: Path) -> None:
    assert failed(tmp_path) == set()


WRONG: list[tuple[str, str, str, set[str]]] = [
    ("plugin", "from dov", "import msgpack\nfrom dov", {"the_manifest_imports_little"}),
    ("plugin", "@hook", "import os; os.environ['FINE'] = '1'\n@hook", {"the_manifest_does_nothing_else"}),
    ("plugin", "@hook", "import socket; socket.socket().close()\n@hook", {"the_manifest_does_nothing_else"}),
    ("plugin", '"stage"', '"presign"', {"descriptors_list_what_classes_declare"}),
    ("plugin", '"in a folder"', '""', {"descriptors_tell_what_they_are"}),
    ("plugin", "capabilities=", "requires=('nothing_here',), capabilities=", {"requirements_are_there_or_hinted_at",
        "every_factory_resolves", "descriptors_list_what_classes_declare", "the_manifest_loads"}),
    ("store", "FineStore", "OtherStore", {"every_factory_resolves", "descriptors_list_what_classes_declare"}),
    ("settings", '"where"', '" "', {"every_setting_has_a_help_and_a_default"}),
    ("settings", "SecretRef | None, \"with", "str | None, \"with", {"secrets_are_references"}),
    ("metadata", "bucket, ", "", {"the_readme_names_every_setting"}),
    ("metadata", ">=0.1,<1", "<1", {"the_distribution_says_which_dovetail"}),
    ("typed", "", "none", {"its_packages_are_typed"}),
]  # fmt: skip
"""Each is the plugin of the embedded store with one thing changed: in which file, what, into what, who finds it."""


@pytest.mark.parametrize(("name", "old", "new", "expected"), WRONG)
def test_a_wrong_plugin_fails_what_is_wrong(tmp_path: Path, name: str, old: str, new: str, expected: set[str]) -> None:
    texts = {"plugin": MANIFEST, "store": STORE, "settings": SETTINGS, "metadata": METADATA, "typed": ""}
    changed = texts[name].replace(old, new, 1) if old else new
    assert changed != texts[name]
    assert failed(tmp_path, **{name: changed}) == expected


def test_there_are_enough_of_them() -> None:
    assert len(WRONG) >= 8
    assert all(found for *_, found in WRONG)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What mypy keeps of the core."""
    return tmp_path_factory.mktemp("mypy")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("", "", set()),
        ("*, bucket: str", "**others: str", {"its_decorators_are_typed"}),
        (") -> StepDecorator:", "):", {"its_decorators_are_typed"}),
    ],
    ids=["right", "any-option", "untyped"],
)
def test_decorators_are_typed(tmp_path: Path, cache: Path, old: str, new: str, expected: set[str]) -> None:
    changed = DECORATORS.replace(old, new, 1)
    assert (changed != DECORATORS) == bool(expected)
    if "**others" in new:
        changed = changed.replace('= ""', "").replace('{"bucket": bucket}', "dict(others)")
    assert failed(tmp_path, cache=cache, plugin=MANIFEST + DECORATED, decorators=changed) == expected
