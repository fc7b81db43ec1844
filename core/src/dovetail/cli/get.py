"""`dovetail get RUN/path/name`: print or save one artifact."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dovetail.cli import output
from dovetail.cli.targets import add_common, add_target, one_target, open_client
from dovetail.interfaces.errors import StoreError, UsageError

if TYPE_CHECKING:
    import argparse

    from dovetail.client.artifact import DataArtifact

__all__ = ["configure", "run"]

_PIECE = 1 << 20
"""Bytes written at once, one MiB."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Options."""
    add_target(parser, "RUN/PATH/NAME", "the artifact; RUN/NAME is one of the end task")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="write to a file: bytes and text as they are, plain data as JSON",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--raw", action="store_true", help="write the stored bytes, without loading the value")
    form.add_argument("--json", action="store_true", help="write the value as JSON")
    add_common(parser, json=False)


def run(args: argparse.Namespace) -> int:
    """Print or save."""
    if not args.target:
        raise UsageError("name an artifact", hint="As in: dovetail get FLOW/PATH/NAME; dovetail artifacts lists them.")
    from dovetail.client.artifact import DataArtifact

    with open_client(args) as client:
        found = client.get(one_target(client, args.target))
        if not isinstance(found, DataArtifact):
            raise UsageError(
                f"{found.pathspec} is no artifact", hint=f"dovetail artifacts {found.pathspec} lists what it has."
            )
        if args.raw:
            _write(_raw(found), args.output)
        elif args.json:
            _write([(_json(found) + "\n").encode()], args.output)
        elif args.output is not None:
            _write(_for_file(found), args.output)
        else:
            _print(found)
    return 0


def _raw(artifact: DataArtifact) -> list[memoryview]:
    """The frames of the stored value."""
    _, frames = artifact.raw()
    if len(frames) > 1:
        output.warn(f"{artifact.name} is stored in {len(frames)} frames; they are written one after the other")
    return frames


def _json(artifact: DataArtifact) -> str:
    import json

    value = artifact.data
    try:
        return json.dumps(value, indent=2 if sys.stdout.isatty() else None, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"{artifact.pathspec} is a {artifact.type} and can't be written as JSON: {error}",
            hint="Leave --json out to print it, or save its bytes with --raw --output FILE.",
        ) from None


def _for_file(artifact: DataArtifact) -> list[bytes | memoryview]:
    """What a file gets: bytes and text as they are, plain data as JSON, anything else as a pickle."""
    value = artifact.data
    if isinstance(value, (bytes, bytearray, memoryview)):
        return [memoryview(value).cast("B")]
    if isinstance(value, str):
        return [value.encode()]
    if artifact.serializer == "json":
        return [(_json(artifact) + "\n").encode()]
    import pickle

    try:
        return [pickle.dumps(value, protocol=5)]
    except Exception as error:  # whatever a value's own __reduce__ raises
        raise UsageError(
            f"{artifact.pathspec} is a {artifact.type}, which plain pickle can't write: {error}",
            hint="Load it with the client, or save its bytes with --raw.",
        ) from None


def _print(artifact: DataArtifact) -> None:
    """The value for reading: text as it is, bytes only where no terminal would show them, else its repr."""
    value: Any = artifact.data
    if isinstance(value, (bytes, bytearray)):
        if sys.stdout.isatty():
            raise UsageError(
                f"{artifact.pathspec} is {len(value)} bytes", hint="Write them to a file with --output FILE."
            )
        _write([memoryview(value)], None)
        return
    if isinstance(value, str):
        output.say(output.clean(value) if sys.stdout.isatty() else value)
        return
    from pprint import pformat

    output.say(pformat(value, width=100, sort_dicts=False, compact=True))


def _write(pieces: list[Any], file: Path | None) -> None:
    """Bytes to a file, which appears whole or not at all, or to stdout."""
    if file is None:
        sys.stdout.flush()
        for piece in pieces:
            view = memoryview(piece)
            for at in range(0, view.nbytes, _PIECE):
                sys.stdout.buffer.write(view[at : at + _PIECE])
        sys.stdout.buffer.flush()
        return
    temporary = file.with_name(f".{file.name}.part")
    try:
        with temporary.open("wb") as opened, output.Progress(f"writing {file}", unit="MiB") as progress:
            for piece in pieces:
                view = memoryview(piece)
                for at in range(0, view.nbytes, _PIECE):
                    opened.write(view[at : at + _PIECE])
                    progress.advance()
        temporary.replace(file)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StoreError(f"{file} can't be written: {error.strerror or error}") from error
    size = sum(memoryview(piece).nbytes for piece in pieces)
    sys.stderr.write(f"{file}: {output.human_size(size)}\n")
