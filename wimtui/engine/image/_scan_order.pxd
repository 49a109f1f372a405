# cython: language_level=3
"""What follows reading in a metadata scan: sibling order, hard-link groups, the name index."""

from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree, PyMem_RawMalloc
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from wimtui.engine.image._columns cimport (
    ATTRIBUTE_REPARSE_POINT, FLAG_DIRECTORY, FLAG_HIDDEN, FLAG_SAME_NAME, Dentry, Side, Tables,
)
from wimtui.engine.image._names cimport collate_utf16le, fold, load_u16, load_u64
from wimtui.engine.image._scan_state cimport (
    MIN_DENTRY_NBYTES, NO_MEMORY, OK, WARN_DIRECTORY_LINK, WARN_LINK_DATA_DIFFERS,
    WARN_LINK_FIELDS_DIFFER, WARN_NAME_DUPLICATE, Scan, grow, warn,
)


cdef inline int collate_rows(Scan *s, uint32_t a, uint32_t b) noexcept nogil:
    cdef const uint8_t *p = s.data + s.t.dentries[a].offset_in_metadata
    cdef const uint8_t *q = s.data + s.t.dentries[b].offset_in_metadata
    return collate_utf16le(p + 102, load_u16(p + 100) // 2, q + 102, load_u16(q + 100) // 2,
                           s.t.upcase)


cdef inline int sort_rows(Scan *s, uint32_t first, uint32_t count) noexcept nogil:
    """Put rows into collation order, stably: a bottom-up merge sort of indices, then a move."""
    cdef uint32_t *source
    cdef uint32_t *target
    cdef uint32_t *other
    cdef size_t width = 1, low, middle, high, i, j, k
    cdef Dentry *moved
    if grow(<void **> &s.order, 2 * <size_t> count, &s.order_capacity, 4):
        return NO_MEMORY
    source = s.order
    target = s.order + count
    for i in range(count):
        source[i] = first + <uint32_t> i
    while width < count:
        low = 0
        while low < count:
            middle = min(low + width, <size_t> count)
            high = min(low + 2 * width, <size_t> count)
            i = low
            j = middle
            for k in range(low, high):
                if i < middle and (j >= high or collate_rows(s, source[i], source[j]) <= 0):
                    target[k] = source[i]
                    i += 1
                else:
                    target[k] = source[j]
                    j += 1
            low = high
        other = source
        source = target
        target = other
        width *= 2
    moved = <Dentry *> PyMem_RawMalloc(count * sizeof(Dentry))
    if moved == NULL:
        return NO_MEMORY
    for i in range(count):
        moved[i] = s.t.dentries[source[i]]
    memcpy(&s.t.dentries[first], moved, count * sizeof(Dentry))
    PyMem_RawFree(moved)
    return OK


cdef inline int order_children(Scan *s, uint32_t parent, uint32_t first) noexcept nogil:
    """Sort the new rows from ``first``, drop exact duplicates, mark names equal but for case."""
    cdef Tables *t = s.t
    cdef uint32_t i, kept = first + 1, count = t.dentry_count - first
    cdef int order
    if count < 2:
        return OK
    for i in range(first + 1, t.dentry_count):
        order = collate_rows(s, i - 1, i)
        if order >= 0:
            break
        if order == -1:
            t.dentries[i].flags |= FLAG_SAME_NAME
    else:
        return OK
    if sort_rows(s, first, count):
        return NO_MEMORY
    t.dentries[first].flags &= ~<uint32_t> FLAG_SAME_NAME
    for i in range(first + 1, t.dentry_count):
        order = collate_rows(s, kept - 1, i)
        if order == 0:
            warn(s, WARN_NAME_DUPLICATE, parent, t.dentries[i].offset_in_metadata)
            continue
        t.dentries[i].flags &= ~<uint32_t> FLAG_SAME_NAME
        if order == -1:
            t.dentries[i].flags |= FLAG_SAME_NAME
        if kept != i:
            t.dentries[kept] = t.dentries[i]
        kept += 1
    t.dentry_count = kept
    return OK


cdef inline int prepare_groups(Scan *s) noexcept nogil:
    cdef size_t capacity = 16, limit = s.nbytes // MIN_DENTRY_NBYTES + 1
    while capacity < limit + limit // 2:
        capacity *= 2
    s.groups = <uint32_t *> PyMem_RawCalloc(capacity, 4)
    s.group_members = <uint32_t *> PyMem_RawCalloc(capacity, 4)
    s.group_mask = capacity - 1
    return NO_MEMORY if s.groups == NULL or s.group_members == NULL else OK


