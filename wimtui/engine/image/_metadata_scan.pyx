# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: cdivision=True, embedsignature=True, freethreading_compatible=True
"""One iterative pass over a decoded metadata resource: dentry tree to columns.

Directories are expanded in pre-order, each child list read, sorted and stripped of duplicates
before the walk goes on. A bitmap of consumed 8-byte units refuses shared, overlapping and cyclic
child lists, which bounds work and memory by the size of the resource.
"""

import os

from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree, PyMem_RawRealloc
from libc.stddef cimport size_t
from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memchr, memset

from wimtui.engine.image._columns cimport (
    ATTRIBUTE_DIRECTORY, ATTRIBUTE_REPARSE_POINT, FLAG_DIRECTORY, FLAG_HIDDEN, FLAG_SYNTHETIC,
    Columns, Dentry, Side, StreamRow, Tables,
)
from wimtui.engine.image._names cimport hash_utf16le, load_u16, load_u32, load_u64
from wimtui.engine.image._scan_order cimport assign_inode, build_index, order_children
from wimtui.engine.image._scan_state cimport (
    DENTRY_LENGTH, DENTRY_TRUNCATED, FIXED_NBYTES, MAX_DEPTH, MAX_HOST_NAME, NAME_LENGTH_ODD,
    NO_END_MARKER, NO_MEMORY, OK, OVERLAP, ROOT_MISSING_BYTES, ROOT_NOT_DIRECTORY,
    STREAM_FIXED_NBYTES, STREAM_LENGTH, STREAM_TRUNCATED, SUBDIR_OUT_OF_RANGE, TOO_DEEP,
    WARN_CHILDREN_IGNORED, WARN_NAME_DOTS, WARN_NAME_EMPTY, WARN_NAME_LONG, WARN_NAME_NUL,
    WARN_NAME_SLASH, WARN_ROOT_MISSING, WARN_ROOT_NAMED, WARN_SECURITY_ID, Item, Scan, consume,
    fail, grow_rows, warn,
)
from wimtui.engine.image._scan_streams cimport add_name, keep_tagged, read_streams


cdef int read_item(Scan *s, size_t start, Item *item) noexcept nogil:
    """Check one dentry's lengths and those of its stream entries."""
    cdef const uint8_t *p = s.data + start
    cdef size_t left = s.nbytes - start, needed = FIXED_NBYTES
    cdef uint64_t length
    cdef int status
    if left < FIXED_NBYTES:
        return fail(s, DENTRY_TRUNCATED, start)
    length = load_u64(p)
    if length > left:
        return fail(s, DENTRY_TRUNCATED, start)
    item.start = start
    item.stated_end = start + length
    item.stream_count = load_u16(p + 96)
    item.short_nbytes = load_u16(p + 98)
    item.name_nbytes = load_u16(p + 100)
    if (item.short_nbytes | item.name_nbytes) & 1:
        return fail(s, NAME_LENGTH_ODD, start)
    if item.name_nbytes:
        needed += item.name_nbytes + <size_t> 2
    if item.short_nbytes:
        needed += item.short_nbytes + <size_t> 2
    length = (length + 7) & ~<uint64_t> 7
    if length > left:
        return fail(s, DENTRY_TRUNCATED, start)
    if length < needed:
        return fail(s, DENTRY_LENGTH, start)
    item.end_of_dentry = start + length
    item.end = item.end_of_dentry
    if item.stream_count:
        status = check_streams(s, item)
        if status:
            return status
    if not consume(s, start, item.end):
        return fail(s, OVERLAP, start)
    return OK


cdef int check_streams(Scan *s, Item *item) noexcept nogil:
    cdef size_t offset = item.end_of_dentry, left
    cdef uint64_t length
    cdef uint16_t name_nbytes
    cdef uint32_t _i
    for _i in range(item.stream_count):
        left = s.nbytes - offset
        if left < STREAM_FIXED_NBYTES:
            return fail(s, STREAM_TRUNCATED, offset)
        length = load_u64(s.data + offset)
        name_nbytes = load_u16(s.data + offset + 36)
        if length > left or ((length + 7) & ~<uint64_t> 7) > left:
            return fail(s, STREAM_TRUNCATED, offset)
        length = (length + 7) & ~<uint64_t> 7
        if length < STREAM_FIXED_NBYTES or STREAM_FIXED_NBYTES + <size_t> name_nbytes > length:
            return fail(s, STREAM_LENGTH, offset)
        if name_nbytes & 1:
            return fail(s, NAME_LENGTH_ODD, offset)
        offset += length
    item.end = offset
    return OK


