"""Source files and the top-level names that they bind. A module is looked for where Python would, never imported."""

from __future__ import annotations

import ast
import os
import sys
import tokenize
from typing import TYPE_CHECKING

from dovetail.interfaces.dataclass import dataclass
from dovetail.interfaces.errors import UsageError

if TYPE_CHECKING:
    from dovetail.authoring.skeleton.names import Scope

__all__ = ["Binding", "From", "SourceModule", "Sources", "bindings_of"]

_INSTALLED = frozenset({"site-packages", "dist-packages"})


@dataclass(frozen=True, slots=True)
class From:
    """What an import binds: a module, or a name of one."""

    module: str
    level: int
    name: str | None
    """None: the module itself."""


Binding = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.expr | From


class SourceModule:
    """One parsed file."""

    __slots__ = ("bindings", "file", "stars", "tree")

    def __init__(self, file: str, tree: ast.Module) -> None:
        self.file = file
        """Absolute path."""
        self.tree = tree
        self.stars: list[From] = []
        """Modules of which it takes every name."""
        self.bindings: dict[str, Binding] = bindings_of(tree.body, self.stars)
        """Top-level name → what bound it last."""


def bindings_of(body: list[ast.stmt], stars: list[From] | None = None) -> dict[str, Binding]:
    """Name → what binds it last, in these statements and the blocks inside, but not inside functions and classes."""
    found: dict[str, Binding] = {}
    pending: list[ast.AST] = list(reversed(body))
    while pending:
        node = pending.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found[node.name] = node
        elif isinstance(node, ast.Import):
            for alias in node.names:
                whole = alias.name if alias.asname else alias.name.partition(".")[0]
                found[alias.asname or whole] = From(whole, 0, None)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                taken = From(node.module or "", node.level, alias.name)
                if alias.name != "*":
                    found[alias.asname or alias.name] = taken
                elif stars is not None:
                    stars.append(taken)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if isinstance(target, ast.Name):
                    found[target.id] = node.value
        elif isinstance(node, (ast.stmt, ast.ExceptHandler, ast.match_case)):
            pending += reversed([child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.expr)])
    return found


class Sources:
    """Files that a flow's file reaches, each parsed once and only when a name in it is asked for.

    Args:
        file: The flow's file.
    """

    def __init__(self, file: str) -> None:
        self.scopes: dict[str, Scope] = {}
        """File → its names, so that each is followed once."""
        self._known: dict[str, SourceModule | None] = {}
        root = folder = os.path.dirname(os.path.abspath(file))
        while os.path.isfile(os.path.join(root, "__init__.py")) and os.path.dirname(root) != root:
            root = os.path.dirname(root)
        here = os.getcwd()
        self._path = list(dict.fromkeys((folder, root, *(os.path.join(here, path) for path in sys.path))))
        self.main = self._main(os.path.abspath(file), file)
        """The flow's file."""

    def _main(self, path: str, shown: str) -> SourceModule:
        try:
            module = self._known[path] = SourceModule(path, ast.parse(_text(path), filename=shown))
        except OSError as error:
            raise UsageError(f"{shown} can't be read: {error.strerror}") from error
        except SyntaxError as error:
            where = f"{shown}, line {error.lineno}" if error.lineno else shown
            raise UsageError(f"{where}: {error.msg}", hint="Python can't read the file either.") from error
        except ValueError as error:  # a null byte
            raise UsageError(f"{shown} can't be read: {error}") from error
        return module

    def module(self, taken: From, importer: SourceModule) -> SourceModule | None:
        """The module that an import names; None for the standard library, and where no source is found."""
        if taken.level:
            folder = os.path.dirname(importer.file)
            for _ in range(taken.level - 1):
                folder = os.path.dirname(folder)
            return self._in_folder(folder, taken.module) if taken.module else self._file(folder, "__init__.py")
        if taken.module.partition(".")[0] in sys.stdlib_module_names:
            return None
        return next((found for path in self._path if (found := self._in_folder(path, taken.module))), None)

    def _in_folder(self, folder: str, dotted: str) -> SourceModule | None:
        stem = dotted.replace(".", os.sep)
        return self._file(folder, f"{stem}.py") or self._file(os.path.join(folder, stem), "__init__.py")

    def _file(self, folder: str, name: str) -> SourceModule | None:
        file = os.path.join(folder, name)
        if file not in self._known:
            self._known[file] = self._parse(file) if os.path.isfile(file) else None
        return self._known[file]

    def _parse(self, file: str) -> SourceModule | None:
        try:
            text = _text(file)
            if "dovetail" not in text and not _INSTALLED.isdisjoint(file.split(os.sep)):
                return None  # an installed library that has nothing to do with tasks
            return SourceModule(file, ast.parse(text))
        except (OSError, SyntaxError, ValueError):  # whoever imports it is told
            return None


def _text(file: str) -> str:
    """The file in the encoding that it declares."""
    with tokenize.open(file) as stream:
        return stream.read()
