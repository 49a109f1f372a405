"""What a read-write mount has beside its image: a lock, a staging folder, the tree over both."""

from __future__ import annotations

import logging
import os
import time
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from wimtui.control import registry
from wimtui.control.stagings import StagingNote, forget_staging, remember_staging
from wimtui.daemon.mounted_image import view_options
from wimtui.engine.archive import Archive, ArchiveOptions
from wimtui.engine.commit.errors import ArchiveChangedError
from wimtui.engine.commit.lock import WimLock
from wimtui.engine.commit.precondition import check_writable
from wimtui.engine.errors import LockedError, ReadOnlyWimError, UsageError
from wimtui.engine.staging.changes import count_changes, is_clean
from wimtui.engine.staging.identity import IdentityMatch, WimIdentity
from wimtui.engine.staging.options import OverlayOptions
from wimtui.engine.staging.overlay import Overlay
from wimtui.engine.staging.store import StagingStore

if TYPE_CHECKING:
    from types import TracebackType

    from wimtui.control.mount_request import MountRequest
    from wimtui.daemon.mounted_image import MountedImage

log = logging.getLogger(__name__)

OVERLAY_WORDS: Final = frozenset({"windows_names", "nosilent"})
"""Words after ``-o`` that are for the overlay."""


def take_lock(request: MountRequest) -> WimLock:
    """Take the lock that one writer of a WIM has, before anything of the WIM is read.

    Raises:
        LockedError: Somebody has it; says who, and of a mount also where.
        OpenFailedError: There is no such file.
    """
    try:
        return WimLock.take(request.wim_path)
    except LockedError as error:
        for record in registry.list_mounts(all_users=os.geteuid() == 0):
            entry = record.entry
            if record.alive and entry.mode == "rw" and _is_same(entry.wim_path, request.wim_path):
                raise LockedError(
                    f"it is mounted read-write at {entry.mount_point} by process {entry.pid}",
                    path=request.wim_path,
                    hint=f"wimtui unmount {entry.mount_point}, or mount it read-only",
                ) from error
        raise


def take_back_commit(request: MountRequest) -> None:
    """Undo a commit that was killed when the WIM was written and the staging did not lie over it.

    Only where something was written meanwhile: that fits the WIM as it was before, with all that
    was committed. Nothing of the staging is lost, and a second commit saves all of it.

    Raises:
        ArchiveChangedError: There is no way back: the file before a rebuild was not kept.
        WimError, OSError: WIM or staging folder cannot be read or written.
    """
    with ExitStack() as undo:
        undo.enter_context(closing(take_lock(request)))
        store = undo.enter_context(closing(StagingStore.open(Path(request.staging_path))))
        facts = store.facts
        if facts.committing is None or not facts.is_written_since:
            return
        with Archive.open(request.wim_path, ArchiveOptions()) as archive:
            if facts.match(WimIdentity.of(archive)) is not IdentityMatch.COMMITTED:
                return
        if facts.former is None:
            raise ArchiveChangedError(
                "what was staged is in the WIM, but for what was written while that was saved",
                path=request.wim_path,
                hint=f"the numbered files in {store.folder} hold it; mount the WIM anew",
            )
        facts.former.bring_back(request.wim_path, store.folder)
        store.note_commit(None)
        log.warning("%s: took back a commit that lacked what was written meanwhile", store.folder)


def _is_same(path: str, other: str) -> bool:
    try:
        return Path(path).samefile(other)
    except OSError:
        return False


