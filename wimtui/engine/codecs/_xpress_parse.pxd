# cython: language_level=3, boundscheck=False, wraparound=False
# cython: initializedcheck=False, cdivision=True
# XPRESS parsing: how a block becomes items. Greedy and lazy parsing use hash chains; near-optimal
# parsing takes the cheapest path through all matches, which binary trees find.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from wimtui.engine.codecs._huffman_code cimport make_code_lengths
from wimtui.engine.codecs._matchfinder cimport (
    MATCH_LENGTH_BITS, MATCH_LENGTH_MASK, MatchFinder, chains_longest, chains_reset, chains_skip,
    highest_set_bit, match_extent, trees_advance, trees_reset,
)

cdef enum:
    SYMBOLS = 512
    MAX_CODE_LENGTH = 15
    TABLE_NBYTES = 256
    END_OF_DATA = 256
    MIN_MATCH = 3
    LONG_HEADER = 15            # length header that announces raw length bytes
    MAX_TREE_MATCH = 511
    FLAT_COST = 9               # bits of every symbol before the first code is known
    CACHE_PER_BYTE = 8          # cached matches a position, on average
    CACHE_SLACK = 1024


cdef enum Parser:
    GREEDY
    LAZY
    OPTIMAL


# An item is symbol | (length - 3) << 16 | low offset bits << 32; a literal is its byte.
cdef struct Encoder:
    MatchFinder finder
    Parser parser
    uint32_t passes
    uint32_t size               # of this block
    uint32_t item_count
    uint32_t long_lengths       # matches with a 16-bit raw length
    uint8_t *block
    uint64_t *items
    uint32_t *cache             # per position: matches as offset << 9 | length, then their count
    uint32_t *cost_to_end       # in bits, [size + 1]
    uint32_t *choices           # best item of a position as length << 16 | offset, [size]
    uint32_t frequencies[SYMBOLS]
    uint8_t lengths[SYMBOLS]
    uint16_t codewords[SYMBOLS]


cdef inline uint64_t *put_literal(Encoder *e, uint64_t *item, uint32_t pos) noexcept nogil:
    cdef uint8_t byte = e.block[pos]
    item[0] = byte
    e.frequencies[byte] += 1
    return item + 1


cdef inline uint64_t *put_match(
    Encoder *e, uint64_t *item, uint32_t length, uint32_t offset
) noexcept nogil:
    cdef uint32_t adjusted = length - MIN_MATCH
    cdef uint32_t log2_offset = highest_set_bit(offset)
    cdef uint32_t symbol = 256 + (log2_offset << 4)
    symbol |= adjusted if adjusted < LONG_HEADER else LONG_HEADER
    if adjusted >= LONG_HEADER + 255:
        e.long_lengths += 1
    e.frequencies[symbol] += 1
    item[0] = (
        symbol | <uint64_t>adjusted << 16 | <uint64_t>(offset ^ (<uint32_t>1 << log2_offset)) << 32
    )
    return item + 1


cdef inline void parse_chains(Encoder *e, bint lazy) noexcept nogil:
    """Parse greedily, or put a match off by a byte as long as that makes it longer."""
    cdef MatchFinder *finder = &e.finder
    cdef uint16_t *table = <uint16_t *>finder.tables
    cdef uint32_t size = e.size, pos = 0, length, longer, offset = 0, next_offset = 0
    cdef uint32_t depth = finder.depth, ahead_depth = (depth + 1) // 2
    cdef uint32_t far3 = 2048 if size <= 8192 else 4096
    cdef uint64_t *item = e.items
    chains_reset(finder, table)
    while pos < size:
        length = chains_longest(finder, table, pos, MIN_MATCH - 1, size - pos, depth, &offset)
        if length < MIN_MATCH or (length == MIN_MATCH and offset >= far3):
            item = put_literal(e, item, pos)
            pos += 1
            continue
        longer = 0
        while lazy and length < finder.nice and pos + 1 < size:
            longer = chains_longest(
                finder, table, pos + 1, length, size - pos - 1, ahead_depth, &next_offset
            )
            if longer == length:
                break
            item = put_literal(e, item, pos)
            pos += 1
            length = longer
            offset = next_offset
            longer = 0
        item = put_match(e, item, length, offset)
        if longer:
            chains_skip(finder, table, pos + 2, length - 2)
        else:
            chains_skip(finder, table, pos + 1, length - 1)
        pos += length
    e.item_count = <uint32_t>(item - e.items)


cdef inline uint32_t tree_room(uint32_t room) noexcept nogil:
    return room if room < MAX_TREE_MATCH else MAX_TREE_MATCH


