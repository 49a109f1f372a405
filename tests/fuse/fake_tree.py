"""A tree in memory, with everything that a mount can show."""

from __future__ import annotations

import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wimtui.engine.errors import (
    CorruptResourceError,
    NoSuchAttributeError,
    NotADirectoryNodeError,
    NotALinkError,
    StaleNodeError,
)
from wimtui.engine.tree import ROOT_INO, FileSystemUsage, Ino, NodeAttributes

if TYPE_CHECKING:
    from collections.abc import Callable

EARLY_NS = -11_644_473_600_000_000_000 + 1_234_567_800
"""Soon after FILETIME zero, the first of January 1601, with a part of 100 ns."""
LATE_NS = 1_700_000_000_123_456_700

SURROGATE_NAME = b"lone-\xed\xa0\x80-surrogate"
ODD_NAMES = (SURROGATE_NAME, "smörgås \U0001f4be".encode(), b"new\nline", b"a" * 255)

BLOCK = bytes(range(256)) * 4096
"""1 MiB that big files repeat."""


@dataclass(slots=True)
class FakeFile:
    """A file of any size; the part past ``corrupt_from`` cannot be decoded."""

    size: int
    content: bytes | None = None
    corrupt_from: int | None = None
    cached: bool = True
    closed: int = 0
    read_hook: Callable[[int, int], None] | None = None

    def read_nowait(self, offset: int, size: int) -> bytes | None:
        if not self.cached or self.corrupt_from is not None:
            return None
        return self._bytes(offset, size)

    def read(self, offset: int, size: int) -> bytes:
        if self.read_hook is not None:
            self.read_hook(offset, size)
        if self.corrupt_from is not None and offset + size > self.corrupt_from:
            raise CorruptResourceError(
                "chunk 1 cannot be decoded", path="fake.wim", structure="blob 0123abcd"
            )
        return self._bytes(offset, size)

    def close(self) -> None:
        self.closed += 1

    def _bytes(self, offset: int, size: int) -> bytes:
        end = min(offset + size, self.size)
        if offset >= end:
            return b""
        if self.content is not None:
            return self.content[offset:end]
        start = offset % len(BLOCK)
        length = end - offset
        if start + length <= len(BLOCK):
            return BLOCK[start : start + length]
        repeats = (start + length) // len(BLOCK) + 1
        return (BLOCK * repeats)[start : start + length]


@dataclass(slots=True)
class FakeNode:
    """One inode."""

    ino: Ino
    mode: int
    nlink: int = 1
    size: int = 0
    rdev: int = 0
    times_ns: tuple[int, int, int] = (LATE_NS, LATE_NS, LATE_NS)
    children: dict[bytes, Ino] = field(default_factory=dict)
    parent: Ino = ROOT_INO
    target: bytes = b""
    file: FakeFile | None = None
    xattrs: dict[bytes, bytes] = field(default_factory=dict)


