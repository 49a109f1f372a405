"""A commit as tests need it: a WIM of its own made from a snapshot, then the rebase."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.staging.base_image import ImageBuilder, Mount
from wimtui.engine.archive import Archive, ArchiveOptions
from wimtui.engine.image.attributes import FileAttribute
from wimtui.engine.image.metadata_writer import DentryNode
from wimtui.engine.image.streams import StreamKind
from wimtui.engine.staging.identity import WimIdentity
from wimtui.engine.staging.rebase import Rebase
from wimtui.engine.staging.snapshot import BlobStream, FileStream

if TYPE_CHECKING:
    from collections.abc import Callable

    from wimtui.engine.staging.node import NodeId
    from wimtui.engine.staging.snapshot import Snapshot, SnapshotStream


class SnapshotWriter:
    """Writes a snapshot to a WIM with one image."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.image = ImageBuilder()

    def write(self, path: Path) -> Path:
        self.image.root = self.node(b"", b"", 1)
        return self.image.write(path)

    def data(self, stream: SnapshotStream) -> bytes:
        if isinstance(stream, BlobStream):
            blobs = self.snapshot.base.blobs
            return blobs.read_all(stream.sha1, 1 << 30) if any(stream.sha1) else b""
        if isinstance(stream, FileStream):
            file = Path(stream.path)
            data = file.read_bytes() if file.exists() else b""
            assert len(data) == stream.size
            return data
        return stream.data

    def node(self, name: bytes, short_name: bytes, number: NodeId) -> DentryNode:
        known = self.snapshot.node(number)
        node = DentryNode(
            name,
            known.attributes,
            known.security_id,
            known.creation_time,
            known.access_time,
            known.write_time,
            reparse_tag=known.reparse_tag,
            rp_flags=known.rp_flags,
            short_name=short_name,
            tagged_items=known.tagged_items,
            unknown_0x54=known.unknown_0x54,
            group_id=number if known.link_count > 1 else 0,
        )
        is_reparse = known.attributes & FileAttribute.REPARSE_POINT
        named = []
        for stream in known.streams:
            sha1 = self.image.blob(self.data(stream))
            if stream.kind is StreamKind.NAMED:
                named.append((stream.name, sha1))
            elif stream.kind is StreamKind.DATA and is_reparse:
                node.data_sha1 = sha1
            else:
                node.content_sha1 = sha1
        node.named_streams = tuple(named)
        if self.snapshot.has_children(number):
            node.children = [
                self.node(child.name, child.short_name, child.node)
                for child in self.snapshot.children(number)
            ]
        return node


def commit(mount: Mount, meanwhile: Callable[[], None] | None = None) -> None:
    """Commit what is staged, and go on over the new image."""
    snapshot = mount.overlay.freeze()
    if meanwhile is not None:
        meanwhile()
    replace_image(mount, snapshot)


def replace_image(mount: Mount, snapshot: Snapshot) -> None:
    """Make a WIM of a snapshot, and go on over that."""
    overlay = mount.overlay
    path = mount.parent / f"{mount.wim.stem}+.wim"
    SnapshotWriter(snapshot).write(path)
    archive = Archive.open(path, ArchiveOptions(cache_nbytes=1 << 20))
    rebase = Rebase(overlay, snapshot, archive.image(1), archive.blobs)
    rebase.apply(WimIdentity.of(archive), 1)
    snapshot.release()
    mount.retired.append(mount.archive)
    mount.archive = archive
    mount.wim = path
