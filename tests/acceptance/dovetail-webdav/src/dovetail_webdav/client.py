"""The methods of WebDAV that the store needs, and what its statuses mean."""

from __future__ import annotations

import io
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, BinaryIO, cast
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree

import httpx
from dovetail.interfaces.errors import (
    BackendError,
    BackendTimeoutError,
    PermissionDeniedError,
    StoreFullError,
    ThrottledError,
)

__all__ = ["Client", "Member"]

_ASKED = b'<propfind xmlns="DAV:"><prop><getlastmodified/><getcontentlength/><resourcetype/></prop></propfind>'
_TRIES = 40
_ERRORS = {
    401: PermissionDeniedError,
    403: PermissionDeniedError,
    408: BackendTimeoutError,
    429: ThrottledError,
    503: ThrottledError,
    504: BackendTimeoutError,
    507: StoreFullError,
}


@dataclass(frozen=True, slots=True)
class Member:
    """A resource as a PROPFIND tells it."""

    path: str
    modified: float
    size: int


class Client:
    def __init__(self, base: str, **options: Any) -> None:
        self.base = base
        self._http = httpx.Client(headers={"Accept-Encoding": "identity"}, **options)

    def close(self) -> None:
        self._http.close()

    def call(self, method: str, path: str, *fine: int, stream: bool = False, **given: Any) -> httpx.Response:
        """Send a request; raises unless the status is 2xx or one of `fine`.

        A server says 500 or 423 where another request was in its way. All requests here may be repeated: either their
        names are new ones, or the caller looks at what came of them.
        """
        for tried in range(_TRIES):
            if tried:
                time.sleep(random.uniform(0, 0.002 * tried))
            now = {**given, "content": given["content"]()} if callable(given.get("content")) else given
            with _told(f"{method} {self.base}{path}"):
                answer = self._http.send(self._http.build_request(method, self.base + path, **now), stream=stream)
            status = answer.status_code
            failed = not answer.is_success or (status == 207 and method != "PROPFIND")
            if status in fine or not failed:
                return answer
            answer.close()
            if status not in (207, 423, 500):
                break
        error = _ERRORS.get(status, BackendError)
        raise error(f"{self.base} answered {status} {answer.reason_phrase} to {method} {path}")

    def move(self, source: str, target: str, *fine: int) -> int:
        headers = {"Destination": self.base + target, "Overwrite": "F"}
        return self.call("MOVE", source, *fine, headers=headers).status_code

    def members(self, path: str, depth: str) -> tuple[list[Member], float]:
        """A resource and what is in it, by paths below it ("" is itself), and the server's time; none: no resource."""
        answer = self.call("PROPFIND", path, 404, headers={"Depth": depth}, content=_ASKED)
        now = parsedate_to_datetime(answer.headers["Date"]).timestamp()
        if answer.status_code == 404:
            return [], now
        top = unquote(urlsplit(self.base + path).path).rstrip("/")
        found = []
        for response in ElementTree.fromstring(answer.content).iter("{DAV:}response"):
            place = unquote(urlsplit(response.findtext("{DAV:}href", "")).path).rstrip("/")
            size = response.findtext(".//{DAV:}getcontentlength") or "-1"  # a collection has none
            when = parsedate_to_datetime(response.findtext(".//{DAV:}getlastmodified", "")).timestamp()
            found.append(Member(place[len(top) + 1 :], when, int(size)))
        return found, now

    def read(self, path: str, begin: int, end: int) -> BinaryIO | None:
        """A range of a file, which is not empty; None: there is no file."""
        answer = self.call("GET", path, 404, headers={"Range": f"bytes={begin}-{end - 1}"}, stream=True)
        if answer.status_code != 206:
            answer.close()
            if answer.status_code == 404:
                return None
            raise BackendError(f"{self.base} does not answer to ranges")
        return cast(BinaryIO, io.BufferedReader(_Content(answer)))


class _Content(io.RawIOBase):
    """What an answer brings, as it comes."""

    def __init__(self, answer: httpx.Response) -> None:
        self._answer, self._pieces, self._rest = answer, answer.iter_raw(1 << 16), b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with _told(f"reading {self._answer.url}"):
            piece = self._rest or next(self._pieces, b"")
        count = min(len(piece), len(buffer))
        buffer[:count], self._rest = piece[:count], piece[count:]
        return count

    def close(self) -> None:
        self._answer.close()
        super().close()


@contextmanager
def _told(what: str) -> Iterator[None]:
    try:
        yield
    except httpx.TimeoutException as error:
        raise BackendTimeoutError(f"{what}: {type(error).__name__}") from error
    except httpx.TransportError as error:
        raise BackendError(f"{what}: {error}") from error
