"""Write `RESULTS.md` from what was measured."""

from __future__ import annotations

import os
import platform
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cases import CASES, Case

__all__ = ["machine", "write_report"]

Records = dict[str, dict[str, Any]]
"""`system case` → the newest record: `runs`, `version`, `date`."""

DETAILS = [
    ("wall", "wall s"),
    ("cpu", "CPU s"),
    ("cpu_ms_per_task", "CPU ms a task"),
    ("tasks_per_s", "tasks/s"),
    ("in_flow_s", "in the flow s"),
    ("rss", "largest process MiB"),
    ("peak", "driver MiB"),
    ("pss", "PSS of the tree MiB"),
    ("others", "others' cores"),
]
SYSTEMS = {
    "dovetail": "Dovetail",
    "metaflow": "Metaflow",
    "prefect": "Prefect",
    "prefect-served": "Prefect, server running",
}
REMARKS = [
    # key, number, text
    ("dovetail import", "modules", "Modules that the import of {system} loads: {value}."),
    ("metaflow import", "modules", "Modules that the import of {system} loads: {value}."),
    ("prefect import", "modules", "Modules that the import of {system} loads: {value}."),
    ("prefect-served hello3", "wall", "{system}, 3 no-op steps: {value} s."),
    ("prefect fan1000threads", "wall", "{system}, 1,000 wide in threads: {value} s ..."),
    ("prefect fan1000threads", "recorded", "... after which {value} of the 1,000 task runs are on record."),
    (
        "prefect fan10000",
        "recorded",
        "{system}, 10,000 wide: in threads; {value} on record when it ends.",
    ),
    ("prefect client1000", "tasks", "{system}'s client reads the {value} finished tasks that are on record of 1,000."),
    (
        "prefect client1000",
        "open_s",
        "{system}'s client starts a server first, not counted above: {value} s.",
    ),
    ("dovetail twenty", "ok", "20 runs at once, {system}: {value} succeed."),
    ("metaflow twenty", "ok", "20 runs at once, {system}: {value} succeed."),
    ("prefect twenty", "ok", "20 runs at once, {system}: {value} succeed."),
    ("prefect-served twenty", "ok", "20 runs at once, {system}: {value} succeed ..."),
    ("prefect-served twenty", "last_end", "... and the last ends after {value} s."),
    ("prefect-served flowwarm", "call_ms", "{system}, a flow of 3 tasks called again in a warm process: {value} ms."),
    ("dovetail map1000", "recorded", "Of 1,000 mapped in threads, {value} survive a kill when the last returns."),
    ("dovetail replay10000", "in_flow_s", "The body of a resumed run has 10,000 recorded values after {value} s."),
    (
        "dovetail arrayload",
        "always_ms",
        '{system}, 1 GiB loaded with `verify = "always"`, all of it hashed: {value} ms.',
    ),
    ("dovetail arraysave", "gb_per_s", "{system} saves the random GiB at {value} GB/s ..."),
    ("dovetail arraysave", "numpy_gb_per_s", "... `np.save` at {value} GB/s."),
    ("dovetail small-save", "sqlite_s", "10,000 rows in one commit of SQLite, in the same run: {value} s."),
    ("dovetail small-load", "read_at_once_s", "{system}, all 10,000 by `task.values()`: {value} s."),
    ("dovetail frame", "write_gb_s", "{system} writes the frame at {value} GB/s, hash included ..."),
    ("dovetail frame", "feather_write_gb_s", "... Feather, uncompressed, at {value} GB/s ..."),
    ("dovetail frame", "read_gb_s", "... {system} reads and sums it at {value} GB/s ..."),
    ("dovetail frame", "feather_read_gb_s", "... Feather, mapped, at {value} GB/s."),
    ("prefect metadata1000", "all_recorded_after_s", "{system} has 1,000 tasks on record {value} s after the run."),
]


def machine() -> str:
    """Where the figures were taken, in a line."""
    cpu = next((x.split(":")[1].strip() for x in _lines("/proc/cpuinfo") if x.startswith("model name")), "")
    memory = next(int(x.split()[1]) for x in _lines("/proc/meminfo") if x.startswith("MemTotal")) / 2**20
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{os.cpu_count()} cores ({cpu}), {memory:.1f} GiB, Linux {platform.release()}, {python}"


