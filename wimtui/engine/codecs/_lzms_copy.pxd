# cython: language_level=3, boundscheck=False, wraparound=False
# cython: initializedcheck=False, cdivision=True
# The matches of LZMS blocks, put in place.

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t
from libc.string cimport memcpy, memset


cdef extern from * nogil:
    """
    #include <stddef.h>
    #include <stdint.h>
    #include <string.h>

    typedef uint8_t lzms_bytes __attribute__((vector_size(16)));

    static const uint8_t lzms_keep[64] = {
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
        255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    };

    static inline void lzms_blend16(uint8_t *target, const uint8_t *source, const uint8_t *keep)
    {
        lzms_bytes t, s, k;
        memcpy(&t, target, 16);
        memcpy(&s, source, 16);
        memcpy(&k, keep, 16);
        t = (t & k) | (s & ~k);
        memcpy(target, &t, 16);
    }

    static inline void lzms_blend32(uint8_t *target, const uint8_t *source, size_t n)
    {
        lzms_blend16(target, source, lzms_keep + 32 - n);
        lzms_blend16(target + 16, source + 16, lzms_keep + 48 - n);
    }
    """
    # Copy n <= 32 bytes and rewrite the rest of 32 as they are.
    void blend32 "lzms_blend32"(uint8_t *target, const uint8_t *source, size_t n) noexcept
    bint likely(bint) noexcept
    bint unlikely(bint) noexcept


cdef enum:
    COPY_MARGIN = 32            # bytes a fast copy may touch beyond its end

# A match, at first unchecked. Its bytes may be put in place after literals behind it.
cdef struct Match:
    size_t position
    size_t length
    size_t offset
    size_t span                 # of a delta match, else 0


cdef inline void copy_lz(
    uint8_t *target, size_t offset, size_t length, size_t room, bint exact
) noexcept nogil:
    """Copy a match; unless ``exact``, up to COPY_MARGIN bytes behind it may change."""
    cdef const uint8_t *source = target - offset
    cdef size_t i
    if likely(offset >= 16 and room >= length + COPY_MARGIN):
        while unlikely(length > 32):
            memcpy(target, source, 16)
            memcpy(target + 16, source + 16, 16)
            target += 32
            source += 32
            length -= 32
        if exact:
            blend32(target, source, length)
        else:
            memcpy(target, source, 16)
            memcpy(target + 16, source + 16, 16)
    elif offset == 1:
        memset(target, source[0], length)
    else:
        for i in range(length):
            target[i] = source[i]


cdef inline void copy_delta(
    uint8_t *target, size_t offset, size_t span, size_t length
) noexcept nogil:
    cdef uint8_t *end = target + length
    while target < end:
        target[0] = <uint8_t>(
            (target - offset)[0] + (target - span)[0] - (target - offset - span)[0]
        )
        target += 1


cdef inline void copy_match(
    uint8_t *block, size_t block_size, const Match *match, bint exact
) noexcept nogil:
    if likely(match.span == 0):
        copy_lz(
            block + match.position, match.offset, match.length, block_size - match.position, exact
        )
    else:
        copy_delta(block + match.position, match.offset, match.span, match.length)
