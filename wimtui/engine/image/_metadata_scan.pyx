# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: cdivision=True, embedsignature=True, freethreading_compatible=True
"""One iterative pass over a decoded metadata resource: dentry tree to columns.

Directories are expanded in pre-order, each child list read, sorted and stripped of duplicates
before the walk goes on. A bitmap of consumed 8-byte units refuses shared, overlapping and cyclic
child lists, which bounds work and memory by the size of the resource.
"""

import os

from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree, PyMem_RawMalloc, PyMem_RawRealloc
from libc.string cimport memchr, memcmp, memcpy, memset

from wimtui.engine.image._columns cimport (
    ATTRIBUTE_DIRECTORY, ATTRIBUTE_ENCRYPTED, ATTRIBUTE_REPARSE_POINT, FLAG_DIRECTORY,
    FLAG_HIDDEN, FLAG_SAME_NAME, FLAG_SYNTHETIC, KIND_DATA, KIND_NAMED, WARNING_EXAMPLES,
    Columns, Dentry, Side, StreamRow, Tables,
)
from wimtui.engine.image._names cimport (
    collate_utf16le, fold, hash_utf16le, load_u16, load_u32, load_u64, wtf8_from_utf16,
)
from libc.stddef cimport size_t
from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef enum:
    FIXED_NBYTES = 102
    STREAM_FIXED_NBYTES = 38
    MIN_DENTRY_NBYTES = 104
    MAX_DEPTH = 16383       # levels below the root
    MAX_HOST_NAME = 1024

    OK = 0
    NO_MEMORY = 1
    DENTRY_TRUNCATED = 2
    DENTRY_LENGTH = 3
    NAME_LENGTH_ODD = 4
    STREAM_TRUNCATED = 5
    STREAM_LENGTH = 6
    NO_END_MARKER = 7
    SUBDIR_OUT_OF_RANGE = 8
    OVERLAP = 9
    TOO_DEEP = 10
    ROOT_NOT_DIRECTORY = 11
    ROOT_MISSING_BYTES = 12

    # In the order of metadata.WarningKind.
    WARN_ROOT_MISSING = 0
    WARN_ROOT_NAMED = 1
    WARN_NAME_DOTS = 2
    WARN_NAME_EMPTY = 3
    WARN_NAME_NUL = 4
    WARN_NAME_SLASH = 5
    WARN_NAME_LONG = 6
    WARN_NAME_DUPLICATE = 7
    WARN_CHILDREN_IGNORED = 8
    WARN_SECURITY_ID = 9
    WARN_DIRECTORY_LINK = 10
    WARN_LINK_DATA_DIFFERS = 11
    WARN_LINK_FIELDS_DIFFER = 12
    WARN_STREAM_IGNORED = 13
    WARN_STREAM_ENCRYPTED = 14
    WARN_STREAM_DUPLICATE = 15
    WARN_STREAM_NAME = 16


cdef struct Scan:
    const uint8_t *data
    size_t nbytes
    uint32_t security_count
    Tables *t
    uint64_t *consumed          # one bit for each 8 bytes of the resource
    uint32_t *groups            # dentry index + 1 by group id
    uint32_t *group_members     # dentry index + 1 by group id and content hash
    size_t group_mask
    uint32_t *order             # scratch of the sort: two halves
    size_t order_capacity
    uint32_t *stream_slots      # scratch: stream index + 1 by name hash
    size_t stream_slot_count
    uint64_t error_offset


# What one dentry's fixed part says, and where its parts lie.
cdef struct Item:
    size_t start
    size_t end_of_dentry        # aligned
    size_t end                  # after the stream entries
    size_t stated_end
    uint16_t stream_count
    uint16_t short_nbytes
    uint16_t name_nbytes


cdef inline int fail(Scan *s, int status, size_t offset) noexcept nogil:
    s.error_offset = offset
    return status


