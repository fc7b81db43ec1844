"""Environment builder: locking."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial

from dovetail.interfaces.environment import EnvironmentBuilder, EnvironmentSpec, LockedEnvironment
from dovetail.interfaces.errors import PreconditionError, SettingsError, UnsupportedOperationError
from dovetail.testing.conformance.datastore_suite import error_of
from dovetail.testing.conformance.environment_suite import EnvironmentSuite
from dovetail.testing.conformance.races import THREADS, race
from dovetail.testing.conformance.suite import guards

__all__ = ["EnvironmentLocks"]


class EnvironmentLocks(EnvironmentSuite):
    """`lock`."""

    @guards("environment.lock-is-deterministic")
    def test_the_same_spec_gives_the_same_lock(self, builder: EnvironmentBuilder, spec: EnvironmentSpec) -> None:
        first = builder.lock(spec, platform=self.platform)
        options = dict(reversed(list(spec.options.items())))
        again = builder.lock(replace(spec, options=options), platform=self.platform)
        assert again.id == first.id, f"expected the id {first.id} of the same spec, came {again.id}"
        assert again == first, f"expected the same lock of the same spec, came {again} after {first}"

    @guards("environment.lock-is-deterministic")
    def test_another_builder_gives_the_same_lock(
        self, builder: EnvironmentBuilder, spec: EnvironmentSpec, reopen: Callable[[], EnvironmentBuilder]
    ) -> None:
        first = builder.lock(spec, platform=self.platform)
        again = reopen().lock(spec, platform=self.platform)
        assert (again.id, again.data) == (first.id, first.data), f"expected the lock {first}, came {again}"

    @guards("environment.id-is-of-content")
    def test_another_spec_gives_another_id(
        self, builder: EnvironmentBuilder, spec: EnvironmentSpec, other_spec: EnvironmentSpec
    ) -> None:
        ids = [builder.lock(one, platform=self.platform).id for one in (spec, other_spec)]
        assert ids[0] != ids[1], f"expected different ids of different environments, came {ids[0]} twice"

    @guards("environment.lock-tells")
    def test_a_lock_tells_what_it_is(self, builder: EnvironmentBuilder, spec: EnvironmentSpec) -> None:
        lock = builder.lock(spec, platform=self.platform)
        assert lock.platform == self.platform, f"expected the platform {self.platform}, came {lock.platform}"
        assert lock.id, "expected an id, came none"
        assert "/" not in lock.id, f"expected an id that is one part of a path, came {lock.id}"
        assert lock.builder, "expected the builder's name, came none"
        numbers = lock.python.split(".")
        assert len(numbers) >= 2, f"expected a Python version such as 3.11, came {lock.python!r}"
        assert all(number.isdigit() for number in numbers[:2]), f"expected a Python version, came {lock.python!r}"

    @guards("environment.lock-is-json")
    def test_a_lock_survives_json(self, builder: EnvironmentBuilder, spec: EnvironmentSpec) -> None:
        lock = builder.lock(spec, platform=self.platform)
        again = LockedEnvironment(**json.loads(json.dumps(asdict(lock))))
        assert again == lock, f"expected {lock} after a way through JSON, came {again}"

    @guards("environment.foreign-platform")
    def test_a_foreign_platform_is_solved_for_or_refused(
        self, builder: EnvironmentBuilder, spec: EnvironmentSpec
    ) -> None:
        try:
            lock = builder.lock(spec, platform=self.foreign_platform)
        except UnsupportedOperationError:
            return
        assert lock.platform == self.foreign_platform, (
            f"expected a lock for {self.foreign_platform} or UnsupportedOperationError, came one for {lock.platform}"
        )
        here = builder.lock(spec, platform=self.platform)
        assert lock.id != here.id, f"expected another id for another platform, came {lock.id} for both"

    @guards("environment.bad-options")
    def test_an_unknown_option_is_refused(self, builder: EnvironmentBuilder, spec: EnvironmentSpec) -> None:
        options = {**spec.options, "no_such_option": 1}
        error = error_of(lambda: builder.lock(replace(spec, options=options), platform=self.platform))
        assert isinstance(error, SettingsError), f"expected SettingsError of an unknown option, came {error!r}"
        assert "no_such_option" in str(error), f"expected the option to be named, came {error}"

    @guards("environment.build-refuses-others")
    def test_another_platform_is_not_built(
        self, builder: EnvironmentBuilder, spec: EnvironmentSpec, tmp_path: object
    ) -> None:
        from pathlib import Path

        into = Path(str(tmp_path)) / "into"
        into.mkdir()
        lock = builder.lock(spec, platform=self.platform)
        foreign = replace(lock, platform=self.foreign_platform, id=f"{lock.id}-foreign")
        error = error_of(lambda: builder.build(foreign, into=into))
        assert isinstance(error, PreconditionError), f"expected PreconditionError of a foreign lock, came {error!r}"
        assert list(into.iterdir()) == [], f"expected nothing to be built, came {list(into.iterdir())}"

    @guards("environment.thread-safe")
    def test_threads_share_a_builder(self, builder: EnvironmentBuilder, spec: EnvironmentSpec) -> None:
        first = builder.lock(spec, platform=self.platform)
        locks = race([partial(builder.lock, spec, platform=self.platform) for _ in range(THREADS)])
        odd = [lock for lock in locks if lock != first]
        assert not odd, f"expected {first} for each thread, came {odd[0]!r}"
