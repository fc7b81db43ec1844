"""The index of runs, made again from the data store, says what it said before."""

from __future__ import annotations

from flowproject import FlowProject

FLOW = """
class Listed(FlowSpec):
    size = Parameter("size", default=3)

    @step
    def start(self):
        self.next(self.each, foreach=range(self.size))

    @retry(times=1, delay=0.1)
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
    # One worker, so that the second item ends last, behind the others that overtook it.
    project.ok("run", "flow.py", "--tag", "team:a", "--max-workers", "1")
    project.fails("run", "flow.py", "--size", "5", "--max-workers", "1", code=1)
    before = [project.ok(*words).out for words in LISTINGS]
    for file in project.home.glob("metadata.db*"):
        file.unlink()
    project.ok("metadata-rebuild")
    for words, said in zip(LISTINGS, before, strict=True):
        assert project.ok(*words).out == said
