"""A small base image with one of everything, made without any tool."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path  # noqa: TC003  # dataclass fields
from typing import Any

from tests.container.builder import WimBuilder
from wimtui.engine.archive import Archive, ArchiveOptions
from wimtui.engine.codecs.base import CodecId
from wimtui.engine.errors import NotADirectoryNodeError
from wimtui.engine.image.attributes import FileAttribute
from wimtui.engine.image.metadata_writer import DentryNode, write_metadata
from wimtui.engine.image.reparse import RP_FLAG_NOT_FIXED, ReparseTag, symlink_blob
from wimtui.engine.image.security import SecurityData
from wimtui.engine.image.view import ViewOptions
from wimtui.engine.staging.identity import WimIdentity
from wimtui.engine.staging.options import OverlayOptions
from wimtui.engine.staging.overlay import Overlay
from wimtui.engine.staging.store import StagingStore
from wimtui.engine.tree import ROOT_INO, Creator, Ino

TICKS = 132_000_000_000_000_000
"""A time in 2019."""

FILE = Creator(0o100644, 1000, 1000)
FOLDER = Creator(0o040755, 1000, 1000)

CONTENTS = {
    b"/a.txt": b"alpha\n" * 1000,
    b"/empty": b"",
    b"/dir/b.bin": bytes(range(256)) * 2000,
    b"/dir/sub/c": b"c",
    b"/linked1": b"hard linked",
}


class ImageBuilder:
    """Collects files for a WIM with one image."""

    def __init__(self) -> None:
        self.wim = WimBuilder(codec=CodecId.NONE)
        self.root = self.folder_node(b"")
        self.folders = {b"/": self.root}
        self._known: set[bytes] = set()

    @staticmethod
    def folder_node(name: bytes) -> DentryNode:
        return DentryNode(name, FileAttribute.DIRECTORY, -1, TICKS, TICKS, TICKS)

    def blob(self, data: bytes) -> bytes:
        if not data:
            return bytes(20)
        sha1 = hashlib.sha1(data, usedforsecurity=False).digest()
        if sha1 not in self._known:
            self._known.add(sha1)
            self.wim.add_blob(data)
        return sha1

    def folder(self, path: bytes) -> DentryNode:
        if path not in self.folders:
            parent, _, name = path.rpartition(b"/")
            node = self.folder_node(name)
            self.folder(parent or b"/").children.append(node)
            self.folders[path] = node
        return self.folders[path]

    def file(self, path: bytes, data: bytes = b"", **more: Any) -> DentryNode:
        parent, _, name = path.rpartition(b"/")
        known = {"attributes": FileAttribute.ARCHIVE, "content_sha1": self.blob(data)}
        fields: dict[str, Any] = {**known, **more}
        node = DentryNode(name, creation_time=TICKS, access_time=TICKS, write_time=TICKS, **fields)
        self.folder(parent or b"/").children.append(node)
        return node

    def write(self, path: Path) -> Path:
        security = SecurityData.build([bytes(20)])
        self.wim.add_image(write_metadata(self.root, security.raw), name="one", compress=False)
        return self.wim.build().write(path)


def build_wim(path: Path) -> Path:
    """Write the image that most tests stand on."""
    image = ImageBuilder()
    for name, data in CONTENTS.items():
        group = 7 if name == b"/linked1" else 0
        image.file(name, data, group_id=group)
    image.file(b"/linked2", CONTENTS[b"/linked1"], group_id=7)
    image.file(b"/short name.txt", b"short", short_name=b"SHORTN~1.TXT", security_id=0)
    image.file(
        b"/streams",
        b"main",
        named_streams=((b"one", image.blob(b"stream one")), (b"Two", image.blob(b"2"))),
    )
    image.file(
        b"/link",
        attributes=FileAttribute.REPARSE_POINT,
        content_sha1=image.blob(symlink_blob(b"dir/b.bin")),
        reparse_tag=ReparseTag.SYMLINK,
        rp_flags=RP_FLAG_NOT_FIXED,
    )
    image.file(
        b"/opaque",
        attributes=FileAttribute.REPARSE_POINT,
        content_sha1=image.blob(b"dedup data"),
        reparse_tag=ReparseTag.DEDUP,
        rp_flags=RP_FLAG_NOT_FIXED,
    )
    image.file(
        b"/secret", attributes=FileAttribute.ENCRYPTED, content_sha1=image.blob(b"raw EFS data")
    )
    image.folder(b"/empty dir")
    return image.write(path)


@dataclass
class Mount:
    """An overlay with what it stands on, opened again as often as a test likes."""

    wim: Path
    parent: Path
    options: OverlayOptions
    archive: Archive
    overlay: Overlay
    retired: list[Archive] = field(default_factory=list)
    """Archives that a commit replaced, which open files may still read."""

    @classmethod
    def create(cls, wim: Path, parent: Path, options: OverlayOptions | None = None) -> Mount:
        options = options or OverlayOptions()
        archive = Archive.open(wim, ArchiveOptions(cache_nbytes=1 << 20))
        store = StagingStore.create(parent, WimIdentity.of(archive), 1, options)
        overlay = Overlay(archive.image(1), archive.blobs, store)
        return cls(wim, parent, options, archive, overlay)

    def reopen(self) -> Overlay:
        """Let go of everything without closing it, as a kill does, and open the folder again."""
        folder = self.overlay.store.folder
        # SQLite's lock belongs to the process; only the connection's end lets go of it.
        self.overlay.store._database.close()
        self.overlay = Overlay(self.archive.image(1), self.archive.blobs, StagingStore.open(folder))
        return self.overlay

    def close(self) -> None:
        self.overlay.close()
        for archive in (*self.retired, self.archive):
            archive.close()

    # Paths instead of numbers

    def ino(self, path: bytes) -> Ino:
        ino = ROOT_INO
        for name in path.split(b"/"):
            if name:
                found = self.overlay.lookup(ino, name)
                assert found is not None, path
                ino = found
        return ino

    def place(self, path: bytes) -> tuple[Ino, bytes]:
        parent, _, name = path.rpartition(b"/")
        return self.ino(parent), name

    def has(self, path: bytes) -> bool:
        ino = ROOT_INO
        for name in path.split(b"/"):
            if name:
                try:
                    found = self.overlay.lookup(ino, name)
                except NotADirectoryNodeError:
                    return False
                if found is None:
                    return False
                ino = found
        return True

    def create_file(self, path: bytes, data: bytes = b"") -> Ino:
        ino = self.overlay.create_node(*self.place(path), FILE)
        if data:
            self.write(ino, data)
        return ino

    def make_directory(self, path: bytes) -> Ino:
        return self.overlay.make_directory(*self.place(path), FOLDER)

    def write(self, ino: Ino, data: bytes, offset: int = 0) -> None:
        file = self.overlay.open_for_writing(ino)
        try:
            assert file.write(offset, data) == len(data)
        finally:
            file.close()

    def read(self, path: bytes | Ino) -> bytes:
        ino = path if isinstance(path, int) else self.ino(path)
        size = self.overlay.attributes(Ino(ino)).size
        file = self.overlay.open_file(Ino(ino))
        try:
            data = file.read(0, size + 1)
        finally:
            file.close()
        assert len(data) == size
        return data

    def unlink(self, path: bytes, *, forget: bool = True) -> Ino:
        ino = self.overlay.unlink(*self.place(path))
        if forget:
            self.overlay.forget(ino)
        return ino


def unix_options(**view: Any) -> OverlayOptions:
    return OverlayOptions(ViewOptions(unix_data=True, **view))