cdef inline uint32_t *collect_matches(Encoder *e) noexcept nogil:
    """Cache the matches of all positions, each list followed by its count; return the end."""
    cdef MatchFinder *finder = &e.finder
    cdef uint16_t *table = <uint16_t *>finder.tables
    cdef uint32_t *cache = e.cache
    cdef uint32_t *limit = e.cache + <uint64_t>CACHE_PER_BYTE * e.size
    cdef uint32_t *begin
    cdef uint32_t size = e.size, pos = 0, longest, skip
    trees_reset(finder, table)
    while pos < size:
        begin = cache
        if cache < limit:
            cache = trees_advance(finder, table, pos, tree_room(size - pos), True, False, cache)
        longest = (cache - 1)[0] if cache > begin else 0
        cache[0] = <uint32_t>(cache - begin)
        cache += 1
        pos += 1
        if longest & MATCH_LENGTH_MASK < finder.nice:
            continue
        skip = match_extent(
            e.block + pos - 1, e.block + pos - 1 - (longest >> MATCH_LENGTH_BITS),
            longest & MATCH_LENGTH_MASK, size - pos + 1,
        ) - 1
        while skip:
            if cache < limit:
                trees_advance(finder, table, pos, tree_room(size - pos), False, False, NULL)
            cache[0] = 0
            cache += 1
            pos += 1
            skip -= 1
    return cache


cdef inline uint32_t length_bits(uint32_t adjusted) noexcept nogil:
    """Return the bits of the raw bytes of a match ``adjusted + 3`` long."""
    if adjusted < LONG_HEADER:
        return 0
    return 8 if adjusted < LONG_HEADER + 255 else 24


cdef inline uint32_t match_symbol(uint32_t adjusted, uint32_t log2_offset) noexcept nogil:
    return 256 + (log2_offset << 4) + (adjusted if adjusted < LONG_HEADER else LONG_HEADER)


cdef inline void find_cheapest_path(Encoder *e, const uint32_t *cache) noexcept nogil:
    """Choose the best item of every position, from the last to the first; ``cache`` is the end."""
    cdef uint32_t pos = e.size, count, best, choice, cost, adjusted, offset, length, log2_offset
    cdef uint32_t i, top
    cdef uint32_t symbol_costs[SYMBOLS]
    for i in range(SYMBOLS):
        symbol_costs[i] = e.lengths[i] + ((i >> 4) & 15 if i >= 256 else 0)
    e.cost_to_end[pos] = 0
    while pos:
        pos -= 1
        cache -= 1
        count = cache[0]
        cache -= count
        best = symbol_costs[e.block[pos]] + e.cost_to_end[pos + 1]
        choice = 1 << 16
        if count and cache[count - 1] & MATCH_LENGTH_MASK >= e.finder.nice:
            offset = cache[count - 1] >> MATCH_LENGTH_BITS
            length = cache[count - 1] & MATCH_LENGTH_MASK
            length = match_extent(e.block + pos, e.block + pos - offset, length, e.size - pos)
            adjusted = length - MIN_MATCH
            cost = symbol_costs[match_symbol(adjusted, highest_set_bit(offset))]
            cost += length_bits(adjusted) + e.cost_to_end[pos + length]
            if cost < best:
                best = cost
                choice = length << 16 | offset
            count -= 1
        length = MIN_MATCH
        for i in range(count):
            offset = cache[i] >> MATCH_LENGTH_BITS
            top = cache[i] & MATCH_LENGTH_MASK
            log2_offset = highest_set_bit(offset)
            while length <= top:
                adjusted = length - MIN_MATCH
                cost = symbol_costs[match_symbol(adjusted, log2_offset)]
                cost += length_bits(adjusted) + e.cost_to_end[pos + length]
                if cost < best:
                    best = cost
                    choice = length << 16 | offset
                length += 1
        e.cost_to_end[pos] = best
        e.choices[pos] = choice


cdef inline void follow_path(Encoder *e) noexcept nogil:
    """Turn the chosen items into the item list and its tallies."""
    cdef uint32_t pos = 0, length
    cdef uint64_t *item = e.items
    memset(e.frequencies, 0, sizeof(e.frequencies))
    e.long_lengths = 0
    while pos < e.size:
        length = e.choices[pos] >> 16
        if length == 1:
            item = put_literal(e, item, pos)
        else:
            item = put_match(e, item, length, e.choices[pos] & 0xFFFF)
        pos += length
    e.item_count = <uint32_t>(item - e.items)
    e.frequencies[END_OF_DATA] += 1


cdef inline void parse_optimal(Encoder *e) noexcept nogil:
    """Parse near-optimally: cheapest path under the code that the previous pass led to."""
    cdef uint32_t *cache = collect_matches(e)
    cdef uint32_t i, k
    memset(e.lengths, FLAT_COST, SYMBOLS)
    for k in range(e.passes):
        find_cheapest_path(e, cache)
        follow_path(e)
        if k + 1 < e.passes:
            make_code_lengths(e.frequencies, SYMBOLS, MAX_CODE_LENGTH, e.lengths)
            for i in range(SYMBOLS):
                if e.lengths[i] == 0:
                    e.lengths[i] = MAX_CODE_LENGTH
