"""`--set` and `--with` of the command line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from dovetail.interfaces.errors import SettingsError
from dovetail.interfaces.flow import DecoratorUse
from dovetail.plugins.schema import Given
from dovetail.settings.layers import KINDS, Layer, tree_of
from dovetail.settings.policies import POLICIES

__all__ = ["STEP_KINDS", "SetOverride", "parse_set", "parse_with", "split_options"]

STEP_KINDS = (*(kind for kind in KINDS if kind != "metadata"), *POLICIES)
"""What a step can choose or set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetOverride:
    """A `--set STEP.KIND...=VALUE`."""

    step: str
    """Name of the step, or `*` for all."""
    kind: str
    """One of `STEP_KINDS`."""
    key: str = ""
    """Option; empty chooses the backend: `--set train.compute=local`."""
    given: Given
    """The value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedSets:
    """All `--set` of a command line."""

    steps: tuple[SetOverride, ...] = ()
    """For steps."""
    layer: Layer | None = None
    """For everything else, such as `--set max_workers=4`."""
    problems: tuple[str, ...] = field(default=())
    """What can't be understood."""


def parse_set(texts: Iterable[str], sections: Sequence[str]) -> ParsedSets:
    """Read `--set` arguments.

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
        if kind in STEP_KINDS and (path[0] not in sections or kind in POLICIES):
            if len(path) > 3 or (len(path) == 2 and kind in POLICIES):
                example = "times" if kind == "retry" else "KEY"
                problems.append(f"--set {text}: name one option, such as {path[0]}.{kind}.{example}=VALUE")
                continue
            steps.append(SetOverride(step=path[0], kind=kind, key=path[2] if len(path) == 3 else "", given=given))
            continue
        items[tuple(path)] = value
        sources[tuple(part.replace("-", "_").lower() for part in path)] = f"--set {text}"
    layer = None
    if items:
        layer = Layer(name="--set", rank="set", tree=tree_of(items, where="--set"), text=True, sources=sources)
    return ParsedSets(steps=tuple(steps), layer=layer, problems=tuple(problems))


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


def is_text(use: DecoratorUse) -> bool:
    """Whether a decorator's options are text that stands for values."""
    return use.source.startswith("--with ")
