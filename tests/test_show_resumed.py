"""What `show` says of a run that reused tasks of another one."""

from __future__ import annotations

import json
from datetime import datetime

from flowproject import FlowProject


def test_the_times_of_a_step_are_those_of_what_this_run_made(project: FlowProject) -> None:
    """Tasks that were reused began when the first run made them, which may be days ago."""
    project.write(
        """
        class Grid(FlowSpec):
            last = Parameter("last", default=2)

            @step
            def start(self):
                self.next(self.fit, foreach=[1, 2])

            @step
            def fit(self):
                if self.input == 2 and not os.path.exists("mended"):
                    raise ValueError("not yet")
                self.next(self.end)

            @step
            def end(self, inputs):
                pass
        """
    )
    assert project.ok("check", "flow.py").out == "Grid is sound: 3 steps, 1 parameter\n"
    first = project.fails("run", "flow.py")
    (project.folder / "mended").touch()
    second = project.ok("resume", first.run)
    shown = {row["step"]: row for row in json.loads(project.ok("show", second.run, "--json").out)["steps"]}
    tasks = {task.path: task for task in project.run(second.run).tasks()}
    assert shown["fit"]["states"]["cached"] == 1
    assert datetime.fromisoformat(shown["fit"]["started"]) == tasks["fit[1]"].started_at
    assert datetime.fromisoformat(shown["start"]["started"]) == tasks["start"].started_at  # reused as a whole
    assert tasks["fit[0]"].started_at < tasks["fit[1]"].started_at
