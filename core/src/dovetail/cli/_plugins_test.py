"""`dovetail plugins test`: the conformance kit against what is configured."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dovetail.cli import output
from dovetail.interfaces.errors import PluginLoadError, UnknownNameError, UsageError
from dovetail.plugins.descriptors import BACKEND_KINDS, BackendSpec
from dovetail.settings.kinds import kind_and_name, same_key

if TYPE_CHECKING:
    from dovetail.plugins.records import PluginRecord
    from dovetail.settings import Selection, Settings

__all__ = ["configure", "test"]

_MODULE = """\
from dovetail.testing.conformance.configured import suites

globals().update(suites())
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("name", metavar="NAME", help="an instance, a backend, KIND:NAME, or a distribution for all")
    parser.add_argument("--kind", choices=BACKEND_KINDS, help="only its backends of this kind")
    parser.add_argument(
        "--target",
        metavar="PLACE",
        help="where tests may write, instead of below the configured target; {test} in it stands for a name of each "
        "test's own",
    )
    parser.add_argument("--image", help="image that jobs run in, for compute backends that need one")
    parser.add_argument("-k", dest="only", metavar="EXPRESSION", help="only tests that match, as of pytest")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the report there, as JSON")
    parser.add_argument("--json", action="store_true", help="print the report")


def test(settings: Settings, records: Sequence[PluginRecord], args: argparse.Namespace) -> int:
    """Run the kit; exit code 1 when a guarantee is broken.

    Raises:
        UnknownNameError: Nothing is called so.
        UsageError: There is no place for the tests to write to.
        PluginLoadError: pytest or hypothesis is not installed.
    """
    _check_extra()
    subjects = _subjects(settings, records, args)
    with tempfile.TemporaryDirectory(prefix="dovetail-test-") as folder:
        file, report = Path(folder, "test_conformance.py"), Path(folder, "report.json")
        file.write_text(_MODULE)
        command = [sys.executable, "-m", "pytest", str(file), "-q", "--tb=short", "-p", "no:cacheprovider"]
        command += ["--rootdir", folder, "-c", os.devnull, "--dovetail-report", str(report)]
        command += ["--basetemp", str(Path(folder, "tmp")), *(("-k", args.only) if args.only else ())]
        variables = {**os.environ, **settings.core.plugins.to_env()}
        variables["DOVETAIL_CONFORMANCE_SUBJECTS"] = json.dumps(subjects)
        variables.pop("PYTEST_ADDOPTS", None)
        done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
        if not report.exists():
            raise PluginLoadError(f"the conformance kit could not run:\n{(done.stdout + done.stderr).strip()}")
        text = report.read_text(encoding="utf-8")
    found = json.loads(text)
    if args.report is not None:
        args.report.write_text(text, encoding="utf-8")
    if args.json:
        output.emit_json(found)
    else:
        _show(found)
        if done.returncode not in (0, 1):
            output.say(f"\n{done.stdout.strip()}")
    return 0 if done.returncode == 0 else 1


def _check_extra() -> None:
    from importlib.util import find_spec

    missing = [name for name in ("pytest", "hypothesis") if find_spec(name) is None]
    if missing:
        raise PluginLoadError(
            f"the conformance kit needs {' and '.join(missing)}", hint="pip install 'dovetail[testing]'"
        )


def _subjects(settings: Settings, records: Sequence[PluginRecord], args: argparse.Namespace) -> list[dict[str, Any]]:
    """What is tested, as data for the process that tests it."""
    asked, name = kind_and_name(args.name)
    if args.kind and asked not in ("", args.kind):
        raise UsageError(f"{args.name} is no {args.kind}", hint="Leave --kind out.")
    asked = args.kind or asked
    kinds = [asked] if asked else BACKEND_KINDS
    owners = {
        (offer.spec.kind, offer.spec.name): (record, offer.spec)
        for record in records
        for offer in record.offers
        if offer.status in ("ready", "built-in") and isinstance(offer.spec, BackendSpec)
    }
    found: list[tuple[PluginRecord, BackendSpec, Selection]] = []
    for kind in kinds:
        backends = [n for (k, n), (r, _) in owners.items() if k == kind and (name == n or r.called(name))]
        used = {one: settings.backend_of(kind, one) for one in settings.instances(kind)}
        instances = [one for one in used if same_key(one, name)]
        if not instances:  # what is configured of a backend, else the backend as it is
            instances = [one for one in used if used[one] in backends]
            instances += [one for one in backends if one not in used.values()]
        for one in instances:
            selection = settings.named(kind, one)
            record, spec = owners[kind, selection.backend]
            found.append((record, spec, selection))
    subjects = [_subject(spec, record, selection, args) for record, spec, selection in found]
    plugins = {record.dist for record in records if record.called(name) and record.status == "ready"}
    if not asked:
        subjects += [{"kind": "plugin", "name": dist, "dist": dist} for dist in sorted(plugins)]
    if not subjects:
        known = {one for kind in kinds for one in settings.instances(kind)} | {n for k, n in owners if k in kinds}
        raise _nothing(name, known, records)
    return subjects


def _nothing(name: str, known: set[str], records: Sequence[PluginRecord]) -> UnknownNameError:
    from dovetail.plugins.suggest import did_you_mean

    for record in records:
        if record.called(name) and record.reason:
            return UnknownNameError(f"{record.dist} is {record.status}: {record.reason}")
    hint = (
        did_you_mean(name, known | {record.dist for record in records}) or "dovetail plugins list shows what there is."
    )
    return UnknownNameError(f"there is no backend, instance or plugin {name!r} to test", hint=hint)


def _subject(spec: BackendSpec, record: PluginRecord, selection: Selection, args: argparse.Namespace) -> dict[str, Any]:
    return {
        "kind": spec.kind,
        "name": selection.instance,
        "dist": record.dist,
        "pinned": selection.to_plain(),
        "place": _place(spec, selection, args.target),
        "elsewhere": spec.guard,
        "image": args.image,
    }


def _place(spec: BackendSpec, selection: Selection, target: str | None) -> str:
    """Where the tests of a backend write: never where runs do."""
    if spec.kind in ("compute", "environment"):
        return target or selection.target
    if target is not None and "{test}" in target:
        return target
    base = target or selection.target
    if spec.kind == "datastore" and base:
        return f"{base.rstrip('/')}/dovetail-test/{{test}}"
    if not spec.guard and not target:
        return ""  # below the home that each test has for itself
    if spec.kind == "metadata" and base and not spec.guard:
        return f"{base}.{{test}}"
    raise UsageError(
        f"{spec.kind} {selection.instance!r} has no place of its own for each test",
        hint="Say where tests may write, {test} standing for a name: --target 'PLACE/{test}'",
    )


def _show(report: dict[str, Any]) -> None:
    for suite in report["suites"]:
        totals = ", ".join(f"{count} {name}" for name, count in suite["totals"].items() if count)
        plugin = suite["plugin"]
        who = f"{plugin['name']} {plugin['version']}".strip()
        what = " ".join(filter(None, (output.paint(suite["interface"], "bold"), suite["backend"])))
        output.say(f"{what} of {who}: {totals}")
        for case in suite["tests"]:
            if case["outcome"] in ("failed", "not-enforced"):
                output.say(f"  {output.paint(case['outcome'], 'red')}  {case['test']}: {case['reason']}")
                output.say(f"          {case['guarantee']}")
