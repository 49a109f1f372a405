# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: cdivision=True, embedsignature=True, freethreading_compatible=True
"""Writes dentries into a growing metadata resource."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_RawFree, PyMem_RawRealloc
from libc.stddef cimport size_t
from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from wimtui.engine.errors import InvalidNameError, LimitError, NameEncodingError

from wimtui.engine.image._names cimport collate_utf16le, utf16_from_wtf8

cdef enum:
    FIXED_NBYTES = 102
    ENTRY_NBYTES = 38
    MAX_NAME_UNITS = 32767
    MAX_ENTRIES = 65535
    DIRECTORY = 0x10
    REPARSE_POINT = 0x400
    ENCRYPTED = 0x4000


cdef inline void store16(uint8_t *p, uint32_t value) noexcept nogil:
    p[0] = <uint8_t> value
    p[1] = <uint8_t> (value >> 8)


cdef inline void store32(uint8_t *p, uint32_t value) noexcept nogil:
    store16(p, value)
    store16(p + 2, value >> 16)


cdef inline void store64(uint8_t *p, uint64_t value) noexcept nogil:
    store32(p, <uint32_t> value)
    store32(p + 4, <uint32_t> (value >> 32))


cdef inline size_t align8(size_t nbytes) noexcept nogil:
    return (nbytes + 7) & ~<size_t> 7


cdef class Emitter:
    """A metadata resource being written: security data first, then child lists."""

    cdef uint8_t *out
    cdef size_t nbytes
    cdef size_t capacity
    cdef uint16_t *units        # scratch for one name
    cdef object upcase_owner
    cdef const uint16_t *upcase

    def __cinit__(self, bytes security_data not None, bytes upcase_table not None):
        cdef size_t nbytes = PyBytes_GET_SIZE(security_data)
        if len(upcase_table) != 131072:
            raise ValueError("the upcase table has 65,536 units")
        self.upcase_owner = upcase_table
        self.upcase = <const uint16_t *> <const char *> upcase_table
        self.units = <uint16_t *> PyMem_RawRealloc(NULL, 2 * (MAX_NAME_UNITS + 1))
        if self.units == NULL:
            raise MemoryError
        self.reserve(align8(nbytes))
        memcpy(self.out, PyBytes_AS_STRING(security_data), nbytes)
        self.nbytes = align8(nbytes)

    def __dealloc__(self):
        PyMem_RawFree(self.out)
        PyMem_RawFree(self.units)

    cdef int reserve(self, size_t more) except -1:
        """Make room for ``more`` bytes, which are zero."""
        cdef size_t wanted = self.nbytes + more
        cdef uint8_t *grown
        if wanted > self.capacity:
            wanted = max(wanted, self.capacity + self.capacity // 2, <size_t> 65536)
            grown = <uint8_t *> PyMem_RawRealloc(self.out, wanted)
            if grown == NULL:
                raise MemoryError
            self.out = grown
            self.capacity = wanted
        memset(self.out + self.nbytes, 0, more)
        return 0

    cdef Py_ssize_t decode(self, bytes name) except -1:
        """Put a name's units into the scratch and return how many."""
        cdef Py_ssize_t count = utf16_from_wtf8(
            <uint8_t *> PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name), self.units,
            MAX_NAME_UNITS + 1)
        if count < 0:
            raise NameEncodingError(f"the name {name!r} is not UTF-8")
        if count > MAX_NAME_UNITS:
            raise LimitError(f"a name of more than {MAX_NAME_UNITS} UTF-16 units")
        return count

    cdef size_t append_name(self, bytes name, size_t at) except? 0xFFFFFFFF:
        """Write a name and its NUL where room is reserved; return its bytes without the NUL.

        A name takes at most twice as many bytes in UTF-16 as in WTF-8.
        """
        cdef Py_ssize_t count, i
        if name is None:
            raise TypeError("a name is bytes")
        if PyBytes_GET_SIZE(name) == 0:
            return 0
        count = self.decode(name)
        for i in range(count):
            store16(self.out + at + 2 * i, self.units[i])
        store16(self.out + at + 2 * count, 0)
        return 2 * count

    cdef int append_entry(self, bytes name, bytes sha1) except -1:
        cdef size_t start = self.nbytes, name_nbytes, length
        self.reserve(ENTRY_NBYTES + 2 + 2 * PyBytes_GET_SIZE(name) + 8)
        name_nbytes = self.append_name(name, start + ENTRY_NBYTES)
        length = align8(ENTRY_NBYTES + (name_nbytes + 2 if name_nbytes else 0))
        store64(self.out + start, length)
        memcpy(self.out + start + 16, PyBytes_AS_STRING(checked_sha1(sha1)), 20)
        store16(self.out + start + 36, <uint32_t> name_nbytes)
        self.nbytes = start + length
        return 0

    cdef int append_streams(self, uint32_t attributes, node, size_t start) except -1:
        """Write main hash or extra entries: all streams go to entries if there are two or more."""
        cdef bytes content = checked_sha1(node.content_sha1)
        cdef tuple named = node.named_streams
        cdef bint directory = attributes & DIRECTORY != 0
        cdef bint reparse = attributes & REPARSE_POINT != 0
        cdef size_t count
        if attributes & ENCRYPTED:
            named = ()
            reparse = False
            directory = False
        count = len(named)
        if reparse:
            count += 1 if directory else 2
        elif not directory:
            count += 1
        if count <= 1 and not named:
            if reparse or not directory:
                memcpy(self.out + start + 64, PyBytes_AS_STRING(content), 20)
            return 0
        if count > MAX_ENTRIES:
            raise LimitError(f"{count} streams; a file can have {MAX_ENTRIES}")
        store16(self.out + start + 96, <uint32_t> count)
        if reparse or not directory:
            self.append_entry(b"", content)
        if reparse and not directory:
            self.append_entry(b"", node.data_sha1)
        for name, sha1 in named:
            self.append_entry(name, sha1)
        return 0

    cdef size_t append_dentry(self, node, bint root) except 0:
        """Write one dentry with subdir offset 0; return where it begins."""
        cdef size_t start = self.nbytes, end, name_nbytes = 0, short_nbytes = 0
        cdef bytes name = b"" if root else node.name
        cdef bytes short_name = b"" if root else node.short_name
        cdef bytes tagged = node.tagged_items
        cdef uint32_t attributes = node.attributes
        cdef int32_t security_id = node.security_id
        cdef uint8_t *p
        self.reserve(FIXED_NBYTES + 2 * (PyBytes_GET_SIZE(name) + PyBytes_GET_SIZE(short_name))
                     + PyBytes_GET_SIZE(tagged) + 32)
        end = start + FIXED_NBYTES
        name_nbytes = self.append_name(name, end)
        if name_nbytes == 0 and not root:
            raise InvalidNameError("an entry of a directory has no name")
        end += name_nbytes + 2 if name_nbytes else 0
        short_nbytes = self.append_name(short_name, end)
        end += short_nbytes + 2 if short_nbytes else 0
        end = start + align8(end - start)
        memcpy(self.out + end, PyBytes_AS_STRING(tagged), PyBytes_GET_SIZE(tagged))
        end += align8(PyBytes_GET_SIZE(tagged))
        p = self.out + start
        store64(p, end - start)
        store32(p + 8, attributes)
        store32(p + 12, <uint32_t> security_id)
        store64(p + 40, node.creation_time)
        store64(p + 48, node.access_time)
        store64(p + 56, node.write_time)
        store32(p + 84, node.unknown_0x54)
        if attributes & REPARSE_POINT:
            store32(p + 88, node.reparse_tag)
            store16(p + 92, node.reparse_reserved)
            store16(p + 94, node.rp_flags)
        elif not attributes & DIRECTORY:
            store64(p + 88, node.group_id)
        store16(p + 98, <uint32_t> short_nbytes)
        store16(p + 100, <uint32_t> name_nbytes)
        self.nbytes = end
        self.append_streams(attributes, node, start)
        return start

    def add_root(self, node):
        """Write the root and its end marker; return its offset."""
        cdef size_t start = self.append_dentry(node, True)
        self.reserve(8)
        self.nbytes += 8
        return start

    def add_children(self, size_t parent_offset, list nodes not None):
        """Write a child list and point the parent at it.

        Returns:
            (node, offset) of each plain directory, in order; None, with nothing written, where
            the nodes are not in strict collation order.
        """
        cdef size_t begin = self.nbytes, start, previous = 0
        cdef list directories = []
        cdef uint8_t *p
        cdef uint8_t *q
        for node in nodes:
            start = self.append_dentry(node, False)
            if previous:
                p = self.out + previous
                q = self.out + start
                if collate_utf16le(
                    p + FIXED_NBYTES, (p[100] | p[101] << 8) // 2,
                    q + FIXED_NBYTES, (q[100] | q[101] << 8) // 2, self.upcase,
                ) >= 0:
                    self.nbytes = begin
                    return None
            previous = start
            if node.attributes & (DIRECTORY | REPARSE_POINT) == DIRECTORY:
                directories.append((node, start))
        self.reserve(8)
        self.nbytes += 8
        store64(self.out + parent_offset + 16, begin)
        return directories

    def getvalue(self):
        """Return the bytes written so far."""
        return PyBytes_FromStringAndSize(<char *> self.out, self.nbytes)


cdef bytes checked_sha1(bytes sha1):
    if sha1 is None or PyBytes_GET_SIZE(sha1) != 20:
        raise ValueError("a SHA-1 has 20 bytes")
    return sha1
