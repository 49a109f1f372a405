"""What needs somebody's decision: dead mounts, staged changes without one, half-done writes."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from wimtui.control.unmount import is_disconnected
from wimtui.engine.archive import Archive, ArchiveOptions
from wimtui.engine.commit.errors import ArchiveChangedError
from wimtui.engine.container.flags import HEADER_NBYTES, HeaderFlag
from wimtui.engine.container.header import MAGIC
from wimtui.engine.errors import LockedError, WimError
from wimtui.engine.staging.changes import list_changes
from wimtui.engine.staging.identity import IdentityMatch, WimIdentity
from wimtui.engine.staging.store import StagingStore
from wimtui.service import mounts, recents, stagings
from wimtui.service.mounts import MountStatus
from wimtui.service.space import space_of
from wimtui.service.write_access import writer_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from wimtui.service.mounts import MountSummary
    from wimtui.service.stagings import StagedMount

__all__ = ["Fit", "Recoverable", "Trouble", "Way", "recoverables"]

_FLAGS = slice(16, 20)
"""Where a header has its flags."""


class Trouble(StrEnum):
    """What happened."""

    DEAD = "needs remount"
    """The daemon is gone and its mount is left."""
    DETACHED = "detached"
    """Changes are staged and nothing is mounted."""
    HALF_WRITTEN = "half written"
    """A write to the WIM never ended; the archive is whole."""


class Fit(StrEnum):
    """How staged changes and their WIM go together."""

    NOTHING = "nothing is staged"
    SAME = "the WIM is as it was"
    COMMITTED = "the changes are in the WIM already"
    CHANGED = "the WIM has changed since"
    MISSING = "the WIM is not there"
    DAMAGED = "the staging folder cannot be read"
    IN_USE = "somebody else has it open"


class Way(StrEnum):
    """What can be done."""

    REMOUNT = "remount"
    COMMIT = "commit"
    SAVE_AS = "save as"
    DISCARD = "discard"
    CLEAR = "clear"
    """Free the mount point; what is staged stays."""
    TRIM = "trim"
    """Take away what the write left in the file."""


@dataclass(frozen=True, slots=True)
class Recoverable:
    """One thing to decide upon."""

    target: str
    """What commands take: mount id, mount point, staging folder, or path of a WIM."""
    trouble: Trouble
    why: str
    """One sentence without a full stop."""
    ways: tuple[Way, ...]
    wim_path: str
    image_index: int = 0
    image_name: str = ""
    mount_point: str = ""
    staging_path: str = ""
    mode: str = ""
    created: float = 0.0
    """Seconds since 1970; 0 where nobody knows."""
    fit: Fit = Fit.NOTHING
    kinds: tuple[tuple[str, int], ...] = ()
    """How many changes of each kind there are."""
    change_count: int | None = None
    staged_nbytes: int | None = None
    left_nbytes: int = 0
    """What a write that never ended left in the WIM."""
    summary: MountSummary | None = None
    """The mount, or what is left of it."""
    is_own: bool = True
    """False for a dead mount that no registry of this user's tells of."""

    def with_changes(self, kinds: Counter[str], nbytes: int) -> Recoverable:
        """Return it with what was counted."""
        return replace(
            self,
            kinds=tuple(sorted(kinds.items())),
            change_count=kinds.total(),
            staged_nbytes=nbytes,
        )


def recoverables() -> tuple[Recoverable, ...]:
    """Return all that there is, oldest first. Opens staging folders, so none may be open here."""
    listed = mounts.list_mounts()
    # Mounts of another session may live; what is staged beside their WIMs is theirs.
    theirs = {one.wim_path for one in listed if not one.mount_id and not one.staging_path}
    found = [
        _of_mount(summary)
        for summary in listed
        if not summary.alive
        and summary.status in (MountStatus.DEAD, MountStatus.DETACHED, MountStatus.UNKNOWN)
        and _is_ours(summary, theirs)
    ]
    wims = {summary.wim_path for summary in listed if summary.mount_id or summary.staging_path}
    wims.update(wim.path for wim in recents.recent_wims())
    found += _half_written(sorted(wims))
    return tuple(sorted(found, key=lambda one: (not one.is_own, one.created)))


def _is_ours(summary: MountSummary, theirs: set[str]) -> bool:
    """Whether it is certain that no session of this user's serves it."""
    if summary.mount_id:
        return True
    if summary.staging_path:
        return summary.wim_path not in theirs
    return is_disconnected(summary.mount_point)


def _of_mount(summary: MountSummary) -> Recoverable:
    is_dead = summary.status is not MountStatus.DETACHED
    base = Recoverable(
        target=_target(summary),
        trouble=Trouble.DEAD if is_dead else Trouble.DETACHED,
        why="the daemon was killed or crashed; the folder is blocked until it is cleared",
        ways=(Way.REMOUNT, Way.CLEAR),
        wim_path=summary.wim_path,
        image_index=summary.image_index,
        image_name=summary.image_name,
        mount_point=summary.mount_point,
        staging_path=summary.staging_path,
        mode=summary.mode,
        created=summary.created,
        summary=summary,
    )
    if is_dead and not summary.mount_id:
        why = "its daemon is gone, and nobody noted how it was mounted"
        return replace(base, why=why, ways=(Way.CLEAR,), is_own=False)
    if summary.uid != os.geteuid():
        return replace(base, why=f"it is of user {summary.uid}", ways=(Way.CLEAR,) * is_dead)
    if not summary.staging_path or not Path(summary.staging_path).is_dir():
        return base
    return _with_changes(base, is_dead=is_dead)


