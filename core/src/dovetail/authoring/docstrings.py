"""What a docstring says about the parameters of its function."""

from __future__ import annotations

import inspect
import re

__all__ = ["parameter_help"]

_SECTION = re.compile(r"^(?:Args|Arguments|Parameters):\s*$")
_ENTRY = re.compile(r"^(\*{0,2}\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)$")
_FIELD = re.compile(r"^:param\s+(?:[^:]*\s)?(\w+):\s*(.*)$")


def parameter_help(docstring: str | None) -> dict[str, str]:
    """Name → one line, of a section `Args:` or of fields `:param name:`."""
    lines = inspect.cleandoc(docstring).splitlines() if docstring else []
    found: dict[str, list[str]] = {}
    current: list[str] | None = None
    inside, margin = False, 0
    for line in lines:
        text = line.strip()
        depth = len(line) - len(line.lstrip())
        if match := _FIELD.match(text):
            current = found.setdefault(match[1], [match[2]])
            inside, margin = False, depth
        elif _SECTION.match(line):
            inside, margin, current = True, 0, None
        elif inside and text and depth == 0:
            inside, current = False, None
        elif inside and text and (not margin or depth <= margin) and (match := _ENTRY.match(text)):
            margin = depth
            current = found.setdefault(match[1], [match[2]])
        elif text and current is not None and depth > margin:
            current.append(text)
        elif not text:
            current = None
    return {name.lstrip("*"): " ".join(filter(None, parts)) for name, parts in found.items()}
