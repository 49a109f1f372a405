"""Writing staged changes into the WIM, mounted or not, and watching a mount."""

from __future__ import annotations

import os
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from wimtui.control.client import DaemonClient
from wimtui.control.errors import NotAMountError, RemoteError
from wimtui.control.protocol import (
    Commit,
    CommitMode,
    Disposition,
    Outcome,
    ProgressEvent,
    Subscribe,
    Unmount,
)
from wimtui.control.registry import MountStatus
from wimtui.control.unmount import unmount
from wimtui.engine.commit.edit import ImageProperties
from wimtui.engine.commit.lock import WimLock
from wimtui.engine.commit.options import WriteOptions
from wimtui.engine.commit.overlay import CommitPlan, commit_overlay
from wimtui.engine.errors import UsageError
from wimtui.engine.progress import CancelToken, Phase, Progress
from wimtui.service import stagings
from wimtui.service.editing import parse_compression
from wimtui.service.stagings import find_staged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from wimtui.control.protocol import Data, EndedEvent, Event, Scalar
    from wimtui.engine.progress import ProgressSink
    from wimtui.service.stagings import StagedMount

__all__ = [
    "CommitSettings", "Committed", "ReadOnlyMountError", "commit_and_unmount", "commit_at", "watch",
]  # fmt: skip

_ANSWER_S: Final = 60.0


class ReadOnlyMountError(UsageError):
    """Nothing can have changed in a read-only mount."""


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
    compress: str | None = None
    """``TYPE[:LEVEL]``; None keeps what the WIM has."""
    solid: bool = False
    """Rebuild, with all file data in a solid resource."""
    save_as: str | None = None
    """Write the result to this path, which must not exist, and leave the WIM as it is."""
    force_write: bool = False
    """Write although nothing has changed."""
    check_space: bool = True
    """Refuse before anything is written where the disk may be too small."""

    @property
    def absolute_save_as(self) -> str | None:
        """Where the result goes, whatever the current folder is."""
        return None if self.save_as is None else os.path.abspath(self.save_as)  # noqa: PTH100

    def request(self) -> Commit:
        """Return what a daemon is asked. Raises UsageError."""
        return Commit(**self.fields())

    def fields(self) -> dict[str, Any]:
        """Return the fields that a request for a commit or an unmount has. Raises UsageError."""
        anew = self.rebuild or self.recompress
        return {
            "mode": CommitMode.REBUILD if anew else CommitMode.APPEND,
            "new_image": self.new_image,
            "image_name": self.name,
            "image_description": self.description,
            "check": self.check,
            "options": self._options(),
        }

    def _options(self) -> dict[str, Scalar]:
        compression = parse_compression(self.compress)
        options: dict[str, Scalar] = {
            "recompress": self.recompress,
            "solid": self.solid,
            "boot": self.boot,
            "force": self.force_write,
            "no_space_check": not self.check_space,
        }
        if compression.codec is not None:
            options |= {"codec": compression.codec.name, "level": compression.level}
        if self.save_as is not None:
            options["save_as"] = self.absolute_save_as
        return options

    def plan(self, progress: ProgressSink | None, cancel: CancelToken | None) -> CommitPlan:
        """Return what the engine is asked. Raises UsageError."""
        options = WriteOptions(
            rebuild=self.rebuild or self.recompress,
            recompress=self.recompress,
            solid=self.solid,
            compression=parse_compression(self.compress),
            integrity=True if self.check else None,
            check_space=self.check_space,
            save_as=self.absolute_save_as,
            progress=progress,
            cancel=cancel,
        )
        if not self.new_image:
            return CommitPlan(options, force=self.force_write)
        properties = ImageProperties(
            self.name or None, self.description or None, True if self.boot else None
        )
        return CommitPlan(options, properties, force=self.force_write)


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
    done = _nothing(record.entry.wim_path)
    if not record.alive and staged.staging:
        done = _commit_detached(staged, settings, progress, cancel, is_last=True)
    is_commit = record.entry.mode == "rw"
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
    with DaemonClient(staged.record) as client:
        ended = client.run(settings.request(), _listener(progress), _asker(cancel))
    if ended.outcome is not Outcome.DONE:
        raise RemoteError(ended.code, ended.text or "the commit failed", hint=ended.hint)
    return _of_ended(entry.wim_path, ended, settings)


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


def _nothing(wim_path: str) -> Committed:
    size = Path(wim_path).stat().st_size if Path(wim_path).exists() else 0
    return Committed(wim_path, False, False, 0, size, size, 0, 0)


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
