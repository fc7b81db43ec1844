"""The kit finds what is wrong: of each backend that is wrong on purpose, exactly the declared tests fail.

What a state machine finds beside them depends on what it happens to try, so its test counts only where it is declared.
"""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from kit.running import failures
from kit.wrong.declared import WRONG, Wrong

MODULES = ("builders", "computes", "providers", "stores")
for _module in MODULES:
    importlib.import_module(f"kit.wrong.{_module}")
ALL = [(module, name, wrong) for module in MODULES for name, wrong in WRONG[module].items()]
MACHINE = "test_any_sequence_of_calls"


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A folder that all workers of this test run see."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if hasattr(request.config, "workerinput") else base


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("module", "name", "wrong"), ALL, ids=[f"{module}-{name}" for module, name, _ in ALL])
def test_exactly_the_declared_tests_fail(module: str, name: str, wrong: Wrong, shared: Path) -> None:
    found = failures(module, shared)[name]
    if MACHINE not in wrong.fails:
        found -= {MACHINE}
    assert found == wrong.fails, (
        f"{name} ({wrong.backend.__doc__}) should fail {sorted(wrong.fails - found)}, "
        f"and should not fail {sorted(found - wrong.fails)}"
    )


def test_there_are_enough_of_them() -> None:
    assert {module: len(found) >= 10 for module, found in WRONG.items()} == dict.fromkeys(MODULES, True)
    assert len(ALL) >= 44
    assert all(wrong.fails for _, _, wrong in ALL)
