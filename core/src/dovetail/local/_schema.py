"""Tables of the metadata database, and their version.

Small on purpose: a task that does nothing costs some 110 bytes, its event included. A run has a number that is never
used twice; a task's row id is that number times 2**32 plus its place in the journal's order, so a run's tasks lie
together in that order. How a task's columns are made small is in `_packing`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from dovetail.interfaces.errors import StoreError, StoreVersionError
from dovetail.local._sqlite_faults import REBUILD

if TYPE_CHECKING:
    import sqlite3

__all__ = ["APPLICATION", "CACHE_FORMAT", "FORMAT", "check_format", "create_schema", "upgrade"]

APPLICATION = 0x44564D44
"""SQLite's application id, "DVMD": tells this database from any other."""
FORMAT = 2
"""SQLite's user version. A reader takes its own format and older ones; older ones are brought up to it when a file
that can be written is opened."""
CACHE_FORMAT = 2
"""The first format whose tasks have a `cache` column."""

_SCHEMA = """
CREATE TABLE run (
    id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used twice, not even after a deletion
    run TEXT NOT NULL UNIQUE,
    flow TEXT NOT NULL,
    state TEXT NOT NULL,
    created REAL NOT NULL,
    started REAL,
    finished REAL,
    user TEXT NOT NULL DEFAULT '',
    tags TEXT NOT NULL DEFAULT '[]',
    system_tags TEXT NOT NULL DEFAULT '[]',
    parameters TEXT NOT NULL DEFAULT '{}',
    origin TEXT,
    error TEXT,
    info TEXT NOT NULL DEFAULT '{}',
    base INTEGER NOT NULL,                 -- seconds since the epoch that the tasks' times count from
    fence INTEGER NOT NULL DEFAULT 0,      -- the highest seen
    seq INTEGER NOT NULL DEFAULT 0,        -- of the last event
    tasks INTEGER NOT NULL DEFAULT 0,      -- places given to tasks
    texts INTEGER NOT NULL DEFAULT 0       -- of its shared texts
);
CREATE INDEX run_of_flow ON run (flow, created);
CREATE INDEX run_created ON run (created);
CREATE TABLE tag (
    tag TEXT NOT NULL,
    run INTEGER NOT NULL,
    system INTEGER NOT NULL,
    PRIMARY KEY (tag, run, system)
) WITHOUT ROWID;
CREATE TABLE batch (                       -- events as they were appended, several a row
    id INTEGER PRIMARY KEY,                -- run * 2**32 + sequence number of the first
    count INTEGER NOT NULL,
    data BLOB NOT NULL                     -- see _event_rows
);
CREATE TABLE written (                     -- ranges of event numbers that are in the journal
    run INTEGER NOT NULL,
    writer TEXT NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    PRIMARY KEY (run, writer, first)
) WITHOUT ROWID;
CREATE TABLE step (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    run INTEGER NOT NULL,
    name TEXT NOT NULL,
    UNIQUE (run, name)
);
CREATE TABLE counter (
    step INTEGER NOT NULL,
    state INTEGER NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (step, state)
) WITHOUT ROWID;
CREATE TABLE text (                        -- what many tasks of a run share
    run INTEGER NOT NULL,
    n INTEGER NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (run, n)
) WITHOUT ROWID;
CREATE TABLE task (
    id INTEGER PRIMARY KEY,
    step INTEGER NOT NULL,
    path TEXT NOT NULL,                    -- what follows the step's name, or = and the whole path
    state, attempt, started, finished, outputs, error, cpu, memory, log, record, info, cache
);
CREATE UNIQUE INDEX task_path ON task (step, path);
CREATE INDEX task_unfinished ON task (step, state) WHERE state > 1;
CREATE INDEX task_cache ON task (cache) WHERE cache NOT NULL;
CREATE TABLE lease (
    name TEXT NOT NULL,
    slot INTEGER NOT NULL,
    token INTEGER NOT NULL,
    ttl REAL NOT NULL,
    expires REAL NOT NULL,
    host TEXT NOT NULL,
    boot TEXT NOT NULL,
    pid INTEGER NOT NULL,
    started TEXT NOT NULL,
    PRIMARY KEY (name, slot)
) WITHOUT ROWID;
CREATE TABLE token (last INTEGER NOT NULL   -- one row: the last fencing token of any name
);
INSERT INTO token VALUES (0);
"""


def create_schema(connection: sqlite3.Connection) -> None:
    """Make the tables in an empty database, inside the caller's transaction."""
    # executescript would commit the caller's transaction first.
    for statement in _SCHEMA.split(";\n"):
        if statement.strip():
            connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION}")
    connection.execute(f"PRAGMA user_version = {FORMAT}")


def upgrade(connection: sqlite3.Connection) -> None:
    """Bring the tables of an older format up to the present one, inside the caller's transaction."""
    if connection.execute("PRAGMA user_version").fetchone()[0] < CACHE_FORMAT:
        connection.execute("ALTER TABLE task ADD COLUMN cache")
        connection.execute("CREATE INDEX task_cache ON task (cache) WHERE cache NOT NULL")
    connection.execute(f"PRAGMA user_version = {FORMAT}")


def check_format(connection: sqlite3.Connection, path: str) -> bool:
    """Whether the database has the tables; False for an empty one.

    Raises:
        StoreVersionError: A newer version of Dovetail made it.
        StoreError: It is somebody else's database.
    """
    alone = not connection.in_transaction
    if alone:
        connection.execute("BEGIN")  # somebody may be making the tables: look at one state of the file
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        tables = application == APPLICATION or connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    finally:
        if alone and connection.in_transaction:
            connection.execute("ROLLBACK")
    if application == APPLICATION:
        if version > FORMAT:
            raise StoreVersionError(
                f"{path} has format {version}; this version of Dovetail knows formats up to {FORMAT}",
                hint="Upgrade Dovetail, or set DOVETAIL_HOME to another folder.",
            )
        return True
    if version or application or tables:
        raise StoreError(f"{os.path.abspath(path)} is a database, but not one of Dovetail", hint=REBUILD)
    return False
