"""What is measured, and what is to be reached."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CASES", "Case"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One row of the table."""

    name: str
    """As in `BENCH_CASES`."""
    title: str
    """As in the report."""
    figure: str
    """The number of a run that is compared."""
    unit: str
    """Its unit: `s`, `ms`, `MiB`, `files`, `rows`, `tasks/s`, or `×` of a limit measured in the same run."""
    goal: float
    """To be reached by Dovetail: at most, or at least where `more_is_better`."""
    more_is_better: bool = False
    """Whether a larger figure is better."""
    also: tuple[tuple[str, str, float], ...] = ()
    """Further goals of the row, at most: (number, unit, goal)."""


CASES = [
    Case(name="import", title="import, over bare Python", figure="over_bare", unit="s", goal=0.030),
    Case(name="help", title="`--help`, over bare Python", figure="over_bare", unit="s", goal=0.040),
    Case(name="hello3", title="3 no-op steps, whole process", figure="wall", unit="s", goal=0.2),
    Case(name="chain100", title="chain of 100 no-op steps", figure="wall", unit="s", goal=0.6),
    Case(
        name="fan1000",
        title="1,000-wide foreach, a process each, flow imports the standard library",
        figure="tasks_per_s",
        unit="tasks/s",
        goal=500,
        more_is_better=True,
    ),
    Case(
        name="fan1000pandas",
        title="the same, flow imports numpy and pandas",
        figure="tasks_per_s",
        unit="tasks/s",
        goal=150,
        more_is_better=True,
    ),
    Case(name="fan10000", title='10,000-wide foreach, `reuse="auto"`', figure="wall", unit="s", goal=2.0),
    Case(
        name="fan100000",
        title='100,000-wide foreach, `reuse="auto"`',
        figure="wall",
        unit="s",
        goal=20.0,
        also=(("peak", "MiB, driver", 64 * 1e6 / 2**20), ("metadata_bytes_per_task", "bytes of metadata a task", 300)),
    ),
    Case(name="pss100", title="peak PSS of the tree, 100 wide, 16 at once", figure="pss", unit="MiB", goal=100),
    Case(
        name="files1000",
        title="files written for 1,000 tasks",
        figure="files",
        unit="files",
        goal=50,
        also=(("allocated_mb", "MB allocated", 1.0),),
    ),
    Case(
        name="client1000",
        title="client: state and an artifact of each of 1,000 tasks",
        figure="read_s",
        unit="s",
        goal=0.010,
    ),
    Case(name="client100000", title="the same, of 100,000 tasks", figure="read_s", unit="s", goal=0.3),
    Case(name="resume1000", title="resume a run of 1,000 finished tasks", figure="wall", unit="s", goal=0.3),
    Case(
        name="twenty",
        title="20 runs started at once, until the last ends",
        figure="last_end",
        unit="s",
        goal=3.0,
    ),
    # Function flows.
    Case(name="flow3", title="function flow of 3 inline tasks, whole process", figure="wall", unit="s", goal=0.2),
    Case(
        name="flow3called",
        title="the same, called by the program that defines it",
        figure="wall",
        unit="s",
        goal=0.2,
    ),
    Case(name="flowwarm", title="the same, called again in a warm process", figure="call_ms", unit="ms", goal=10),
    Case(name="flowtest", title="the same, run again by the test harness", figure="call_ms", unit="ms", goal=15),
    Case(name="call1000", title="inline task, kill-durable", figure="ms_per_task", unit="ms", goal=0.3),
    Case(
        name="map1000",
        title="`.map` over 1,000 no-ops in threads, all on record when it returns",
        figure="in_flow_s",
        unit="s",
        goal=0.5,
    ),
    Case(
        name="map1000fork",
        title="`.map` over 1,000 no-ops in processes, whole process",
        figure="wall",
        unit="s",
        goal=2.5,
    ),
    Case(
        name="map100000",
        title="`.map` over 100,000 inline no-ops",
        figure="wall",
        unit="s",
        goal=20.0,
        also=(("peak", "MiB, driver", 128 * 1e6 / 2**20), ("metadata_bytes_per_task", "bytes of metadata a task", 300)),
    ),
    Case(name="cached1000", title="second run of 1,000 cached tasks", figure="wall", unit="s", goal=0.4),
    Case(
        name="metadata1000",
        title="rows of metadata a task, of 1,000",
        figure="metadata_rows_per_task",
        unit="rows",
        goal=3,
        also=(("metadata_bytes_per_task", "bytes", 300),),
    ),
    Case(
        name="replay10000",
        title="replay of 10,000 recorded calls, run killed and resumed, whole process",
        figure="wall",
        unit="s",
        goal=1.0,
    ),
    # Large arrays.
    Case(
        name="arraysave",
        title="1 GiB of random float64 saved, hashed: speed over `np.save`",
        figure="ratio",
        unit="×",
        goal=0.8,
        more_is_better=True,
        also=(("extra", "MiB above the array", 64),),
    ),
    Case(
        name="arraysync",
        title="the same and synced: speed over `np.save` and `fsync`",
        figure="ratio",
        unit="×",
        goal=0.85,
        more_is_better=True,
    ),
    Case(name="arrayload", title="the array loaded by the next process", figure="load_ms", unit="ms", goal=5),
    Case(
        name="arraysum",
        title="... and summed: speed over the sum of one in memory",
        figure="sum_ratio",
        unit="×",
        goal=0.9,
        more_is_better=True,
    ),
    Case(
        name="zeros",
        title="1 GiB of zeros saved",
        figure="gb_per_s",
        unit="GB/s",
        goal=1.0,
        more_is_better=True,
        also=(("percent", "% of it on disk", 1),),
    ),
    Case(
        name="same10",
        title="128 MiB saved ten times by processes that begin",
        figure="copies",
        unit="copies",
        goal=1.01,
        also=(("load_ms", "ms to load the slowest", 5),),
    ),
    Case(
        name="changed10",
        title="... with another 1% of its rows, in a row, changed each time",
        figure="copies",
        unit="copies",
        goal=1.3,
        also=(("load_ms", "ms to load the slowest", 5),),
    ),
    Case(
        name="scattered10",
        title="... with 1% of its rows, anywhere, changed",
        figure="copies",
        unit="copies",
        goal=10.1,
    ),
    Case(name="inserted10", title="... with a row inserted in the middle", figure="copies", unit="copies", goal=10.1),
    # Small values and frames.
    Case(
        name="small-save",
        title="10,000 small values saved by one task",
        figure="save_s",
        unit="s",
        goal=0.1,
        also=(("files", "files", 5),),
    ),
    Case(name="small-load", title="all 10,000 loaded by the client", figure="read_s", unit="s", goal=0.030),
    Case(
        name="frame",
        title="frame of 10⁷ × 4 float64: the lower of its speeds, written and read, over Feather's",
        figure="lower_ratio",
        unit="×",
        goal=0.9,
        more_is_better=True,
    ),
    # Data stores.
    Case(
        name="gc",
        title="`gc` over 1,000,000 blobs, 100 of 1,000 runs deleted",
        figure="seconds",
        unit="s",
        goal=60,
        also=(("peak_mb", "MB", 256),),
    ),
    Case(
        name="verify",
        title="`verify`, to the slower of reading the disk and hashing",
        figure="ratio",
        unit="of the limit",
        goal=0.7,
        more_is_better=True,
    ),
]
