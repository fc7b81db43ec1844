"""Environment builders that are wrong."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from kit.wrong.declared import Wrong, suites_of, wrong

from dovetail.interfaces.environment import Bundle, EnvironmentSpec
from dovetail.interfaces.errors import NotFoundError
from dovetail.interfaces.platforms import host_platform
from dovetail.local.environment import HostEnvironment
from dovetail.testing import EnvironmentBuilderConformance, FolderEnvironment


@wrong("another_builder_gives_the_same_lock", "the_same_spec_gives_the_same_lock", "threads_share_a_builder")
class AnotherIdEachTime(FolderEnvironment):
    """Makes up ids."""

    def id_of(self, files):
        return f"folder-{os.urandom(4).hex()}"


@wrong("another_spec_gives_another_id")
class OneIdForAll(FolderEnvironment):
    """Has one id whatever is in it."""

    def id_of(self, files):
        return "folder-1"


@wrong("a_lock_survives_json")
class LocksOfObjects(HostEnvironment):
    """Has in a lock what is no JSON."""

    def lock(self, spec, *, platform):
        return replace(super().lock(spec, platform=platform), report={"root": spec.root})


@wrong("an_unknown_option_is_refused")
class TakesAnyOption(HostEnvironment):
    """Says nothing of options that it does not know."""

    def lock(self, spec, *, platform):
        return super().lock(replace(spec, options={}), platform=platform)


@wrong("no_secret_is_shown", secrets=("s3cr3t-token",))
class TokenInTheLock(HostEnvironment):
    """Keeps the password of its index in locks."""

    def lock(self, spec, *, platform):
        index = "https://ann:s3cr3t-token@index"
        return replace(super().lock(spec, platform=platform), report={"index": index})


@wrong("a_killed_build_is_made_good", "builds_side_by_side_are_whole")
class BuildsInPlace(FolderEnvironment):
    """Fills the folder under its final name."""

    def build(self, source, *, into, cache=None):
        path = into / source.id
        if not path.exists() and source.platform == host_platform():
            path.mkdir()
            time.sleep(0.01)
            self.fill(path, self.files_of(source, cache))
        return super().build(source, into=into, cache=cache)

    def fill(self, folder, files):
        for name in ("bin", "lib"):
            (folder / name).mkdir(parents=True)
        (folder / "bin" / "python").symlink_to(sys.executable)
        for name, data in files.items():
            (folder / "lib" / name).write_bytes(data)


def _slowly(source, target):
    time.sleep(0.05)  # somebody else is sure to see half of it
    return shutil.copy2(source, target)


@wrong("a_killed_build_is_made_good", "builds_side_by_side_are_whole")
class CopiesIntoPlace(FolderEnvironment):
    """Gives the folder its name by copying."""

    def name(self, aside, path):
        try:
            shutil.copytree(aside, path, symlinks=True, copy_function=_slowly)
        finally:
            shutil.rmtree(aside, ignore_errors=True)


@wrong("a_killed_build_is_made_good", "builds_side_by_side_are_whole")
class OnePlaceForAll(FolderEnvironment):
    """Has one folder for what is not finished."""

    def build(self, source, *, into, cache=None):
        if source.platform == host_platform() and not (into / source.id).exists():
            (into / ".unfinished").mkdir()
            try:
                time.sleep(0.01)
                return super().build(source, into=into, cache=cache)
            finally:
                (into / ".unfinished").rmdir()
        return super().build(source, into=into, cache=cache)


@wrong("building_again_gives_the_same", "builds_side_by_side_are_whole")
class LeavesItsRubbish(FolderEnvironment):
    """Leaves what it has built for nothing."""

    def build(self, source, *, into, cache=None):
        built = super().build(source, into=into, cache=cache)
        shutil.copytree(built.path, into / f".{os.urandom(4).hex()}", symlinks=True)
        return built


@wrong(
    "a_bundle_is_built_without_a_network",
    "a_killed_build_is_made_good",
    "building_again_gives_the_same",
    "builds_side_by_side_are_whole",
)
class StampsEachBuild(FolderEnvironment):
    """Writes the time into what is built."""

    def build(self, source, *, into, cache=None):
        built = super().build(source, into=into, cache=cache)
        (built.path / "lib" / "stamp").write_text(os.urandom(8).hex())
        return built


@wrong("another_platform_is_not_built")
class BuildsForeignLocks(HostEnvironment):
    """Builds what is of another platform."""

    def build(self, source, *, into, cache=None):
        return super().build(replace(source, id=self._built().id), into=into, cache=cache)


@wrong("what_was_built_is_listed")
class RemovesNothing(FolderEnvironment):
    """Leaves what it is to remove."""

    def remove(self, id):
        pass


@wrong(
    "removing_what_is_not_there_is_no_error",
)
class RemoveOfMissingRaises(FolderEnvironment):
    """Complains of what is not there."""

    def remove(self, id):
        if id not in [built.id for built in self.list_built()]:
            raise NotFoundError(id)
        super().remove(id)


@wrong("a_bundle_is_built_without_a_network", "what_a_bundle_names_is_in_the_store")
class ShipsAPart(FolderEnvironment):
    """Leaves out a file."""

    def ship(self, locked, store, *, platform):
        bundle = super().ship(locked, store, platform=platform)
        store.delete([list(bundle.blobs.values())[-1]])
        return bundle


@wrong("removing_what_is_not_there_is_no_error")
class RemovesItselfAlone(HostEnvironment):
    """Refuses to remove what it has not, as it does its own."""

    def remove(self, id):
        super().remove(self._built().id)


@wrong("the_same_spec_gives_the_same_lock", "threads_share_a_builder")
class StampsEachLock(HostEnvironment):
    """Writes into a lock when it was made."""

    def lock(self, spec, *, platform):
        return replace(super().lock(spec, platform=platform), report={"made": os.urandom(8).hex()})


@wrong("a_foreign_platform_is_solved_for_or_refused")
class LocksForHere(HostEnvironment):
    """Gives this machine's environment for another platform."""

    def lock(self, spec, *, platform):
        return super().lock(spec, platform="")


