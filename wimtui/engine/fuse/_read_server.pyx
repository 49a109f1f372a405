# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# cython: embedsignature=True
"""Answers the kernel's requests to a tree that does not change, straight from the device.

One thread reads /dev/fuse and answers whatever memory can answer; worker threads decode, read
links and attributes, and reply by themselves. Nothing passes through libfuse.
"""

import errno
import os

from pyfuse3 import FUSEError

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memchr, memcpy, memset

from wimtui.engine.fuse._device cimport REQUEST_ROOM, WOKEN, receive, reply
from wimtui.engine.fuse._protocol cimport (
    FOPEN_CACHE_DIR, FOPEN_KEEP_CACHE, FUSE_ASYNC_READ, FUSE_BATCH_FORGET, FUSE_CACHE_SYMLINKS,
    FUSE_CREATE, FUSE_DESTROY, FUSE_DO_READDIRPLUS, FUSE_FALLOCATE, FUSE_FLUSH, FUSE_FORGET,
    FUSE_GETATTR, FUSE_GETXATTR, FUSE_INIT, FUSE_KERNEL_VERSION, FUSE_LINK, FUSE_LISTXATTR,
    FUSE_LOOKUP, FUSE_MAX_PAGES, FUSE_MKDIR, FUSE_MKNOD, FUSE_NAME_OFFSET_DIRENTPLUS,
    FUSE_NO_OPENDIR_SUPPORT, FUSE_NO_OPEN_SUPPORT, FUSE_OPEN, FUSE_OPENDIR, FUSE_PARALLEL_DIROPS,
    FUSE_READ, FUSE_READDIRPLUS, FUSE_READLINK, FUSE_RELEASE, FUSE_RELEASEDIR, FUSE_REMOVEXATTR,
    FUSE_RENAME, FUSE_RENAME2, FUSE_RMDIR, FUSE_SETATTR, FUSE_SETXATTR, FUSE_STATFS,
    FUSE_SYMLINK, FUSE_UNLINK, FUSE_WRITE, fuse_attr_out, fuse_direntplus, fuse_entry_out,
    fuse_getxattr_in, fuse_getxattr_out, fuse_in_header, fuse_init_in, fuse_init_out,
    fuse_open_in, fuse_open_out, fuse_read_in, fuse_release_in,
    fuse_statfs_out, set_attr,
)

cdef extern from "<fcntl.h>" nogil:
    enum:
        TRUNCATE "O_TRUNC"

cdef enum:
    REPLY_ROOM = 1 << 18
    # Kernels before 7.36 send no more of fuse_init_in.
    INIT_LEAST = 16
    MAX_PAGES = 256
    MAX_LISTINGS = 16
    MAX_RECENT_FILES = 256
    DOT_ENTRIES = 2

cdef dict NAMES = {
    FUSE_LOOKUP: "lookup", FUSE_FORGET: "forget", FUSE_BATCH_FORGET: "forget",
    FUSE_GETATTR: "getattr", FUSE_SETATTR: "setattr", FUSE_READLINK: "readlink",
    FUSE_SYMLINK: "symlink", FUSE_MKNOD: "mknod", FUSE_MKDIR: "mkdir", FUSE_UNLINK: "unlink",
    FUSE_RMDIR: "rmdir", FUSE_RENAME: "rename", FUSE_RENAME2: "rename", FUSE_LINK: "link",
    FUSE_OPEN: "open", FUSE_READ: "read", FUSE_WRITE: "write", FUSE_STATFS: "statfs",
    FUSE_RELEASE: "release", FUSE_SETXATTR: "setxattr", FUSE_GETXATTR: "getxattr",
    FUSE_LISTXATTR: "listxattr", FUSE_REMOVEXATTR: "removexattr", FUSE_FLUSH: "flush",
    FUSE_OPENDIR: "opendir", FUSE_READDIRPLUS: "readdir", FUSE_RELEASEDIR: "releasedir",
    FUSE_CREATE: "create", FUSE_FALLOCATE: "fallocate",
}
cdef frozenset CHANGES = frozenset((
    FUSE_SETATTR, FUSE_SYMLINK, FUSE_MKNOD, FUSE_MKDIR, FUSE_UNLINK, FUSE_RMDIR, FUSE_RENAME,
    FUSE_RENAME2, FUSE_LINK, FUSE_WRITE, FUSE_SETXATTR, FUSE_REMOVEXATTR, FUSE_CREATE,
    FUSE_FALLOCATE,
))

