"""The source of one module, by name: what each global name is defined by."""

from __future__ import annotations

import ast
import builtins
import linecache

from dovetail.packaging.syntax import Reading, read_tree

__all__ = ["ModuleSource", "module_source"]

_BUILTIN = frozenset(dir(builtins)) | {
    "__file__", "__name__", "__doc__", "__package__", "__spec__", "__loader__", "__class__", "__path__",
    "__builtins__", "__annotations__", "__dict__",
}  # fmt: skip


class ModuleSource:
    """One parsed file, notebook cell or REPL entry. Readings are made when asked for, and kept."""

    def __init__(self, text: str) -> None:
        self.tree = ast.parse(text)
        self._definitions: dict[str, list[ast.stmt]] = {}
        self._readings: dict[str, Reading] = {}
        self._methods: dict[ast.AST, Reading] = {}
        self._bodies: dict[str, dict[str, list[ast.stmt]]] = {}
        self._whole: str | None = None
        self._functions: dict[tuple[str, int], ast.FunctionDef | ast.AsyncFunctionDef] | None = None
        for statement in self.tree.body:
            for name in dict.fromkeys(_bound(statement)):
                self._definitions.setdefault(name, []).append(statement)
        for statement in self.tree.body:  # what changes a global after it was made is part of it
            if isinstance(statement, ast.Expr):
                for node in ast.walk(statement):
                    if isinstance(node, ast.Name) and node.id in self._definitions:
                        self._definitions[node.id].append(statement)

    def defines(self, name: str) -> bool:
        """Whether a global of this name is made here."""
        return name in self._definitions

    def builtin(self, name: str) -> bool:
        """Whether Python itself has the name."""
        return name in _BUILTIN

    def reading(self, name: str) -> Reading:
        """Everything that makes a global."""
        found = self._readings.get(name)
        if found is None:
            found = self._readings[name] = read_tree(list(self._definitions[name]))
        return found

    def method(self, node: ast.FunctionDef | ast.AsyncFunctionDef, me: str, left_out: frozenset[ast.AST]) -> Reading:
        """A method of a flow, without the decorators that do not count."""
        found = self._methods.get(node)
        if found is None:
            found = self._methods[node] = read_tree([node], me=me, left_out=left_out)
        return found

    def statements(self, statements: list[ast.stmt]) -> Reading:
        """Statements of a class body."""
        return read_tree(list(statements), of_class=True)

    def whole(self) -> str:
        """Digest of the normalised tree of the module."""
        if self._whole is None:
            self._whole = read_tree(list(self.tree.body)).digest
        return self._whole

    def function(self, name: str, line: int) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
        """The function whose definition, decorators included, begins on a line."""
        if self._functions is None:
            self._functions = {}
            for node in _statements(self.tree.body):
                if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    first = node.decorator_list[0].lineno if node.decorator_list else node.lineno
                    self._functions[node.name, first] = node
        return self._functions.get((name, line))

    def in_class(self, qualname: str, name: str) -> list[ast.stmt]:
        """Statements of a class body that set one of its attributes."""
        bodies = self._bodies.get(qualname)
        if bodies is None:
            bodies = self._bodies[qualname] = self._class_body(qualname)
        return bodies.get(name, [])

    def _class_body(self, qualname: str) -> dict[str, list[ast.stmt]]:
        """Name → statements of a class body that bind it, but for methods."""
        body: list[ast.stmt] = self.tree.body
        for part in qualname.split("."):
            if part == "<locals>":
                continue
            found = [n for n in _statements(body) if isinstance(n, _CONTAINERS) and n.name == part]
            if not found:
                return {}
            body = found[-1].body
        names: dict[str, list[ast.stmt]] = {}
        for statement in body:
            if not isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
                for name in _bound(statement):
                    names.setdefault(name, []).append(statement)
        return names


_CONTAINERS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


_kept: dict[str, tuple[list[str], ModuleSource | None]] = {}


def module_source(file: str) -> ModuleSource | None:
    """The source of a file (or of what `linecache` keeps for a notebook or REPL), or None when there is none."""
    lines = linecache.getlines(file)
    known = _kept.get(file)
    if known is None or known[0] is not lines:
        known = _kept[file] = (lines, _parse(lines))
    return known[1]


def _parse(lines: list[str]) -> ModuleSource | None:
    try:
        return ModuleSource("".join(lines)) if lines else None
    except (SyntaxError, ValueError):  # changed on disk since it was imported
        return None


def _statements(body: list[ast.stmt]) -> list[ast.stmt]:
    """Statements at any depth."""
    found: list[ast.stmt] = []
    pending: list[ast.AST] = list(reversed(body))
    while pending:
        node = pending.pop()
        if isinstance(node, ast.stmt):
            found.append(node)
        for field in ("body", "orelse", "handlers", "finalbody", "cases"):
            pending += reversed(getattr(node, field, None) or [])
    return found


def _bound(statement: ast.stmt) -> list[str]:
    """Names that a statement binds where it stands; of a compound statement also those inside."""
    if isinstance(statement, _CONTAINERS):
        return [statement.name]
    names: list[str] = []
    pending: list[ast.AST] = [statement]
    while pending:
        node = pending.pop()
        if isinstance(node, _CONTAINERS):
            names.append(node.name)
            continue
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names += [alias.asname or alias.name.partition(".")[0] for alias in node.names]
            continue
        if isinstance(node, ast.Name) and isinstance(node.ctx, (ast.Store, ast.Del)):
            names.append(node.id)
        elif isinstance(node, (ast.Attribute, ast.Subscript)) and isinstance(node.ctx, (ast.Store, ast.Del)):
            root: ast.AST = node
            while isinstance(root, (ast.Attribute, ast.Subscript)):
                root = root.value
            if isinstance(root, ast.Name):
                names.append(root.id)
        elif isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)) and node.name:
            names.append(node.name)
        elif isinstance(node, (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
            continue
        if not isinstance(node, ast.expr) or isinstance(
            node, (ast.Tuple, ast.List, ast.Starred, ast.NamedExpr, ast.Attribute, ast.Subscript)
        ):
            pending += ast.iter_child_nodes(node)
    return names
