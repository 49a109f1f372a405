"""What an overlay should be: a file system in dictionaries."""

from __future__ import annotations

import stat
from dataclasses import dataclass, field

from wimtui.engine.errors import (
    AttributeExistsError,
    DirectoryNotEmptyError,
    InvalidNameError,
    IsADirectoryNodeError,
    NodeExistsError,
    NodeNotFoundError,
    NoSuchAttributeError,
    NotADirectoryNodeError,
    NotPermittedError,
)
from wimtui.engine.tree import RenameMode, XattrMode


@dataclass
class ModelNode:
    """A file, directory or link; an object's identity is the node's."""

    type: int
    data: bytearray = field(default_factory=bytearray)
    target: bytes = b""
    children: dict[bytes, ModelNode] = field(default_factory=dict)
    xattrs: dict[bytes, bytes] = field(default_factory=dict)
    parent: ModelNode | None = None
    mode: int = 0
    mtime_ns: int | None = None
    """Where it was set."""

    @property
    def is_directory(self) -> bool:
        return self.type == stat.S_IFDIR

    def names(self) -> list[bytes]:
        return sorted(self.children)


class Model:
    """The file system. Raises the errors that an overlay should."""

    def __init__(self) -> None:
        self.root = ModelNode(stat.S_IFDIR)

    def walk(self) -> list[tuple[bytes, ModelNode]]:
        found = [(b"", self.root)]
        for path, node in found:
            found += [(path + b"/" + name, node.children[name]) for name in node.names()]
        return found

    def nlink(self, node: ModelNode) -> int:
        return sum(1 for _, other in self.walk() if other is node)

    def find(self, path: bytes) -> ModelNode:
        node = self.root
        for name in path.split(b"/"):
            if name:
                node = node.children[name]
        return node

    def add(self, directory: ModelNode, name: bytes, node: ModelNode) -> None:
        self.check_directory(directory)
        if name in directory.children:
            raise NodeExistsError("")
        self.put(directory, name, node)

    def check_directory(self, directory: ModelNode) -> None:
        if not directory.is_directory:
            raise NotADirectoryNodeError("")

    def child(self, directory: ModelNode, name: bytes) -> ModelNode:
        self.check_directory(directory)
        if name not in directory.children:
            raise NodeNotFoundError("")
        return directory.children[name]

    def link(self, node: ModelNode, directory: ModelNode, name: bytes) -> None:
        if node.type != stat.S_IFREG:
            raise NotPermittedError("")
        self.add(directory, name, node)

    def unlink(self, directory: ModelNode, name: bytes) -> ModelNode:
        node = self.child(directory, name)
        if node.is_directory:
            raise IsADirectoryNodeError("")
        return self.take(directory, name)

    def take(self, directory: ModelNode, name: bytes) -> ModelNode:
        directory.mtime_ns = None
        return directory.children.pop(name)

    def rmdir(self, directory: ModelNode, name: bytes) -> ModelNode:
        self.check_empty(self.child(directory, name))
        return self.take(directory, name)

    def check_empty(self, node: ModelNode) -> None:
        if not node.is_directory:
            raise NotADirectoryNodeError("")
        if node.children:
            raise DirectoryNotEmptyError("")

    def is_below(self, node: ModelNode, other: ModelNode) -> bool:
        above: ModelNode | None = node
        while above is not None:
            if above is other:
                return True
            above = above.parent
        return False

    def rename(
        self,
        directory: ModelNode,
        name: bytes,
        new_directory: ModelNode,
        new_name: bytes,
        mode: RenameMode,
    ) -> ModelNode | None:
        """Returns what was replaced."""
        node = self.child(directory, name)
        self.check_directory(new_directory)
        target = new_directory.children.get(new_name)
        if mode is RenameMode.NO_REPLACE and target is not None:
            raise NodeExistsError("")
        if node.is_directory and self.is_below(new_directory, node):
            raise InvalidNameError("")
        above = target is not None and target.is_directory and self.is_below(directory, target)
        if mode is RenameMode.EXCHANGE:
            if above and target is not node:
                raise InvalidNameError("")
            if target is None:
                raise NodeNotFoundError("")
            if target is not node:
                self.put(directory, name, target)
                self.put(new_directory, new_name, node)
            return None
        if target is node:
            return None
        if target is not None:
            if node.is_directory:
                if above:
                    raise DirectoryNotEmptyError("")
                self.check_empty(target)
            elif target.is_directory:
                raise IsADirectoryNodeError("")
        self.take(directory, name)
        self.put(new_directory, new_name, node)
        return target

    def put(self, directory: ModelNode, name: bytes, node: ModelNode) -> None:
        directory.children[name] = node
        directory.mtime_ns = None
        if node.is_directory:
            node.parent = directory

    def write(self, node: ModelNode, offset: int, data: bytes) -> None:
        if len(node.data) < offset:
            node.data += bytes(offset - len(node.data))
        node.data[offset : offset + len(data)] = data
        node.mtime_ns = None

    def truncate(self, node: ModelNode, size: int) -> None:
        if node.is_directory:
            raise IsADirectoryNodeError("")
        del node.data[size:]
        node.data += bytes(size - len(node.data))
        node.mtime_ns = None

    def set_xattr(self, node: ModelNode, name: bytes, value: bytes, mode: XattrMode) -> None:
        if node.type == stat.S_IFLNK:
            raise NotPermittedError("")
        if name in node.xattrs and mode is XattrMode.CREATE:
            raise AttributeExistsError("")
        if name not in node.xattrs and mode is XattrMode.REPLACE:
            raise NoSuchAttributeError("")
        node.xattrs[name] = value

    def remove_xattr(self, node: ModelNode, name: bytes) -> None:
        if node.type == stat.S_IFLNK:
            raise NotPermittedError("")
        if name not in node.xattrs:
            raise NoSuchAttributeError("")
        del node.xattrs[name]


def difference(one: bytes | bytearray, other: bytes | bytearray) -> int | None:
    """Where two contents differ first: a failure shows that, and not all of both."""
    if one == other:
        return None
    pairs = zip(one, other, strict=False)
    shorter = min(len(one), len(other))
    return next((offset for offset, (a, b) in enumerate(pairs) if a != b), shorter)
