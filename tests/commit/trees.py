"""Trees for the writer: made from nothing, or from an image and then changed."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from tests.image.raw_metadata import security_data
from wimtui.engine.archive import Archive
from wimtui.engine.commit.sources import MemorySource
from wimtui.engine.container.verify import verify_blobs
from wimtui.engine.image.attributes import FileAttribute
from wimtui.engine.image.blobs import ZERO_SHA1
from wimtui.engine.image.metadata_writer import DentryNode, ImageNodes
from wimtui.engine.image.reparse import ReparseTag, symlink_blob

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from wimtui.engine.commit.snapshot import BlobSource

TICKS = 132_223_104_000_000_000


class TestTree:
    """A TreeSnapshot in memory with the edits that tests make."""

    __test__ = False

    def __init__(self, root: DentryNode | None = None, security: bytes = security_data()) -> None:
        self._root = root or DentryNode(b"", FileAttribute.DIRECTORY, -1, TICKS, TICKS, TICKS)
        self.security_data = security
        self.has_changes = root is None
        self._staged: dict[bytes, BlobSource] = {}

    @classmethod
    def of_image(cls, archive: Archive, index: int) -> TestTree:
        """The tree of an image, every node of it in memory."""
        metadata = archive.image(index)
        nodes = ImageNodes(metadata)

        def grow(node: DentryNode) -> DentryNode:
            if node.attributes & (FileAttribute.DIRECTORY | FileAttribute.REPARSE_POINT) == 0x10:
                node.children = [grow(child) for child in nodes.children(node)]
            return node

        return cls(grow(nodes.root()), metadata.security.raw)

    def root(self) -> DentryNode:
        return self._root

    def children(self, node: DentryNode) -> list[DentryNode]:
        return node.children

    def staged(self) -> Mapping[bytes, BlobSource]:
        return self._staged

    def find(self, path: str) -> DentryNode:
        node = self._root
        for name in path.encode().strip(b"/").split(b"/"):
            if name:
                node = next(child for child in node.children if child.name == name)
        return node

    def token(self, data: bytes | BlobSource) -> bytes:
        """A stand-in for the hash of these bytes."""
        token = b"test token  " + len(self._staged).to_bytes(8, "big")
        self._staged[token] = MemorySource(data) if isinstance(data, bytes) else data
        self.has_changes = True
        return token

    def add(self, path: str, data: bytes | BlobSource = b"") -> DentryNode:
        """Add a file."""
        node = DentryNode(b"", FileAttribute.NORMAL, -1, TICKS, TICKS, TICKS)
        node.content_sha1 = self.token(data) if data else ZERO_SHA1
        return self._put(path, node)

    def make_directory(self, path: str) -> DentryNode:
        return self._put(path, DentryNode(b"", FileAttribute.DIRECTORY, -1, TICKS, TICKS, TICKS))

    def symlink(self, path: str, target: bytes) -> DentryNode:
        node = DentryNode(b"", FileAttribute.REPARSE_POINT, -1, TICKS, TICKS, TICKS)
        node.reparse_tag, node.rp_flags = ReparseTag.SYMLINK, 1
        node.content_sha1 = self.token(symlink_blob(target))
        return self._put(path, node)

    def link(self, path: str, new: str) -> None:
        """A second name for a file."""
        node = self.find(path)
        if not node.group_id:
            node.group_id = 1 + max((each.group_id for each in self.walk()), default=0)
        names = {slot: getattr(node, slot) for slot in DentryNode.__slots__}
        self._put(new, DentryNode(**{**names, "short_name": b""}))

    def modify(self, path: str, data: bytes) -> None:
        """New data for all names of a file."""
        node = self.find(path)
        self.has_changes = True
        token = self.token(data) if data else ZERO_SHA1
        for each in self.walk():
            if each is node or (node.group_id and each.group_id == node.group_id):
                each.content_sha1 = token
                each.write_time = TICKS

    def set_stream(self, path: str, name: bytes, data: bytes) -> None:
        node = self.find(path)
        others = [stream for stream in node.named_streams if stream[0] != name]
        node.named_streams = (*others, (name, self.token(data) if data else ZERO_SHA1))
        self.has_changes = True

    def remove(self, path: str) -> DentryNode:
        node = self._take(path)
        links = Counter(each.group_id for each in self.walk())
        for each in self.walk():
            if links[each.group_id] == 1:
                each.group_id = 0
        self.has_changes = True
        return node

    def rename(self, path: str, new: str) -> None:
        node = self._take(path)
        node.short_name = b""
        self._put(new, node)

    def _take(self, path: str) -> DentryNode:
        folder, _, name = path.strip("/").rpartition("/")
        parent = self.find(folder)
        node = next(child for child in parent.children if child.name == name.encode())
        parent.children = [child for child in parent.children if child is not node]
        return node

    def walk(self, node: DentryNode | None = None) -> Iterator[DentryNode]:
        node = node or self._root
        yield node
        for child in node.children:
            yield from self.walk(child)

    def _put(self, path: str, node: DentryNode) -> DentryNode:
        folder, _, name = path.strip("/").rpartition("/")
        node.name = name.encode()
        self.find(folder).children.append(node)
        self.has_changes = True
        return node


Contents = dict[str, tuple[object, ...]]


def contents(path: Path, index: int, refs: tuple[str, ...] = ()) -> Contents:
    """What an image holds: for every name its fields and the SHA-1 of its streams."""
    with Archive.open(path) as archive:
        tree = TestTree.of_image(archive, index)
        found: Contents = {}

        def visit(node: DentryNode, where: str) -> None:
            found[where or "/"] = (
                node.attributes, node.security_id, node.creation_time, node.access_time,
                node.write_time, node.content_sha1, node.data_sha1,
                tuple(sorted(node.named_streams)), node.reparse_tag, node.reparse_reserved,
                node.rp_flags, node.short_name, node.tagged_items, node.unknown_0x54,
            )  # fmt: skip
            for child in node.children:
                visit(child, f"{where}/{child.name.decode('utf-8', 'surrogatepass')}")

        visit(tree.root(), "")
        return found


def all_contents(path: Path) -> list[Contents]:
    """Contents of every image; every blob is decoded and compared with its hash."""
    with Archive.open(path) as archive:
        assert verify_blobs(archive.blobs) == []
        count = archive.wim.image_count
    return [contents(path, index) for index in range(1, count + 1)]
