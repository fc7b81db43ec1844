"""What the machine itself takes for the same amount of work, measured in the same run."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

__all__ = ["sqlite_commit"]


def sqlite_commit(folder: Path, rows: int) -> float:
    """Seconds for one commit of so many small rows into a database of SQLite with a write-ahead log, fsync included."""
    file = folder / "raw.db"
    for old in folder.glob("raw.db*"):
        old.unlink()
    connection = sqlite3.connect(file, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = wal")
        connection.execute("PRAGMA synchronous = full")
        connection.execute("CREATE TABLE kept (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID")
        kept = [(f"v{number}", f"value {number}") for number in range(rows)]
        begin = time.perf_counter()
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO kept VALUES (?, ?)", kept)
        connection.execute("COMMIT")
        return time.perf_counter() - begin
    finally:
        connection.close()
