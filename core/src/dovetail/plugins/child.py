"""What plugins add to the processes that run tasks: wrappers around user code, and serializers.

Such a process looks nothing up: the driver resolves the hooks once and sends them as data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import field
from typing import TYPE_CHECKING, Any, TypeVar

from dovetail.interfaces.dataclass import dataclass
from dovetail.interfaces.errors import PluginContractError
from dovetail.plugins.descriptors import Spec
from dovetail.plugins.extensions import SerializerSpec

if TYPE_CHECKING:
    from dovetail.interfaces.artifacts import Serializer
    from dovetail.plugins.observed import TaskInfo

__all__ = ["ChildHooks", "run_wrapped"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildHooks:
    """Wrappers and serializers for a task's process. JSON-able by `to_plain`."""

    wrappers: tuple[str, ...] = ()
    """`module:function` of each `dovetail_execute_task`, the outermost first."""
    serializers: tuple[Mapping[str, Any], ...] = ()
    """Name, factory and types of each serializer."""
    left_out: tuple[str, ...] = field(default=())
    """What can't go along into a step's own environment, in words."""

    @classmethod
    def choose(
        cls,
        wrappers: Iterable[tuple[str, str, Any, tuple[str, ...]]],
        serializers: Iterable[Spec],
        own_environment: bool,
    ) -> ChildHooks:
        """Take what can run there; see `Registry.child_hooks`."""
        taken, specs, left_out = [], [], []
        for dist, hook, function, _ in wrappers:
            if own_environment and not getattr(function, "dovetail_in_child", False):
                left_out.append(f"{hook} of {dist} (not declared in_child=True)")
            else:
                taken.append(f"{function.__module__}:{function.__qualname__}")
        for spec in serializers:
            assert isinstance(spec, SerializerSpec)
            if own_environment and not spec.in_child:
                left_out.append(f"serializer {spec.name} (not declared in_child=True)")
            else:
                plain = {"name": spec.name, "factory": spec.factory, "types": list(spec.types)}
                specs.append({**plain, "requires": list(spec.requires)})
        return cls(wrappers=tuple(taken), serializers=tuple(specs), left_out=tuple(left_out))

    def to_plain(self) -> dict[str, Any]:
        """These hooks as JSON-able data; {} when there are none."""
        plain = {"wrappers": list(self.wrappers), "serializers": [dict(s) for s in self.serializers]}
        return {key: value for key, value in plain.items() if value}

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> ChildHooks:
        """The inverse of `to_plain`."""
        return cls(wrappers=tuple(data.get("wrappers", ())), serializers=tuple(data.get("serializers", ())))

    def load_serializers(self) -> list[Serializer]:
        """The serializers, each imported when a value of one of its types appears."""
        from dovetail.plugins.serializers import deferred

        return deferred(
            SerializerSpec(name=s["name"], factory=s["factory"], types=tuple(s["types"]), requires=tuple(s["requires"]))
            for s in self.serializers
        )

    def load_wrappers(self) -> list[Callable[..., Any]]:
        """The wrappers, imported."""
        from dovetail.plugins.loading import import_object

        return [import_object(target) for target in self.wrappers]


def run_wrapped(wrappers: Sequence[Callable[..., Any]], task: TaskInfo, body: Callable[[], T]) -> T:
    """Run `body` inside the wrappers, the first of them outermost.

    Each is a generator that yields once, with the meaning of pluggy's wrappers: the body's result comes out of
    the `yield`, its exception is raised there, and what the generator returns is the result.
    """
    if not wrappers:
        return body()
    first, rest = wrappers[0], wrappers[1:]
    code = getattr(first, "__code__", None)
    generator = first() if code is not None and not code.co_argcount else first(task)
    with ExitStack() as stack:
        stack.callback(generator.close)
        try:
            next(generator)
        except StopIteration:
            raise PluginContractError(f"{first.__module__}.{first.__qualname__} did not yield") from None
        try:
            result = run_wrapped(rest, task, body)
        except BaseException as error:
            try:
                generator.throw(error)
            except StopIteration as stop:
                value: T = stop.value
                return value
        else:
            try:
                generator.send(result)
            except StopIteration as stop:
                value = stop.value
                return value
        raise PluginContractError(f"{first.__module__}.{first.__qualname__} yielded more than once")
