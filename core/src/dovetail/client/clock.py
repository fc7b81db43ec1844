"""Times as client objects show them: datetimes in UTC."""

from __future__ import annotations

from datetime import datetime, timezone

__all__ = ["aware", "aware_or_none"]


def aware(when: float) -> datetime:
    """Seconds since the epoch as a datetime in UTC."""
    return datetime.fromtimestamp(when, timezone.utc)


def aware_or_none(when: float | None) -> datetime | None:
    """The same, but None stays None."""
    return None if when is None else datetime.fromtimestamp(when, timezone.utc)
