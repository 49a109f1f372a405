"""Writing staged changes into the WIM, mounted or not, and watching a mount."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from wimtui.control.client import DaemonClient
from wimtui.control.errors import RemoteError
from wimtui.control.protocol import (
    Cancel,
    Commit,
    CommitMode,
    EndedEvent,
    Outcome,
    ProgressEvent,
    Subscribe,
)
from wimtui.engine.commit.edit import ImageProperties
from wimtui.engine.commit.lock import WimLock
from wimtui.engine.commit.options import WriteOptions
from wimtui.engine.commit.overlay import CommitPlan, commit_overlay
from wimtui.engine.errors import UsageError
from wimtui.engine.progress import CancelToken, Phase, Progress
from wimtui.service import stagings
from wimtui.service.stagings import find_staged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wimtui.control.protocol import Data, Event
    from wimtui.engine.commit.options import WriteResult
    from wimtui.engine.progress import ProgressSink
    from wimtui.service.stagings import StagedMount

__all__ = ["CommitSettings", "Committed", "commit_at", "watch"]

_ANSWER_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class CommitSettings:
    """How to commit."""

    rebuild: bool = False
    """Write the file anew, without dead bytes."""
    recompress: bool = False
    """And compress again what could be copied."""
    check: bool = False
    """Write an integrity table."""
    new_image: bool = False
    """Append an image instead of writing in the place of the mounted one."""
    name: str = ""
    """Of the new image."""
    description: str = ""
    boot: bool = False
    """Make the new image the bootable one."""

    def request(self) -> Commit:
        """Return what a daemon is asked."""
        return Commit(**self.fields())

    def fields(self) -> dict[str, Any]:
        """Return the fields that a request for a commit or an unmount has."""
        anew = self.rebuild or self.recompress
        return {
            "mode": CommitMode.REBUILD if anew else CommitMode.APPEND,
            "new_image": self.new_image,
            "image_name": self.name,
            "image_description": self.description,
            "check": self.check,
            "options": {"recompress": self.recompress, "boot": self.boot},
        }

    def plan(self, progress: ProgressSink | None, cancel: CancelToken | None) -> CommitPlan:
        """Return what the engine is asked."""
        options = WriteOptions(
            rebuild=self.rebuild or self.recompress,
            recompress=self.recompress,
            integrity=True if self.check else None,
            progress=progress,
            cancel=cancel,
        )
        if not self.new_image:
            return CommitPlan(options)
        properties = ImageProperties(
            self.name or None, self.description or None, True if self.boot else None
        )
        return CommitPlan(options, properties)


@dataclass(frozen=True, slots=True)
class Committed:
    """What came of a commit."""

    wim_path: str
    is_written: bool
    """False where there was nothing to write."""
    is_rebuilt: bool
    image_index: int
    old_size: int
    new_size: int
    blobs_written: int
    blobs_reused: int

    def as_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)


def commit_at(
    target: str,
    settings: CommitSettings,
    *,
    progress: ProgressSink | None = None,
    cancel: CancelToken | None = None,
) -> Committed:
    """Write what is staged into the WIM; a mount goes on, a staging folder without one goes.

    Args:
        target: Mount point, mount id or staging folder.
        settings: How.
        progress: Told how it goes on.
        cancel: Stops it, if that is still possible.

    Raises:
        NotAMountError: Nothing is mounted or staged there.
        UsageError: The mount is read-only.
        CancelledError, RemoteError: It was cancelled (code 76), or failed; nothing has changed.
        WimError: It failed; nothing has changed.
    """
    staged = find_staged(target)
    if staged.is_alive:
        return _commit_mounted(staged, settings, progress, cancel)
    if not staged.staging:
        raise UsageError("the mount is read-only: there is nothing to commit", path=target)
    return _commit_detached(staged, settings, progress, cancel)


def _commit_mounted(
    staged: StagedMount,
    settings: CommitSettings,
    progress: ProgressSink | None,
    cancel: CancelToken | None,
) -> Committed:
    assert staged.record is not None
    entry = staged.record.entry
    if entry.mode != "rw":
        raise UsageError(
            "the mount is read-only: there is nothing to commit", path=entry.mount_point
        )
    with DaemonClient(staged.record) as client:
        client.request(settings.request(), _ANSWER_S)
        operation = client.last_request_id
        ended = _follow(client, operation, progress, cancel)
    if ended.outcome is not Outcome.DONE:
        raise RemoteError(ended.code, ended.text or "the commit failed", hint=ended.hint)
    return committed(entry.wim_path, ended.data)


def _follow(
    client: DaemonClient,
    operation: int,
    progress: ProgressSink | None,
    cancel: CancelToken | None,
) -> EndedEvent:
    """Take events until the commit is over; pass a wish to stop on, once."""
    is_cancelled = False
    while True:
        for event in client.events(timeout_s=0.2):
            if isinstance(event, ProgressEvent) and progress is not None:
                progress(progress_of(event))
            if isinstance(event, EndedEvent) and event.operation == "commit":
                return event
        if cancel is not None and cancel.cancelled and not is_cancelled:
            is_cancelled = True
            client.request(Cancel(operation), _ANSWER_S)


def progress_of(event: ProgressEvent) -> Progress:
    """Return a daemon's progress in the engine's terms."""
    return Progress(
        Phase(event.phase),
        event.bytes_done,
        event.bytes_total,
        event.items_done,
        event.items_total,
        event.path,
    )


def committed(wim_path: str, data: Data) -> Committed:
    """Return what a daemon said of a commit."""

    def number(name: str) -> int:
        value = data.get(name, 0)
        return value if isinstance(value, int) else 0

    return Committed(
        wim_path,
        bool(data.get("is_written")),
        bool(data.get("is_rebuilt")),
        number("image_index"),
        number("old_size"),
        number("new_size"),
        number("blobs_written"),
        number("blobs_reused"),
    )


def _commit_detached(
    staged: StagedMount,
    settings: CommitSettings,
    progress: ProgressSink | None,
    cancel: CancelToken | None,
) -> Committed:
    wim = stagings.wim_of(staged)
    with WimLock.take(wim) as lock:
        with stagings.opened(staged) as (archive, overlay):
            snapshot = overlay.freeze()
            try:
                plan = settings.plan(progress, cancel)
                result = commit_overlay(archive, overlay, snapshot, plan)
            finally:
                snapshot.release()
        # What is staged is in the WIM; should we be killed here, a remount finds that out.
        stagings.discard(staged)
        if result.lock is not None and result.lock is not lock:
            result.lock.close()
    return _of_result(wim, result)


def _of_result(wim_path: str, result: WriteResult) -> Committed:
    return Committed(
        wim_path,
        result.is_written,
        result.is_rebuilt,
        result.image_index,
        result.old_size,
        result.new_size,
        result.blobs_written,
        result.blobs_reused,
    )


def watch(target: str) -> Iterator[Event]:
    """Yield what a mount's daemon tells of, until it ends.

    Raises:
        NotAMountError: Nothing is mounted there.
        DaemonGoneError: The daemon ended.
    """
    staged = find_staged(target)
    if staged.record is None or not staged.is_alive:
        raise UsageError("nothing is mounted there that could be watched", path=target)
    with DaemonClient(staged.record) as client:
        client.request(Subscribe(log_level="INFO"), _ANSWER_S)
        yield from client.events()
