# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: cdivision=True, embedsignature=True, freethreading_compatible=True
"""stat(2) answers straight from the columns, with the sizes found so far kept by inode."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree
from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from wimtui.engine.image._columns cimport (
    ATTRIBUTE_DIRECTORY, ATTRIBUTE_ENCRYPTED, ATTRIBUTE_REPARSE_POINT, FLAG_DIRECTORY,
    TYPE_DIRECTORY, TYPE_REGULAR, TYPE_SYMLINK, Columns, Dentry, Side, Tables, node_type,
)
from wimtui.engine.image._names cimport load_u32

cdef enum:
    TYPE_MASK = 0o170000
    UNIX_DATA_TAG = 0x337DD873

cdef struct Sizes:
    uint64_t size_plus_one      # 0: not known yet
    uint64_t blocks

cdef int64_t EPOCH_OFFSET_TICKS = 116_444_736_000_000_000
# Ticks of 1677 and 2262, beyond which nanoseconds since 1970 outgrow 64 bits.
cdef uint64_t NARROW_TICKS_FIRST = 24_220_000_000_000_000
cdef uint64_t NARROW_TICKS_LAST = 208_670_000_000_000_000


cdef object time_ns(uint64_t ticks):
    if NARROW_TICKS_FIRST < ticks < NARROW_TICKS_LAST:
        return (<int64_t> ticks - EPOCH_OFFSET_TICKS) * 100
    return (min(int(ticks), 0x7FFFFFFFFFFFFFFF) - EPOCH_OFFSET_TICKS) * 100


cdef bint is_zero(const uint8_t *sha1) noexcept nogil:
    cdef int i
    for i in range(20):
        if sha1[i]:
            return False
    return True


cdef const uint8_t *unix_data(Tables *t, const Dentry *row) noexcept nogil:
    """Return the first UNIX data item's 16 bytes, or NULL."""
    cdef Side *side
    cdef const uint8_t *item
    cdef uint64_t left, nbytes
    if row.side == 0:
        return NULL
    side = &t.sides[row.side - 1]
    item = t.tagged + side.tagged_offset
    left = side.tagged_nbytes
    while left >= 8:
        nbytes = load_u32(item + 4)
        if nbytes > left - 8:
            break
        if load_u32(item) == UNIX_DATA_TAG and nbytes >= 16:
            return item + 8
        nbytes = 8 + ((nbytes + 7) & ~<uint64_t> 7)
        if nbytes > left:
            break
        item += nbytes
        left -= nbytes
    return NULL