def write_report(records: Records, file: Path) -> None:
    """The comparison, then every case of every system in full; what `make soak` recorded stays."""
    lines = [
        "# Measured",
        "",
        "Written by `make bench`; `README.md` says how each figure is taken and where the time goes.",
        "",
        f"Machine: {machine()}.",
        f"Versions: {', '.join(_versions(records))}.",
        "",
        "Cells are the median of the runs, with the least and the most. *Load* is how many cores other programs kept",
        "busy meanwhile: above 0.5 the wall times are those of a busy machine. The ratio is the peer's figure over",
        "Dovetail's (for rates the other way round), so more is better for Dovetail.",
        "",
        "| case | goal | Dovetail | | Metaflow | ratio | Prefect | ratio | load |",
        "|---|---|---|---|---|---|---|---|---|",
        *(_row(case, records) for case in CASES),
        "",
        *_remarks(records),
        "",
        "## In full",
        "",
        f"| case | system | runs | {' | '.join(title for _, title in DETAILS)} | more | measured |",
        f"|---|---|---|{'---|' * len(DETAILS)}---|---|",
        *_details(records),
    ]
    _, heading, soak = (file.read_text(encoding="utf-8") if file.exists() else "").partition("## Last full soak")
    file.write_text("\n".join([*lines, "", heading + soak]).rstrip() + "\n", encoding="utf-8")


def _row(case: Case, records: Records) -> str:
    ours = records.get(f"dovetail {case.name}")
    cells = [case.title, _goals(case)]
    cells += [_figures(case, ours), _verdict(case, ours)] if ours else ["not measured", ""]
    for peer in ("metaflow", "prefect"):
        record = records.get(f"{peer} {case.name}")
        if record is None:
            cells += ["", ""]
            continue
        theirs = _values(record, case.figure)
        middle = statistics.median(theirs)
        cells.append(f"{_spread(theirs)} {case.unit}")
        cells.append(_ratio(case, statistics.median(_values(ours, case.figure)), middle) if ours else "")
    load = _values(ours, "others") if ours else []
    cells.append(_number(statistics.median(load)) if load else "")
    return f"| {' | '.join(cells)} |"


def _goals(case: Case) -> str:
    first = f"{'≥' if case.more_is_better else '≤'} {_number(case.goal)} {case.unit}"
    return "; ".join([first, *(f"≤ {_number(goal)} {unit}" for _, unit, goal in case.also)])


def _figures(case: Case, record: dict[str, Any]) -> str:
    first = f"**{_spread(_values(record, case.figure))} {case.unit}**"
    return "; ".join([first, *(f"{_spread(_values(record, name))} {unit}" for name, unit, _ in case.also)])


def _verdict(case: Case, record: dict[str, Any]) -> str:
    figure = statistics.median(_values(record, case.figure))
    reached = figure >= case.goal if case.more_is_better else figure <= case.goal
    reached = reached and all(statistics.median(_values(record, name)) <= goal for name, _, goal in case.also)
    return "reached" if reached else "**missed**"


def _ratio(case: Case, ours: float, theirs: float) -> str:
    ratio = ours / theirs if case.more_is_better else theirs / max(ours, 1e-9)
    return f"{ratio:.0f}×" if ratio >= 10 else f"{ratio:.1f}×"


def _remarks(records: Records) -> list[str]:
    """What a figure of the table can't say by itself."""
    found = []
    for key, name, text in REMARKS:
        values = _values(records[key], name) if key in records else []
        if values:
            system = SYSTEMS[key.split()[0]]
            found.append(f"* {text.format(system=system, value=_number(statistics.median(values)))}")
    if rates := _values(records.get("metaflow fan1000", {"runs": []}), "tasks_per_s"):
        minutes = 10_000 / statistics.median(rates) / 60
        found.append(f"* Metaflow, 10,000 wide: not run; at its rate of 1,000 wide it takes {minutes:.0f} minutes.")
    return found


def _details(records: Records) -> list[str]:
    order = {case.name: number for number, case in enumerate(CASES)}
    shown = {name for name, _ in DETAILS} | {"ok"}
    lines = []
    for key in sorted(records, key=lambda key: (order.get(key.split()[1].removesuffix("threads"), 99), key)):
        system, case = key.split()
        record = records[key]
        names = sorted({name for run in record["runs"] for name in run} - shown)
        more = "; ".join(f"{name} {_spread(_values(record, name))}" for name in names)
        cells = [case, SYSTEMS[system], str(len(record["runs"]))]
        cells += [_spread(_values(record, name)) for name, _ in DETAILS]
        lines.append(f"| {' | '.join([*cells, more, record['date']])} |")
    return lines


def _values(record: dict[str, Any], name: str) -> list[float]:
    return [run[name] for run in record["runs"] if name in run]


def _spread(values: Sequence[float]) -> str:
    if not values:
        return ""
    middle, low, high = _number(statistics.median(values)), _number(min(values)), _number(max(values))
    return middle if low == high else f"{middle} ({low}–{high})"


def _number(value: float) -> str:
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _versions(records: Records) -> list[str]:
    found = {key.split()[0].removesuffix("-served"): record["version"] for key, record in records.items()}
    return [f"{SYSTEMS[system]} {version}" for system, version in sorted(found.items())]


def _lines(file: str) -> list[str]:
    return Path(file).read_text(encoding="utf-8").splitlines()


if __name__ == "__main__":
    sys.exit("run benchmarks/run.py, or `make bench`")
