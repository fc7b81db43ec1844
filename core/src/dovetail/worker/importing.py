"""Imports a flow's file under its canonical module name, as everything that is stored will name it."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from dovetail.interfaces.errors import UnknownNameError, UsageError

if TYPE_CHECKING:
    from types import CodeType, ModuleType

    from dovetail.authoring.flow_function import FlowFunction
    from dovetail.authoring.flowspec import FlowSpec
    from dovetail.interfaces.workers import Launch

    Flow = type[FlowSpec] | FlowFunction[..., Any]

__all__ = ["choose_flow", "import_flow", "module_name"]


def module_name(file: str) -> tuple[str, str]:
    """(canonical name, the folder that must be on the path) of a source file.

    The name is the file's stem, qualified by the packages (folders with an `__init__.py`) that it lies in.
    """
    folder, base = os.path.split(os.path.abspath(file))
    name = os.path.splitext(base)[0].replace(".", "_")
    parts = [] if name == "__init__" else [name]
    while os.path.isfile(os.path.join(folder, "__init__.py")):
        folder, package = os.path.split(folder)
        parts.insert(0, package)
    return ".".join(parts), folder


def import_flow(launch: Launch) -> Flow:
    """Import the file of a launch and find its flow.

    `__main__` is made another name of the module, so that nothing pickles a class as `__main__.X`; the block
    under `if __name__ == "__main__"` does not run.
    """
    name, root = module_name(launch.file)
    _set_path(launch, root)
    sys.argv = [launch.file]
    module = _import(name, launch.file)
    return choose_flow(module, launch.flow)


def _set_path(launch: Launch, root: str) -> None:
    """What `python flow.py` has first on its path, and the root of the package that the file is in."""
    folder = os.path.dirname(os.path.abspath(launch.file))
    if not getattr(sys.flags, "safe_path", False) and sys.path and sys.path[0] in ("", launch.cwd):
        del sys.path[0]
    wanted = [root] if root == folder else [root, folder]
    sys.path[:0] = [path for path in wanted if path not in sys.path[:2]]


def _import(name: str, file: str) -> ModuleType:
    import importlib.machinery
    import importlib.util

    class Loader(importlib.machinery.SourceFileLoader):
        """Compiles what the file says now, as Python does with the file that it is given.

        Bytecode is known by the second and the size of its source: after a quick edit it may be that of the text
        before, and its results would be kept under the key of the new one.
        """

        def get_code(self, fullname: str) -> CodeType:
            return self.source_to_code(self.get_data(self.path), self.path)

    package = name.rpartition(".")[0]
    if package:
        importlib.import_module(package)
    loader = Loader(name, file) if file.endswith(tuple(importlib.machinery.SOURCE_SUFFIXES)) else None
    spec = importlib.util.spec_from_file_location(name, file, loader=loader)
    if spec is None or spec.loader is None:
        raise UsageError(f"{file} is not a Python file", hint="A flow lives in a file that ends in .py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = sys.modules["__main__"] = module
    spec.loader.exec_module(module)
    if package:
        setattr(sys.modules[package], name.rpartition(".")[2], module)
    return module


def choose_flow(module: ModuleType, name: str | None) -> Flow:
    """The flow of a module.

    Args:
        module: Imported already.
        name: Name of the class or function; None: the only one there.

    Raises:
        UsageError: There is none, or there are several and none was named.
        UnknownNameError: There is no flow of this name.
    """
    from dovetail.authoring.describe import flows_in
    from dovetail.authoring.flow_function import FlowFunction
    from dovetail.authoring.flowspec import FlowSpec

    file = os.path.basename(getattr(module, "__file__", None) or module.__name__)
    flows = flows_in(module)
    names = [_name_of(flow) for flow in flows]
    if name is not None:
        for flow in flows:
            if name in (_name_of(flow), flow.__name__):
                return flow
        found = getattr(module, name, None)
        if isinstance(found, FlowFunction):
            return found
        if isinstance(found, type) and issubclass(found, FlowSpec) and found is not FlowSpec:
            return found
        raise UnknownNameError(f"{file} has no flow {name!r}", hint=f"It has {', '.join(names) or 'none'}.")
    if not flows:
        raise UsageError(
            f"{file} has no flow",
            hint="Write a function marked @flow, or a class that derives from FlowSpec and has methods marked @step.",
        )
    if len(flows) > 1:
        raise UsageError(f"{file} has several flows: {', '.join(names)}", hint=f"Name one: {file}:{names[0]}.")
    return flows[0]


def _name_of(flow: Flow) -> str:
    """What runs call a flow."""
    return flow.__name__ if isinstance(flow, type) else flow.name
