"""Saving an overlay in its WIM, so that a kill at any moment costs neither."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from wimtui.engine.commit import edit
from wimtui.engine.commit.errors import UncertainWriteError
from wimtui.engine.commit.staged_tree import StagedTree
from wimtui.engine.staging.former import FormerWim
from wimtui.engine.staging.identity import WimIdentity, plain_header

if TYPE_CHECKING:
    from wimtui.engine.archive import Archive
    from wimtui.engine.commit.edit import ImageProperties
    from wimtui.engine.commit.options import UpcomingFile, WriteOptions, WriteResult
    from wimtui.engine.staging.overlay import Overlay
    from wimtui.engine.staging.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class CommitPlan:
    """What becomes of the staged changes."""

    options: WriteOptions
    new_image: ImageProperties | None = None
    """Append an image described so; None writes in the place of the image."""
    force: bool = False
    """Write although nothing has changed."""


def commit_overlay(
    archive: Archive, overlay: Overlay, snapshot: Snapshot, plan: CommitPlan
) -> WriteResult:
    """Write a snapshot of an overlay into its WIM. Blocks; safe beside the overlay's other users.

    What the WIM will be is noted in the staging folder, and on the disk, before it is that: then
    a staging whose changes are in the WIM already is known from one whose WIM somebody else has
    changed. The caller replaces the overlay's image afterwards (``Rebase``), or drops the staging.

    Args:
        archive: The WIM as the overlay has it.
        overlay: Where the snapshot comes from.
        snapshot: What to write; not to be released before this returns.
        plan: How.

    Raises:
        CancelledError: It was stopped in time; the WIM is as before.
        UncertainWriteError: The WIM may have the changes already; the note tells.
        WimError, OSError: The WIM is as before.
    """

    def note(upcoming: UpcomingFile) -> None:
        header = None if upcoming.is_rebuilt else plain_header(archive)
        overlay.store.note_commit(_identity(upcoming), FormerWim(header))

    options = replace(plan.options, lock_held=True)
    if options.save_as is None:
        options = replace(options, on_ready=note)
    index = overlay.store.facts.image
    tree = StagedTree(snapshot)
    try:
        if plan.new_image is not None:
            return edit.commit_new_image(archive, index, tree, plan.new_image, options)
        return edit.commit_image(archive, index, tree, options, force=plan.force)
    except UncertainWriteError:
        # The note is what will tell whether the WIM has the changes.
        raise
    except BaseException:
        if overlay.store.facts.committing is not None:
            overlay.store.note_commit(None)
        raise


def _identity(upcoming: UpcomingFile) -> WimIdentity:
    digest = hashlib.sha1(upcoming.header, usedforsecurity=False)
    digest.update(upcoming.blob_table)
    guid = upcoming.header[24:40].hex()
    return WimIdentity(upcoming.path, guid, upcoming.size, 0, digest.hexdigest())
