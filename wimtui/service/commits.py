"""Writing staged changes into the WIM, mounted or not, and watching a mount."""

from __future__ import annotations

import os
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from dataclasses import fields as dataclass_fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from wimtui.control.client import DaemonClient
from wimtui.control.errors import ControlError, NotAMountError, RemoteError
from wimtui.control.protocol import (
    Disposition,
    Extension,
    OkReply,
    Outcome,
    ProgressEvent,
    Subscribe,
    Unmount,
)
from wimtui.control.registry import MountStatus
from wimtui.control.unmount import unmount
from wimtui.engine.errors import UsageError
from wimtui.engine.progress import CancelToken, Phase, Progress
from wimtui.service import stagings
from wimtui.service.commit_settings import CommitSettings
from wimtui.service.stagings import find_staged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from wimtui.control.protocol import Data, EndedEvent, Event
    from wimtui.control.registry import MountRecord
    from wimtui.engine.progress import ProgressSink
    from wimtui.service.stagings import StagedMount

__all__ = [
    "CommitEstimate", "CommitSettings", "Committed", "ReadOnlyMountError",
    "commit_and_unmount", "commit_at", "commit_estimate", "nothing_written", "watch",
]  # fmt: skip

_ANSWER_S: Final = 60.0


class ReadOnlyMountError(UsageError):
    """Nothing can have changed in a read-only mount."""


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
    saved_as: str = ""
    """The file that was written instead of the WIM, whose changes are staged still."""
    warnings: tuple[str, ...] = ()

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

    With ``save_as`` the WIM stays as it is, and so all stays staged.

    Args:
        target: Mount point, mount id or staging folder.
        settings: How.
        progress: Told how it goes on.
        cancel: Stops it, if that is still possible.

    Raises:
        NotAMountError: Nothing is mounted or staged there.
        ReadOnlyMountError: The mount is read-only.
        ArchiveChangedError: Somebody else has changed the WIM; ``save_as`` is the way out.
        CancelledError, RemoteError: It was cancelled (code 76), or failed; nothing has changed.
        WimError: It failed; nothing has changed.
    """
    staged = find_staged(target)
    if staged.is_alive:
        return _commit_mounted(staged, settings, progress, cancel)
    if not staged.staging:
        raise ReadOnlyMountError("the mount is read-only: there is nothing to commit", path=target)
    return _commit_detached(staged, settings, progress, cancel)


def commit_and_unmount(
    target: str,
    settings: CommitSettings,
    *,
    force: bool = False,
    progress: ProgressSink | None = None,
    cancel: CancelToken | None = None,
) -> Committed:
    """Write what is staged and end the mount; nothing of it runs or is staged afterwards.

    Of a mount whose daemon is gone what it left staged is written. A read-only mount ends, and
    nothing is written.

    Args:
        target: Mount point or mount id.
        settings: How.
        force: Though files are open: reading and writing them fails from then on.
        progress: Told how it goes on.
        cancel: Stops it, if that is still possible; the mount then goes on.

    Raises:
        NotAMountError: Nothing is mounted there.
        RemoteError: It was cancelled (code 76), is busy (79), or failed; the mount goes on.
        WimError: It failed; nothing has changed.
    """
    staged = find_staged(target)
    record = staged.record
    if record is None or (record.status is MountStatus.DETACHED and not record.alive):
        raise NotAMountError(
            "it is not mounted, only its changes are there",
            path=staged.staging,
            hint="wimtui commit writes them to the WIM, wimtui remount mounts it again",
        )
    done = nothing_written(record.entry.wim_path)
    if not record.alive and staged.staging and Path(staged.staging).exists():
        done = _commit_detached(staged, settings, progress, cancel, is_last=True)
    is_commit = record.entry.mode == "rw"
    if is_commit:
        _refuse_inside(record, settings)
    request = Unmount(
        disposition=Disposition.COMMIT if is_commit else Disposition.KEEP,
        lazy=force,
        **(settings.fields() if is_commit else {}),
    )
    result = unmount(record, request, on_event=_listener(progress), is_cancelled=_asker(cancel))
    if result.ended is not None and is_commit:
        done = _of_ended(record.entry.wim_path, result.ended, settings)
    return done


def _commit_mounted(
    staged: StagedMount,
    settings: CommitSettings,
    progress: ProgressSink | None,
    cancel: CancelToken | None,
) -> Committed:
    assert staged.record is not None
    entry = staged.record.entry
    if entry.mode != "rw":
        raise ReadOnlyMountError(
            "the mount is read-only: there is nothing to commit", path=entry.mount_point
        )
    _refuse_inside(staged.record, settings)
    with DaemonClient(staged.record) as client:
        ended = client.run(settings.request(), _listener(progress), _asker(cancel))
    if ended.outcome is not Outcome.DONE:
        raise RemoteError(ended.code, ended.text or "the commit failed", hint=ended.hint)
    return _of_ended(entry.wim_path, ended, settings)


def _refuse_inside(record: MountRecord, settings: CommitSettings) -> None:
    """Refuse to save in the mount itself: it would be staged, and lost with what is staged."""
    path = settings.absolute_save_as
    if path is None or not record.alive:
        return
    folder = os.path.realpath(os.path.dirname(path))  # noqa: PTH120  # a str
    if any(folder == point or folder.startswith(point + "/") for point in record.mount_points):
        raise UsageError(
            "that is in the mount itself, and would end with it",
            path=path,
            hint="choose a place outside of the mount",
        )


def _listener(progress: ProgressSink | None) -> Callable[[Event], None]:
    def listen(event: Event) -> None:
        if isinstance(event, ProgressEvent) and progress is not None:
            progress(progress_of(event))

    return listen


def _asker(cancel: CancelToken | None) -> Callable[[], bool] | None:
    return None if cancel is None else lambda: cancel.cancelled


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


def committed(wim_path: str, data: Data, settings: CommitSettings | None = None) -> Committed:
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
        saved_as="" if settings is None else settings.absolute_save_as or "",
    )


def _of_ended(wim_path: str, ended: EndedEvent, settings: CommitSettings) -> Committed:
    warnings = (ended.text,) if ended.text else ()
    return replace(committed(wim_path, ended.data, settings), warnings=warnings)


def _commit_detached(
    staged: StagedMount,
    settings: CommitSettings,
    progress: ProgressSink | None,
    cancel: CancelToken | None,
    *,
    is_last: bool = False,
) -> Committed:
    """Write what is staged; written to the WIM, or ``is_last``, it is not staged any more."""
    # A commit that a daemon does needs nothing of the engine, which takes 0.1 s to load.
    from wimtui.engine.commit.lock import WimLock
    from wimtui.engine.commit.overlay import commit_overlay

    if not Path(staged.staging).exists():
        raise NotAMountError(
            "its changes have been written or dropped already",
            path=staged.mount_point,
            hint="wimtui cleanup clears what is left of the mount away",
        )
    wim = stagings.wim_of(staged)
    elsewhere = settings.save_as is not None
    # A WIM that is only read is read as it was opened, whoever writes to it or replaces it.
    with nullcontext() if elsewhere else WimLock.take(wim) as lock:
        with stagings.opened(staged, wim_may_differ=elsewhere) as (archive, overlay):
            snapshot = overlay.freeze()
            try:
                plan = settings.plan(progress, cancel)
                result = commit_overlay(archive, overlay, snapshot, plan)
            finally:
                snapshot.release()
        if is_last or not elsewhere:
            # Should we be killed here, a remount finds out that it is in the WIM.
            stagings.discard(staged)
        if result.lock is not None and result.lock is not lock:
            result.lock.close()
    return Committed(
        wim,
        result.is_written,
        result.is_rebuilt,
        result.image_index,
        result.old_size,
        result.new_size,
        result.blobs_written,
        result.blobs_reused,
        saved_as=settings.absolute_save_as or "",
        warnings=result.warnings,
    )


def nothing_written(wim_path: str) -> Committed:
    """Return what came of a commit that had no effect."""
    size = Path(wim_path).stat().st_size if Path(wim_path).exists() else 0
    return Committed(wim_path, False, False, 0, size, size, 0, 0)


@dataclass(frozen=True, slots=True)
class CommitEstimate:
    """What a commit would come to, before anything is hashed or compressed."""

    new: int
    """Bytes written at most, appended or of the whole file: as if nothing compressed."""
    needed: int
    """Bytes that are likely to be written, from a sample."""
    free: int
    """Bytes that are, where the file is or will be."""
    is_rebuilt: bool
    """The whole file is written."""
    added: int
    """Names, as ``status`` lists them."""
    modified: int
    deleted: int
    renamed: int
    least: int = 0
    """Bytes without which it is refused before it begins; 0 where the daemon does not say."""


def commit_estimate(target: str, settings: CommitSettings) -> CommitEstimate:
    """Reckon a commit; nothing is written.

    Args:
        target: Mount point, mount id or staging folder.
        settings: How to commit.

    Raises:
        NotAMountError: Nothing is mounted or staged there.
        ReadOnlyMountError: The mount is read-only.
        ControlError: The daemon does not answer.
        WimError: The WIM or the staging folder cannot be read.
        OSError: The folder to be written to cannot be looked at.
    """
    staged = find_staged(target)
    if not staged.staging:
        raise ReadOnlyMountError("the mount is read-only: there is nothing to commit", path=target)
    if not staged.is_alive:
        from wimtui.engine.commit.estimate import estimate

        plan = settings.plan(None, None)
        elsewhere = settings.save_as is not None
        with stagings.opened(staged, wim_may_differ=elsewhere) as (archive, overlay):
            return CommitEstimate(**asdict(estimate(archive, overlay, plan.options)))
    assert staged.record is not None
    fields = settings.fields()
    data = {"mode": fields["mode"], "check": fields["check"], **fields["options"]}
    with DaemonClient(staged.record) as client:
        reply = client.request(Extension("estimate", data), _ANSWER_S)
    if not isinstance(reply, OkReply):
        raise ControlError(f"the daemon answered {reply.TYPE!r} to a request for an estimate")
    known = {field.name for field in dataclass_fields(CommitEstimate)}
    return CommitEstimate(**{k: v for k, v in reply.data.items() if k in known})  # type: ignore[arg-type]


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
