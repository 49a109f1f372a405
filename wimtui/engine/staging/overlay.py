"""A writable tree over an image: every change is in the staging folder before it is answered."""

from __future__ import annotations

import contextlib
import stat
from typing import TYPE_CHECKING, TypeVarTuple

from wimtui.engine.errors import (
    LockedError,
    NodeNotFoundError,
    NotADirectoryNodeError,
    NotSupportedNodeError,
    WimError,
)
from wimtui.engine.staging.base import BaseImage
from wimtui.engine.staging.contents import Contents
from wimtui.engine.staging.directories import Directories
from wimtui.engine.staging.layer import Layer
from wimtui.engine.staging.node_changes import NodeChanges
from wimtui.engine.staging.rename import Rename
from wimtui.engine.staging.snapshot import Snapshot
from wimtui.engine.staging.stats import Stats
from wimtui.engine.staging.stream_names import StreamNames
from wimtui.engine.staging.xattrs import Xattrs
from wimtui.engine.tree import Ino, XattrMode

if TYPE_CHECKING:
    from collections.abc import Callable

    from wimtui.engine.image.blobs import Blobs
    from wimtui.engine.image.metadata import ImageMetadata
    from wimtui.engine.progress import CancelToken
    from wimtui.engine.staging.edit import Edit
    from wimtui.engine.staging.node import NodeId, StagedStream
    from wimtui.engine.staging.numbering import Numbering
    from wimtui.engine.staging.options import OverlayOptions
    from wimtui.engine.staging.store import StagingStore
    from wimtui.engine.tree import (
        AttributeChanges,
        Creator,
        FileSystemUsage,
        NodeAttributes,
        OpenFile,
        RenameMode,
        WritableFile,
    )


Ts = TypeVarTuple("Ts")


