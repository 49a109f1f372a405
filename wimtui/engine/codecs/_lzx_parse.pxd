# cython: language_level=3, boundscheck=False, wraparound=False
# cython: initializedcheck=False, cdivision=True
# What both LZX parsers share: the encoder's state and where blocks end; and the lazy parser.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from wimtui.engine.codecs._lzx_block cimport (
    ITEM_LENGTH_BITS, LITERALS, MAX_MATCH, BlockWriter, put_block, tally_item,
)
from wimtui.engine.codecs._matchfinder cimport (
    MatchFinder, block_load32, chains_longest, chains_reset, chains_skip, match_extent, position_t,
)

cdef enum:
    SOFT_MAX_BLOCK = 100000     # a block ends at the first item that reaches this size
    MIN_BLOCK = 6500            # neither a split-off block nor the rest is smaller
    OBSERVATION_KINDS = 10      # 8 of literals, 2 of matches
    CHECK_INTERVAL = 400        # observations between two looks at the statistics
    FAR_3 = 8192                # formatted offset from which a match of three bytes is not worth it


cdef struct SplitStatistics:
    uint32_t recent[OBSERVATION_KINDS]
    uint32_t block[OBSERVATION_KINDS]
    uint32_t recent_count
    uint32_t block_count


cdef struct Encoder:
    BlockWriter writer
    MatchFinder finder
    SplitStatistics split
    uint8_t *data               # the padded input after E8 translation
    uint32_t size
    uint32_t passes             # of the optimal parser; 0 selects the lazy one
    uint32_t recent[3]          # offsets
    uint32_t *items             # of the current block, [items_capacity]
    uint64_t items_capacity
    # The rest serves the optimal parser alone.
    uint32_t *cache             # per position: the count of its matches, then they
    uint64_t cache_capacity
    uint64_t *nodes             # cost << 32 | arriving item, per byte of the block
    uint32_t *gaps              # match in front of a gap arrival, per byte of the block
    uint64_t *queues            # recent offsets of the latest nodes, a ring
    uint32_t observed_literals[LITERALS]
    uint32_t observed_matches
    uint32_t literal_costs[LITERALS]
    uint32_t aligned_costs[8]
    uint16_t *match_costs       # [slot][length - 2]
    uint16_t first_length_costs[256]


cdef inline void observe_literal(SplitStatistics *s, uint8_t byte) noexcept nogil:
    s.recent[(byte >> 5 & 6) | (byte & 1)] += 1
    s.recent_count += 1


cdef inline void observe_match(SplitStatistics *s, uint32_t length) noexcept nogil:
    s.recent[9 if length >= 5 else 8] += 1
    s.recent_count += 1


cdef inline bint data_changed(SplitStatistics *s) noexcept nogil:
    """Compare the recent observations with the block's; merge them if they are alike.

    Changed means: the sum of the differences of the relative frequencies reaches 7/8.
    """
    cdef uint64_t difference = 0, expected, actual
    cdef uint32_t i
    if s.block_count:
        for i in range(OBSERVATION_KINDS):
            expected = <uint64_t>s.block[i] * s.recent_count
            actual = <uint64_t>s.recent[i] * s.block_count
            difference += actual - expected if actual > expected else expected - actual
        if 8 * difference >= <uint64_t>7 * s.recent_count * s.block_count:
            return True
    for i in range(OBSERVATION_KINDS):
        s.block[i] += s.recent[i]
        s.recent[i] = 0
    s.block_count += s.recent_count
    s.recent_count = 0
    return False


cdef inline bint block_ends(Encoder *e, uint32_t begin, uint32_t pos) noexcept nogil:
    """Return whether the block from ``begin`` should end at ``pos``."""
    if pos >= e.size or pos - begin >= SOFT_MAX_BLOCK:
        return True
    if e.split.recent_count < CHECK_INTERVAL or pos - begin < MIN_BLOCK or e.size - pos < MIN_BLOCK:
        return False
    return data_changed(&e.split)


cdef inline uint32_t room_at(Encoder *e, uint32_t pos) noexcept nogil:
    """Return the longest match length that ``pos`` allows."""
    return e.size - pos if e.size - pos < MAX_MATCH else MAX_MATCH


# ---- Lazy parsing ----

cdef struct Match:
    uint32_t length             # 0: none
    uint32_t value              # formatted offset, or index of a recent offset
    uint32_t score


cdef inline uint32_t explicit_score(uint32_t length, uint32_t formatted_offset) noexcept nogil:
    return length + (1 if formatted_offset < 4096 else 0) + (1 if formatted_offset < 256 else 0)


