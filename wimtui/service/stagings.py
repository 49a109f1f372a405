"""Staged changes without a mount: finding, looking into, remounting and dropping them."""

from __future__ import annotations

import os
import shutil
import stat
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from wimtui.control import registry
from wimtui.control.errors import ControlError, NotAMountError, NotPermittedError
from wimtui.control.mount_request import MountRequest
from wimtui.control.registry import MountStatus
from wimtui.control.registry_entry import new_mount_id
from wimtui.control.spawn import spawn_daemon
from wimtui.control.stagings import (
    StagingNote,
    forget_staging,
    is_staging,
    known_stagings,
    looks_like_staging,
)
from wimtui.control.unmount import clear_dead
from wimtui.control.users import user_name
from wimtui.engine.errors import UsageError, WimError
from wimtui.service.recents import recent_wims

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from wimtui.control.handshake import StartProgress
    from wimtui.control.registry import MountRecord
    from wimtui.engine.archive import Archive
    from wimtui.engine.staging.overlay import Overlay
    from wimtui.engine.staging.store import StagingStore


_NOBODY = -1
"""In the place of a user where the kernel does not say whose a mount is."""


@dataclass(frozen=True, slots=True)
class StagedMount:
    """What is left of a mount, or all there is of one that lives.

    Attributes:
        record: What registry and kernel know of it; None for a folder that was only found.
        staging: Its staging folder; empty for a read-only mount.
        note: What the staging folder says; None where there is none.
    """

    record: MountRecord | None
    staging: str
    note: StagingNote | None

    @property
    def is_alive(self) -> bool:
        """Whether a daemon serves it."""
        return self.record is not None and self.record.alive

    @property
    def mount_point(self) -> str:
        """Where it is or was mounted."""
        if self.record is not None:
            return self.record.entry.mount_point
        return "" if self.note is None else self.note.mount_point


def loose_stagings(records: tuple[MountRecord, ...]) -> tuple[StagedMount, ...]:
    """Return the staging folders that no registry entry tells of, as after a reboot."""
    seen = {_identity(record.entry.staging_path) for record in records}
    # Mounts that no entry tells of may be those of another session, and so what lies beside them.
    wims = {record.entry.wim_path for record in records if record.entry.mount_id}
    wims.update(wim.path for wim in recent_wims())
    found = []
    for folder in known_stagings(sorted(wims)):
        identity = _identity(folder)
        if identity not in seen:
            seen.add(identity)
            found.append(StagedMount(None, folder, StagingNote.read(folder)))
    return tuple(found)


def _identity(folder: str) -> tuple[int, int] | str:
    """Return what is the same by whatever links and mounts one comes to a folder."""
    try:
        status = Path(folder).stat()
    except OSError:
        return folder
    return status.st_dev, status.st_ino


def find_staged(target: str) -> StagedMount:
    """Return a mount by mount point, mount id or staging folder.

    Raises:
        NotAMountError: There is none.
        NotPermittedError: It is another user's.
        UsageError: Several staging folders belong to that mount point.
    """
    records = registry.list_mounts(all_users=os.geteuid() == 0)
    # Mounts first: a mount whose daemon hangs or is gone must not be looked into.
    record = registry.find_mount(target, records)
    if record is not None and record.status is not MountStatus.ENDED:
        staging = record.entry.staging_path
        # Where another user says that it is may hang who looks.
        is_own = staging and record.entry.uid == os.geteuid()
        return StagedMount(record, staging, StagingNote.read(staging) if is_own else None)
    folder = os.path.realpath(target)
    if is_staging(folder):
        found = [one for one in records if one.entry.staging_path == folder]
        return StagedMount(found[-1] if found else None, folder, StagingNote.read(folder))
    where = registry.resolved_mount_point(target)
    loose = [one for one in loose_stagings(records) if one.mount_point == where]
    if len(loose) > 1:
        raise UsageError(
            "several staging folders belong to that mount point",
            path=target,
            hint="name one: " + ", ".join(one.staging for one in loose),
        )
    if not loose:
        registry.refuse_others(target)
        _refuse_others_folder(folder)
        raise NotAMountError(
            "nothing is mounted or staged there", path=target, hint="wimtui mounts lists what is"
        )
    return loose[0]


