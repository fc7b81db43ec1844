"""Wrappers and serializers in the processes that run tasks."""

from __future__ import annotations

import json

import pytest

from dovetail.interfaces.errors import PluginContractError
from dovetail.plugins import ChildHooks, TaskInfo, run_wrapped

TASK = TaskInfo(run="r", flow="F", path="a", step="a", attempt=1)


def tracer(log, name):
    def wrapper(task):
        log.append(f"{name}>{task.path}")
        try:
            return (yield)
        finally:
            log.append(f"<{name}")

    return wrapper


def test_wrappers_nest_around_the_body():
    log = []
    wrappers = [tracer(log, "outer"), tracer(log, "inner")]
    assert run_wrapped(wrappers, TASK, lambda: log.append("body") or 7) == 7
    assert log == ["outer>a", "inner>a", "body", "<inner", "<outer"]
    assert run_wrapped([], TASK, lambda: 8) == 8


def test_same_results_as_pluggy():
    import pluggy

    spec, impl = pluggy.HookspecMarker("x"), pluggy.HookimplMarker("x")

    class Spec:
        @spec(firstresult=True)
        def execute(self, task): ...

    def doubling(task):
        return 2 * (yield)

    def catching(task):
        try:
            return (yield)
        except KeyError:
            return "caught"

    def raising(task):
        yield
        raise ValueError("after")

    def fail():
        raise KeyError("k")

    for wrappers in ([doubling], [catching, doubling], [doubling, catching], [raising], [catching, raising]):
        for body in (lambda: 3, fail):
            manager = pluggy.PluginManager("x")
            manager.add_hookspecs(Spec)

            class Core:
                @impl(trylast=True)
                def execute(self, task, run=body):
                    return run()

            manager.register(Core())
            for wrapper in reversed(wrappers):

                class Plugin:
                    @impl(wrapper=True)
                    def execute(self, task, wrap=wrapper):
                        return (yield from wrap(task))

                manager.register(Plugin())

            def outcome(call):
                try:
                    return call()
                except Exception as error:
                    return repr(error)

            expected = outcome(lambda m=manager: m.hook.execute(task=TASK))
            assert outcome(lambda w=wrappers, b=body: run_wrapped(w, TASK, b)) == expected


def test_exceptions_reach_the_wrapper_and_pass_on():
    log = []

    def body():
        raise ZeroDivisionError("user's")

    with pytest.raises(ZeroDivisionError, match="user's"):
        run_wrapped([tracer(log, "t")], TASK, body)
    assert log == ["t>a", "<t"]


def test_a_wrapper_may_take_no_argument():
    def wrapper():
        return (yield) + 1

    assert run_wrapped([wrapper], TASK, lambda: 1) == 2


def test_wrappers_that_do_not_yield_once():
    def never(task):
        return
        yield

    def twice(task):
        yield
        yield

    for wrapper, message in ((never, "did not yield"), (twice, "yielded more than once")):
        with pytest.raises(PluginContractError, match=message):
            run_wrapped([wrapper], TASK, lambda: 1)


SOURCE = """
@hookimpl(wrapper=True{in_child})
def dovetail_execute_task(task):
    return [task.path, (yield)]

@hookimpl
def dovetail_serializers():
    types = ("{package}.values.Word",)
    return [SerializerSpec(name="{name}", factory="{package}.values:Reversed", types=types{in_child})]
"""
VALUES = """
from dovetail.interfaces.artifacts import SerializedValue, Serializer
class Word(str): pass
class Reversed(Serializer):
    id = "{name}"
    def accepts(self, value): return isinstance(value, str)
    def dump(self, value): return SerializedValue(self.id, b"", [value[::-1].encode()], "Word")
    def load(self, header, frames): return Word(bytes(frames[0]).decode()[::-1])
"""


def add(site, name, in_child):
    package = f"dovetail_{name}"
    source = SOURCE.format(name=name, package=package, in_child=", in_child=True" if in_child else "")
    return site.add(f"dovetail-{name}", source, files={"values.py": VALUES.format(name=name)})


def test_hooks_travel_as_data(site, load):
    import importlib
    import sys

    package = add(site, "words", True)
    plain = json.loads(json.dumps(load().child_hooks().to_plain()))
    hooks = ChildHooks.from_plain(plain)
    assert run_wrapped(hooks.load_wrappers(), TASK, lambda: 1) == ["a", 1]
    [serializer] = hooks.load_serializers()
    assert not serializer.accepts("plain")
    assert f"{package}.values" not in sys.modules  # Only a value of its types imports it.
    word = importlib.import_module(f"{package}.values").Word("abc")
    assert serializer.id == "words"
    assert serializer.accepts(word)
    dumped = serializer.dump(word)
    assert dumped.frames == [b"cba"]
    assert serializer.load(b"", [memoryview(b"cba")]) == "abc"


def test_an_own_environment_takes_only_what_is_declared(site, load):
    add(site, "portable", True)
    add(site, "heavy", False)
    registry = load()
    assert len(registry.child_hooks().wrappers) == 2
    hooks = registry.child_hooks(own_environment=True)
    assert hooks.wrappers == ("dovetail_portable.plugin:dovetail_execute_task",)
    assert [s["name"] for s in hooks.serializers] == ["portable"]
    assert hooks.left_out == (
        "dovetail_execute_task of dovetail-heavy (not declared in_child=True)",
        "serializer heavy (not declared in_child=True)",
    )


def test_subclasses_are_matched_by_name(site, load):
    import importlib

    package = add(site, "words", True)
    [serializer] = load().serializers()
    word = importlib.import_module(f"{package}.values").Word

    class Sub(word):
        pass

    assert serializer.accepts(Sub("x"))
    assert not serializer.accepts(5)
