"""What users get wrong and what storage does to them: each is told with its name, its reason and the next step.

Exit codes: 1 a run failed, 2 usage, validation or settings, 3 plugin or backend, 4 store or metadata, 130 interrupted.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from flowproject import FlowProject, Said

from dovetail.local._schema import FORMAT

PLAIN = """
class Plain(FlowSpec):
    rate = Parameter(default=0.5, help="how fast")
    number = Parameter(default=1)

    @step
    def start(self):
        count()
        self.large = b"large" * 60_000
        self.medium = list(range(1000))
        self.next(self.train)

    @step
    def train(self):
        count()
        self.size = len(self.large) + len(self.medium)
        self.next(self.end)

    @step
    def end(self):
        count()
        if os.path.exists("fail"):
            raise RuntimeError("told to fail")
"""


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlowProject]:
    """A sound flow; nothing of it is ever run."""
    made = FlowProject(tmp_path_factory.mktemp("plain"))
    made.write(PLAIN)
    yield made
    assert not (made.home / "metadata.db").exists() or not list(made.client().runs())
    made.close()


def refused(project: FlowProject, *words: str, code: int = 2, env: dict[str, str] | None = None) -> str:
    """The message of a command line that ends before anything runs."""
    said = project.fails(*words, code=code, env=env)
    assert not said.ran
    assert said.out == ""
    assert said.err.startswith(("error: ", "usage: ")), said.err
    assert "Traceback" not in said.err
    return said.err


# -- names that are not right -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "code", "parts"),
    [
        (["rnu", "flow.py"], 2, ["no verb 'rnu'", "'run'"]),
        (["run", "flwo.py"], 2, ["no file flwo.py", "flow.py"]),
        (["run"], 2, ["name the file that holds the flow"]),
        (["run", "flow.py:Plian"], 2, ["no flow 'Plian'", "Plain"]),
        (["run", "pyproject.toml"], 2, ["is not a Python file", "dovetail run flow.py"]),
        (["run", "flow.py", "--rat", "3"], 2, ["no option --rat", "--rate"]),
        (["run", "flow.py", "--rate", "fast"], 2, ["--rate: 'fast' is not a number"]),
        (["run", "flow.py", "--number"], 2, ["--number needs a value"]),
        (["run", "flow.py", "--number", "1", "--number", "2"], 2, ["--number", "takes one value"]),
        (["run", "flow.py", "more"], 2, ["no argument 'more'", "--name value"]),
        (["run", "flow.py", "--max-workers", "0"], 2, ["--max-workers", "whole number above 0"]),
        (["run", "flow.py", "--on-failure", "contniue"], 2, ["--on-failure", "continue"]),
        (["run", "flow.py", "--run-id-file", "no/such/file"], 2, ["--run-id-file", "there is no folder"]),
        (["run", "flow.py", "--debug=tarin"], 2, ["no such step", "train"]),
        (["run", "flow.py", "--set", "tarin.retry.times=3"], 2, ["no step 'tarin'", "'train'"]),
        (["run", "flow.py", "--set", "train.rerty.times=3"], 2, ["no 'rerty'", "train.retry.times"]),
        (["run", "flow.py", "--set", "train.retry.tims=3"], 2, ["'tims'", "'times'"]),
        (["run", "flow.py", "--set", "train.retry.times=often"], 2, ["times", "whole number", "'often'"]),
        (["run", "flow.py", "--set", "max_wokers=3"], 2, ["'max_wokers'", "'max_workers'"]),
        (["run", "flow.py", "--with", "rtry:times=3"], 2, ["'rtry'", "'retry'"]),
        (["run", "flow.py", "--with", "retry:tims=3"], 2, ["'tims'", "'times'"]),
        (["run", "flow.py", "--profile", "prod"], 2, ["prod"]),
        (["run", "flow.py", "--compute", "locl"], 3, ["compute 'locl'", "'local'"]),
        (["run", "flow.py", "--datastore", "lcoal"], 3, ["datastore 'lcoal'", "'local'"]),
        (["run", "flow.py", "--metadata", "sqlit"], 3, ["metadata 'sqlit'", "'sqlite'"]),
        (["run", "flow.py", "--datastore", "s3://bucket/x"], 3, ["s3"]),
        (["run", "flow.py", "--environment", "hsot"], 2, ["environment 'hsot'", "'host'"]),
        (["check", "flwo.py"], 2, ["no file flwo.py", "flow.py"]),
        (["show", "Plian"], 2, ["Plian"]),
        (["logs", "zzz"], 2, ["zzz"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) and value and value[0].islower() else None,
)
def test_a_name_that_is_not_right(plain: FlowProject, words: list[str], code: int, parts: list[str]) -> None:
    text = refused(plain, *words, code=code)
    assert all(part in text for part in parts), text


def test_the_options_that_there_are(plain: FlowProject) -> None:
    lines = plain.ok("run", "flow.py", "--help").out.splitlines()
    assert lines[-2:] == [
        f"  {'--rate':22} how fast (float, default 0.5)",
        f"  {'--number':22} (int, default 1)",
    ]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("max_wokers = 3", ["pyproject.toml", "'max_wokers'", "'max_workers'"]),
        ('max_workers = "many"', ["pyproject.toml", "max_workers", "'many'"]),
        ('on_failure = "stop"', ["on_failure", "'stop'", "finish"]),
        ("retry.tims = 3", ["'tims'", "'times'"]),
        ('compute.default = "locl"', ["'locl'", "'local'"]),
        ("max_workers = ", ["is not TOML"]),
        ("tags.required = ['team']", ["team", "--tag"]),
    ],
)
def test_a_settings_file_that_is_not_right(project: FlowProject, text: str, parts: list[str]) -> None:
    project.write(PLAIN)
    (project.folder / "pyproject.toml").write_text(f"[tool.dovetail]\n{text}\n")
    code = 3 if "locl" in text else 2
    said = refused(project, "run", "flow.py", code=code)
    assert all(part in said for part in parts), said


@pytest.mark.parametrize(
    ("name", "value", "parts"),
    [
        ("DOVETAIL__MAX_WOKERS", "3", ["DOVETAIL__MAX_WOKERS", "'max_workers'"]),
        ("DOVETAIL__MAX_WORKERS", "many", ["DOVETAIL__MAX_WORKERS", "'many'"]),
        ("DOVETAIL__COMPUT__DEFAULT", "local", ["DOVETAIL__COMPUT__DEFAULT", "'compute'"]),
    ],
)
def test_an_environment_variable_that_is_not_right(plain: FlowProject, name: str, value: str, parts: list[str]) -> None:
    text = refused(plain, "run", "flow.py", env={name: value})
    assert all(part in text for part in parts), text


# -- files and flows that are not right -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("def start(self)\n    pass\n", ["flow.py", "SyntaxError", "line 1"]),
        ("import nonesuch\n", ["No module named 'nonesuch'", "flow.py", "line 1", "Install it here"]),
        ("x = 1\nraise ValueError('at import')\n", ["ValueError: at import", "line 2"]),
        ("import sys\nsys.exit(3)\n", ["sys.exit(3)", "line 2"]),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n", ["killed", "SIGKILL"]),
        ("x = 1\n", ["flow.py has no flow", "@flow", "FlowSpec"]),
        (
            "from dovetail import FlowSpec, step\n"
            "class A(FlowSpec):\n    @step\n    def start(self): pass\n"
            "class B(FlowSpec):\n    @step\n    def start(self): pass\n",
            ["several flows: A, B", "flow.py:A"],
        ),
    ],
    ids=["syntax", "import", "raises", "exits", "dies", "no flow", "two flows"],
)
def test_a_file_that_can_not_be_imported(project: FlowProject, text: str, parts: list[str]) -> None:
    project.write(text, counting=False)
    for verb in ("run", "check"):
        said = project.fails(verb, "flow.py", code=2)
        assert all(part in said.err for part in parts), said.err
        assert not (project.home / "metadata.db").exists() or not list(project.client().runs())


def test_every_problem_of_a_flow_is_told_at_once(project: FlowProject) -> None:
    project.write(
        """
        from dovetail import FlowSpec, Parameter, retry, step

        class Many(FlowSpec):
            count = Parameter(type=complex)

            @step
            def start(self):
                self.next(self.trian, self.b)

            @retry(tims=3)
            @step
            def train(self):
                self.next(self.join)

            @step
            def b(self):
                self.next(self.join)

            @step
            def join(self):
                self.next(self.again)

            @step
            def again(self):
                self.next(self.join)

            @step
            def end(self):
                pass
        """,
        counting=False,
    )
    for verb in ("run", "check"):
        text = refused(project, verb, "flow.py")
        for part in (
            "flow.py:5:", "complex",
            "flow.py:9:", "'trian'", "Did you mean train?",
            "flow.py:11:", "'tims'", "times",
            "branches of step start are never joined", "def join(self, inputs)",
            "join -> again -> join repeat without end", "condition=",
            "no step leads to end",
        ):  # fmt: skip
            assert part in text, text
    listed = project.dovetail("check", "flow.py", "--json")
    assert listed.code == 2
    problems = json.loads(listed.out)["problems"]
    assert len(problems) >= 5
    assert all(problem["message"] and problem["code"] for problem in problems)
    assert all(problem["file"] == "flow.py" and problem["line"] for problem in problems)


def test_required_parameters_are_named_all_at_once(project: FlowProject) -> None:
    project.write(
        """
        class Needs(FlowSpec):
            alpha = Parameter(type=float, help="learning rate")
            rounds = Parameter(type=int)

            @step
            def start(self):
                count()
        """
    )
    text = refused(project, "run", "flow.py")
    assert "--alpha: learning rate" in text
    assert "--rounds INT" in text
    assert set(project.ok("run", "flow.py", "--alpha", "1", "--rounds", "2").ran) == {"start"}


# -- steps that go wrong ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "parts"),
    [
        ("self.lock = {'a': [threading.Lock()]}", ["artifact 'lock'", "['a'][0]", "_thread.lock", "self._x"]),
        ("self.items = (n for n in range(3))", ["artifact 'items'", "generator", "list"]),
        ("self.here = self.ther", ["no artifact 'ther'", "there"]),
        ("self.kind = 'lfet'", ["no case for kind = 'lfet'", "'left', 'right'"]),
        ("setattr(self, 'rate', 3)", ["parameter 'rate'", "read-only"]),
        ("os._exit(7)", ["exited with code 7"]),
        ("sys.exit(7)", ["sys.exit(7)"]),
        ("os.kill(os.getpid(), 11)", ["SIGSEGV"]),
        ("self.merge_artifacts([])", ["is not a join"]),
        ("1 / 0", ["ZeroDivisionError: division by zero", "1 / 0"]),
    ],
)
def test_a_step_that_goes_wrong(project: FlowProject, body: str, parts: list[str]) -> None:
    project.write(
        f"""
        import threading

        class Wrong(FlowSpec):
            rate = Parameter(default=1)

            @step
            def start(self):
                self.there = 1
                self.next(self.bad)

            @step
            def bad(self):
                self.kind = "left"
                if not os.path.exists("mended"):
                    {body}
                self.next({{"left": self.end, "right": self.other}}, condition="kind")

            @step
            def other(self):
                self.next(self.end)

            @step
            def end(self):
                pass
        """
    )
    said = project.fails("run", "flow.py", code=1)
    *_, last = said.err.partition("\nbad failed:\n")
    assert all(part in last for part in parts), said.err
    assert "direct cause" not in last
    run = said.run
    assert f"dovetail logs {run}/bad" in last
    assert f"dovetail resume {run}" in last
    shown = project.ok("show", run)
    assert all(part in shown.out for part in parts), shown.out
    (project.folder / "mended").touch()
    assert str(project.run(project.ok("resume").run).state) == "succeeded"


def test_a_foreach_over_what_can_not_be_iterated(project: FlowProject) -> None:
    project.write(
        """
        class Wrong(FlowSpec):
            @step
            def start(self):
                self.number = 5
                def broken():
                    yield 1
                    raise LookupError("broken generator")
                if os.path.exists("second"):
                    self.next(self.item, foreach=broken())
                else:
                    self.next(self.item, foreach="number")

            @step
            def item(self):
                self.next(self.end)

            @step
            def end(self, inputs):
                pass
        """
    )
    assert "artifact 'number' is a int" in project.fails("run", "flow.py").err
    (project.folder / "second").touch()
    assert "LookupError: broken generator" in project.fails("run", "flow.py").err


# -- storage ----------------------------------------------------------------------------------------------------------


class Disk:
    """A file system of a size, mounted where a project has its home."""

    def __init__(self, project: FlowProject) -> None:
        self.place = project.home
        self.place.mkdir()
        self._mount("-t", "tmpfs", "-o", "size=2m", "tmpfs")

    def _mount(self, *words: str) -> None:
        subprocess.run(["mount", *words, str(self.place)], check=True)

    def change(self, options: str) -> None:
        """Give it another size, or make it read-only."""
        self._mount("-o", f"remount,{options}")

    def unmount(self) -> None:
        """Take it away."""
        subprocess.run(["umount", "-l", str(self.place)], check=True)


@pytest.fixture
def disk(project: FlowProject) -> Iterator[Disk]:
    """The home is a file system of 2 MiB."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        pytest.skip("only root may mount")
    try:
        made = Disk(project)
    except subprocess.CalledProcessError:
        pytest.skip("nothing can be mounted here")
    yield made
    made.unmount()


