"""What a run has handed to the disk, and not only to the kernel, by the time it has ended."""

from __future__ import annotations

from flowproject import FlowProject

RUN = """
import sys
from dovetail.local import store

sync = store.LocalStore.sync

def told(self, keys):
    keys = list(keys)
    sync(self, keys)
    with open("synced.txt", "a") as synced:
        synced.writelines(key + "\\n" for key in keys)

store.LocalStore.sync = told
from dovetail.cli import main
sys.exit(main(["run", "flow.py", "--quiet"]))
"""
FLOW = """
class Flow(FlowSpec):
    @step
    def start(self):
        self.table = b"x" * 100_000
        print("filled")
        self.next(self.end)

    @step
    def end(self):
        pass
"""


def test_records_values_and_logs_are_on_the_disk_when_a_run_has_ended(project: FlowProject) -> None:
    project.write(FLOW)
    (project.folder / "run.py").write_text(RUN)
    said = project.python("run.py")
    assert said.code == 0, str(said)
    (run,) = project.runs()
    synced = set((project.folder / "synced.txt").read_text().split())
    store = project.home / "local"
    stored = {path.relative_to(store).as_posix() for path in store.rglob("*") if path.is_file()}
    needed = {key for key in stored if key.startswith(("objects/", f"runs/{run.id}/"))}
    assert {key.split("/")[2] for key in needed if key.startswith("runs/")} >= {"run.json", "segments", "logs", "end"}
    missing = needed - synced
    assert not missing
