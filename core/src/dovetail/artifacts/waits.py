"""What a task waits for, as the run's data store keeps it: what was asked, since when and until when."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from dovetail.artifacts.documents import encode_json, read_json
from dovetail.artifacts.layout import wait_key, waits_prefix
from dovetail.interfaces.dataclass import dataclass
from dovetail.interfaces.errors import AlreadyExistsError, CorruptDataError, NotFoundError

if TYPE_CHECKING:
    from dovetail.interfaces.datastore import DataStore

__all__ = ["Question", "put_question", "question_paths", "read_question"]

_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a task asks, of a person or of another run."""

    path: str
    """The task that waits."""
    name: str
    """What signals are matched by."""
    text: str = ""
    """Shown to who is asked."""
    schema: Mapping[str, Any]
    """JSON schema of an answer."""
    since: float
    """When it was asked first, seconds since the epoch."""
    deadline: float | None = None
    """Until when an answer counts; None: for ever."""
    default: tuple[Any, ...] = ()
    """The answer when the time is over, if there is one."""
    refused: str = ""
    """Why the answer before was none."""

    def to_plain(self) -> dict[str, Any]:
        """This question as JSON-able data."""
        return {
            "version": _VERSION,
            "name": self.name,
            "question": self.text,
            "schema": self.schema,
            "since": self.since,
            "deadline": self.deadline,
            "default": list(self.default),
            "refused": self.refused,
        }

    @classmethod
    def from_plain(cls, path: str, plain: Mapping[str, Any]) -> Question:
        """The inverse of `to_plain`.

        Raises:
            CorruptDataError: It is malformed.
        """
        try:
            return cls(
                path=path,
                name=plain["name"],
                text=plain["question"],
                schema=plain["schema"],
                since=plain["since"],
                deadline=plain["deadline"],
                default=tuple(plain["default"]),
                refused=plain.get("refused", ""),
            )
        except (KeyError, TypeError) as error:
            raise CorruptDataError(f"what {path} waits for is malformed: {error!r}") from error


def put_question(store: DataStore, run: str, question: Question) -> tuple[Question, str]:
    """Write a question before anybody is told of it; (the one that counts, its key).

    The first one of a task stays: its deadline holds however often the run goes on.
    """
    key = wait_key(run, question.path)
    try:
        store.put(key, encode_json(question.to_plain()))
    except AlreadyExistsError:
        return read_question(store, run, question.path) or question, key
    return question, key


def question_paths(store: DataStore, run: str) -> Iterator[str]:
    """Paths of the tasks of a run that ever asked something; none is read."""
    prefix = waits_prefix(run)
    for info in store.scan(prefix):
        yield info.key[len(prefix) :].rpartition("/")[0]


def read_question(store: DataStore, run: str, path: str) -> Question | None:
    """What a task asked; None when it never did."""
    key = wait_key(run, path)
    try:
        data = store.get(key).read()
    except NotFoundError:
        return None
    return Question.from_plain(path, read_json(data, key))
