"""Values as text, so that keys can compare them."""

from __future__ import annotations

import pickle

__all__ = ["exact_text", "plain_text"]


_SCALARS = (str, bytes, int, float, bool, complex, type(None))
_ARRAYS = (list, tuple, set, frozenset)


def plain_text(value: object) -> str:
    """A value as text when it is plain data, else only its type: what can't be compared does not count."""
    if isinstance(value, _SCALARS):
        return repr(value)
    if isinstance(value, (list, tuple)):
        return f"{type(value).__name__}({','.join(map(plain_text, value))})"
    if isinstance(value, (set, frozenset)):
        return f"{type(value).__name__}({','.join(sorted(map(plain_text, value)))})"
    if isinstance(value, dict):
        return "{" + ",".join(f"{plain_text(key)}:{plain_text(item)}" for key, item in value.items()) + "}"
    return _type_text(value)


def exact_text(value: object) -> str:
    """A value as text that differs where the value does, as far as it is plain data or can be pickled."""
    try:
        return plain_text(value) if _is_plain(value) else f"{_type_text(value)} {pickle.dumps(value, 5).hex()}"
    except Exception:  # whatever the user's classes do, and what holds itself
        return _type_text(value)


def _is_plain(value: object) -> bool:
    if type(value) in _ARRAYS:
        return all(map(_is_plain, value))  # type: ignore[call-overload]
    if type(value) is dict:
        return all(map(_is_plain, value)) and all(map(_is_plain, value.values()))
    return type(value) in _SCALARS


def _type_text(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"
