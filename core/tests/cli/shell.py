"""Runs command lines in this process."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dovetail.cli import main


class Shell:
    """Runs command lines in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.err = ""

    def __call__(self, *words: str, code: int = 0) -> str:
        """What a command line writes to stdout; `err` then has stderr."""
        self._capsys.readouterr()
        found = main(list(words))
        captured = self._capsys.readouterr()
        self.err = captured.err
        assert found == code, captured.err
        return captured.out

    def json(self, *words: str, code: int = 0) -> Any:
        """What a command line writes with `--json`."""
        return json.loads(self(*words, "--json", code=code))
