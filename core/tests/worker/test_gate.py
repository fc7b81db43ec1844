"""What the gate sees of libraries that can't be installed everywhere, and of this process's own threads."""

from __future__ import annotations

import sys
import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

from dovetail.worker.gate import find_hazards
from dovetail.worker.native_threads import native_threads

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux forks")


@pytest.mark.parametrize(
    ("name", "module", "reason"),
    [
        ("torch", SimpleNamespace(cuda=SimpleNamespace(is_initialized=lambda: True)), "CUDA was initialised"),
        ("jax._src.xla_bridge", SimpleNamespace(_backends={"cpu": object()}), "JAX backend"),
        ("jpype", SimpleNamespace(isJVMStarted=lambda: True), "Java virtual machine"),
    ],
)
def test_libraries_that_say_so_themselves(monkeypatch: pytest.MonkeyPatch, name: str, module: Any, reason: str) -> None:
    monkeypatch.setitem(sys.modules, name, module)
    assert any(reason in hazard for hazard in find_hazards())


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("torch", SimpleNamespace(cuda=SimpleNamespace(is_initialized=lambda: False))),
        ("jax._src.xla_bridge", SimpleNamespace(_backends={})),
        ("jpype", SimpleNamespace(isJVMStarted=lambda: False)),
    ],
)
def test_libraries_that_are_only_imported(monkeypatch: pytest.MonkeyPatch, name: str, module: Any) -> None:
    before = find_hazards()
    monkeypatch.setitem(sys.modules, name, module)
    assert find_hazards() == before


def test_a_waiting_thread_is_known_by_its_stack() -> None:
    done = threading.Event()
    thread = threading.Thread(target=done.wait, name="waiter")
    thread.start()
    try:
        while not (found := next(one for one in native_threads() if one.id == thread.native_id)).waits:
            time.sleep(0.001)
        assert any("python" in name for name in found.libraries)
        assert "thread 'waiter' was started at import" in find_hazards()
    finally:
        done.set()
        thread.join()
    assert "thread 'waiter' was started at import" not in find_hazards()
