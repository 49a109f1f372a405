# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: cdivision=True, embedsignature=True, freethreading_compatible=True
"""One image's dentries, inodes and streams as packed rows, with lookup by name.

Dentry 0 is the root; the children of a directory are consecutive and in NTFS collation order.
Inode numbers count from 1 in pre-order of first names, so the root's is 1.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_RawFree
from libc.stdlib cimport abs
from libc.string cimport memcmp, memcpy

from wimtui.engine.image._names cimport (
    collate_native, fold, hash_native, utf16_from_wtf8,
)

cdef enum:
    MAX_NAME = 1024     # longer names are hidden, so no lookup finds them

cdef const char *ZERO = (
    b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
)


cdef class Columns:
    """Rows filled once by ``scan``; read-only and safe to read from several threads.

    Dentry 0 is the root; a directory's children are consecutive, in NTFS collation order. Inode
    numbers count from 1 in pre-order of first names. Accessors raise IndexError out of range.
    """

    def __dealloc__(self):
        PyMem_RawFree(self.tables.dentries)
        PyMem_RawFree(self.tables.first_dentry)
        PyMem_RawFree(self.tables.link_counts)
        PyMem_RawFree(self.tables.names)
        PyMem_RawFree(self.tables.sides)
        PyMem_RawFree(self.tables.streams)
        PyMem_RawFree(self.tables.tagged)
        PyMem_RawFree(self.tables.slots)

    cdef Dentry *row(self, Py_ssize_t dentry) except NULL:
        if dentry < 0 or dentry >= <Py_ssize_t> self.tables.dentry_count:
            raise IndexError(f"no dentry {dentry} among {self.tables.dentry_count}")
        return &self.tables.dentries[dentry]

    cdef Dentry *inode_row(self, Py_ssize_t ino) except NULL:
        if ino < 1 or ino > <Py_ssize_t> self.tables.inode_count:
            raise IndexError(f"no inode {ino} among {self.tables.inode_count}")
        return &self.tables.dentries[self.tables.first_dentry[ino]]

    cdef Side *side(self, Dentry *row) noexcept:
        if row.side == 0:
            return NULL
        return &self.tables.sides[row.side - 1]

    @property
    def dentry_count(self):
        return self.tables.dentry_count

    @property
    def inode_count(self):
        return self.tables.inode_count

    @property
    def stream_count(self):
        """Return the number of rows ``stream`` takes."""
        return self.tables.stream_count

    @property
    def nbytes(self):
        """Return the resident bytes of all rows and pools."""
        cdef Tables *t = &self.tables
        return (
            t.dentry_count * sizeof(Dentry) + (t.inode_count + 1) * 8 + t.names_nbytes
            + t.side_count * sizeof(Side) + t.stream_count * sizeof(StreamRow)
            + t.tagged_nbytes + (t.slot_mask + 1) * 4
        )

    def first_dentry(self, Py_ssize_t ino):
        self.inode_row(ino)
        return self.tables.first_dentry[ino]

    def link_count(self, Py_ssize_t ino):
        """Return the number of dentries of an inode, hidden ones included."""
        self.inode_row(ino)
        return self.tables.link_counts[ino]

    def ino(self, Py_ssize_t dentry):
        return self.row(dentry).ino

    def parent(self, Py_ssize_t dentry):
        """Return the dentry of the directory; the root's is itself."""
        return self.row(dentry).parent

    def name(self, Py_ssize_t dentry):
        """Return the long name in WTF-8; empty for the root."""
        cdef Dentry *row = self.row(dentry)
        return PyBytes_FromStringAndSize(
            <char *> self.tables.names + row.name_offset, row.name_nbytes)

    def path(self, Py_ssize_t dentry):
        """Return the path from the root, which is ``/``."""
        cdef Dentry *row = self.row(dentry)
        cdef Dentry *dentries = self.tables.dentries
        cdef Dentry *step = row
        cdef size_t nbytes = 0
        cdef bytes path
        cdef char *end
        if dentry == 0:
            return b"/"
        while step != dentries:
            nbytes += step.name_nbytes + <size_t> 1
            step = &dentries[step.parent]
        path = PyBytes_FromStringAndSize(NULL, nbytes)
        end = PyBytes_AS_STRING(path) + nbytes
        step = row
        while step != dentries:
            end -= step.name_nbytes
            memcpy(end, self.tables.names + step.name_offset, step.name_nbytes)
            end -= 1
            end[0] = 47
            step = &dentries[step.parent]
        return path

    def short_name(self, Py_ssize_t dentry):
        """Return the 8.3 name in WTF-8, empty if there is none."""
        cdef Dentry *row = self.row(dentry)
        return PyBytes_FromStringAndSize(
            <char *> self.tables.names + row.name_offset + row.name_nbytes,
            row.short_name_nbytes)

    def attributes(self, Py_ssize_t dentry):
        return self.row(dentry).attributes

    def security_id(self, Py_ssize_t dentry):
        """Return the index of the descriptor, or -1."""
        return self.row(dentry).security_id

    def times(self, Py_ssize_t dentry):
        """Return creation, last access and last write in ticks."""
        cdef Dentry *row = self.row(dentry)
        return row.creation_time, row.access_time, row.write_time

    def offset_in_metadata(self, Py_ssize_t dentry):
        return self.row(dentry).offset_in_metadata

    def is_directory(self, Py_ssize_t dentry):
        """Return whether it can have children: DIRECTORY without REPARSE_POINT."""
        return self.row(dentry).flags & FLAG_DIRECTORY != 0

    def node_type(self, Py_ssize_t dentry):
        """Return S_IFDIR, S_IFLNK or S_IFREG; an opaque reparse point may be a directory too."""
        return node_type(self.row(dentry))

    def is_hidden(self, Py_ssize_t dentry):
        """Return whether Linux cannot hold the name, so that listings leave it out."""
        return self.row(dentry).flags & FLAG_HIDDEN != 0

    def children(self, Py_ssize_t dentry):
        """Return the first child's dentry and their number; (0, 0) for what is no directory."""
        cdef Dentry *row = self.row(dentry)
        if row.flags & FLAG_DIRECTORY == 0:
            return 0, 0
        return row.content.children.first, row.content.children.count

    def content_sha1(self, Py_ssize_t dentry):
        """Return the hash of the reparse data, the EFS data or the unnamed data, in that order."""
        cdef Dentry *row = self.row(dentry)
        if row.flags & FLAG_DIRECTORY:
            return bytes(20)
        return PyBytes_FromStringAndSize(<char *> row.content.sha1, 20)

    def reparse_fields(self, Py_ssize_t dentry):
        """Return tag, reserved field and rp_flags; zeros for what is no reparse point."""
        cdef Dentry *row = self.row(dentry)
        if row.attributes & ATTRIBUTE_REPARSE_POINT == 0:
            return 0, 0, 0
        return (
            <uint32_t> row.group_or_reparse,
            <uint16_t> (row.group_or_reparse >> 32),
            <uint16_t> (row.group_or_reparse >> 48),
        )

    def group_id(self, Py_ssize_t dentry):
        """Return the hard-link group id as stored; 0 for a reparse point."""
        cdef Dentry *row = self.row(dentry)
        return 0 if row.attributes & ATTRIBUTE_REPARSE_POINT else row.group_or_reparse

    def has_side(self, Py_ssize_t dentry):
        """Return whether it has stream rows, tagged items or a value at 0x54."""
        return self.row(dentry).side != 0

    def unknown_0x54(self, Py_ssize_t dentry):
        cdef Side *side = self.side(self.row(dentry))
        return 0 if side == NULL else side.unknown_0x54

    def tagged_items(self, Py_ssize_t dentry):
        cdef Side *side = self.side(self.row(dentry))
        if side == NULL:
            return b""
        return PyBytes_FromStringAndSize(
            <char *> self.tables.tagged + side.tagged_offset, side.tagged_nbytes)

    def stream_range(self, Py_ssize_t dentry):
        """Return the first stream row and their number."""
        cdef Side *side = self.side(self.row(dentry))
        if side == NULL:
            return 0, 0
        return side.first_stream, side.stream_count

    def stream(self, Py_ssize_t index):
        """Return (kind, name, SHA-1); kind 0: a reparse point's unnamed data, 1: a named stream."""
        cdef StreamRow *row
        if index < 0 or index >= <Py_ssize_t> self.tables.stream_count:
            raise IndexError(f"no stream {index} among {self.tables.stream_count}")
        row = &self.tables.streams[index]
        return (
            <int> row.kind,
            PyBytes_FromStringAndSize(<char *> self.tables.names + row.name_offset,
                                      row.name_nbytes),
            PyBytes_FromStringAndSize(<char *> row.sha1, 20),
        )

    def stream_owner(self, Py_ssize_t index):
        """Return the inode number, or 0 for a stream of a name that is not an inode's first."""
        if index < 0 or index >= <Py_ssize_t> self.tables.stream_count:
            raise IndexError(f"no stream {index} among {self.tables.stream_count}")
        return self.tables.streams[index].owner

    def stream_hashes(self, Py_ssize_t ino):
        """Return the hashes of all streams of an inode, empty ones left out."""
        cdef Dentry *row = self.inode_row(ino)
        cdef Side *side = self.side(row)
        cdef uint32_t i
        cdef list hashes = []
        if row.flags & FLAG_DIRECTORY == 0 and memcmp(row.content.sha1, ZERO, 20):
            hashes.append(PyBytes_FromStringAndSize(<char *> row.content.sha1, 20))
        if side != NULL:
            for i in range(side.first_stream, side.first_stream + side.stream_count):
                if memcmp(self.tables.streams[i].sha1, ZERO, 20):
                    hashes.append(
                        PyBytes_FromStringAndSize(<char *> self.tables.streams[i].sha1, 20))
        return hashes

    def warning_counts(self):
        cdef int i
        return [self.tables.warning_counts[i] for i in range(WARNING_KINDS)]

    def warning_examples(self):
        """Return up to 64 of (kind, dentry of the directory, offset in the metadata)."""
        cdef uint32_t i
        return [
            (self.tables.warnings[i].kind, self.tables.warnings[i].parent,
             self.tables.warnings[i].offset_in_metadata)
            for i in range(self.tables.warning_count)
        ]

    def next_in_preorder(self, Py_ssize_t dentry, bint descend=True):
        """Return the dentry after this one (after its subtree if not ``descend``), or -1."""
        cdef Dentry *row = self.row(dentry)
        cdef Dentry *parent
        cdef uint32_t index = <uint32_t> dentry
        if descend and row.flags & FLAG_DIRECTORY and row.content.children.count:
            return row.content.children.first
        while index != 0:
            row = &self.tables.dentries[index]
            parent = &self.tables.dentries[row.parent]
            if index + 1 < parent.content.children.first + parent.content.children.count:
                return index + 1
            index = row.parent
        return -1

    def list_children(self, Py_ssize_t dentry):
        """Return visible names and inode numbers, or None for what is no directory."""
        cdef Dentry *row = self.row(dentry)
        cdef Dentry *child
        cdef uint32_t i
        cdef list names = []
        if row.flags & FLAG_DIRECTORY == 0:
            return None
        for i in range(row.content.children.count):
            child = &self.tables.dentries[row.content.children.first + i]
            if child.flags & FLAG_HIDDEN == 0:
                names.append((
                    PyBytes_FromStringAndSize(
                        <char *> self.tables.names + child.name_offset, child.name_nbytes),
                    child.ino,
                ))
        return names

    def lookup(self, Py_ssize_t dentry, bytes name not None, bint ignore_case=False):
        """Return the child's dentry or -1. An exact match goes before one in another case."""
        cdef Dentry *row = self.row(dentry)
        if row.flags & FLAG_DIRECTORY == 0:
            return -1
        return self.find(<uint32_t> dentry, <uint8_t *> PyBytes_AS_STRING(name),
                         <size_t> PyBytes_GET_SIZE(name), ignore_case)

    def lookup_ino(self, Py_ssize_t ino, bytes name not None, bint ignore_case=False):
        """Return the child's inode number; -1 not found, -2 no directory, -3 no such inode."""
        cdef Tables *t = &self.tables
        cdef Py_ssize_t found
        cdef uint32_t dentry
        if ino < 1 or ino > <Py_ssize_t> t.inode_count:
            return -3
        dentry = t.first_dentry[ino]
        if t.dentries[dentry].flags & FLAG_DIRECTORY == 0:
            return -2
        found = self.find(dentry, <uint8_t *> PyBytes_AS_STRING(name),
                          <size_t> PyBytes_GET_SIZE(name), ignore_case)
        return -1 if found < 0 else t.dentries[found].ino

    cdef Py_ssize_t find(self, uint32_t parent, const uint8_t *name, size_t nbytes,
                         bint ignore_case) noexcept nogil:
        """Return the child's dentry index or -1; an exact match goes before one in another case."""
        cdef uint16_t units[MAX_NAME]
        cdef uint16_t other[MAX_NAME + 1]
        cdef Tables *t = &self.tables
        cdef Dentry *row
        cdef Py_ssize_t count, other_count
        cdef uint32_t hash, index
        cdef size_t slot
        if nbytes == 0 or nbytes > MAX_NAME:
            return -1
        count = utf16_from_wtf8(name, nbytes, units, MAX_NAME)
        if count < 0:
            return -1
        hash = hash_native(units, count, t.upcase, t.secret)
        slot = fold(hash ^ <uint64_t> parent << 32, t.secret | 1) & t.slot_mask
        while t.slots[slot]:
            index = t.slots[slot] - 1
            slot = (slot + 1) & t.slot_mask
            row = &t.dentries[index]
            if row.name_hash != hash or row.parent != parent:
                continue
            if (row.name_nbytes == nbytes
                    and memcmp(t.names + row.name_offset, name, nbytes) == 0):
                return index
            other_count = utf16_from_wtf8(
                t.names + row.name_offset, row.name_nbytes, other, MAX_NAME + 1)
            if abs(collate_native(units, count, other, other_count, t.upcase)) > 1:
                continue
            return self._find_in_run(index, units, count, name, nbytes, ignore_case)
        return -1

    cdef Py_ssize_t _find_in_run(
        self, uint32_t head, uint16_t *units, Py_ssize_t count, const uint8_t *name,
        size_t nbytes, bint ignore_case,
    ) noexcept nogil:
        """Look among siblings that differ only in case; the first visible one is ``head``.

        A binary search to the end of the directory, since a hostile image can hold millions.
        """
        cdef uint16_t other[MAX_NAME + 1]
        cdef Tables *t = &self.tables
        cdef Dentry *parent = &t.dentries[t.dentries[head].parent]
        cdef uint32_t low = head + 1, middle
        cdef uint32_t high = parent.content.children.first + parent.content.children.count
        cdef Dentry *row
        cdef Py_ssize_t other_count
        cdef int order
        if low < high and t.dentries[low].flags & FLAG_SAME_NAME:
            while low < high:
                middle = low + (high - low) // 2
                row = &t.dentries[middle]
                other_count = utf16_from_wtf8(
                    t.names + row.name_offset, row.name_nbytes, other, count + 1)
                order = collate_native(units, count, other, other_count, t.upcase)
                if order == 0:
                    if (row.flags & FLAG_HIDDEN == 0 and row.name_nbytes == nbytes
                            and memcmp(t.names + row.name_offset, name, nbytes) == 0):
                        return middle
                    break
                if order < 0:
                    high = middle
                else:
                    low = middle + 1
        return head if ignore_case else -1
