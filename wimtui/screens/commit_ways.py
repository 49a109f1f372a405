"""The ways to end or save a mount with changes: what each does, loses, and is called in a shell."""

from __future__ import annotations

import shlex
from collections import Counter
from enum import StrEnum
from pathlib import PurePath
from typing import TYPE_CHECKING

from wimtui.service.mounts import MountStatus
from wimtui.widgets.cells import Cell, plain, size_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wimtui.service.changes import MountReport, StagedChange
    from wimtui.service.commits import CommitSettings
    from wimtui.service.mounts import MountSummary
    from wimtui.widgets.cells import Tone

MANY_FILES = 100
"""Above so many lost files a discard asks for a name."""

_SHOWN_LOSSES = 1000
_KINDS = ("added", "modified", "deleted", "renamed")
_TONES: dict[str, Tone] = {
    "added": "good", "modified": "accent", "deleted": "bad", "renamed": "info",
}  # fmt: skip


class Way(StrEnum):
    """What becomes of what is staged."""

    COMMIT = "commit"
    REBUILD = "rebuild"
    NEW_IMAGE = "new-image"
    SAVE_AS = "save-as"
    DISCARD = "discard"
    DETACH = "detach"

    @property
    def writes(self) -> bool:
        """Whether a file is written."""
        return self not in (Way.DISCARD, Way.DETACH)


def ways_of(mount: MountSummary) -> tuple[Way, ...]:
    """Return what can be done with a mount, or with what it left staged."""
    if mount.status is MountStatus.DETACHED:
        return tuple(way for way in Way if way is not Way.DETACH)
    return tuple(Way)


def label_of(way: Way, mount: MountSummary) -> str:
    """Return the name of a way in the list."""
    if way is Way.DETACH and not mount.alive:
        return "Clear, keep"
    return {
        Way.COMMIT: "Commit", Way.REBUILD: "Rebuild", Way.NEW_IMAGE: "New image",
        Way.SAVE_AS: "Save as", Way.DISCARD: "Discard", Way.DETACH: "Detach",
    }[way]  # fmt: skip


def verb_of(way: Way, changes: str, *, unmounts: bool) -> str:
    """Return what the button says; ``changes`` is how many there are, in words."""
    if way is Way.DISCARD:
        return f"Discard {changes}"
    if way is Way.DETACH:
        return "Detach" if unmounts else "Clear"
    verb = {
        Way.COMMIT: "Commit", Way.REBUILD: "Rebuild", Way.NEW_IMAGE: "Add image",
        Way.SAVE_AS: "Save",
    }[way]  # fmt: skip
    return f"{verb} and unmount" if unmounts else verb


def explanation_of(way: Way, mount: MountSummary, *, unmounts: bool) -> str:
    """Return what a way does."""
    wim = plain(PurePath(mount.wim_path).name)
    image = f"image {mount.image_index}"
    match way:
        case Way.COMMIT:
            return (
                f"Writes {image} of {wim} anew: what has changed is appended, all else stays "
                "where it is. The space of what it replaces comes back with a rebuild."
            )
        case Way.REBUILD:
            return (
                f"Writes the whole of {wim} anew beside the old one, without dead bytes, and then "
                "puts it in its place. Takes longer, and as much space again."
            )
        case Way.NEW_IMAGE:
            return f"Appends an image; {image} stays as it is."
        case Way.SAVE_AS:
            stays = (
                "The changes are in that file alone afterwards."
                if unmounts
                else "The changes stay staged."
            )
            return f"Writes another file, which must not exist; {wim} stays as it is. {stays}"
        case Way.DETACH:
            return (
                "Unmounts, and keeps the changes for later: they can be mounted again, committed "
                f"or discarded. They are in {plain(mount.staging_path)}"
            )
        case Way.DISCARD:
            return ""


