"""`merge_artifacts`: take over what a join's inputs agree on, by identity, without loading."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from dovetail.authoring.constants import constants
from dovetail.authoring.inputs import binding_of
from dovetail.authoring.parameters import ParameterAttribute
from dovetail.interfaces.errors import UsageError

if TYPE_CHECKING:
    from dovetail.authoring.contract import InputBinding
    from dovetail.authoring.flowspec import FlowSpec

__all__ = ["merge_artifacts"]


def merge_artifacts(
    flow: FlowSpec, inputs: Iterable[Any], include: Iterable[str] | None, exclude: Iterable[str] | None
) -> None:
    """See `FlowSpec.merge_artifacts`."""
    if include is not None and exclude is not None:
        raise UsageError("merge_artifacts takes include= or exclude=, not both")
    tie = flow._dovetail
    if tie.binding is not None and tie.inputs is None:
        raise UsageError(
            f"step {tie.step!r} is not a join, so it has nothing to merge",
            hint="A join takes the inputs: def step(self, inputs).",
        )
    wanted = None if include is None else frozenset([include] if isinstance(include, str) else include)
    unwanted = frozenset([exclude] if isinstance(exclude, str) else exclude or ())
    skipped = unwanted | set(flow.__dict__) | _fixed_names(type(flow))
    items = list(inputs)
    bindings = [binding for item in items if (binding := binding_of(item)) is not None]
    if tie.binding is None or len(bindings) != len(items):
        _merge_values(flow, items, wanted, skipped)
        return
    _merge_bindings(flow, [binding for binding in bindings if binding.error is None], wanted, skipped)


def _merge_bindings(
    flow: FlowSpec, bindings: list[InputBinding], wanted: frozenset[str] | None, skipped: frozenset[str]
) -> None:
    found: dict[str, InputBinding] = {}
    digests: dict[str, bytes] = {}
    conflicts: set[str] = set()
    for binding in bindings:
        for name in binding.names() if wanted is None else wanted:
            if name in skipped or name in conflicts:
                continue
            digest = binding.digest(name)
            if digest is None:
                continue
            known = digests.setdefault(name, digest)
            if known != digest:
                conflicts.add(name)
            else:
                found.setdefault(name, binding)
    _refuse(conflicts, (wanted or frozenset()) - skipped - found.keys() - conflicts)
    flow._dovetail.merged.update(found)


def _merge_values(flow: FlowSpec, items: list[Any], wanted: frozenset[str] | None, skipped: frozenset[str]) -> None:
    """The same for stand-ins in a test: plain objects whose attributes are the artifacts."""
    found: dict[str, Any] = {}
    conflicts: set[str] = set()
    for item in items:
        if getattr(item, "error", None) is not None:
            continue
        for name, value in vars(item).items():
            if name[0] == "_" or name in skipped or name == "error" or (wanted is not None and name not in wanted):
                continue
            if not _same(found.setdefault(name, value), value):
                conflicts.add(name)
    _refuse(conflicts, (wanted or frozenset()) - skipped - found.keys())
    for name, value in found.items():
        setattr(flow, name, value)


def _refuse(conflicts: set[str], missing: frozenset[str]) -> None:
    if missing:
        raise UsageError(f"merge_artifacts(include=...) names what no input has: {', '.join(sorted(missing))}")
    if conflicts:
        names = ", ".join(sorted(conflicts))
        raise UsageError(
            f"merge_artifacts: these artifacts differ between the inputs: {names}",
            hint=f"Set self.{min(conflicts)} before merge_artifacts, or leave it out with exclude=.",
        )


def _fixed_names(cls: type[FlowSpec]) -> frozenset[str]:
    parameters = {name for base in cls.__mro__ for name, v in vars(base).items() if isinstance(v, ParameterAttribute)}
    return frozenset(parameters | constants(cls).keys() | {"input", "index"})


def _same(a: Any, b: Any) -> bool:
    if a is b:
        return True
    try:
        return type(a) is type(b) and bool(a == b)
    except Exception:  # an array's == is an array: compare what would be stored
        import pickle

        return pickle.dumps(a) == pickle.dumps(b)
