"""`dovetail plugins new`: renders the template of plugins that comes with Dovetail."""

from __future__ import annotations

import re
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dovetail.cli import output
from dovetail.interfaces.errors import AlreadyExistsError, PluginLoadError, UnknownNameError, UsageError
from dovetail.plugins.descriptors import BACKEND_KINDS

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

__all__ = ["configure", "run", "template_folder"]

LICENCES = ("Apache-2.0", "MIT", "BSD-3-Clause", "Proprietary")
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_ACCOUNT = re.compile(r"[A-Za-z0-9]+(-[A-Za-z0-9]+)*")
_LONGEST = 24
"""Longer names would wrap lines of what is rendered."""


def configure(parser: argparse.ArgumentParser) -> None:
    """What the template asks; what is not given is asked for on a terminal."""
    parser.add_argument("--name", help="name of the plugin: acme makes dovetail-acme with backends acme")
    parser.add_argument("--kind", action="append", default=[], help=f"{', '.join(BACKEND_KINDS)}; repeatable")
    parser.add_argument("--licence", "--license", help=f"{', '.join(LICENCES)}; the first by default")
    parser.add_argument("--author", help="who writes it")
    parser.add_argument("--org", help="account on GitHub that has the repository")
    parser.add_argument("--into", metavar="FOLDER", help="a new or empty folder; ./dovetail-NAME by default")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Check everything, then render."""
    render = _copier()
    given = _answers(args)
    asks = sys.stdin.isatty() and not args.json
    missing = [f"--{option}" for option, answer in (("name", "name"), ("kind", "kinds")) if not given.get(answer)]
    if missing and not asks:
        raise UsageError(
            f"{' and '.join(missing)} must be given where nobody can be asked",
            hint="Write dovetail plugins new --name acme --kind datastore",
        )
    if args.name is None:
        given["name"] = _checked_name(_asked("Name of the plugin: "))
    folder = Path(args.into or f"dovetail-{given['name']}").absolute()
    _may_fill(folder)
    answers = _render(render, folder, given, asks="kinds" not in given)
    _tell(folder, answers, as_json=args.json)
    return 0


def _asked(question: str) -> str:
    try:
        return input(question).strip()
    except EOFError:  # the person, or the terminal, went away
        raise KeyboardInterrupt from None


def template_folder() -> Path:
    """The template: inside the installed package, or beside the packages of a checkout.

    Raises:
        PluginLoadError: It is in neither place.
    """
    import dovetail

    package = Path(dovetail.__file__).parent
    for place in (package / "plugin_template", package.parents[2] / "plugin-template"):
        if (place / "copier.yml").exists():
            return place
    raise PluginLoadError(
        "the template of plugins is not a part of this installation",
        hint="Install Dovetail from a wheel, or from a whole checkout.",
    )


def _copier() -> Callable[..., Any]:
    """What renders a template."""
    try:
        from copier import run_copy
    except ImportError:
        raise PluginLoadError(
            "a template is rendered by copier, which is not installed", hint="pip install 'dovetail[testing]'"
        ) from None
    return run_copy


def _answers(args: argparse.Namespace) -> dict[str, Any]:
    """The answers that the options give, checked."""
    floor, ceiling = _range(version("dovetail"))
    answers: dict[str, Any] = {"floor": floor, "ceiling": ceiling}
    if args.name is not None:
        answers["name"] = _checked_name(args.name)
    if args.kind:
        kinds = [_one_of(kind, BACKEND_KINDS, "kind of backend") for kind in args.kind]
        answers["kinds"] = [kind for kind in BACKEND_KINDS if kind in kinds]
    if args.licence is not None:
        answers["licence"] = _one_of(args.licence, LICENCES, "licence")
    if args.org and not _ACCOUNT.fullmatch(args.org):
        raise UsageError(
            f"{args.org!r} can't be an account on GitHub", hint="Letters, digits and hyphens, such as --org acme"
        )
    answers.update((name, getattr(args, name)) for name in ("author", "org") if getattr(args, name) is not None)
    return answers


def _range(installed: str) -> tuple[str, str]:
    """(lower bound, upper bound) of Dovetail for a plugin that is begun with this version."""
    numbers = [int(number) for number in re.findall(r"\d+", installed)]
    major, minor = (*numbers, 0, 0)[:2]
    return f"{major}.{minor}", f"{major + 1}"


def _checked_name(name: str) -> str:
    if _NAME.fullmatch(name) and len(name) <= _LONGEST and not name.startswith("dovetail"):
        if name in _built_in():
            raise UsageError(f"{name!r} is the name of a backend of Dovetail itself", hint=f"Try my-{name}")
        return name
    plain = re.sub(r"[^a-z0-9]+", "-", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower())
    near = re.sub(r"^(dovetail-?)+", "", plain.lstrip("-0123456789"))[:_LONGEST].strip("-")
    why = "the distribution is called dovetail-NAME anyway" if plain.startswith("dovetail") else ""
    raise UsageError(
        f"{name!r} can't be the name of a plugin: "
        + (why or f"lower-case letters, digits and single hyphens, a letter first, at most {_LONGEST} characters"),
        hint=f"Try {near}" if _NAME.fullmatch(near) else "Such as acme or big-disk.",
    )


def _built_in() -> set[str]:
    from dovetail.plugins.registry import Registry
    from dovetail.plugins.rules import PluginRules

    known = Registry(PluginRules(mode="off"))  # the reserved names are asked for: no plugin is imported
    schemes = {scheme for spec in known.specs("datastore") for scheme in getattr(spec, "schemes", ())}
    return schemes | {name for kind in BACKEND_KINDS for name in known.names(kind)}


def _one_of(given: str, known: tuple[str, ...], what: str) -> str:
    for name in known:
        if given.lower() == name.lower():
            return name
    from dovetail.plugins.suggest import did_you_mean

    raise UnknownNameError(
        f"there is no {what} {given!r}", hint=did_you_mean(given, known) or f"There are: {', '.join(known)}."
    )


def _may_fill(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        return
    if folder.exists():
        raise AlreadyExistsError(
            f"there is a {folder} already, and it is not an empty folder", hint="Choose another: --into FOLDER"
        )


def _render(render: Callable[..., Any], folder: Path, given: dict[str, Any], *, asks: bool) -> dict[str, Any]:
    """Write the files; all answers."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of copier, about this folder being a part of a repository with changes
        try:
            done = render(str(template_folder()), folder, data=given, defaults=not asks, quiet=True)
        except OSError as error:
            raise UsageError(
                f"{folder} can't be written: {error.strerror or error}", hint="Choose another: --into FOLDER"
            ) from None
    return dict(done.answers.combined)


def _tell(folder: Path, answers: dict[str, Any], *, as_json: bool) -> None:
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    if as_json:
        facts = {"folder": str(folder), "distribution": f"dovetail-{answers['name']}", "kinds": list(answers["kinds"])}
        output.emit_json({**facts, "files": files})
        return
    output.say(f"dovetail-{answers['name']} is in {folder}, with {output.counted(len(files), 'file')}:")
    for kind in answers["kinds"]:
        output.say(f"  {kind:<12} src/dovetail_{answers['module']}/{kind}.py")
    output.say("\nIt works as it is. Install it, test it, then replace it method by method:")
    output.say(f"  cd {folder.name if folder.parent == Path.cwd() else folder}")
    output.say("  pip install -e . --group dev")
    output.say("  dovetail plugins list")
    output.say("  pytest --dovetail-report=conformance.json")
