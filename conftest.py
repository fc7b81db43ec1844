"""How hypothesis tries its examples, in every test."""

from __future__ import annotations

import os

from amounts import examples
from hypothesis import settings

# A busy machine takes as long as it takes. In CI the same examples are tried each time.
settings.register_profile("usual", deadline=None, derandomize="CI" in os.environ, max_examples=examples())
settings.register_profile("soak", settings.get_profile("usual"), derandomize=False, print_blob=True)
settings.load_profile("soak" if examples() > settings.get_profile("default").max_examples else "usual")
