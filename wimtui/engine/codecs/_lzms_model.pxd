# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# LZMS model: what the encoder knows of the items so far; the parsers read their costs from it.
#
# Costs are in 1 / COST_ONE bit.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from wimtui.engine.codecs._lzms_tables cimport (
    DELTA_STATES, INITIAL_HISTORY, INITIAL_ZEROS, LENGTH_SYMBOLS, LZ_STATES, MAIN_STATES,
    MATCH_STATES, OFFSET_SYMBOLS, REPEAT_STATES, LzmsSlots, fill_lzms_slots, find_slot,
)


cdef extern from "<math.h>" nogil:
    double log2(double value) noexcept


cdef enum:
    COST_ONE = 64
    HISTORY_BITS = 64
    COSTED_LENGTHS = 256        # lengths below have their cost in a table
    # Offsets below SPLIT_1 have their slot in a table of their own; above, the bases of the slots
    # are congruent modulo 2**7, 2**11 and 2**16, which gives three more tables.
    SPLIT_1 = 0x6A5
    SPLIT_2 = 0xE4A5
    SPLIT_3 = 0x3DE4A5
    SPLIT_4 = 0x65BE4A5


cdef enum ItemKind:
    LITERAL                     # value: the byte
    LZ_EXPLICIT                 # value: offset
    LZ_REPEAT                   # value: queue index
    DELTA_EXPLICIT              # value: power << DELTA_RAW_BITS | raw offset
    DELTA_REPEAT                # value: queue index


cdef enum LastMatch:
    NO_MATCH
    LZ_MATCH
    DELTA_MATCH


cdef struct Probability:
    uint64_t history            # the last 64 bits, newest lowest
    uint32_t zeros              # among them
    uint16_t cost[2]


cdef struct AdaptiveCode:
    uint32_t symbols
    uint32_t period
    uint32_t left               # symbols until the next rebuild
    uint32_t frequencies[OFFSET_SYMBOLS]
    uint16_t codewords[OFFSET_SYMBOLS]
    uint16_t costs[OFFSET_SYMBOLS]  # of codeword and extra bits
    uint8_t lengths[OFFSET_SYMBOLS]


# What depends on the items before: the repeat queues, newest first, and the decision states.
cdef struct PathState:
    uint32_t lz_queue[4]
    uint32_t delta_queue[4]
    uint8_t main
    uint8_t match
    uint8_t lz
    uint8_t delta
    uint8_t lz_repeat[2]
    uint8_t delta_repeat[2]
    uint32_t last               # LastMatch: what the preceding item was


cdef struct LzmsTables:
    LzmsSlots slots
    uint16_t cost_of_zeros[HISTORY_BITS + 1]
    uint8_t length_slot[COSTED_LENGTHS]
    uint8_t offset_slot_1[SPLIT_1]
    uint8_t offset_slot_2[(SPLIT_2 - SPLIT_1) >> 7]
    uint16_t offset_slot_3[(SPLIT_3 - SPLIT_2) >> 11]
    uint16_t offset_slot_4[((SPLIT_4 - SPLIT_3) >> 16) + 1]


cdef struct LzmsModel:
    LzmsTables tables
    Probability main[MAIN_STATES]
    Probability match[MATCH_STATES]
    Probability lz[LZ_STATES]
    Probability delta[DELTA_STATES]
    Probability lz_repeat[2][REPEAT_STATES]
    Probability delta_repeat[2][REPEAT_STATES]
    AdaptiveCode literal_code
    AdaptiveCode offset_code
    AdaptiveCode length_code
    AdaptiveCode delta_offset_code
    AdaptiveCode power_code
    uint16_t length_cost[COSTED_LENGTHS]
    PathState state
    # Range coder, filling the output from the front.
    uint64_t low                # 33 bits
    uint32_t range_size
    uint32_t held               # units 0xFFFF that a carry may still change, behind the cached one
    uint32_t cached             # the unit before them, once there is one
    bint has_cached
    # Bit stream, filling the output from the back.
    uint64_t bits
    uint32_t bit_count
    bint full                   # the two have met: the block does not fit
    uint16_t *front
    uint16_t *back


# ---- Tables ----

