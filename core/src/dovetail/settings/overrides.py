"""`--set` and `--with` of the command line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from dovetail.interfaces.errors import SettingsError
from dovetail.interfaces.flow import DecoratorUse
from dovetail.plugins.given import Given
from dovetail.settings.kinds import POLICY_KINDS, STEP_KINDS
from dovetail.settings.layers import Layer, tree_of

__all__ = ["SetOverride", "parse_set", "parse_with", "split_options", "with_use"]


class SetOverride:
    """A `--set STEP.KIND...=VALUE`."""

    __slots__ = ("given", "key", "kind", "step")

    def __init__(self, step: str, kind: str, key: str, given: Given) -> None:
        self.step = step
        """Name of the step, or `*` for all."""
        self.kind = kind
        """One of `STEP_KINDS`."""
        self.key = key
        """Option; empty chooses the backend: `--set train.compute=local`."""
        self.given = given
        """The value."""


def parse_set(
    texts: Iterable[str], sections: Sequence[str]
) -> tuple[tuple[SetOverride, ...], Layer | None, tuple[str, ...]]:
    """Read `--set` arguments: those for steps, the rest as a layer, and what can't be understood.

    Args:
        texts: `STEP.KIND.KEY=VALUE`, `STEP.KIND=NAME`, or `SECTION...=VALUE` as in a settings file.
        sections: Names that begin a setting rather than a step.
    """
    steps: list[SetOverride] = []
    items: dict[tuple[str, ...], str] = {}
    sources: dict[tuple[str, ...], str] = {}
    problems = []
    for text in texts:
        left, equals, value = text.partition("=")
        path = left.strip().split(".")
        if not equals or not all(path):
            problems.append(f"--set {text} is not of the form STEP.KIND.KEY=VALUE or KEY=VALUE")
            continue
        kind = path[1].replace("-", "_") if len(path) > 1 else ""
        given = Given(value, f"--set {text}", True)
        if kind in STEP_KINDS and (path[0] not in sections or kind in POLICY_KINDS):
            if len(path) > 3 or (len(path) == 2 and kind in POLICY_KINDS):
                example = "times" if kind == "retry" else "KEY"
                problems.append(f"--set {text}: name one option, such as {path[0]}.{kind}.{example}=VALUE")
                continue
            steps.append(SetOverride(path[0], kind, path[2] if len(path) == 3 else "", given))
            continue
        items[tuple(path)] = value
        sources[tuple(part.replace("-", "_").lower() for part in path)] = f"--set {text}"
    layer = None
    if items:
        layer = Layer(name="--set", rank="set", tree=tree_of(items, where="--set"), text=True, sources=sources)
    return tuple(steps), layer, tuple(problems)


def parse_with(text: str) -> tuple[str, dict[str, Any], str]:
    """`NAME[:key=value,...]` as name, options, and a first bare word (`compute:kubernetes,cpu=4`)."""
    name, _, rest = text.partition(":")
    options: dict[str, Any] = {}
    bare = ""
    for number, part in enumerate(split_options(rest)):
        key, equals, value = part.partition("=")
        if equals and key.strip():
            options[key.strip()] = value.strip()
        elif number == 0 and part.strip():
            bare = part.strip()
        else:
            raise SettingsError(f"--with {text}: {part!r} is not of the form key=value")
    if not name.strip():
        raise SettingsError(f"--with {text}: the name is missing", hint="Write --with retry:times=2")
    return name.strip(), options, bare


def split_options(text: str) -> list[str]:
    """Parts between commas, those inside brackets and quotes left alone."""
    parts: list[str] = []
    depth, quote, begin = 0, "", 0
    for place, char in enumerate(text):
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char in "[{(":
            depth += 1
        elif char in ")}]":
            depth -= 1
        elif char == "," and depth == 0:
            parts.append(text[begin:place])
            begin = place + 1
    parts.append(text[begin:])
    return [part for part in parts if part.strip()]


def with_use(kind: str, name: str, options: dict[str, Any], text: str) -> DecoratorUse:
    """A `--with` as a decorator; `is_text` knows it by its source."""
    return DecoratorUse(kind=kind, name=name, options=options, source=f"--with {text}")
