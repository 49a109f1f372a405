"""The staged changes of one mount, asked of its daemon or read from what it left behind."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from wimtui.control.client import DaemonClient
from wimtui.control.protocol import Extension, OkReply
from wimtui.control.stagings import DATABASE_NAME
from wimtui.engine.errors import UsageError
from wimtui.engine.staging.changes import list_changes
from wimtui.engine.staging.diff import diff_changes
from wimtui.engine.staging.inspection import (
    PathComparison,
    SideFacts,
    StreamComparison,
    StreamPiece,
    compare_path,
    read_piece,
)
from wimtui.engine.staging.reports import change_report
from wimtui.engine.staging.restore import restore
from wimtui.service.stagings import opened

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wimtui.control.protocol import Scalar
    from wimtui.engine.staging.overlay import Overlay
    from wimtui.service.stagings import StagedMount

__all__ = [
    "ChangeSource", "PathComparison", "SideFacts", "StreamComparison", "StreamPiece", "open_source",
]  # fmt: skip

LIST_S: Final = 600.0
"""Seconds a daemon has to list or compare changes: it may have to decode them all."""

_EMPTY_LIST_NBYTES: Final = len(b"[\n\n]")
_NUMBERS: Final = ("size", "mode", "mtime_ns")


class ChangeSource(Protocol):
    """What there is to ask of staged changes. Paths are from the image's root."""

    def changes(self, known: str = "") -> tuple[str, list[bytes] | None]:
        """Return a revision, and what ``change_report`` makes of every change, as JSON.

        The revision is another whenever something may have changed; where it is still the known
        one, there is None in place of the list.
        """
        ...

    def compare(self, path: str) -> PathComparison:
        """Compare one path. Raises NodeNotFoundError, WimError."""
        ...

    def read(
        self, path: str, stream: str, offset: int, count: int, *, before: bool = False
    ) -> StreamPiece:
        """Return bytes, up to 8 MiB. Raises NodeNotFoundError, WimError."""
        ...

    def diff(self, path: str) -> bytes:
        """Return a unified diff of what has this path or lies below it."""
        ...

    def restore(self, path: str) -> int:
        """Undo what is staged there; return how many names and inodes that concerned."""
        ...


@contextmanager
def open_source(staged: StagedMount) -> Iterator[ChangeSource]:
    """Open the changes of a mount that lives or has ended.

    Raises:
        UsageError: The mount is read-only.
        ControlError: The daemon cannot be reached.
        WimError: WIM or staging folder cannot be read.
    """
    mode = "rw" if staged.record is None else staged.record.entry.mode
    if mode != "rw" or not (staged.is_alive or staged.staging):
        raise UsageError("the mount is read-only: nothing is staged", path=staged.mount_point)
    if staged.is_alive:
        assert staged.record is not None
        with DaemonClient(staged.record) as client:
            yield LiveSource(client)
    else:
        with opened(staged) as (_, overlay):
            yield OverlaySource(overlay)


def detached_revision(folder: str) -> str:
    """Return what is another once somebody has written to a staging folder."""
    times = []
    for name in (DATABASE_NAME, f"{DATABASE_NAME}-wal", "mount.json"):
        try:
            times.append(Path(folder, name).stat().st_mtime_ns)
        except OSError:
            times.append(0)
    return "detached " + ".".join(map(str, times))


class LiveSource:
    """Asks a daemon. For one thread at a time."""

    def __init__(self, client: DaemonClient) -> None:
        self._client = client

    def _ask(self, name: str, **data: Scalar) -> tuple[OkReply, bytes]:
        reply = self._client.request(Extension(name, data), LIST_S)
        assert isinstance(reply, OkReply)
        return reply, self._client.read_bulk(reply)

    def changes(self, known: str = "") -> tuple[str, list[bytes] | None]:
        """As ``ChangeSource``."""
        reply, listed = self._ask("changes", known=known)
        lines = listed[2:-2].split(b",\n") if len(listed) > _EMPTY_LIST_NBYTES else []
        return str(reply.data.get("revision", "")), lines if listed else None

    def compare(self, path: str) -> PathComparison:
        """As ``ChangeSource``."""
        _, found = self._ask("compare", path=path)
        return PathComparison.from_json(json.loads(found))

    def read(
        self, path: str, stream: str, offset: int, count: int, *, before: bool = False
    ) -> StreamPiece:
        """As ``ChangeSource``."""
        reply, data = self._ask(
            "read", path=path, stream=stream, offset=offset, count=count, before=before
        )
        size, mode, mtime_ns = (int(reply.data.get(name) or 0) for name in _NUMBERS)
        streams: tuple[str, ...] = ()
        if reply.data.get("named_streams") and not before:
            streams = tuple(json.loads(self._ask("streams", path=path)[1]))
        return StreamPiece(data, size, mode, mtime_ns, streams)

    def diff(self, path: str) -> bytes:
        """As ``ChangeSource``."""
        return self._ask("diff", path=path)[1]

    def restore(self, path: str) -> int:
        """As ``ChangeSource``."""
        reply, _ = self._ask("restore", path=path)
        return sum(int(reply.data.get(name) or 0) for name in ("names", "inodes"))


class OverlaySource:
    """Answers from an open overlay. Its revision is always empty: nobody else can write to it."""

    def __init__(self, overlay: Overlay) -> None:
        self._overlay = overlay

    def changes(self, known: str = "") -> tuple[str, list[bytes] | None]:
        """As ``ChangeSource``."""
        del known
        reports = (change_report(change) for change in list_changes(self._overlay))
        return "", [json.dumps(report).encode("ascii") for report in reports]

    def compare(self, path: str) -> PathComparison:
        """As ``ChangeSource``."""
        return compare_path(self._overlay, os.fsencode(path))

    def read(
        self, path: str, stream: str, offset: int, count: int, *, before: bool = False
    ) -> StreamPiece:
        """As ``ChangeSource``."""
        name = os.fsencode(stream)
        return read_piece(self._overlay, os.fsencode(path), name, offset, count, before=before)

    def diff(self, path: str) -> bytes:
        """As ``ChangeSource``."""
        return b"".join(diff_changes(self._overlay, os.fsencode(path)))

    def restore(self, path: str) -> int:
        """As ``ChangeSource``."""
        restored = restore(self._overlay, os.fsencode(path))
        return len(restored.entries) + len(restored.inodes)
