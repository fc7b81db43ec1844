"""Names of platforms, such as `linux-64` or `osx-arm64`."""

from __future__ import annotations

import os
import sys

__all__ = ["host_platform"]

_MACHINES = {"x86_64": "64", "amd64": "64", "aarch64": "aarch64", "i686": "32", "ppc64le": "ppc64le"}
_SYSTEMS = {"linux": "linux", "darwin": "osx", "win32": "win"}


def host_platform() -> str:
    """This machine's platform."""
    machine = os.uname().machine.lower() if hasattr(os, "uname") else os.environ.get("PROCESSOR_ARCHITECTURE", "")
    return f"{_SYSTEMS.get(sys.platform, sys.platform)}-{_MACHINES.get(machine.lower(), machine.lower())}"
