"""Who is using Dovetail: the same name for a run's owner and for whoever looks for their own runs."""

from __future__ import annotations

import os

__all__ = ["username"]


def username() -> str:
    """`DOVETAIL_USER`, else the login name."""
    for name in ("DOVETAIL_USER", "USER", "LOGNAME", "USERNAME"):
        if found := os.environ.get(name):
            return found
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name
        return str(os.getuid()) if hasattr(os, "getuid") else "unknown"
