"""Source text of functions: files, notebooks and newer REPLs (through `linecache`), parsed once a file."""

from __future__ import annotations

import ast
import linecache
import os
from functools import lru_cache
from types import CodeType

__all__ = ["FunctionNode", "code_of", "display_path", "first_paragraph", "function_node", "parsed"]

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


class Parsed:
    """One source file."""

    __slots__ = ("functions",)

    def __init__(self, tree: ast.Module) -> None:
        self.functions: dict[tuple[str, int], FunctionNode] = {}
        """(name, line of the first decorator or of `def`) → definition."""
        pending: list[ast.AST] = [tree]
        while pending:
            node = pending.pop()
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                first = node.decorator_list[0].lineno if node.decorator_list else node.lineno
                self.functions[node.name, first] = node
                pending += node.body
            elif isinstance(node, ast.stmt | ast.Module | ast.ExceptHandler | ast.match_case):
                pending += [child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.expr)]


_kept: dict[str, tuple[list[str], Parsed | None]] = {}


def parsed(file: str) -> Parsed | None:
    """The file as it is (or as the notebook or REPL keeps it), or None when there is no readable source."""
    lines = linecache.getlines(file)
    known = _kept.get(file)
    if known is None or known[0] is not lines:
        known = _kept[file] = (lines, _parse(lines))
    return known[1]


def _parse(lines: list[str]) -> Parsed | None:
    try:
        return Parsed(ast.parse("".join(lines))) if lines else None
    except (SyntaxError, ValueError):  # changed on disk since it was imported
        return None


def code_of(function: object) -> CodeType | None:
    """The code of a function, also below decorators that use `functools.wraps`."""
    seen: set[int] = set()
    while id(function) not in seen:
        seen.add(id(function))
        function = getattr(function, "__wrapped__", getattr(function, "__func__", function))
    code = getattr(function, "__code__", None)
    return code if isinstance(code, CodeType) else None


def function_node(code: CodeType) -> FunctionNode | None:
    """The definition that `code` was compiled from, or None when its source is gone or never was."""
    source = parsed(code.co_filename)
    if source is None:
        return None
    node = source.functions.get((code.co_name, code.co_firstlineno))
    if node is None or len(node.args.args) + len(node.args.posonlyargs) != code.co_argcount:
        return None
    return node


def display_path(file: str) -> str:
    """A file as messages show it: relative to the working directory where it lies below it."""
    if not file or file.startswith("<"):
        return file
    try:
        return _relative(file, os.getcwd())
    except OSError:  # a working directory that is gone
        return file


@lru_cache(maxsize=256)
def _relative(file: str, folder: str) -> str:
    absolute = os.path.join(folder, file)
    below = os.path.join(folder, "")
    return os.path.normpath(absolute[len(below) :] if absolute.startswith(below) else absolute)


def first_paragraph(doc: object) -> str:
    """The first paragraph of a docstring on one line."""
    if not isinstance(doc, str):
        return ""
    lines: list[str] = []
    for line in doc.strip().splitlines():
        if not line.strip():
            break
        lines.append(line.strip())
    return " ".join(lines)