def _target(summary: MountSummary) -> str:
    is_own = summary.staging_path and summary.uid == os.geteuid()
    if is_own and Path(summary.staging_path).is_dir():
        return summary.staging_path
    return summary.mount_id or summary.mount_point


def _with_changes(base: Recoverable, *, is_dead: bool) -> Recoverable:
    """Look into the staging folder, and say what can be done with it."""
    clear = (Way.CLEAR,) * is_dead
    staged = stagings.find_staged(base.staging_path)
    note = staged.note
    if note is not None:
        base = replace(base, change_count=note.changes, staged_nbytes=note.staged_nbytes)
    try:
        kinds, nbytes = _counted(staged)
    except LockedError:
        return replace(base, fit=Fit.IN_USE, why=str(Fit.IN_USE), ways=())
    except ArchiveChangedError as error:
        return _not_fitting(base, staged, error, clear)
    except (WimError, OSError, ValueError) as error:
        return _unreadable(base, staged, error, clear)
    base = replace(base, fit=Fit.SAME).with_changes(kinds, nbytes)
    if not kinds:
        why = "the daemon was killed or crashed; nothing had been changed"
        return replace(base, why=why, ways=(Way.REMOUNT, Way.DISCARD, *clear))
    why = (
        "the daemon was killed or crashed; every change is safe"
        if is_dead or note is None or note.changes is None
        else "it was unmounted, and its changes were kept"
    )
    return replace(base, why=why, ways=(Way.REMOUNT, Way.COMMIT, Way.SAVE_AS, Way.DISCARD, *clear))


def _counted(staged: StagedMount, *, wim_may_differ: bool = False) -> tuple[Counter[str], int]:
    with stagings.opened(staged, wim_may_differ=wim_may_differ) as (_, overlay):
        kinds = Counter(change.kind.value for change in list_changes(overlay))
        return kinds, overlay.store.staged_nbytes()


def _not_fitting(
    base: Recoverable, staged: StagedMount, error: WimError, clear: tuple[Way, ...]
) -> Recoverable:
    """Tell a commit that was killed after it had counted from a WIM that somebody else changed."""
    is_committed = _is_committed(staged)
    if is_committed and _is_written_since(staged):
        why = "a commit was killed before what was written meanwhile could follow"
        return replace(base, fit=Fit.SAME, why=why, ways=(Way.REMOUNT, Way.DISCARD, *clear))
    if is_committed:
        why = "the commit was killed when all was written; only the staging folder is left"
        return replace(base, fit=Fit.COMMITTED, why=why, ways=(Way.REMOUNT, Way.DISCARD, *clear))
    base = replace(base, fit=Fit.CHANGED, why=error.message, ways=(Way.DISCARD, *clear))
    try:
        kinds, nbytes = _counted(staged, wim_may_differ=True)
    except (WimError, OSError, ValueError):
        return base
    return replace(base, ways=(Way.SAVE_AS, *base.ways)).with_changes(kinds, nbytes)


def _is_committed(staged: StagedMount) -> bool:
    with suppress(WimError, OSError, ValueError):
        store = StagingStore.open(Path(staged.staging))
        try:
            with Archive.open(stagings.wim_of(staged), ArchiveOptions()) as archive:
                return store.facts.match(WimIdentity.of(archive)) is IdentityMatch.COMMITTED
        finally:
            store.close()
    return False


def _is_written_since(staged: StagedMount) -> bool:
    with suppress(WimError, OSError, ValueError):
        store = StagingStore.open(Path(staged.staging))
        try:
            return store.facts.is_written_since
        finally:
            store.close()
    return False


def _unreadable(
    base: Recoverable, staged: StagedMount, error: Exception, clear: tuple[Way, ...]
) -> Recoverable:
    fit = Fit.DAMAGED
    with suppress(WimError, OSError, ValueError):
        if not Path(stagings.wim_of(staged)).exists():
            fit = Fit.MISSING
    text = error.message if isinstance(error, WimError) else str(error)
    return replace(base, fit=fit, why=f"{fit}: {text}", ways=(Way.DISCARD, *clear))


def _half_written(wims: Iterable[str]) -> Iterator[Recoverable]:
    """Yield the WIMs that bear the mark of a writer and that nobody writes."""
    for path in wims:
        try:
            if not _is_marked(path) or writer_of(path):
                continue
            space = space_of(path)
        except (WimError, OSError):
            continue
        if space.is_interrupted:
            yield Recoverable(
                target=path,
                trouble=Trouble.HALF_WRITTEN,
                why="a write was killed before it counted; the archive is what it was before",
                ways=(Way.TRIM,),
                wim_path=path,
                created=Path(path).stat().st_mtime,
                left_nbytes=space.left_behind,
            )


def _is_marked(path: str) -> bool:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        header = os.pread(descriptor, HEADER_NBYTES, 0)
    finally:
        os.close(descriptor)
    flags = int.from_bytes(header[_FLAGS], "little")
    return header.startswith(MAGIC) and bool(flags & HeaderFlag.WRITE_IN_PROGRESS)
