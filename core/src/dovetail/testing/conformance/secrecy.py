"""Where a secret would be seen."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from urllib.parse import quote

__all__ = ["shown_secrets"]


def shown_secrets(secrets: Iterable[str], places: Mapping[str, str]) -> list[str]:
    """Names of the places whose text holds a secret, as it is or in a usual encoding."""
    forms = set()
    for secret in secrets:
        forms |= {secret, quote(secret, safe=""), base64.b64encode(secret.encode()).decode().rstrip("=")}
    return [name for name, text in places.items() if any(form in text for form in forms)]
