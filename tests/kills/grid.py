"""A flow of the demo's shape, small enough to be killed two hundred times: grid, branch, retry, catch, join."""

from __future__ import annotations

import time

from dovetail import FlowSpec, catch, current, retry, step


class Grid(FlowSpec):
    @step
    def start(self):
        self.numbers = list(range(200))
        self.settings = [{"power": n % 4, "bad": n == 5} for n in range(12)]
        self.next(self.fan, self.side)

    @step
    def side(self):
        time.sleep(0.02)
        self.picture = bytes(range(256)) * 400  # large enough to be an object
        self.next(self.gather)

    @step
    def fan(self):
        self.next(self.train, foreach="settings")

    @catch(var="failure", print_exception=False)
    @retry(times=1)  # a killed worker is tried again; the bad setting fails again
    @step
    def train(self):
        time.sleep(0.005)
        if self.input["bad"]:
            raise ValueError("a bad setting")
        self.score = sum(n ** self.input["power"] for n in self.numbers)
        self.weights = [self.score] * 1000
        self.next(self.best)

    @step
    def best(self, inputs):
        fine = [one for one in inputs if not one.failure]
        self.scores = [one.score for one in fine]
        self.weights = max(fine, key=lambda one: one.score).weights
        self.failed = len(inputs) - len(fine)
        self.next(self.gather)

    @step
    def gather(self, inputs):
        self.result = [sum(inputs.best.scores), inputs.best.failed, len(inputs.side.picture)]
        self.weights = inputs.best.weights
        self.next(self.flaky)

    @retry(times=2)
    @step
    def flaky(self):
        if current.retry_count == 0:
            raise RuntimeError("the first attempt fails")
        self.was_retried = True  # not how often: a kill may take a further attempt
        self.next(self.end)

    @step
    def end(self):
        self.answer = [*self.result, self.was_retried, self.weights[-1]]


if __name__ == "__main__":
    Grid()