def told(said: Said, *parts: str) -> None:
    """See that the message has all of these."""
    assert all(part in said.err for part in parts), str(said)


def test_a_disk_that_an_artifact_fills(project: FlowProject, disk: Disk) -> None:
    project.write(PLAIN.replace("self.size = ", "self.huge = os.urandom(4_000_000)\n        self.size = "))
    said = project.fails("run", "flow.py", code=4)  # a step can't store its value, so the run fails
    told(said, "train failed:", "no space is left", str(project.home), "Free some space", "dovetail resume")
    disk.change("size=30m")
    assert set(project.ok("resume").ran) == {"train", "end"}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /dev/full")
def test_a_disk_that_the_steps_own_code_finds_full(project: FlowProject) -> None:
    """It is the step that fails then, not the store."""
    own = "os.write(os.open('/dev/full', os.O_WRONLY), b'x')"
    project.write(PLAIN.replace("self.size = ", f"{own}\n        self.size = "))
    told(project.fails("run", "flow.py", code=1), "train failed:", "OSError: [Errno 28]")


WIDE = """
class Wide(FlowSpec):
    @step
    def start(self):
        self.next(self.item, foreach=range(100))

    @step
    def item(self):
        count()
        WHAT
        self.next(self.join)

    @step
    def join(self, inputs):
        self.number = len(inputs)
        self.next(self.end)

    @step
    def end(self):
        pass
"""


