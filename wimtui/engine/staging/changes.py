"""What is staged, told like a version control system does: names, kinds, sizes."""

from __future__ import annotations

import contextlib
import stat
from collections import defaultdict
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from wimtui.engine.errors import StaleNodeError
from wimtui.engine.image.streams import StreamKind
from wimtui.engine.staging.node import FIRST_NEW_ID, StagedFile
from wimtui.engine.staging.staged_files import PRISTINE_NS
from wimtui.engine.tree import ROOT_INO

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wimtui.engine.staging.node import NodeId, StagedNode, StagedStream
    from wimtui.engine.staging.overlay import Overlay

Place = tuple[int, bytes]
"""A directory's number and a name in it."""


class ChangeKind(StrEnum):
    """What happened to a name."""

    ADDED = "added"
    MODIFIED = "modified"
    DELETED = "deleted"
    RENAMED = "renamed"


class ChangedPart(StrEnum):
    """What of a file differs from the image."""

    DATA = "data"
    ATTRIBUTES = "attributes"
    """Windows attributes, security, UNIX owner and mode, object id, EAs."""
    TIMES = "times"
    """Set by somebody; that writing changes them goes without saying."""
    STREAMS = "streams"
    NAMES = "names"
    """Another name, short name, or hard link."""


@dataclass(frozen=True, slots=True)
class Change:
    """One name that differs from the image."""

    kind: ChangeKind
    path: bytes
    """From the root; of something deleted the path that it had in the image."""
    old_path: bytes | None = None
    """In the image, for what was renamed."""
    what: frozenset[ChangedPart] = frozenset()
    """Empty for what was added or deleted."""
    size_before: int | None = None
    """Bytes; None for directories, and for what was not there."""
    size_after: int | None = None
    is_directory: bool = False


@dataclass(frozen=True, slots=True)
class ChangeTotals:
    """How much there is to be lost."""

    count: int
    staged_nbytes: int
    """What the staging folder takes on the disk."""


def list_changes(overlay: Overlay) -> list[Change]:
    """Return what differs from the image, by path.

    Renames are known by the identity of files and directories, however much else changed. What
    lies in a directory that was renamed or deleted is listed only if it changed itself. Directories
    are not listed for times that changed because names in them did.

    Other work goes on meanwhile; what it changes may be listed as before or as after.
    """
    while True:
        numbering = overlay.numbering
        with contextlib.suppress(StaleNodeError):
            changes = _ChangeList(overlay).build()
            if overlay.numbering is numbering:
                return changes


def count_changes(overlay: Overlay) -> ChangeTotals:
    """Return the number of changes and what they take."""
    return ChangeTotals(len(list_changes(overlay)), overlay.store.staged_nbytes())


def is_clean(overlay: Overlay) -> bool:
    """Whether a commit would have nothing to do."""
    layer = overlay.layer
    return not (layer.nodes or layer.directories) or not list_changes(overlay)


