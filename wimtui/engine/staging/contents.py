"""The bytes of streams: opening, copying up, cutting and syncing."""

from __future__ import annotations

import contextlib
import stat
import threading
from typing import TYPE_CHECKING

from wimtui.engine.errors import (
    IsADirectoryNodeError,
    MissingBlobError,
    NotSupportedNodeError,
    StaleNodeError,
)
from wimtui.engine.image.attributes import FileAttribute
from wimtui.engine.image.blobs import EmptyFile, is_empty
from wimtui.engine.image.streams import StreamKind
from wimtui.engine.progress import CancelToken
from wimtui.engine.staging.node import (
    BaseBlob,
    InlineData,
    StagedFile,
    StagedNode,
    StagedStream,
)
from wimtui.engine.staging.open_streams import OpenStreams, StreamReader, StreamWriter
from wimtui.engine.staging.staged_files import PRISTINE_NS, TIMES_SET_NS
from wimtui.engine.timestamps import ns_to_ticks
from wimtui.engine.tree import Ino

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wimtui.engine.staging.layer import Layer
    from wimtui.engine.staging.node import NodeId, StreamSource
    from wimtui.engine.staging.open_streams import SharedStream
    from wimtui.engine.tree import OpenFile


class Contents:
    """Reads and changes the streams of an overlay's files.

    A stream is named by the number of its node (the data) or by its own (a named stream).
    """

    def __init__(self, layer: Layer) -> None:
        """Work on a layer."""
        self._layer = layer
        self._files = layer.store.files
        self.open_streams = OpenStreams(self._files)
        self._copying: dict[SharedStream, threading.Event] = {}

    # Looking

    def find(self, stream: NodeId) -> tuple[StagedNode, StagedStream]:
        """Return a stream and its node. Raises StaleNodeError, IsADirectoryNodeError."""
        owner = self._layer.owner(stream)
        node = self._layer.node_with_streams(owner)
        if stream == owner and node.type == stat.S_IFDIR:
            raise IsADirectoryNodeError(f"node {stream} is a directory")
        for found in node.streams or ():
            if found.id == stream and found.kind in (StreamKind.DATA, StreamKind.NAMED):
                return node, found
        if stream == owner:
            return node, StagedStream(StreamKind.DATA, b"", stream, InlineData(b""))
        raise StaleNodeError(f"no stream {stream} in this mount")

    def source_size(self, source: StreamSource) -> int:
        """Return the bytes of a stream; a missing blob has none."""
        match source:
            case BaseBlob(sha1):
                return self._layer.blob_size(sha1)
            case StagedFile(number):
                return self._files.size(number)
            case InlineData(data):
                return len(data)

    def write_time(self, node: StagedNode) -> int:
        """Return when a node was written last, in ticks."""
        newest = 0
        for stream in node.streams or ():
            if isinstance(stream.source, StagedFile):
                status = self._files.status(stream.source.number)
                if status is not None and status.st_mtime_ns not in (PRISTINE_NS, TIMES_SET_NS):
                    newest = max(newest, status.st_mtime_ns)
        return ns_to_ticks(newest) if newest else node.write_time

    def stamp(self, node: StagedNode, write_time: int) -> StagedNode:
        """Return a node with that write time, whatever its staged files say."""
        for number in node.staged_files():
            status = self._files.status(number)
            if status is not None and status.st_mtime_ns != PRISTINE_NS:
                self._files.mark(number, TIMES_SET_NS)
        return node._replace(write_time=write_time)

    # Opening

    def open_for_reading(self, stream: NodeId) -> OpenFile:
        """Open a stream. Raises MissingBlobError, and NodeError as ImageView.open_file."""
        owner = self._layer.owner(stream)
        node = self._layer.nodes.get(owner)
        if node is None or node.streams is None:
            base: OpenFile | None = self._layer.base.view.open_file(Ino(stream))
            source: StreamSource = InlineData(b"")
        else:
            node, found = self.find(stream)
            self._refuse_unreadable(node, stream)
            source = found.source
            base = self.open_source(source)
        number = source.number if isinstance(source, StagedFile) else None
        with self._layer.lock:
            shared = self.open_streams.acquire(stream, number, for_writing=False)
        return StreamReader(shared, base, self._close)

    def _refuse_unreadable(self, node: StagedNode, stream: NodeId) -> None:
        if stream != node.id:
            return
        if node.type == stat.S_IFLNK or node.attributes & FileAttribute.ENCRYPTED:
            self._layer.base.view.data_sha1(Ino(node.id))
            raise NotSupportedNodeError(f"node {node.id} is a link")

    def open_source(self, source: StreamSource) -> OpenFile | None:
        """Open what is not in a staged file. Raises MissingBlobError."""
        match source:
            case BaseBlob(sha1):
                blobs = self._layer.blobs_with(sha1)
                if is_empty(sha1, blobs):
                    return EmptyFile()
                if blobs.size(sha1) is None:
                    raise MissingBlobError(
                        f"blob {sha1.hex()} is not in this WIM",
                        hint="name the WIM that has it with --ref",
                    )
                return blobs.open(sha1)
            case InlineData(data):
                return InlineFile(data)
            case StagedFile():
                return None

    def open_for_writing(self, stream: NodeId) -> StreamWriter:
        """Open a stream for reading and writing, with what is left to copy up copied.

        Raises:
            NotSupportedNodeError: The file is encrypted or a reparse point.
            OSError: The staging disk is full or broken.
        """
        with self.held(stream) as shared:
            while (writer := self._writer(shared.id)) is None:
                self._copy_up(shared, None, CancelToken())
            return writer

    def _writer(self, stream: NodeId) -> StreamWriter | None:
        """Return a handle, or None where data must be copied up before."""
        with self._layer.lock:
            node, found = self.find(stream)
            self._refuse_changes(node, stream)
            source = found.source
            if not isinstance(source, StagedFile):
                if self.source_size(source):
                    return None
                source = StagedFile(self._files.new_number())
                self._publish(node, found, source)
            shared = self.open_streams.acquire(stream, source.number, for_writing=True)
        return StreamWriter(
            shared, self._close, self.open_streams, self._before_write, self._sync_stream
        )

    def _refuse_changes(self, node: StagedNode, stream: NodeId) -> None:
        if node.attributes & FileAttribute.ENCRYPTED:
            raise NotSupportedNodeError(
                "the file is encrypted with EFS, its data cannot be changed",
                hint="delete it and make another",
            )
        if stream == node.id and node.attributes & FileAttribute.REPARSE_POINT:
            raise NotSupportedNodeError(
                "the file is a reparse point, its data cannot be changed",
                hint="delete it and make another",
            )

    def _close(self, shared: SharedStream, for_writing: bool) -> None:
        with self._layer.lock:
            self.open_streams.release(shared, for_writing=for_writing)

    def _before_write(self, shared: SharedStream) -> None:
        """Copy a file that a snapshot reads aside."""
        if shared.number in self.open_streams.frozen:
            self._copy_up(shared, None, CancelToken())

    # Copying up

    def copy_up_size(self, stream: NodeId, keep: int | None) -> int:
        """Return how many bytes ``copy_up`` would copy; at least 1 where a snapshot has the file.

        Even an empty one must not be written to then. Raises as ``find``.
        """
        _, found = self.find(stream)
        source = found.source
        is_staged = isinstance(source, StagedFile)
        if isinstance(source, StagedFile) and source.number not in self.open_streams.frozen:
            return 0
        size = self.source_size(source)
        if keep is None:
            return max(size, 1) if is_staged else size
        return min(size, keep)

    @contextlib.contextmanager
    def held(self, stream: NodeId) -> Iterator[SharedStream]:
        """Hold a stream, so that what is found by ``id`` stays the same over a rebase."""
        with self._layer.lock:
            _, found = self.find(stream)
            number = found.source.number if isinstance(found.source, StagedFile) else None
            shared = self.open_streams.acquire(stream, number, for_writing=False)
        try:
            yield shared
        finally:
            self._close(shared, False)

    def copy_up(self, stream: NodeId, keep: int | None, cancel: CancelToken) -> None:
        """Bring a stream's data, or the first ``keep`` bytes, into a file that may be written.

        Raises CancelledError, OSError, WimError. Blocks.
        """
        with self.held(stream) as shared:
            self._copy_up(shared, keep, cancel)

    def _copy_up(self, shared: SharedStream, keep: int | None, cancel: CancelToken) -> None:
        done = threading.Event()
        while True:
            with self._layer.lock:
                node, _ = self.find(shared.id)
                self._refuse_changes(node, shared.id)
                if self.copy_up_size(shared.id, keep) == 0:
                    return
                other = self._copying.setdefault(shared, done)
            if other is done:
                break
            while not other.wait(0.1):
                cancel.check()
        try:
            self._copy(shared, keep, cancel)
        finally:
            with self._layer.lock:
                del self._copying[shared]
            done.set()

    def _copy(self, shared: SharedStream, keep: int | None, cancel: CancelToken) -> None:
        with self._layer.lock:
            _, found = self.find(shared.id)
            source = found.source
            opened = self.open_source(source)
            size = self.source_size(source)
        kept = size if keep is None else min(size, keep)
        if isinstance(source, StagedFile) or opened is None:
            number = self._files.clone(shared.number, kept, cancel)
        else:
            number = self._fill(opened, kept, cancel)
            # Cut short, it is no copy any more, and its time is that of this moment.
            self._files.mark(number, PRISTINE_NS if kept == size else TIMES_SET_NS)
        try:
            with self._layer.lock:
                node, latest = self.find(shared.id)
                if latest.source == source:
                    self._publish(node, latest, StagedFile(number))
                    return
        except (OSError, StaleNodeError):
            self._files.remove(number)
            raise
        # Somebody has put other data there meanwhile.
        self._files.remove(number)

    def _fill(self, opened: OpenFile, size: int, cancel: CancelToken) -> int:
        try:
            return self._files.fill(opened.read, size, cancel)
        finally:
            opened.close()

    def _publish(self, node: StagedNode, old: StagedStream, source: StagedFile) -> None:
        """Let a stream be in a staged file from now on. The caller holds the lock."""
        edit = self._layer.edit()
        edit.put(node.with_stream(old._replace(source=source)), with_streams=True)
        with self.open_streams.switching(old.id, source.number):
            self._layer.commit(edit)
        self.discard([old.source])

    def discard(self, sources: list[StreamSource]) -> None:
        """Give up the staged files among sources that no node has any more."""
        frozen = self.open_streams.frozen
        self._layer.store.discard_files(
            source.number
            for source in sources
            if isinstance(source, StagedFile) and source.number not in frozen
        )

    # Cutting

    def truncate(self, stream: NodeId, size: int) -> None:
        """Set the size of a stream; growth reads as zeros. Blocks where data must be copied up.

        Raises NotSupportedNodeError, IsADirectoryNodeError, OSError.
        """
        with self.held(stream) as shared:
            while True:
                with self._layer.lock:
                    if not size or self._copy_is_needless(shared.id, size):
                        self._cut(shared.id, size)
                        return
                self._copy_up(shared, size, CancelToken())

    def _copy_is_needless(self, stream: NodeId, size: int) -> bool:
        """Whether a stream is in a file that may be written, or has that size already."""
        _, found = self.find(stream)
        if not isinstance(found.source, StagedFile) and size == self.source_size(found.source):
            return True
        return self.copy_up_size(stream, size) == 0

    def _cut(self, stream: NodeId, size: int) -> None:
        """Set the size of a stream of which nothing needs to be copied any more."""
        node, found = self.find(stream)
        self._refuse_changes(node, stream)
        source = found.source
        if not isinstance(source, StagedFile) and size == self.source_size(source):
            node = self._layer.node(node.id)
            edit = self._layer.edit()
            edit.put(self.stamp(node, self._layer.now()))
            self._layer.commit(edit)
            return
        if not isinstance(source, StagedFile) or source.number in self.open_streams.frozen:
            # Nothing of it is kept, or it is empty.
            source = StagedFile(self._files.new_number())
            self._publish(node, found, source)
        self._files.truncate(source.number, size)

    # Syncing

    def sync(self, number: NodeId) -> None:
        """Return when a node and its streams would survive a power cut. Blocks."""
        node = self._layer.nodes.get(self._layer.owner(number))
        self._layer.store.sync([] if node is None else node.staged_files())

    def _sync_stream(self, shared: SharedStream) -> None:
        self._layer.store.sync([shared.number])


class InlineFile:
    """tree.OpenFile over bytes in memory."""

    __slots__ = ("_data",)

    def __init__(self, data: bytes) -> None:
        self._data = data

    def read_nowait(self, offset: int, size: int) -> bytes:
        """Return up to ``size`` bytes at ``offset``."""
        return self._data[offset : offset + size]

    def read(self, offset: int, size: int) -> bytes:
        """Return up to ``size`` bytes at ``offset``."""
        return self._data[offset : offset + size]

    def close(self) -> None:
        """Do nothing."""