@pytest.mark.parametrize("what", ["self.blob = os.urandom(40_000)", "print('x' * 60_000)"], ids=["records", "logs"])
def test_a_disk_that_the_driver_fills(project: FlowProject, disk: Disk, what: str) -> None:
    project.write(WIDE.replace("WHAT", what))
    said = project.fails("run", "flow.py", "--quiet", code=4)
    told(said, "no space is left", str(project.home), "Nothing that was stored before is lost", "Free some space")
    run = next(project.client().runs())
    assert str(run.state) == "lost"
    told(said, f"dovetail resume {run.id}")
    done = [task.path for task in run.tasks() if task.successful]
    assert len(done) > 1
    disk.change("size=30m")
    again = project.ok("resume", "--quiet")
    assert not set(again.ran) & set(done)  # what was on record stays
    assert project.run(run.id).data.number == 100


def test_a_disk_without_room_for_a_run(project: FlowProject, disk: Disk) -> None:
    project.write(PLAIN)
    disk.change("size=32k")
    told(project.fails("run", "flow.py", code=4), "no space is left", str(project.home), "Free some space")
    disk.change("size=30m")
    assert set(project.ok("run", "flow.py").ran) == {"start", "train", "end"}


def test_a_read_only_home(project: FlowProject, disk: Disk) -> None:
    project.write(PLAIN)
    disk.change("ro")
    told(project.fails("run", "flow.py", code=4), "read-only", str(project.home), "DOVETAIL_HOME")
    disk.change("rw,size=30m")
    (project.folder / "fail").touch()
    run = project.fails("run", "flow.py", code=1).run
    (project.folder / "fail").unlink()
    disk.change("ro")
    said = project.fails("run", "flow.py", code=4)
    told(said, "read-only", str(project.home), "DOVETAIL_HOME")
    assert not said.ran
    told(project.fails("resume", code=4), "read-only", "DOVETAIL_HOME")
    told(project.fails("tag", "add", run, "x", code=4), "read-only")
    # Looking is allowed.
    assert "told to fail" in project.ok("show", run).out
    assert project.ok("get", f"{run}/train/size").out == "301000\n"
    disk.change("rw")
    assert set(project.ok("resume").ran) == {"end"}


