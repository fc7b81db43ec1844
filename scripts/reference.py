"""mkdocs hook: writes what the code says of itself into the pages of docs/reference.

A page holds a comment such as `<!-- generated: verbs -->`; when the site is built, what follows from the code takes
its place, so that no verb, setting, decorator, hook or error can be missing from the reference.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import inspect
import io
import json
import os
import re
import textwrap
import types
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

MARK = re.compile(r"^<!-- generated: (\w+) -->$", re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by mkdocs for every page.

    Raises:
        KeyError: The page asks for a part that is not in `PARTS`.
    """
    return MARK.sub(lambda match: "\n".join(PARTS[match[1]]()), markdown)


def verbs() -> Iterator[str]:
    """Every verb with its help."""
    from dovetail.cli import BELOW, VERBS, main

    os.environ["COLUMNS"] = "100"
    found = dict(VERBS)
    for verb, words in BELOW.items():
        for word in words:
            module = importlib.import_module(f"dovetail.cli.{verb}_{word}")
            found[f"{verb} {word}"] = module.SUMMARY
    for verb, summary in sorted(found.items(), key=lambda item: list(VERBS).index(item[0].split()[0])):
        output = io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.suppress(SystemExit):
            main([*verb.split(), "--help"])
        yield from (f"## dovetail {verb}", "", summary[0].upper() + summary[1:] + ".", "")
        yield from ("```text", output.getvalue().rstrip(), "```", "")


def settings() -> Iterator[str]:
    """The core's settings, then those of every built-in backend."""
    from dovetail.plugins.registry import Registry
    from dovetail.settings.core import CoreSettings

    yield from ("## `[tool.dovetail]`", "", *_settings_table(CoreSettings), "")
    for record in Registry().records():
        for spec in (offer.spec for offer in record.offers):
            if name := getattr(spec, "settings", None):
                yield from (
                    f"## `[tool.dovetail.{spec.kind}.{spec.name}]`",
                    "",
                    f"{spec.summary[0].upper()}{spec.summary[1:]}.",
                    "",
                )
                yield from (*_settings_table(_loaded(name)), "")


def decorators() -> Iterator[str]:
    """Every decorator with its options."""
    import dovetail
    from dovetail.authoring import decorators as module

    for name in sorted(dovetail.__all__):
        made = getattr(dovetail, name)
        if getattr(made, "__module__", "") == module.__name__ and not isinstance(made, type):
            # Each is wrapped so that wrong arguments are reported all at once; its own signature is beneath.
            signature = inspect.signature(inspect.getclosurevars(made).nonlocals.get("make", made))
            bare = [p.replace(annotation=inspect.Parameter.empty) for p in signature.parameters.values()]
            yield from (f"## @{name}", "", "```python", f"@{name}{inspect.Signature(bare)}", "```", "")
            yield from (*_prose(made), "")


def hooks() -> Iterator[str]:
    """Every hook."""
    from dovetail.plugins import hookspecs

    for name, hook in vars(hookspecs).items():
        if name.startswith("dovetail_"):
            arguments = ", ".join(inspect.signature(hook).parameters)
            yield from (f"## `{name}({arguments})`", "", *_prose(hook), "")


def errors() -> Iterator[str]:
    """Every error with its code and the exit code of a command that ends with it."""
    from dovetail.interfaces import errors as module

    yield from ("| code | error | exit | meaning |", "|---|---|---|---|")
    classes = [getattr(module, name) for name in module.__all__]
    for error in sorted(classes, key=lambda one: (one.exit_code, one.default_code)):
        meaning = (inspect.getdoc(error) or "").split("\n\n")[0].replace("\n", " ")
        yield f"| `{error.default_code}` | `{error.__name__}` | {error.exit_code} | {meaning} |"


