"""A tree in memory that can be changed: dictionaries, with the rules that POSIX gives."""

from __future__ import annotations

import os
import stat
import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tests.fuse.fake_tree import FakeFile, FakeNode, FakeTree, sample_tree
from wimtui.engine.errors import (
    AttributeExistsError,
    DirectoryNotEmptyError,
    InvalidNameError,
    IsADirectoryNodeError,
    NameTooLongError,
    NodeExistsError,
    NodeNotFoundError,
    NoSuchAttributeError,
    NotADirectoryNodeError,
    NotPermittedError,
)
from wimtui.engine.tree import AttributeChanges, Creator, Ino, RenameMode, XattrMode

if TYPE_CHECKING:
    from collections.abc import Callable

    from wimtui.engine.progress import CancelToken


@dataclass(slots=True)
class StagedBytes:
    """A file that was written to; every handle sees the same bytes."""

    content: bytearray = field(default_factory=bytearray)
    closed: int = 0

    @property
    def size(self) -> int:
        return len(self.content)

    def read_nowait(self, offset: int, size: int) -> bytes | None:
        return bytes(self.content[offset : offset + size])

    def read(self, offset: int, size: int) -> bytes:
        return bytes(self.content[offset : offset + size])

    def write(self, offset: int, data: bytes) -> int:
        self.content.extend(bytes(max(0, offset - len(self.content))))
        self.content[offset : offset + len(data)] = data
        return len(data)

    def sync(self, *, data_only: bool) -> None:
        pass

    def close(self) -> None:
        self.closed += 1


class FollowingFile:
    """A handle: what it shows is what the node has at that moment."""

    def __init__(self, tree: FakeWriteTree, node: FakeNode) -> None:
        self._tree = tree
        self._node = node

    @property
    def _file(self) -> FakeFile | StagedBytes:
        staged = self._tree.staged.get(self._node.ino)
        if staged is not None:
            return staged
        assert self._node.file is not None
        return self._node.file

    def read_nowait(self, offset: int, size: int) -> bytes | None:
        return self._file.read_nowait(offset, size)

    def read(self, offset: int, size: int) -> bytes:
        return self._file.read(offset, size)

    def write_nowait(self, offset: int, data: bytes) -> int | None:
        if self._node.ino in self._tree.frozen:
            return None
        return self.write(offset, data)

    def write(self, offset: int, data: bytes) -> int:
        if self._tree.fail is not None:
            raise self._tree.fail
        staged = self._tree.staged[self._node.ino]
        written = staged.write(offset, data)
        self._node.size = staged.size
        self._tree.touch(self._node)
        return written

    def sync(self, *, data_only: bool) -> None:
        self._tree.sync(self._node.ino, data_only=data_only)

    def close(self) -> None:
        self._tree.closed += 1


