from __future__ import annotations

import json
import pickle
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from seed import Seed, SeedRun, error, linear, trained
from shell import Shell

BLOB = bytes(range(256)) * 600


def talkative(seed: Seed) -> SeedRun:
    """A run whose tasks wrote something, one of them twice."""
    made = seed.run()
    made.task("start", log=[("stdout", "hello\n")])
    made.task("train[0]", log=[("stdout", "epoch 1\nepoch 2\n"), ("stderr", "Warning: slow\n")])
    made.fail("train[1]", error(), state="waiting", log=[("stdout", "first try\n")])
    made.task("train[1]", attempt=2, was="waiting", log=[("stdout", "second try\n")])
    return made.end()


def test_logs(seed: Seed, shell: Shell) -> None:
    made = talkative(seed)
    assert shell("logs", made.id).splitlines() == [
        "[start] hello",
        "[train[0]] epoch 1",
        "[train[0]] epoch 2",
        "[train[0]] Warning: slow",
        "[train[1]] first try",
        "[train[1] attempt 2] second try",
    ]
    assert shell("logs", f"{made.id}/start") == "hello\n"
    assert shell("logs", f"{made.id}/train[1]") == "first try\n[attempt 2] second try\n"
    assert shell("logs", f"{made.id}/train[1]", "--attempt", "1") == "first try\n"
    assert shell("logs", f"{made.id}/train", "--stream", "stderr") == "[train[0]] Warning: slow\n"
    assert shell("logs", made.id, "--tail", "1") == "[train[1] attempt 2] second try\n"
    assert shell("logs", made.id, "--tail", "0") == ""
    assert shell("logs", made.id, "--grep", "^epoch [2-9]") == "[train[0]] epoch 2\n"
    assert shell("logs", made.id, "--grep", "WARNING", "-i") == "[train[0]] Warning: slow\n"
    assert shell("logs", "TrainFlow/start", "--timestamps").endswith("hello\n")
    assert shell("logs", "TrainFlow/start", "-t").startswith("2025-10-")
    lines = [json.loads(line) for line in shell("logs", made.id, "--json").splitlines()]
    assert lines[3] == {
        "time": "2025-10-09T08:55:01+00:00",
        "path": "train[0]",
        "attempt": 1,
        "stream": "stderr",
        "text": "Warning: slow",
    }


def test_logs_that_can_not_be_shown(seed: Seed, shell: Shell) -> None:
    made = talkative(seed)
    shell("logs", made.id, "--grep", "(", code=2)
    assert "is no regular expression" in shell.err
    shell("logs", f"{made.id}/trian[0]", code=2)
    assert "Did you mean train" in shell.err
    shell("logs", made.id, "--tail", "-1", code=2)


