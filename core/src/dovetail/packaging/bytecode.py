"""Identity of code that has no source."""

from __future__ import annotations

from types import CodeType

from blake3 import blake3

__all__ = ["digest_of_code"]


def digest_of_code(code: CodeType) -> str:
    """Hex digest of what code does, whatever its file and lines. Differs between versions of Python."""
    return blake3(repr(_parts(code)).encode("utf-8", "surrogatepass")).hexdigest()


def _parts(code: CodeType) -> tuple[object, ...]:
    return (
        code.co_code,
        code.co_argcount,
        code.co_posonlyargcount,
        code.co_kwonlyargcount,
        code.co_flags,
        code.co_names,
        code.co_varnames,
        code.co_freevars,
        code.co_cellvars,
        [_constant(constant) for constant in code.co_consts],
    )


def _constant(value: object) -> object:
    if isinstance(value, CodeType):
        return _parts(value)
    if isinstance(value, frozenset):
        return sorted(map(repr, value))
    return (type(value).__name__, repr(value))
