"""Which backend is chosen, with which settings, and where each value came from."""

from __future__ import annotations

import textwrap
from itertools import combinations
from pathlib import Path

import pytest

from dovetail.interfaces.errors import PluginError, PluginNotFoundError, SettingsError, UsageError
from dovetail.plugins import discovery
from dovetail.settings import Selection

MANIFEST = """
from dovetail.plugins import ComputeBackendSpec, DataStoreSpec, FlowDecoratorSpec, StepDecoratorSpec, hookimpl

@hookimpl
def dovetail_datastores():
    return [DataStoreSpec(name="shelf", factory="shelf.store:X", settings="shelf.settings:Shelf", schemes=("shelf",))]

@hookimpl
def dovetail_compute_backends():
    return [
        ComputeBackendSpec(name=name, factory="shelf.compute:X", settings="shelf.settings:Cluster")
        for name in ("cluster", "farm", "pool", "grid")
    ]

@hookimpl
def dovetail_step_decorators():
    return [
        StepDecoratorSpec(name="on-farm", factory="shelf.deco:farm", chooses="compute", backend="farm"),
        StepDecoratorSpec(name="card", factory="shelf.deco:card", options="shelf.settings:Card"),
    ]

@hookimpl
def dovetail_flow_decorators():
    return [FlowDecoratorSpec(name="all-on-farm", factory="shelf.deco:farm", chooses="compute", backend="farm")]
"""
SETTINGS = """
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from dovetail.interfaces.context import SecretRef

@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    host: Annotated[str, "where"] = "localhost"
    port: int = 22
    key: SecretRef | None = None
    folder: Path | None = None

@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    queue: str = "main"
    nodes: int = 1

@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    title: str = ""
"""


@pytest.fixture
def shelf(project, tmp_path, monkeypatch):
    """A plugin with a data store and compute backends that have settings."""
    site = tmp_path / "site"
    (site / "shelf").mkdir(parents=True)
    (site / "shelf" / "__init__.py").write_text("")
    (site / "shelf" / "plugin.py").write_text(MANIFEST)
    (site / "shelf" / "settings.py").write_text(SETTINGS)
    info = site / "shelf-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shelf\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[dovetail.plugins]\nshelf = shelf.plugin\n")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    discovery.forget_scan()
    yield project
    discovery.forget_scan()
    import sys

    for name in [name for name in sys.modules if name.partition(".")[0] == "shelf"]:
        del sys.modules[name]


def test_defaults(project, build):
    settings = project.load()
    flow = build.flow()
    for kind, name in (("datastore", "local"), ("metadata", "sqlite"), ("compute", "local"), ("environment", "host")):
        found = settings.select(kind, flow.steps[0], flow)
        assert (found.backend, found.instance, found.target, found.settings) == (name, name, "", {})
        assert found.sources == {"use": "default"}


PLACES = ("call", "step", "with", "flow", "env", "project", "user")
"""Who can choose a compute backend, high to low (a `--with` fills what the step did not set)."""
NAMES = dict(zip(PLACES, ("cluster", "farm", "pool", "grid", "cluster", "farm", "pool"), strict=True))


@pytest.mark.parametrize("said", [c for n in (1, 2, 3, 7) for c in combinations(PLACES, n)], ids="+".join)
def test_precedence(shelf, build, said):
    def options(place):
        return {"queue": place}

    step = [build.use("compute", NAMES["step"], **options("step"))] if "step" in said else []
    outer = (build.use("compute", NAMES["flow"], **options("flow")),) if "flow" in said else ()
    call = [build.use("compute", NAMES["call"], **options("call"))] if "call" in said else []
    with_ = (f"compute:{NAMES['with']},queue=with",) if "with" in said else ()
    if "env" in said:
        shelf.env["DOVETAIL__COMPUTE__DEFAULT"] = NAMES["env"]
        shelf.env[f"DOVETAIL__COMPUTE__{NAMES['env'].upper()}__QUEUE"] = "env"
    if "project" in said:
        name = NAMES["project"]
        shelf.pyproject(f"[tool.dovetail.compute]\ndefault = '{name}'\n{name}.queue = 'project'")
    if "user" in said:
        shelf.user(f"[compute]\ndefault = '{NAMES['user']}'\n{NAMES['user']}.queue = 'user'")
    flow = build.flow(*step, flow=outer)
    found = shelf.load(with_=with_).select("compute", flow.steps[0], flow, call)
    winner = said[0]
    assert (found.backend, found.settings["queue"]) == (NAMES[winner], winner)


