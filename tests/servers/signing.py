"""A service in front of folders that takes signed URLs, as object stores do, and the data store that makes them."""

from __future__ import annotations

import hashlib
import hmac
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar, Literal
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from dovetail.interfaces.datastore import DataStoreCapability
from dovetail.interfaces.errors import NotFoundError
from dovetail.local.store import LocalStore

__all__ = ["SigningServer", "SigningStore", "signing_server"]


class SigningServer(ThreadingHTTPServer):
    """Serves single objects of folders over plain HTTP to whoever has a URL that it signed."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self._key = os.urandom(32)
        self.stores: dict[str, LocalStore] = {}
        """First part of a path → what is served below it."""

    def url(self, name: str, key: str, methods: str, expires: float) -> str:
        """A URL for an object of one of the stores."""
        path, until = f"/{name}/{quote(key, safe='')}", f"{time.time() + expires:.3f}"
        query = {"methods": methods, "until": until, "signature": self.signature(path, methods, until)}
        return f"http://127.0.0.1:{self.server_port}{path}?{urlencode(query)}"

    def signature(self, path: str, methods: str, until: str) -> str:
        """Proves that this server made a URL."""
        return hmac.new(self._key, "\n".join((path, methods, until)).encode(), hashlib.sha256).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    server: SigningServer

    def do_GET(self) -> None:
        key = self._signed("GET")
        if key is None:
            return
        try:
            self._answer(200, self._store().get(key).read())
        except NotFoundError:
            self._answer(404)

    def do_PUT(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        key = self._signed("PUT")
        if key is not None:
            self._store().put(key, data, mode="overwrite")
            self._answer(200)

    def _store(self) -> LocalStore:
        return self.server.stores[urlsplit(self.path).path.split("/")[1]]

    def _signed(self, method: str) -> str | None:
        """The key that this request may use; None when it was refused."""
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query))
        methods, until = query.get("methods", ""), query.get("until", "0")
        signature = self.server.signature(parts.path, methods, until)
        if not hmac.compare_digest(signature, query.get("signature", "")):
            self._answer(403, b"not signed")
        elif method not in methods.split(",") or float(until) < time.time():
            self._answer(403, b"not allowed, or no longer")
        else:
            return unquote(parts.path.split("/")[2])
        return None

    def _answer(self, status: int, data: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""


@contextmanager
def signing_server() -> Iterator[SigningServer]:
    """A server that serves until the block ends."""
    with SigningServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class SigningStore(LocalStore):
    """A folder whose objects a server hands out.

    Args:
        root: The folder.
        server: Who serves it.
    """

    capabilities: ClassVar[DataStoreCapability] = LocalStore.capabilities | DataStoreCapability.PRESIGN

    def __init__(self, root: str | os.PathLike[str], server: SigningServer) -> None:
        super().__init__(root)
        self._server = server
        self._name = hashlib.sha256(str(Path(root)).encode()).hexdigest()[:16]
        server.stores[self._name] = self

    def presign(self, key: str, *, method: Literal["GET", "PUT"], expires: float) -> str:
        return self.sign(key, method, expires)

    def sign(self, key: str, methods: str, expires: float) -> str:
        """A URL that allows some methods on a key."""
        return self._server.url(self._name, key, methods, expires)
