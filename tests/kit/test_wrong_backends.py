"""The kit finds what is wrong: of each backend that is wrong on purpose, exactly the declared tests fail.

State machines look at those that declare to fail then: what is wrong with them takes a sequence of calls to find.
"""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from kit.declared_machines import MACHINE
from kit.running import failures
from kit.wrong.declared import WRONG, Wrong

from dovetail.local.compute import LocalCompute
from dovetail.local.environment import HostEnvironment
from dovetail.local.metadata import SqliteMetadata
from dovetail.local.store import LocalStore

MODULES = ("builders", "computes", "providers", "stores")
for _module in MODULES:
    importlib.import_module(f"kit.wrong.{_module}")
ALL = [(module, name, wrong) for module in MODULES for name, wrong in WRONG[module].items()]
EMBEDDED = {"builders": HostEnvironment, "computes": LocalCompute, "providers": SqliteMetadata, "stores": LocalStore}
MACHINES = ("computes", "providers", "stores")


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A folder that all workers of this test run see."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if hasattr(request.config, "workerinput") else base


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("module", "name", "wrong"), ALL, ids=[f"{module}-{name}" for module, name, _ in ALL])
def test_exactly_the_declared_tests_fail(module: str, name: str, wrong: Wrong, shared: Path) -> None:
    found = failures(module, shared)[name]
    assert found == wrong.fails, (
        f"{name} ({wrong.backend.__doc__}) should fail {sorted(wrong.fails - found)}, "
        f"and should not fail {sorted(found - wrong.fails)}"
    )


def test_there_are_enough_of_them() -> None:
    assert {module: len(found) >= 10 for module, found in WRONG.items()} == dict.fromkeys(MODULES, True)
    assert len(ALL) >= 70
    assert all(wrong.fails for _, _, wrong in ALL)


@pytest.mark.parametrize("module", MODULES)
def test_at_least_eight_are_the_embedded_default_with_one_thing_changed(module: str) -> None:
    found = [name for name, wrong in WRONG[module].items() if issubclass(wrong.backend, EMBEDDED[module])]
    assert len(found) >= 8, found


@pytest.mark.parametrize("module", MACHINES)
def test_some_take_a_sequence_of_calls(module: str) -> None:
    found = [name for name, wrong in WRONG[module].items() if wrong.fails == {MACHINE}]
    assert len(found) >= 3, found
