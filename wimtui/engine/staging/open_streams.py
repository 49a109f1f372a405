"""Streams that are open: what the handles of one stream share, and the handles."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from typing import TYPE_CHECKING, Final

from wimtui.engine.staging.staged_files import TIMES_SET_NS, write_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from wimtui.engine.staging.node import NodeId
    from wimtui.engine.staging.staged_files import StagedFiles
    from wimtui.engine.tree import OpenFile

_NOT_CACHED: Final = (errno.EAGAIN, errno.EOPNOTSUPP, errno.EINVAL)


class WriteGate:
    """Lets writes through, until somebody needs a moment without any."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._writing = 0
        self._closed = False

    def enter(self) -> None:
        """Wait until the gate is open, and count as writing."""
        with self._changed:
            while self._closed:
                self._changed.wait()
            self._writing += 1

    def leave(self) -> None:
        """Count as writing no more."""
        with self._changed:
            self._writing -= 1
            if self._closed:
                self._changed.notify_all()

    @contextlib.contextmanager
    def closed(self) -> Iterator[None]:
        """Let nobody write meanwhile; waits for writes under way, which are short."""
        with self._changed:
            self._closed = True
            while self._writing:
                self._changed.wait()
        try:
            yield
        finally:
            with self._changed:
                self._closed = False
                self._changed.notify_all()


class SharedStream:
    """The staged file behind the open handles of one stream, once there is one."""

    __slots__ = ("descriptor", "id", "number", "users", "writers")

    def __init__(self, number: NodeId) -> None:
        self.id = number
        self.descriptor = -1
        """Of the staged file, or -1 while the stream is the base image's."""
        self.number = 0
        """Of the staged file."""
        self.users = 0
        self.writers = 0


class OpenStreams:
    """Every stream that is open, by its number. Used under the overlay's lock.

    Attributes:
        frozen: Numbers of staged files that a snapshot reads, which must not change.
    """

    def __init__(self, files: StagedFiles) -> None:
        self._files = files
        self._streams: dict[NodeId, SharedStream] = {}
        self.frozen: frozenset[int] = frozenset()
        self.gate = WriteGate()

    def acquire(self, stream: NodeId, number: int | None, *, for_writing: bool) -> SharedStream:
        """Return what the handles of a stream share, with one user more; opens a staged file."""
        shared = self._streams.get(stream)
        if shared is None:
            shared = SharedStream(stream)
            if number is not None:
                shared.descriptor = self._open(number)
                shared.number = number
            self._streams[stream] = shared
        shared.users += 1
        shared.writers += for_writing
        return shared

    def _open(self, number: int) -> int:
        """Open a staged file; one that nobody has written to gets no time from being made."""
        is_missing = self._files.status(number) is None
        descriptor = self._files.open(number)
        if is_missing:
            os.utime(descriptor, ns=(TIMES_SET_NS, TIMES_SET_NS))
        return descriptor

    def release(self, shared: SharedStream, *, for_writing: bool) -> bool:
        """Take a user away; returns whether nobody writes the stream any more."""
        shared.users -= 1
        shared.writers -= for_writing
        if shared.users == 0:
            if self._streams.get(shared.id) is shared:
                del self._streams[shared.id]
            if shared.descriptor >= 0:
                os.close(shared.descriptor)
                shared.descriptor = -1
        return for_writing and shared.writers == 0

    @contextlib.contextmanager
    def switching(self, stream: NodeId, number: int) -> Iterator[None]:
        """Have the handles of a stream use another file once the body has succeeded.

        The file is opened before, so that what can fail fails while nothing has changed.
        """
        shared = self._streams.get(stream)
        if shared is None:
            yield
            return
        descriptor = self._open(number)
        try:
            yield
        except BaseException:
            os.close(descriptor)
            raise
        _use(shared, number, descriptor)

    def detach(self, stream: NodeId) -> None:
        """Leave the handles of a stream with what they read; later ones share nothing with them."""
        self._streams.pop(stream, None)

    def written(self) -> set[NodeId]:
        """Return the streams that are open for writing."""
        return {number for number, shared in self._streams.items() if shared.writers}

    def renumber(self, numbers: dict[NodeId, NodeId]) -> None:
        """Give streams the numbers that they have over another base image."""
        streams = self._streams
        self._streams = {}
        for shared in streams.values():
            shared.id = numbers.get(shared.id, shared.id)
            self._streams[shared.id] = shared

    def __len__(self) -> int:
        return len(self._streams)


