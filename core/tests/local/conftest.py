"""Processes that race, and file systems that run out of room."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

_FORKER = """
import json, os, sys
count, arguments = int(sys.argv[1]), sys.argv[2:]
{body}
gate_read, gate_write = os.pipe()
pids = []
for at in range(count):
    result_read, result_write = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(gate_write)
        os.read(gate_read, 1)  # ends for all at once, when the parent closes its end
        try:
            result = body(at, *arguments)
        except BaseException as error:
            import traceback
            result = "failed: " + "".join(traceback.format_exception(type(error), error, error.__traceback__))
        with os.fdopen(result_write, "w") as file:
            json.dump(result, file)
        os._exit(0)
    os.close(result_write)
    pids.append((pid, result_read))
os.close(gate_write)
for pid, result in pids:
    print(os.fdopen(result).read())
    os.waitpid(pid, 0)
"""

Race = Callable[..., list[Any]]


@pytest.fixture
def race() -> Race:
    """Run `body(at, *arguments)` in many processes at once; what each returned."""

    def run(body: str, *arguments: object, count: int = 20) -> list[Any]:
        code = _FORKER.replace("{body}", textwrap.dedent(body))
        done = subprocess.run(
            [sys.executable, "-c", code, str(count), *map(str, arguments)],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=120,
        )
        results = [json.loads(line) for line in done.stdout.splitlines()]
        failed = [result for result in results if isinstance(result, str) and result.startswith("failed: ")]
        assert not failed, failed[0]
        return results

    return run


class Mounts:
    """Mounts small file systems. For root; others can't."""

    def __init__(self) -> None:
        self._mounted: list[Path] = []

    def tmpfs(self, place: Path, size: str) -> Path:
        """Mount a file system of this size on a new folder."""
        place.mkdir(parents=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)], check=True)
        self._mounted.append(place)
        return place

    def read_only(self, place: Path, read_only: bool = True) -> None:
        """Change whether a mounted file system can be written."""
        subprocess.run(["mount", "-o", f"remount,{'ro' if read_only else 'rw'}", str(place)], check=True)

    def resize(self, place: Path, size: str) -> None:
        """Give a mounted file system another size."""
        subprocess.run(["mount", "-o", f"remount,size={size}", str(place)], check=True)

    def unmount(self) -> None:
        """Unmount all."""
        for place in reversed(self._mounted):
            subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.fixture
def mounts() -> Iterator[Mounts]:
    """Mounts file systems that are gone after the test."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("only root may mount")
    found = Mounts()
    try:
        yield found
    finally:
        found.unmount()