cdef class StatTable:
    """Makes node attributes; safe from several threads under the GIL."""

    cdef Columns columns
    cdef object node_attributes
    cdef object uid
    cdef object gid
    cdef uint32_t file_permissions
    cdef uint32_t directory_permissions
    cdef bint unix_data
    cdef Sizes *sizes

    def __init__(self, Columns columns not None, node_attributes, uid, gid,
                 uint32_t file_permissions, uint32_t directory_permissions, bint unix_data):
        self.columns = columns
        self.node_attributes = node_attributes
        self.uid = uid
        self.gid = gid
        self.file_permissions = file_permissions
        self.directory_permissions = directory_permissions
        self.unix_data = unix_data
        if self.sizes == NULL:
            self.sizes = <Sizes *> PyMem_RawCalloc(
                <size_t> columns.tables.inode_count + 1, sizeof(Sizes))
            if self.sizes == NULL:
                raise MemoryError

    def __dealloc__(self):
        PyMem_RawFree(self.sizes)

    def store(self, Py_ssize_t ino, uint64_t size, uint64_t blocks):
        """Remember size and blocks of 512 bytes for ``attributes``, and return them all."""
        cdef Dentry *row = self.columns.inode_row(ino)
        self.sizes[ino].size_plus_one = size + 1
        self.sizes[ino].blocks = blocks
        return self._make(row, ino, size, blocks)

    def attributes(self, Py_ssize_t ino):
        """Return the attributes, or None for no such inode or one of unknown size."""
        cdef Tables *t = &self.columns.tables
        cdef Dentry *row
        cdef uint64_t known
        if ino < 1 or ino > <Py_ssize_t> t.inode_count:
            return None
        row = &t.dentries[t.first_dentry[ino]]
        if row.flags & FLAG_DIRECTORY or row.attributes & ATTRIBUTE_ENCRYPTED:
            return self._make(row, ino, 0, 0)
        known = self.sizes[ino].size_plus_one
        if known == 0:
            if row.attributes & ATTRIBUTE_REPARSE_POINT or not is_zero(row.content.sha1):
                return None
            known = 1
        return self._make(row, ino, known - 1, self.sizes[ino].blocks)

    def plain_sha1(self, Py_ssize_t ino):
        """Return the data hash of a file without reparse or EFS data; None for any other node."""
        cdef Dentry *row
        if ino < 1 or ino > <Py_ssize_t> self.columns.tables.inode_count:
            return None
        row = self.columns.inode_row(ino)
        if row.attributes & (ATTRIBUTE_DIRECTORY | ATTRIBUTE_REPARSE_POINT | ATTRIBUTE_ENCRYPTED):
            return None
        return PyBytes_FromStringAndSize(<char *> row.content.sha1, 20)

    def data_hashes(self):
        """Return the hashes of all data that can be opened, 20 bytes each, empty ones left out.

        None where a file is encrypted, which cannot be opened.
        """
        cdef Tables *t = &self.columns.tables
        cdef Dentry *row
        cdef size_t ino, index
        cdef size_t used = 0
        cdef bytes hashes = PyBytes_FromStringAndSize(
            NULL, 20 * (<size_t> t.inode_count + t.stream_count))
        cdef char *room = PyBytes_AS_STRING(hashes)
        for ino in range(1, <size_t> t.inode_count + 1):
            row = &t.dentries[t.first_dentry[ino]]
            if row.attributes & ATTRIBUTE_DIRECTORY:
                continue
            if row.attributes & ATTRIBUTE_ENCRYPTED:
                return None
            if row.attributes & ATTRIBUTE_REPARSE_POINT == 0 and not is_zero(row.content.sha1):
                memcpy(room + used, row.content.sha1, 20)
                used += 20
        for index in range(t.stream_count):
            if not is_zero(t.streams[index].sha1):
                memcpy(room + used, t.streams[index].sha1, 20)
                used += 20
        return hashes[:used]

    def with_size(self, Py_ssize_t ino, uint64_t size, uint64_t blocks):
        """Return the attributes with that size, which is not remembered."""
        return self._make(self.columns.inode_row(ino), ino, size, blocks)

    cdef object _make(self, Dentry *row, Py_ssize_t ino, uint64_t size, uint64_t blocks):
        cdef uint32_t mode = node_type(row), stored, rdev = 0
        cdef const uint8_t *item = NULL
        cdef object uid = self.uid, gid = self.gid, written
        cdef uint32_t links = 1
        if self.unix_data:
            item = unix_data(&self.columns.tables, row)
        if item != NULL:
            uid = load_u32(item)
            gid = load_u32(item + 4)
            stored = load_u32(item + 8)
            # What the tree can do with a node decides first: only a regular file may be a device,
            # a FIFO or a socket instead.
            if mode == TYPE_REGULAR and stored & TYPE_MASK in (
                    0o010000, 0o020000, 0o060000, 0o140000):
                mode = stored & TYPE_MASK
                rdev = load_u32(item + 12)
            mode |= stored & 0o7777
        elif mode == TYPE_SYMLINK:
            mode |= 0o777
        elif mode == TYPE_DIRECTORY:
            mode |= self.directory_permissions
        else:
            mode |= self.file_permissions
        if mode & TYPE_MASK != TYPE_DIRECTORY:
            links = self.columns.tables.link_counts[ino]
        written = time_ns(row.write_time)
        return tuple.__new__(self.node_attributes, (
            ino, mode, links, uid, gid, rdev, size, blocks,
            time_ns(row.access_time), written, written,
        ))
