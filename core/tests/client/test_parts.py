"""Shapes, previews and rows of artifacts: known without loading the value."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal
from seed import Seed, error, linear

from dovetail import ArtifactFile
from dovetail.artifacts.serializers.pickled import PickleSerializer
from dovetail.client import Client, Task
from dovetail.interfaces.errors import ArtifactGoneError, UsageError
from dovetail.interfaces.stored import Stored

N = 50_000
ARRAY = np.arange(N * 4.0).reshape(N, 4)
FRAME = pd.DataFrame({"a": range(N), "<b>": [f"<i>{i}</i>" for i in range(N)]})


class Odd:
    """Goes to pickle, and must not be unpickled."""

    def __init__(self) -> None:
        self.name = "<script>"

    def __setstate__(self, state: Any) -> None:
        raise AssertionError("unpickled")


def task_with(seed: Seed, client: Client, **values: Any) -> Task:
    made = seed.run(linear("start", "end"))
    made.task("start", values, targets=["end"])
    made.task("end", after=["start"])
    made.end()
    return client.task(f"{made.id}/start")


def test_what_is_known_of_each(seed: Seed, client: Client, tmp_path: Any) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    task = task_with(
        seed,
        client,
        array=ARRAY,
        frame=FRAME,
        series=FRAME["a"],
        table=Stored(FRAME, "parquet"),
        weights={"w": ARRAY[:2], "b": np.zeros(3, "f4")},
        scalar=np.int8(3),
        file=ArtifactFile(tmp_path / "notes.txt"),
        blob=bytes(N),
        n=3,
    )
    columns = [("a", "int64"), ("<b>", "string")]
    seen = {one.name: (one.shape, one.dtype, one.rows) for one in task}
    assert seen == {
        "array": ((N, 4), "float64", N),
        "frame": ((N, 2), None, N),
        "series": ((N,), "int64", N),
        "table": ((N, 2), None, N),
        "weights": (None, None, None),
        "scalar": ((), "int8", None),
        "file": (None, None, None),
        "blob": (None, None, N),
        "n": (None, None, None),
    }
    frame_columns = task["frame"].columns
    assert frame_columns is not None
    assert [name for name, _ in frame_columns] == [name for name, _ in columns]
    assert frame_columns[0] == columns[0]
    assert task["array"].columns is None
    assert task["weights"].description == {"tensors": [["w", "F64", [2, 4]], ["b", "F32", [3]]]}
    assert task["file"].description == {"files": [["notes.txt", 5]]}


def test_rows(seed: Seed, client: Client) -> None:
    task = task_with(
        seed, client, array=ARRAY, frame=FRAME, series=FRAME["a"], blob=bytes(range(256)) * 1000, empty=ARRAY[:0]
    )
    array, frame = task["array"], task["frame"]
    for part in (slice(None, 1000), slice(10, 20), slice(-5, None), slice(20, 10), slice(N - 1, N + 100), slice(None)):
        assert np.array_equal(array[part], ARRAY[part])
        assert_frame_equal(frame[part], FRAME.iloc[part])
    assert array[7].tolist() == ARRAY[7].tolist()
    assert array[np.int64(-1)].tolist() == ARRAY[-1].tolist()
    assert_frame_equal(frame[7], FRAME.iloc[7:8])
    assert task["series"][-2] == N - 2
    assert task["blob"][5:7] == b"\x05\x06"
    assert task["blob"][5] == 5
    assert task["empty"][:10].shape == (0, 4)
    for index in (N, -N - 1):
        with pytest.raises(IndexError, match=f"start/array has 50,000 rows, and none at {index:,}"):
            array[index]
    with pytest.raises(UsageError, match="leaves rows out") as caught:
        array[::10]
    assert caught.value.hint
    with pytest.raises(TypeError, match=r"artifact\[a:b\], not by str"):
        array["a"]
    with pytest.raises(TypeError, match="not iterable"):
        iter(array)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    "value", [{"a": 1}, {1, 2}, np.float64(2), "text", "t" * 100_000], ids=lambda v: type(v).__name__
)
def test_what_can_only_be_loaded_whole_says_so(seed: Seed, client: Client, value: Any) -> None:
    artifact = task_with(seed, client, value=value)["value"]
    with pytest.raises(UsageError, match=r"start/value can't be read in part: ") as caught:
        artifact[:10]
    assert caught.value.hint == "Load it whole: artifact.data."
    assert artifact.data == value


def test_previews(seed: Seed, client: Client) -> None:
    task = task_with(
        seed,
        client,
        array=ARRAY,
        short=np.arange(3),
        frame=FRAME,
        wide=pd.DataFrame(np.zeros((2, 40))),
        series=pd.Series([1.5, None], name="s"),
        zoned=pd.DataFrame({"t": pd.date_range("2020", periods=2, tz="Europe/Berlin")}),
        scalar=np.float32(2.5),
        text="two\nlines",
        long="x" * 100_000,
        plain={"k": [1, 2]},
        blob=b"\0\1" * 100_000,
        odd=Odd(),
        weights={"w": ARRAY[:2]},
        huge=np.zeros((3, 2_000_000)),
    )
    shown = {artifact.name: artifact.preview() for artifact in task}
    assert shown["array"].startswith("[[ 0., 1., 2., 3.], [ 4., 5., 6., 7.]")
    assert shown["array"].endswith("…]")
    assert shown["short"] == "[0, 1, 2]"
    assert shown["frame"].splitlines()[0].split() == ["a", "<b>"]
    assert shown["frame"].splitlines()[2].split() == ["1", "1", "<i>1</i>"]
    assert shown["frame"].splitlines()[-1] == "…"
    assert len(shown["frame"].splitlines()) == 7
    assert len(task["frame"].preview(2).splitlines()) == 4
    assert shown["wide"].splitlines()[0].split()[-1] == "…"
    assert shown["series"].splitlines()[1:] == ["0  1.5", "1  nan"]
    assert "2020-01-02 00:00:00+01:00" in shown["zoned"]
    assert shown["scalar"] == "2.5"
    assert shown["text"] == r"'two\nlines'"
    assert shown["long"].startswith('"xxxx')
    assert len(shown["long"]) == 400
    assert shown["plain"] == "{'k': [1, 2]}"
    assert shown["blob"].startswith(r"b'\x00\x01")
    assert re.fullmatch(r"<.*test_parts\.Odd, \d+ bytes>", shown["odd"])
    assert shown["weights"] == "w F64[2, 4]"
    assert shown["huge"] == "<numpy.ndarray, 48,000,000 bytes>"  # its first rows are large


def test_nothing_is_unpickled(seed: Seed, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    task = task_with(seed, client, odd=Odd(), pairs=(1, 2))

    def refuses(*_: Any) -> Any:
        raise AssertionError("unpickled")

    monkeypatch.setattr(PickleSerializer, "load", refuses)
    for artifact in task:
        assert artifact.shape is None
        assert artifact.rows is None
        assert artifact.preview().startswith("<")
        assert artifact._repr_html_()


class Checked(HTMLParser):
    """Notes the tags of a document, and that each is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_notebooks_show_them_escaped(seed: Seed, client: Client) -> None:
    made = seed.run(linear("start", "end"), parameters={"query": "<img src=x>"})
    values = {"frame": FRAME, "text": "<script>alert(1)</script>", **{f"n{i}": i for i in range(30)}}
    made.task("start", values, targets=["end"])
    made.fail("end", error("<b>bad</b>"))
    made.end("failed", failed="end", message="<b>bad</b>")
    run = client.run(made.id)
    shown = [run, run.task("start"), run.task("end"), run.task("start")["frame"], run.task("start")["text"]]
    for one in shown:
        text = one._repr_html_()
        found = Checked(text)
        assert found.tags <= {"div", "b", "table", "thead", "tbody", "tr", "th", "td", "p", "pre"}
        assert found.attributes <= {"colspan"}
        assert len(text) < 5000
    assert "&lt;i&gt;1&lt;/i&gt;" in shown[3]._repr_html_()
    assert "and 12 more" in shown[1]._repr_html_()
    assert "&lt;b&gt;bad&lt;/b&gt;" in shown[2]._repr_html_()
    assert "&lt;img src=x&gt;" in shown[0]._repr_html_()


def test_one_that_is_gone(seed: Seed, client: Client) -> None:
    task = task_with(seed, client, frame=FRAME)
    for info in list(seed.store.scan("objects/")):
        seed.store.delete([info.key])
    with pytest.raises(ArtifactGoneError, match="start/frame"):
        _ = task["frame"].shape
    with pytest.raises(ArtifactGoneError, match="start/frame"):
        task["frame"][:10]
    assert "is gone" in task["frame"]._repr_html_()