def require_own(staged: StagedMount) -> None:
    """Raise NotPermittedError where no daemon runs, and what one left is another user's.

    That holds for root too: what others' registry entries and staging folders tell, such as which
    folder to remove, is their word, and to be acted upon with their rights only.
    """
    record = staged.record
    if record is None or record.alive:
        return
    if record.entry.uid not in (os.geteuid(), _NOBODY):
        raise _anothers(record.entry.uid, staged.mount_point)


def _refuse_others_folder(folder: str) -> None:
    """Raise NotPermittedError where a path is a staging folder of another user."""
    with suppress(OSError):
        status = os.lstat(folder)
        is_anothers = status.st_uid != os.geteuid()
        if is_anothers and stat.S_ISDIR(status.st_mode) and looks_like_staging(folder):
            raise _anothers(status.st_uid, folder)


def _anothers(uid: int, path: str) -> NotPermittedError:
    return NotPermittedError(
        f"what is left there belongs to user {uid}",
        path=path,
        hint=f"do that as that user, with sudo -u {user_name(uid)}",
    )


def remount(
    target: str,
    mount_point: str | None = None,
    on_progress: Callable[[StartProgress], None] | None = None,
) -> str:
    """Mount again what lost its daemon, with every change; return the new mount id.

    Args:
        target: Mount point, mount id or staging folder.
        mount_point: Another place to mount it; by default where it was.
        on_progress: Told how the start goes on.

    Raises:
        NotAMountError: There is nothing to mount again.
        NotPermittedError: It is another user's.
        UsageError: It is mounted.
        RemoteError: The daemon says why it cannot.
    """
    staged = find_staged(target)
    if staged.is_alive:
        raise UsageError("it is mounted, nothing is to be done", path=staged.mount_point)
    require_own(staged)
    request = _request_of(staged)
    if mount_point is not None:
        request = replace(request, mount_point=registry.resolved_mount_point(mount_point))
    record = staged.record
    if record is not None and record.mount_points:
        clear_dead(record)
    # Without a staging folder, as after a commit of what was in it, there is nothing to go on with.
    staging = staged.staging if is_staging(staged.staging) else ""
    request = replace(request, mount_id=new_mount_id(), staging_path=staging, debug=False)
    if staging:
        request = replace(request, image=_stored_image(staging) or request.image)
    started = spawn_daemon(request.to_options(), on_progress=on_progress)
    if record is not None and record.folder is not None and record.entry.mount_id:
        registry.forget_daemon(record)
        record.folder.remove_dead(record.entry.mount_id)
    return started.mount_id


def _request_of(staged: StagedMount) -> MountRequest:
    options = staged.note.request if staged.note is not None else {}
    if not options and staged.record is not None:
        options = staged.record.entry.options
    if not options and staged.staging:
        options = _stored_request(staged.staging)
    if not options:
        raise NotAMountError(
            "nobody noted how it was mounted",
            path=staged.mount_point or staged.staging,
            hint="unmount it and mount it anew",
        )
    try:
        request = MountRequest.from_options(options)
    except ValueError as error:
        raise ControlError(f"the note of its mount makes no sense: {error}") from error
    wim = _wim_path(request.wim_path, staged.staging)
    if staged.note is not None and staged.note.image_index:
        request = replace(request, image=str(staged.note.image_index))
    return replace(request, wim_path=wim)


def _stored_image(folder: str) -> str:
    """Return the image that the changes are of; empty where the daemon is to say why not."""
    with suppress(WimError, OSError):
        store = _open_store(folder)
        try:
            return str(store.facts.image)
        finally:
            store.close()
    return ""


def _stored_request(folder: str) -> dict[str, object]:
    store = _open_store(folder)
    try:
        return dict(store.facts.mount)
    finally:
        store.close()


def _open_store(folder: str) -> StagingStore:
    # Loading the engine takes longer than all that most commands do, and they need none of it.
    from wimtui.engine.staging.store import StagingStore

    return StagingStore.open(Path(folder))


def _wim_path(noted: str, staging: str) -> str:
    """Return where the WIM is: as noted, or beside a staging folder that was moved with it."""
    if not staging or Path(noted).exists():
        return noted
    beside = Path(staging).parent / Path(noted).name
    return str(beside) if beside.exists() else noted


