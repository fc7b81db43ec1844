"""What caching across runs asks of a task: the policy, and the parts that a key may cover."""

from __future__ import annotations

from base64 import b64encode

from dovetail.interfaces.dataclass import dataclass

__all__ = ["CACHE_PARTS", "CacheKey", "CachePolicy", "cache_column", "cache_parts", "seconds_of"]

CACHE_PARTS = ("inputs", "code", "environment")
"""What a value may depend on."""
_COLUMN_BYTES = 16
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


@dataclass(frozen=True, slots=True, kw_only=True)
class CachePolicy:
    """Which value of another run stands for a task's own."""

    by: tuple[str, ...]
    """Of CACHE_PARTS, in that order: what must be the same."""
    expires: float | None = None
    """Age in seconds at which a value is made anew; None: never."""
    refresh: bool = False
    """Whether to make the value anew; later runs find the new one."""


@dataclass(frozen=True, slots=True)
class CacheKey:
    """Under what later runs find the value of a task."""

    digest: bytes
    """32 bytes, over everything that must be the same."""
    by: str
    """The parts that it covers, joined by `+`."""


def cache_parts(text: str) -> tuple[str, ...] | None:
    """The parts that a text such as `inputs+code` names, in the order of CACHE_PARTS; None where it names others."""
    named = {part.strip() for part in text.split("+")} if text.strip() else set()
    return tuple(part for part in CACHE_PARTS if part in named) if named <= set(CACHE_PARTS) else None


def seconds_of(text: float | str | None) -> float | None:
    """Seconds of a number, or of a text such as `90`, `90s` or `3d`; None of anything else."""
    if not isinstance(text, str):
        return text
    text = text.strip()
    unit = _UNITS.get(text[-1:])
    try:
        return float(text) if unit is None else float(text[:-1]) * unit
    except ValueError:
        return None


def cache_column(digest: bytes) -> str:
    """A key as the index has it: half of it in 22 characters. Whoever finds a row compares the whole key."""
    return b64encode(digest[:_COLUMN_BYTES]).decode().rstrip("=")
