"""`HostEnvironment`: the interpreter and packages that Dovetail itself runs in."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dovetail.interfaces.environment import (
    BuiltEnvironment,
    Bundle,
    EnvironmentBuilder,
    EnvironmentSpec,
    LockedEnvironment,
)
from dovetail.interfaces.errors import PreconditionError, SettingsError, UnsupportedOperationError
from dovetail.interfaces.platforms import host_platform
from dovetail.local.settings import HostSettings

if TYPE_CHECKING:
    from typing_extensions import Self

    from dovetail.interfaces.context import PluginContext
    from dovetail.interfaces.datastore import DataStore

__all__ = ["HostEnvironment", "host_platform", "installed_packages"]

_OPTIONS = frozenset({"record_packages"})


class HostEnvironment(EnvironmentBuilder):
    """Whatever is installed beside Dovetail.

    Its id counts the minor version of Python and the platform, nothing else: installing a package does not make the
    results of finished tasks unusable. The report lists the packages, so that a difference can be told.

    Args:
        settings: Whether packages are recorded.
    """

    def __init__(self, settings: HostSettings | None = None) -> None:
        self._settings = settings or HostSettings()

    @classmethod
    def open(cls, target: str, settings: Any, ctx: PluginContext) -> Self:
        """Open the builder; there is one host, so `target` is not used."""
        return cls(settings if isinstance(settings, HostSettings) else None)

    def lock(self, spec: EnvironmentSpec, *, platform: str) -> LockedEnvironment:
        """The environment of this process; takes a fraction of a millisecond and opens no file.

        Raises:
            UnsupportedOperationError: `platform` is not this one's.
            SettingsError: The spec has options; the host is as it is.
        """
        unknown = sorted(set(spec.options) - _OPTIONS)
        if unknown:
            raise SettingsError(
                f"the host environment has no option {unknown[0]}",
                hint="It is used as it is. To choose packages, select another environment builder.",
            )
        here = host_platform()
        if platform and platform != here:
            raise UnsupportedOperationError(
                f"the host environment is for {here}; it can't be made for {platform}",
                hint="Select an environment builder that solves for other platforms.",
            )
        python = f"{sys.version_info[0]}.{sys.version_info[1]}"
        report: dict[str, Any] = {
            "python": ".".join(map(str, sys.version_info[:3])),
            "implementation": sys.implementation.name,
            "executable": sys.executable,
        }
        if spec.options.get("record_packages", self._settings.record_packages):
            report["packages"] = installed_packages()
        return LockedEnvironment(
            builder="host", id=f"host-{python}-{here}", platform=here, python=python, report=report
        )

    def build(
        self, source: LockedEnvironment | Bundle, *, into: Path, cache: DataStore | None = None
    ) -> BuiltEnvironment:
        """The running interpreter; nothing is made.

        Raises:
            PreconditionError: `source` was locked on another minor version of Python or another platform.
        """
        here = self._built()
        if source.id != here.id:
            raise PreconditionError(
                f"the host's environment is {here.id}, not {source.id}",
                hint="Run with the interpreter that the run was started with, or start a new run.",
            )
        return here

    def ship(self, locked: LockedEnvironment, store: DataStore, *, platform: str) -> Bundle:
        """Not possible.

        Raises:
            UnsupportedOperationError: Always.
        """
        raise UnsupportedOperationError(
            "the host environment can't leave this machine",
            hint="Give the steps that run elsewhere an environment that is built from a list of packages, "
            "or a container image.",
        )

    def list_built(self) -> list[BuiltEnvironment]:
        """The running interpreter."""
        return [self._built()]

    def remove(self, id: str) -> None:
        """Remove nothing: Dovetail itself runs in the only environment there is.

        Raises:
            UnsupportedOperationError: `id` is the host's.
        """
        if id == self._built().id:
            raise UnsupportedOperationError("the host environment can't be removed", hint="Dovetail itself runs in it.")

    def _built(self) -> BuiltEnvironment:
        python = f"{sys.version_info[0]}.{sys.version_info[1]}"
        return BuiltEnvironment(id=f"host-{python}-{host_platform()}", path=Path(sys.prefix), python=(sys.executable,))


def installed_packages() -> dict[str, str]:
    """Name → version of the installed distributions, by the names of their metadata folders.

    `importlib.metadata` would open a file for each.
    """
    found: dict[str, str] = {}
    for place in reversed(sys.path):  # what comes first on the path wins
        found.update(_packages_in(place or "."))
    return dict(sorted(found.items()))


_listed: dict[str, tuple[tuple[int, int], dict[str, str]]] = {}
"""Folder → (inode and time of its last change, what it had then): a process that drives many runs lists it once."""


def _packages_in(folder: str) -> dict[str, str]:
    try:
        status = os.stat(folder)
        stamp = (status.st_ino, status.st_mtime_ns)
        known = _listed.get(folder)
        if known is not None and known[0] == stamp and os.path.isabs(folder):
            return known[1]
        names = os.listdir(folder)
    except OSError:
        return {}
    found: dict[str, str] = {}
    for name in names:
        if name.endswith((".dist-info", ".egg-info")):
            project, _, version = name.rpartition(".")[0].partition("-")
            found[project.lower().replace("_", "-")] = version.partition("-py")[0]
    _listed[folder] = stamp, found
    return found