def _use(shared: SharedStream, number: int, descriptor: int) -> None:
    if shared.descriptor < 0:
        shared.descriptor = descriptor
    else:
        # A read under way in another thread keeps a valid descriptor, and the same bytes.
        os.dup2(descriptor, shared.descriptor, inheritable=False)
        os.close(descriptor)
    shared.number = number


class StreamReader:
    """tree.OpenFile of a stream: the base image's data until there is a staged file."""

    def __init__(
        self,
        shared: SharedStream,
        base: OpenFile | None,
        on_close: Callable[[SharedStream, bool], None],
    ) -> None:
        self._shared = shared
        self._base = base
        self._on_close = on_close
        self._for_writing = False

    def read_nowait(self, offset: int, size: int) -> bytes | None:
        """Return up to ``size`` bytes at ``offset`` if they are in memory."""
        descriptor = self._shared.descriptor
        if descriptor < 0:
            return b"" if self._base is None else self._base.read_nowait(offset, size)
        buffer = bytearray(size)
        try:
            count = os.preadv(descriptor, [buffer], offset, os.RWF_NOWAIT)
        except OSError as error:
            if error.errno in _NOT_CACHED:
                return None
            raise
        if count == size:
            return bytes(buffer)
        # Short: the end of the file, or the end of what is in memory.
        if offset + count >= os.fstat(descriptor).st_size:
            return bytes(buffer[:count])
        return None

    def read(self, offset: int, size: int) -> bytes:
        """Return up to ``size`` bytes at ``offset``; may block. Raises OSError, WimError."""
        descriptor = self._shared.descriptor
        if descriptor < 0:
            return b"" if self._base is None else self._base.read(offset, size)
        data = os.pread(descriptor, size, offset)
        while data and len(data) < size:
            more = os.pread(descriptor, size - len(data), offset + len(data))
            if not more:
                break
            data += more
        return data

    def close(self) -> None:
        """Give up the handle."""
        if self._base is not None:
            self._base.close()
            self._base = None
        self._on_close(self._shared, self._for_writing)


class StreamWriter(StreamReader):
    """tree.WritableFile of a stream whose data is staged."""

    def __init__(
        self,
        shared: SharedStream,
        on_close: Callable[[SharedStream, bool], None],
        streams: OpenStreams,
        before_write: Callable[[SharedStream], None],
        on_sync: Callable[[SharedStream], None],
    ) -> None:
        super().__init__(shared, None, on_close)
        self._for_writing = True
        self._streams = streams
        self._before_write = before_write
        self._on_sync = on_sync

    def write_nowait(self, offset: int, data: bytes) -> int | None:
        """Write like ``write``, or return None where the file must be copied aside first."""
        if self._shared.number in self._streams.frozen:
            return None
        return self.write(offset, data)

    def write(self, offset: int, data: bytes) -> int:
        """Write all of ``data`` at ``offset``. Raises OSError; may block."""
        gate = self._streams.gate
        while True:
            self._before_write(self._shared)
            gate.enter()
            try:
                if self._shared.number in self._streams.frozen:
                    continue
                write_all(self._shared.descriptor, offset, data)
                return len(data)
            finally:
                gate.leave()

    def sync(self, *, data_only: bool) -> None:
        """Return when what was written would survive a power cut. Blocks. Raises OSError."""
        self._on_sync(self._shared)
