"""The SQLite database of a staging folder; ``schema`` describes it."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sqlite3
import threading
from typing import TYPE_CHECKING, Any, Final

from wimtui.engine.errors import FormatError, LockedError, OpenFailedError, UnknownVersionError
from wimtui.engine.image.streams import StreamKind
from wimtui.engine.staging.edit import AS_BASE
from wimtui.engine.staging.node import (
    BaseBlob,
    Entry,
    InlineData,
    StagedFile,
    StagedNode,
    StagedStream,
)
from wimtui.engine.staging.schema import APPLICATION_ID, FORMAT_VERSION, SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from wimtui.engine.staging.edit import Edit, EntryChange
    from wimtui.engine.staging.node import NodeId, StreamSource

_PAGE_NBYTES: Final = 1024
"""Small, as every page that an operation touches is written to the log whole."""

_CHECKPOINT_PAGES: Final = 32768
"""Log pages after which SQLite moves them to the database, which waits for the disk."""

_PUT_NODE: Final = f"INSERT OR REPLACE INTO node VALUES ({', '.join('?' * 14)})"
_PUT_STREAM: Final = "INSERT INTO stream VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_PUT_ENTRY: Final = "INSERT OR REPLACE INTO entry VALUES (?, ?, ?, ?)"
_DROP_ENTRY: Final = "DELETE FROM entry WHERE directory = ? AND name = ?"
_DROP_NODE: Final = "DELETE FROM node WHERE id = ?"
_DROP_STREAMS: Final = "DELETE FROM stream WHERE node = ?"
_PUT_SETTING: Final = "INSERT OR REPLACE INTO setting VALUES (?, ?)"

_ERRNO_BY_CODE: Final = {
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_NOMEM: errno.ENOMEM,
    sqlite3.SQLITE_READONLY: errno.EROFS,
}


def _signed(ticks: int) -> int:
    return ticks - (1 << 64) if ticks >= 1 << 63 else ticks


def _unsigned(stored: int) -> int:
    return stored + (1 << 64) if stored < 0 else stored


WRITTEN_SINCE: Final = "written_since"
"""The setting that says that something was changed after a commit began."""


class Database:
    """One connection, which no other process can have at the same time; for any thread."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection
        self._log_fd = -1
        self._is_grouped = False
        self.marks_writes = False
        """Whether the next change is to leave the mark WRITTEN_SINCE."""
        # Changes come under the layer's lock; a commit notes what it is about to do beside them.
        self._writing = threading.RLock()

    @classmethod
    def create(cls, path: Path) -> Database:
        """Make an empty database. Raises OpenFailedError."""
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise OpenFailedError(
                f"cannot create the staging database: {error.strerror}", path=path
            ) from error
        connection = _connect(path)
        try:
            connection.executescript(
                f"PRAGMA page_size = {_PAGE_NBYTES};"
                f"PRAGMA application_id = {APPLICATION_ID};"
                f"PRAGMA user_version = {FORMAT_VERSION};"
            )
            _configure(connection)
            connection.executescript(SCHEMA)
        except sqlite3.Error as error:
            connection.close()
            raise _os_error(error, path) from error
        return cls(path, connection)

    @classmethod
    def open(cls, path: Path) -> Database:
        """Open a database, after a kill too.

        Raises:
            OpenFailedError: There is none.
            LockedError: Another process has it open.
            UnknownVersionError: It was written by another version of this program.
            FormatError: It is damaged, or no staging database.
        """
        if not path.is_file():
            raise OpenFailedError(
                "no staging database", path=path, hint="name a folder that wimtui staged into"
            )
        connection = _connect(path)
        try:
            _configure(connection)
            application = connection.execute("PRAGMA application_id").fetchone()[0]
            version = connection.execute("PRAGMA user_version").fetchone()[0]
        except (sqlite3.Error, UnicodeError) as error:
            # SQLite quotes its schema in complaints about it, whatever bytes that is.
            connection.close()
            if _code(error) == sqlite3.SQLITE_BUSY:
                raise LockedError("the staging is in use by another process", path=path) from error
            raise FormatError(f"the staging database is damaged: {error}", path=path) from error
        if application != APPLICATION_ID or version != FORMAT_VERSION:
            connection.close()
            if application != APPLICATION_ID:
                raise FormatError("not a staging database", path=path)
            raise UnknownVersionError(
                f"staging of format {version}, this program knows {FORMAT_VERSION}",
                path=path,
                hint="finish it with the version of wimtui that began it",
            )
        return cls(path, connection)

    # Writing

    def write(self, edit: Edit) -> None:
        """Write all or nothing of an edit. Raises OSError, ENOSPC among others."""
        with self._transaction() as execute:
            if self.marks_writes:
                execute(_PUT_SETTING, (WRITTEN_SINCE, "true"))
            for (directory, name), entry in edit.entries.items():
                _write_entry(execute, directory, name, entry)
            for number, node in edit.nodes.items():
                if node is None:
                    execute(_DROP_NODE, (number,))
                    execute(_DROP_STREAMS, (number,))
                    continue
                execute(_PUT_NODE, _node_row(node))
                if number in edit.streams:
                    _write_streams(execute, node)
        # A group may still be taken back, and the mark with it.
        self.marks_writes = self.marks_writes and self._is_grouped

    def replace_all(self, edit: Edit, settings: dict[str, Any]) -> None:
        """Replace everything but the settings not named here by what an edit holds."""
        with self._transaction() as execute:
            for table in ("node", "stream", "entry"):
                execute(f"DELETE FROM {table}")
            for (directory, name), entry in edit.entries.items():
                _write_entry(execute, directory, name, entry)
            for node in edit.nodes.values():
                if node is not None:
                    execute(_PUT_NODE, _node_row(node))
                    _write_streams(execute, node)
            for key, value in settings.items():
                execute(_PUT_SETTING, (key, json.dumps(value)))

    def put_settings(self, settings: dict[str, Any]) -> None:
        """Write settings, whose values go into JSON."""
        with self._transaction() as execute:
            for key, value in settings.items():
                execute(_PUT_SETTING, (key, json.dumps(value)))

    @contextlib.contextmanager
    def grouped(self) -> Iterator[None]:
        """Have everything that the body writes come true together, or not at all."""
        with self._transaction():
            self._is_grouped = True
            try:
                yield
            finally:
                self._is_grouped = False

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[Any]:
        connection = self._connection
        with self._writing:
            if self._is_grouped:
                yield connection.execute
                return
            try:
                connection.execute("BEGIN IMMEDIATE")
                yield connection.execute
                connection.execute("COMMIT")
            except BaseException as error:
                # SQLite has rolled back by itself where the disk is full.
                with contextlib.suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                if isinstance(error, sqlite3.Error):
                    raise _os_error(error, self.path) from error
                raise

    def empty_log(self) -> None:
        """Move the log into the database, to be written from its beginning again; may fail.

        On a full disk that is where there is room: most of the log is former states of pages.
        """
        if not self._is_grouped:
            with self._writing, contextlib.suppress(sqlite3.Error):
                self._connection.execute("PRAGMA wal_checkpoint(RESTART)")

    def sync(self) -> None:
        """Return when what was written would survive a power cut.

        Only the log needs it: SQLite syncs both files whenever it empties the log. (The database
        itself must never be opened here, as closing it would drop SQLite's locks.)
        """
        if self._log_fd < 0:
            self._log_fd = os.open(f"{self.path}-wal", os.O_RDONLY | os.O_CLOEXEC)
        os.fdatasync(self._log_fd)

    # Reading

    def settings(self) -> dict[str, Any]:
        """Return every setting."""
        rows = self._connection.execute("SELECT name, value FROM setting")
        return {name: json.loads(value) for name, value in rows}

    def nodes(self) -> dict[NodeId, StagedNode]:
        """Return every node with its streams."""
        streams: dict[NodeId, list[StagedStream]] = {}
        rows = self._connection.execute(
            "SELECT node, kind, name, id, sha1, file, data FROM stream ORDER BY node, position"
        )
        kinds = {kind.value: kind for kind in StreamKind}
        for node, kind, name, number, sha1, file, data in rows:
            stream = StagedStream(kinds[kind], name, number, _source(sha1, file, data))
            streams.setdefault(node, []).append(stream)
        nodes = {}
        for row in self._connection.execute("SELECT * FROM node"):
            node, created, accessed, written = row[0], *map(_unsigned, row[5:8])
            own = tuple(streams.get(node, ())) if row[13] else None
            fields = (*row[:5], created, accessed, written, bool(row[8]), *row[9:13], own)
            nodes[node] = StagedNode._make(fields)
        return nodes

    def entries(self) -> Iterator[tuple[NodeId, bytes, Entry | None]]:
        """Yield every name that differs from the base image."""
        rows = self._connection.execute("SELECT directory, name, node, short_name FROM entry")
        for directory, name, node, short_name in rows:
            yield directory, name, None if node is None else Entry(node, short_name)

    def close(self) -> None:
        """Move the log into the database and close it."""
        if self._log_fd >= 0:
            os.close(self._log_fd)
            self._log_fd = -1
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0)


