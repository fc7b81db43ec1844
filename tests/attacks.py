"""What somebody who can write to a data store, and has no key, may put into it. Each attack wants a file to be made."""

from __future__ import annotations

import json
import shutil
from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from dovetail.artifacts.arguments import ArgumentWriter
from dovetail.artifacts.framing import RECORD_MAGIC, encode_frame, read_frames
from dovetail.artifacts.identity import digest_of
from dovetail.artifacts.layout import attempt_key, call_hooks_key, commit_key, hint_key, object_key
from dovetail.artifacts.manifest import read_json, read_marker
from dovetail.artifacts.msgpacked import pack, unpack
from dovetail.artifacts.packing import pack_value, ref_to_plain
from dovetail.artifacts.segments import read_records
from dovetail.artifacts.signing import split_document
from dovetail.artifacts.store import ArtifactStore
from dovetail.interfaces.artifacts import ArtifactRef, InlinePlace
from dovetail.local.store import LocalStore

__all__ = ["ATTACKS", "Attacker"]


class _Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, canary: Path, size: int = 0) -> None:
        self.canary = str(canary)
        self.padding = "x" * size

    def __reduce__(self) -> Any:
        return exec, (f"open({self.canary!r}, 'a').close()  # {self.padding}",)


class Attacker:
    """Writes to the store of a home.

    Args:
        home: The home.
        canary: The file to have made.
    """

    def __init__(self, home: Path, canary: Path) -> None:
        self.folder = home / "local"
        self.canary = canary
        self.store = LocalStore(self.folder)
        self.uuid = read_marker(self.store).uuid
        self.artifacts = ArtifactStore({self.uuid: self.store}, default=self.uuid)
        self.large = self.artifacts.save(_Payload(canary, 100_000))
        value = self.artifacts.serializers.serialize(_Payload(canary))
        packed = pack_value(value.serializer, value.header, [memoryview(frame).cast("B") for frame in value.frames])
        self.small = replace(
            self.large, digest=digest_of(value), size=len(packed), place=InlinePlace(data=packed), type=value.type
        )

    def runs(self) -> list[str]:
        """Ids of runs, the oldest first."""
        return sorted(path.name for path in (self.folder / "runs").iterdir())

    def document(self, key: str) -> Any:
        """A JSON document."""
        return read_json(self.store.get(key).read(), key)

    def write(self, key: str, plain: Any, *, keep_signature: bool = False) -> None:
        """Put a document in place of another, with the signature of that one where it has one."""
        body = json.dumps(plain, separators=(",", ":")).encode()
        if keep_signature:
            _, signature = split_document(self.store.get(key).read())
            if signature:
                text = f"{signature[:8].hex()}:{signature[8:].hex()}"
                body = b'%b,"signature":"%b"}' % (body[:-1], text.encode())
        self.put(key, body)

    def put(self, key: str, body: bytes) -> None:
        """Put bytes."""
        self.store.put(key, body, mode="overwrite")

    def row(self, ref: ArtifactRef) -> list[Any]:
        """A row of an output table."""
        place = ref.place.data if isinstance(ref.place, InlinePlace) else self.uuid
        return [ref.digest, ref.size, ref.serializer, place, ref.type]

    def record(self, data: bytes, ref: ArtifactRef) -> bytes:
        """A record with another value for everything that it names."""
        head, body = unpack(data)
        fields = unpack(body)
        table = unpack(fields[0])
        fields[0] = pack({name: row if name == "_foreach" else self.row(ref) for name, row in table.items()})
        if len(fields) > 7 and fields[7]:
            fields[7] = pack({name: self.row(ref) for name in unpack(fields[7])})
        return pack([head, pack(fields)])

    def segments(self, ref: ArtifactRef, *, keep_signature: bool = False) -> None:
        """Write all records anew, with another value for everything that they name."""
        for info in list(self.store.scan("runs/")):
            if "/segments/" not in info.key:
                continue
            parts: list[Any] = []
            with self.store.get(info.key) as found:
                for frame in read_frames(found.stream, found.length, RECORD_MAGIC, keep_data=True):
                    items = [[self.record(data, ref), *place] for data, *place in frame.items()]
                    sign = (lambda _, frame=frame: frame.signature) if keep_signature and frame.signature else None
                    parts += encode_frame(RECORD_MAGIC, items, [frame.data], sign)[0]
            self.put(info.key, b"".join(bytes(part) for part in parts))

    def manifests(self, change: Callable[[dict[str, Any]], None], *, keep_signature: bool = False) -> None:
        """Change every `run.json`."""
        for run in self.runs():
            plain = self.document(f"runs/{run}/run.json")
            change(plain)
            self.write(f"runs/{run}/run.json", plain, keep_signature=keep_signature)


