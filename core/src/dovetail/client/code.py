"""The code of a run where its values are loaded: modules of the user's, as they were when the run began.

A value is stored with the names of its classes. Those that the flow's own files define are imported from these files
while they are what the run used, and from the code package that the run keeps when they are changed or gone. What this
process has imported by itself stays as it is.
"""

from __future__ import annotations

import os
import sys
from _thread import RLock
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from importlib.machinery import ModuleSpec, PathFinder
from typing import TYPE_CHECKING, Any

from blake3 import blake3

from dovetail.interfaces.errors import DovetailError

if TYPE_CHECKING:
    from types import CodeType, ModuleType

    from dovetail.client.run import Run

__all__ = ["RunCode", "importing"]

_lock = RLock()
_kept: dict[str, dict[str, ModuleType]] = {}
"""Key of a run's code → name → module that was imported from it: equal code gives the same classes."""
_placed: dict[str, str] = {}
"""Module of `sys.modules` that comes from here → key of the code."""


@contextmanager
def importing(run: Run) -> Iterator[RunCode]:
    """Have imports find the modules of a run, before others of their names that are not imported yet.

    Args:
        run: Whose values are loaded meanwhile.
    """
    code: RunCode | None = run._cache.get("code")
    if code is None:
        code = run._cache["code"] = RunCode(run)
    with _lock:
        if _placed:
            code.take_place()
        finder: Any = code
        sys.meta_path.insert(0, finder)
        try:
            yield code
        finally:
            sys.meta_path.remove(finder)