class Overlay:
    """tree.WriteTree over one image.

    Methods that change names or attributes answer within some ten microseconds and may be called
    on the event loop's thread; what tree.WriteTree calls blocking belongs into a worker thread.
    Different threads may call different methods at the same time.

    Attributes:
        layer: The merged tree by node number.
        contents: Its streams.
    """

    def __init__(
        self,
        metadata: ImageMetadata,
        blobs: Blobs,
        store: StagingStore,
        options: OverlayOptions | None = None,
    ) -> None:
        """Show an image with what a store has staged for it.

        Args:
            metadata: The image that the store was made for; see ``StagingFacts.match``.
            blobs: Its streams.
            store: Belongs to the overlay from now on, ``close`` closes it.
            options: None for those that the store remembers.
        """
        self.options = store.facts.options if options is None else options
        self.store = store
        self.layer = Layer(BaseImage(metadata, blobs, self.options.view), store, self.options)
        self.contents = Contents(self.layer)
        self._stats = Stats(self.layer, self.contents)
        self._directories = Directories(self.layer, self._stats)
        self._rename = Rename(self.layer, self._directories)
        self._changes = NodeChanges(self.layer, self.contents, self._stats)
        self._xattrs = Xattrs(self.layer, self.contents, self._stats)
        self._stream_names = StreamNames(self.layer)
        self._known_streams: set[Ino] = set()
        """Inode numbers of streams that were given out by name and are not forgotten."""
        self.numbering: Numbering | None = None
        """What inode numbers stand for, once the image was replaced."""
        self._snapshot: Snapshot | None = None

    def close(self) -> None:
        """Close the store; what is staged stays."""
        self.store.close()

    # Inode numbers of the kernel, node numbers of the layer

    def node_id(self, ino: Ino) -> NodeId:
        """Return the node number of an inode number. Raises StaleNodeError."""
        return ino if self.numbering is None else self.numbering.id(ino)

    def ino(self, number: NodeId) -> Ino:
        """Return the inode number of a node number."""
        return Ino(number if self.numbering is None else self.numbering.ino(number))

    def _settled(self, answer: Callable[[NodeId, *Ts], bytes], ino: Ino, *arguments: *Ts) -> bytes:
        """Answer about one node, again if all numbers have changed meanwhile."""
        while True:
            numbering = self.numbering
            try:
                answered = answer(self.node_id(ino), *arguments)
            except WimError:
                if self.numbering is numbering:
                    raise
                continue
            if self.numbering is numbering:
                return answered

    # tree.ReadTree

    def lookup(self, parent: Ino, name: bytes) -> Ino | None:
        """Return the node of that name, or None. Raises NotADirectoryNodeError, StaleNodeError."""
        directory = self.node_id(parent)
        found = self.layer.lookup(directory, name)
        if found is None:
            if self.layer.type(self.layer.owner(directory)) != stat.S_IFDIR:
                raise NotADirectoryNodeError(f"node {parent} is no directory")
            path = self._stream_names.path(directory, name)
            found = None if path is None else self._stream_names.lookup(directory, path)
            if found is not None:
                self._known_streams.add(self.ino(found))
        return None if found is None else self.ino(found)

    def attributes(self, ino: Ino) -> NodeAttributes:
        """Return what stat shows. Raises StaleNodeError."""
        if self.numbering is None:
            return self._stats.attributes(ino)
        return self._stats.attributes(self.numbering.id(ino))._replace(ino=ino)

    def list_directory(self, ino: Ino) -> list[tuple[bytes, Ino]]:
        """Return names and nodes in collation order. Raises NotADirectoryNodeError."""
        directory = self.node_id(ino)
        if self.layer.type(self.layer.owner(directory)) != stat.S_IFDIR or not self.layer.exists(
            directory
        ):
            raise NotADirectoryNodeError(f"node {ino} is no directory")
        names = self.layer.names(directory)
        if self.numbering is None:
            return list(names)  # type: ignore[arg-type]  # plain ints stand for Ino at run time
        return [(name, self.ino(number)) for name, number in names]

    def parent(self, ino: Ino) -> Ino:
        """Return the parent of a directory; the root's is the root."""
        directory = self.node_id(ino)
        self.layer.require(directory)
        return self.ino(self.layer.parent(directory))

    def read_link(self, ino: Ino) -> bytes:
        """Return the target of a link; may read the disk. Raises as ImageView.read_link."""
        return self._settled(self._stats.read_link, ino)

    def open_file(self, ino: Ino) -> OpenFile:
        """Open a stream for reading. Raises as ImageView.open_file, OSError."""
        with self.layer.lock:
            return self.contents.open_for_reading(self.node_id(ino))

    def list_xattrs(self, ino: Ino) -> list[bytes]:
        """Return ``user.`` names of the streams. Raises StreamsDisabledError."""
        return self._xattrs.list(self.node_id(ino))

    def get_xattr(self, ino: Ino, name: bytes) -> bytes:
        """Return a value; may read the disk. Raises as ImageView.get_xattr."""
        return self._settled(self._xattrs.get, ino, name)

    def usage(self) -> FileSystemUsage:
        """Return the image's size, and what the staging disk has left."""
        return self._stats.usage()

    # tree.WriteTree: names

    def create_node(self, parent: Ino, name: bytes, creator: Creator) -> Ino:
        """Make a regular file, fifo, socket or device; or a stream by ``file:stream``.

        Raises:
            NodeExistsError: The name is taken.
            NotPermittedError: A special file without UNIX data.
            NodeError: Name or directory are unsuitable.
            OSError: The staging disk is full or broken.
        """
        with self.layer.lock:
            directory = self.node_id(parent)
            path = self._stream_names.path(directory, name)
            if path is not None:
                made = self.ino(self._stream_names.create(directory, path, creator))
                self._known_streams.add(made)
                return made
            return self.ino(self._directories.create(directory, name, creator))

    def make_directory(self, parent: Ino, name: bytes, creator: Creator) -> Ino:
        """Make an empty directory. Raises as ``create_node``."""
        with self.layer.lock:
            return self.ino(self._directories.make_directory(self.node_id(parent), name, creator))

    def make_symlink(self, parent: Ino, name: bytes, target: bytes, creator: Creator) -> Ino:
        """Make a native symlink. Raises as ``create_node``; InvalidNameError for the target too."""
        with self.layer.lock:
            directory = self.node_id(parent)
            return self.ino(self._directories.make_symlink(directory, name, target, creator))

    def link(self, ino: Ino, parent: Ino, name: bytes) -> None:
        """Give a file another name.

        Raises:
            NotPermittedError: It is a directory or a reparse point.
            NodeError: As ``create_node``.
        """
        with self.layer.lock:
            number = self.node_id(ino)
            if not self.layer.exists(number):
                self.layer.owner(number)
                raise NotSupportedNodeError("a stream cannot have another name")
            self._directories.link(number, self.node_id(parent), name)

    def unlink(self, parent: Ino, name: bytes) -> Ino:
        """Remove a name of what is no directory, or a stream; returns its node.

        Raises NodeNotFoundError, IsADirectoryNodeError, OSError.
        """
        with self.layer.lock:
            directory = self.node_id(parent)
            path = self._stream_names.path(directory, name)
            if path is not None:
                return self.ino(self._stream_names.remove(directory, path))
            return self.ino(self._directories.unlink(directory, name))

    def remove_directory(self, parent: Ino, name: bytes) -> Ino:
        """Remove an empty directory; returns its node. Raises DirectoryNotEmptyError and others."""
        with self.layer.lock:
            return self.ino(self._directories.remove_directory(self.node_id(parent), name))

    def rename(
        self, parent: Ino, name: bytes, new_parent: Ino, new_name: bytes, mode: RenameMode
    ) -> None:
        """Move a name. Raises as ``Rename``."""
        with self.layer.lock:
            directory = self.node_id(parent)
            path = self._stream_names.path(directory, name)
            if path is not None:
                if self._stream_names.lookup(directory, path) is None:
                    raise NodeNotFoundError(f"no {name.decode(errors='replace')}")
                raise NotSupportedNodeError("a stream cannot be renamed")
            self._rename(directory, name, self.node_id(new_parent), new_name, mode)

    # tree.WriteTree: nodes

    def change(self, ino: Ino, changes: AttributeChanges) -> None:
        """Set attributes; a size may copy data up, which blocks. Raises as ``NodeChanges``."""
        self._changes.change(self.node_id(ino), changes)

    def copy_up_size(self, ino: Ino, *, keep: int | None = None) -> int:
        """Return how many bytes must be copied before the data can be changed."""
        return self.contents.copy_up_size(self.node_id(ino), keep)

    def copy_up(self, ino: Ino, keep: int | None, cancel: CancelToken) -> None:
        """Bring a file's data into staging; blocks. Raises CancelledError, OSError, WimError."""
        self.contents.copy_up(self.node_id(ino), keep, cancel)

    def open_for_writing(self, ino: Ino) -> WritableFile:
        """Open a stream for reading and writing.

        Raises:
            NotSupportedNodeError: The file is encrypted or a reparse point.
            OSError: The staging disk is full or broken.
        """
        return self.contents.open_for_writing(self.node_id(ino))

    def set_xattr(self, ino: Ino, name: bytes, value: bytes, mode: XattrMode) -> None:
        """Set an extended attribute or named stream. Raises as ``Xattrs.set``."""
        with self.layer.lock:
            self._xattrs.set(self.node_id(ino), name, value, mode)

    def remove_xattr(self, ino: Ino, name: bytes) -> None:
        """Remove an extended attribute or named stream. Raises as ``Xattrs.remove``."""
        with self.layer.lock:
            self._xattrs.remove(self.node_id(ino), name)

    def forget(self, ino: Ino) -> None:
        """Free a node without names that nobody can refer to any more."""
        with self.layer.lock:
            number = self.node_id(ino)
            self._known_streams.discard(ino)
            if number not in self.layer.unlinked:
                return
            self.layer.unlinked.discard(number)
            if self.layer.link_count(number) or not self.layer.exists(number):
                return
            edit = self.layer.edit()
            kept = self._outlive(edit, number)
            node = self.layer.nodes.get(number)
            if node is not None:
                edit.drop(number)
            if edit.nodes:
                self.layer.commit(edit)
                self.layer.unlinked.update(stream.id for stream in kept)
                streams = () if node is None else node.streams or ()
                self.contents.discard([each.source for each in streams if each not in kept])

    def _outlive(self, edit: Edit, owner: NodeId) -> set[StagedStream]:
        """Have the streams that somebody refers to by name outlive their file."""
        known = self._known_streams
        if not known:
            return set()
        return self._stream_names.outlive(edit, owner, lambda stream: self.ino(stream) in known)

    def sync(self, ino: Ino, *, data_only: bool) -> None:
        """Return when a node would survive a power cut. Blocks. Raises OSError."""
        self.contents.sync(self.node_id(ino))

    # Commits

    def freeze(self) -> Snapshot:
        """Return the tree of this moment, for a commit to read; to be released.

        Raises:
            LockedError: There is a snapshot already.
        """
        streams = self.contents.open_streams
        with streams.gate.closed(), self.layer.lock:
            if self._snapshot is not None:
                raise LockedError("a commit is under way", path=self.store.folder)
            self.store.note_freeze()
            self._snapshot = Snapshot(self.layer, self.contents.write_time, self._thaw)
            streams.frozen = self._snapshot.frozen
            return self._snapshot

    def _thaw(self, snapshot: Snapshot) -> None:
        """Let the files of a snapshot change again, and give up those that only it had."""
        with self.layer.lock:
            if self._snapshot is not snapshot:
                return
            self._snapshot = None
            self.contents.open_streams.frozen = frozenset()
            used = {n for node in self.layer.nodes.values() for n in node.staged_files()}
            self.store.discard_files(snapshot.frozen - used)
            # After a commit that is everything it wrote: not to be left until more piles up. The
            # commit is done, though, whatever the staging disk says.
            with contextlib.suppress(OSError):
                self.store.collect()
