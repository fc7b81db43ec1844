"""`PluginConformance`: what every plugin distribution must be, whatever it provides."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import typing
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import pytest

from dovetail.interfaces.context import SecretRef
from dovetail.plugins import PluginRules, Registry
from dovetail.plugins.descriptors import API, BackendSpec, Spec
from dovetail.plugins.opening import settings_class
from dovetail.plugins.records import PluginRecord
from dovetail.testing.conformance.installed import installed
from dovetail.testing.conformance.plugin_typing import PluginTyping
from dovetail.testing.conformance.suite import guards

__all__ = ["PluginConformance"]

_GROUP = "dovetail.plugins"
_SECRET_NAMES = ("password", "passwd", "secret", "token", "api_key", "access_key", "private_key", "credential")
_WATCH = """
import json, os, sys
import dovetail.plugins.descriptors, dovetail.plugins.extensions, dovetail.plugins.registry, dovetail.plugins.marks
import pluggy
seen = []
def watch(event, arguments):
    if event.startswith("socket.") and event != "socket.gethostname":
        seen.append(event)
    elif event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        if "__pycache__" not in str(arguments[0]):
            seen.append(f"open {arguments[0]} to write")
    elif event in ("os.putenv", "os.unsetenv"):
        seen.append(f"{event} {arguments[0]!r}")
    elif event in ("subprocess.Popen", "os.system", "os.exec", "os.fork"):
        seen.append(event)
