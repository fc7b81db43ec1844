"""Which package may import which: the house rules, kept by reading every import in the source.

Imports inside functions and under `TYPE_CHECKING` count too: what a package names, it knows.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
CORE = ROOT / "core" / "src" / "dovetail"

ANYTHING = None
MAY_IMPORT: dict[str, set[str] | None] = {
    "interfaces": set(),
    "plugins": {"interfaces"},
    "settings": {"plugins", "interfaces"},
    "artifacts": {"plugins", "interfaces"},
    "packaging": {"interfaces"},
    "authoring": {"interfaces"},
    "planning": {"interfaces"},
    "worker": {"authoring", "planning", "packaging", "artifacts", "plugins", "interfaces"},
    "engine": {"planning", "artifacts", "packaging", "settings", "plugins", "interfaces"},
    "local": {"interfaces", "plugins", "worker"},
    "client": {"artifacts", "settings", "plugins", "interfaces"},
    "runner": ANYTHING,
    "cli": ANYTHING,
    "testing": ANYTHING,
    # `dovetail/__init__.py` and `dovetail/__main__.py`: the public names, resolved when they are first used.
    "": ANYTHING,
}
# Allowed inside a function or for types only: a flow file started as a program reaches the command line,
# `current.run` the client, calling a flow function what runs it.
INSIDE_FUNCTIONS = {"authoring": {"cli", "client", "runner"}}
# The conformance kit runs in a plugin author's tests, so it may use only what a plugin distribution may.
PLUGINS_MAY_IMPORT = {"", "interfaces", "plugins"}
CONFORMANCE = CORE / "testing" / "conformance"
KIT_NEEDS = {"hypothesis", "pytest"}
"""The extra `testing`."""

PYTEST_PLUGIN = CORE / "testing" / "pytest_plugin.py"
"""Imported by pytest alone, through its entry point."""
SERIALIZERS = CORE / "artifacts" / "serializers"
DATA = {"jax", "ml_dtypes", "numpy", "pandas", "polars", "pyarrow", "torch"}
"""Libraries whose values have serializers of their own, each imported with the first value of that library."""
POSIX_ONLY = {"fcntl", "grp", "pty", "pwd", "resource", "termios", "tty"}


class Import(NamedTuple):
    """One module that a file names."""

    file: Path
    line: int
    module: str
    in_function: bool
    guarded: bool
    """Under an `if` or in a `try`."""
    for_types: bool
    """Under `if TYPE_CHECKING`: read by type checkers, never run."""

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line} imports {self.module}"


def imports_of(file: Path, root: Path) -> Iterator[Import]:
    """Every import of a file below `root` (the folder that holds the top package), relative ones resolved."""
    package = file.relative_to(root).parent.parts

    def visit(node: ast.AST, in_function: bool, guarded: bool, for_types: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(file, node.lineno, alias.name, in_function, guarded, for_types)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            if module == "dovetail" and [alias.name for alias in node.names] == ["__version__"]:
                return  # a fact about the distribution, not a part of the house
            yield Import(file, node.lineno, module, in_function, guarded, for_types)
            for alias in node.names:  # `from dovetail import engine` names dovetail.engine
                if (root / module.replace(".", "/") / alias.name).is_dir():
                    yield Import(file, node.lineno, f"{module}.{alias.name}", in_function, guarded, for_types)
        in_function = in_function or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        guarded = guarded or isinstance(node, ast.If | ast.Try)
        for_types = for_types or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
        for child in ast.iter_child_nodes(node):
            yield from visit(child, in_function, guarded, for_types)

    yield from visit(ast.parse(file.read_text(encoding="utf-8"), str(file)), False, False, False)


def core_imports() -> list[Import]:
    files = sorted(CORE.rglob("*.py"))
    return [found for file in files for found in imports_of(file, CORE.parent)]


def room(module: str) -> str:
    """The package below `dovetail` that a module belongs to; `""` for the top."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def room_of_file(file: Path) -> str:
    relative = file.relative_to(CORE)
    return relative.parts[0] if len(relative.parts) > 1 else ""


