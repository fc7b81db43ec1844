"""The graph of a flow from its source alone: files are read and parsed, nothing of the user's is imported or run."""

from __future__ import annotations

from dovetail.authoring.skeleton.reading import skeleton

__all__ = ["skeleton"]
