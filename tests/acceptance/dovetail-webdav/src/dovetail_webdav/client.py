"""The methods of WebDAV that the store needs, and what their statuses mean."""

from __future__ import annotations

import random
import time
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree

import httpx
from dovetail.interfaces import errors

__all__ = ["Client", "Member"]

_ASKED = b'<propfind xmlns="DAV:"><prop><getlastmodified/><getcontentlength/></prop></propfind>'
_DENIED, _THROTTLED = errors.PermissionDeniedError, errors.ThrottledError
_ERRORS = {401: _DENIED, 403: _DENIED, 429: _THROTTLED, 503: _THROTTLED, 507: errors.StoreFullError}
_HINTS = {401: "Set its user and password.", 409: "Make the collection above it."}
_IN_THE_WAY = (207, 423, 500)  # what servers say when another request was faster; 207: in a part of a collection


class Member(NamedTuple):
    """A resource below the one that was asked for; a collection has the size -1."""

    path: str
    modified: float
    size: int


class Client:
    def __init__(self, base: str, auth: tuple[str, str] | None) -> None:
        self.base, plain = base, {"Accept-Encoding": "identity"}
        self._http = httpx.Client(auth=auth, headers=plain, timeout=60.0, verify=base.startswith("https:"))
        self.close = self._http.close

    def call(self, method: str, path: str, *fine: int, **given: Any) -> httpx.Response:
        """Send a request, again where others were in its way; raises unless its status is 2xx or one of `fine`."""
        for tried in range(40):
            time.sleep(random.uniform(0, 0.002 * tried))
            try:
                answer = self._http.request(method, self.base + path, **given)
            except httpx.TimeoutException as error:
                raise errors.BackendTimeoutError(f"{method} {self.base}{path}: {type(error).__name__}") from error
            except httpx.TransportError as error:
                raise errors.BackendError(f"no answer from {self.base}: {error}", hint="Is its URL right?") from error
            status = answer.status_code
            if status in fine or (answer.is_success and status not in _IN_THE_WAY):
                return answer
            if status not in _IN_THE_WAY:
                break
        error_class = _ERRORS.get(status, errors.BackendError)
        said = f"{self.base}{path} answered {status} {answer.reason_phrase} to {method}"
        raise error_class(said, hint=_HINTS.get(status))

    def move(self, source: str, target: str, *fine: int) -> int:
        headers = {"Destination": self.base + target, "Overwrite": "F"}
        return self.call("MOVE", source, *fine, headers=headers).status_code

    def members(self, path: str, depth: str) -> tuple[list[Member], float]:
        """A resource and what is in it, by paths below it ("" is itself), and the server's time; none: no resource."""
        answer = self.call("PROPFIND", path, 207, 404, headers={"Depth": depth}, content=_ASKED)
        top, found = unquote(urlsplit(self.base + path).path).rstrip("/"), []
        for one in ElementTree.fromstring(answer.content).iter("{DAV:}response") if answer.is_success else ():
            place = unquote(urlsplit(one.findtext("{DAV:}href", "")).path).rstrip("/")
            size = int(one.findtext(".//{DAV:}getcontentlength") or -1)
            when = parsedate_to_datetime(one.findtext(".//{DAV:}getlastmodified", "")).timestamp()
            found.append(Member(place[len(top) + 1 :], when, size))
        return found, parsedate_to_datetime(answer.headers["Date"]).timestamp()

    def read(self, path: str, begin: int, end: int) -> bytes | None:
        """A range of a file; None: there is no file."""
        if begin >= end:
            return b""
        answer = self.call("GET", path, 404, headers={"Range": f"bytes={begin}-{end - 1}"})
        return answer.content if answer.status_code == 206 else None