class FakeWriteTree(FakeTree):
    """Adds changes to a FakeTree. ``copy_hook`` runs in every copy's thread."""

    def __init__(self, source: FakeTree) -> None:
        super().__init__()
        # Whoever runs the tests may write.
        self.uid, self.gid = os.getuid(), os.getgid()
        self.nodes = source.nodes
        self.root = source.root
        self._next = source._next
        self.staged: dict[Ino, StagedBytes] = {}
        self.frozen: set[Ino] = set()
        """What a commit reads: to be copied before it is written to."""
        self.copies: list[tuple[Ino, int | None]] = []
        self.syncs: list[tuple[Ino, bool]] = []
        self.forgotten: list[Ino] = []
        self.changes: list[tuple[Ino, AttributeChanges]] = []
        self.closed = 0
        self.copy_hook: Callable[[CancelToken], None] = lambda _: None
        self._clock = 1_800_000_000_000_000_000
        self._lock = threading.Lock()

    def touch(self, node: FakeNode) -> None:
        self._clock += 100
        node.times_ns = (node.times_ns[0], self._clock, self._clock)

    # Names

    def _add(self, parent: Ino, name: bytes, mode: int) -> FakeNode:
        directory = self._directory(parent)
        if len(name) > 255:
            raise NameTooLongError("too long")
        if b"\\" in name:
            raise InvalidNameError("a backslash")
        if name in directory.children:
            raise NodeExistsError("exists")
        node = self._make(mode, 2 if stat.S_ISDIR(mode) else 1)
        node.parent = parent
        directory.children[name] = node.ino
        self.touch(node)
        self.touch(directory)
        return node

    def create_node(self, parent: Ino, name: bytes, creator: Creator) -> Ino:
        node = self._add(parent, name, creator.mode)
        node.rdev = creator.rdev
        if stat.S_ISREG(creator.mode):
            self.staged[node.ino] = StagedBytes()
        return node.ino

    def make_directory(self, parent: Ino, name: bytes, creator: Creator) -> Ino:
        return self._add(parent, name, creator.mode).ino

    def make_symlink(self, parent: Ino, name: bytes, target: bytes, creator: Creator) -> Ino:
        node = self._add(parent, name, creator.mode)
        node.target, node.size = target, len(target)
        return node.ino

    def link(self, ino: Ino, parent: Ino, name: bytes) -> None:
        node, directory = self._node(ino), self._directory(parent)
        if stat.S_ISDIR(node.mode):
            raise NotPermittedError("a directory")
        if name in directory.children:
            raise NodeExistsError("exists")
        directory.children[name] = ino
        node.nlink += 1
        self.touch(directory)

    def _named(self, parent: Ino, name: bytes) -> FakeNode:
        ino = self._directory(parent).children.get(name)
        if ino is None:
            raise NodeNotFoundError("no such name")
        return self._node(ino)

    def unlink(self, parent: Ino, name: bytes) -> Ino:
        node = self._named(parent, name)
        if stat.S_ISDIR(node.mode):
            raise IsADirectoryNodeError("a directory")
        del self._directory(parent).children[name]
        node.nlink -= 1
        self.touch(self._directory(parent))
        return node.ino

    def remove_directory(self, parent: Ino, name: bytes) -> Ino:
        node = self._named(parent, name)
        if not stat.S_ISDIR(node.mode):
            raise NotADirectoryNodeError("no directory")
        if node.children:
            raise DirectoryNotEmptyError("not empty")
        del self._directory(parent).children[name]
        node.nlink = 0
        self.touch(self._directory(parent))
        return node.ino

    def rename(
        self, parent: Ino, name: bytes, new_parent: Ino, new_name: bytes, mode: RenameMode
    ) -> None:
        node = self._named(parent, name)
        source, target = self._directory(parent), self._directory(new_parent)
        taken = target.children.get(new_name)
        if mode is RenameMode.EXCHANGE:
            other = self._named(new_parent, new_name)
            source.children[name], target.children[new_name] = other.ino, node.ino
            node.parent, other.parent = new_parent, parent
            return
        if taken is not None:
            if mode is RenameMode.NO_REPLACE:
                raise NodeExistsError("exists")
            if taken == node.ino:
                return
            if stat.S_ISDIR(self._node(taken).mode):
                self.remove_directory(new_parent, new_name)
            else:
                self.unlink(new_parent, new_name)
        del source.children[name]
        target.children[new_name] = node.ino
        node.parent = new_parent
        self.touch(source)
        self.touch(target)

    # Data and attributes

    def open_file(self, ino: Ino) -> FollowingFile:  # type: ignore[override]
        return FollowingFile(self, self._node(ino))

    def open_for_writing(self, ino: Ino) -> FollowingFile:
        assert ino in self.staged, "written to before it was staged"
        return FollowingFile(self, self._node(ino))

    def copy_up_size(self, ino: Ino, *, keep: int | None = None) -> int:
        node = self._node(ino)
        if stat.S_ISDIR(node.mode):
            raise IsADirectoryNodeError("a directory")
        if ino in self.staged and ino not in self.frozen:
            return 0
        size = node.size if keep is None else min(keep, node.size)
        if size == 0:
            self.staged[ino] = StagedBytes()
        return size

    def copy_up(self, ino: Ino, keep: int | None, cancel: CancelToken) -> None:
        node = self._node(ino)
        size = node.size if keep is None else min(keep, node.size)
        self.copies.append((ino, keep))
        self.copy_hook(cancel)
        assert node.file is not None
        copy = StagedBytes(bytearray(node.file.read(0, size)))
        with self._lock:
            self.staged.setdefault(ino, copy)
            self.frozen.discard(ino)

    def change(self, ino: Ino, changes: AttributeChanges) -> None:
        node = self._node(ino)
        self.changes.append((ino, changes))
        if changes.size is not None:
            staged = self.staged.setdefault(ino, StagedBytes())
            del staged.content[changes.size :]
            staged.content.extend(bytes(changes.size - staged.size))
            node.size = staged.size
            self.touch(node)
        if changes.mode is not None:
            node.mode = stat.S_IFMT(node.mode) | stat.S_IMODE(changes.mode)
        atime, mtime, ctime = node.times_ns
        node.times_ns = (
            atime if changes.atime_ns is None else changes.atime_ns // 100 * 100,
            mtime if changes.mtime_ns is None else changes.mtime_ns // 100 * 100,
            ctime,
        )

    def set_xattr(self, ino: Ino, name: bytes, value: bytes, mode: XattrMode) -> None:
        xattrs = self._node(ino).xattrs
        if mode is XattrMode.CREATE and name in xattrs:
            raise AttributeExistsError("exists")
        if mode is XattrMode.REPLACE and name not in xattrs:
            raise NoSuchAttributeError("absent")
        xattrs[name] = value

    def remove_xattr(self, ino: Ino, name: bytes) -> None:
        if self._node(ino).xattrs.pop(name, None) is None:
            raise NoSuchAttributeError("absent")

    def forget(self, ino: Ino) -> None:
        if self.fail is not None:
            raise self.fail
        self.forgotten.append(ino)
        node = self.nodes.get(ino)
        if node is not None and node.nlink == 0:
            del self.nodes[ino]
            self.staged.pop(ino, None)

    def sync(self, ino: Ino, *, data_only: bool) -> None:
        self._node(ino)
        self.syncs.append((ino, data_only))


def sample_write_tree(big_size: int = 1 << 20, flat_files: int = 10) -> FakeWriteTree:
    """Return the sample tree, ready to be changed."""
    return FakeWriteTree(sample_tree(big_size, flat_files))


def only(**changed: int) -> AttributeChanges:
    """Return changes of the fields named."""
    return replace(AttributeChanges(), **changed)
