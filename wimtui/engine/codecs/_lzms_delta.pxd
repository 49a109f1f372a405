# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# Finder of delta matches: places where the differences to the byte one span back repeat.
#
# One table of positions, keyed by the span, the position modulo the span and three differences.
# Looking up every power everywhere takes a fifth of the time and gains 0.1 % over trying a power
# for a while after it has proved useful, and in every fourth stretch of positions otherwise.
#
# The bits of an entry that the position leaves free hold bits of the hash, which spares most
# accesses to the text in vain; then the differences themselves decide.

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from wimtui.engine.codecs._matchfinder cimport (
    block_load32, block_load64, highest_set_bit, lowest_set_bit,
)


cdef enum:
    DELTA_TABLE_BITS = 16
    DELTA_TABLE_SIZE = 1 << 16
    DELTA_POWERS = 8            # spans 1..128
    DELTA_SHORTEST = 3
    DELTA_RAW_BITS = 28         # raw offsets searched for
    DELTA_STRETCH = 64          # positions for which the powers to look up are chosen
    DELTA_PROBE_PERIOD = 4      # every so many stretches all powers are tried
    DELTA_CREDIT = 64           # stretches for which a power is tried after a match worth encoding
    DELTA_MULTIPLIER = 0x9E3779B97F4A7C15


cdef struct DeltaMatch:
    uint32_t length
    uint32_t power
    uint32_t raw                # offset in spans


cdef struct DeltaFinder:
    uint32_t *table             # DELTA_TABLE_SIZE positions, with bits of the hash above them
    uint32_t position_bits
    bint thorough               # try all powers everywhere
    uint32_t credit[DELTA_POWERS]   # stretches left
    uint32_t active_count
    uint32_t active[DELTA_POWERS]


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


cdef inline void start_deltas(DeltaFinder *f, uint32_t size) noexcept nogil:
    """Forget all positions, for a text of ``size`` bytes."""
    memset(f.table, 0, DELTA_TABLE_SIZE * sizeof(uint32_t))
    memset(f.credit, 0, sizeof(f.credit))
    f.position_bits = highest_set_bit(size) + 1
    f.active_count = 0


cdef inline void credit_power(DeltaFinder *f, uint32_t power) noexcept nogil:
    """Note that a match of this power was worth encoding."""
    f.credit[power] = DELTA_CREDIT


cdef inline void choose_powers(DeltaFinder *f, uint32_t stretch) noexcept nogil:
    """Choose the powers to look up in a stretch of positions: all, or those that paid lately."""
    cdef uint32_t power
    cdef bint probe = f.thorough or stretch % DELTA_PROBE_PERIOD == 0
    f.active_count = 0
    for power in range(DELTA_POWERS):
        if f.credit[power]:
            f.credit[power] -= 1
        elif not probe:
            continue
        f.active[f.active_count] = power
        f.active_count += 1


cdef inline uint32_t next_delta_matches(
    DeltaFinder *f, const uint8_t *text, uint32_t position, uint32_t limit, DeltaMatch *matches
) noexcept nogil:
    """Write the delta matches of a position, at most one a power; return how many.

    ``limit`` is the longest length wanted, at most what the text has left; NULL only registers
    the position. Equal bytes a span apart are left to LZ matches.
    """
    cdef uint32_t position_mask = (<uint32_t>1 << f.position_bits) - 1
    cdef uint32_t i, power, span, earlier, check, differences, found = 0
    cdef uint32_t *slot
    cdef uint64_t hash
    if position & (DELTA_STRETCH - 1) == 0:
        choose_powers(f, position / DELTA_STRETCH)
    if limit < DELTA_SHORTEST:
        return 0
    for i in range(f.active_count):
        power = f.active[i]
        span = <uint32_t>1 << power
        if position < span:
            break
        differences = difference32(text + position, span) << 8
        if differences == 0:
            continue
        hash = (differences + span + (position & (span - 1))) * <uint64_t>DELTA_MULTIPLIER
        slot = f.table + (hash >> (64 - DELTA_TABLE_BITS))
        check = <uint32_t>(hash >> 16) & ~position_mask
        earlier = slot[0] ^ check
        slot[0] = check | position
        if earlier > position_mask or matches == NULL:
            continue
        # Two spans of one position may share a slot.
        if earlier < span or earlier == position or (position - earlier) & (span - 1):
            continue
        if difference32(text + earlier, span) << 8 != differences:
            continue
        matches[found].raw = (position - earlier) >> power
        if matches[found].raw >= <uint32_t>1 << DELTA_RAW_BITS:
            continue
        matches[found].length = delta_extent(
            text + position, text + earlier, span, DELTA_SHORTEST, limit
        )
        matches[found].power = power
        found += 1
    return found