class _ChangeList:
    """Collects the changes. The lock is taken for one node at a time, so that others get on."""

    def __init__(self, overlay: Overlay) -> None:
        self._overlay = overlay
        self._layer = overlay.layer
        self._base = overlay.layer.base
        self._gone: dict[NodeId, list[Place]] = defaultdict(list)
        self._added: dict[NodeId, list[Place]] = defaultdict(list)
        self._short_names: set[NodeId] = set()
        self._moved_directories: dict[NodeId, Place] = {}
        self._paths: dict[NodeId, bytes] = {ROOT_INO: b"/"}
        self._at_path: dict[Change, NodeId] = {}

    def build(self) -> list[Change]:
        """Return the list."""
        with self._layer.lock:
            self._compare_names()
            nodes = set(self._layer.nodes)
        changes: list[Change] = []
        told: set[NodeId] = set()
        for number in [*self._gone, *(n for n in self._added if n not in self._gone)]:
            with self._layer.lock:
                changes += self._name_changes(number, told)
        for number in (nodes | self._short_names) - told:
            with self._layer.lock:
                changes += self._modification(number)
        changes.sort(key=lambda change: change.path)
        return self._with_replacements(changes)

    def _with_replacements(self, changes: list[Change]) -> list[Change]:
        """Tell a file deleted and another added in its place, as editors do, as one modified."""
        deleted = {
            change.path: change
            for change in changes
            if change.kind is ChangeKind.DELETED and not change.is_directory
        }
        told = []
        replaced = set()
        for change in changes:
            old = deleted.get(change.path)
            if old is not None and change.kind is ChangeKind.ADDED and not change.is_directory:
                replaced.add(change.path)
                change = self._replacement(change, old)
            told.append(change)
        return [
            change
            for change in told
            if change.kind is not ChangeKind.DELETED or change.path not in replaced
        ]

    def _replacement(self, added: Change, deleted: Change) -> Change:
        parts = {ChangedPart.DATA}
        old, new = self._at_path[deleted], self._at_path[added]
        node = self._layer.node_with_streams(new)
        known = self._base.streams(old)
        parts |= _changed_streams(self._overlay, node.streams or (), known)
        if _settings(node) != _settings(self._base.node(old)):
            parts.add(ChangedPart.ATTRIBUTES)
        return replace(
            added,
            kind=ChangeKind.MODIFIED,
            what=frozenset(parts),
            size_before=deleted.size_before,
        )

    def _compare_names(self) -> None:
        for directory, delta in self._layer.directories.items():
            for name, entry in delta.entries.items():
                known = self._base.entry(directory, name) if directory < FIRST_NEW_ID else None
                if known is not None and (entry is None or entry.node != known.node):
                    self._gone[known.node].append((directory, name))
                if entry is None:
                    continue
                if known is None or entry.node != known.node:
                    self._added[entry.node].append((directory, name))
                    if self._layer.type(entry.node) == stat.S_IFDIR:
                        self._moved_directories[entry.node] = (directory, name)
                elif entry.short_name != known.short_name:
                    self._short_names.add(entry.node)

    def _name_changes(self, number: NodeId, told: set[NodeId]) -> Iterator[Change]:
        gone, added = sorted(self._gone.get(number, ())), sorted(self._added.get(number, ()))
        is_directory = self._layer.type(number) == stat.S_IFDIR
        before, after = self._sizes(number)
        for old, new in zip(gone, added, strict=False):
            what = frozenset({ChangedPart.NAMES}) | self._what(number)
            told.add(number)
            yield Change(
                ChangeKind.RENAMED,
                self._path(new),
                self._old_path(old),
                what,
                before,
                after,
                is_directory,
            )
        for place in added[len(gone) :]:
            change = Change(
                ChangeKind.ADDED, self._path(place), size_after=after, is_directory=is_directory
            )
            self._at_path[change] = number
            yield change
            if number >= FIRST_NEW_ID:
                told.add(number)
        for old in gone[len(added) :]:
            # What was in a directory that is gone went with it.
            if self._layer.link_count(old[0]):
                change = Change(
                    ChangeKind.DELETED,
                    self._old_path(old),
                    size_before=before,
                    is_directory=is_directory,
                )
                self._at_path[change] = number
                yield change

    def _modification(self, number: NodeId) -> Iterator[Change]:
        is_known = self._layer.exists(number) and number < FIRST_NEW_ID
        if not is_known or not self._layer.link_count(number):
            return
        what = self._what(number)
        if number in self._short_names:
            what |= {ChangedPart.NAMES}
        if not what:
            return
        is_directory = self._layer.type(number) == stat.S_IFDIR
        before, after = self._sizes(number)
        path = b"/"
        if number != ROOT_INO:
            place = next(self._layer.places(number), None)
            if place is None:
                return
            path = self._path(place)
        yield Change(ChangeKind.MODIFIED, path, None, frozenset(what), before, after, is_directory)

    def _what(self, number: NodeId) -> frozenset[ChangedPart]:
        node = self._layer.nodes.get(number)
        if node is None or number >= FIRST_NEW_ID:
            return frozenset()
        return changed_parts(self._overlay, node)

    def _sizes(self, number: NodeId) -> tuple[int | None, int | None]:
        if self._layer.type(number) == stat.S_IFDIR:
            return None, None
        before = self._base.size(number) if number < FIRST_NEW_ID else None
        after = self._overlay.attributes(self._overlay.ino(number)).size
        return before, after

    # Paths

    def _path(self, place: Place) -> bytes:
        return _join(self._directory_path(place[0]), place[1])

    def _directory_path(self, number: NodeId) -> bytes:
        climbed: list[tuple[NodeId, bytes]] = []
        above = number
        while above not in self._paths:
            place = self._moved_directories.get(above)
            if place is None:
                place = self._base.place(self._base.dentry(above))
            climbed.append((above, place[1]))
            above = place[0]
        path = self._paths[above]
        for directory, name in reversed(climbed):
            path = self._paths[directory] = _join(path, name)
        return path

    def _old_path(self, place: Place) -> bytes:
        return _join(self._base.path(place[0]), place[1])


def changed_parts(overlay: Overlay, node: StagedNode) -> frozenset[ChangedPart]:
    """Return what of a node of the image differs from it, names apart."""
    base = overlay.layer.base
    old = base.node(node.id)
    parts = set()
    if node.streams is not None:
        parts |= _changed_streams(overlay, node.streams, base.streams(node.id))
    written = overlay.contents.write_time(node)
    if node.times_set and (node.creation_time, node.access_time, written) != (
        old.creation_time,
        old.access_time,
        old.write_time,
    ):
        parts.add(ChangedPart.TIMES)
    if _settings(node) != _settings(old):
        parts.add(ChangedPart.ATTRIBUTES)
    return frozenset(parts)


def _settings(node: StagedNode) -> StagedNode:
    """Return a node without identity, times and streams."""
    return node._replace(
        id=0, creation_time=0, access_time=0, write_time=0, times_set=False, streams=None
    )


def _changed_streams(
    overlay: Overlay, streams: tuple[StagedStream, ...], old: tuple[StagedStream, ...]
) -> set[ChangedPart]:
    before = {(stream.kind, stream.name): stream.source for stream in old}
    after = {(stream.kind, stream.name): stream.source for stream in streams}
    parts = set()
    for key in before.keys() | after.keys():
        source = after.get(key)
        if source == before.get(key):
            continue
        if isinstance(source, StagedFile) and key in before:
            status = overlay.store.files.status(source.number)
            if status is not None and status.st_mtime_ns == PRISTINE_NS:
                continue
        parts.add(ChangedPart.STREAMS if key[0] is StreamKind.NAMED else ChangedPart.DATA)
    return parts


def _join(directory: bytes, name: bytes) -> bytes:
    return directory + name if directory == b"/" else directory + b"/" + name
