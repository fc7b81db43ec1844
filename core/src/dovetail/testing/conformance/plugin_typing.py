"""Plugin: its decorators are typed."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import pytest

from dovetail.plugins import PluginRules, Registry
from dovetail.plugins.descriptors import Spec
from dovetail.plugins.extensions import DecoratorSpec, FlowDecoratorSpec
from dovetail.testing.conformance.suite import Conformance, guards

__all__ = ["PluginTyping"]

_ODD = "no_such_option"
_UNKNOWN = re.compile(r"\[call-(arg|overload)\]")
"""What mypy says of an argument that a function does not have."""
_HEAD = "from __future__ import annotations\n\nfrom dovetail import FlowSpec, step\n"
_STEP = """

class OnAStep{n}(FlowSpec):
    @{name}({arguments})
    @step
    def start(self) -> None:
        self.next(self.end)

    @step
    def end(self) -> None: ...
"""
_FLOW = """

@{name}({arguments})
class OnAFlow{n}(FlowSpec):
    @step
    def start(self) -> None: ...
"""


class PluginTyping(Conformance):
    """What a type checker says of a flow that uses the plugin."""

    decorator_arguments: ClassVar[Mapping[str, str]] = {}
    """Name of a decorator → arguments of a right use, such as `size=1`, where it can't do with none."""

    @guards("plugin.decorators-are-typed")
    def test_its_decorators_are_typed(self, specs: list[Spec], tmp_path: Path) -> None:
        chosen = [spec for spec in specs if isinstance(spec, DecoratorSpec)]
        if not chosen:
            pytest.skip("it has no decorators")
        if find_spec("mypy") is None:
            pytest.skip("mypy is not installed")
        right, wrong = _HEAD, _HEAD
        for n, spec in enumerate(chosen):
            own = self.decorator_arguments.get(spec.name)
            arguments = _defaults(spec) if own is None else own
            right += _use(spec, n, arguments)
            wrong += _use(spec, n, f"{arguments}, {_ODD}=1" if arguments else f"{_ODD}=1")
        files = {"right.py": right, "wrong.py": wrong}
        for name, text in files.items():
            (tmp_path / name).write_text(text, encoding="utf-8")
        found = _refused([tmp_path / name for name in files], {spec.factory.partition(".")[0] for spec in chosen})
        lines = [f"{right.splitlines()[n - 1].strip()}: {why}" for n, why in sorted(found["right.py"].items())]
        assert not lines, f"expected mypy --strict to take these uses, it refuses {lines[0]}"
        uses = {n: line for n, line in enumerate(wrong.splitlines(), 1) if _ODD in line}
        missed = [line for n, line in uses.items() if not _UNKNOWN.search(found["wrong.py"].get(n, ""))]
        assert not missed, f"expected mypy --strict to refuse an option that is not there, it takes {missed[0]}"


def _defaults(spec: DecoratorSpec) -> str:
    """Each option with its default, as far as that can be written down."""
    parameters = inspect.signature(Registry(PluginRules.from_env()).load(spec)).parameters.values()
    plain = (bool, int, float, str, bytes, tuple, type(None))
    return ", ".join(
        f"{one.name}={one.default!r}"
        for one in parameters
        if one.kind is one.KEYWORD_ONLY and isinstance(one.default, plain)
    )


def _use(spec: DecoratorSpec, n: int, arguments: str) -> str:
    module, _, name = spec.factory.partition(":")
    shape = _FLOW if isinstance(spec, FlowDecoratorSpec) else _STEP
    return f"\nfrom {module} import {name}\n" + shape.format(n=n, name=name, arguments=arguments)


def _refused(files: Sequence[Path], packages: set[str]) -> dict[str, dict[int, str]]:
    """File name → line → why mypy refuses it. Its cache is where mypy has it, so that only the first look is slow."""
    places: list[str] = []
    for package in packages:
        found: Any = find_spec(package)
        folder = Path(next(iter(found.submodule_search_locations or ()), found.origin)).parent
        if str(folder) not in sys.path:  # an editable install, which mypy does not follow
            places.append(str(folder))
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file", os.devnull, "--no-pretty", *map(str, files)],
        env={**os.environ, "MYPYPATH": os.pathsep.join(places)},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode in (0, 1), f"expected mypy to look at {files[0].name}, came {done.stdout}{done.stderr}"
    refused: dict[str, dict[int, str]] = {file.name: {} for file in files}
    for line in done.stdout.splitlines():
        match = re.match(r"(?:.*[/\\])?(\w+\.py):(\d+)(?::\d+)?: error: (.*)", line)
        if match and match[1] in refused:
            at = refused[match[1]]
            at[int(match[2])] = "; ".join(filter(None, (at.get(int(match[2])), match[3])))
    return refused
