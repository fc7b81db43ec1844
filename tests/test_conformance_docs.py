"""The reference of the conformance kit has every guarantee, as it is written in the code."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from dovetail.testing.conformance.guarantees import GUARANTEES

ROOT = Path(__file__).parents[1]


def test_every_guarantee_is_in_the_reference() -> None:
    spec = importlib.util.spec_from_file_location("reference", ROOT / "scripts" / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    reference = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reference)
    page = (ROOT / "docs" / "reference" / "conformance.md").read_text(encoding="utf-8")
    assert "<!-- generated: guarantees -->" in page
    rows = {line.split("|")[1].strip(" `"): line for line in reference.guarantees() if line.startswith("| `")}
    assert set(rows) == set(GUARANTEES)
    assert all(GUARANTEES[id] in row and "`test_" in row for id, row in rows.items())
