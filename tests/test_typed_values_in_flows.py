"""Arrays, frames, files and `Stored` values in flows of both styles: what is stored, and what the next task gets."""

from __future__ import annotations

import textwrap
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from flowproject import FlowProject
from pandas.testing import assert_frame_equal

from dovetail import ArtifactFile, FlowSpec, Stored, flow, step, task
from dovetail.interfaces.errors import UnpicklableError
from dovetail.testing import run

import_module("pyarrow")
FRAME = pd.DataFrame({"a": [1.5, 2.5], "b": ["x", None]}, index=pd.Index([3, 4], name="n"))


class Typed(FlowSpec):
    @step
    def start(self) -> None:
        self.array = np.arange(6).reshape(2, 3)
        self.frame = FRAME
        self.table = Stored(FRAME, "parquet")
        self.pickled = Stored([1, 2], serializer="pickle")
        self.next(self.end)

    @step
    def end(self) -> None:
        assert self.array.sum() == 15
        assert_frame_equal(self.frame, FRAME)
        assert_frame_equal(self.table, FRAME)
        assert self.pickled == [1, 2]
        self.array[0, 0] = 100


def test_a_class_flow() -> None:
    client = run(Typed).client
    first, last = client["start"].task, client["end"].task
    kinds = {name: first[name].serializer for name in ("array", "frame", "table", "pickled")}
    assert kinds == {"array": "ndarray", "frame": "pandas", "table": "parquet", "pickled": "pickle"}
    assert first["array"].data.sum() == 15
    assert last["array"].data.sum() == 115  # changed in place
    assert last["table"].digest == first["table"].digest
    assert_frame_equal(last["table"].data, FRAME)


@task
def make() -> Any:
    return Stored(FRAME, "parquet")


@task
def total(frame: pd.DataFrame) -> float:
    assert type(frame) is pd.DataFrame
    return float(frame["a"].sum())


@flow
def pipeline() -> float:
    frame = make()
    assert type(frame) is pd.DataFrame
    return total(frame) + total.submit(make.submit()).result()


def test_a_function_flow() -> None:
    done = run(pipeline)
    assert done.value == 8.0
    assert {str(one["result"].serializer) for one in done.client["make"].tasks()} == {"parquet"}


@task
def wrong() -> Any:
    return Stored({"a"}, "parquet")


@flow
def refused() -> Any:
    return wrong()


def test_a_serializer_that_can_not_write_the_value_is_told() -> None:
    with pytest.raises(UnpicklableError, match=r"a value of type set can't be stored by the serializer 'parquet'"):
        run(refused)


def test_files_travel_between_processes(project: FlowProject) -> None:
    project.write(
        textwrap.dedent(
            """
            from pathlib import Path
            from dovetail import ArtifactDirectory, ArtifactFile, FlowSpec, step

            class Files(FlowSpec):
                @step
                def start(self):
                    Path("model.bin").write_bytes(b"m" * 2_000_000)
                    Path("out/logs").mkdir(parents=True)
                    Path("out/a.txt").write_text("a")
                    self.model = ArtifactFile("model.bin")
                    self.out = ArtifactDirectory("out")
                    self.next(self.end)

                @step
                def end(self):
                    Path("model.bin").unlink()
                    assert self.model.path.read_bytes() == b"m" * 2_000_000
                    assert sorted(os.listdir(self.out.path)) == ["a.txt", "logs"]
                    self.size = self.model.size
            """
        )
    )
    project.ok("run", "flow.py")
    [done] = project.runs()
    assert done["end"].task["size"].data == 2_000_000
    assert done["start"].task["model"].serializer == "file"
    assert done["start"].task["out"].data.open("a.txt").read() == b"a"


def test_a_file_is_stored_when_the_task_ends(tmp_path: Path) -> None:
    class Late(FlowSpec):
        @step
        def start(self) -> None:
            place = tmp_path / "f"
            place.write_text("early")
            self.file = ArtifactFile(place)
            place.write_text("late")
            self.next(self.end)

        @step
        def end(self) -> None:
            assert self.file.read() == b"late"

    run(Late)