def guarantees() -> Iterator[str]:
    """Every guarantee of every interface with the tests that look at it."""
    from dovetail.testing import conformance
    from dovetail.testing.conformance.guarantees import GUARANTEES, INTERFACES

    tests: dict[str, list[str]] = {id: [] for id in GUARANTEES}
    for name in conformance.__all__:
        suite: Any = getattr(conformance, name)
        if isinstance(suite, type) and hasattr(suite, "kit_tests"):
            for test, function in suite.kit_tests().items():
                found = tests[function.conformance_case.guarantee]
                if test not in found:
                    found.append(test)
    for prefix, interface in INTERFACES.items():
        yield from (f"## {interface}", "", "| guarantee | | tests |", "|---|---|---|")
        for id, sentence in GUARANTEES.items():
            if id.startswith(f"{prefix}."):
                yield f"| `{id}` | {sentence} | {', '.join(f'`{test}`' for test in tests[id])} |"
        yield ""


def interfaces() -> Iterator[str]:
    """The four interfaces: abilities, then every method."""
    for module, name in INTERFACES:
        home = importlib.import_module(f"dovetail.interfaces.{module}")
        cls = getattr(home, name)
        yield from (f"## `{name}`", "", *_prose(cls), "")
        flags = getattr(home, f"{name.removesuffix('Backend').removesuffix('Provider')}Capability", None)
        if flags is not None:
            yield from ("| ability | what it needs |", "|---|---|")
            for flag in flags:
                if flag.value:
                    yield f"| `{flag.name}` | {_protocol_of(home, str(flag.name))} |"
            yield ""
        for method, function in vars(cls).items():
            found = inspect.unwrap(getattr(function, "__func__", function))
            if isinstance(function, property):
                needed = "abstract property" if getattr(function.fget, "__isabstractmethod__", False) else "property"
                yield from (f"### `{name}.{method}`", "", f"*{needed}*", "", *_prose(function), "")
            elif not method.startswith("_") and callable(found):
                needed = "abstract" if getattr(function, "__isabstractmethod__", False) else "has a default"
                yield from (f"### `{name}.{method}`", "", "```python", _signature(method, found), "```", "")
                yield from (f"*{needed}*", "", *_prose(found), "")


def descriptors() -> Iterator[str]:
    """Every descriptor with its fields."""
    import dovetail.plugins as plugins

    for name in plugins.__all__:
        cls: Any = getattr(plugins, name)
        if name.endswith("Spec") and dataclasses.is_dataclass(cls):
            shown = [
                f"`{f.name}`" + ("" if f.default is dataclasses.MISSING else f" = `{f.default!r}`")
                for f in dataclasses.fields(cls)
            ]
            kind = getattr(cls, "kind", "")
            kind = f", of kind `{kind}`" if kind else ""
            yield from (f"## `{name}`", "", *_prose(cls), "", f"Fields{kind}: {', '.join(shown)}.", "")


def catalogue() -> Iterator[str]:
    """What every plugin of this repository provides, with what the conformance kit says of it."""
    from dovetail.plugins.registry import Registry

    reports = _reports()
    for record in Registry().records():
        if record.dist not in _members():
            continue
        yield from (f"## {record.dist}", "")
        yield from ("| kind | name | what it is | api | abilities | conformance |", "|---|---|---|---|---|---|")
        for offer in record.offers:
            spec = offer.spec
            words = [*(f"`{scheme}://`" for scheme in getattr(spec, "schemes", ())), *getattr(spec, "capabilities", ())]
            said = reports.get((record.dist, spec.kind, spec.factory), "no report")
            verdict = said if spec.kind in BACKEND_KINDS else ""
            yield f"| {spec.kind} | `{spec.name}` | {spec.summary} | {spec.api} | {', '.join(words)} | {verdict} |"
        yield ""


INTERFACES = (
    ("datastore", "DataStore"),
    ("metadata", "MetadataProvider"),
    ("compute", "ComputeBackend"),
    ("environment", "EnvironmentBuilder"),
)
BACKEND_KINDS = ("datastore", "metadata", "compute", "environment")
ROOT = Path(__file__).parents[1]
REPORTS = ROOT / "docs" / "reference" / "reports"
"""Reports of the conformance kit, where there are any: `pytest --dovetail-report`."""


