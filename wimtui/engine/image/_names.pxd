# cython: language_level=3
"""Inline name routines shared by the image kernels: UTF-16LE, WTF-8, upcase, hash, collation."""

from libc.stddef cimport size_t
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef extern from * nogil:
    """
    #include <stdint.h>
    #include <string.h>
    static inline uint64_t wimtui_fold(uint64_t a, uint64_t b) {
        unsigned __int128 product = (unsigned __int128)a * b;
        return (uint64_t)product ^ (uint64_t)(product >> 64);
    }
    static inline uint16_t wimtui_u16(const uint8_t *p) {
        return (uint16_t)(p[0] | ((uint16_t)p[1] << 8));
    }
    static inline uint32_t wimtui_u32(const uint8_t *p) {
        return (uint32_t)p[0] | ((uint32_t)p[1] << 8) | ((uint32_t)p[2] << 16)
            | ((uint32_t)p[3] << 24);
    }
    static inline uint64_t wimtui_u64(const uint8_t *p) {
        return (uint64_t)wimtui_u32(p) | ((uint64_t)wimtui_u32(p + 4) << 32);
    }
    """
    uint64_t fold "wimtui_fold"(uint64_t a, uint64_t b) noexcept
    uint16_t load_u16 "wimtui_u16"(const uint8_t *p) noexcept
    uint32_t load_u32 "wimtui_u32"(const uint8_t *p) noexcept
    uint64_t load_u64 "wimtui_u64"(const uint8_t *p) noexcept


cdef inline size_t wtf8_from_utf16(
    const uint8_t *units, size_t unit_count, uint8_t *out
) noexcept nogil:
    """Write at most three bytes a unit to ``out`` and return how many."""
    cdef size_t i = 0, n = 0
    cdef uint32_t unit, low
    while i < unit_count:
        unit = load_u16(units + 2 * i)
        i += 1
        if unit < 0x80:
            out[n] = <uint8_t> unit
            n += 1
            continue
        if unit < 0x800:
            out[n] = <uint8_t> (0xC0 | unit >> 6)
            out[n + 1] = <uint8_t> (0x80 | unit & 0x3F)
            n += 2
            continue
        if unit & 0xFC00 == 0xD800 and i < unit_count:
            low = load_u16(units + 2 * i)
            if low & 0xFC00 == 0xDC00:
                i += 1
                unit = 0x10000 + ((unit & 0x3FF) << 10 | low & 0x3FF)
                out[n] = <uint8_t> (0xF0 | unit >> 18)
                out[n + 1] = <uint8_t> (0x80 | unit >> 12 & 0x3F)
                out[n + 2] = <uint8_t> (0x80 | unit >> 6 & 0x3F)
                out[n + 3] = <uint8_t> (0x80 | unit & 0x3F)
                n += 4
                continue
        out[n] = <uint8_t> (0xE0 | unit >> 12)
        out[n + 1] = <uint8_t> (0x80 | unit >> 6 & 0x3F)
        out[n + 2] = <uint8_t> (0x80 | unit & 0x3F)
        n += 3
    return n


cdef inline Py_ssize_t utf16_from_wtf8(
    const uint8_t *name, size_t nbytes, uint16_t *out, size_t max_units
) noexcept nogil:
    """Write up to ``max_units`` native units and return how many; -1 for bytes not WTF-8."""
    cdef size_t i = 0, n = 0, extra, k
    cdef uint32_t lead, point
    while i < nbytes and n < max_units:
        lead = name[i]
        i += 1
        if lead < 0x80:
            out[n] = <uint16_t> lead
            n += 1
            continue
        if 0xC2 <= lead < 0xE0:
            extra = 1
            point = lead & 0x1F
        elif 0xE0 <= lead < 0xF0:
            extra = 2
            point = lead & 0x0F
        elif 0xF0 <= lead < 0xF5:
            extra = 3
            point = lead & 0x07
        else:
            return -1
        if nbytes - i < extra:
            return -1
        for k in range(extra):
            if name[i + k] & 0xC0 != 0x80:
                return -1
            point = point << 6 | name[i + k] & 0x3F
        i += extra
        if extra == 2 and point < 0x800:
            return -1
        if extra < 3:
            out[n] = <uint16_t> point
            n += 1
            continue
        if point < 0x10000 or point > 0x10FFFF:
            return -1
        out[n] = <uint16_t> (0xD800 | (point - 0x10000) >> 10)
        n += 1
        if n < max_units:
            out[n] = <uint16_t> (0xDC00 | point & 0x3FF)
            n += 1
    return <Py_ssize_t> n


cdef inline uint32_t hash_step_end(uint64_t state, uint64_t tail, size_t count) noexcept nogil:
    state = fold(state ^ tail, 0x9E3779B97F4A7C15)
    return <uint32_t> (fold(state ^ count, 0xD6E8FEB86659FD93) >> 16)


cdef inline uint32_t hash_utf16le(
    const uint8_t *units, size_t count, const uint16_t *upcase, uint64_t secret
) noexcept nogil:
    """Return the case-insensitive hash of a stored name; four units go into each multiplication."""
    cdef uint64_t state = secret, word = 0
    cdef size_t i
    for i in range(count):
        word = word << 16 | upcase[load_u16(units + 2 * i)]
        if i & 3 == 3:
            state = fold(state ^ word, secret | 1)
            word = 0
    return hash_step_end(state, word, count)


cdef inline uint32_t hash_native(
    const uint16_t *units, size_t count, const uint16_t *upcase, uint64_t secret
) noexcept nogil:
    """Return the same hash for units in native order."""
    cdef uint64_t state = secret, word = 0
    cdef size_t i
    for i in range(count):
        word = word << 16 | upcase[units[i]]
        if i & 3 == 3:
            state = fold(state ^ word, secret | 1)
            word = 0
    return hash_step_end(state, word, count)


cdef inline int collate_utf16le(
    const uint8_t *a, size_t a_count, const uint8_t *b, size_t b_count, const uint16_t *upcase
) noexcept nogil:
    """Compare stored names: -2/2 they differ, -1/1 only in case, 0 identical."""
    cdef size_t i, count = min(a_count, b_count)
    cdef uint16_t x, y
    cdef int case_order = 0
    for i in range(count):
        x = load_u16(a + 2 * i)
        y = load_u16(b + 2 * i)
        if x == y:
            continue
        if upcase[x] != upcase[y]:
            return -2 if upcase[x] < upcase[y] else 2
        if case_order == 0:
            case_order = -1 if x < y else 1
    if a_count != b_count:
        return -2 if a_count < b_count else 2
    return case_order


cdef inline int collate_native(
    const uint16_t *a, size_t a_count, const uint16_t *b, size_t b_count, const uint16_t *upcase
) noexcept nogil:
    """The same for units in native order."""
    cdef size_t i, count = min(a_count, b_count)
    cdef int case_order = 0
    for i in range(count):
        if a[i] == b[i]:
            continue
        if upcase[a[i]] != upcase[b[i]]:
            return -2 if upcase[a[i]] < upcase[b[i]] else 2
        if case_order == 0:
            case_order = -1 if a[i] < b[i] else 1
    if a_count != b_count:
        return -2 if a_count < b_count else 2
    return case_order