def command_of(mount: MountSummary, way: Way, settings: CommitSettings, *, unmounts: bool) -> str:
    """Return the command line that does the same."""
    if way is Way.DETACH:
        return shlex.join(["wimtui", "unmount", "--keep", mount.mount_point])
    if mount.status is MountStatus.DETACHED:
        if way is Way.DISCARD:
            return shlex.join(["wimtui", "cleanup", mount.staging_path])
        return shlex.join(["wimtui", "commit", *_flags(settings), mount.staging_path])
    if way is Way.DISCARD:
        return shlex.join(["wimtui", "unmount", "--discard", mount.mount_point])
    words = ["unmount", "--commit"] if unmounts else ["commit"]
    return shlex.join(["wimtui", *words, *_flags(settings), mount.mount_point])


def _flags(settings: CommitSettings) -> Iterator[str]:
    for name in ("rebuild", "recompress", "solid", "check", "new_image", "boot"):
        if getattr(settings, name):
            yield "--" + name.replace("_", "-")
    if settings.compress:
        yield f"--compress={settings.compress}"
    if settings.name:
        yield f"--name={settings.name}"
    if settings.description:
        yield f"--description={settings.description}"
    if settings.save_as is not None:
        yield f"--save-as={settings.save_as or 'OTHER.wim'}"


# What is staged


def count_text(count: int, one: str) -> str:
    """Return ``1 change``, ``12 changes``."""
    return f"{count:,} {one}{'' if count == 1 else 's'}"


def staged_text(report: MountReport) -> str:
    """Return one line about all that is staged."""
    if not report.changes:
        return "Nothing has changed."
    kinds = Counter(change.kind for change in report.changes)
    parts = ", ".join(f"{kinds[kind]:,} {kind}" for kind in _KINDS if kinds[kind])
    changes = count_text(len(report.changes), "change")
    return f"{changes}: {parts} · {size_text(report.staged_nbytes)} staged"


def lost_files(report: MountReport) -> int:
    """Return how many files a discard would take something from."""
    return sum(1 for change in report.changes if not change.is_directory)


def loss_text(report: MountReport) -> str:
    """Return what a discard loses, and what it brings back."""
    lost: list[str] = []
    for kind, word in (("added", "new"), ("modified", "changed")):
        found = [change for change in report.changes if change.kind == kind]
        if not found:
            continue
        files = sum(1 for change in found if not change.is_directory)
        size = sum(change.size_after or 0 for change in found if not change.is_directory)
        if files:
            lost.append(f"{count_text(files, word + ' file')} ({size_text(size)})")
        if len(found) > files:
            lost.append(count_text(len(found) - files, word + " folder"))
    kinds = Counter(change.kind for change in report.changes)
    if kinds["renamed"]:
        lost.append(count_text(kinds["renamed"], "new name"))
    back = f" What was deleted comes back: {kinds['deleted']:,}." if kinds["deleted"] else ""
    return f"Lost for good: {', '.join(lost) or 'nothing'}.{back}"


def loss_lines(report: MountReport) -> list[Cell]:
    """Return the first names that a discard is about."""
    lines = [_change_line(change) for change in report.changes[:_SHOWN_LOSSES]]
    more = len(report.changes) - len(lines)
    return [*lines, Cell(f"and {more:,} more", "muted")] if more > 0 else lines


def _change_line(change: StagedChange) -> Cell:
    path = plain(change.path) + ("/" if change.is_directory else "")
    came = f"  (was {plain(change.old_path)})" if change.old_path else ""
    size = "" if change.size_after is None or change.is_directory else size_text(change.size_after)
    return Cell(f"{change.kind:<9}{size:>7}  {path}{came}", _TONES.get(change.kind, ""))


def name_to_type(mount: MountSummary) -> tuple[str, str]:
    """Return the name that a discard of much asks for, and whose name it is."""
    name = PurePath(mount.mount_point).name
    return (name, "mount point") if name else (mount.image_name, "image")
