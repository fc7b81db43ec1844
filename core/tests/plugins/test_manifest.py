"""What a manifest may say, and what it is told when it says something else."""

from __future__ import annotations

import sys

import pytest

from dovetail.plugins import hooknames, hookspecs
from dovetail.plugins.marks import hookimpl, hookspec


def record(load, dist="dovetail-x"):
    return next(r for r in load().records() if r.dist == dist)


BAD = {
    "misspelt hook": (
        "@hookimpl\ndef dovetail_datastore(): return []",
        "there is no hook dovetail_datastore. Did you mean 'dovetail_datastores'?",
    ),
    "no mark": ("def dovetail_datastores(): return []", "dovetail_datastores is not marked: write @hookimpl"),
    "unknown argument": ("@hookimpl\ndef dovetail_run_started(run, colour): pass", "PluginValidationError"),
    "not a list": ("@hookimpl\ndef dovetail_datastores(): return None", "must return descriptors"),
    "wrong descriptor": (
        "@hookimpl\ndef dovetail_datastores(): return [ComputeBackendSpec(name='a', factory='a:B')]",
        "not a descriptor of that hook",
    ),
    "not a descriptor": ("@hookimpl\ndef dovetail_datastores(): return ['a']", "not a descriptor of that hook"),
    "bad name": ("@hookimpl\ndef dovetail_datastores(): return [DataStoreSpec(name='S 3', factory='a:B')]", "'S 3'"),
    "bad factory": ("@hookimpl\ndef dovetail_datastores(): return [DataStoreSpec(name='a', factory='a.B')]", "a.B"),
    "twice": (
        "@hookimpl\ndef dovetail_datastores(): return 2 * [DataStoreSpec(name='a', factory='a:B')]",
        "offers datastore 'a' twice",
    ),
    "raises": ("@hookimpl\ndef dovetail_datastores(): 1 / 0", "ZeroDivisionError"),
    "plain execute_task": ("@hookimpl\ndef dovetail_execute_task(task): return 1", "must be a wrapper"),
    "wrapper elsewhere": (
        "@hookimpl(wrapper=True)\ndef dovetail_run_started(run):\n    yield",
        "dovetail_run_started can't be a wrapper",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_broken(site, load, case):
    source, message = BAD[case]
    site.add("dovetail-x", source)
    found = record(load)
    assert found.status == "broken"
    assert message in found.reason
    assert found.offers == ()
    assert found.hooks == ()


def test_entry_point_must_name_a_module(site, load):
    site.add("dovetail-x", target="dovetail_x.plugin:Plugin")
    assert "must name a module" in record(load).reason


def test_partial_registration_is_rolled_back(site, load):
    site.add(
        "dovetail-x",
        """
        @hookimpl
        def dovetail_datastores():
            return [DataStoreSpec(name="half", factory="a:B", schemes=("half",))]

        @hookimpl
        def dovetail_compute_backends():
            raise RuntimeError("later")

        @hookimpl
        def dovetail_run_started(run):
            raise AssertionError("called")
        """,
    )
    registry = load()
    assert registry.names("datastore") == ["local"]
    assert registry.event_hooks(None) is None  # type: ignore[arg-type]
    assert registry._manager is not None
    assert registry._manager.get_plugins() == set()


def test_reserved_hook_is_told_and_the_rest_works(site, load):
    site.add(
        "dovetail-x",
        """
        @hookimpl
        def dovetail_cards():
            return []

        @hookimpl
        def dovetail_datastores():
            yield DataStoreSpec(name="half", factory="a:B")
        """,
    )
    found = record(load)
    assert found.status == "ready"
    assert found.notes == ("dovetail_cards is reserved for a later version: nothing calls it yet",)
    assert [offer.spec.name for offer in found.offers] == ["half"]


def test_optional_unknown_hook_is_no_error(site, load):
    site.add("dovetail-x", "@hookimpl(optionalhook=True)\ndef dovetail_of_the_future(): return []")
    assert record(load).status == "ready"


def test_implementations_may_take_fewer_arguments(site, load):
    site.add("dovetail-x", "@hookimpl\ndef dovetail_route_step(step): return 'cloud' if step == 'S' else None")
    registry = load()
    assert registry.route("compute", "F", "S", "local") == ("cloud", "dovetail-x")  # type: ignore[arg-type]
    assert registry.route("compute", "F", "T", "local") is None  # type: ignore[arg-type]


def test_first_result_wins_in_pluggys_order(site, load):
    site.add("dovetail-a", "@hookimpl\ndef dovetail_route_step(kind): return 'a'")
    site.add("dovetail-b", "@hookimpl(tryfirst=True)\ndef dovetail_route_step(kind): return 'b'")
    site.add("dovetail-c", "@hookimpl\ndef dovetail_route_step(kind): return 'c'")
    registry = load()
    chosen = registry.route("compute", "F", None, "local")  # type: ignore[arg-type]
    arguments = {"kind": "compute", "flow": "F", "step": None, "default": "local"}
    assert registry._manager is not None
    assert chosen == ("b", "dovetail-b")
    assert registry._manager.hook.dovetail_route_step(**arguments) == "b"


def test_marks_are_what_pluggy_sets():
    import pluggy

    def ours(): ...
    def theirs(): ...

    for options in ({}, {"tryfirst": True}, {"wrapper": True}, {"optionalhook": True, "specname": "x"}):
        hookimpl(**options)(ours)
        pluggy.HookimplMarker("dovetail")(**options)(theirs)
        assert ours.dovetail_impl == theirs.dovetail_impl
    for options in ({}, {"firstresult": True}):
        hookspec(**options)(ours)
        pluggy.HookspecMarker("dovetail")(**options)(theirs)
        assert ours.dovetail_spec == theirs.dovetail_spec


def test_pluggys_own_marker_works(site, load):
    site.add(
        "dovetail-x",
        """
        import pluggy

        @pluggy.HookimplMarker("dovetail")
        def dovetail_datastores():
            return [DataStoreSpec(name="other", factory="a:B")]
        """,
    )
    assert load().names("datastore") == ["local", "other"]


def test_names_are_those_of_the_specifications():
    specified = {name for name in vars(hookspecs) if name.startswith("dovetail_")}
    assert set(hooknames.all_hooks()) == specified
    assert not specified & set(hooknames.RESERVED)
    assert all(vars(hookspecs)[name].__doc__ for name in specified)


def test_manifest_is_imported_once(site, load):
    site.add("dovetail-x", "import builtins\nbuiltins.dovetail_x_count = getattr(builtins, 'dovetail_x_count', 0) + 1")
    registry = load()
    registry.names("compute")
    registry.names("datastore")
    registry.records()
    import builtins

    assert builtins.dovetail_x_count == 1  # type: ignore[attr-defined]
    del builtins.dovetail_x_count  # type: ignore[attr-defined]
    assert "dovetail_x.plugin" in sys.modules
