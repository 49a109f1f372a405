# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""Loads, stores and match copies of the forward decoders, and the lock of a decoder object."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    #if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    #define WT_LE16(v) __builtin_bswap16(v)
    #define WT_LE32(v) __builtin_bswap32(v)
    #define WT_LE64(v) __builtin_bswap64(v)
    #else
    #define WT_LE16(v) (v)
    #define WT_LE32(v) (v)
    #define WT_LE64(v) (v)
    #endif
    #define likely_(x) __builtin_expect(!!(x), 1)
    #define unlikely_(x) __builtin_expect(!!(x), 0)
    static inline uint16_t load16le(const void *p)
    { uint16_t v; memcpy(&v, p, 2); return WT_LE16(v); }
    static inline uint32_t load32le(const void *p)
    { uint32_t v; memcpy(&v, p, 4); return WT_LE32(v); }
    static inline uint64_t load64le(const void *p)
    { uint64_t v; memcpy(&v, p, 8); return WT_LE64(v); }
    static inline void store32le(void *p, uint32_t v)
    { v = WT_LE32(v); memcpy(p, &v, 4); }
    static inline void store64le(void *p, uint64_t v)
    { v = WT_LE64(v); memcpy(p, &v, 8); }
    static inline uint32_t wt_rotate16(uint32_t v) { return v << 16 | v >> 16; }
    /* Four units, the first of them on top. */
    static inline uint64_t load_units(const uint8_t *p)
    { return (uint64_t)wt_rotate16(load32le(p)) << 32 | wt_rotate16(load32le(p + 4)); }
    /* A select that stays one: the compiler likes to turn the plain conditional into a branch. */
    static inline const uint8_t *choose(int condition, const uint8_t *yes, const uint8_t *no)
    {
        uintptr_t mask = (uintptr_t)0 - (uintptr_t)(condition != 0);
        return (const uint8_t *)((uintptr_t)no ^ (((uintptr_t)no ^ (uintptr_t)yes) & mask));
    }
    static inline int take_flag(uint8_t *flag)
    { return !__atomic_exchange_n(flag, 1, __ATOMIC_ACQUIRE); }
    static inline void drop_flag(uint8_t *flag)
    { __atomic_store_n(flag, 0, __ATOMIC_RELEASE); }
    """
    bint likely "likely_"(bint) noexcept nogil
    bint unlikely "unlikely_"(bint) noexcept nogil
    uint16_t load16le(const void*) noexcept nogil
    uint32_t load32le(const void*) noexcept nogil
    uint64_t load64le(const void*) noexcept nogil
    void store32le(void*, uint32_t) noexcept nogil
    void store64le(void*, uint64_t) noexcept nogil
    uint64_t load_units(const uint8_t*) noexcept nogil
    const uint8_t* choose(bint, const uint8_t*, const uint8_t*) noexcept nogil
    bint take_flag(uint8_t*) noexcept nogil
    void drop_flag(uint8_t*) noexcept nogil


cdef enum:
    # Bytes that copy_match_wide may write past the end of a match.
    COPY_SLACK = 32


cdef inline void copy_pattern(uint8_t* out, size_t offset, const uint8_t* end) noexcept nogil:
    """Repeat the last ``offset`` bytes, 1..7, up to ``end`` and at most 7 bytes past it."""
    cdef unsigned int width = 8 * <unsigned int>offset
    cdef uint64_t word = load64le(out - offset) & ((<uint64_t>1 << width) - 1)
    cdef size_t step = offset
    word |= word << width
    if offset < 4:
        word |= word << (2 * width)
        step = 2 * offset
        if offset < 3:
            step = 8
            if offset == 1:
                word |= word << 32
        # an offset of 3 fills bytes 0..5 twice over and 6..7 from the third copy
    while out < end:
        store64le(out, word)
        out += step


cdef inline void copy_match_wide(uint8_t* out, size_t offset, size_t length) noexcept nogil:
    """Copy a match whose offset is valid; may write COPY_SLACK bytes past its end."""
    cdef const uint8_t* source = out - offset
    cdef uint8_t* end = out + length
    if likely(offset >= 16):
        memcpy(out, source, 16)
        if length > 16:
            out += 16
            source += 16
            while True:
                memcpy(out, source, 16)
                out += 16
                source += 16
                if out >= end:
                    break
    elif offset >= 8:
        while True:
            memcpy(out, source, 8)
            out += 8
            source += 8
            if out >= end:
                break
    else:
        copy_pattern(out, offset, end)


cdef inline void copy_match_bytes(uint8_t* out, size_t offset, size_t length) noexcept nogil:
    """Copy a match whose offset is valid, and write nothing past its end."""
    cdef const uint8_t* source = out - offset
    cdef size_t i
    if offset == 1:
        memset(out, source[0], length)
        return
    for i in range(length):
        out[i] = source[i]