class Staging:
    """The changes of one mount.

    Attributes:
        image: What they are changes of.
        overlay: The tree that shows and takes them.
    """

    def __init__(
        self, image: MountedImage, lock: WimLock, overlay: Overlay, note: StagingNote
    ) -> None:
        """Own the lock and the overlay until ``end``."""
        self.image = image
        self.lock = lock
        self.overlay = overlay
        self._note = note
        self._stays: bool | None = None

    @classmethod
    def open(cls, request: MountRequest, image: MountedImage, lock: WimLock) -> Self:
        """Make a staging folder, or go on with one.

        Raises:
            ReadOnlyWimError: WIM or folder cannot be written; says why.
            ArchiveChangedError: The staged changes belong to another state of the WIM.
            UsageError: Options that no read-write mount can have.
            WimError: The staging folder cannot be used.
        """
        _check_writable(request, image)
        identity = WimIdentity.of(image.archive)
        options = overlay_options(request)
        with ExitStack() as undo:
            if request.staging_path:
                store = StagingStore.open(Path(request.staging_path))
                undo.callback(store.close)
                store = _matching(store, request, image, identity, undo)
            else:
                store = _new_store(request, image, identity, options)
                undo.callback(store.remove)
            folder = os.fspath(store.folder)
            remember_staging(folder)
            store.note_mount(request.to_options(), options)
            overlay = Overlay(image.view.metadata, image.archive.blobs, store, options)
            note = StagingNote(request.to_options(), created=time.time())
            staging = cls(image, lock, overlay, note)
            staging.note_image()
            undo.pop_all()
        return staging

    @property
    def folder(self) -> str:
        """The staging folder."""
        return os.fspath(self.overlay.store.folder)

    @property
    def is_dirty(self) -> bool:
        """Whether anything is staged."""
        return not is_clean(self.overlay)

    def close_former(self) -> None:
        """Close what was committed over, once nothing is left that may still read from it."""
        overlay = self.overlay
        with overlay.layer.lock:
            is_read = len(overlay.contents.open_streams) or overlay.layer.reads_former()
        if not is_read:
            self.image.close_former()

    def note_image(self) -> None:
        """Write down which image it is, also after a commit made another one. Raises OSError."""
        image = self.image
        self._note = replace(
            self._note,
            image_index=image.index,
            image_name=image.name,
            image_sha1=image.archive.blobs.metadata_info(image.index).sha1.hex(),
            wim_digest=self.overlay.store.facts.identity.digest,
        )
        self._note.write(self.folder)

    @property
    def is_left(self) -> bool:
        """Whether the folder outlives the mount."""
        return self.is_dirty if self._stays is None else self._stays

    def end(self, *, discard: bool) -> None:
        """Close; the folder goes if nothing is staged in it, or if that is to be dropped.

        Harmless when done twice. Raises OSError.
        """
        if self._stays is not None:
            return
        self._stays = self.is_dirty and not discard
        try:
            if self._stays:
                self._write_totals()
                self.overlay.close()
            else:
                self.overlay.store.remove()
                forget_staging(self.folder)
        finally:
            self.lock.close()

    def _write_totals(self) -> None:
        """Say how much is staged to those who list it later; that it is there matters more."""
        try:
            totals = count_changes(self.overlay)
            note = replace(self._note, changes=totals.count, staged_nbytes=totals.staged_nbytes)
            note.write(self.folder)
        except OSError as error:
            log.warning("the note about the staged changes cannot be written: %s", error)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end(discard=False)


def overlay_options(request: MountRequest) -> OverlayOptions:
    """Return how the overlay of a mount behaves. Raises UsageError."""
    words = {word for text in request.fuse_options for word in text.split(",")}
    return OverlayOptions(
        view=view_options(request),
        silent="nosilent" not in words,
        windows_names="windows_names" in words,
    )


def _check_writable(request: MountRequest, image: MountedImage) -> None:
    if request.references:
        raise ReadOnlyWimError(
            "a WIM opened with --ref cannot be mounted read-write: what is committed would need "
            "the other files too",
            path=request.wim_path,
            hint="mount it read-only, or export the image to a WIM of its own first",
        )
    check_writable(image.archive.wim, readonly_hint="mount it read-only")
    parent = Path(request.staging_parent or Path(request.wim_path).parent)
    if not request.staging_path and not os.access(parent, os.W_OK | os.X_OK):
        raise ReadOnlyWimError(
            "the folder for the staged changes is not writable",
            path=parent,
            hint="choose another place with --staging-dir",
        )


def _new_store(
    request: MountRequest, image: MountedImage, identity: WimIdentity, options: OverlayOptions
) -> StagingStore:
    parent = Path(request.staging_parent or Path(request.wim_path).parent)
    return StagingStore.create(parent, identity, image.index, options, request.to_options())


def _matching(
    store: StagingStore,
    request: MountRequest,
    image: MountedImage,
    identity: WimIdentity,
    undo: ExitStack,
) -> StagingStore:
    """Return the store if it belongs to the WIM as it is, or an empty one after its commit."""
    facts = store.facts
    if facts.image != image.index:
        raise UsageError(
            f"the changes are of image {facts.image}, not {image.index}", path=store.folder
        )
    match facts.match(identity):
        case IdentityMatch.SAME:
            return store
        case IdentityMatch.COMMITTED:
            log.warning("%s: what was staged is in the WIM already", store.folder)
            parent = store.folder.parent
            options = request.to_options()
            fresh = StagingStore.create(parent, identity, facts.image, facts.options, options)
            undo.callback(fresh.remove)
            store.remove()
            forget_staging(os.fspath(store.folder))
            return fresh
        case IdentityMatch.CHANGED:
            raise ArchiveChangedError(
                "the WIM has changed since the changes were staged, they do not fit any more",
                path=image.archive.wim.path,
                hint=f"write the result to another file with wimtui commit {store.folder} "
                f"--save-as OTHER.wim, or drop them with wimtui cleanup {store.folder}",
            )