def _members() -> set[str]:
    """The distributions of this repository."""
    files = [ROOT / "core" / "pyproject.toml", *sorted(ROOT.glob("plugins/*/pyproject.toml"))]
    names = [re.search(r'^name = "([^"]+)"', file.read_text(encoding="utf-8"), re.MULTILINE) for file in files]
    return {name[1] for name in names if name}


def _reports() -> dict[tuple[str, str, str], str]:
    """(distribution, kind, class) → what came of its suite."""
    found = {}
    for file in sorted(REPORTS.glob("*.json")):
        for suite in json.loads(file.read_text(encoding="utf-8"))["suites"]:
            totals = ", ".join(f"{count} {name}" for name, count in suite["totals"].items() if count)
            found[suite["plugin"]["name"], suite["interface"], suite["backend"]] = totals
    return found


def _protocol_of(home: types.ModuleType, flag: str) -> str:
    """What a class with an ability has: its protocol, by name."""
    wanted = "supports" + flag.lower().replace("_", "")
    for name in home.__all__:
        if name.lower().rstrip("s") in (wanted, wanted.rstrip("s")) or name.lower() == wanted:
            methods = [f"`{method}`" for method in vars(getattr(home, name)) if not method.startswith("_")]
            return f"`{name}`: {', '.join(methods)}"
    return "declared alone: see the methods"


def _signature(name: str, function: Any) -> str:
    """`name(arguments) -> answer`, on one line or one argument a line."""
    text = f"{name}{inspect.signature(function)}".replace("'", "")
    if len(text) <= 100:
        return text
    parameters = [str(p).replace("'", "") for p in inspect.signature(function).parameters.values()]
    return f"{name}(\n    " + ",\n    ".join(parameters) + "\n)" + text.rpartition(")")[2]


PARTS: dict[str, Callable[[], Iterator[str]]] = {
    "verbs": verbs,
    "settings": settings,
    "decorators": decorators,
    "hooks": hooks,
    "interfaces": interfaces,
    "descriptors": descriptors,
    "catalogue": catalogue,
    "errors": errors,
    "guarantees": guarantees,
}


def _settings_table(cls: type) -> Iterator[str]:
    yield from ("| setting | type | default | meaning |", "|---|---|---|---|")
    yield from _settings_rows(cls, "")


def _settings_rows(cls: type, prefix: str) -> Iterator[str]:
    hints = typing.get_type_hints(cls, include_extras=True)
    for field in dataclasses.fields(cls):
        kind, *notes = typing.get_args(hints[field.name]) or (hints[field.name],)
        if dataclasses.is_dataclass(kind):
            yield from _settings_rows(typing.cast(type, kind), f"{prefix}{field.name}.")
            continue
        factory = field.default_factory
        default = field.default if factory is dataclasses.MISSING else factory()
        shown = "" if default is None or default == "" else f"`{json.dumps(default)}`"
        note = str(notes[0]).rstrip(".") if notes else ""
        yield f"| `{prefix}{field.name}` | {_type_name(kind)} | {shown} | {note}. |"


def _type_name(kind: Any) -> str:
    """A type as a reader of settings knows it."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        return " or ".join(json.dumps(value) for value in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_type_name(part) for part in arguments if part is not type(None))
    if origin is tuple:
        return f"list of {_type_name(arguments[0])}"
    if origin is not None:
        return f"table of {_type_name(arguments[-1])}"
    name = str(kind.__name__)
    return {"str": "text", "Path": "path", "bool": "true or false"}.get(name, name)


def _prose(documented: object) -> list[str]:
    """A docstring as Markdown; its `Args:` become a list."""
    text = inspect.getdoc(documented) or ""
    head, _, arguments = text.partition("\nArgs:\n")
    lines = [head.rstrip()]
    if arguments:
        block = textwrap.dedent(arguments.partition("\n\n")[0])
        lines += ["", *re.sub(r"^(\w+): ", r"* `\1`: ", block, flags=re.MULTILINE).splitlines()]
    return lines


def _loaded(name: str) -> type:
    module, _, attribute = name.partition(":")
    return typing.cast(type, getattr(__import__(module, fromlist=[attribute]), attribute))
