# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# Lazy LZMS parser: at each position the match that saves most bits by the model's current costs,
# put off by a byte as long as the next position saves more. LZ matches only.

from libc.stdint cimport int32_t, uint8_t, uint32_t

from wimtui.engine.codecs._lzms_encoder cimport put_item
from wimtui.engine.codecs._lzms_intervals cimport WINDOW_SIZE_MAX
from wimtui.engine.codecs._lzms_model cimport (
    COST_ONE, COSTED_LENGTHS, LITERAL, LZ_EXPLICIT, LZ_MATCH, LZ_REPEAT, ItemKind, LzmsModel,
    offset_slot, repeat_cost,
)
from wimtui.engine.codecs._matchfinder cimport (
    MatchFinder, block_load16, chains_longest, chains_reset, chains_skip, match_extent,
)


cdef enum:
    LITERAL_WORTH = 7 * COST_ONE    # what a byte inside a match is taken to save


cdef struct Candidate:
    uint32_t value
    uint32_t length             # 0 for none
    int32_t gain                # bits saved, in 1 / COST_ONE
    ItemKind kind


cdef struct LazyParser:
    LzmsModel *model
    const uint8_t *text
    uint32_t size
    uint32_t window             # start of the window in the finder
    uint32_t window_end
    MatchFinder chains
    uint32_t *tables            # of the finder


cdef inline int32_t gain_of(const LzmsModel *m, uint32_t length, uint32_t cost) noexcept nogil:
    """Return the bits a match saves; lengths beyond the cost table all count as its last."""
    if length >= COSTED_LENGTHS:
        length = COSTED_LENGTHS - 1
    return <int32_t>(length * LITERAL_WORTH) - <int32_t>(cost + m.length_cost[length])


cdef inline void try_repeats(
    LazyParser *s, uint32_t position, uint32_t shift, Candidate *best
) noexcept nogil:
    cdef const LzmsModel *m = s.model
    cdef const uint8_t *here = s.text + position
    cdef uint32_t cost = m.lz[m.state.lz].cost[1], index, offset, length
    cdef int32_t gain
    for index in range(3):
        offset = m.state.lz_queue[index + shift]
        if offset > position or block_load16(here) != block_load16(here - offset):
            continue
        length = match_extent(here, here - offset, 2, s.size - position)
        gain = gain_of(
            m, length,
            cost + repeat_cost(m.lz_repeat[0], m.lz_repeat[1], m.state.lz_repeat, index),
        )
        if gain > best.gain:
            best.kind = LZ_REPEAT
            best.value = index
            best.length = length
            best.gain = gain


cdef inline void try_chains(
    LazyParser *s, uint32_t position, uint32_t depth, Candidate *best
) noexcept nogil:
    cdef const LzmsModel *m = s.model
    cdef uint32_t length, offset = 0
    cdef int32_t gain
    length = chains_longest(
        &s.chains, s.tables, position - s.window, 2, s.window_end - position, depth, &offset
    )
    if length < 3:
        return
    gain = gain_of(
        m, length,
        m.lz[m.state.lz].cost[0] + m.offset_code.costs[offset_slot(&m.tables, offset)],
    )
    if gain > best.gain:
        best.kind = LZ_EXPLICIT
        best.value = offset
        best.length = length
        best.gain = gain


cdef inline Candidate find_candidate(
    LazyParser *s, uint32_t position, uint32_t shift, uint32_t depth
) noexcept nogil:
    """Return the match at a position that saves most, and register the position."""
    cdef Candidate best
    cdef uint32_t size
    best.kind = LITERAL
    best.value = 0
    best.length = 0
    best.gain = 0
    if position >= s.window_end:    # beyond it after a repeat match across the border
        size = s.size - position
        s.window = position
        s.window_end = position + (size if size < WINDOW_SIZE_MAX else WINDOW_SIZE_MAX)
        s.chains.data = s.text + position
        chains_reset(&s.chains, s.tables)
    if s.size - position >= 2:
        try_repeats(s, position, shift, &best)
    try_chains(s, position, depth, &best)
    return best


cdef inline void pass_over_chains(
    LazyParser *s, uint32_t position, uint32_t end
) noexcept nogil:
    """Register positions inside a match, those of this window."""
    if end > s.window_end:
        end = s.window_end
    if position < end:
        chains_skip(&s.chains, s.tables, position - s.window, end - position)


cdef inline void parse_lazily(LazyParser *s) noexcept nogil:
    """Encode the text; stops early where the model finds its output full."""
    cdef uint32_t position = 0, end, looked
    cdef Candidate best, later
    s.window_end = 0
    while position < s.size and not s.model.full:
        best = find_candidate(s, position, s.model.state.last == LZ_MATCH, s.chains.depth)
        looked = position + 1
        while best.length and best.length < s.chains.nice and looked < s.window_end:
            later = find_candidate(s, looked, 0, (s.chains.depth + 1) >> 1)
            looked += 1
            if later.gain <= best.gain:
                break
            put_item(s.model, LITERAL, s.text[position], 1)
            position += 1
            best = later
        if best.length == 0:
            put_item(s.model, LITERAL, s.text[position], 1)
            position += 1
            continue
        put_item(s.model, best.kind, best.value, best.length)
        end = position + best.length
        pass_over_chains(s, looked, end)
        position = end