@pytest.fixture
def stored(project: FlowProject) -> FlowProject:
    """A run whose end failed, so that there is something to lose."""
    project.write(PLAIN)
    (project.folder / "fail").touch()
    project.fails("run", "flow.py", code=1)
    (project.folder / "fail").unlink()
    return project


def key_of(project: FlowProject, name: str) -> Path:
    """The object file of an artifact of the first step."""
    run = next(project.client().runs())
    digest = run.task("start").artifacts[name].digest
    return project.home / "local" / "objects" / digest[:2] / digest


@pytest.mark.parametrize("damage", ["changed", "cut", "gone"])
def test_a_damaged_artifact(stored: FlowProject, damage: str) -> None:
    run = next(stored.client().runs()).id
    path = key_of(stored, "large")
    data = path.read_bytes()
    good = data
    if damage == "gone":
        path.unlink()
    else:
        place = data.index(b"largelarge")
        data = data[: place + 10] if damage == "cut" else data[:place] + b"L" + data[place + 1 :]
        path.write_bytes(data)
    said = stored.fails("get", f"{run}/start/large", "--raw", code=4)
    told(said, f"artifact Plain/{run}/start/large", path.name, "dovetail resume RUN --from STEP")
    # A step that needs it fails and says why; one that does not goes on.
    stored.change("self.size = len(self.large)", "self.size = 1 + len(self.large)")
    broken = stored.fails("resume", code=1)
    told(broken, "train failed:", "artifact large", path.name, "self.size = 1 + len(self.large)", "--from STEP")
    assert "direct cause" not in broken.err
    # As the message says: remove it and run the step that wrote it again.
    path.unlink(missing_ok=True)
    assert set(stored.ok("resume", "--from", "start").ran) == {"start", "train", "end"}
    assert path.read_bytes() == good