class RunCode:
    """Finds the first-party modules of one run, for `sys.meta_path`. Nothing is read before an import asks.

    Args:
        run: The run.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._sources: dict[str, str] | None = None
        self._package: dict[str, bytes] | None = None
        self._roots: list[str] = []
        self._module = self._file = ""
        self._lost: dict[str, str] = {}
        self._key = ""
        self._unread = ""

    def take_place(self) -> None:
        """Have `sys.modules` hold this code's modules in place of those of another run's."""
        self._read()
        for name, key in list(_placed.items()):
            if key != self._key:
                del _placed[name]
                if sys.modules.get(name) is _kept[key].get(name):
                    del sys.modules[name]
        for name, module in _kept.get(self._key, {}).items():
            if sys.modules.setdefault(name, module) is module:
                _placed[name] = self._key

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """See `importlib.abc.MetaPathFinder`."""
        sources, top = self._read(), fullname.partition(".")[0]
        if top == "dovetail" or (top in sys.stdlib_module_names and fullname != self._module):
            return None
        found = self._find(fullname)
        if not found:
            return self._namespace(fullname, path)
        content = self._content(found, sources[found])
        if content is None:
            self._lost[fullname] = found
            return None
        is_package = os.path.basename(found) == "__init__.py"
        loader: Any = _Loader(self, found, content)
        spec = ModuleSpec(fullname, loader, origin=found, is_package=is_package)
        spec.has_location = True
        if is_package:
            spec.submodule_search_locations = [os.path.dirname(found)]
        return spec

    def loaded(self, module: ModuleType) -> None:
        """Remember a module that was imported from here."""
        _kept.setdefault(self._key, {})[module.__name__] = module
        _placed[module.__name__] = self._key

    def way_out(self, error: BaseException | None) -> str:
        """What to do where a value could not be loaded though its run's code was at hand, or empty."""
        for name, file in self._lost.items():
            return f"{name} was {file}, which has changed since, and the run has no copy of it. Put it back as it was."
        if isinstance(error, ModuleNotFoundError) and self._unread:
            return f"If it is a module of the run, the run can't say where that was: {self._unread}"
        if isinstance(error, ModuleNotFoundError):
            return "Install it here, in the version that the run used."
        sources = self._read()
        for name, module in list(sys.modules.items()):
            known = self._find(name)
            if known and name not in _placed and _digest(getattr(module, "__file__", None)) != sources[known]:
                return (
                    f"This process has imported {name} by itself, and it is not what the run used. Load the value in "
                    "one that has not, as dovetail get does."
                )
        return ""

    # -- what the run used ----------------------------------------------------------------------------------------

    def _read(self) -> dict[str, str]:
        """Absolute path → digest of the run's first-party files."""
        if self._sources is None:
            self._sources = {}
            try:
                manifest = self._run.manifest
            except DovetailError as error:  # imports are not to fail of it
                self._unread = error.message
                return self._sources
            flow = manifest.description
            sources: dict[str, str] = dict(flow.get("sources", {}))
            self._key = blake3(repr(sorted(sources.items())).encode()).hexdigest()
            if flow["file"] in sources:
                self._module, self._file = flow["module"], flow["file"]
            self._roots = self._find_roots(str(manifest.code.get("root") or ""))
            self._sources = sources
        return self._sources

    def _find_roots(self, root: str) -> list[str]:
        """Folders that names of modules may begin in: those of the run, then those of this process."""
        found = [root, os.path.join(root, "src")] if root else []
        if self._file:
            above = self._file
            for _ in range(self._module.count(".") + 1 + (os.path.basename(self._file) == "__init__.py")):
                above = os.path.dirname(above)
            found = [above, os.path.dirname(self._file), *found]
        return list(dict.fromkeys([*found, *map(os.path.abspath, sys.path)]))

    def _find(self, fullname: str) -> str:
        """The file of a module, or empty."""
        sources = self._read()
        if fullname == self._module:
            return self._file
        tail = fullname.replace(".", os.sep)
        for root in self._roots:
            for file in os.path.join(root, tail, "__init__.py"), os.path.join(root, f"{tail}.py"):
                if file in sources:
                    return file
        return ""

    def _namespace(self, fullname: str, path: Any) -> ModuleSpec | None:
        """A package without a file of its own, whose modules the run used, unless there is another one here."""
        for root in self._roots:
            folder = os.path.join(root, fullname.replace(".", os.sep))
            if any(file.startswith(os.path.join(folder, "")) for file in self._read()):
                if PathFinder.find_spec(fullname, path) is not None:
                    return None
                spec = ModuleSpec(fullname, None, is_package=True)
                spec.submodule_search_locations = [folder]
                return spec
        return None

    def _content(self, file: str, digest: str) -> bytes | None:
        """The text of a file as it was when the run began."""
        try:
            with open(file, "rb") as opened:
                content = opened.read()
        except OSError:
            content = b""
        if blake3(content).hexdigest() == digest:
            return content
        if self._package is None:
            self._package = self._unpacked()
        return self._package.get(digest)

    def _unpacked(self) -> dict[str, bytes]:
        """Digest → content of what the run's code package holds; empty where there is none any more."""
        from io import BytesIO
        from zipfile import BadZipFile, ZipFile

        from dovetail.artifacts.packing import ref_from_plain

        plain = self._run.manifest.code.get("package")
        if plain is None:
            return {}
        try:
            with ZipFile(BytesIO(self._run._artifacts.load(ref_from_plain(plain)))) as package:
                contents = [package.read(name) for name in package.namelist()]
        except (DovetailError, BadZipFile):
            return {}
        return {blake3(content).hexdigest(): content for content in contents}


class _Loader:
    """Makes a module of the text that the run used."""

    def __init__(self, code: RunCode, file: str, content: bytes) -> None:
        self._code = code
        self._file = file
        self._content = content

    def create_module(self, spec: ModuleSpec) -> None:
        """As every module is made."""

    def exec_module(self, module: ModuleType) -> None:
        """Run the text. What it prints is no part of the value that is loaded."""
        with redirect_stdout(sys.stderr):
            try:
                exec(self.get_code(module.__name__), module.__dict__)
            except ImportError:
                raise
            except (Exception, SystemExit) as error:
                raise ImportError(f"{self._file} can't be imported: {type(error).__name__}: {error}") from error
        self._code.loaded(module)

    def get_code(self, fullname: str) -> CodeType:
        """What debuggers ask for, too."""
        return compile(self._content, self._file, "exec", dont_inherit=True)

    def get_source(self, fullname: str) -> str:
        """The text; tracebacks show its lines where the file is gone."""
        from importlib.util import decode_source

        return decode_source(self._content)


def _digest(file: str | None) -> str:
    try:
        with open(file or "", "rb") as opened:
            return blake3(opened.read()).hexdigest()
    except OSError:
        return ""
