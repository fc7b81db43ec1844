"""Hooks that a single call of a task was given, as the run's data store keeps them: no description tells of these."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from dovetail.artifacts.documents import encode_json, read_json
from dovetail.artifacts.layout import call_hooks_key, call_hooks_prefix
from dovetail.interfaces.dataclass import dataclass
from dovetail.interfaces.datastore import DataStore
from dovetail.interfaces.errors import AlreadyExistsError, CorruptDataError

__all__ = ["CallHooks", "put_call_hooks", "read_call_hooks"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallHooks:
    """What is called when one task has ended."""

    subject: str
    """`module:name` of the task's function; without a name where no other process finds it."""
    hooks: tuple[tuple[str, str], ...]
    """(kind, `module:name`) of each."""


def put_call_hooks(store: DataStore, run: str, path: str, said: CallHooks) -> str:
    """Write the hooks of a call before it begins; the key. Create-only: while a run goes on its code is the same."""
    key = call_hooks_key(run, path)
    plain = {"subject": said.subject, "hooks": [list(hook) for hook in said.hooks]}
    with suppress(AlreadyExistsError):
        store.put(key, encode_json(plain))
    return key


def read_call_hooks(store: DataStore, run: str) -> Iterator[tuple[str, CallHooks]]:
    """(path, hooks) of every call of a run that was given some.

    Raises:
        CorruptDataError: One is malformed.
    """
    prefix = call_hooks_prefix(run)
    for info in store.scan(prefix):
        plain = read_json(store.get(info.key).read(), info.key)
        try:
            said = CallHooks(subject=plain["subject"], hooks=tuple((kind, of) for kind, of in plain["hooks"]))
        except (KeyError, TypeError, ValueError) as error:
            raise CorruptDataError(f"{info.key} is malformed") from error
        yield info.key[len(prefix) :].rpartition("/")[0], said