def test_a_damaged_record(stored: FlowProject) -> None:
    """Records behind it are not believed, and the tasks run again."""
    (segment,) = (stored.home / "local" / "runs").glob("*/segments/*")
    data = segment.read_bytes()
    segment.write_bytes(data[:200] + b"damaged" + data[207:])
    run = next(stored.client().runs()).id
    told(stored.fails("get", f"{run}/start/medium", code=4), segment.name, "--from STEP")
    said = stored.ok("resume")
    told(said, "torn or corrupt", segment.name, "runs again")
    assert set(said.ran) == {"start", "train", "end"}


def test_a_damaged_manifest(stored: FlowProject) -> None:
    (manifest,) = (stored.home / "local" / "runs").glob("*/run.json")
    good = manifest.read_bytes()
    manifest.write_bytes(good[:100])
    run = next(stored.client().runs()).id
    told(stored.fails("resume", code=4), "run.json", run, "Restore a copy")
    assert set(stored.ok("run", "flow.py").ran) == {"start", "train", "end"}
    manifest.write_bytes(good)
    assert set(stored.ok("resume", run).ran) == {"end"}


@pytest.mark.parametrize("what", ["store", "run", "metadata"])
def test_a_newer_version(stored: FlowProject, what: str) -> None:
    run = next(stored.client().runs()).id
    home = stored.home / "local"
    path = {"store": home / "dovetail-store.json", "run": home / "runs" / run / "run.json"}.get(what)
    if path is not None:
        text = path.read_text()
        newer = json.loads(text)
        newer["format" if what == "store" else "version"] = 99
        path.write_text(json.dumps(newer))
    else:
        text = ""
        version(stored.home / "metadata.db", 99)
    for words in [("resume", run)] if what == "run" else [("run", "flow.py"), ("resume", run)]:
        said = stored.fails(*words, code=4)
        told(said, "99", "pgrade")
        assert not said.ran
    if path is not None:
        path.write_text(text)
    else:
        version(stored.home / "metadata.db", FORMAT)
    assert set(stored.ok("resume", run).ran) == {"end"}


def version(file: Path, number: int) -> None:
    """Set the format of a database."""
    with sqlite3.connect(file) as connection:
        connection.execute(f"PRAGMA user_version = {number}")
    connection.close()


def test_a_damaged_index_is_made_again_from_the_store(stored: FlowProject) -> None:
    run = next(stored.client().runs()).id
    file = stored.home / "metadata.db"
    for rest in stored.home.glob("metadata.db-*"):
        rest.unlink()
    file.write_bytes(b"no database at all" * 100)
    for words in (("runs",), ("run", "flow.py"), ("resume", run)):
        told(stored.fails(*words, code=4), str(file), "dovetail metadata-rebuild")
    file.unlink()
    stored.ok("metadata-rebuild")
    assert set(stored.ok("resume", run).ran) == {"end"}
    assert stored.run(run).task("train").data.size == 301_000
