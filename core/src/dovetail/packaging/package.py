"""The code package: a run's first-party sources in one archive, byte for byte the same for the same sources."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Mapping

from blake3 import blake3

from dovetail.packaging.project import project_root

__all__ = ["CodePackage", "build_package"]

_TIME = (0 << 11) | (0 << 5) | 0
_DATE = ((1980 - 1980) << 9) | (1 << 5) | 1
_FLAGS = 0x800  # names are UTF-8
_MODE = (0o100644 << 16) & 0xFFFFFFFF


class CodePackage:
    """An archive of sources.

    The identity is that of the names and contents, not of the archive's bytes: those also depend on the version
    of zlib.
    """

    __slots__ = ("data", "digest", "files", "root")

    def __init__(self, data: bytes, digest: str, files: Mapping[str, str], root: str) -> None:
        self.data = data
        """A zip archive: names relative to `root`, in order, without times and owners."""
        self.digest = digest
        """Hex digest of all names and contents."""
        self.files = files
        """Name in the archive → hex digest of the content."""
        self.root = root
        """Absolute folder that the names are relative to."""


def build_package(sources: Mapping[str, str], flow_file: str) -> CodePackage:
    """Pack the sources that a flow was described with.

    Args:
        sources: Absolute path → hex digest, as `FlowDescription.sources` has them.
        flow_file: The flow's file, which tells the root.

    Raises:
        FileNotFoundError: A source is gone.
        ValueError: A source was changed since the flow was described.
    """
    root = project_root(flow_file) if flow_file else os.getcwd()
    contents: dict[str, bytes] = {}
    for path in sorted(sources):
        with open(path, "rb") as stream:
            content = stream.read()
        if blake3(content).hexdigest() != sources[path]:
            raise ValueError(f"{path} was changed while the run began")
        contents[_name(path, root)] = content
    files = {name: blake3(content).hexdigest() for name, content in sorted(contents.items())}
    identity = blake3("".join(f"{name}\0{digest}\n" for name, digest in files.items()).encode()).hexdigest()
    return CodePackage(_zip(contents), identity, files, root)


def _name(path: str, root: str) -> str:
    """A name that unpacks below a folder; a source outside of the root lies under `_outside`."""
    below = os.path.join(root, "")
    if path.startswith(below):
        return path[len(below) :].replace(os.sep, "/")
    return "_outside/" + path.replace(os.sep, "/").lstrip("/").replace(":", "")


def _zip(contents: Mapping[str, bytes]) -> bytes:
    """A zip archive. Written here since `zipfile` costs more to import than to replace."""
    parts: list[bytes] = []
    index: list[bytes] = []
    offset = 0
    for name, content in sorted(contents.items()):
        encoded = name.encode()
        packed = _deflate(content)
        method = 8 if len(packed) < len(content) else 0
        body = packed if method else content
        common = struct.pack(
            "<HHHHHIIIHH",
            20, _FLAGS, method, _TIME, _DATE, zlib.crc32(content), len(body), len(content), len(encoded), 0,
        )  # fmt: skip
        parts += [b"PK\3\4", common, encoded, body]
        made_by = (3 << 8) | 20  # Unix, so that the mode counts
        index += [
            b"PK\1\2",
            struct.pack("<H", made_by),
            common,
            struct.pack("<HHHII", 0, 0, 0, _MODE, offset),
            encoded,
        ]
        offset += 4 + len(common) + len(encoded) + len(body)
    directory = b"".join(index)
    end = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, len(contents), len(contents), len(directory), offset, 0)
    return b"".join([*parts, directory, end])


def _deflate(content: bytes) -> bytes:
    compressor = zlib.compressobj(6, zlib.DEFLATED, -15)
    return compressor.compress(content) + compressor.flush()