cdef void warn(Scan *s, int kind, uint32_t parent, size_t offset) noexcept nogil:
    cdef Tables *t = s.t
    t.warning_counts[kind] += 1
    if t.warning_count < WARNING_EXAMPLES:
        t.warnings[t.warning_count].kind = kind
        t.warnings[t.warning_count].parent = parent
        t.warnings[t.warning_count].offset_in_metadata = <uint32_t> offset
        t.warning_count += 1


cdef int grow(void **array, size_t needed, size_t *capacity, size_t item_nbytes) noexcept nogil:
    """Make room for ``needed`` items, half as much again at a time."""
    cdef size_t wanted
    cdef void *grown
    if needed <= capacity[0]:
        return OK
    wanted = max(needed, capacity[0] + capacity[0] // 2, <size_t> 64)
    grown = PyMem_RawRealloc(array[0], wanted * item_nbytes)
    if grown == NULL:
        return NO_MEMORY
    array[0] = grown
    capacity[0] = wanted
    return OK


cdef int grow_rows(void **array, uint32_t needed, uint32_t *capacity,
                   size_t item_nbytes) noexcept nogil:
    cdef size_t wide = capacity[0]
    cdef int status = grow(array, needed, &wide, item_nbytes)
    capacity[0] = <uint32_t> wide
    return status


cdef bint consume(Scan *s, size_t start, size_t end) noexcept nogil:
    """Mark bytes as belonging to one structure; false where some already belong to another."""
    cdef size_t unit = start >> 3, last = (end + 7) >> 3, count
    cdef uint64_t mask
    while unit < last:
        count = min(last - unit, <size_t> 64 - (unit & 63))
        mask = (~<uint64_t> 0 >> (64 - count)) << (unit & 63)
        if s.consumed[unit >> 6] & mask:
            return False
        s.consumed[unit >> 6] |= mask
        unit += count
    return True


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


cdef int add_name(
    Scan *s, const uint8_t *units, size_t nbytes, uint32_t *out_nbytes
) noexcept nogil:
    """Append a name to the pool."""
    cdef Tables *t = s.t
    if grow(<void **> &t.names, t.names_nbytes + nbytes // 2 * 3, &t.names_capacity, 1):
        return NO_MEMORY
    out_nbytes[0] = <uint32_t> wtf8_from_utf16(units, nbytes // 2, t.names + t.names_nbytes)
    t.names_nbytes += out_nbytes[0]
    return OK


cdef Side *side_of(Scan *s, Dentry *row) noexcept nogil:
    """Return the dentry's side row, made if it has none; NULL without memory."""
    cdef Tables *t = s.t
    if row.side == 0:
        if grow_rows(<void **> &t.sides, t.side_count + 1, &t.side_capacity, sizeof(Side)):
            return NULL
        memset(&t.sides[t.side_count], 0, sizeof(Side))
        t.side_count += 1
        row.side = t.side_count
    return &t.sides[row.side - 1]


cdef bint is_zero(const uint8_t *bytes, size_t nbytes) noexcept nogil:
    cdef size_t i
    for i in range(nbytes):
        if bytes[i]:
            return False
    return True


cdef int keep_tagged(Scan *s, Item *item, Dentry *row) noexcept nogil:
    """Copy tagged items and the unknown field, where there are any."""
    cdef Tables *t = s.t
    cdef Side *side
    cdef uint32_t unknown = load_u32(s.data + item.start + 84)
    cdef size_t names_end = item.start + FIXED_NBYTES, nbytes = 0
    names_end += item.name_nbytes + <size_t> 2 if item.name_nbytes else 0
    names_end += item.short_nbytes + <size_t> 2 if item.short_nbytes else 0
    names_end = item.start + ((names_end - item.start + 7) & ~<size_t> 7)
    if item.stated_end >= names_end + 8:
        nbytes = item.stated_end - names_end
        if is_zero(s.data + names_end, nbytes):
            nbytes = 0
    if unknown == 0 and nbytes == 0:
        return OK
    side = side_of(s, row)
    if side == NULL:
        return NO_MEMORY
    side.unknown_0x54 = unknown
    if grow(<void **> &t.tagged, t.tagged_nbytes + nbytes, &t.tagged_capacity, 1):
        return NO_MEMORY
    side.tagged_offset = <uint32_t> t.tagged_nbytes
    side.tagged_nbytes = <uint32_t> nbytes
    memcpy(t.tagged + t.tagged_nbytes, s.data + names_end, nbytes)
    t.tagged_nbytes += nbytes
    return OK


cdef int add_stream(Scan *s, Dentry *row, int kind, const uint8_t *entry) noexcept nogil:
    """Append one stream entry (kind named: with its name) to the dentry's streams."""
    cdef Tables *t = s.t
    cdef Side *side = side_of(s, row)
    cdef StreamRow *stream
    if side == NULL or grow_rows(<void **> &t.streams, t.stream_count + 1, &t.stream_capacity,
                                 sizeof(StreamRow)):
        return NO_MEMORY
    stream = &t.streams[t.stream_count]
    memset(stream, 0, sizeof(StreamRow))
    stream.kind = <uint8_t> kind
    memcpy(stream.sha1, entry + 16, 20)
    stream.name_offset = <uint32_t> t.names_nbytes
    if kind == KIND_NAMED:
        if add_name(s, entry + 38, load_u16(entry + 36), &stream.name_nbytes):
            return NO_MEMORY
    if side.stream_count == 0:
        side.first_stream = t.stream_count
    side.stream_count += 1
    t.stream_count += 1
    return OK


cdef int drop_duplicate_stream(Scan *s, Dentry *row, const uint8_t *entry) noexcept nogil:
    """Take the last stream back if the file already has one of exactly that name; 1 if so."""
    cdef Tables *t = s.t
    cdef Side *side = &t.sides[row.side - 1]
    cdef uint32_t last = t.stream_count - 1, index
    cdef StreamRow *stream = &t.streams[last]
    cdef StreamRow *other
    cdef size_t mask = s.stream_slot_count - 1
    cdef size_t slot = hash_utf16le(
        entry + 38, load_u16(entry + 36) // 2, t.upcase, t.secret) & mask
    while s.stream_slots[slot]:
        index = s.stream_slots[slot] - 1
        other = &t.streams[index]
        if (other.name_nbytes == stream.name_nbytes
                and memcmp(t.names + other.name_offset, t.names + stream.name_offset,
                           stream.name_nbytes) == 0):
            t.names_nbytes -= stream.name_nbytes
            t.stream_count -= 1
            side.stream_count -= 1
            return 1
        slot = (slot + 1) & mask
    s.stream_slots[slot] = last + 1
    return 0


cdef int prepare_stream_slots(Scan *s, size_t count) noexcept nogil:
    cdef size_t wanted = 8
    while wanted < 2 * count:
        wanted *= 2
    PyMem_RawFree(s.stream_slots)
    s.stream_slots = <uint32_t *> PyMem_RawCalloc(wanted, 4)
    s.stream_slot_count = wanted
    return NO_MEMORY if s.stream_slots == NULL else OK


cdef int read_streams(Scan *s, Item *item, Dentry *row) noexcept nogil:
    """Interpret main hash and extra entries; they have been checked for length."""
    cdef const uint8_t *entry = s.data + item.end_of_dentry
    cdef const uint8_t *main_hash = s.data + item.start + 64
    cdef bint encrypted = row.attributes & ATTRIBUTE_ENCRYPTED != 0
    cdef bint reparse = row.attributes & ATTRIBUTE_REPARSE_POINT != 0 and not encrypted
    cdef bint directory = row.flags & FLAG_DIRECTORY != 0
    cdef bint have_data = False, have_reparse = False, zero
    cdef uint32_t _i
    if not is_zero(main_hash, 20):
        have_reparse = reparse
        have_data = not reparse
        if not directory:
            memcpy(row.content.sha1, main_hash, 20)
    if item.stream_count and not encrypted and prepare_stream_slots(s, item.stream_count):
        return NO_MEMORY
    for _i in range(item.stream_count):
        zero = is_zero(entry + 16, 20)
        if load_u16(entry + 36):
            if encrypted:
                warn(s, WARN_STREAM_ENCRYPTED, row.parent, item.start)
            elif read_named_stream(s, item, row, entry):
                return NO_MEMORY
        elif encrypted:
            if zero or have_data:
                if not zero:
                    warn(s, WARN_STREAM_ENCRYPTED, row.parent, item.start)
            else:
                have_data = True
                if not directory:
                    memcpy(row.content.sha1, entry + 16, 20)
        elif reparse and not have_reparse:
            have_reparse = True
            memcpy(row.content.sha1, entry + 16, 20)
        elif not have_data:
            have_data = True
            if reparse:
                if not zero and add_stream(s, row, KIND_DATA, entry):
                    return NO_MEMORY
            elif not directory:
                memcpy(row.content.sha1, entry + 16, 20)
        else:
            warn(s, WARN_STREAM_IGNORED, row.parent, item.start)
        entry += (load_u64(entry) + 7) & ~<uint64_t> 7
    return OK


cdef int read_named_stream(
    Scan *s, Item *item, Dentry *row, const uint8_t *entry
) noexcept nogil:
    cdef Tables *t = s.t
    cdef StreamRow *stream
    if add_stream(s, row, KIND_NAMED, entry):
        return NO_MEMORY
    if drop_duplicate_stream(s, row, entry):
        warn(s, WARN_STREAM_DUPLICATE, row.parent, item.start)
        return OK
    stream = &t.streams[t.stream_count - 1]
    if memchr(t.names + stream.name_offset, 0, stream.name_nbytes) != NULL:
        warn(s, WARN_STREAM_NAME, row.parent, item.start)
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


cdef inline int collate_rows(Scan *s, uint32_t a, uint32_t b) noexcept nogil:
    cdef const uint8_t *p = s.data + s.t.dentries[a].offset_in_metadata
    cdef const uint8_t *q = s.data + s.t.dentries[b].offset_in_metadata
    return collate_utf16le(p + 102, load_u16(p + 100) // 2, q + 102, load_u16(q + 100) // 2,
                           s.t.upcase)


cdef int sort_rows(Scan *s, uint32_t first, uint32_t count) noexcept nogil:
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


cdef int order_children(Scan *s, uint32_t parent, uint32_t first) noexcept nogil:
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


cdef int prepare_groups(Scan *s) noexcept nogil:
    cdef size_t capacity = 16, limit = s.nbytes // MIN_DENTRY_NBYTES + 1
    while capacity < limit + limit // 2:
        capacity *= 2
    s.groups = <uint32_t *> PyMem_RawCalloc(capacity, 4)
    s.group_members = <uint32_t *> PyMem_RawCalloc(capacity, 4)
    s.group_mask = capacity - 1
    return NO_MEMORY if s.groups == NULL or s.group_members == NULL else OK


cdef bint group_is_known(Scan *s, uint32_t dentry) noexcept nogil:
    """Look the group id up, and enter it if it is met for the first time."""
    cdef uint64_t group = s.t.dentries[dentry].group_or_reparse
    cdef size_t slot = fold(group ^ s.t.secret, s.t.secret | 1) & s.group_mask
    while s.groups[slot]:
        if s.t.dentries[s.groups[slot] - 1].group_or_reparse == group:
            return True
        slot = (slot + 1) & s.group_mask
    s.groups[slot] = dentry + 1
    return False


cdef uint32_t join_group(Scan *s, uint32_t dentry) noexcept nogil:
    """Return the inode of the group that has the same content, or 0 and enter this dentry."""
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


cdef int assign_inode(Scan *s, uint32_t dentry) noexcept nogil:
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


cdef int build_index(Scan *s) noexcept nogil:
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