# -- values -----------------------------------------------------------------------------------------------------------


def objects_overwritten(by: Attacker) -> None:
    """Every object is the attacker's file, under the name that it had."""
    evil = by.store.get(object_key(by.large.digest)).read()
    for info in list(by.store.scan("objects/")):
        by.put(info.key, evil)


def edges_and_hints(by: Attacker) -> None:
    """The attacker's object is named wherever objects may be named without a record."""
    for info in list(by.store.scan("objects/")):
        digest = info.key.rpartition("/")[2]
        by.put(f"edges/{digest[:2]}/{digest}/{by.large.digest.hex()}", b"")
    for info in list(by.store.scan("hints/")):
        by.put(info.key, json.dumps([by.large.digest.hex()]).encode())
    by.put(hint_key(b"h" * 16), json.dumps([by.large.digest.hex()]).encode())


# -- records ----------------------------------------------------------------------------------------------------------


def small_values_in_records(by: Attacker) -> None:
    by.segments(by.small)


def records_with_their_old_signatures(by: Attacker) -> None:
    by.segments(by.large, keep_signature=True)


def records_that_win(by: Attacker) -> None:
    """Records as objects of their own, which count before those of segments."""
    for run in by.runs():
        by_path = {record.path: record for record in read_records(by.store, run, uuid=by.uuid)}
        for info in list(by.store.scan(f"runs/{run}/segments/")):
            with by.store.get(info.key) as found:
                for frame in read_frames(found.stream, found.length, RECORD_MAGIC, keep_data=False):
                    for data, _, _ in frame.items():
                        record = by.record(data, by.small)
                        head = unpack(record)[0]
                        assert head[1] in by_path
                        parts, _ = encode_frame(RECORD_MAGIC, [[record, 0, 0]], [])
                        by.put(commit_key(run, head[1], head[2]), b"".join(bytes(part) for part in parts))


def records_of_a_later_driver(by: Attacker) -> None:
    """A fence and a segment more, and no valid byte in those before."""
    for run in by.runs():
        names = [info.key.rpartition("/")[2] for info in by.store.scan(f"runs/{run}/segments/")]
        by.segments(by.small)
        data = by.store.get(f"runs/{run}/segments/{names[0]}").read()
        by.put(f"runs/{run}/fences/000009", b'{"version":1,"fence":9,"ends":{}}')
        by.put(f"runs/{run}/segments/000009-000000", data)


def arguments_in_reports(by: Attacker) -> None:
    """Reports of failed attempts, and of ones that never were, with arguments."""
    writer = ArgumentWriter(by.artifacts, keep=True)
    writer.add("x", _Payload(by.canary))
    table = b64encode(writer.finish().table).decode()
    for info in list(by.store.scan("runs/")):
        if "/attempts/" in info.key:
            by.write(info.key, {**by.document(info.key), "arguments": table}, keep_signature=True)
    for run in by.runs():
        for path in {record.path for record in read_records(by.store, run, uuid=by.uuid)}:
            plain = {
                "version": 1,
                "path": path,
                "attempt": 7,
                "call_digest": "00" * 32,
                "error": {"type": "ValueError", "message": "no", "traceback": ""},
                "finished": 1.0,
                "arguments": table,
                "final": True,
            }
            by.write(attempt_key(run, path, 7), plain)


