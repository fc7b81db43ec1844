"""What a commit record notes of a task's reads, beside the artifacts: places in a foreach and facts about inputs.

An artifact is noted by its name. `input`, `index` and `foreach_stack` are noted by these names. Of a join's inputs
also things that have no name are read; they are noted under names that no artifact can have.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from blake3 import blake3

from dovetail.artifacts.identity import simple_digest

__all__ = [
    "ERROR_READ",
    "NAMES_READ",
    "STACK_READ",
    "STEP_READ",
    "error_digest",
    "index_digest",
    "names_digest",
    "stack_digest",
    "step_digest",
]

STACK_READ = "foreach_stack"
"""All foreach levels: every sequence and index."""
ERROR_READ = "?error"
"""Whether and why an input failed; None: it did not."""
NAMES_READ = "?names"
"""Which artifacts an input has, whatever their values: `merge_artifacts` asks."""
STEP_READ = "?step"
"""Which step an input comes from."""


def index_digest(index: int) -> bytes:
    """Of a foreach index: its identity as a value."""
    return simple_digest("json", str(index).encode())


def stack_digest(levels: Iterable[tuple[bytes, int]]) -> bytes:
    """Of foreach levels, outermost first: digest of the sequence, and index."""
    return blake3(b"".join([digest + index.to_bytes(8, "little") for digest, index in levels])).digest()


def names_digest(names: Iterable[str]) -> bytes:
    """Of a set of names."""
    return blake3("\0".join(sorted(names)).encode()).digest()


def step_digest(step: str) -> bytes:
    """Of the name of a step."""
    return blake3(step.encode()).digest()


def error_digest(error: Mapping[str, Any]) -> bytes:
    """Of a failure, an `ErrorReport` as plain data: of all that a join can see of it."""
    told = [error["type"], error["message"], error["traceback"], error["kind"]]
    return blake3("\0".join(told).encode("utf-8", "surrogatepass")).digest()