@wrong("a_lock_tells_what_it_is")
class NamesNoVersion(HostEnvironment):
    """Leaves the minor version of Python open."""

    def lock(self, spec, *, platform):
        return replace(super().lock(spec, platform=platform), python="3")


@wrong("what_was_built_is_listed")
class ListsNothing(HostEnvironment):
    """Does not count what was there before."""

    def list_built(self):
        return []


@wrong("a_built_environment_runs")
class AnotherIdWhenBuilt(HostEnvironment):
    """Calls what it has built by another name than the lock."""

    def build(self, source, *, into, cache=None):
        return replace(super().build(source, into=into, cache=cache), id="host")

    def list_built(self):
        return [replace(self._built(), id="host")]


@wrong("building_again_gives_the_same", "builds_side_by_side_are_whole")
class AnotherVariableEachTime(HostEnvironment):
    """Sets a variable that differs from build to build."""

    def build(self, source, *, into, cache=None):
        self.last = replace(super().build(source, into=into, cache=cache), env={"BUILT": os.urandom(8).hex()})
        return self.last

    def list_built(self):
        return [self.__dict__.get("last", self._built())]


@wrong("close_may_be_called_again")
class ClosesOnce(HostEnvironment):
    """Can't be closed again."""

    def close(self):
        if self.__dict__.setdefault("closed", False):
            raise RuntimeError("closed already")
        self.__dict__["closed"] = True


@wrong("a_bundle_is_built_without_a_network")
class AsksTheNetwork(FolderEnvironment):
    """Looks something up while it builds from a bundle."""

    def files_of(self, source, cache):
        if isinstance(source, Bundle):
            with socket.socket() as opened, socket.socket() as listener:
                listener.bind(("127.0.0.1", 0))
                listener.listen()
                opened.connect(listener.getsockname())
        return super().files_of(source, cache)


class Suite(EnvironmentBuilderConformance):
    wrong: ClassVar[Wrong]

    @pytest.fixture
    def builder(self) -> Any:
        return self.wrong.backend()

    @pytest.fixture
    def reopen(self) -> Callable[[], Any]:
        return self.wrong.backend

    @pytest.fixture
    def spec(self, tmp_path: Path) -> EnvironmentSpec:
        options = {"files": {"b.py": "B = 2\n", "a.py": "A = 1\n"}}
        return EnvironmentSpec(
            root=tmp_path, options={} if issubclass(self.wrong.backend, HostEnvironment) else options
        )

    @pytest.fixture
    def other_spec(self, tmp_path: Path) -> EnvironmentSpec:
        if issubclass(self.wrong.backend, HostEnvironment):
            pytest.skip("there is one host")
        return EnvironmentSpec(root=tmp_path, options={"files": {"b.py": "B = 3\n"}})


globals().update(suites_of("builders", Suite))