# -- the manifest -----------------------------------------------------------------------------------------------------


def values_in_manifests(by: Attacker) -> None:
    """Parameters, constants and code packages are the attacker's values."""

    def change(plain: dict[str, Any]) -> None:
        plain["parameters"] = dict.fromkeys(plain["parameters"], ref_to_plain(by.small))
        constants = plain["description"]["constants"]
        plain["description"]["constants"] = dict.fromkeys(constants, ref_to_plain(by.small))
        plain["code"]["package"] = ref_to_plain(by.large)

    by.manifests(change, keep_signature=True)


def code_packages(by: Attacker) -> None:
    """The module that values of the run are of is the attacker's, under the digest that the manifest now names."""
    from io import BytesIO
    from zipfile import ZipFile

    from blake3 import blake3

    text = f"open({str(by.canary)!r}, 'a').close()\nclass Own:\n    pass\n".encode()
    file = BytesIO()
    with ZipFile(file, "w") as package:
        package.writestr("flow.py", text)
    saved = by.artifacts.save(file.getvalue())

    def change(plain: dict[str, Any]) -> None:
        plain["code"]["package"] = ref_to_plain(saved)
        for sources in (plain["description"]["sources"], plain["code"]["sources"]):
            for name in sources:
                sources[name] = blake3(text).hexdigest()

    by.manifests(change, keep_signature=True)


def another_file(by: Attacker) -> None:
    """The file to go on with is one that the attacker has put into the store."""
    evil = by.folder / "objects" / "evil.py"
    evil.write_text(
        f"open({str(by.canary)!r}, 'a').close()\n"
        "from dovetail import FlowSpec, step\n"
        "class Shop(FlowSpec):\n"
        "    @step\n"
        "    def start(self):\n        self.next(self.end)\n"
        "    @step\n"
        "    def end(self):\n        pass\n"
    )

    def change(plain: dict[str, Any]) -> None:
        plain["info"]["file"] = plain["description"]["file"] = str(evil)

    by.manifests(change, keep_signature=True)


def hooks_of_calls(by: Attacker) -> None:
    """Hooks of tasks are a function of a module that the attacker has put into the store."""
    package = by.folder / "objects"
    (package / "evil.py").write_text(f"open({str(by.canary)!r}, 'a').close()\ndef hook(*args):\n    pass\n")
    address = f"home.{by.folder.name}.objects.evil:hook"
    said = {"subject": address, "hooks": [["on_success", address], ["on_failure", address], ["on_crash", address]]}
    for run in by.runs():
        for path in {record.path for record in read_records(by.store, run, uuid=by.uuid)}:
            by.write(call_hooks_key(run, path), said)


def one_run_for_another(by: Attacker) -> None:
    """All that one run has is that of another, which the attacker was allowed to make: signed, but not for here."""
    first, *others = by.runs()
    for run in others:
        shutil.rmtree(by.folder / "runs" / run / "segments")
        shutil.copytree(by.folder / "runs" / first / "segments", by.folder / "runs" / run / "segments")
        text = (by.folder / "runs" / first / "run.json").read_bytes()
        by.put(f"runs/{run}/run.json", text)


ATTACKS: dict[str, tuple[Callable[[Attacker], None], str]] = {
    "objects overwritten": (objects_overwritten, "found out"),
    "edges and hints": (edges_and_hints, "harmless"),
    "small values in records": (small_values_in_records, "works"),
    "records with their old signatures": (records_with_their_old_signatures, "works"),
    "records that win": (records_that_win, "works"),
    "records of a later driver": (records_of_a_later_driver, "works"),
    "arguments in reports": (arguments_in_reports, "harmless"),
    "values in manifests": (values_in_manifests, "works"),
    "code packages": (code_packages, "works"),
    "another file": (another_file, "works"),
    "hooks of calls": (hooks_of_calls, "works"),
    "one run for another": (one_run_for_another, "harmless"),
}
"""Name → (attack, what it comes to where nothing is signed and any value is loaded)."""
