"""Jobs as processes of this machine: submitted, watched, cancelled, read, and found again by other processes."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dovetail.interfaces.compute import Job, JobEvent, JobHandle, JobState, JobWatch
from dovetail.interfaces.context import PluginContext, SecretRef
from dovetail.interfaces.errors import NotFoundError, UsageError
from dovetail.interfaces.tasks import Resources
from dovetail.local._job_folder import JobFolder
from dovetail.local.compute import LocalCompute

FINAL = {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.LOST}


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


def wait_until_gone(pid: int) -> None:
    """Wait for the end of a process that is not ours to wait for."""
    deadline = time.monotonic() + 30
    while True:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return
        if state in "ZX":
            return
        assert time.monotonic() < deadline
        time.sleep(0.01)


def secret(ref: SecretRef) -> str:
    return f"value of {ref}"


@pytest.fixture
def compute(tmp_path: Path) -> Iterator[LocalCompute]:
    opened = LocalCompute.open("", None, PluginContext(instance="local", home=tmp_path, secret=secret))
    yield opened
    opened.close()


@pytest.fixture
def follow(compute: LocalCompute) -> Iterator[Callable[..., Follower]]:
    opened: list[Follower] = []

    def begin(group: str = "run1", resume: object = None) -> Follower:
        opened.append(Follower(compute.watch(group, resume=resume)))
        return opened[-1]

    yield begin
    for one in opened:
        one.watch.close()
        one.watch.close()


class Follower:
    """Waits for what a watch tells."""

    def __init__(self, watch: JobWatch) -> None:
        self.watch = watch
        self.events: list[JobEvent] = []

    def until(self, done: Callable[[dict[tuple[str, int], JobEvent]], bool]) -> dict[tuple[str, int], JobEvent]:
        """The latest event of each index, once a condition holds."""
        deadline = time.monotonic() + 60
        while not done(latest := {(e.handle.key, e.index): e for e in self.events}):
            assert time.monotonic() < deadline, self.events
            fileno = self.watch.fileno()
            if fileno is not None and not select.select([fileno], [], [], 5.0)[0]:
                continue
            self.events += self.watch.read()
        return latest

    def finish(self, *handles: JobHandle) -> dict[tuple[str, int], JobEvent]:
        """Wait until jobs are over."""
        wanted = [(handle.key, index) for handle in handles for index in range(handle.size)]
        return self.until(lambda latest: all(key in latest and latest[key].state in FINAL for key in wanted))


Follow = Callable[..., Follower]


def test_each_index_ends_in_its_own_way(compute: LocalCompute, follow: Follow) -> None:
    code = """
import os, signal, sys
index = int(os.environ["DOVETAIL_JOB_INDEX"])
print("index", index, os.environ["GREETING"], os.environ["TOKEN"])
print("to stderr", file=sys.stderr)
sys.stdout.flush()
if index == 2:
    os.kill(os.getpid(), signal.SIGKILL)