def allowed(found: Import) -> bool:
    """Whether the table lets this file import this module of ours."""
    here, there = room_of_file(found.file), room(found.module)
    may = MAY_IMPORT[here]
    if may is ANYTHING or there == here:
        return True
    if there in INSIDE_FUNCTIONS.get(here, ()):
        return found.in_function or found.for_types
    return there in may


def test_every_package_has_a_row() -> None:
    packages = {entry.name for entry in CORE.iterdir() if (entry / "__init__.py").exists()}
    assert packages == set(MAY_IMPORT) - {""}


def test_packages_import_only_what_the_table_allows() -> None:
    ours = [found for found in core_imports() if found.module.split(".")[0] == "dovetail"]
    assert ours, "no import was found"
    assert [str(found) for found in ours if not allowed(found)] == []


def test_core_imports_only_its_declared_dependencies() -> None:
    project = tomllib.loads((ROOT / "core" / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {requirement.split(";")[0].split(">")[0].strip() for requirement in project["dependencies"]}
    known = set(sys.stdlib_module_names) | declared | {"dovetail", "__future__", "tomllib"}
    foreign = [found for found in core_imports() if found.module.split(".")[0] not in known]
    foreign = [one for one in foreign if one.file != PYTEST_PLUGIN]
    foreign = [one for one in foreign if not (one.file.parent == CONFORMANCE and one.module.split(".")[0] in KIT_NEEDS)]
    foreign = [one for one in foreign if not (one.file.parent == SERIALIZERS and one.module.split(".")[0] in DATA)]
    # A user's numpy may be looked at where it is loaded already; a type checker brings typing_extensions itself.
    fine = [found for found in foreign if found.for_types or (found.in_function and found.guarded)]
    assert [str(found) for found in foreign if found not in fine] == []


def test_no_posix_only_module_is_imported_at_module_level() -> None:
    names = [
        found for found in core_imports() if found.module in POSIX_ONLY and not found.in_function and not found.guarded
    ]
    assert [str(found) for found in names] == []


def test_plugin_distributions_import_only_the_public_surface() -> None:
    wrong = []
    for source in sorted(ROOT.glob("plugins/*/src")):
        for file in sorted(source.rglob("*.py")):
            ours = (found for found in imports_of(file, source) if found.module.split(".")[0] == "dovetail")
            wrong += [str(found) for found in ours if room(found.module) not in PLUGINS_MAY_IMPORT]
    assert wrong == []


def test_the_conformance_kit_imports_only_the_public_surface() -> None:
    models = {"dovetail.testing.memory_metadata", "dovetail.testing.memory_store"}
    wrong = [
        str(found)
        for file in sorted(CONFORMANCE.glob("*.py"))
        for found in imports_of(file, CORE.parent)
        if found.module.split(".")[0] == "dovetail"
        and not found.module.startswith("dovetail.testing.conformance")
        and found.module not in models
        and room(found.module) not in PLUGINS_MAY_IMPORT
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("package", "code", "fine"),
    [
        ("planning", "from dovetail.interfaces.paths import format_node", True),
        ("planning", "from dovetail.artifacts import ArtifactStore", False),
        ("planning", "from dovetail import artifacts", False),
        ("planning", "from ..artifacts import ArtifactStore", False),
        ("planning", "def late():\n    import dovetail.artifacts", False),
        ("engine", "import dovetail.local.store", False),
        ("authoring", "def main():\n    from dovetail.cli import main", True),
        ("authoring", "from dovetail.cli import main", False),
        ("authoring", "if TYPE_CHECKING:\n    from dovetail.client import Run", True),
        ("engine", "from dovetail import __version__", True),
        ("engine", "from dovetail import FlowSpec", False),
        ("client", "if TYPE_CHECKING:\n    from dovetail.engine import driver", False),
        ("cli", "import dovetail.engine", True),
    ],
)
def test_the_rule_itself(package: str, code: str, fine: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("artifacts", package):
        (tmp_path / "dovetail" / name).mkdir(parents=True, exist_ok=True)
    file = tmp_path / "dovetail" / package / "sample.py"
    file.write_text(code, encoding="utf-8")
    monkeypatch.setitem(globals(), "CORE", tmp_path / "dovetail")
    assert all(allowed(found) for found in imports_of(file, tmp_path)) is fine
