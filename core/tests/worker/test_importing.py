"""Canonical names, and choosing a flow."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from dovetail import FlowSpec, flow, step
from dovetail.interfaces.errors import UnknownNameError, UsageError
from dovetail.worker.importing import choose_flow, module_name


def test_names(tmp_path: Path) -> None:
    deep = tmp_path / "root" / "pkg" / "sub"
    deep.mkdir(parents=True)
    for folder in (deep, deep.parent):
        (folder / "__init__.py").touch()
    assert module_name(str(tmp_path / "flow.py")) == ("flow", str(tmp_path))
    assert module_name(str(tmp_path / "flow.v2.py")) == ("flow_v2", str(tmp_path))
    assert module_name(str(deep / "flow.py")) == ("pkg.sub.flow", str(tmp_path / "root"))
    assert module_name(str(deep / "__init__.py")) == ("pkg.sub", str(tmp_path / "root"))


def make_flow(name: str, module: str = "made", bases: tuple[type, ...] = (FlowSpec,)) -> type:
    @step
    def start(self: FlowSpec) -> None:
        pass

    return type(name, bases, {"start": start, "__module__": module})


def test_choosing() -> None:
    module = ModuleType("made")
    with pytest.raises(UsageError, match="has no flow"):
        choose_flow(module, None)
    module.__dict__["One"] = one = make_flow("One")
    assert choose_flow(module, None) is one
    module.__dict__["Imported"] = imported = make_flow("Imported", "elsewhere")
    assert choose_flow(module, None) is one
    assert choose_flow(module, "Imported") is imported
    module.__dict__["Two"] = two = make_flow("Two")
    with pytest.raises(UsageError, match="several flows: One, Two"):
        choose_flow(module, None)
    assert choose_flow(module, "Two") is two
    with pytest.raises(UnknownNameError, match="no flow 'Three'"):
        choose_flow(module, "Three")


def test_choosing_among_functions() -> None:
    def pipeline() -> None: ...

    pipeline.__module__ = "made"
    module = ModuleType("made")
    module.__dict__["Imported"] = imported = flow(test_names)
    with pytest.raises(UsageError, match=r"has no flow(.|\n)*marked @flow"):
        choose_flow(module, None)
    assert choose_flow(module, "Imported") is imported
    module.__dict__["pipeline"] = function = flow(pipeline)
    assert choose_flow(module, None) is function
    module.__dict__["again"] = function
    assert choose_flow(module, None) is function
    module.__dict__["One"] = make_flow("One")
    with pytest.raises(UsageError, match="several flows: pipeline, One"):
        choose_flow(module, None)
    assert choose_flow(module, "pipeline") is function
    module.__dict__["named"] = named = flow(name="other")(pipeline)
    assert choose_flow(module, "other") is named
