"""What is known of an installed plugin distribution without importing it."""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from dovetail.plugins.versions import release, requirement_on

__all__ = ["Installed", "installed"]

_FLOOR = re.compile(r"\s*(?:>=|~=|==|>)\s*([^\s,*]+?)(?:\.\*)?\s*")


class Installed(NamedTuple):
    """A distribution."""

    name: str = ""
    """As it calls itself; empty where it is not installed."""
    version: str = ""
    """Its version."""
    wants: str | None = None
    """The versions of `dovetail` that it requires, such as `>=0.1,<1`; None: any."""

    @property
    def floor(self) -> str | None:
        """The lowest version of `dovetail` that it takes; None where it does not say."""
        for clause in (self.wants or "").split(","):
            match = _FLOOR.fullmatch(clause)
            if match is not None:
                return match[1]
        return None

    def enforces(self, since: str) -> bool:
        """Whether a test that came with a version must pass: older plugins never promised what it looks at."""
        return self.floor is None or release(self.floor) >= release(since)


@cache
def installed(dist: str) -> Installed:
    """The distribution of a name."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        found = distribution(dist)
    except PackageNotFoundError:
        return Installed(name=dist)
    return Installed(found.metadata["Name"], found.version, requirement_on("dovetail", found.requires))