before = set(sys.modules)
sys.addaudithook(watch)
__import__(sys.argv[1])
print(json.dumps([sorted(set(sys.modules) - before), seen]))
"""


class PluginConformance(PluginTyping):
    """Give `plugin`, the name of the distribution. It must be installed, an editable install will do."""

    interface: ClassVar[str] = "plugin"
    allowed_imports: ClassVar[tuple[str, ...]] = ()
    """Packages that the manifest may import besides `dovetail`, the standard library and the plugin's own."""

    @pytest.fixture
    def dist(self) -> Distribution:
        """The distribution."""
        if self.plugin is None:
            pytest.fail(f"{type(self).__qualname__} needs `plugin`, the name of the distribution")
        try:
            return distribution(self.plugin)
        except PackageNotFoundError:
            pytest.fail(f"the distribution {self.plugin} is not installed: pip install -e .")

    @pytest.fixture
    def records(self, dist: Distribution) -> list[PluginRecord]:
        """What the registry knows of each of its manifests."""
        found = [
            record for record in Registry(PluginRules.from_env()).records() if record.dist == dist.metadata["Name"]
        ]
        if not found:
            pytest.fail(f"{dist.metadata['Name']} has no entry point in the group {_GROUP}")
        return found

    @pytest.fixture
    def specs(self, records: list[PluginRecord]) -> list[Spec]:
        """What it provides."""
        return [offer.spec for record in records for offer in record.offers]

    @guards("plugin.is-installed")
    def test_the_plugin_is_installed(self, dist: Distribution) -> None:
        points = [point for point in dist.entry_points if point.group == _GROUP]
        assert points, f"expected an entry point in the group {_GROUP}, came none"
        odd = [point.value for point in points if ":" in point.value]
        assert not odd, f"expected entry points that name a module, came {odd}"

    @guards("plugin.manifest-loads")
    def test_the_manifest_loads(self, records: list[PluginRecord]) -> None:
        for record in records:
            assert record.status == "ready", f"expected the status ready, came {record.status}: {record.reason}"
            assert record.offers or record.hooks, f"expected {record.target} to provide something, came nothing"
            assert not record.notes, f"expected nothing to note of {record.target}, came {record.notes}"

    @guards("plugin.manifest-is-light")
    def test_the_manifest_imports_little(self, records: list[PluginRecord]) -> None:
        for record in records:
            own = record.target.partition(".")[0]
            known = {*sys.stdlib_module_names, *self.allowed_imports, "dovetail", own}
            foreign = {name.partition(".")[0] for name in self._import(record)[0]} - known
            assert not foreign, f"expected {record.target} to import no other package, came {sorted(foreign)}"

    @guards("plugin.manifest-is-quiet")
    def test_the_manifest_does_nothing_else(self, records: list[PluginRecord]) -> None:
        for record in records:
            _, seen = self._import(record)
            assert not seen, f"expected importing {record.target} to touch nothing, came {seen}"

    @staticmethod
    def _import(record: PluginRecord) -> list[list[str]]:
        """Import a manifest in a process of its own: the modules that were loaded, and what it did."""
        command = [sys.executable, "-c", _WATCH, record.target]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, f"expected {record.target} to be imported, came {done.stderr.strip()}"
        found: list[list[str]] = json.loads(done.stdout.splitlines()[-1])
        return found

    @guards("plugin.factories-resolve")
    def test_every_factory_resolves(self, specs: list[Spec]) -> None:
        registry = Registry(PluginRules.from_env())
        for spec in specs:
            if spec.kind == "command":
                assert find_spec(spec.factory.partition(":")[0]), f"expected the module {spec.factory}, came none"
                continue
            found = registry.load(spec)
            assert callable(found), f"expected {spec.factory} to be a class or function, came {found!r}"
            missing = sorted(getattr(found, "__abstractmethods__", ()))
            assert not missing, f"expected {spec.factory} to have every abstract method, missing are {missing}"

    @guards("plugin.settings-resolve")
    def test_every_setting_has_a_help_and_a_default(self, specs: list[Spec]) -> None:
        for spec, cls in _settings(specs):
            assert dataclasses.is_dataclass(cls), f"expected {spec.settings} to be a dataclass, came {cls!r}"
            params: Any = getattr(cls, "__dataclass_params__", None)
            assert params.frozen, f"expected {spec.settings} to be frozen"
            hints = typing.get_type_hints(cls, include_extras=True)
            for field in dataclasses.fields(cls):
                texts = [text for text in getattr(hints[field.name], "__metadata__", ()) if isinstance(text, str)]
                assert any(text.strip() for text in texts), (
                    f"expected a help text of {spec.settings}.{field.name}, came none"
                )
            make: Any = cls
            make()  # what a user must give has a default that `open` refuses with a hint

    @guards("plugin.secrets-are-references")
    def test_secrets_are_references(self, specs: list[Spec]) -> None:
        for spec, cls in _settings(specs):
            hints = typing.get_type_hints(cls)
            for field in dataclasses.fields(cls):
                if any(word in field.name for word in _SECRET_NAMES):
                    kind = hints[field.name]
                    assert kind is SecretRef or SecretRef in typing.get_args(kind), (
                        f"expected {spec.settings}.{field.name} to be a SecretRef, came {kind}"
                    )

    @guards("plugin.capabilities-agree")
    def test_descriptors_list_what_classes_declare(self, specs: list[Spec]) -> None:
        registry = Registry(PluginRules.from_env())
        for spec in specs:
            if isinstance(spec, BackendSpec):
                flags: Any = getattr(registry.load(spec), "capabilities", None)
                known: Any = flags.__class__
                declared = [] if flags is None else [flag for flag in known if flag.value and flag in flags]
                expected = sorted(str(flag.name).lower().replace("_", "-") for flag in declared)
                found = sorted(spec.capabilities)
                assert found == expected, f"expected {spec.kind} {spec.name!r} to list {expected}, came {found}"

    @guards("plugin.descriptors-tell")
    def test_descriptors_tell_what_they_are(self, specs: list[Spec]) -> None:
        for spec in specs:
            name = f"{spec.kind} {spec.name!r}"
            assert spec.summary.strip(), f"expected a summary of {name}, came none"
            assert "\n" not in spec.summary, f"expected a summary of one line of {name}, came {spec.summary!r}"
            assert spec.api == API, f"expected {name} to speak api {API}, came {spec.api}"

    @guards("plugin.requirements-tell")
    def test_requirements_are_there_or_hinted_at(self, specs: list[Spec]) -> None:
        for spec in specs:
            missing = [name for name in spec.requires if find_spec(name.partition(".")[0]) is None]
            assert not missing or spec.install_hint, (
                f"expected {spec.kind} {spec.name!r} to say how to install {missing}, came no install_hint"
            )

    @guards("plugin.floor-is-declared")
    def test_the_distribution_says_which_dovetail(self, dist: Distribution) -> None:
        found = installed(dist.metadata["Name"])
        assert found.floor, f"expected a requirement such as dovetail>=0.1,<1, came {found.wants or 'none'}"

    @guards("plugin.is-typed")
    def test_its_packages_are_typed(self, records: list[PluginRecord]) -> None:
        for record in records:
            package = record.target.partition(".")[0]
            found = find_spec(package)
            places = list(found.submodule_search_locations or ()) if found else []
            assert any(Path(place, "py.typed").exists() for place in places), (
                f"expected a py.typed in {package}, came none"
            )

    @guards("plugin.settings-are-documented")
    def test_the_readme_names_every_setting(self, dist: Distribution, specs: list[Spec]) -> None:
        text = dist.metadata.get("Description") or str(dist.metadata.get_payload() or "")  # type: ignore[attr-defined]
        for spec, cls in _settings(specs):
            missing = [field.name for field in dataclasses.fields(cls) if field.name not in text]
            assert not missing, f"expected the README to name the settings of {spec.name}, missing are {missing}"


def _settings(specs: list[Spec]) -> Iterator[tuple[BackendSpec, Any]]:
    for spec in specs:
        if isinstance(spec, BackendSpec):
            cls = settings_class(spec)
            if cls is not None:
                yield spec, cls
