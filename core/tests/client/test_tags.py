from __future__ import annotations

import pytest
from seed import Seed, trained

from dovetail.client import Client
from dovetail.interfaces.errors import UsageError


def test_tags_are_changed_after_the_run(seed: Seed, client: Client) -> None:
    made = trained(seed, tags=["a", "b"])
    run = client.run(made.id)
    run.add_tag("c")
    run.add_tags(["c", "d"])
    assert run.user_tags == {"a", "b", "c", "d"}
    run.remove_tag("d")
    run.remove_tags(["d", "nope"])
    assert run.user_tags == {"a", "b", "c"}
    run.replace_tag("a", "z")
    run.replace_tags(["b", "c"], ["c", "y"])
    assert client.run(made.id).user_tags == {"c", "y", "z"}
    assert [found.id for found in client.runs("z", "y")] == [made.id]
    assert list(client.runs("a")) == []


def test_a_change_is_one_event_and_touches_no_store(seed: Seed, client: Client) -> None:
    made = trained(seed)
    run = client.run(made.id)
    keys = [info.key for info in seed.store.scan()]
    before = len(list(run.events()))
    run.replace_tags(["x", "y"], ["y", "z"])
    events = list(run.events())
    assert len(events) == before + 1
    assert events[-1].kind == "tag"
    assert events[-1].data == {"add": ["y", "z"], "remove": ["x"]}
    assert [info.key for info in seed.store.scan()] == keys
    run.add_tags([])
    assert len(list(run.events())) == before + 1


def test_tags_of_a_run_that_goes_on(seed: Seed, client: Client) -> None:
    made = seed.run()
    made.flush()
    client.run(made.id).add_tag("live")
    made.event("note", message="goes on")
    made.end()
    assert client.run(made.id).user_tags == {"live"}


def test_writers_are_told_apart(seed: Seed) -> None:
    made = trained(seed)
    for name in ("one", "two"):
        with Client(seed.home, namespace=None) as client:
            client.run(made.id).add_tag(name)
            client.run(made.id).add_tag(name + "-more")
    with Client(seed.home, namespace=None) as client:
        assert client.run(made.id).user_tags == {"one", "one-more", "two", "two-more"}


@pytest.mark.parametrize("tag", ["", "  ", "a\nb", "x" * 501, "\x1b[31m"])
def test_what_is_no_tag(seed: Seed, client: Client, tag: str) -> None:
    run = client.run(trained(seed).id)
    with pytest.raises(UsageError, match="is not a tag"):
        run.add_tag(tag)


def test_the_pattern_holds_for_tags_that_come_later(
    seed: Seed, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOVETAIL__TAGS__PATTERN", "[a-z]+")
    found = client.run(trained(seed, tags=["Old!"]).id)
    with pytest.raises(UsageError, match="'Bad!' does not match"):
        found.add_tags(["fine", "Bad!"])
    assert found.user_tags == {"Old!"}
    found.replace_tags(["Old!"], ["fine"])
    assert found.user_tags == {"fine"}


def test_a_required_tag_stays(seed: Seed, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOVETAIL__TAGS__REQUIRED", "nightly,team:")
    found = client.run(trained(seed, tags=["nightly", "team:a", "other"]).id)
    with pytest.raises(UsageError, match=r"must keep a tag nightly, team:\.\.\.: it is required") as caught:
        found.remove_tags(["nightly", "team:a", "other"])
    assert "tag replace" in str(caught.value.hint)
    assert found.user_tags == {"nightly", "team:a", "other"}
    found.replace_tags(["team:a", "other"], ["team:b"])
    found.add_tag("team:c")
    found.remove_tag("team:b")
    assert found.user_tags == {"nightly", "team:c"}
    bare = client.run(trained(seed, tags=["other"]).id)
    bare.remove_tag("other")  # it had none of them before
    assert bare.user_tags == set()


def test_system_tags_stay(seed: Seed, client: Client) -> None:
    run = client.run(trained(seed).id)
    with pytest.raises(UsageError, match="is a system tag"):
        run.remove_tag("user:ada")


def test_cancel_is_a_request(seed: Seed, client: Client) -> None:
    made = seed.run()
    made.flush()
    run = client.run(made.id)
    assert run.cancel("enough")
    assert [(event.kind, dict(event.data)) for event in run.events()][-1] == ("cancel", {"reason": "enough"})
    made.stop()
    assert not run.refresh().cancel()
    done = client.run(trained(seed).id)
    before = len(list(done.events()))
    assert not done.cancel()
    assert len(list(done.events())) == before