cdef inline Match longest_repeat(Encoder *e, uint32_t pos) noexcept nogil:
    """Return the longest match of three bytes or more at a recent offset."""
    cdef Match best
    cdef uint32_t prefix = block_load32(e.data + pos), room = room_at(e, pos), i, length
    best.length = best.value = best.score = 0
    if room < 3:
        return best
    for i in range(3):
        if e.recent[i] > pos:
            continue
        if (block_load32(e.data + pos - e.recent[i]) ^ prefix) & 0xFFFFFF:
            continue
        length = match_extent(e.data + pos, e.data + pos - e.recent[i], 3, room)
        if length > best.length:
            best.length = length
            best.value = i
            best.score = length + 3
    return best


cdef inline void use_offset(uint32_t *recent, uint32_t value) noexcept nogil:
    """Update the recent offsets for a match; a repeated one is swapped to the front."""
    cdef uint32_t offset
    if value >= 3:
        recent[2] = recent[1]
        recent[1] = recent[0]
        recent[0] = value - 2
    else:
        offset = recent[value]
        recent[value] = recent[0]
        recent[0] = offset


cdef inline Match first_match(Encoder *e, position_t *table, uint32_t pos) noexcept nogil:
    """Return the better of the explicit and the repeat match at ``pos``."""
    cdef Match found, repeat
    cdef uint32_t offset = 0
    found.value = found.score = 0
    found.length = chains_longest(
        &e.finder, table, pos, 2, room_at(e, pos), e.finder.depth, &offset
    )
    if found.length < 3:
        found.length = 0
        return found
    found.value = offset + 2
    if offset == e.recent[0]:
        found.value = 0
        return found
    if (
        found.length == 3 and found.value >= FAR_3
        and offset != e.recent[1] and offset != e.recent[2]
    ):
        found.length = 0
        return found
    found.score = explicit_score(found.length, found.value)
    repeat = longest_repeat(e, pos)
    return repeat if repeat.score >= found.score else found


cdef inline Match next_match(
    Encoder *e, position_t *table, uint32_t pos, const Match *current
) noexcept nogil:
    """Return the best match at ``pos`` if it scores above the one a byte before, else none."""
    cdef Match found, repeat
    cdef uint32_t offset = 0, least = current.length - 2 if current.length > 4 else 2
    found.value = found.score = 0
    found.length = chains_longest(
        &e.finder, table, pos, least, room_at(e, pos), (e.finder.depth + 1) // 2, &offset
    )
    if found.length > least:
        found.value = offset + 2
        found.score = explicit_score(found.length, found.value)
    repeat = longest_repeat(e, pos)
    if repeat.score >= found.score:
        found = repeat
    if found.score <= current.score:
        found.length = 0
    return found


cdef inline void put_item(
    Encoder *e, uint32_t *count, uint32_t value, uint32_t length
) noexcept nogil:
    cdef uint32_t item = value << ITEM_LENGTH_BITS | length
    e.items[count[0]] = item
    count[0] += 1
    tally_item(&e.writer, item)
    if length == 1:
        observe_literal(&e.split, <uint8_t>value)
    else:
        observe_match(&e.split, length)


cdef inline uint32_t parse_lazy_item(
    Encoder *e, position_t *table, uint32_t pos, uint32_t *count
) noexcept nogil:
    """Parse one match with the literals in front of it; return the position behind it."""
    cdef Match current = first_match(e, table, pos), better
    cdef uint32_t entered = 1
    if current.length == 0:
        put_item(e, count, e.data[pos], 1)
        return pos + 1
    while current.value >= 3 and current.length < e.finder.nice and pos + 1 < e.size:
        better = next_match(e, table, pos + 1, &current)
        if better.length == 0:
            entered = 2
            break
        put_item(e, count, e.data[pos], 1)
        pos += 1
        current = better
    put_item(e, count, current.value, current.length)
    use_offset(e.recent, current.value)
    chains_skip(&e.finder, table, pos + entered, current.length - entered)
    return pos + current.length


cdef inline bint encode_lazy(Encoder *e, position_t *table) noexcept nogil:
    """Encode the whole input; return False where it would not shrink."""
    cdef uint32_t pos = 0, begin, count
    chains_reset(&e.finder, table)
    while pos < e.size:
        begin = pos
        count = 0
        memset(&e.split, 0, sizeof(SplitStatistics))
        while not block_ends(e, begin, pos):
            pos = parse_lazy_item(e, table, pos, &count)
        if not put_block(&e.writer, e.data + begin, pos - begin, e.items, count, e.recent):
            return False
    return True
