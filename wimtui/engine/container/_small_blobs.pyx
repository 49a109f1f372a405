# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# cython: embedsignature=True, freethreading_compatible=True
"""Blobs of one chunk: found, read and decoded with as little around the decoding as can be.

Most files of an image are smaller than a chunk. For them there is no chunk table to read and
nothing to read ahead; what was decoded is kept with the open blob, not in the chunk cache, because
the kernel keeps what it has read.
"""

import threading

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint64_t
from posix.unistd cimport off_t

from wimtui.engine.codecs.errors import CodecError
from wimtui.engine.errors import CorruptResourceError

cdef extern from "<unistd.h>" nogil:
    Py_ssize_t pread(int, void *, size_t, off_t)

cdef enum:
    LARGEST = 1 << 16
    RECENT_BLOBS = 1024
    IDLE_DECOMPRESSORS = 8


@cython.final
@cython.auto_pickle(False)
cdef class SmallBlob:
    """An open blob of one chunk; its decoded bytes stay with it. Safe to share between threads."""

    cdef SmallBlobs blobs
    cdef object lock
    cdef bytes data
    cdef uint64_t offset_in_wim
    cdef Py_ssize_t stored_size, size
    cdef readonly bint was_read
    """Whether anybody has read from it, or only had it loaded ahead."""

    def read_nowait(self, Py_ssize_t offset, Py_ssize_t size):
        """Return up to ``size`` bytes at ``offset``; decodes what is not in memory: 0.2 ms at most.

        Raises:
            CorruptResourceError: The chunk does not decode.
            TruncatedError: The file ends before.
            ReadFailedError: The operating system reports an error.
        """
        cdef bytes data
        if offset < 0 or size < 0:
            raise ValueError("a negative offset or size")
        with self.lock:
            self.was_read = True
            data = self._load()
        if offset == 0 and size >= self.size:
            return data
        if offset >= self.size:
            return b""
        return PyBytes_FromStringAndSize(
            PyBytes_AS_STRING(data) + offset, min(size, self.size - offset))

    read = read_nowait

    def load_ahead(self):
        """Decode now what will be read soon, unless another thread is at it; False if it fails."""
        if self.lock.acquire(False):
            try:
                self._load()
            except Exception:
                # The reader meets the error by itself.
                return False
            finally:
                self.lock.release()
        return True

    def close(self):
        """Do nothing: whoever opens the blob next finds it decoded, for a while."""

    cdef bytes _load(self):
        """Read and decode; the caller has the lock."""
        cdef bytes stored
        cdef char *room
        cdef int fd
        cdef Py_ssize_t done
        if self.data is not None:
            return self.data
        stored = PyBytes_FromStringAndSize(NULL, self.stored_size)
        room = PyBytes_AS_STRING(stored)
        fd = self.blobs.file.fileno()
        with nogil:
            done = pread(fd, room, self.stored_size, self.offset_in_wim)
        if done != self.stored_size:
            stored = self.blobs.file.read(
                self.offset_in_wim, self.stored_size, self._structure())
        if self.stored_size == self.size:
            self.data = stored
        else:
            self.data = self._decode(stored)
        return self.data

    cdef bytes _decode(self, bytes stored):
        cdef list idle = self.blobs.idle
        try:
            decompressor = idle.pop()
        except IndexError:
            decompressor = self.blobs.decompressors.take(self.blobs.codec, self.blobs.chunk_size)
        try:
            return decompressor.decompress(stored, self.size)
        except CodecError as error:
            raise CorruptResourceError(
                f"corrupt compressed data: {error}",
                path=self.blobs.file.path,
                structure=self._structure(),
                offset_in_file=self.offset_in_wim,
            ) from error
        finally:
            if len(idle) < IDLE_DECOMPRESSORS:
                idle.append(decompressor)

    cdef str _structure(self):
        return f"chunk 0 of the resource at {self.offset_in_wim - self.blobs.chunk_header_nbytes}"


@cython.final
@cython.auto_pickle(False)
cdef class SmallBlobs:
    """The blobs of one chunk of one WIM file; those opened last stay known."""

    cdef object file, index, codec, decompressors
    cdef Py_ssize_t chunk_size, chunk_header_nbytes
    cdef list idle
    cdef dict recent
    cdef Py_ssize_t recent_nbytes, most_nbytes

    def __init__(self, file, index, codec, Py_ssize_t chunk_size, decompressors, *,
                 bint is_pipable, Py_ssize_t recent_nbytes):
        """Open blobs of ``file``, whose non-solid resources have chunks of ``chunk_size``.

        Args:
            file: A FileBytes.
            index: The BlobIndex of its blob table.
            codec: The file's CodecId; chunks of 0 bytes stand for none.
            chunk_size: In bytes.
            decompressors: A DecompressorPool.
            is_pipable: Whether 4 bytes precede each chunk.
            recent_nbytes: How much of what was opened last stays known.
        """
        self.file = file
        self.index = index
        self.codec = codec
        self.chunk_size = chunk_size
        self.decompressors = decompressors
        self.chunk_header_nbytes = 4 if is_pipable else 0
        self.most_nbytes = recent_nbytes
        self.idle = []
        self.recent = {}

    def open(self, row):
        """Return the blob of a row; None if it is no blob of one chunk of at most 64 KiB.

        None as well where anything is odd about its place: the long way finds what.
        """
        cdef SmallBlob blob
        cdef uint64_t offset, stored_size, size
        known = self.recent.pop(row, None)
        if known is not None:
            self.recent[row] = known
            return known
        place = self.index.compressed_place(row)
        if place is None:
            return None
        offset, stored_size, size = place
        if size > <uint64_t> min(self.chunk_size, LARGEST):
            return None
        if stored_size <= <uint64_t> self.chunk_header_nbytes:
            return None
        stored_size -= self.chunk_header_nbytes
        if stored_size > size:
            return None
        blob = SmallBlob.__new__(SmallBlob)
        blob.blobs = self
        blob.lock = threading.Lock()
        blob.offset_in_wim = offset + self.chunk_header_nbytes
        blob.stored_size = stored_size
        blob.size = size
        self._remember(row, blob)
        return blob

    def forget(self):
        """Let go of all that was opened."""
        self.recent.clear()
        self.recent_nbytes = 0

    cdef int _remember(self, row, SmallBlob blob) except -1:
        cdef SmallBlob oldest
        self.recent[row] = blob
        self.recent_nbytes += blob.size
        while self.recent_nbytes > self.most_nbytes or len(self.recent) > RECENT_BLOBS:
            oldest = self.recent.pop(next(iter(self.recent)))
            self.recent_nbytes -= oldest.size
        return 0