def test_following(seed: Seed, shell: Shell, wait: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    made = seed.run(linear("start", "end"))
    made.begin("start")
    made.flush()
    made.write("start", "stdout", "one\ntwo\n")
    shown = threading.Event()
    write = sys.stdout.write

    def watched(text: str) -> int:
        if "two" in text:
            shown.set()
        return write(text)

    monkeypatch.setattr(sys.stdout, "write", watched)

    def goes_on() -> None:
        wait(shown.is_set, "the first lines")
        made.write("start", "stdout", "three\nno end")
        made.task("start", was="running", log=[("stdout", "")])
        made.end()

    thread = threading.Thread(target=goes_on)
    thread.start()
    text = shell("logs", made.id, "--follow", "--tail", "1")
    thread.join(30)
    assert text.splitlines() == ["[start] two", "[start] three", "[start] no end"]
    assert "succeeded" in shell.err


def test_following_one_task_ends_with_it(seed: Seed, shell: Shell) -> None:
    made = seed.run(linear("start", "end"))
    made.task("start", log=[("stdout", "mine\n")])
    made.flush()
    assert shell("logs", f"{made.id}/start", "-f") == "mine\n"
    made.end()


def full(seed: Seed) -> SeedRun:
    """A run with artifacts of every kind."""
    made = seed.run(linear("start", "end"))
    values = {"n": 7, "text": "line\n", "table": {"k": list(range(100))}, "blob": BLOB, "odd": {1, 2}}
    made.task("start", values, targets=["end"])
    made.task("end", {"accuracy": 0.97}, after=["start"])
    return made.end()


def test_artifacts(seed: Seed, shell: Shell) -> None:
    made = full(seed)
    lines = shell("artifacts", made.id).splitlines()
    assert lines[0].split() == ["task", "name", "type", "shape", "size", "preview"]
    assert lines[1].split() == ["start", "n", "int", "1", "B", "7"]
    assert lines[4].split()[:5] == ["start", "blob", "bytes", "150.0", "KiB"]
    assert lines[4].split()[5].startswith(r"b'\x00\x01")
    assert lines[5].split() == ["start", "odd", "set", "20", "B", "<set,", "20", "bytes>"]
    listed = shell.json("artifacts", f"{made.id}/start")
    assert [one["name"] for one in listed] == ["n", "text", "table", "blob", "odd"]
    keys = {"run", "path", "name", "type", "size", "serializer", "digest", "inline"}
    keys |= {"shape", "dtype", "columns", "rows", "preview", "problem"}
    assert set(listed[0]) == keys | {"value"}
    assert set(listed[3]) == keys
    assert listed[2]["preview"].startswith("{'k': [0, 1, 2")
    assert [one["name"] for one in shell.json("artifacts", f"{made.id}/end", "--inherited")] == [
        "accuracy",
        "n",
        "text",
        "table",
        "blob",
        "odd",
    ]
    assert [one["path"] for one in shell.json("artifacts", made.id, "--name", "accuracy")] == ["end"]
    assert len(shell.json("artifacts", made.id, "--limit", "2")) == 2
    assert "Only the first 2" in shell.err
    assert shell("artifacts", made.id, "--name", "nope") == ""
    assert "No artifact fits" in shell.err
    assert shell.json("artifacts", f"{made.id}/start/n")[0]["value"] == 7


def framed(seed: Seed) -> SeedRun:
    """A run with values that have shapes."""
    made = seed.run(linear("start", "end"))
    frame = pd.DataFrame({"a": range(100_000), "b\x1b[31m": [f"w{i}" for i in range(100_000)]})
    made.task("start", {"array": np.arange(400_000.0).reshape(-1, 4), "frame": frame}, targets=["end"])
    made.task("end", after=["start"])
    return made.end()


def test_shapes_and_previews(seed: Seed, shell: Shell) -> None:
    made = framed(seed)
    text = shell("artifacts", f"{made.id}/start")
    assert "float64[100000, 4]" in text
    assert "[[ 0., 1., 2., 3.], [ 4., 5., 6., 7.]" in text
    assert "100,000 rows: a int64, b" in text
    assert "0, 0, w0; 1, 1, w1; " in text
    assert "\x1b" not in text
    array, frame = shell.json("artifacts", f"{made.id}/start")
    assert (array["shape"], array["dtype"], array["rows"], array["columns"]) == ([100_000, 4], "float64", 100_000, None)
    assert frame["columns"][0] == ["a", "int64"]
    assert (frame["shape"], frame["rows"], frame["problem"]) == ([100_000, 2], 100_000, None)
    assert len(frame["preview"].splitlines()) == 7
    shown = shell("show", f"{made.id}/start/frame").splitlines()
    assert [line.split()[0] for line in shown[:6]] == ["artifact", "type", "size", "shape", "serializer", "digest"]
    assert shown[-1] == "…"
    assert shown[-2].split() == ["4", "4", "w4"]


def test_a_terminal_gets_lines_of_its_width(seed: Seed, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    made = framed(seed)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    lines = shell("artifacts", f"{made.id}/start").splitlines()
    assert max(map(len, lines)) <= 100
    assert all(line.endswith("…") for line in lines[1:])


def test_artifacts_that_are_gone_do_not_end_a_listing(seed: Seed, shell: Shell) -> None:
    made = framed(seed)
    for info in list(seed.store.scan("objects/")):
        seed.store.delete([info.key])
    assert shell("artifacts", f"{made.id}/start").count("is gone") == 2
    array, _ = shell.json("artifacts", f"{made.id}/start")
    assert "is gone" in array["problem"]
    assert (array["size"], array["shape"], array["preview"]) == (3_200_000, None, None)
    shell("show", f"{made.id}/start/array")
    assert "is gone" in shell.err


def test_get_prints(seed: Seed, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    made = full(seed)
    from dovetail.cli import main

    def get(*words: str) -> bytes:
        capfdbinary.readouterr()
        assert main(["get", *words]) == 0
        return capfdbinary.readouterr().out

    assert get(f"{made.id}/start/n") == b"7\n"
    assert get(f"{made.id}/accuracy") == b"0.97\n"
    assert get(f"{made.id}/end/n") == b"7\n"  # inherited
    assert get(f"{made.id}/start/text") == b"line\n\n"
    assert get(f"{made.id}/start/odd") == b"{1, 2}\n"
    assert get(f"{made.id}/start/blob") == BLOB
    assert get(f"{made.id}/start/blob", "--raw") == BLOB
    assert get(f"{made.id}/start/n", "--raw") == b"7"
    assert json.loads(get("Linear/start/table", "--json")) == {"k": list(range(100))}


def test_get_saves(seed: Seed, shell: Shell, tmp_path: Path) -> None:
    made = full(seed)
    file = tmp_path / "out"
    for name, expected in {"blob": BLOB, "text": b"line\n", "n": b"7\n"}.items():
        assert shell("get", f"{made.id}/start/{name}", "--output", str(file)) == ""
        assert file.read_bytes() == expected
        assert str(file) in shell.err
    shell("get", f"{made.id}/start/odd", "-o", str(file))
    assert pickle.loads(file.read_bytes()) == {1, 2}
    shell("get", f"{made.id}/start/odd", "-o", str(tmp_path / "no" / "where"), code=4)
    assert "can't be written" in shell.err
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".part"] == []


def test_get_what_is_not_there(seed: Seed, shell: Shell) -> None:
    made = full(seed)
    shell("get", code=2)
    shell("get", made.id, code=2)
    assert "is no artifact" in shell.err
    shell("get", f"{made.id}/start/blub", code=2)
    assert "Did you mean blob" in shell.err
    shell("get", f"{made.id}/acuracy", code=2)
    assert "Did you mean accuracy" in shell.err
    shell("get", f"{made.id}/start/odd", "--json", code=2)
    assert "can't be written as JSON" in shell.err
    for info in seed.store.scan("objects/"):
        seed.store.delete([info.key])
    shell("get", f"{made.id}/start/blob", code=4)
    assert "DOVETAIL-S005" in shell.err


def test_tag(seed: Seed, shell: Shell) -> None:
    made = trained(seed, tags=["old"])
    assert shell("tag", "add", made.id, "x", "y") == f"TrainFlow/{made.id}: old, x, y\n"
    assert shell("tag", "remove", made.id, "x") == f"TrainFlow/{made.id}: old, y\n"
    assert shell("tag", "replace", made.id, "old,y", "new,newer") == f"TrainFlow/{made.id}: new, newer\n"
    assert shell("tag", "list", made.id).split() == [
        "tag",
        "kind",
        "new",
        "user",
        "newer",
        "user",
        "user:ada",
        "system",
    ]
    assert shell.json("tag", "list", made.id) == {
        "run": made.id,
        "flow": "TrainFlow",
        "tags": {"user": ["new", "newer"], "system": ["user:ada"]},
    }
    shell("tag", "adde", made.id, "x", code=2)
    assert "Did you mean add" in shell.err
    for words in (
        ["add"],
        ["add", made.id],
        ["replace", made.id, "x"],
        ["list", made.id, "x"],
        ["add", "TrainFlow/end"],
    ):
        shell("tag", *words, code=2)
    shell("tag", "remove", made.id, "user:ada", code=2)
    assert "is a system tag" in shell.err


def test_tag_of_a_flow_by_its_file(seed: Seed, shell: Shell, tmp_path: Path) -> None:
    made = trained(seed)
    (tmp_path / "flow.py").write_text("class TrainFlow: pass\n")
    assert shell("tag", "flow.py", "add", made.id, "x") == f"TrainFlow/{made.id}: x\n"


def test_cancel(seed: Seed, shell: Shell) -> None:
    made = seed.run()
    made.flush()
    assert "is being cancelled" in shell("cancel", made.id, "--reason", "enough")
    assert [event.kind for event in seed.provider.read(made.id)][-1] == "cancel"
    assert shell.json("cancel", made.id) == {
        "run": made.id,
        "flow": "TrainFlow",
        "state": "running",
        "requested": True,
        "uncalled_hooks": [],
    }
    made.stop()
    assert "is cancelled.\nIt has no hooks to call: " in shell("cancel", made.id)
    done = trained(seed)
    assert "has ended: it is succeeded" in shell("cancel", done.id)
    assert shell.json("cancel", done.id)["requested"] is False
    shell("cancel", code=2)
    shell("cancel", f"{done.id}/start", code=2)


def test_cancel_and_wait(seed: Seed, shell: Shell, wait: Callable[..., None]) -> None:
    made = seed.run()
    made.flush()

    def stops() -> None:
        wait(lambda: any(event.kind == "cancel" for event in seed.provider.read(made.id)), "the request")
        made.end("cancelled")

    thread = threading.Thread(target=stops)
    thread.start()
    assert shell("cancel", made.id, "--wait") == f"TrainFlow/{made.id} is cancelled.\n"
    thread.join(30)
