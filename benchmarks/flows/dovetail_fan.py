"""A foreach over FAN_N items, each storing one artifact. FAN_IMPORT: modules that the flow imports. FAN_SLEEP: seconds
that each item takes. FAN_FAIL: make the last step fail."""

import importlib
import os
import time

from dovetail import FlowSpec, step

for name in filter(None, os.environ.get("FAN_IMPORT", "").split(",")):
    importlib.import_module(name)
SLEEP = float(os.environ.get("FAN_SLEEP", "0"))


class Fan(FlowSpec):
    @step
    def start(self):
        self.items = list(range(int(os.environ.get("FAN_N", "100"))))
        self.next(self.work, foreach="items")

    @step
    def work(self):
        if SLEEP:
            time.sleep(SLEEP)
        self.x = self.input
        self.next(self.join)

    @step
    def join(self, inputs):
        self.next(self.end)

    @step
    def end(self):
        if os.environ.get("FAN_FAIL"):
            raise RuntimeError("asked to fail")


if __name__ == "__main__":
    Fan()
