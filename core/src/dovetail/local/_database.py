"""The database file: connections, transactions, waiting for other processes."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from dovetail.interfaces.errors import StoreError
from dovetail.local._faults import fault
from dovetail.local._publish import publish
from dovetail.local._schema import FORMAT, check_format, create_schema, upgrade
from dovetail.local._sqlite_faults import explain, is_busy
from dovetail.local._turns import Turns

__all__ = ["Database"]

_IDLE_READERS = 4
_NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "lustre", "ceph", "glusterfs", "9p", "fuse.sshfs", "gpfs"}
)
"""File systems whose memory maps are not shared between hosts, as write-ahead logging needs."""


class Database:
    """One SQLite file. Thread-safe; any number of processes may use it at once.

    One connection writes, under a lock; readers have connections of their own and never wait for writers.

    Args:
        path: The file. Made when missing, unless its folder can't be written.
        busy_timeout: Seconds to wait for other processes.
        journal: Journal mode of a new file.
    """

    def __init__(
        self, path: str, *, busy_timeout: float = 60.0, journal: Literal["auto", "wal", "truncate"] = "auto"
    ) -> None:
        self.path = path
        self._timeout = busy_timeout
        self._journal = journal
        self._lock = threading.Lock()
        self._writer: sqlite3.Connection | None = None
        self._readers: list[sqlite3.Connection] = []
        self._versions: sqlite3.Connection | None = None  # never writes, so what it sees is told by its data_version
        self._version_lock = threading.Lock()
        self._immutable = False
        self._logged = False  # whether the file has a write-ahead log
        self._synced = True  # whether the writer syncs each commit
        self._present = False  # whether the file is known to have the present format
        self._turns = Turns(os.path.dirname(path))
        with self._explained():
            if not os.path.exists(path):
                self._create()
            self._release(self._connect())  # a wrong file is told now

    def close(self) -> None:
        """Close all connections that are not in use. Idempotent."""
        with self._lock:
            if self._writer is not None:
                self._writer.close()
                self._writer = None
            self._turns.close()
            while self._readers:
                self._readers.pop().close()
        with self._version_lock:
            if self._versions is not None:
                self._versions.close()
                self._versions = None

    def __del__(self) -> None:
        # A client may be dropped unclosed. Python 3.13 warns of connections that nobody closed.
        if hasattr(self, "_turns"):
            self.close()

    @contextlib.contextmanager
    def write(self, *, power_durable: bool = True) -> Iterator[sqlite3.Connection]:
        """A transaction that may write, undone when the block raises.

        Args:
            power_durable: Whether it must be on the disk when the block has ended. Otherwise it is kill-durable, and
                on the disk with the next one that must be.
        """
        with self._lock, self._explained(), self._turns.turn(self._timeout):
            if self._writer is None:
                self._writer = self._connect()
                self._logged = self._writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)
                self._synced = True
            connection = self._writer
            if self._logged and self._synced != power_durable:  # without a log, less than FULL could tear the file
                connection.execute(f"PRAGMA synchronous = {'FULL' if power_durable else 'NORMAL'}")
                self._synced = power_durable
            self._begin(connection)
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    with contextlib.suppress(sqlite3.Error):
                        connection.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A connection for reading; each statement sees one state of the database."""
        with self._explained():
            try:
                connection = self._readers.pop()
            except IndexError:
                connection = self._connect()
            try:
                yield connection
            except BaseException:
                connection.close()
                raise
            self._release(connection)

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """A connection for reading; all statements see one state of the database."""
        with self.read() as connection:
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                connection.execute("COMMIT")

    @contextlib.contextmanager
    def watching(self) -> Iterator[sqlite3.Connection]:
        """A connection of one's own, whose `PRAGMA data_version` changes when anyone else commits."""
        with self._explained():
            connection = self._connect()
            try:
                yield connection
            finally:
                connection.close()

    def version(self) -> int:
        """Another number whenever anyone has committed. Reads no table."""
        with self._version_lock, self._explained():
            if self._versions is None:
                self._versions = self._connect()
            version: int = self._versions.execute("PRAGMA data_version").fetchone()[0]
            return version

    def _release(self, connection: sqlite3.Connection) -> None:
        if len(self._readers) < _IDLE_READERS:
            self._readers.append(connection)
        else:
            connection.close()

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise explain(error, self.path) from error

    def _begin(self, connection: sqlite3.Connection) -> None:
        """Take the write lock. SQLite's own waiting gives up early where it sees a chance of deadlock."""
        until = time.monotonic() + self._timeout
        pause = 0.001
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if not is_busy(error) or time.monotonic() > until:
                    raise
            time.sleep(pause * (0.5 + _uniform()))
            pause = min(2 * pause, 0.1)

    # Opening

    def _connect(self) -> sqlite3.Connection:
        until = time.monotonic() + self._timeout
        while True:
            try:
                return self._open()
            except sqlite3.OperationalError as error:
                if is_busy(error) and time.monotonic() < until:
                    time.sleep(0.01 + 0.02 * _uniform())
                    continue
                if self._immutable or not ("unable to open" in str(error) or "readonly" in str(error)):
                    raise
                # On a read-only file system there is no place for the shared memory of a write-ahead log. Without
                # one nobody writes either, and then SQLite may read the file as if it never changed.
                if not os.path.isfile(self.path) or os.access(os.path.dirname(self.path), os.W_OK):
                    raise
                if os.path.exists(self.path + "-wal") and os.path.getsize(self.path + "-wal"):
                    raise
                self._immutable = True

    def _open(self) -> sqlite3.Connection:
        mode = "mode=ro&immutable=1" if self._immutable else "mode=rw"
        connection = sqlite3.connect(
            f"{Path(self.path).absolute().as_uri()}?{mode}",
            uri=True,
            timeout=self._timeout,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            if not check_format(connection, self.path):
                self._fill(connection)
            if not self._present and not self._immutable:
                self._present = self._upgrade(connection)
            # FULL: a commit is on the disk when it returns, also in write-ahead mode.
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA journal_size_limit = 67108864")
        except BaseException:
            connection.close()
            raise
        return connection

    def _upgrade(self, connection: sqlite3.Connection) -> bool:
        """Bring an older format up to the present one; False where the file can't be written: it is read as is."""
        if connection.execute("PRAGMA user_version").fetchone()[0] >= FORMAT:
            return True
        try:
            self._begin(connection)
        except sqlite3.OperationalError as error:
            if "readonly" in str(error):
                return False
            raise
        upgrade(connection)  # looks again: another process may have been faster
        connection.execute("COMMIT")
        return True

    def _create(self) -> None:
        """Make the file aside and give it its name: nobody ever sees it half made."""
        folder = os.path.dirname(self.path)
        try:
            os.makedirs(folder, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise StoreError(
                f"{folder} is not a folder, so {self.path} can't be made", hint="Set DOVETAIL_HOME to a folder."
            ) from error
        except OSError as error:
            raise fault(error, folder, doing="make", writing=True) from error
        temporary = f"{self.path}.{os.urandom(6).hex()}.new"
        try:
            # SQLite would say "unable to open database file" for any reason.
            os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        except OSError as error:
            raise fault(error, self.path, doing="make", writing=True) from error
        try:
            connection = sqlite3.connect(temporary, isolation_level=None)
            try:
                connection.execute(
                    "PRAGMA synchronous = OFF"
                )  # one sync at the end is enough for a file without a name
                self._fill(connection)
            finally:
                connection.close()
            fd = os.open(temporary, os.O_RDWR)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
            with contextlib.suppress(FileExistsError):
                publish(temporary, self.path, lock=f"{self.path}.lock")
        except OSError as error:
            raise fault(error, self.path, doing="make", writing=True) from error
        finally:
            for name in (temporary, temporary + "-wal", temporary + "-shm", temporary + "-journal"):
                with contextlib.suppress(OSError):
                    os.unlink(name)

    def _fill(self, connection: sqlite3.Connection) -> None:
        self._begin(connection)
        if check_format(connection, self.path):
            connection.execute("ROLLBACK")  # another process was faster
            return
        create_schema(connection)
        connection.execute("COMMIT")
        mode = self._journal
        if mode == "auto":
            mode = "truncate" if _file_system(os.path.dirname(self.path)) in _NETWORK else "wal"
        connection.execute(f"PRAGMA journal_mode = {mode}")


def _jitter() -> float:
    """Between 0.5 and 1.5. The module `random` would take longer to import than most runs wait."""
    return 0.5 + os.urandom(1)[0] / 255


def _file_system(folder: str) -> str:
    """Type of the file system that holds a folder, or empty where the system does not tell."""
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            lines = file.readlines()
    except OSError:
        return ""
    folder = os.path.realpath(folder)
    best, found = -1, ""
    for line in lines:
        fields, _, rest = line.partition(" - ")
        place = fields.split()[4].replace("\\040", " ").rstrip("/")
        if (folder + "/").startswith(place + "/") and len(place) >= best:
            best, found = len(place), rest.split()[0]
    return found


def _uniform() -> float:
    """A random number from 0 to 1, without importing `random`, which drags in hashlib."""
    return int.from_bytes(os.urandom(4), "big") / (1 << 32)
