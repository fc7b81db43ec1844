"""First-party code: which files belong to the user's project, and which of them a file imports."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import time
from functools import lru_cache

from blake3 import blake3

__all__ = ["Project", "project_root"]

_FOREIGN = frozenset({"site-packages", "dist-packages", "node_modules", "__pypackages__"})
_IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+(\.*[\w.]*)[ \t]+import[ \t]*(\([^)]*\)|[^\n;\\]*(?:\\\n[^\n;\\]*)*)"
    r"|import[ \t]+([^\n;\\]*(?:\\\n[^\n;\\]*)*))",
    re.MULTILINE,
)


@lru_cache(maxsize=64)
def project_root(file: str) -> str:
    """The nearest folder upwards with a `pyproject.toml` or `.git`, else the file's own folder."""
    own = folder = os.path.dirname(os.path.abspath(file))
    while True:
        if os.path.isfile(os.path.join(folder, "pyproject.toml")) or os.path.exists(os.path.join(folder, ".git")):
            return folder
        above = os.path.dirname(folder)
        if above == folder:
            return own
        folder = above


class Project:
    """The files of one project, as this process imports them."""

    def __init__(self, root: str) -> None:
        self.root = root
        """Absolute folder."""
        self._below = os.path.join(root, "")
        self._folders: dict[str, bool] = {}
        self._digests: dict[str, str] = {}
        self._imports: dict[str, tuple[str, ...]] = {}
        self._paths = [path for path in map(os.path.abspath, sys.path) if self._holds(path)]

    def name(self, file: str) -> str:
        """A file as keys name it: relative to the root, with `/`."""
        return file[len(self._below) :].replace(os.sep, "/") if self._holds(file) else os.path.basename(file)

    def holds(self, file: str) -> bool:
        """Whether a file is first-party: below the root, in no environment, not Dovetail itself."""
        return file.startswith(self._below) and self._first_party_folder(os.path.dirname(file))

    def _holds(self, path: str) -> bool:
        return path == self.root or path.startswith(self._below)

    def _first_party_folder(self, folder: str) -> bool:
        known = self._folders.get(folder)
        if known is None:
            if folder == self.root:
                known = True
            elif os.path.basename(folder) in _FOREIGN or os.path.isfile(os.path.join(folder, "pyvenv.cfg")):
                known = False
            else:
                known = self._first_party_folder(os.path.dirname(folder))
            self._folders[folder] = known
        return known

    def digest(self, file: str) -> str:
        """Hex digest of a whole file; of nothing when it can't be read."""
        found = self._digests.get(file)
        if found is None:
            found = self._digests[file] = blake3(_content(file)).hexdigest()
        return found

    def reachable(self, file: str) -> dict[str, str]:
        """First-party files that a file imports, anywhere in it, directly or not: absolute path → digest.

        The file itself is among them only when one of the others imports it.
        """
        found: dict[str, str] = {}
        pending = list(self.imports(file))
        while pending:
            current = pending.pop()
            if current not in found:
                found[current] = self.digest(current)
                pending += self.imports(current)
        return found

    def imports(self, file: str) -> tuple[str, ...]:
        """First-party files that a file imports directly, also inside functions and under conditions."""
        found = self._imports.get(file)
        if found is None:
            text = _content(file).decode("utf-8", "replace")
            files = dict.fromkeys(path for name in self._imported(file, text) for path in self._files(name))
            files.pop(file, None)
            found = self._imports[file] = tuple(files)
        return found

    def _imported(self, file: str, text: str) -> list[str]:
        """Full names of what a file imports, with the packages that they lie in.

        Text that only looks like an import, as in a docstring, is taken for one: that costs nothing when no
        such file exists, and else a larger key.
        """
        names: list[str] = []
        for match in _IMPORT.finditer(text):
            base, imported, plain = match.groups()
            if plain is not None:
                names += [part.split()[0] for part in _listed(plain)]
                continue
            module = self._absolute(file, base) if base.startswith(".") else base
            if module is None:
                continue
            names.append(module)
            names += [f"{module}.{part.split()[0]}" for part in _listed(imported) if part != "*"]
        return [".".join(parts[: n + 1]) for name in names for parts in [name.split(".")] for n in range(len(parts))]

    def _absolute(self, file: str, relative: str) -> str | None:
        """The full name of `.x` or `..x` as written in a file."""
        level = len(relative) - len(relative.lstrip("."))
        folder = os.path.dirname(file)
        for _ in range(level - 1):
            folder = os.path.dirname(folder)
        parts: list[str] = []
        while os.path.isfile(os.path.join(folder, "__init__.py")):
            folder, name = os.path.split(folder)
            parts.insert(0, name)
        rest = relative.lstrip(".")
        return ".".join([*parts, rest] if rest else parts) or None

    def _files(self, name: str) -> list[str]:
        """The first-party file of a module, if it is one."""
        top = name.partition(".")[0]
        if not name or top in sys.stdlib_module_names or top == "dovetail" or top.startswith("dovetail_"):
            return []
        module = sys.modules.get(name)
        file = getattr(module, "__file__", None)
        if isinstance(file, str):
            file = os.path.abspath(file)
            return [file] if file.endswith(".py") and self.holds(file) else []
        stem = name.replace(".", os.sep)
        for path in self._paths:
            for candidate in (os.path.join(path, stem + ".py"), os.path.join(path, stem, "__init__.py")):
                if os.path.isfile(candidate) and self.holds(candidate):
                    return [candidate]
        return []

    def loaded(self) -> dict[str, str]:
        """First-party files of every module that this process has imported: absolute path → digest.

        Bytecode of files that have just been written is removed, see `_forget_bytecode`.
        """
        found: dict[str, str] = {}
        for name, module in list(sys.modules.items()):
            if name.partition(".")[0] in ("dovetail", "__mp_main__"):
                continue
            file = getattr(module, "__file__", None)
            if isinstance(file, str) and file.endswith(".py"):
                file = os.path.abspath(file)
                if self.holds(file):
                    found[file] = self.digest(file)
                    _forget_bytecode(file, getattr(module, "__cached__", None))
        return found


def _forget_bytecode(file: str, cached: object) -> None:
    """Remove the bytecode of a source that was written within the last two seconds.

    Python takes bytecode for that of a source by the source's size and its time in whole seconds. A change within the
    same second that keeps the size would have the new code's key and run the old code.
    """
    with contextlib.suppress(OSError):
        if isinstance(cached, str) and os.stat(file).st_mtime > time.time() - 2:
            os.unlink(cached)


def _listed(text: str) -> list[str]:
    """`a as b, c` or `(a,  # why` as its parts."""
    lines = [line.partition("#")[0].rstrip("\\") for line in text.strip("()").splitlines()]
    return [part.strip() for part in " ".join(lines).strip(" ()").split(",") if part.strip()]


def _content(file: str) -> bytes:
    try:
        with open(file, "rb") as stream:
            return stream.read()
    except OSError:
        return b""
