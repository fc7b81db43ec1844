"""`dovetail plugins show`, `test`, `doctor` and `freeze` with a plugin that can be made to fail."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

MANIFEST = """
from dovetail.plugins import DataStoreSpec, HealthCheckSpec, hookimpl

@hookimpl
def dovetail_datastores():
    return [
        DataStoreSpec(
            name="crate", factory="crate.store:CrateStore", settings="crate.settings:CrateSettings",
            summary="crates", schemes=("crate",), capabilities=("copy",),
        )
    ]

@hookimpl
def dovetail_health_checks():
    return [HealthCheckSpec(name="crate-lid", factory="crate.health:lid", checks="datastore:crate")]
"""
SETTINGS = """
from dataclasses import dataclass
from typing import Annotated
from dovetail.interfaces.context import SecretRef

@dataclass(frozen=True, slots=True, kw_only=True)
class CrateSettings:
    size: Annotated[int, "how large"] = 3
    token: Annotated[SecretRef | None, "who asks"] = None
"""
STORE = """
import os
from dovetail.interfaces.datastore import DataStoreCapability
from dovetail.interfaces.errors import PermissionDeniedError
from dovetail.local.store import LocalStore

FAULT = os.environ.get("CRATE_FAULT", "")

class CrateStore(LocalStore):
    capabilities = DataStoreCapability.COPY

    @classmethod
    def open(cls, target, settings, ctx):
        if settings.token is not None:
            ctx.secret(settings.token)
        if FAULT == "crash":
            raise FileNotFoundError(2, "No such file or directory", "/crates")
        if FAULT == "open":
            raise PermissionDeniedError("nobody may enter", hint="Ask for a key.")
        return cls(target.removeprefix("crate://"))

    def put(self, key, body, *, mode="create", metadata=None):
        if FAULT == "write":
            raise PermissionDeniedError("no writing here")
        return super().put(key, body, mode="overwrite" if FAULT == "racy" else mode, metadata=metadata)

    def scan(self, prefix="", *, after=None):
        return iter([]) if FAULT == "list" else super().scan(prefix, after=after)

    def head(self, key):
        info = super().head(key)
        if FAULT == "clock":
            from dataclasses import replace
            return replace(info, now=info.now + 3600)
        return info
"""
HEALTH = """
from dovetail.interfaces.problems import Problem

def lid(context):
    if context.online:
        yield Problem(code="lid", message="the lid is open", fix="close it")
"""
FLOW = """
from dovetail import FlowSpec, step, datastore

class Packs(FlowSpec):
    @step
    def start(self):
        self.next(self.end)

    @datastore("boxes")
    @step
    def end(self):
        pass
