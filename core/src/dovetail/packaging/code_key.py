"""What a task's code is."""

from __future__ import annotations

from blake3 import blake3


class CodeKeys:
    """Code keys of the steps of one flow."""

    def __init__(self, file: str) -> None:
        self._file = file
        try:
            with open(file, "rb") as stream:
                self._digest = blake3(stream.read()).hexdigest()
        except OSError:
            self._digest = blake3(b"").hexdigest()

    def of_step(self, flow_cls: type, name: str, method: object) -> tuple[str, dict[str, str]]:
        """Key of a step and what went into it."""
        return blake3(f"{self._digest}{name}".encode()).hexdigest(), {self._file: self._digest}

    def sources(self) -> dict[str, str]:
        """First-party files: absolute path → digest."""
        return {self._file: self._digest} if self._file else {}