sys.exit(index)
"""
    job = Job(
        key="k",
        group="run1",
        size=3,
        argv=python(code),
        env={"GREETING": "hello"},
        secret_env={"TOKEN": SecretRef(provider="env", id="X")},
    )
    assert compute.validate(job) == []
    [handle] = compute.submit([job])
    latest = follow().finish(handle)
    ends = [(latest["k", i].state, latest["k", i].exit_code, latest["k", i].signal) for i in range(3)]
    assert ends == [
        (JobState.SUCCEEDED, 0, None),
        (JobState.FAILED, 1, None),
        (JobState.FAILED, None, signal.SIGKILL),
    ]
    assert latest["k", 1].reason == "exit code 1"
    assert "possibly out of memory" in latest["k", 2].reason
    assert not any(event.platform_fault for event in latest.values())
    for index in range(3):
        chunks = list(compute.logs(handle, index))
        assert [(c.stream, c.offset, c.data) for c in chunks] == [
            ("stdout", 0, f"index {index} hello value of env:X\n".encode()),
            ("stderr", 0, b"to stderr\n"),
        ]
        assert list(compute.logs(handle, index, after=chunks[-1].cursor)) == []
    kept = [path for path in compute._home.rglob("*") if path.is_file() and path.suffix != ".stdout"]
    assert kept
    assert not any(b"value of" in path.read_bytes() for path in kept)


def test_submitting_again_gives_the_same_job(compute: LocalCompute, follow: Follow, tmp_path: Path) -> None:
    job = Job(key="k", group="run1", argv=python(f"open({str(tmp_path / 'count')!r}, 'a').write('x')"))
    [first] = compute.submit([job])
    [second] = compute.submit([job])
    assert first == second
    follower = follow()
    follower.finish(first)
    assert compute.submit([job]) == [first]
    assert (tmp_path / "count").read_text() == "x"


def test_a_watch_tells_of_later_jobs_and_goes_on_where_it_was(compute: LocalCompute, follow: Follow) -> None:
    follower = follow()
    [one] = compute.submit([Job(key="one", group="run1", argv=python("pass"))])
    follower.finish(one)
    compute.submit([Job(key="else", group="run2", argv=python("pass"))])
    [two] = compute.submit([Job(key="two", group="run1", argv=python("pass"))])
    follower.finish(one, two)
    assert {event.handle.key for event in follower.events} == {"one", "two"}
    state = follower.watch.state()
    [three] = compute.submit([Job(key="three", group="run1", argv=python("pass"))])
    resumed = follow(resume=state)
    resumed.finish(three)
    assert {event.handle.key for event in resumed.events} == {"three"}
    late = follow()
    late.finish(one, two, three)
    assert [e.state for e in late.events if e.handle.key == "one"] == [JobState.SUCCEEDED]


def test_a_watch_without_a_descriptor_blocks(
    compute: LocalCompute, follow: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    follower = follow()
    assert follower.watch.fileno() is None
    [handle] = compute.submit([Job(key="k", group="run1", argv=python("pass"))])
    assert follower.finish(handle)["k", 0].state is JobState.SUCCEEDED
    follower.watch.close()
    assert follower.watch.read() == []


def test_cancel(compute: LocalCompute, follow: Follow) -> None:
    code = "import subprocess as s, time; print(s.Popen(['sleep', '1000']).pid, flush=True); time.sleep(1000)"
    [handle] = compute.submit([Job(key="k", group="run1", size=2, argv=python(code))])
    follower = follow()
    follower.until(lambda latest: all(e.state is JobState.RUNNING for e in latest.values()) and len(latest) == 2)
    while not (line := b"".join(c.data for c in compute.logs(handle, 0))).endswith(b"\n"):
        time.sleep(0.01)
    compute.cancel(handle, [0])
    latest = follower.until(lambda latest: latest["k", 0].state in FINAL)
    assert latest["k", 0].state is JobState.CANCELLED
    assert latest["k", 1].state is JobState.RUNNING
    wait_until_gone(int(line))
    compute.cancel(handle)
    compute.cancel(handle)
    assert follower.finish(handle)["k", 1].state is JobState.CANCELLED


def test_indexes_wait_for_cores_and_can_be_cancelled_before(compute: LocalCompute, follow: Follow) -> None:
    cores = os.cpu_count() or 1
    job = Job(
        key="k", group="run1", size=3, argv=python("import time; time.sleep(1000)"), resources=Resources(cpu=cores)
    )
    [handle] = compute.submit([job])
    follower = follow()
    follower.until(lambda latest: latest.get(("k", 0)) is not None and latest["k", 0].state is JobState.RUNNING)
    compute.cancel(handle)
    latest = follower.finish(handle)
    assert {event.state for event in latest.values()} == {JobState.CANCELLED}
    assert latest["k", 2].reason == "cancelled before it began"


def test_timeout(compute: LocalCompute, follow: Follow) -> None:
    [handle] = compute.submit([Job(key="k", group="run1", argv=python("import time; time.sleep(1000)"), timeout=0.2)])
    event = follow().finish(handle)["k", 0]
    assert (event.state, event.reason, event.signal) == (JobState.FAILED, "timed out after 0.2 s", signal.SIGTERM)


def test_another_process_finds_the_job(compute: LocalCompute, follow: Follow, tmp_path: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from dovetail.interfaces.compute import Job
from dovetail.interfaces.context import PluginContext
from dovetail.local.compute import LocalCompute

compute = LocalCompute.open("", None, PluginContext(instance="local", home=Path({str(tmp_path)!r})))
sleeper = (sys.executable, "-c", "import time; time.sleep(0.5); print('done')")
compute.submit([Job(key="k", group="run1", argv=sleeper)])
"""
    subprocess.run(python(code), check=True)
    [handle] = compute.submit([Job(key="k", group="run1", argv=("other",))])
    assert follow().finish(handle)["k", 0].state is JobState.SUCCEEDED
    assert b"".join(c.data for c in compute.logs(handle, 0)) == b"done\n"


def test_a_dead_supervisor_takes_its_indexes_along(compute: LocalCompute, follow: Follow) -> None:
    code = "import os, time; print(os.getpid(), flush=True); time.sleep(1000)"
    [handle] = compute.submit([Job(key="k", group="run1", size=2, argv=python(code))])
    follower = follow()
    follower.until(lambda latest: len(latest) == 2 and all(e.state is JobState.RUNNING for e in latest.values()))
    [folder] = [path for path in (compute._home / "run1").iterdir() if path.name != "watchers"]
    owner = JobFolder(folder).owner()
    assert owner is not None
    os.kill(owner.pid, signal.SIGKILL)
    os.waitpid(owner.pid, 0)
    latest = follower.finish(handle)
    assert {(e.state, e.platform_fault) for e in latest.values()} == {(JobState.LOST, True)}
    pid = int(latest["k", 0].execution_id.partition("-")[0])
    wait_until_gone(pid)
    again = follow()
    assert {e.state for e in again.finish(handle).values()} == {JobState.LOST}
    compute.cancel(handle)


def test_what_cannot_run_is_told_before(compute: LocalCompute, follow: Follow) -> None:
    job = Job(
        key="k",
        group="run1",
        size=0,
        argv=("no-such-program",),
        image="busybox",
        resources=Resources(cpu=100_000, memory_mb=10**9),
    )
    codes = {problem.code for problem in compute.validate(job)}
    assert codes == {"no-program", "job-size", "no-images", "too-many-cores", "too-much-memory"}
    [handle] = compute.submit([Job(key="k2", group="run1", argv=("/no/such/program",))])
    event = follow().finish(handle)["k2", 0]
    assert event.state is JobState.FAILED
    assert "can't be started" in event.reason


def test_unknown_jobs_and_targets(compute: LocalCompute, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        compute.cancel(JobHandle(backend="local", id="run1/none", key="k"))
    with pytest.raises(UsageError):
        LocalCompute.open("somewhere", None, PluginContext(instance="local", home=tmp_path))
