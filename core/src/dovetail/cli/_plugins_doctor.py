"""`dovetail plugins doctor`: loads, configures, opens and tries what is selected, and runs the plugins' own checks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from dovetail.cli import output
from dovetail.cli._plugins_origin import installed_from
from dovetail.interfaces.errors import DovetailError, UnknownNameError
from dovetail.interfaces.problems import Problem
from dovetail.plugins.descriptors import BACKEND_KINDS, BackendSpec
from dovetail.plugins.extensions import HealthCheckSpec
from dovetail.plugins.health import CheckResult, result_of, run_check
from dovetail.settings.kinds import kind_and_name, same_key

if TYPE_CHECKING:
    from dovetail.plugins.records import PluginRecord
    from dovetail.settings import Selection, Settings

__all__ = ["doctor"]

_OFFLINE = "needs --online"
_LOCAL_PROVIDERS = ("env", "file")


class _Row(NamedTuple):
    """A check, whose it is, and whether a run here depends on it."""

    dist: str
    selected: bool
    result: CheckResult


def doctor(
    settings: Settings, records: Sequence[PluginRecord], name: str | None, *, online: bool, as_json: bool
) -> int:
    """Check everything that is selected, or what has a name; the exit code.

    It is 1 only when something that a run here would use is unhealthy.
    """
    rows = list(_rows(settings, records, name, online))
    unhealthy = any(row.selected and row.result.problems for row in rows)
    if as_json:
        output.emit_json([_plain(row) for row in rows])
        return int(unhealthy)
    table = [(row.result.name, _status(row.result), _time(row.result), row.dist) for row in rows]
    colours = {"STATUS": {"healthy": "green", "unhealthy": "red", "skipped": "dim"}}
    output.table(("CHECK", "STATUS", "TIME", "FROM"), table, colours=colours)
    for row in rows:
        for problem in row.result.problems:
            output.say(f"\n{row.result.name}: {problem}")
    for skipped in sorted({row.result.skipped for row in rows} - {""}):
        output.say(f"\nskipped: {skipped}")
    for record in records:
        if record.status in ("blocked", "not-allowed"):
            output.say(f"\n{record.dist} is {record.status}: {record.reason}")
    origins = [(f"{r.dist} {r.version}", installed_from(r.dist)) for r in records if r.status != "built-in"]
    if origins:
        output.say("\ninstalled plugins, whose manifests are code that runs:")
        output.pairs(origins, indent="  ")
    return int(unhealthy)


def _rows(settings: Settings, records: Sequence[PluginRecord], name: str | None, online: bool) -> Iterator[_Row]:
    owners = {(o.spec.kind, o.spec.name): r.dist for r in records for o in r.offers if o.status != "duplicate"}
    selected = _selected(settings)
    subjects = selected if name is None else _subjects(settings, records, name)
    for kind, instance in subjects:
        matters = (kind, instance) in selected
        backend = _backend(settings, kind, instance)
        for result in _of_backend(settings, kind, instance, online):
            yield _Row(owners.get((kind, backend), ""), matters, _with_fixes(result, f"{kind}:{backend}"))
    in_use = {f"{kind}:{_backend(settings, kind, instance)}" for kind, instance in selected}
    named = {f"{kind}:{_backend(settings, kind, instance)}" for kind, instance in subjects}
    for record in records:
        whole = name is None or record.called(name)
        if whole and record.status in ("broken", "incompatible", "missing-dependency", "duplicate"):
            yield _Row(record.dist, False, _unusable(record))
        for offer in record.offers:
            spec = offer.spec
            if not isinstance(spec, HealthCheckSpec) or offer.status not in ("ready", "built-in"):
                continue
            if whole or spec.checks in named:
                yield _Row(record.dist, spec.checks in in_use, _own_check(settings, spec, online))


def _selected(settings: Settings) -> list[tuple[str, str]]:
    """(kind, instance) of what a run here uses. The instance is empty where the choice itself fails."""
    found = []
    for kind in BACKEND_KINDS:
        try:
            found.append((kind, settings.choice(kind).instance))
        except DovetailError:
            found.append((kind, ""))
    return found


def _subjects(settings: Settings, records: Sequence[PluginRecord], name: str) -> list[tuple[str, str]]:
    """Instances and backends that a name means, or `KIND:NAME`: of a distribution all that it provides."""
    asked, name = kind_and_name(name)
    kinds = [asked] if asked else BACKEND_KINDS
    offered = [
        (o.spec.kind, o.spec.name)
        for r in records
        for o in r.offers
        if isinstance(o.spec, BackendSpec)
        and o.spec.kind in kinds
        and o.status in ("ready", "built-in", "missing-dependency")  # of the last, `load` says what it needs
        and (r.called(name) or name == o.spec.name)
    ]
    instances = [(kind, i) for kind in kinds for i in settings.instances(kind)]
    found = [pair for pair in instances if same_key(pair[1], name) or (pair[0], _backend(settings, *pair)) in offered]
    used = {(kind, _backend(settings, kind, instance)) for kind, instance in found}
    found += [pair for pair in offered if pair not in used and pair not in found]
    if not found and (asked or not any(r.called(name) for r in records)):
        what = f"{asked} {name!r}" if asked else f"plugin {name!r}"
        raise UnknownNameError(f"no {what} is installed", hint="dovetail plugins list shows what there is.")
    return found


def _backend(settings: Settings, kind: str, instance: str) -> str:
    """Name of an instance's backend; the instance's own where that can't be told."""
    try:
        return settings.backend_of(kind, instance) if instance else settings.choice(kind).spec.name
    except DovetailError:
        return instance


