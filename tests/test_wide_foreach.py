"""A wide foreach loses no task, no value and no line, and none of it is done again by a resume.

DOVETAIL_WIDTH sets how wide (soak: 100,000).
"""

from __future__ import annotations

import pytest
from amounts import amount
from flowproject import FlowProject

WIDTH = amount("WIDTH", 1000)

FLOW = f"""
class Wide(FlowSpec):
    @step
    def start(self):
        self.next(self.square, foreach=range({WIDTH}))

    @step
    def square(self):
        count()
        self.value = self.input ** 2
        print("squared", self.input)
        self.next(self.join)

    @step
    def join(self, inputs):
        count()
        self.values = [one.value for one in inputs]
        self.next(self.end)

    @step
    def end(self):
        assert not os.path.exists("wrong")
        self.total = sum(self.values)
"""


@pytest.mark.parametrize("isolation", ["kind=auto", "reuse=auto"])
def test_every_item_is_there_once(project: FlowProject, isolation: str) -> None:
    project.write(FLOW)
    project.patience = 120 + WIDTH // 20
    (project.folder / "wrong").touch()
    failed = project.fails("run", "flow.py", "--with", f"isolation:{isolation}")
    paths = [f"square[{index}]" for index in range(WIDTH)]
    assert failed.ran == dict.fromkeys([*paths, "join"], 1)

    (project.folder / "wrong").unlink()
    resumed = project.ok("resume", failed.run)
    assert not resumed.ran
    run = project.run(resumed.run)
    table = run.table(["path", "artifact:value"], step="square")
    assert dict(zip(table["path"], table["artifact:value"], strict=True)) == {
        path: at**2 for at, path in enumerate(paths)
    }
    assert run.data.values == [at**2 for at in range(WIDTH)]
    assert run.data.total == sum(at**2 for at in range(WIDTH))

    lines = [(line.path, line.text) for line in project.run(failed.run).loglines("stdout")]
    assert sorted(lines) == sorted((path, f"squared {at}") for at, path in enumerate(paths))
