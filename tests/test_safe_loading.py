"""A store that somebody else can write to runs no code on the reader's machine in safe mode."""

from __future__ import annotations

from flowproject import FlowProject

FLOW = """
from dovetail import FlowSpec, step

class Evil:
    def __reduce__(self):
        import os
        return os.mkdir, ("was-run",)

class Shop(FlowSpec):
    @step
    def start(self):
        self.plain = {"a": [1, 2]}
        self.odd = {3, 4}
        self.bad = Evil()
        self.next(self.end)

    @step
    def end(self):
        print("plain", self.plain)
        READ
"""


SAFE = {"DOVETAIL__ARTIFACTS__LOAD": "safe"}


def test_safe_mode_loads_what_can_run_nothing_and_names_what_it_refuses(project: FlowProject) -> None:
    project.write(FLOW.replace("READ", ""))
    said = project.ok("run", "flow.py", env=SAFE)
    assert "plain {'a': [1, 2]}" in said.out
    project.change("print(", "print(self.bad, ")
    said = project.fails("run", "flow.py", env=SAFE)
    assert "bad" in said.err
    assert "pickle can run code, only safe formats are allowed" in said.err
    assert not (project.folder / "was-run").exists()
    project.fails("get", f"{said.run}/start/bad", code=4, env=SAFE)
    assert not (project.folder / "was-run").exists()
    project.fails("get", f"{said.run}/start/odd", code=4, env=SAFE)
    project.ok("get", f"{said.run}/start/odd")