cdef int name_verdict(Scan *s, Item *item, Dentry *row) noexcept nogil:
    """Return 0 to keep the dentry, 1 to drop it; sets FLAG_HIDDEN for what Linux cannot name."""
    cdef const uint8_t *name = s.t.names + row.name_offset
    cdef size_t nbytes = row.name_nbytes
    if nbytes == 0:
        warn(s, WARN_NAME_EMPTY, row.parent, item.start)
        return 1
    if name[0] == 46 and (nbytes == 1 or (nbytes == 2 and name[1] == 46)):
        warn(s, WARN_NAME_DOTS, row.parent, item.start)
        return 1
    if memchr(name, 0, nbytes) != NULL:
        warn(s, WARN_NAME_NUL, row.parent, item.start)
        return 1
    if memchr(name, 47, nbytes) != NULL:
        warn(s, WARN_NAME_SLASH, row.parent, item.start)
        row.flags |= FLAG_HIDDEN
    elif nbytes > MAX_HOST_NAME:
        warn(s, WARN_NAME_LONG, row.parent, item.start)
        row.flags |= FLAG_HIDDEN
    return 0


cdef int fill_fields(Scan *s, Item *item, Dentry *row) noexcept nogil:
    """Copy the fixed part."""
    cdef const uint8_t *p = s.data + item.start
    cdef uint64_t subdir_offset = load_u64(p + 16)
    cdef uint32_t security_id = load_u32(p + 12)
    row.attributes = load_u32(p + 8)
    row.creation_time = load_u64(p + 40)
    row.access_time = load_u64(p + 48)
    row.write_time = load_u64(p + 56)
    row.group_or_reparse = load_u64(p + 88)
    row.offset_in_metadata = <uint32_t> item.start
    row.security_id = <int32_t> security_id
    if security_id >= s.security_count:
        row.security_id = -1
        if security_id != <uint32_t> -1:
            warn(s, WARN_SECURITY_ID, row.parent, item.start)
    if row.attributes & (ATTRIBUTE_DIRECTORY | ATTRIBUTE_REPARSE_POINT) == ATTRIBUTE_DIRECTORY:
        row.flags |= FLAG_DIRECTORY
        if subdir_offset >= s.nbytes:
            return fail(s, SUBDIR_OUT_OF_RANGE, item.start)
        row.content.children.subdir_offset = <uint32_t> subdir_offset
    elif subdir_offset:
        warn(s, WARN_CHILDREN_IGNORED, row.parent, item.start)
    return OK