cdef inline bint group_is_known(Scan *s, uint32_t dentry) noexcept nogil:
    """Look the group id up, and enter it if it is met for the first time."""
    cdef uint64_t group = s.t.dentries[dentry].group_or_reparse
    cdef size_t slot = fold(group ^ s.t.secret, s.t.secret | 1) & s.group_mask
    while s.groups[slot]:
        if s.t.dentries[s.groups[slot] - 1].group_or_reparse == group:
            return True
        slot = (slot + 1) & s.group_mask
    s.groups[slot] = dentry + 1
    return False


cdef inline uint32_t join_group(Scan *s, uint32_t dentry) noexcept nogil:
    """Return the inode of the group that has the same content, or 0 and enter this dentry.

    wim-container 6.10 compares the unnamed data, which EFS files lack. Their encrypted data are
    compared all the same: names joined in spite of a wrong id would lose what differs.
    """
    cdef Dentry *row = &s.t.dentries[dentry]
    cdef Dentry *other
    cdef uint64_t key = fold(load_u64(row.content.sha1) ^ s.t.secret, row.group_or_reparse | 1)
    cdef size_t slot = fold(key ^ row.group_or_reparse, s.t.secret | 1) & s.group_mask
    while s.group_members[slot]:
        other = &s.t.dentries[s.group_members[slot] - 1]
        if (other.group_or_reparse == row.group_or_reparse
                and memcmp(other.content.sha1, row.content.sha1, 20) == 0):
            if (other.attributes != row.attributes or other.write_time != row.write_time
                    or other.security_id != row.security_id):
                warn(s, WARN_LINK_FIELDS_DIFFER, row.parent, row.offset_in_metadata)
            return other.ino
        slot = (slot + 1) & s.group_mask
    s.group_members[slot] = dentry + 1
    return 0


cdef inline int assign_inode(Scan *s, uint32_t dentry) noexcept nogil:
    cdef Tables *t = s.t
    cdef Dentry *row = &t.dentries[dentry]
    cdef Side *side
    cdef uint32_t i
    cdef bint known
    if row.group_or_reparse and dentry and row.attributes & ATTRIBUTE_REPARSE_POINT == 0:
        if s.groups == NULL and prepare_groups(s):
            return NO_MEMORY
        known = group_is_known(s, dentry)
        if row.flags & FLAG_DIRECTORY:
            if known:
                warn(s, WARN_DIRECTORY_LINK, row.parent, row.offset_in_metadata)
        else:
            row.ino = join_group(s, dentry)
            if row.ino:
                t.link_counts[row.ino] += 1
                return OK
            if known:
                warn(s, WARN_LINK_DATA_DIFFERS, row.parent, row.offset_in_metadata)
    t.inode_count += 1
    row.ino = t.inode_count
    t.first_dentry[row.ino] = dentry
    t.link_counts[row.ino] = 1
    if row.side:
        side = &t.sides[row.side - 1]
        for i in range(side.first_stream, side.first_stream + side.stream_count):
            t.streams[i].owner = row.ino
    return OK


cdef inline int build_index(Scan *s) noexcept nogil:
    """Enter the first visible name of each set that differs only in case."""
    cdef Tables *t = s.t
    cdef size_t capacity = 8, slot
    cdef uint32_t i
    cdef bint entered = False
    while capacity < t.dentry_count + t.dentry_count // 2:
        capacity *= 2
    t.slots = <uint32_t *> PyMem_RawCalloc(capacity, 4)
    if t.slots == NULL:
        return NO_MEMORY
    t.slot_mask = capacity - 1
    for i in range(1, t.dentry_count):
        if t.dentries[i].flags & FLAG_SAME_NAME == 0:
            entered = False
        if entered or t.dentries[i].flags & FLAG_HIDDEN:
            continue
        entered = True
        slot = fold(t.dentries[i].name_hash ^ <uint64_t> t.dentries[i].parent << 32,
                    t.secret | 1) & t.slot_mask
        while t.slots[slot]:
            slot = (slot + 1) & t.slot_mask
        t.slots[slot] = i + 1
    return OK