def _of_backend(settings: Settings, kind: str, instance: str, online: bool) -> Iterator[CheckResult]:
    """Load, settings, credentials, open, and what can be tried; each stands on those before it."""
    name = f"{kind}:{instance or '?'}"
    found: list[Any] = []

    def load() -> Iterable[Problem]:
        spec = settings.registry.spec(kind, settings.backend_of(kind, instance) if instance else _chosen())
        settings.registry.load(spec)
        found.append(spec)
        return ()

    def _chosen() -> str:
        return settings.choice(kind).spec.name

    def configure() -> Iterable[Problem]:
        is_selected = settings.choice(kind).instance == instance
        found.append(settings.select(kind) if is_selected else settings.named(kind, instance))
        return ()

    for what, check in (("load", load), ("settings", configure)):
        result = result_of(f"{name} {what}", check)
        yield result
        if result.problems:
            return
    spec, selection = found
    credentials = _credentials(settings, selection, online)
    if credentials is not None:
        yield result_of(f"{name} credentials", credentials)
    if spec.guard and not online:
        yield CheckResult(name=f"{name} open", problems=(), seconds=0.0, skipped=_OFFLINE)
        return
    yield from _tried(settings, selection, name)


def _credentials(settings: Settings, selection: Selection, online: bool) -> Callable[[], Iterator[Problem]] | None:
    from dovetail.plugins.opening import SecretLookup
    from dovetail.plugins.secrets import parse_secret
    from dovetail.settings.taking_part import secrets_in

    references = [parse_secret(text) for text in secrets_in(selection.settings)]
    references = [ref for ref in references if online or ref.provider in _LOCAL_PROVIDERS]
    if not references:
        return None
    lookup = SecretLookup(settings.registry, settings.home)

    def check() -> Iterator[Problem]:
        for ref in references:
            try:
                if not lookup(ref):
                    yield Problem(code="credentials", message=f"the secret {ref} is empty")
            except DovetailError as error:
                yield Problem(code=error.code, message=lookup.redact(error.message), fix=error.hint or "")

    return check


def _tried(settings: Settings, selection: Selection, name: str) -> Iterator[CheckResult]:
    from dovetail.plugins.probes import probes

    opened: list[Any] = []

    def open() -> Iterable[Problem]:
        opened.append(settings.open(selection))
        return ()

    yield result_of(f"{name} open", open)
    if not opened:
        return
    try:
        yield from probes(selection.kind, opened[0], name)
    finally:
        opened[0].close()


def _with_fixes(result: CheckResult, backend: str) -> CheckResult:
    """The same, with something to do about errors that say nothing of it."""
    if all(problem.fix for problem in result.problems):
        return result
    fix = f"dovetail plugins show {backend} tells its settings. Where they are right, tell the authors of the plugin."
    problems = tuple(problem if problem.fix else replace(problem, fix=fix) for problem in result.problems)
    return replace(result, problems=problems)


def _own_check(settings: Settings, spec: HealthCheckSpec, online: bool) -> CheckResult:
    kind, _, backend = spec.checks.partition(":")
    if not kind:
        return run_check(spec, None, online=online)
    try:
        if settings.registry.spec(kind, backend).guard and not online:  # type: ignore[attr-defined]
            return CheckResult(name=spec.name, problems=(), seconds=0.0, skipped=_OFFLINE)
    except DovetailError:
        pass  # the check says it

    def open() -> Any:
        if settings.choice(kind).spec.name == backend:
            return settings.open(settings.select(kind))
        return settings.open(settings.named(kind, backend))

    return run_check(spec, open, online=online)


_FIXES = {
    "broken": "dovetail plugins show {dist} has the traceback; leave it out with plugins.block, or mend it.",
    "incompatible": "pip install --upgrade dovetail {dist}",
    "missing-dependency": "Install what it needs.",
    "duplicate": "Choose one, as it says.",
}


def _unusable(record: PluginRecord) -> CheckResult:
    fix = _FIXES[record.status].format(dist=record.dist)
    problem = Problem(code=record.status, message=record.reason, fix=fix)
    return CheckResult(name=f"plugin {record.dist}", problems=(problem,), seconds=0.0)


def _status(result: CheckResult) -> str:
    return "skipped" if result.skipped else "unhealthy" if result.problems else "healthy"


def _time(result: CheckResult) -> str:
    return "" if result.skipped else f"{result.seconds * 1000:.0f} ms"


def _plain(row: _Row) -> dict[str, Any]:
    return {
        "check": row.result.name,
        "from": row.dist,
        "selected": row.selected,
        "status": _status(row.result),
        "skipped": row.result.skipped or None,
        "seconds": row.result.seconds,
        "problems": [problem.to_plain() for problem in row.result.problems],
    }