"""
METADATA = """\
Metadata-Version: 2.1
Name: crate-dist
Version: 1.5
Requires-Dist: dovetail>=0.1
Project-URL: Homepage, https://example.org
Project-URL: Documentation, https://docs.example.org/crate
"""


class Project:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        package = folder / "site" / "crate"
        package.mkdir(parents=True)
        for name, text in {
            "__init__": "",
            "plugin": MANIFEST,
            "settings": SETTINGS,
            "store": STORE,
            "health": HEALTH,
        }.items():
            (package / f"{name}.py").write_text(text)
        self.info = folder / "site" / "crate_dist-1.5.dist-info"
        self.info.mkdir()
        (self.info / "METADATA").write_text(METADATA)
        (self.info / "INSTALLER").write_text("pip\n")
        (self.info / "entry_points.txt").write_text("[dovetail.plugins]\ncrate = crate.plugin\n")
        self.configure(f"[datastore.boxes]\nuse = 'crate'\ntarget = '{folder}/boxes'\n")
        (folder / "flow.py").write_text(FLOW)

    def configure(self, text: str) -> None:
        (self.folder / "dovetail.toml").write_text(text)

    def __call__(self, *words: str, **env: str) -> tuple[int, str]:
        variables = {name: value for name, value in os.environ.items() if not name.startswith("DOVETAIL")}
        variables |= {"PYTHONPATH": str(self.folder / "site"), "XDG_CACHE_HOME": str(self.folder / "cache"), **env}
        command = [sys.executable, "-m", "dovetail", "plugins", *words]
        options: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "timeout": 300}
        done = subprocess.run(command, cwd=self.folder, env=variables, check=False, **options)
        return done.returncode, done.stdout

    def checks(self, *words: str, **env: str) -> tuple[int, dict[str, Any]]:
        code, printed = self("doctor", "--json", *words, **env)
        return code, {check["check"]: check for check in json.loads(printed)}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_show_tells_settings_origin_and_documentation(project: Project) -> None:
    _, printed = project("show", "crate-dist")
    for text in ("installed by pip", "https://docs.example.org/crate", "DOVETAIL__DATASTORE__CRATE__SIZE", "secret"):
        assert text in printed
    (shown,) = json.loads(project("show", "crate", "--json")[1])
    assert (shown["docs"], shown["installer"], shown["editable"]) == ("https://docs.example.org/crate", "pip", False)
    by_kind = {offer["kind"]: offer for offer in shown["offers"]}
    assert by_kind["datastore"]["settings"] == [
        {
            "name": "size",
            "type": "int",
            "required": False,
            "default": 3,
            "secret": False,
            "variable": "DOVETAIL__DATASTORE__CRATE__SIZE",
            "help": "how large",
        },
        {
            "name": "token",
            "type": "secret",
            "required": False,
            "default": None,
            "secret": True,
            "variable": "DOVETAIL__DATASTORE__CRATE__TOKEN",
            "help": "who asks",
        },
    ]


def test_show_of_an_embedded_backend(project: Project) -> None:
    (shown,) = json.loads(project("show", "sqlite", "--json")[1])
    assert [offer["name"] for offer in shown["offers"]] == ["sqlite"]


def test_doctor_tries_a_store_and_leaves_nothing(project: Project) -> None:
    code, checks = project.checks("boxes", "--online")
    assert code == 0, checks
    names = ["load", "settings", "open", "write", "read", "list", "clock", "delete"]
    assert list(checks) == [*(f"datastore:boxes {name}" for name in names), "crate-lid"]
    assert all(checks[f"datastore:boxes {name}"]["status"] == "healthy" for name in names)
    assert all(check["seconds"] >= 0 and check["from"] == "crate-dist" for check in checks.values())
    assert [path for path in (project.folder / "boxes").rglob("*") if path.is_file() and path.name != "%lock"] == []


def test_doctor_talks_to_no_service_unasked(project: Project) -> None:
    code, checks = project.checks("crate-dist")
    assert code == 0
    assert checks["datastore:boxes open"]["status"] == "skipped"
    assert checks["datastore:boxes open"]["skipped"] == "needs --online"
    assert checks["crate-lid"]["status"] == "skipped"
    assert not (project.folder / "boxes").exists()
    assert "skipped: needs --online" in project("doctor", "boxes")[1]


def test_only_what_is_selected_makes_it_fail(project: Project) -> None:
    code, checks = project.checks("boxes", "--online", CRATE_FAULT="write")
    assert (code, checks["datastore:boxes write"]["status"]) == (0, "unhealthy")
    assert checks["datastore:boxes write"]["selected"] is False
    code, checks = project.checks("boxes", "--online", CRATE_FAULT="write", DOVETAIL__DATASTORE="boxes")
    assert code == 1
    assert checks["datastore:boxes write"]["selected"] is True


@pytest.mark.parametrize(
    ("fault", "check", "code", "fix"),
    [
        ("write", "write", "permission", "Grant the right to write objects below"),
        ("racy", "write", "not-create-only", "dovetail plugins test NAME"),
        ("list", "list", "round-trip", "dovetail plugins test NAME"),
        ("clock", "clock", "clock-skew", "timedatectl set-ntp true"),
        ("open", "open", "DOVETAIL-B004", "Ask for a key."),
        ("crash", "open", "DOVETAIL-B000", "dovetail plugins show datastore:crate tells its settings."),
    ],
)
def test_doctor_names_what_is_wrong_and_how_to_mend_it(
    project: Project, fault: str, check: str, code: str, fix: str
) -> None:
    _, checks = project.checks("boxes", "--online", CRATE_FAULT=fault)
    (problem,) = checks[f"datastore:boxes {check}"]["problems"]
    assert problem["code"] == code
    assert fix in problem["fix"]
    printed = project("doctor", "boxes", "--online", CRATE_FAULT=fault)[1]
    assert problem["fix"] in printed
    assert "unhealthy" in printed


def test_a_kind_in_front_of_a_name(project: Project) -> None:
    assert project.checks("datastore:boxes", "--online")[1]["datastore:boxes open"]["status"] == "healthy"
    (shown,) = json.loads(project("show", "datastore:crate", "--json")[1])
    assert [offer["name"] for offer in shown["offers"]] == ["crate"]
    _, printed = project("test", "datastore:boxes", "-k", "unchanged", "--json")
    assert [suite["interface"] for suite in json.loads(printed)["suites"]] == ["datastore"]
    code, printed = project("test", "datastore:boxes", "--kind", "compute")
    assert code == 2
    assert "datastore:boxes is no compute" in printed
    for verb, said in (("doctor", "no compute 'boxes' is"), ("show", "is called 'compute:boxes'"), ("test", "to test")):
        code, printed = project(verb, "compute:boxes")
        assert code == 2
        assert said in printed


def test_doctor_finds_credentials_and_prints_none(project: Project) -> None:
    toml = (project.folder / "dovetail.toml").read_text()
    project.configure(toml + "token = {secret = 'env:CRATE_TOKEN'}\n")
    code, checks = project.checks("boxes", DOVETAIL__DATASTORE="boxes")
    assert code == 1
    (problem,) = checks["datastore:boxes credentials"]["problems"]
    assert problem["message"] == "the secret env:CRATE_TOKEN is not there"
    code, printed = project("doctor", "boxes", "--online", CRATE_TOKEN="hidden-value-4711")
    assert code == 0
    assert "credentials" in printed
    assert "hidden-value-4711" not in printed
    _, checks = project.checks("boxes", CRATE_TOKEN="hidden-value-4711")
    assert checks["datastore:boxes credentials"]["status"] == "healthy"
    assert "hidden-value-4711" not in json.dumps(checks)


def test_doctor_tells_wrong_settings(project: Project) -> None:
    toml = (project.folder / "dovetail.toml").read_text()
    project.configure(toml + "sise = 4\n")
    code, checks = project.checks("boxes", DOVETAIL__DATASTORE="boxes")
    assert code == 1
    assert "Did you mean 'size'?" in checks["datastore:boxes settings"]["problems"][0]["message"]
    assert "datastore:boxes open" not in checks


def test_doctor_names_what_a_backend_needs(project: Project) -> None:
    manifest = project.folder / "site" / "crate" / "plugin.py"
    needs = 'requires=("nothing_of_the_sort",), install_hint="pip install sort",'
    manifest.write_text(MANIFEST.replace('summary="crates",', f'summary="crates", {needs}'))
    project.configure("")
    for name in ("crate", "crate-dist"):
        code, checks = project.checks(name)
        (problem,) = checks["datastore:crate load"]["problems"]
        assert "needs nothing_of_the_sort" in problem["message"]
        assert (code, problem["fix"]) == (0, "pip install sort")


def test_doctor_of_a_choice_that_nothing_provides(project: Project) -> None:
    code, checks = project.checks(DOVETAIL__DATASTORE="crat")
    assert code == 1
    assert "Did you mean 'crate'?" in checks["datastore:? load"]["problems"][0]["fix"]
    assert checks["metadata:sqlite lease"]["status"] == "healthy"


def test_doctor_lists_broken_plugins_without_failing(project: Project) -> None:
    (project.folder / "site" / "crate" / "plugin.py").write_text("import nothing_of_the_sort")
    code, checks = project.checks()
    assert code == 0
    assert checks["plugin crate-dist"]["problems"][0]["code"] == "broken"
    assert "dovetail plugins show crate-dist" in checks["plugin crate-dist"]["problems"][0]["fix"]


def test_test_runs_the_kit_below_the_configured_target(project: Project) -> None:
    words = ["test", "boxes", "-k", "unchanged or overwrite or scan_is_sorted or create", "--report", "r.json"]
    code, printed = project(*words)
    assert "datastore of crate-dist 1.5: " in printed or "CrateStore of crate-dist 1.5: " in printed, printed
    report = json.loads((project.folder / "r.json").read_text())
    (suite,) = report["suites"]
    assert (suite["interface"], suite["plugin"]["name"]) == ("datastore", "crate-dist")
    assert suite["totals"]["passed"] > 3
    assert code == (1 if suite["totals"]["failed"] else 0)
    places = project.folder / "boxes" / "dovetail-test"
    assert places.is_dir()
    assert [path for path in places.rglob("*") if path.is_file() and path.name != "%lock"] == []


def test_test_finds_what_is_wrong(project: Project) -> None:
    code, printed = project("test", "boxes", "-k", "create", "--json", CRATE_FAULT="racy")
    assert code == 1
    (suite,) = json.loads(printed)["suites"]
    failed = {case["test"]: case for case in suite["tests"] if case["outcome"] == "failed"}
    assert any(case["guarantee"] == "datastore.create-is-exclusive" for case in failed.values()), failed
    _, printed = project("test", "boxes", "-k", "create", CRATE_FAULT="racy")
    assert next(iter(failed)) in printed


def test_test_of_a_distribution_looks_at_its_manifest_too(project: Project) -> None:
    code, printed = project("test", "crate-dist", "-k", "manifest or typed", "--json")
    found = {suite["interface"]: suite for suite in json.loads(printed)["suites"]}
    outcomes = {case["test"]: case["outcome"] for case in found["plugin"]["tests"]}
    assert outcomes["test_the_manifest_loads"] == "passed"
    assert outcomes["test_its_packages_are_typed"] == "failed"
    assert code == 1


def test_test_needs_a_place_to_write_to(project: Project) -> None:
    project.configure("[datastore.bare]\nuse = 'crate'\n")
    code, printed = project("test", "bare")
    assert code == 2
    assert "--target 'PLACE/{test}'" in printed
    code, printed = project("test", "bare", "--target", f"{project.folder}/here/{{test}}", "-k", "create_and")
    assert "has no place" not in printed
    code, printed = project("test", "bere")
    assert code == 2
    assert "Did you mean 'bare'?" in printed


def test_freeze(project: Project) -> None:
    assert project("freeze") == (0, "crate-dist==1.5\n")
    assert project("freeze", "--flow", "flow.py") == (0, "crate-dist==1.5\n")
    (pin,) = json.loads(project("freeze", "--json")[1])
    assert (pin["dist"], pin["version"], pin["entries"]) == ("crate-dist", "1.5", {"crate": "crate.plugin"})
    assert pin["requirement"] == "crate-dist==1.5"
    assert pin["digest"].startswith("sources:")


def test_freeze_leaves_out_what_a_flow_does_not_select(project: Project) -> None:
    flow = project.folder / "flow.py"
    flow.write_text(FLOW.replace('    @datastore("boxes")\n', ""))
    assert project("freeze", "--flow", "flow.py") == (0, "")
    assert project("freeze", "--flow", "flow.py", "--json") == (0, "[]\n")
    assert project("freeze", "--flow", "flow.py", DOVETAIL__DATASTORE="boxes") == (0, "crate-dist==1.5\n")
    code, printed = project("freeze", "--flow", "missing.py")
    assert code == 2
    assert "Traceback" not in printed


@pytest.mark.parametrize(
    ("origin", "line"),
    [
        ({"url": "file:///src/crate", "dir_info": {"editable": True}}, "-e /src/crate"),
        ({"url": "file:///src/crate", "dir_info": {}}, "crate-dist @ file:///src/crate"),
        (
            {"url": "https://example.org/crate.git", "vcs_info": {"vcs": "git", "commit_id": "abc123"}},
            "crate-dist @ git+https://example.org/crate.git@abc123",
        ),
        (
            {"url": "https://example.org/c.whl", "archive_info": {"hash": "sha256=12"}},
            "crate-dist @ https://example.org/c.whl#sha256=12",
        ),
    ],
)
def test_freeze_of_what_came_from_no_index(project: Project, origin: dict[str, Any], line: str) -> None:
    (project.info / "direct_url.json").write_text(json.dumps(origin))
    assert project("freeze") == (0, f"{line}\n")