cdef tuple KERNEL_XATTRS = (b"security.", b"system.posix_acl_")


@cython.final
@cython.auto_pickle(False)
cdef class ReadServer:
    """The requests of one mount; ``serve`` runs in a thread of its own."""

    cdef int fd, wake_fd
    cdef object tree, activity, requests, failures, files, start, on_init
    cdef bint has_xattrs, opens_are_needed
    cdef uint64_t valid_seconds
    cdef uint32_t kernel_flags
    cdef bint initialised
    cdef char *request
    cdef char *answer
    cdef dict listings
    cdef dict recent

    def __cinit__(self, *arguments, **named):
        self.request = <char *> PyMem_Malloc(REQUEST_ROOM)
        self.answer = <char *> PyMem_Malloc(REPLY_ROOM)
        if self.request == NULL or self.answer == NULL:
            raise MemoryError
        self.listings = {}
        self.recent = {}

    def __init__(self, int fd, int wake_fd, operations, start, *, on_init,
                 bint opens_are_needed=True):
        """Serve ``fd``, a /dev/fuse that does not block, until the end or a byte on ``wake_fd``.

        Args:
            fd: The device.
            wake_fd: Becomes readable when ``serve`` shall return.
            operations: A ReadOperations: its tree, its counters, its open files.
            start: Runs a function with arguments on another thread.
            on_init: Called once the kernel has begun to ask.
            opens_are_needed: False where every file can be opened, so that the kernel need not
                ask: reading then begins without a request, and closing ends without one.
        """
        self.fd = fd
        self.wake_fd = wake_fd
        self.tree = operations.tree
        self.activity = operations.activity
        self.requests = operations.activity.requests
        self.failures = operations.failures
        self.files = operations.files
        self.start = start
        self.on_init = on_init
        self.has_xattrs = operations.has_xattrs
        self.opens_are_needed = opens_are_needed
        self.valid_seconds = <uint64_t> operations.timeout_seconds

    def __dealloc__(self):
        PyMem_Free(self.request)
        PyMem_Free(self.answer)

    def serve(self):
        """Answer until the mount ends (False) or ``wake_fd`` calls (True).

        Raises:
            OSError: The device fails.
        """
        cdef Py_ssize_t nbytes
        while True:
            with nogil:
                nbytes = receive(self.fd, self.wake_fd, self.request)
            if nbytes == WOKEN:
                return True
            if nbytes < 0:
                if -nbytes in (errno.ENODEV, errno.ECONNABORTED):
                    return False
                raise OSError(-nbytes, f"reading /dev/fuse: {os.strerror(-nbytes)}")
            if nbytes < <Py_ssize_t> sizeof(fuse_in_header):
                raise OSError(errno.EIO, f"a FUSE request of {nbytes} bytes")
            if self._answer(<fuse_in_header *> self.request, nbytes):
                return False

    def close(self):
        """Close the files that reading left open; the mount has ended."""
        for file in self.recent.values():
            file.close()
        self.recent.clear()
        self.listings.clear()

    cdef bint _answer(self, fuse_in_header *header, Py_ssize_t nbytes) except -1:
        """Answer one request; True if it was the last."""
        cdef char *body = <char *> header + sizeof(fuse_in_header)
        cdef Py_ssize_t room = nbytes - <Py_ssize_t> sizeof(fuse_in_header)
        cdef uint32_t opcode = header.opcode
        cdef uint64_t unique = header.unique
        name = NAMES.get(opcode)
        if name is not None:
            self.requests[name] += 1
        try:
            if opcode == FUSE_READ and room >= <Py_ssize_t> sizeof(fuse_read_in):
                self._read(header, <fuse_read_in *> body)
            elif opcode == FUSE_READDIRPLUS and room >= <Py_ssize_t> sizeof(fuse_read_in):
                self._read_directory(header, <fuse_read_in *> body)
            elif opcode == FUSE_LOOKUP and room > 0:
                self._lookup(header, body, room)
            elif opcode == FUSE_GETATTR:
                self._get_attributes(header)
            elif opcode == FUSE_OPEN and room >= <Py_ssize_t> sizeof(fuse_open_in):
                self._open(header, <fuse_open_in *> body)
            elif opcode == FUSE_RELEASE and room >= <Py_ssize_t> sizeof(fuse_release_in):
                self.files.remove((<fuse_release_in *> body).fh).close()
                self.send(unique, 0, NULL, 0)
            elif opcode == FUSE_FORGET or opcode == FUSE_BATCH_FORGET:
                pass
            elif opcode == FUSE_OPENDIR:
                self._open_directory(header)
            elif opcode == FUSE_RELEASEDIR:
                self.send(unique, 0, NULL, 0)
            elif opcode == FUSE_READLINK:
                self.start(self._reply_with, unique, "readlink", self.tree.read_link,
                           header.nodeid)
            elif opcode == FUSE_GETXATTR and room > <Py_ssize_t> sizeof(fuse_getxattr_in):
                self._get_xattr(header, <fuse_getxattr_in *> body, room)
            elif opcode == FUSE_LISTXATTR and room >= <Py_ssize_t> sizeof(fuse_getxattr_in):
                self._list_xattrs(header, <fuse_getxattr_in *> body)
            elif opcode == FUSE_STATFS:
                self.start(self._reply_usage, unique)
            elif opcode == FUSE_INIT and room >= INIT_LEAST:
                self._initialise(header, <fuse_init_in *> body)
            elif opcode == FUSE_DESTROY:
                self.send(unique, 0, NULL, 0)
                return True
            elif opcode in CHANGES:
                self.send(unique, errno.EROFS, NULL, 0)
            else:
                # Flush, fsync, access, interrupt, lseek...: the kernel then asks no more, and does
                # by itself what there is to do.
                self.send(unique, errno.ENOSYS, NULL, 0)
        except Exception as error:
            self._fail(unique, name or f"request {opcode}", error)
        return False

    cdef int _initialise(self, fuse_in_header *header, fuse_init_in *question) except -1:
        cdef fuse_init_out answer
        cdef size_t nbytes = sizeof(fuse_init_out)
        memset(&answer, 0, sizeof(answer))
        answer.major = FUSE_KERNEL_VERSION
        answer.minor = min(question.minor, <uint32_t> 38)
        if question.major > FUSE_KERNEL_VERSION:
            # The kernel asks again, in the version that it is told.
            self.send(header.unique, 0, <char *> &answer, nbytes)
            return 0
        if question.major < FUSE_KERNEL_VERSION or question.minor < 23:
            self.send(header.unique, errno.EPROTO, NULL, 0)
            return 0
        self.kernel_flags = question.flags
        answer.max_readahead = question.max_readahead
        answer.flags = question.flags & (
            FUSE_ASYNC_READ | FUSE_DO_READDIRPLUS | FUSE_PARALLEL_DIROPS | FUSE_MAX_PAGES
            | FUSE_CACHE_SYMLINKS
        )
        answer.max_write = 4096
        answer.time_gran = 1
        answer.max_pages = MAX_PAGES
        self.send(header.unique, 0, <char *> &answer, nbytes)
        if not self.initialised:
            self.initialised = True
            self.on_init()
        return 0

    # Names and attributes

    cdef int _lookup(self, fuse_in_header *header, char *name, Py_ssize_t room) except -1:
        cdef fuse_entry_out answer
        cdef char *end = <char *> memchr(name, 0, room)
        if end == NULL:
            self.send(header.unique, errno.EINVAL, NULL, 0)
            return 0
        memset(&answer, 0, sizeof(answer))
        answer.entry_valid = self.valid_seconds
        ino = self.tree.lookup(header.nodeid, PyBytes_FromStringAndSize(name, end - name))
        if ino is not None:
            answer.nodeid = ino
            answer.attr_valid = self.valid_seconds
            set_attr(&answer.attr, self.tree.attributes(ino))
        self.send(header.unique, 0, <char *> &answer, sizeof(answer))
        return 0

    cdef int _get_attributes(self, fuse_in_header *header) except -1:
        cdef fuse_attr_out answer
        memset(&answer, 0, sizeof(answer))
        answer.attr_valid = self.valid_seconds
        set_attr(&answer.attr, self.tree.attributes(header.nodeid))
        self.send(header.unique, 0, <char *> &answer, sizeof(answer))
        return 0

    def _reply_usage(self, uint64_t unique):
        cdef fuse_statfs_out answer
        memset(&answer, 0, sizeof(answer))
        try:
            usage = self.tree.usage()
            answer.st.bsize = usage.block_size
            answer.st.frsize = usage.block_size
            answer.st.blocks = usage.blocks
            answer.st.bfree = usage.blocks_free
            answer.st.bavail = usage.blocks_free
            answer.st.files = usage.files
            answer.st.ffree = usage.files_free
            answer.st.namelen = usage.name_max
            self.send(unique, 0, <char *> &answer, sizeof(answer))
        except Exception as error:
            self._fail(unique, "statfs", error)

    # Directories

    cdef int _open_directory(self, fuse_in_header *header) except -1:
        cdef fuse_open_out answer
        if self.kernel_flags & FUSE_NO_OPENDIR_SUPPORT:
            # Every directory can be opened, and none changes: the kernel keeps the listing.
            self.send(header.unique, errno.ENOSYS, NULL, 0)
            return 0
        memset(&answer, 0, sizeof(answer))
        answer.open_flags = FOPEN_KEEP_CACHE | FOPEN_CACHE_DIR
        self.send(header.unique, 0, <char *> &answer, sizeof(answer))
        return 0

    cdef list _listing(self, uint64_t ino, bint afresh):
        """Return the names of a directory; kept from one request to the next."""
        cdef list listing
        if not afresh:
            found = self.listings.get(ino)
            if found is not None:
                return found
        listing = self.tree.list_directory(ino)
        if len(self.listings) >= MAX_LISTINGS:
            del self.listings[next(iter(self.listings))]
        self.listings[ino] = listing
        return listing

    cdef int _read_directory(self, fuse_in_header *header, fuse_read_in *question) except -1:
        """Give out entries with their attributes until the kernel's buffer is full.

        The position is the index of the next entry; ``.`` and ``..`` are the entries 0 and 1.
        """
        cdef uint64_t ino = header.nodeid
        cdef uint64_t index = question.offset
        cdef size_t room = min(question.size, <uint32_t> REPLY_ROOM)
        cdef size_t used = 0
        cdef list listing = self._listing(ino, index == 0)
        cdef uint64_t count = len(listing) + DOT_ENTRIES
        cdef Py_ssize_t added
        while index < count:
            if index == 0:
                added = self._add_entry(used, room, b".", ino, 1, True)
            elif index == 1:
                added = self._add_entry(used, room, b"..", self.tree.parent(ino), 2, True)
            else:
                name, child = listing[index - DOT_ENTRIES]
                added = self._add_entry(used, room, name, child, index + 1, False)
            if added == 0:
                break
            used += added
            index += 1
        if index == count and used == 0:
            self.listings.pop(ino, None)
        self.send(header.unique, 0, self.answer, used)
        return 0

    cdef Py_ssize_t _add_entry(self, size_t used, size_t room, bytes name, uint64_t ino,
                               uint64_t next_index, bint is_dot) except -1:
        """Write one entry into the reply; 0 if there is no room."""
        cdef fuse_direntplus *entry = <fuse_direntplus *> (self.answer + used)
        cdef size_t name_nbytes = PyBytes_GET_SIZE(name)
        cdef size_t nbytes = (FUSE_NAME_OFFSET_DIRENTPLUS + name_nbytes + 7) & ~<size_t> 7
        if nbytes > room - used:
            return 0
        memset(entry, 0, nbytes)
        set_attr(&entry.entry_out.attr, self.tree.attributes(ino))
        if not is_dot:
            # With a node of 0 the kernel takes no reference.
            entry.entry_out.nodeid = ino
            entry.entry_out.entry_valid = self.valid_seconds
            entry.entry_out.attr_valid = self.valid_seconds
        entry.dirent.ino = ino
        entry.dirent.off = next_index
        entry.dirent.namelen = <uint32_t> name_nbytes
        entry.dirent.type = entry.entry_out.attr.mode >> 12 & 15
        memcpy(<char *> entry + FUSE_NAME_OFFSET_DIRENTPLUS, PyBytes_AS_STRING(name), name_nbytes)
        return nbytes

    # Files

    cdef int _open(self, fuse_in_header *header, fuse_open_in *question) except -1:
        cdef fuse_open_out answer
        if question.flags & 3 or question.flags & TRUNCATE:
            self.send(header.unique, errno.EROFS, NULL, 0)
            return 0
        if not self.opens_are_needed and self.kernel_flags & FUSE_NO_OPEN_SUPPORT:
            self.send(header.unique, errno.ENOSYS, NULL, 0)
            return 0
        memset(&answer, 0, sizeof(answer))
        answer.fh = self.files.add(header.nodeid, self.tree.open_file(header.nodeid))
        answer.open_flags = FOPEN_KEEP_CACHE
        self.send(header.unique, 0, <char *> &answer, sizeof(answer))
        return 0

    cdef object _file(self, uint64_t ino, uint64_t handle):
        """Return the open file: that of the handle, or without one the file opened last."""
        if handle:
            return self.files.get(handle)
        file = self.recent.get(ino)
        if file is None:
            file = self.tree.open_file(ino)
            if len(self.recent) >= MAX_RECENT_FILES:
                self.recent.pop(next(iter(self.recent))).close()
            self.recent[ino] = file
        return file

    cdef int _read(self, fuse_in_header *header, fuse_read_in *question) except -1:
        cdef uint64_t unique = header.unique
        cdef uint64_t offset = question.offset
        cdef uint32_t size = question.size
        file = self._file(header.nodeid, question.fh)
        data = file.read_nowait(offset, size)
        if data is None:
            self.start(self._read_slowly, unique, file, offset, size)
            return 0
        self.activity.inline_reads += 1
        self.activity.bytes_read += len(data)
        self.send_bytes(unique, data)
        return 0

    def _read_slowly(self, uint64_t unique, file, offset, size):
        try:
            data = file.read(offset, size)
            self.activity.bytes_read += len(data)
            self.send_bytes(unique, data)
        except Exception as error:
            self._fail(unique, "read", error)

    # Links and extended attributes

    def _reply_with(self, uint64_t unique, name, function, ino):
        try:
            self.send_bytes(unique, function(ino))
        except Exception as error:
            self._fail(unique, name, error)

    cdef int _get_xattr(self, fuse_in_header *header, fuse_getxattr_in *question,
                        Py_ssize_t room) except -1:
        cdef char *name = <char *> question + sizeof(fuse_getxattr_in)
        cdef char *end = <char *> memchr(name, 0, room - sizeof(fuse_getxattr_in))
        cdef bytes wanted
        if end == NULL:
            self.send(header.unique, errno.EINVAL, NULL, 0)
        elif not self.has_xattrs:
            self.send(header.unique, errno.ENOSYS, NULL, 0)
        else:
            wanted = PyBytes_FromStringAndSize(name, end - name)
            if wanted.startswith(KERNEL_XATTRS):
                self.send(header.unique, errno.ENODATA, NULL, 0)
            else:
                self.start(self._reply_xattr, header.unique, question.size, header.nodeid, wanted)
        return 0

    def _reply_xattr(self, uint64_t unique, uint32_t room, ino, name):
        try:
            self._send_attribute(unique, room, self.tree.get_xattr(ino, name))
        except Exception as error:
            self._fail(unique, "getxattr", error)

    cdef int _list_xattrs(self, fuse_in_header *header, fuse_getxattr_in *question) except -1:
        if not self.has_xattrs:
            self.send(header.unique, errno.ENOSYS, NULL, 0)
            return 0
        names = self.tree.list_xattrs(header.nodeid)
        self._send_attribute(
            header.unique, question.size, b"".join([name + b"\0" for name in names]))
        return 0

    cdef int _send_attribute(self, uint64_t unique, uint32_t room, bytes data) except -1:
        """Send a value, or its size where that is what was asked for."""
        cdef fuse_getxattr_out answer
        if room == 0:
            memset(&answer, 0, sizeof(answer))
            answer.size = <uint32_t> PyBytes_GET_SIZE(data)
            self.send(unique, 0, <char *> &answer, sizeof(answer))
        elif PyBytes_GET_SIZE(data) > room:
            self.send(unique, errno.ERANGE, NULL, 0)
        else:
            self.send_bytes(unique, data)
        return 0

    # Replies

    cdef int _fail(self, uint64_t unique, name, error) except -1:
        if type(error) is FUSEError:
            self.send(unique, error.errno, NULL, 0)
        else:
            self.send(unique, self.failures.translate(name, error).errno, NULL, 0)
        return 0

    cdef int send_bytes(self, uint64_t unique, bytes data) except -1:
        return self.send(unique, 0, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))

    cdef int send(self, uint64_t unique, int error, const char *data, size_t nbytes) except -1:
        """Reply. A request that the kernel has given up is no error."""
        cdef int problem
        with nogil:
            problem = reply(self.fd, unique, error, data, nbytes)
        if problem:
            raise OSError(problem, f"replying to the kernel: {os.strerror(problem)}")
        return 0
