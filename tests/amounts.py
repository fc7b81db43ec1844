"""How much the tests try: little, or what the environment asks for. `make soak` asks for a lot."""

from __future__ import annotations

import os
import random

__all__ = ["SEED", "amount", "examples"]

SEED = int(os.environ.get("DOVETAIL_SEED") or random.SystemRandom().randrange(1 << 32))
"""For what tests draw at random themselves; they print it."""


def amount(name: str, little: int) -> int:
    """What `DOVETAIL_<NAME>` says, or a little."""
    return int(os.environ.get(f"DOVETAIL_{name}") or little)


def examples(few: int = 100) -> int:
    """How many examples hypothesis tries: `DOVETAIL_EXAMPLES` times as many as usual."""
    return few * amount("EXAMPLES", 1)
