from __future__ import annotations

import pickle
from datetime import datetime, timezone
from pathlib import Path

import pytest
from seed import T0, Seed, foreach, trained

from dovetail.client import Client, Flow, Run, Step, default_namespace, get_namespace, namespace
from dovetail.interfaces.errors import UnknownNameError, UsageError
from dovetail.interfaces.metadata import Query
from dovetail.interfaces.states import RunState


def test_runs_are_listed_newest_first_and_filtered(seed: Seed, client: Client) -> None:
    ids = [trained(seed, tags=[f"n{i}"], user="ada" if i % 2 else "bob", parameters={"i": i}).id for i in range(5)]
    flow = client.flow("TrainFlow")
    assert [run.id for run in flow] == ids[::-1]
    assert [run.id for run in flow.runs(limit=2)] == ids[:2:-1]
    assert [run.id for run in flow.runs("n3")] == [ids[3]]
    assert [run.id for run in flow.runs(user="ada")] == [ids[3], ids[1]]
    assert [run.id for run in flow.runs(parameters={"i": 2})] == [ids[2]]
    assert [run.id for run in flow.runs(since=T0 + 400)] == ids[:2:-1]
    assert [run.id for run in flow.runs(until=datetime.fromtimestamp(T0 + 250, timezone.utc))] == ids[1::-1]
    assert [run.id for run in flow.runs(oldest_first=True, limit=1)] == ids[:1]
    assert flow.latest_run == client.run(ids[-1])
    assert client.flows() == [flow]


def test_more_runs_than_a_page(seed: Seed, client: Client) -> None:
    ids = [seed.provider.create_run("Many", created=T0 + i).run for i in range(230)]
    assert [run.id for run in client.flow("Many")] == ids[::-1]
    assert [run.id for run in client.flow("Many").runs(limit=150)] == ids[:79:-1]


def test_what_a_run_says(seed: Seed, client: Client) -> None:
    made = trained(seed, parameters={"rate": 0.5}, tags=["b", "a"])
    run = client.run(made.id)
    assert run.state is RunState.SUCCEEDED
    assert run.successful
    assert run.finished
    assert run.pathspec == f"TrainFlow/{made.id}"
    assert run.parameters == {"rate": 0.5}
    assert run.user_tags == {"a", "b"}
    assert run.system_tags == {"user:ada"}
    assert run.tags == {"a", "b", "user:ada"}
    assert run.created_at == datetime.fromtimestamp(T0 + 100, timezone.utc)
    assert run.finished_at is not None
    assert run.finished_at.tzinfo is not None
    assert run.duration == pytest.approx(3.0)
    assert run.error is None
    assert run.failed_task is None
    assert run.counts()["train"]["succeeded"] == 3
    assert [step.name for step in run] == ["end", "join", "train", "start"]
    assert run["train"] == Step(f"{made.id}/train", client=client)
    assert "train" in run
    assert "trian" not in run
    assert len(run["train"]) == 3
    assert run.end_task == run.task("end")
    assert run.data.done is True
    assert run.data.total == 5
    assert run.graph.by_name["join"].is_join
    assert [step.name for step in run["join"].parent_steps] == ["train"]
    assert [step.name for step in run["join"].child_steps] == ["end"]
    assert run["train"].created_at == run.task("train[0]").started_at
    assert run["train"].finished_at == run.task("train[2]").finished_at


def test_ways_to_name_a_run(seed: Seed, client: Client) -> None:
    first, second = trained(seed), trained(seed)
    assert client.run("TrainFlow").id == second.id
    assert client.run(f"TrainFlow/{first.id}").id == first.id
    assert client.run(first.id[:14]).id == first.id
    assert client.run(first.id.upper()).id == first.id
    assert client.run(f"TrainFlow/{client.run(first.id).number}").id == first.id
    assert client.flow("TrainFlow")[first.id].id == first.id
    assert first.id in client.flow("TrainFlow")
    assert "0zzz" not in client.flow("TrainFlow")
    with pytest.raises(UsageError, match="fits more than one run"):
        client.run("01")


def test_unknown_names_get_suggestions(seed: Seed, client: Client) -> None:
    made = trained(seed)
    with pytest.raises(UnknownNameError, match="Did you mean TrainFlow"):
        client.flow("TranFlow")
    with pytest.raises(UnknownNameError, match="Did you mean train"):
        client.run(made.id)["trian"]
    with pytest.raises(UnknownNameError, match=f"Did you mean {made.id}"):
        client.run(f"TrainFlow/{made.id[:-1]}0" if made.id[-1] != "0" else f"TrainFlow/{made.id[:-1]}1")
    other = seed.run(foreach("Other")).end()
    with pytest.raises(UnknownNameError, match=f"It is Other/{other.id}"):
        client.run(f"TrainFlow/{other.id}")
    with pytest.raises(KeyError):
        client.flow("TrainFlow")["0zzz"]


def test_lost_is_told_by_the_lease(seed: Seed, client: Client) -> None:
    made = seed.run()
    made.flush()
    run = client.run(made.id)
    assert run.state is RunState.RUNNING
    assert not run.finished
    assert run.duration is not None
    made.stop()
    run.refresh()
    assert run.state is RunState.LOST
    assert run.duration is None
    assert [found.id for found in client.runs(state="lost")] == [made.id]
    assert list(client.runs(state="running")) == []
    assert list(client.runs(state=["lost", "succeeded"])) == [run]