def wim_of(staged: StagedMount) -> str:
    """Return where the WIM of a staging folder is, as far as that is known.

    Raises NotPermittedError where that is another user's.
    """
    require_own(staged)
    noted = "" if staged.note is None else staged.note.wim_path
    if not noted:
        store = _open_store(staged.staging)
        noted = store.facts.identity.path
        store.close()
    return _wim_path(noted, staged.staging)


def discard(staged: StagedMount) -> None:
    """Remove a staging folder that no daemon uses, with everything in it.

    Raises:
        UsageError: A daemon uses it.
        NotPermittedError: It is another user's.
        LockedError: Another process does.
        OSError: It cannot be removed.
    """
    require_unused(staged)
    require_own(staged)
    if staged.staging and Path(staged.staging).is_dir():
        if is_staging(staged.staging):
            _refuse_in_use(staged.staging)
        shutil.rmtree(staged.staging)
        forget_staging(staged.staging)
    record = staged.record
    if record is not None and record.folder is not None and not record.mount_points:
        registry.forget_daemon(record)
        record.folder.remove_dead(record.entry.mount_id)


def require_unused(staged: StagedMount) -> None:
    """Raise UsageError where a daemon uses a staging folder, or where there is none."""
    if staged.is_alive:
        raise UsageError("it is mounted", path=staged.mount_point, hint="unmount it with --discard")


def _refuse_in_use(folder: str) -> None:
    try:
        _open_store(folder).close()
    except (OSError, ValueError):
        # Damaged, which is no reason to keep it; that it is in use is another error.
        return


@contextmanager
def opened(
    staged: StagedMount, *, wim_may_differ: bool = False
) -> Iterator[tuple[Archive, Overlay]]:
    """Open the changes of a mount that has no daemon, to look at them.

    Args:
        staged: What to open.
        wim_may_differ: Take a WIM that somebody else has changed, if it still holds the image.

    Raises:
        NotPermittedError: They are another user's.
        LockedError: Somebody else has them open.
        ArchiveChangedError: The WIM is not the one that they belong to.
        WimError: WIM or staging folder cannot be read.
    """
    from wimtui.engine.archive import Archive, ArchiveOptions
    from wimtui.engine.commit.errors import ArchiveChangedError
    from wimtui.engine.staging.identity import IdentityMatch, WimIdentity
    from wimtui.engine.staging.overlay import Overlay

    require_own(staged)
    store = _open_store(staged.staging)
    try:
        facts = store.facts
        wim = _wim_path(facts.identity.path, staged.staging)
        with Archive.open(wim, ArchiveOptions()) as archive:
            match = facts.match(WimIdentity.of(archive))
            if match is IdentityMatch.COMMITTED and facts.is_written_since:
                raise ArchiveChangedError(
                    "a commit was killed before what was written meanwhile could follow",
                    path=wim,
                    hint=f"wimtui remount {staged.staging} brings all of it back",
                )
            if match is IdentityMatch.COMMITTED:
                raise ArchiveChangedError(
                    "what was staged is in the WIM already",
                    path=wim,
                    hint=f"wimtui cleanup {staged.staging} removes what is left",
                )
            if match is IdentityMatch.CHANGED:
                image = _image_in(archive, staged, facts.identity.digest)
                if not image:
                    raise ArchiveChangedError(
                        "the WIM has changed, and the image that the changes are of is gone",
                        path=wim,
                        hint="put the WIM back as it was, or drop the changes with "
                        f"wimtui cleanup {staged.staging}",
                    )
                if not wim_may_differ:
                    raise ArchiveChangedError(
                        "the WIM has changed since the changes were staged",
                        path=wim,
                        hint="write the result to another file with wimtui commit --save-as",
                    )
                facts = store.facts = replace(facts, image=image)
            yield archive, Overlay(archive.image(facts.image), archive.blobs, store)
    finally:
        store.close()


def _image_in(archive: Archive, staged: StagedMount, digest: str) -> int:
    """Return which image of another state of the WIM the changes are of; 0 for none.

    The same metadata resource is the same image, down to the SHA-1 of each of its files.
    """
    note = staged.note
    if note is None or not note.image_sha1 or note.wim_digest != digest:
        return 0
    for index in range(1, archive.wim.image_count + 1):
        if archive.blobs.metadata_info(index).sha1.hex() == note.image_sha1:
            return index
    return 0
