"""A WebDAV server in a process of its own: `python webdav_server.py FOLDER` prints its port and serves until killed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

USER, PASSWORD = "ada", "s3cret-of-the-server"


@contextmanager
def running(folder: Path) -> Iterator[dict[str, str]]:
    """The variables of a server of a folder; it ends with the block."""
    with subprocess.Popen([sys.executable, __file__, str(folder)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            port = int(process.stdout.readline())
            url = f"webdav://127.0.0.1:{port}"
            direct = {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
            yield {"DAV_URL": url, "DAV_USER": USER, "DAV_PASSWORD": PASSWORD, **direct}
        finally:
            process.terminate()


def _serve(folder: str) -> None:
    from cheroot.wsgi import Server
    from wsgidav.wsgidav_app import WsgiDAVApp

    config = {
        "provider_mapping": {"/": folder},
        "simple_dc": {"user_mapping": {"*": {USER: {"password": PASSWORD}}}},
        "http_authenticator": {"accept_digest": False, "default_to_digest": False},
        "dir_browser": {"enable": False},
        "logging": {"enable": False},
        "verbose": 0,
    }
    server = Server(("127.0.0.1", 0), WsgiDAVApp(config), numthreads=24)
    server.prepare()
    print(server.bind_addr[1], flush=True)
    server.serve()


if __name__ == "__main__":
    _serve(sys.argv[1])
