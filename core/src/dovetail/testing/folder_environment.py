"""`FolderEnvironment`: an environment builder without packages, for tests."""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dovetail.interfaces.environment import (
    BuiltEnvironment,
    Bundle,
    EnvironmentBuilder,
    EnvironmentSpec,
    LockedEnvironment,
)
from dovetail.interfaces.errors import AlreadyExistsError, PreconditionError, SettingsError, UnsupportedOperationError
from dovetail.interfaces.platforms import host_platform

if TYPE_CHECKING:
    from typing_extensions import Self

    from dovetail.interfaces.context import PluginContext
    from dovetail.interfaces.datastore import DataStore

__all__ = ["FolderEnvironment"]


class FolderEnvironment(EnvironmentBuilder):
    """An environment is a folder with the running interpreter and the modules that its spec gives: the option `files`,
    name → text.

    It behaves as a builder must and does nothing beyond that.
    """

    def __init__(self) -> None:
        self._built: dict[Path, BuiltEnvironment] = {}
        self._lock = threading.Lock()

    @classmethod
    def open(cls, target: str, settings: Any, ctx: PluginContext) -> Self:
        """Open the builder; there is nothing to choose."""
        return cls()

    def lock(self, spec: EnvironmentSpec, *, platform: str) -> LockedEnvironment:
        """The files, and this interpreter's version.

        Raises:
            SettingsError: An option other than `files`.
            UnsupportedOperationError: `platform` is not this one's.
        """
        unknown = sorted(set(spec.options) - {"files"})
        if unknown:
            raise SettingsError(f"there is no option {unknown[0]}", hint="The only option is files.")
        if platform not in ("", host_platform()):
            raise UnsupportedOperationError(f"this interpreter is for {host_platform()}, not {platform}")
        files = dict(sorted(spec.options.get("files", {}).items()))
        return LockedEnvironment(
            builder="folder",
            id=self.id_of(files),
            platform=host_platform(),
            python=".".join(map(str, sys.version_info[:3])),
            data={"files": files},
            report={"files": list(files)},
        )

    def id_of(self, files: Mapping[str, str]) -> str:
        """Hash of what an environment is."""
        from blake3 import blake3

        plain = json.dumps([host_platform(), list(sys.version_info[:2]), sorted(files.items())])
        return f"folder-{blake3(plain.encode()).hexdigest(16)}"

    def build(
        self, source: LockedEnvironment | Bundle, *, into: Path, cache: DataStore | None = None
    ) -> BuiltEnvironment:
        """Write the files aside and give the folder its name.

        Raises:
            PreconditionError: `source` is of another platform, or a bundle comes without its store.
        """
        if source.platform != host_platform():
            raise PreconditionError(f"{source.id} is for {source.platform}, this is {host_platform()}")
        path = into / source.id
        if not path.exists():
            aside = into / f".{os.urandom(8).hex()}"
            self.fill(aside, self.files_of(source, cache))
            try:
                self.name(aside, path)
            except OSError:  # another one was first
                shutil.rmtree(aside, ignore_errors=True)
                if not path.exists():
                    raise
        built = self.built(source.id, path)
        with self._lock:
            self._built[path] = built
        return built

    def files_of(self, source: LockedEnvironment | Bundle, cache: DataStore | None) -> dict[str, bytes]:
        """Name → bytes of the files."""
        if isinstance(source, LockedEnvironment):
            return {name: text.encode() for name, text in source.data["files"].items()}
        if cache is None:
            raise PreconditionError(f"the bundle {source.id} needs the store that it was shipped to")
        return {name: cache.get(key).read() for name, key in source.blobs.items()}

    def fill(self, folder: Path, files: Mapping[str, bytes]) -> None:
        """Write everything into a folder."""
        (folder / "bin").mkdir(parents=True)
        (folder / "lib").mkdir()
        (folder / "bin" / "python").symlink_to(sys.executable)
        for name, data in files.items():
            (folder / "lib" / name).write_bytes(data)

    def name(self, aside: Path, path: Path) -> None:
        """Give a folder that is complete its name."""
        aside.rename(path)

    def built(self, id: str, path: Path) -> BuiltEnvironment:
        """How an environment at a place is used."""
        env = {"PYTHONPATH": str(path / "lib")}
        return BuiltEnvironment(id=id, path=path, python=(str(path / "bin" / "python"),), env=env)

    def ship(self, locked: LockedEnvironment, store: DataStore, *, platform: str) -> Bundle:
        """Put the files into a store.

        Raises:
            UnsupportedOperationError: `platform` is not that of the lock.
        """
        if platform != locked.platform:
            raise UnsupportedOperationError(f"{locked.id} is for {locked.platform}, not {platform}")
        blobs = {name: f"environments/{locked.id}/{name}" for name in locked.data["files"]}
        for name, data in self.files_of(locked, None).items():
            try:
                store.put(blobs[name], data)
            except AlreadyExistsError:
                continue  # shipped before
        return Bundle(
            id=locked.id,
            platform=platform,
            blobs=blobs,
            python=("{into}/bin/python",),
            env={"PYTHONPATH": "{into}/lib"},
        )

    def list_built(self) -> list[BuiltEnvironment]:
        """What this builder has built and nobody has removed."""
        with self._lock:
            return [built for path, built in self._built.items() if path.exists()]

    def remove(self, id: str) -> None:
        """Delete what this builder has built of an id."""
        with self._lock:
            paths = [path for path, built in self._built.items() if built.id == id]
            for path in paths:
                del self._built[path]
        for path in paths:
            aside = path.with_name(f".{os.urandom(8).hex()}")
            try:
                path.rename(aside)
            except FileNotFoundError:
                continue
            shutil.rmtree(aside)
