"""Checks the signatures of a run: of each document, and of each frame of records."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dovetail.artifacts.fences import read_fences, valid_end
from dovetail.artifacts.layout import run_prefix
from dovetail.artifacts.segments import checked_frames
from dovetail.artifacts.signed_store import is_document, unchecked
from dovetail.artifacts.signing import split_document
from dovetail.interfaces.errors import CorruptDataError, NotFoundError, SignatureError

if TYPE_CHECKING:
    from dovetail.artifacts.signed_store import SignedStore
    from dovetail.interfaces.datastore import DataStore

__all__ = ["check_pins", "check_signatures", "is_signed"]


def is_signed(store: DataStore, run: str) -> bool:
    """Whether somebody has signed a run, trusted or not: one of the documents that all runs have."""
    store, prefix = unchecked(store), run_prefix(run)
    for key in (f"{prefix}run.json", *(info.key for info in store.scan(f"{prefix}fences/"))):
        try:
            if split_document(store.get(key).read())[1]:
                return True
        except NotFoundError:
            continue
    return False


def check_signatures(store: SignedStore, run: str) -> Iterator[SignatureError | None]:
    """For everything of a run that must be signed: None where a trusted key has done so, else what is wrong.

    Of a segment nothing is looked at behind the first frame that is not as it must be. What can't be read at all is
    left to other checks.
    """
    try:
        fences = read_fences(store.unchecked, run)
    except CorruptDataError:
        fences = {}
    prefix = run_prefix(run)
    for key in [info.key for info in store.scan(prefix)]:
        kind = key[len(prefix) :].partition("/")[0]
        try:
            if is_document(key):
                store.get(key).close()
                yield None
            elif kind in ("segments", "commits"):
                end = valid_end(fences, key) if kind == "segments" else None
                found = store.get(key, byte_range=None if end is None else (0, end)) if end != 0 else None
                if found is not None:
                    with found:
                        for _ in checked_frames(store, key, found.stream, found.length):
                            yield None
        except NotFoundError:  # the run is being deleted
            continue
        except SignatureError as error:
            yield error


def check_pins(store: SignedStore) -> Iterator[SignatureError | None]:
    """As `check_signatures`, for each pin: what it names is loaded when its run is gone."""
    for key in [info.key for info in store.scan("pins/")]:
        try:
            store.get(key).close()
            yield None
        except NotFoundError:  # taken away meanwhile
            continue
        except SignatureError as error:
            yield error
