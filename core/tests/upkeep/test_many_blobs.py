"""Many blobs, of which a tenth goes: in bounded memory. DOVETAIL_BLOBS says how many (soak: 1,000,000)."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
from amounts import amount

BLOBS = amount("BLOBS", 5_000)
SCRIPT = Path(__file__).parents[3] / "benchmarks" / "collecting.py"


@pytest.mark.skipif(not SCRIPT.exists(), reason="the benchmarks are not beside an installed package")
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="peak memory is read from /proc")
def test_a_tenth_is_collected_in_bounded_memory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = importlib.util.spec_from_file_location("benchmark_collecting", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    collecting = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(collecting)
    root = tmp_path / "store"
    collecting.fill(root, BLOBS)
    collecting.measured("delete", root)
    done = collecting.measured("gc", root)
    with capsys.disabled():
        print(f"\ngc of {BLOBS:,} blobs: {done['seconds']} s, {done['peak_mb']:.0f} MB")
    assert (done["deleted"], done["kept"]) == (BLOBS // 10, BLOBS - BLOBS // 10)
    assert done["peak_mb"] <= 256
    assert collecting.measured("gc", root)["deleted"] == 0
