"""A step that leaves SMALL_N small values, and one after it; prints MARK lines."""

import os
import time

from metaflow import FlowSpec, step

COUNT = int(os.environ["SMALL_N"])


class Small(FlowSpec):
    @step
    def start(self):
        for i in range(COUNT):
            setattr(self, f"v{i}", (i, f"value {i}", {"i": i, "half": i / 2})[i % 3])
        print("MARK left", time.time(), flush=True)
        self.next(self.end)

    @step
    def end(self):
        print("MARK entered", time.time(), flush=True)


if __name__ == "__main__":
    Small()
