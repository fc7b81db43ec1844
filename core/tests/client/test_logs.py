from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from seed import Seed, error, linear, wait_until

from dovetail.client import Client
from dovetail.client.logs import LogLine, follow_lines, of_step, of_task, run_lines


def test_streams_of_a_task(seed: Seed, client: Client) -> None:
    made = seed.run(linear("start", "end"))
    made.task("start", log=[("stdout", "one\ntw"), ("stderr", "warn\r\n"), ("stdout", "o\nlast"), ("stdout", " é")])
    made.end()
    task = client.task(f"{made.id}/start")
    assert task.stdout == "one\ntwo\nlast é\n"
    assert task.stderr == "warn\n"
    assert [(line.stream, line.text, line.attempt) for line in task.log()] == [
        ("stdout", "one", 1),
        ("stderr", "warn", 1),
        ("stdout", "two", 1),
        ("stdout", "last é", 1),
    ]
    when, text = next(task.loglines("stdout"))
    assert when.tzinfo is not None
    assert text == "one"
    assert client.task(f"{made.id}/start").attempts[0].stdout == task.stdout


def test_a_task_that_wrote_nothing(seed: Seed, client: Client) -> None:
    made = seed.run(linear("start", "end"))
    made.task("start")
    made.end()
    assert client.task(f"{made.id}/start").stdout == ""


def test_every_attempt_is_kept(seed: Seed, client: Client) -> None:
    made = seed.run(linear("start", "end"))
    made.fail("start", error(), state="waiting", log=[("stdout", "first try\n")])
    made.task("start", attempt=2, was="waiting", log=[("stdout", "second try\n"), ("stderr", "\xff\n")])
    made.end()
    task = client.task(f"{made.id}/start")
    assert task.stdout == "first try\nsecond try\n"
    assert [line.text for line in task.log(attempt=1)] == ["first try"]
    assert task.attempts[1].stdout == "second try\n"
    assert task.attempts[0].stderr == ""


def test_the_log_of_a_task_that_runs(seed: Seed, client: Client) -> None:
    made = seed.run(linear("start", "end"))
    made.begin("start")
    made.flush()
    made.write("start", "stdout", "so far\n")
    made.write("end", "stdout", "another task\n")
    assert client.task(f"{made.id}/start").stdout == "so far\n"
    made.end()


def test_a_reused_task_shows_what_it_wrote_when_it_ran(seed: Seed, client: Client) -> None:
    first = seed.run(linear("start", "end"))
    first.task("start", {"x": 1}, log=[("stdout", "worked\n")])
    first.end("failed")
    second = seed.run(linear("start", "end"), origin=first.id)
    second.task("start", {"x": 1}, cached=first.id)
    second.end()
    third = seed.run(linear("start", "end"), origin=second.id)
    third.task("start", {"x": 1}, cached=second.id)
    third.end()
    task = client.task(f"{third.id}/start")
    assert task.stdout == "worked\n"
    assert task.metadata["origin"] == second.id
    assert client.run(third.id).origin_pathspec == f"Linear/{second.id}"
    seed.provider.delete_run(first.id)
    assert client.task(f"{third.id}/start").stdout == ""


def test_a_run_in_the_order_of_writing(seed: Seed, client: Client) -> None:
    made = seed.run()
    made.write("train[0]", "stdout", "a\n")
    made.write("train[1]", "stdout", "b\n")
    made.write("train[0]", "stderr", "c\n")
    made.write("start", "stdout", "no end")
    made.end()
    run = client.run(made.id)
    assert [(line.path, line.text) for line in run.loglines()] == [
        ("train[0]", "a"),
        ("train[1]", "b"),
        ("train[0]", "c"),
        ("start", "no end"),
    ]
    assert [line.text for line in run.loglines("stderr")] == ["c"]
    assert [line.text for line in run_lines(run, wanted=of_step("train"))] == ["a", "b", "c"]
    assert [line.text for line in run_lines(run, wanted=of_task("train[1]"))] == ["b"]


def test_following_ends_with_the_run(seed: Seed, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    made = seed.run(linear("start", "end"))
    made.write("start", "stdout", "first\nsec")
    made.flush()
    seen: list[LogLine] = []

    def follow(lines: Iterator[LogLine]) -> None:
        for line in lines:
            seen.append(line)  # noqa: PERF402 - each as it comes

    thread = threading.Thread(target=follow, args=(follow_lines(client.run(made.id)),))
    thread.start()
    wait_until(lambda: len(seen) == 1, "the first line")
    made.write("start", "stdout", "ond\nthi")
    wait_until(lambda: len(seen) == 2, "the second line")
    made.write("start", "stdout", "rd")
    made.end()
    thread.join(30)
    assert not thread.is_alive()
    assert [line.text for line in seen] == ["first", "second", "third"]


def test_following_a_lost_run_ends(seed: Seed, client: Client) -> None:
    made = seed.run(linear("start", "end"))
    made.write("start", "stdout", "all\n")
    made.stop()
    assert [line.text for line in follow_lines(client.run(made.id))] == ["all"]
