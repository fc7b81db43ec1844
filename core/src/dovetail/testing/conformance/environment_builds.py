"""Environment builder: building, shipping, removing."""

from __future__ import annotations

import json
import logging
import shutil
import socket
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from dovetail.interfaces.environment import (
    BuiltEnvironment,
    Bundle,
    EnvironmentBuilder,
    EnvironmentSpec,
    LockedEnvironment,
)
from dovetail.interfaces.errors import UnsupportedOperationError
from dovetail.testing.conformance.abilities import facts_of
from dovetail.testing.conformance.datastore_suite import error_of, keys_of
from dovetail.testing.conformance.environment_suite import EnvironmentSuite, contents, version_of
from dovetail.testing.conformance.races import race
from dovetail.testing.conformance.secrecy import shown_secrets
from dovetail.testing.conformance.suite import guards
from dovetail.testing.memory_store import MemoryStore

__all__ = ["EnvironmentBuilds"]

_INSTANTS = 10
"""At how many instants of a build it is looked at what a kill would leave."""
_BUILDERS = 4


class EnvironmentBuilds(EnvironmentSuite):
    """`build`, `ship`, `list_built`, `remove`."""

    @pytest.fixture
    def into(self, tmp_path: Path) -> Path:
        """Where environments are built."""
        folder = tmp_path / "into"
        folder.mkdir()
        return folder

    @guards("environment.build-runs")
    def test_a_built_environment_runs(
        self, request: pytest.FixtureRequest, builder: EnvironmentBuilder, spec: EnvironmentSpec, into: Path
    ) -> None:
        self.note(request, **facts_of(builder))
        lock = builder.lock(spec, platform=self.platform)
        built = builder.build(lock, into=into)
        assert built.id == lock.id, f"expected the environment {lock.id}, came {built.id}"
        assert built.path.exists(), f"expected the environment's folder {built.path}, there is none"
        version = version_of(built)
        minor = ".".join(lock.python.split(".")[:2])
        assert version.startswith(f"{minor}."), f"expected an interpreter of Python {minor}, came {version}"

    @guards("environment.build-is-repeatable")
    def test_building_again_gives_the_same(
        self, builder: EnvironmentBuilder, spec: EnvironmentSpec, into: Path
    ) -> None:
        lock = builder.lock(spec, platform=self.platform)
        first = builder.build(lock, into=into)
        before = contents(into)
        again = builder.build(lock, into=into)
        assert again == first, f"expected {first} when it is built again, came {again}"
        changed = _differing(contents(into), before)
        assert not changed, f"expected the files to stay as they are, differing are {changed}"

    @guards("environment.build-is-concurrent")
    def test_builds_side_by_side_are_whole(
        self, builder: EnvironmentBuilder, spec: EnvironmentSpec, into: Path, tmp_path: Path
    ) -> None:
        lock = builder.lock(spec, platform=self.platform)
        alone = tmp_path / "alone"
        alone.mkdir()
        builder.build(lock, into=alone)

        def build() -> tuple[BuiltEnvironment, dict[str, Any]]:
            built = builder.build(lock, into=into)
            return built, contents(built.path) if _is_below(built.path, into) else {}

        outcomes = race([build] * _BUILDERS)
        errors = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
        assert not errors, f"expected {_BUILDERS} builds at once to succeed, came {errors[0]!r}"
        built = outcomes[0][0]
        assert all(one == built for one, _ in outcomes), f"expected {built} from each build, came {outcomes}"
        whole = contents(built.path) if _is_below(built.path, into) else {}
        torn = [_differing(seen, whole) for _, seen in outcomes if seen != whole]
        assert not torn, f"expected a whole environment when a build returns, differing were {torn[0]}"
        version = version_of(built)
        assert version[:1].isdigit(), f"expected an interpreter that runs, came {version}"
        names = sorted(path.name for path in into.iterdir())
        expected = sorted(path.name for path in alone.iterdir())
        assert names == expected, f"expected {expected} as after one build, came {names}"

    @guards("environment.build-is-atomic")
    def test_a_killed_build_is_made_good(
        self, builder: EnvironmentBuilder, spec: EnvironmentSpec, into: Path, tmp_path: Path
    ) -> None:
        lock = builder.lock(spec, platform=self.platform)
        built: list[BuiltEnvironment] = []
        count = _traced(lambda: built.append(builder.build(lock, into=into)), lambda line: None)
        is_below = _is_below(built[0].path, into)
        whole = contents(built[0].path) if is_below else {}
        if is_below:
            builder.remove(lock.id)
        _empty(into)
        snapshots: list[Path] = []
        wanted = {count * n // (_INSTANTS + 1) for n in range(1, _INSTANTS + 1)}

        def snapshot(line: int) -> None:
            """What a kill -9 now would leave."""
            if line in wanted:
                snapshots.append(tmp_path / f"snapshot{len(snapshots)}")
                shutil.copytree(into, snapshots[-1], symlinks=True)

        _traced(partial(builder.build, lock, into=into), snapshot)
        last = builder.build(lock, into=into)
        for found in snapshots:
            left = sorted(contents(found))
            _empty(into)
            shutil.copytree(found, into, symlinks=True, dirs_exist_ok=True)
            last = builder.build(lock, into=into)
            now = contents(last.path) if is_below else {}
            torn = [name for name, data in whole.items() if now.get(name) != data]
            assert not torn, f"expected a whole environment after a kill that left {left}, missing or torn are {torn}"
        version = version_of(last)
        assert version[:1].isdigit(), f"expected an interpreter that runs after a kill, came {version}"

    @guards("environment.list-built")
    def test_what_was_built_is_listed(self, builder: EnvironmentBuilder, spec: EnvironmentSpec, into: Path) -> None:
        lock = builder.lock(spec, platform=self.platform)
        built = builder.build(lock, into=into)
        found = builder.list_built()
        assert built in found, f"expected {built} to be listed, came {found}"
        try:
            builder.remove(lock.id)
        except UnsupportedOperationError:
            assert built in builder.list_built(), "expected what can't be removed to stay listed"
            return
        found = builder.list_built()
        assert built not in found, f"expected what was removed to be gone from the list, came {found}"
        again = builder.build(lock, into=into)
        version = version_of(again)
        assert version[:1].isdigit(), f"expected it to be built again after a remove, came {version}"

    @guards("environment.remove")
    def test_removing_what_is_not_there_is_no_error(
        self, builder: EnvironmentBuilder, spec: EnvironmentSpec, into: Path
    ) -> None:
        error = error_of(lambda: builder.remove("no-such-environment"))
        assert error is None, f"expected nothing to happen, came {error!r}"
        lock = builder.lock(spec, platform=self.platform)
        builder.build(lock, into=into)
        try:
            builder.remove(lock.id)
        except UnsupportedOperationError:
            return
        error = error_of(lambda: builder.remove(lock.id))
        assert error is None, f"expected nothing to happen when it is removed again, came {error!r}"

    @guards("environment.ship")
    def test_what_a_bundle_names_is_in_the_store(self, builder: EnvironmentBuilder, spec: EnvironmentSpec) -> None:
        store, bundle, lock = self._shipped(builder, spec)
        assert bundle.platform == self.platform, f"expected the platform {self.platform}, came {bundle.platform}"
        missing = [key for key in bundle.blobs.values() if key not in keys_of(store)]
        assert not missing, f"expected every blob of the bundle in the store, missing are {missing}"
        assert bundle.python, "expected the bundle to name its interpreter, came none"
        before = keys_of(store)
        again = builder.ship(lock, store, platform=self.platform)
        assert (again, keys_of(store)) == (bundle, before), f"expected the same bundle again, came {again}"

    @guards("environment.bundle-is-json")
    def test_a_bundle_survives_json(self, builder: EnvironmentBuilder, spec: EnvironmentSpec) -> None:
        _, bundle, _ = self._shipped(builder, spec)
        again = _as_json(bundle)
        assert again == bundle, f"expected {bundle} after a way through JSON, came {again}"

    @guards("environment.bundle-builds-offline")
    def test_a_bundle_is_built_without_a_network(
        self, builder: EnvironmentBuilder, spec: EnvironmentSpec, into: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store, bundle, lock = self._shipped(builder, spec)

        def refuse(*_: object) -> None:
            raise OSError("this build must not use a network")

        monkeypatch.setattr(socket.socket, "connect", refuse)
        built = builder.build(_as_json(bundle), into=into, cache=store)
        assert built.id == bundle.id, f"expected the environment {bundle.id}, came {built.id}"
        version = version_of(built)
        assert version[:1].isdigit(), f"expected an interpreter that runs, came {version}"
        of_bundle = contents(built.path)
        builder.remove(built.id)
        _empty(into)
        of_lock = builder.build(lock, into=into)
        changed = _differing(of_bundle, contents(of_lock.path))
        assert not changed, f"expected the files that a lock gives, differing are {changed}"

    def _shipped(
        self, builder: EnvironmentBuilder, spec: EnvironmentSpec
    ) -> tuple[MemoryStore, Bundle, LockedEnvironment]:
        lock, store = builder.lock(spec, platform=self.platform), MemoryStore()
        try:
            bundle = builder.ship(lock, store, platform=self.platform)
        except UnsupportedOperationError:
            assert keys_of(store) == [], f"expected nothing in the store of a refused ship, came {keys_of(store)}"
            pytest.skip("its environments can't leave this machine")
        assert bundle.id == lock.id, f"expected a bundle of {lock.id}, came one of {bundle.id}"
        return store, bundle, lock

    @guards("environment.close-is-idempotent")
    def test_close_may_be_called_again(
        self, builder: EnvironmentBuilder, reopen: Callable[[], EnvironmentBuilder]
    ) -> None:
        handle = reopen()
        handle.close()
        handle.close()
        assert isinstance(builder.list_built(), list), "expected other handles to work on"

    @guards("environment.hides-secrets")
    def test_no_secret_is_shown(
        self, builder: EnvironmentBuilder, spec: EnvironmentSpec, caplog: pytest.LogCaptureFixture
    ) -> None:
        if not self.secrets:
            pytest.skip("the suite names no secrets")
        with caplog.at_level(logging.DEBUG):
            lock = builder.lock(spec, platform=self.platform)
        places = {"repr": repr(builder), "lock": repr(lock), "log": caplog.text}
        shown = shown_secrets(self.secrets, places)
        assert not shown, f"expected no secret to be shown, came one in the {', '.join(shown)}"


def _traced(action: Callable[[], object], at_line: Callable[[int], None]) -> int:
    """Do something, and call `at_line` at each line of Python that runs meanwhile; how many there were."""
    lines = 0
    before = sys.gettrace()

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal lines
        if event == "line":
            lines += 1
            sys.settrace(None)  # what looks is not looked at
            try:
                at_line(lines)
            finally:
                sys.settrace(trace)
        return trace

    sys.settrace(trace)
    try:
        action()
    finally:
        sys.settrace(before)
    return lines


def _as_json(bundle: Bundle) -> Bundle:
    plain = json.loads(json.dumps(asdict(bundle)))
    steps = tuple(tuple(step) for step in plain.pop("steps"))
    return Bundle(**{**plain, "steps": steps, "python": tuple(plain["python"])})


def _is_below(path: Path, folder: Path) -> bool:
    return folder in path.parents


def _empty(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def _differing(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))
