# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# Finder of delta matches: places where the differences to the byte one span back repeat.
#
# One table of positions, keyed by the span, the position modulo the span and three differences.
# Whatever an entry was stored for, the differences themselves decide, so hash clashes only cost a miss.

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from wimtui.engine.codecs._matchfinder cimport (
    HASH_MULTIPLIER, block_load32, block_load64, lowest_set_bit,
)


cdef enum:
    DELTA_TABLE_BITS = 16
    DELTA_TABLE_SIZE = 1 << 16
    DELTA_POWERS = 6            # spans 1..32 are looked up; the format allows 128
    DELTA_SHORTEST = 3


cdef struct DeltaMatch:
    uint32_t length
    uint32_t power
    uint32_t raw                # offset in spans


cdef struct DeltaFinder:
    uint32_t *table             # DELTA_TABLE_SIZE positions


cdef inline uint32_t difference32(const uint8_t *p, uint32_t span) noexcept nogil:
    """Return the four differences of p[0..4) to the bytes ``span`` before, one a byte."""
    cdef uint32_t a = block_load32(p), b = block_load32(p - span)
    return ((a | <uint32_t>0x80808080) - (b & <uint32_t>0x7F7F7F7F)) ^ (
        (a ^ ~b) & <uint32_t>0x80808080
    )


cdef inline uint64_t difference64(const uint8_t *p, uint32_t span) noexcept nogil:
    """Return the eight differences of p[0..8) to the bytes ``span`` before, one a byte."""
    cdef uint64_t a = block_load64(p), b = block_load64(p - span)
    return ((a | <uint64_t>0x8080808080808080) - (b & <uint64_t>0x7F7F7F7F7F7F7F7F)) ^ (
        (a ^ ~b) & <uint64_t>0x8080808080808080
    )


cdef inline uint32_t delta_extent(
    const uint8_t *here, const uint8_t *there, uint32_t span, uint32_t length, uint32_t max_length
) noexcept nogil:
    """Return how far the differences agree, at most ``max_length``; the first ``length`` do."""
    cdef uint64_t v
    while length < max_length:
        v = difference64(here + length, span) ^ difference64(there + length, span)
        if v:
            length += lowest_set_bit(v) >> 3
            return length if length < max_length else max_length
        length += 8
    return max_length


cdef inline uint32_t next_delta_matches(
    DeltaFinder *f, const uint8_t *text, uint32_t position, uint32_t limit, DeltaMatch *matches
) noexcept nogil:
    """Write the delta matches of a position, at most one a power; return how many.

    ``limit`` is the longest length wanted, at most what the text has left; NULL only registers
    the position.
    """
    cdef uint32_t power, span, slot, earlier, found = 0, length, differences
    if limit < DELTA_SHORTEST:
        return 0
    for power in range(DELTA_POWERS):
        span = <uint32_t>1 << power
        if position < span:
            break
        differences = difference32(text + position, span) << 8
        slot = (
            (differences + span + (position & (span - 1))) * <uint32_t>HASH_MULTIPLIER
        ) >> (32 - DELTA_TABLE_BITS)
        earlier = f.table[slot]
        f.table[slot] = position
        # Two spans of one position may share a slot.
        if matches == NULL or earlier < span or earlier == position:
            continue
        if (position - earlier) & (span - 1):
            continue
        if difference32(text + earlier, span) << 8 != differences:
            continue
        length = delta_extent(text + position, text + earlier, span, DELTA_SHORTEST, limit)
        matches[found].length = length
        matches[found].power = power
        matches[found].raw = (position - earlier) >> power
        found += 1
    return found
