"""Projects in a temporary folder, imported afresh."""

from __future__ import annotations

import importlib
import linecache
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dovetail.authoring.describe import describe, flows_in
from dovetail.interfaces.flow import FlowDescription
from dovetail.packaging.code_key import with_code_keys
from dovetail.worker.describing import describe_flow

Keys = Callable[..., FlowDescription]

HEAD = "from dovetail import *\n"


@pytest.fixture
def keys_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Keys]:
    """`keys_of(flow source, **{module: source})`: write a project, import its flow, describe it with code keys."""
    root = tmp_path / "project"
    root.mkdir()
    (root / "pyproject.toml").write_text("")
    monkeypatch.syspath_prepend(str(root))
    made: set[str] = set()

    def forget() -> None:
        for name in [n for n in sys.modules if n.partition(".")[0] in made]:
            del sys.modules[name]

    def keys(flow: str, **modules: str) -> FlowDescription:
        forget()
        for name, text in {"flow": HEAD + textwrap.dedent(flow), **modules}.items():
            file = root / f"{name}.py"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(textwrap.dedent(text))
            made.add(name.partition("/")[0])
        linecache.clearcache()
        importlib.invalidate_caches()
        sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
        try:
            module: Any = importlib.import_module("flow")
        finally:
            sys.dont_write_bytecode = before
        flow = flows_in(module)[-1]
        if not isinstance(flow, type):
            return describe_flow(flow, gated=False)
        return with_code_keys(describe(flow), flow)

    yield keys
    forget()