def test_many_lost_runs_are_told_in_a_few_queries(seed: Seed) -> None:
    lost = [seed.run(foreach(f"F{i % 3}")).stop().id for i in range(20)]
    live = seed.run()
    live.flush()
    asked: list[object] = []

    class Asked:
        def __getattr__(self, name: str) -> object:
            asked.append(name)
            return getattr(seed.provider, name)

    with Client(seed.home, provider=Asked(), namespace=None) as client:  # type: ignore[arg-type]
        states = {run.id: run._row["state"] for run in client.runs()}
    assert states == {**dict.fromkeys(lost, "lost"), live.id: "running"}
    assert asked == ["query", "leases", "query"]
    live.stop()


def test_a_run_that_ends_while_it_is_looked_at_is_not_lost(
    seed: Seed, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = seed.run()
    made.flush()
    connection = client._connection
    look = connection.live_runs

    def ends_first(run: str = "") -> set[str]:
        made.end()
        return look(run)

    monkeypatch.setattr(connection, "live_runs", ends_first)
    assert client.run(made.id).state is RunState.SUCCEEDED


def test_the_state_of_a_run_that_goes_on_is_looked_up_again(
    seed: Seed, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = seed.run()
    made.flush()
    run = client.run(made.id)
    monkeypatch.setattr("dovetail.client.run_row.STALE", -1.0)
    assert run.state is RunState.RUNNING
    made.end("failed", failed="start", message="bad")
    assert run.state is RunState.FAILED
    assert run.error == {"path": "start", "message": "bad"}


def test_namespaces(seed: Seed, tmp_path: Path) -> None:
    mine, other = trained(seed, user="ada"), trained(seed, user="bob", tags=["project:x"])
    try:
        assert default_namespace() == "user:ada"
        assert [run.id for run in Flow("TrainFlow")] == [mine.id]
        assert namespace("user:bob") == "user:bob"
        latest = Flow("TrainFlow").latest_run
        assert latest is not None
        assert latest.id == other.id
        namespace("project:x")
        assert [run.id for run in Flow("TrainFlow")] == [other.id]
        assert not Run(mine.id).is_in_namespace()
        assert namespace(None) is None
        assert get_namespace() is None
        assert len(list(Flow("TrainFlow"))) == 2
        with Client(seed.home, namespace="user:ada") as client:
            assert [run.id for run in client.flow("TrainFlow")] == [mine.id]
    finally:
        default_namespace()


def test_the_default_home_follows_the_settings(seed: Seed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = trained(seed)
    assert Run("TrainFlow").id == made.id
    other = Seed(tmp_path / "other")
    try:
        second = trained(other)
        monkeypatch.setenv("DOVETAIL_HOME", str(tmp_path / "other"))
        assert Run("TrainFlow").id == second.id
        assert Run("TrainFlow", client=Client(seed.home)).id == made.id
    finally:
        other.close()


def test_looking_at_a_home_that_is_not_there_makes_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client(tmp_path / "none")
    assert client.flows() == []
    assert list(client.runs()) == []
    with pytest.raises(UnknownNameError, match="nothing has run yet"):
        client.flow("TrainFlow")
    assert not (tmp_path / "none").exists()


def test_objects_are_picklable(seed: Seed, client: Client) -> None:
    made = trained(seed)
    run = client.run(made.id)
    for thing in (client.flow("TrainFlow"), run, run["train"], run.task("train[1]"), run.task("train[1]")["y"]):
        copy = pickle.loads(pickle.dumps(thing))
        assert copy == thing
        assert hash(copy) == hash(thing)
        assert repr(copy) == repr(thing)
    tasks = pickle.loads(pickle.dumps(list(run["train"])))
    assert [task.data.y for task in tasks] == [4, 1, 0]
    assert tasks[0].run.data.total == 5
    with (
        Client(seed.home, provider=seed.provider) as open_client,
        pytest.raises(TypeError, match="can't be pickled"),
    ):
        pickle.dumps(open_client.run(made.id))


def test_a_client_over_open_backends(seed: Seed) -> None:
    made = trained(seed)
    with Client(provider=seed.provider, stores={seed.uuid: seed.store}, namespace=None) as client:
        assert client.run(made.id).data.total == 5
        assert client.run(made.id).graph.name == "TrainFlow"
    assert seed.provider.query(Query(kind="runs")).rows  # still open


def test_events(seed: Seed, client: Client) -> None:
    made = trained(seed)
    kinds = [event.kind for event in client.run(made.id).events()]
    assert kinds[0] == "run.created"
    assert kinds[-1] == "run.state"


def test_data_of_a_run_that_has_not_ended(seed: Seed, client: Client) -> None:
    made = seed.run()
    made.task("start", {"x": 1})
    made.stop()
    run = client.run(made.id)
    assert run.end_task is None
    with pytest.raises(UnknownNameError, match="The run is lost and has not reached its end"):
        _ = run.data


def test_get_finds_anything(seed: Seed, client: Client) -> None:
    made = trained(seed)
    run = client.run(made.id)
    assert client.get("TrainFlow") == run
    assert client.get(f"{made.id}/train") == run["train"]
    assert client.get(f"{made.id}/train[1]") == run.task("train[1]")
    assert client.get(f"{made.id}/train[1]/y") == run.task("train[1]")["y"]
    assert client.get("TrainFlow/done") == run.task("end")["done"]
    assert client.artifact(f"{made.id}/total").data == 5
    with pytest.raises(UnknownNameError, match="Did you mean train"):
        client.get("TrainFlow/trian")
    with pytest.raises(UnknownNameError, match="Did you mean name"):
        client.get(f"{made.id}/train[1]/nane")