def _configure(connection: sqlite3.Connection) -> None:
    """Prepare a connection: one owner, a log, no waiting for the disk at every commit."""
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise sqlite3.OperationalError(f"this file system cannot hold a write-ahead log ({mode})")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
    connection.execute("PRAGMA cache_size = -8192")
    # Take the exclusive lock at once: a second opener is refused here, not at its first write.
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("COMMIT")


def _code(error: Exception) -> int:
    return int(getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)) & 0xFF


def _os_error(error: sqlite3.Error, path: Path) -> OSError:
    number = _ERRNO_BY_CODE.get(_code(error), errno.EIO)
    return OSError(number, f"{os.strerror(number)} ({error})", str(path))


def _node_row(node: StagedNode) -> tuple[object, ...]:
    times = (_signed(node.creation_time), _signed(node.access_time), _signed(node.write_time))
    return (*node[:5], *times, *node[8:13], node.streams is not None)


def _write_streams(execute: Any, node: StagedNode) -> None:
    execute(_DROP_STREAMS, (node.id,))
    for position, (kind, name, number, source) in enumerate(node.streams or ()):
        row = (node.id, position, kind.value, name, number, *_source_columns(source))
        execute(_PUT_STREAM, row)


def _source_columns(source: StreamSource) -> tuple[object, object, object]:
    match source:
        case BaseBlob(sha1):
            return sha1, None, None
        case StagedFile(number):
            return None, number, None
        case InlineData(data):
            return None, None, data


def _source(sha1: bytes | None, file: int | None, data: bytes | None) -> StreamSource:
    if sha1 is not None:
        return BaseBlob(sha1)
    if file is not None:
        return StagedFile(file)
    return InlineData(data or b"")


def _write_entry(execute: Any, directory: NodeId, name: bytes, entry: EntryChange) -> None:
    if entry is AS_BASE:
        execute(_DROP_ENTRY, (directory, name))
    elif isinstance(entry, Entry):
        execute(_PUT_ENTRY, (directory, name, entry.node, entry.short_name))
    else:
        execute(_PUT_ENTRY, (directory, name, None, b""))