cdef int read_dentry(Scan *s, size_t start, uint32_t parent, size_t *end) noexcept nogil:
    """Append the dentry at ``start`` to the rows, unless its name forbids it."""
    cdef Tables *t = s.t
    cdef Item item
    cdef Dentry *row
    cdef size_t name_start, pool_nbytes = t.names_nbytes
    cdef int status = read_item(s, start, &item)
    if status:
        return status
    end[0] = item.end
    if grow_rows(<void **> &t.dentries, t.dentry_count + 1, &t.dentry_capacity, sizeof(Dentry)):
        return NO_MEMORY
    row = &t.dentries[t.dentry_count]
    memset(row, 0, sizeof(Dentry))
    row.parent = parent
    row.name_offset = <uint32_t> t.names_nbytes
    name_start = start + FIXED_NBYTES
    if t.dentry_count == 0:
        if item.name_nbytes or item.short_nbytes:
            warn(s, WARN_ROOT_NAMED, 0, start)
    else:
        if add_name(s, s.data + name_start, item.name_nbytes, &row.name_nbytes):
            return NO_MEMORY
        if name_verdict(s, &item, row):
            t.names_nbytes = pool_nbytes
            return OK
        row.name_hash = hash_utf16le(
            s.data + name_start, item.name_nbytes // 2, t.upcase, t.secret)
        if item.short_nbytes and add_name(
            s, s.data + name_start + item.name_nbytes + 2, item.short_nbytes,
            &row.short_name_nbytes,
        ):
            return NO_MEMORY
    status = fill_fields(s, &item, row)
    if status == OK:
        status = read_streams(s, &item, row)
    if status == OK:
        status = keep_tagged(s, &item, row)
    t.dentry_count += 1
    return status


cdef int read_children(Scan *s, uint32_t parent) noexcept nogil:
    """Read one child list. An empty list may be shared; any other may not."""
    cdef Tables *t = s.t
    cdef uint32_t first = t.dentry_count
    cdef size_t offset = t.dentries[parent].content.children.subdir_offset
    cdef int status
    while True:
        if s.nbytes - offset < 8:
            return fail(s, NO_END_MARKER, offset)
        if load_u64(s.data + offset) <= 8:
            break
        status = read_dentry(s, offset, parent, &offset)
        if status:
            return status
    status = order_children(s, parent, first)
    t.dentries[parent].content.children.first = first
    t.dentries[parent].content.children.count = t.dentry_count - first
    return status


cdef int grow_inodes(Scan *s, uint32_t *capacity) noexcept nogil:
    """Keep room for an inode to each dentry known so far."""
    cdef Tables *t = s.t
    cdef uint32_t other = capacity[0]
    if grow_rows(<void **> &t.first_dentry, t.dentry_count + 1, capacity, 4):
        return NO_MEMORY
    return grow_rows(<void **> &t.link_counts, t.dentry_count + 1, &other, 4)


cdef int read_root(Scan *s, size_t root_offset) noexcept nogil:
    cdef Tables *t = s.t
    cdef size_t end = 0
    cdef int status
    if root_offset > s.nbytes or s.nbytes - root_offset < 8:
        return fail(s, ROOT_MISSING_BYTES, min(root_offset, s.nbytes))
    if load_u64(s.data + root_offset) <= 8:
        warn(s, WARN_ROOT_MISSING, 0, root_offset)
        if grow_rows(<void **> &t.dentries, 1, &t.dentry_capacity, sizeof(Dentry)):
            return NO_MEMORY
        memset(t.dentries, 0, sizeof(Dentry))
        t.dentries[0].attributes = ATTRIBUTE_DIRECTORY
        t.dentries[0].flags = FLAG_DIRECTORY | FLAG_SYNTHETIC
        t.dentries[0].security_id = -1
        t.dentry_count = 1
        return OK
    status = read_dentry(s, root_offset, 0, &end)
    if status == OK and t.dentries[0].flags & FLAG_DIRECTORY == 0:
        return fail(s, ROOT_NOT_DIRECTORY, root_offset)
    return status


cdef int run(Scan *s, size_t root_offset) noexcept nogil:
    """Walk in pre-order, expanding directories as they are met."""
    cdef Tables *t = s.t
    cdef Dentry *row
    cdef Dentry *parent
    cdef uint32_t i = 0, depth = 0, inode_capacity = 0
    cdef int status
    consume(s, 0, min(root_offset, s.nbytes))
    status = read_root(s, root_offset)
    if status == OK:
        status = grow_inodes(s, &inode_capacity)
    while status == OK:
        status = assign_inode(s, i)
        if status:
            break
        row = &t.dentries[i]
        if row.flags & FLAG_DIRECTORY:
            if row.content.children.subdir_offset:
                status = read_children(s, i)
                if status == OK:
                    status = grow_inodes(s, &inode_capacity)
                if status:
                    break
                row = &t.dentries[i]
            if row.content.children.count:
                if depth == MAX_DEPTH:
                    return fail(s, TOO_DEEP, row.offset_in_metadata)
                depth += 1
                i = row.content.children.first
                continue
        while i:
            parent = &t.dentries[t.dentries[i].parent]
            if i + 1 < parent.content.children.first + parent.content.children.count:
                break
            i = t.dentries[i].parent
            depth -= 1
        if i == 0:
            break
        i += 1
    return status


cdef int shrink(void **array, size_t nbytes) noexcept nogil:
    cdef void *shrunk = PyMem_RawRealloc(array[0], max(nbytes, <size_t> 1))
    if shrunk == NULL:
        return NO_MEMORY
    array[0] = shrunk
    return OK


cdef int shrink_all(Tables *t) noexcept nogil:
    return (
        shrink(<void **> &t.dentries, t.dentry_count * sizeof(Dentry))
        | shrink(<void **> &t.first_dentry, (t.inode_count + <size_t> 1) * 4)
        | shrink(<void **> &t.link_counts, (t.inode_count + <size_t> 1) * 4)
        | shrink(<void **> &t.names, t.names_nbytes)
        | shrink(<void **> &t.sides, t.side_count * sizeof(Side))
        | shrink(<void **> &t.streams, t.stream_count * sizeof(StreamRow))
        | shrink(<void **> &t.tagged, t.tagged_nbytes)
    )


def scan(metadata not None, size_t root_offset, uint32_t security_count,
         bytes upcase_table not None):
    """Return ``(0, 0, columns)``, or ``(status, offset_in_metadata, None)`` for malformed bytes.

    The statuses are those of ``metadata.SCAN_FAULTS``. ``upcase_table`` is native 16-bit units.

    Raises:
        MemoryError: There is not enough.
        ValueError: The resource is over 2 GiB.
    """
    cdef const uint8_t[::1] view = metadata
    cdef Columns columns = Columns.__new__(Columns)
    cdef Scan s
    cdef int status
    if view.shape[0] > 0x7FFFFFFF:
        raise ValueError("metadata resource over 2 GiB")
    if len(upcase_table) != 131072:
        raise ValueError("the upcase table has 65,536 units")
    columns._upcase_owner = upcase_table
    columns.tables.upcase = <const uint16_t *> <const char *> upcase_table
    columns.tables.secret = int.from_bytes(os.urandom(8), "little")
    memset(&s, 0, sizeof(Scan))
    s.t = &columns.tables
    s.nbytes = view.shape[0]
    s.data = &view[0] if s.nbytes else NULL
    s.security_count = security_count
    s.consumed = <uint64_t *> PyMem_RawCalloc(s.nbytes // 512 + 2, 8)
    if s.consumed == NULL:
        raise MemoryError
    with nogil:
        status = run(&s, root_offset)
        if status == OK:
            status = build_index(&s) | shrink_all(s.t)
        PyMem_RawFree(s.consumed)
        PyMem_RawFree(s.groups)
        PyMem_RawFree(s.group_members)
        PyMem_RawFree(s.order)
        PyMem_RawFree(s.stream_slots)
    if status == NO_MEMORY:
        raise MemoryError
    return (status, s.error_offset, None) if status else (0, 0, columns)