def test_set_beats_everything_but_the_compute_flag(shelf, build):
    flow = build.flow(build.use("compute", "farm", queue="q", nodes=3))
    step = flow.steps[0]
    found = shelf.load("train.compute.queue=fast", "*.compute.nodes=9", "train.compute.nodes=7").select(
        "compute", step, flow
    )
    assert (found.backend, found.settings) == ("farm", {"queue": "fast", "nodes": 7})
    assert found.sources["queue"] == "--set train.compute.queue=fast"
    found = shelf.load("train.compute=pool").select("compute", step, flow)
    assert (found.backend, found.settings["queue"]) == ("pool", "main")
    assert shelf.load("train.compute=pool").select("compute", flow.steps[1], flow).backend == "local"
    found = shelf.load("train.compute=pool", compute="local").select("compute", step, flow)
    assert (found.backend, found.sources["use"]) == ("local", "--compute")


def test_star_loses_against_a_name(shelf, build):
    flow = build.flow()
    settings = shelf.load("*.compute=farm", "train.compute=pool")
    assert settings.select("compute", flow.steps[0], flow).backend == "pool"
    assert settings.select("compute", flow.steps[1], flow).backend == "farm"


def test_options_of_another_backend_do_not_leak(shelf, build):
    flow = build.flow(build.use("compute", "farm"), flow=(build.use("compute", "pool", queue="pools"),))
    assert shelf.load().select("compute", flow.steps[0], flow).settings["queue"] == "main"
    same = build.flow(build.use("compute", "farm", nodes=2), flow=(build.use("compute", "farm", queue="both"),))
    assert shelf.load().select("compute", same.steps[0], same).settings == {"queue": "both", "nodes": 2}


def test_instances(shelf):
    shelf.pyproject(
        """
        [tool.dovetail.datastore]
        default = "my-archive"
        [tool.dovetail.datastore.my-archive]
        use = "shelf"
        target = "shelf://box"
        host = "a"
        key = { secret = "env:KEY" }
        folder = "keys"
        retries = 2
        """
    )
    shelf.env["DOVETAIL__DATASTORE__MY_ARCHIVE__PORT"] = "2222"
    settings = shelf.load()
    found = settings.select("datastore")
    assert (found.instance, found.backend, found.target, found.retries) == ("my-archive", "shelf", "shelf://box", 2)
    assert found.settings == {
        "host": "a",
        "port": 2222,
        "key": {"secret": "env:KEY"},
        "folder": str(shelf.root / "keys"),
    }
    assert found.sources["port"] == "environment variable DOVETAIL__DATASTORE__MY_ARCHIVE__PORT"
    assert settings.instances("datastore") == ["my-archive"]
    assert Selection.from_plain("datastore", found.to_plain()).same(found)
    assert settings.named("datastore", "my_archive").settings == found.settings


def test_an_instance_from_the_environment_alone(shelf):
    shelf.env |= {"DOVETAIL__DATASTORE__COLD__USE": "shelf", "DOVETAIL__DATASTORE__COLD__HOST": "h"}
    shelf.env["DOVETAIL__DATASTORE"] = "cold"
    found = shelf.load().select("datastore")
    assert (found.instance, found.backend, found.settings["host"]) == ("cold", "shelf", "h")


def test_urls(shelf):
    found = shelf.load(datastore="shelf://box/a").select("datastore")
    assert (found.backend, found.target) == ("shelf", "shelf://box/a")
    assert shelf.load(datastore="file:///tmp/x").select("datastore").backend == "local"
    with pytest.raises(PluginNotFoundError, match="pip install dovetail-s3"):
        shelf.load(datastore="s3://bucket").select("datastore")
    with pytest.raises(PluginNotFoundError, match="Did you mean 'shelf'"):
        shelf.load(datastore="shelv://bucket").select("datastore")
    with pytest.raises(SettingsError, match="chosen by name"):
        shelf.load(compute="ssh://host").select("compute")


def test_a_password_in_a_url_is_refused_and_not_repeated(shelf):
    with pytest.raises(SettingsError) as caught:
        shelf.load(datastore="shelf://ada:hunter2@box").select("datastore")
    assert "hunter2" not in str(caught.value)
    shelf.pyproject("[tool.dovetail.datastore.a]\nuse = 'shelf'\ntarget = 'shelf://ada:hunter2@box'")
    with pytest.raises(SettingsError) as caught:
        shelf.load(datastore="a").select("datastore")
    assert "hunter2" not in str(caught.value)


def test_paths_of_local_stores_start_at_the_file_or_the_working_directory(project):
    project.pyproject("[tool.dovetail.datastore.here]\nuse = 'local'\ntarget = 'data'")
    below = project.root / "below"
    below.mkdir()
    assert project.load(cwd=below, datastore="here").select("datastore").target == str(project.root / "data")
    project.env["DOVETAIL__DATASTORE__HERE__TARGET"] = "other"
    assert project.load(cwd=below, datastore="here").select("datastore").target == str(below / "other")