class FakeTree:
    """Nodes by number; ``fail`` makes every method raise."""

    uid, gid = 0, 0

    def __init__(self) -> None:
        self.nodes: dict[Ino, FakeNode] = {}
        self.fail: Exception | None = None
        self._next = ROOT_INO
        self.root = self._make(stat.S_IFDIR | 0o755, nlink=2)

    # Building

    def add_directory(self, parent: FakeNode, name: bytes) -> FakeNode:
        node = self._make(stat.S_IFDIR | 0o755, nlink=2)
        node.parent = parent.ino
        parent.children[name] = node.ino
        return node

    def add_file(self, parent: FakeNode, name: bytes, content: bytes | FakeFile = b"") -> FakeNode:
        node = self._make(stat.S_IFREG | 0o644)
        node.file = (
            content if isinstance(content, FakeFile) else FakeFile(len(content), bytes(content))
        )
        node.size = node.file.size
        parent.children[name] = node.ino
        return node

    def add_link(self, parent: FakeNode, name: bytes, target: bytes) -> FakeNode:
        node = self._make(stat.S_IFLNK | 0o777)
        node.target = target
        node.size = len(target)
        parent.children[name] = node.ino
        return node

    def add_special(self, parent: FakeNode, name: bytes, mode: int, rdev: int = 0) -> FakeNode:
        node = self._make(mode)
        node.rdev = rdev
        parent.children[name] = node.ino
        return node

    def add_hard_link(self, parent: FakeNode, name: bytes, node: FakeNode) -> None:
        parent.children[name] = node.ino
        node.nlink += 1

    def _make(self, mode: int, nlink: int = 1) -> FakeNode:
        node = FakeNode(self._next, mode, nlink)
        self.nodes[node.ino] = node
        self._next = Ino(self._next + 1)
        return node

    # ReadTree

    def _node(self, ino: Ino) -> FakeNode:
        if self.fail is not None:
            raise self.fail
        try:
            return self.nodes[ino]
        except KeyError:
            raise StaleNodeError(f"inode {ino} is unknown") from None

    def _directory(self, ino: Ino) -> FakeNode:
        node = self._node(ino)
        if not stat.S_ISDIR(node.mode):
            raise NotADirectoryNodeError(f"inode {ino} is no directory")
        return node

    def lookup(self, parent: Ino, name: bytes) -> Ino | None:
        return self._directory(parent).children.get(name)

    def attributes(self, ino: Ino) -> NodeAttributes:
        node = self._node(ino)
        return NodeAttributes(
            node.ino,
            node.mode,
            node.nlink,
            self.uid,
            self.gid,
            node.rdev,
            node.size,
            (node.size + 511) // 512,
            *node.times_ns,
        )

    def list_directory(self, ino: Ino) -> list[tuple[bytes, Ino]]:
        return list(self._directory(ino).children.items())

    def parent(self, ino: Ino) -> Ino:
        return self._directory(ino).parent

    def read_link(self, ino: Ino) -> bytes:
        node = self._node(ino)
        if not stat.S_ISLNK(node.mode):
            raise NotALinkError(f"inode {ino} is no link")
        return node.target

    def open_file(self, ino: Ino) -> FakeFile:
        file = self._node(ino).file
        assert file is not None
        return file

    def list_xattrs(self, ino: Ino) -> list[bytes]:
        return list(self._node(ino).xattrs)

    def get_xattr(self, ino: Ino, name: bytes) -> bytes:
        xattrs = self._node(ino).xattrs
        try:
            return xattrs[name]
        except KeyError:
            raise NoSuchAttributeError(f"no attribute {name!r}") from None

    def usage(self) -> FileSystemUsage:
        if self.fail is not None:
            raise self.fail
        return FileSystemUsage(4096, 1000, 250, len(self.nodes), 0, 255)


def sample_tree(big_size: int = 1 << 30, flat_files: int = 10_000) -> FakeTree:
    """Build the tree that the tests and the measurements mount."""
    tree = FakeTree()
    root = tree.root
    hello = tree.add_file(root, b"hello", b"hello, world\n")
    hello.times_ns = (EARLY_NS, EARLY_NS + 100, EARLY_NS + 200)
    hello.xattrs = {b"user.zone": b"[ZoneTransfer]", b"user.empty": b"", b"user.big": b"x" * 65536}
    tree.add_hard_link(root, b"hello-again", hello)
    tree.add_link(root, b"link", b"hello")
    tree.add_link(root, b"broken-link", b"nowhere/\xed\xa0\x80")
    tree.add_special(root, b"fifo", stat.S_IFIFO | 0o600)
    tree.add_special(root, b"device", stat.S_IFCHR | 0o600, rdev=(1 << 8) | 3)
    tree.add_special(root, b"socket", stat.S_IFSOCK | 0o600)
    tree.add_file(root, b"big", FakeFile(big_size))
    tree.add_file(root, b"uncached", FakeFile(64 << 20, cached=False))
    tree.add_file(root, b"corrupt", FakeFile(1 << 20, corrupt_from=512 << 10))
    odd = tree.add_directory(root, b"odd")
    for name in ODD_NAMES:
        tree.add_file(odd, name, name)
    deep = tree.add_directory(root, b"deep")
    for number in range(3):
        deep = tree.add_directory(deep, b"level-%d" % number)
    flat = tree.add_directory(root, b"flat")
    for number in range(flat_files):
        tree.add_file(flat, b"file-%05d" % number, b"content of %d\n" % number)
    tree.add_directory(root, b"empty")
    return tree
