"""A mount made another one at the same place: writable or not, or another image."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from wimtui.control.errors import ControlError, NotPermittedError
from wimtui.control.mount_request import MountRequest
from wimtui.control.protocol import Disposition, Unmount
from wimtui.control.registry_entry import new_mount_id
from wimtui.control.spawn import spawn_daemon
from wimtui.control.stagings import is_staging
from wimtui.control.unmount import unmount
from wimtui.engine.errors import UsageError
from wimtui.service import mounts, stagings

if TYPE_CHECKING:
    from collections.abc import Callable

    from wimtui.control.handshake import StartProgress
    from wimtui.control.registry import MountRecord
    from wimtui.service.mounts import MountSummary


def switch(
    target: str,
    *,
    read_write: bool | None = None,
    image: str | None = None,
    on_progress: Callable[[StartProgress], None] | None = None,
) -> MountSummary:
    """Unmount, and mount at the same place with the same options but for these.

    Nothing is unmounted before it is known that the image exists and that the WIM may be written
    where it has to be. Should the mount fail all the same, what was mounted is mounted again.

    Args:
        target: Mount point or mount id.
        read_write: Whether it is to be writable; None leaves that.
        image: 1-based index or name; None leaves the image.
        on_progress: Told how the start goes on.

    Raises:
        NotAMountError: Nothing is mounted there.
        UsageError: It has no daemon, or nothing would be another.
        NotPermittedError: Another user mounted it.
        RemoteError: It is in use (code 79), or cannot be mounted so.
        WimError: No such image, changes are staged, or the WIM cannot be written.
        ControlError: It cannot be ended, or it could not be mounted again.
    """
    record = stagings.find_staged(target).record
    if record is None or not record.alive:
        raise UsageError("it is not mounted", path=target, hint="wimtui remount mounts it again")
    before = _request_of(record)
    after = _checked(record, before, read_write=read_write, image=image)
    _refuse_dirty(record)
    unmount(record, Unmount(disposition=Disposition.KEEP))
    _put_back_what_came_late(record)
    try:
        started = spawn_daemon(after.to_options(), on_progress=on_progress)
    except BaseException as error:
        _put_back(before, error)
        raise
    return mounts.find_mount(started.mount_id)


def _request_of(record: MountRecord) -> MountRequest:
    entry = record.entry
    if entry.uid != os.geteuid():
        raise NotPermittedError(
            f"user {entry.uid} mounted it", path=entry.mount_point, hint="ask them"
        )
    try:
        request = MountRequest.from_options(entry.options)
    except ValueError as error:
        raise ControlError(
            f"the note of how it was mounted makes no sense: {error}",
            path=entry.mount_point,
            hint="unmount it and mount it anew",
        ) from error
    return replace(request, image=str(entry.image_index), staging_path="", debug=False)


def _checked(
    record: MountRecord, before: MountRequest, *, read_write: bool | None, image: str | None
) -> MountRequest:
    """Return the other request, where nothing speaks against it."""
    # Most commands need no engine, which takes longer to load than all that they do.
    from wimtui.engine.archive import Archive, ArchiveOptions
    from wimtui.engine.errors import ReadOnlyWimError
    from wimtui.service.write_access import write_refusal

    with Archive.open(before.wim_path, ArchiveOptions()) as archive:
        index = record.entry.image_index if image is None else archive.find_image(image)
    becomes_writable = before.read_write if read_write is None else read_write
    if becomes_writable and not before.read_write:
        refusal = write_refusal(before.wim_path, before.references)
        if refusal:
            raise ReadOnlyWimError(refusal, path=before.wim_path)
    if (index, becomes_writable) == (record.entry.image_index, before.read_write):
        raise UsageError(
            f"image {index} is mounted {'read-write' if becomes_writable else 'read-only'} there "
            "already",
            path=record.entry.mount_point,
        )
    parent = before.staging_parent if becomes_writable else ""
    return replace(
        before,
        mount_id=new_mount_id(),
        image=str(index),
        read_write=becomes_writable,
        staging_parent=parent,
    )


def _refuse_dirty(record: MountRecord) -> None:
    if record.entry.mode == "rw" and mounts.activity_of(record.entry.mount_id).changes:
        raise _dirty(record)


def _dirty(record: MountRecord) -> UsageError:
    return UsageError(
        "changes are staged in it",
        path=record.entry.mount_point,
        hint="commit or discard them first",
    )


def _put_back_what_came_late(record: MountRecord) -> None:
    """Refuse too where somebody wrote between the look at the changes and the unmount."""
    staging = record.entry.staging_path
    if staging and is_staging(staging):
        stagings.remount(staging)
        raise _dirty(record)


def _put_back(before: MountRequest, cause: BaseException) -> None:
    """Mount again what was there; say both causes where that fails as well."""
    try:
        spawn_daemon(replace(before, mount_id=new_mount_id()).to_options())
    except ControlError as error:
        raise ControlError(
            f"it cannot be mounted so ({cause}), and mounting it as it was failed too: "
            f"{error.message}",
            path=before.mount_point,
            hint=f"wimtui mount {before.wim_path} {before.image} {before.mount_point}",
        ) from error
