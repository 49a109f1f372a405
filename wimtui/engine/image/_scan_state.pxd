# cython: language_level=3
"""State of a metadata scan: statuses, warnings, growing tables, the bitmap of consumed bytes."""

from cpython.mem cimport PyMem_RawRealloc
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from wimtui.engine.image._columns cimport WARNING_EXAMPLES, Tables


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


cdef inline void warn(Scan *s, int kind, uint32_t parent, size_t offset) noexcept nogil:
    cdef Tables *t = s.t
    t.warning_counts[kind] += 1
    if t.warning_count < WARNING_EXAMPLES:
        t.warnings[t.warning_count].kind = kind
        t.warnings[t.warning_count].parent = parent
        t.warnings[t.warning_count].offset_in_metadata = <uint32_t> offset
        t.warning_count += 1


cdef inline int grow(
    void **array, size_t needed, size_t *capacity, size_t item_nbytes
) noexcept nogil:
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


cdef inline int grow_rows(
    void **array, uint32_t needed, uint32_t *capacity, size_t item_nbytes
) noexcept nogil:
    cdef size_t wide = capacity[0]
    cdef int status = grow(array, needed, &wide, item_nbytes)
    capacity[0] = <uint32_t> wide
    return status


cdef inline bint consume(Scan *s, size_t start, size_t end) noexcept nogil:
    """Mark bytes as belonging to one structure; false where some already belong to another.

    Sizes are multiples of 8, so that structures one after the other share no unit of 8 bytes even
    where the first does not begin at a multiple of 8.
    """
    cdef size_t unit = start >> 3, last = end >> 3, count
    cdef uint64_t mask
    while unit < last:
        count = min(last - unit, <size_t> 64 - (unit & 63))
        mask = (~<uint64_t> 0 >> (64 - count)) << (unit & 63)
        if s.consumed[unit >> 6] & mask:
            return False
        s.consumed[unit >> 6] |= mask
        unit += count
    return True


cdef inline bint is_zero(const uint8_t *bytes, size_t nbytes) noexcept nogil:
    cdef size_t i
    for i in range(nbytes):
        if bytes[i]:
            return False
    return True