def test_everything_wrong_with_an_instance_is_named_at_once(shelf):
    shelf.pyproject(
        "[tool.dovetail.datastore.a]\nuse = 'shelf'\nhst = 'x'\nport = 'many'\nkey = 'hunter2'\nretries = -1"
    )
    with pytest.raises(SettingsError) as caught:
        shelf.load(datastore="a").select("datastore")
    text = str(caught.value)
    for part in (
        "has no setting 'hst'",
        "Did you mean 'host'?",
        "port must be",
        "takes a reference",
        "retries must be",
    ):
        assert part in text
    assert "hunter2" not in text


def test_unknown_names_suggest_instances_too(shelf, build):
    shelf.pyproject("[tool.dovetail.compute.nightly]\nuse = 'farm'")
    flow = build.flow(build.use("compute", "nigthly"))
    with pytest.raises(PluginNotFoundError) as caught:
        shelf.load().select("compute", flow.steps[0], flow)
    assert "step 'train' asks for compute 'nigthly'" in str(caught.value)
    assert "Did you mean 'nightly'?" in str(caught.value)


def test_an_instance_of_a_missing_backend_says_where_it_is_configured(shelf):
    shelf.pyproject("[tool.dovetail.datastore.a]\nuse = 's3'")
    with pytest.raises(PluginNotFoundError) as caught:
        shelf.load(datastore="a").select("datastore")
    assert "datastore instance 'a'" in str(caught.value)
    assert "pyproject.toml" in str(caught.value)
    assert "pip install dovetail-s3" in str(caught.value)


def test_flags_of_other_kinds_leave_what_a_step_says(shelf, build):
    flow = build.flow(build.use("datastore", "shelf"), flow=(build.use("datastore", "shelf"),))
    settings = shelf.load(datastore="local")
    assert settings.select("datastore", flow.steps[0], flow).backend == "shelf"
    assert settings.select("datastore", flow.steps[1], flow).backend == "local"
    assert settings.select("datastore", None, flow).backend == "local"


@pytest.mark.parametrize(
    ("text", "backend", "queue"),
    [
        ("farm", "farm", "main"),
        ("farm:queue=q", "farm", "q"),
        ("on-farm:queue=q", "farm", "q"),
        ("all-on-farm:queue=q", "farm", "q"),
        ("compute:farm,queue=q", "farm", "q"),
        ("compute:name=farm,queue=q", "farm", "q"),
    ],
)
def test_with_chooses(shelf, build, text, backend, queue):
    flow = build.flow()
    found = shelf.load(with_=(text,)).select("compute", flow.steps[0], flow)
    assert (found.backend, found.settings["queue"], found.sources["use"]) == (backend, queue, f"--with {text}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("retri:times=2", "Did you mean 'retry'?"),
        ("frm", "Did you mean 'farm'?"),
        ("all-on-frm", "Did you mean 'all-on-farm'?"),
        ("kubernetes:cpu=4", "pip install dovetail-kubernetes"),
        ("retry:2", "is not of the form key=value"),
        ("compute", "which compute?"),
        (":x=1", "the name is missing"),
        ("retry:times=2,oops", "'oops' is not of the form key=value"),
    ],
)
def test_with_that_means_nothing(shelf, text, message):
    with pytest.raises((PluginError, UsageError)) as caught:
        _ = shelf.load(with_=(text,)).with_uses
    assert message in str(caught.value)


def test_route_step_comes_after_everything_else(shelf, build, tmp_path):
    manifest = tmp_path / "site" / "shelf" / "plugin.py"
    manifest.write_text(
        MANIFEST
        + textwrap.dedent("""
        asked = []

        @hookimpl
        def dovetail_route_step(kind, flow, step):
            asked.append((kind, flow, step.name))
            return "pool" if kind == "compute" and step.name == "train" else None
        """)
    )
    flow = build.flow()
    settings = shelf.load()
    found = settings.select("compute", flow.steps[0], flow)
    assert (found.backend, found.sources["use"]) == ("pool", "dovetail_route_step of shelf")
    settings.select("compute", flow.steps[0], flow)
    assert settings.select("compute", flow.steps[1], flow).backend == "local"
    import sys

    assert sys.modules["shelf.plugin"].asked == [("compute", "F", "train"), ("compute", "F", "end")]
    shelf.user("compute = 'farm'")
    assert shelf.load().select("compute", flow.steps[0], flow).backend == "farm"


def test_reprs_show_references_only(shelf):
    shelf.env |= {"DOVETAIL__DATASTORE__SHELF__KEY": "env:KEY", "KEY": "hunter2"}
    settings = shelf.load(datastore="shelf")
    assert "hunter2" not in repr(settings)
    assert "env:KEY" in repr(settings.select("datastore"))
    assert Path(settings.home).name == ".dovetail"
