# cython: language_level=3
"""Names, stream entries and tagged items of one dentry, copied into the columns' pools."""

from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memchr, memcmp, memcpy, memset

from wimtui.engine.image._columns cimport (
    ATTRIBUTE_ENCRYPTED, ATTRIBUTE_REPARSE_POINT, FLAG_DIRECTORY, KIND_DATA, KIND_NAMED,
    Dentry, Side, StreamRow, Tables,
)
from wimtui.engine.image._names cimport (
    hash_utf16le, load_u16, load_u32, load_u64, wtf8_from_utf16,
)
from wimtui.engine.image._scan_state cimport (
    FIXED_NBYTES, NO_MEMORY, OK, WARN_STREAM_DUPLICATE, WARN_STREAM_ENCRYPTED,
    WARN_STREAM_IGNORED, WARN_STREAM_NAME, Item, Scan, grow, grow_rows, is_zero, warn,
)


cdef inline int add_name(
    Scan *s, const uint8_t *units, size_t nbytes, uint32_t *out_nbytes
) noexcept nogil:
    """Append a name to the pool."""
    cdef Tables *t = s.t
    if grow(<void **> &t.names, t.names_nbytes + nbytes // 2 * 3, &t.names_capacity, 1):
        return NO_MEMORY
    out_nbytes[0] = <uint32_t> wtf8_from_utf16(units, nbytes // 2, t.names + t.names_nbytes)
    t.names_nbytes += out_nbytes[0]
    return OK


cdef inline Side *side_of(Scan *s, Dentry *row) noexcept nogil:
    """Return the dentry's side row, made if it has none; NULL without memory."""
    cdef Tables *t = s.t
    if row.side == 0:
        if grow_rows(<void **> &t.sides, t.side_count + 1, &t.side_capacity, sizeof(Side)):
            return NULL
        memset(&t.sides[t.side_count], 0, sizeof(Side))
        t.side_count += 1
        row.side = t.side_count
    return &t.sides[row.side - 1]


cdef inline int keep_tagged(Scan *s, Item *item, Dentry *row) noexcept nogil:
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
    if nbytes:
        memcpy(t.tagged + t.tagged_nbytes, s.data + names_end, nbytes)
    t.tagged_nbytes += nbytes
    return OK


cdef inline int add_stream(Scan *s, Dentry *row, int kind, const uint8_t *entry) noexcept nogil:
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


cdef inline int drop_duplicate_stream(Scan *s, Dentry *row, const uint8_t *entry) noexcept nogil:
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


cdef inline int prepare_stream_slots(Scan *s, size_t count) noexcept nogil:
    cdef size_t wanted = 8
    while wanted < 2 * count:
        wanted *= 2
    PyMem_RawFree(s.stream_slots)
    s.stream_slots = <uint32_t *> PyMem_RawCalloc(wanted, 4)
    s.stream_slot_count = wanted
    return NO_MEMORY if s.stream_slots == NULL else OK


cdef inline int read_named_stream(
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


cdef inline int read_streams(Scan *s, Item *item, Dentry *row) noexcept nogil:
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