cdef inline void fill_tables(LzmsTables *t) noexcept nogil:
    """Lay out what depends on nothing but the format."""
    cdef uint32_t i
    cdef const uint32_t *base = t.slots.offset_base
    fill_lzms_slots(&t.slots)
    for i in range(1, HISTORY_BITS):
        t.cost_of_zeros[i] = <uint16_t>(0.5 - COST_ONE * log2(i / <double>HISTORY_BITS))
    t.cost_of_zeros[0] = t.cost_of_zeros[1]
    t.cost_of_zeros[HISTORY_BITS] = t.cost_of_zeros[HISTORY_BITS - 1]
    for i in range(1, COSTED_LENGTHS):
        t.length_slot[i] = <uint8_t>find_slot(t.slots.length_base, LENGTH_SYMBOLS, i)
    for i in range(1, SPLIT_1):
        t.offset_slot_1[i] = <uint8_t>find_slot(base, OFFSET_SYMBOLS, i)
    for i in range((SPLIT_2 - SPLIT_1) >> 7):
        t.offset_slot_2[i] = <uint8_t>find_slot(base, OFFSET_SYMBOLS, SPLIT_1 + (i << 7))
    for i in range((SPLIT_3 - SPLIT_2) >> 11):
        t.offset_slot_3[i] = <uint16_t>find_slot(base, OFFSET_SYMBOLS, SPLIT_2 + (i << 11))
    for i in range((SPLIT_4 - SPLIT_3) >> 16):
        t.offset_slot_4[i] = <uint16_t>find_slot(base, OFFSET_SYMBOLS, SPLIT_3 + (i << 16))


cdef inline uint32_t offset_slot(const LzmsTables *t, uint32_t offset) noexcept nogil:
    if offset < SPLIT_1:
        return t.offset_slot_1[offset]
    if offset < SPLIT_2:
        return t.offset_slot_2[(offset - SPLIT_1) >> 7]
    if offset < SPLIT_3:
        return t.offset_slot_3[(offset - SPLIT_2) >> 11]
    if offset < SPLIT_4:
        return t.offset_slot_4[(offset - SPLIT_3) >> 16]
    return OFFSET_SYMBOLS - 1


cdef inline uint32_t length_slot(const LzmsTables *t, uint32_t length) noexcept nogil:
    if length < COSTED_LENGTHS:
        return t.length_slot[length]
    return find_slot(t.slots.length_base, LENGTH_SYMBOLS, length)


# ---- State ----

cdef inline uint32_t repeat_cost(
    const Probability *first, const Probability *second, const uint8_t *states, uint32_t index
) noexcept nogil:
    if index == 0:
        return first[states[0]].cost[0]
    return first[states[0]].cost[1] + <uint32_t>second[states[1]].cost[index - 1]

cdef inline void move_to_front(uint32_t *queue, uint32_t index) noexcept nogil:
    cdef uint32_t value = queue[index]
    while index:
        queue[index] = queue[index - 1]
        index -= 1
    queue[0] = value


cdef inline void push_front(uint32_t *queue, uint32_t value) noexcept nogil:
    queue[3] = queue[2]
    queue[2] = queue[1]
    queue[1] = queue[0]
    queue[0] = value


cdef inline void note_repeat(uint8_t *states, uint32_t index) noexcept nogil:
    states[0] = (states[0] << 1 | (index > 0)) & (REPEAT_STATES - 1)
    if index:
        states[1] = (states[1] << 1 | (index > 1)) & (REPEAT_STATES - 1)


cdef inline void follow_item(PathState *s, ItemKind kind, uint32_t value) noexcept nogil:
    """Advance the state past an item."""
    cdef uint32_t bit
    if kind == LITERAL:
        s.main = (s.main << 1) & (MAIN_STATES - 1)
        s.last = NO_MATCH
        return
    s.main = (s.main << 1 | 1) & (MAIN_STATES - 1)
    if kind <= LZ_REPEAT:
        s.match = (s.match << 1) & (MATCH_STATES - 1)
        bit = kind == LZ_REPEAT
        s.lz = (s.lz << 1 | bit) & (LZ_STATES - 1)
        if bit:
            note_repeat(s.lz_repeat, value)
            move_to_front(s.lz_queue, value + (s.last == LZ_MATCH))
        else:
            push_front(s.lz_queue, value)
        s.last = LZ_MATCH
    else:
        s.match = (s.match << 1 | 1) & (MATCH_STATES - 1)
        bit = kind == DELTA_REPEAT
        s.delta = (s.delta << 1 | bit) & (DELTA_STATES - 1)
        if bit:
            note_repeat(s.delta_repeat, value)
            move_to_front(s.delta_queue, value + (s.last == DELTA_MATCH))
        else:
            push_front(s.delta_queue, value)
        s.last = DELTA_MATCH


cdef inline void start_decisions(
    LzmsModel *m, Probability *probabilities, uint32_t states
) noexcept nogil:
    cdef uint32_t i
    for i in range(states):
        probabilities[i].history = INITIAL_HISTORY
        probabilities[i].zeros = INITIAL_ZEROS
        probabilities[i].cost[0] = m.tables.cost_of_zeros[INITIAL_ZEROS]
        probabilities[i].cost[1] = m.tables.cost_of_zeros[HISTORY_BITS - INITIAL_ZEROS]


cdef inline void start_state(PathState *s) noexcept nogil:
    cdef uint32_t i
    for i in range(4):
        s.lz_queue[i] = i + 1
        s.delta_queue[i] = i + 1
    s.main = s.match = s.lz = s.delta = 0
    s.lz_repeat[0] = s.lz_repeat[1] = s.delta_repeat[0] = s.delta_repeat[1] = 0
    s.last = NO_MATCH
