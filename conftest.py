"""How hypothesis tries its examples, in every test."""

from __future__ import annotations

from amounts import examples
from hypothesis import settings

# A busy machine takes as long as it takes.
settings.register_profile("usual", deadline=None, max_examples=examples())
settings.register_profile("soak", settings.get_profile("usual"), derandomize=False, print_blob=True)
settings.load_profile("soak" if examples() > settings.get_profile("default").max_examples else "usual")
