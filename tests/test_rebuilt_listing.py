"""The index of runs, made again from the data store, says what it said before."""

from __future__ import annotations

import json

from flowproject import FlowProject

FLOW = """
class Listed(FlowSpec):
    size = Parameter("size", default=3)

    @step
    def start(self):
        self.next(self.each, foreach=range(self.size))

    @retry(times=1)
    @step
    def each(self):
        if self.index == 1 and current.retry_count == 0:
            raise ValueError("once")
        self.square = self.input ** 2
        self.next(self.join)

    @step
    def join(self, inputs):
        self.squares = [each.square for each in inputs]
        self.next(self.end)

    @step
    def end(self):
        assert self.size < 5
"""
LISTINGS = (("runs", "--json"), ("runs",), ("tasks", "--json"), ("show",))


def test_a_rebuilt_index_lists_the_same(project: FlowProject) -> None:
    project.write(FLOW)
    project.ok("run", "flow.py", "--tag", "team:a")
    project.fails("run", "flow.py", "--size", "5", code=1)
    before = [listed(project, words) for words in LISTINGS]
    for file in project.home.glob("metadata.db*"):
        file.unlink()
    project.ok("metadata-rebuild")
    for words, said in zip(LISTINGS, before, strict=True):
        assert listed(project, words) == said


def listed(project: FlowProject, words: tuple[str, ...]) -> str:
    """What is listed; tasks by path, since a task that was tried again comes where it first failed."""
    said = project.ok(*words).out
    if words[0] == "tasks":
        return json.dumps(sorted(json.loads(said), key=lambda task: str(task["path"])))
    return said
