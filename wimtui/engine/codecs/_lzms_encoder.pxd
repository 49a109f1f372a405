# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# LZMS item encoder: binary decisions to the range coder, symbols to the backward bit stream.

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from wimtui.engine.codecs._huffman_code cimport make_code_lengths, make_codewords
from wimtui.engine.codecs._lzms_delta cimport DELTA_RAW_BITS
from wimtui.engine.codecs._lzms_model cimport (
    COST_ONE, COSTED_LENGTHS, DELTA_EXPLICIT, DELTA_REPEAT, HISTORY_BITS, LITERAL, LZ_EXPLICIT,
    LZ_REPEAT, AdaptiveCode, ItemKind, LzmsModel, PathState, Probability, follow_item, length_slot,
    offset_slot, start_decisions, start_state,
)
from wimtui.engine.codecs._lzms_tables cimport (
    DELTA_STATES, LENGTH_PERIOD, LENGTH_SYMBOLS, LITERAL_PERIOD, LITERAL_SYMBOLS, LZ_STATES,
    MAIN_STATES, MATCH_STATES, MAX_CODEWORD_BITS, OFFSET_PERIOD, POWER_PERIOD, POWER_SYMBOLS,
    REPEAT_STATES, offset_symbol_count,
)


# ---- Output ----

cdef inline void put_unit(LzmsModel *m, uint16_t unit) noexcept nogil:
    if m.front >= m.back:
        m.full = True
        return
    m.front[0] = unit
    m.front += 1


cdef inline void shift_low(LzmsModel *m) noexcept nogil:
    """Move the top unit out of ``low``; it is written once no carry can reach it."""
    cdef uint32_t carry = <uint32_t>(m.low >> 32), top = <uint32_t>(m.low >> 16) & 0xFFFF
    if carry == 0 and top == 0xFFFF:
        m.held += 1
    else:
        if m.has_cached:
            put_unit(m, <uint16_t>(m.cached + carry))
        while m.held:
            put_unit(m, <uint16_t>(0xFFFF + carry))
            m.held -= 1
        m.cached = top
        m.has_cached = True
    m.low = (m.low & 0xFFFF) << 16


cdef inline void put_decision(LzmsModel *m, Probability *p, uint32_t bit) noexcept nogil:
    """Code one binary decision with the probability, and let it learn."""
    cdef uint32_t zeros = p.zeros, bound
    if m.range_size < 0x10000:
        m.range_size <<= 16
        shift_low(m)
    zeros = 1 if zeros == 0 else (HISTORY_BITS - 1 if zeros == HISTORY_BITS else zeros)
    bound = (m.range_size >> 6) * zeros
    if bit:
        m.low += bound
        m.range_size -= bound
    else:
        m.range_size = bound
    p.zeros += <uint32_t>(p.history >> 63) - bit
    p.history = p.history << 1 | bit
    p.cost[0] = m.tables.cost_of_zeros[p.zeros]
    p.cost[1] = m.tables.cost_of_zeros[HISTORY_BITS - p.zeros]


cdef inline void put_bits(LzmsModel *m, uint32_t value, uint32_t count) noexcept nogil:
    """Append ``count`` <= 30 verbatim bits."""
    m.bits = m.bits << count | value
    m.bit_count += count
    while m.bit_count >= 16:
        m.bit_count -= 16
        if m.front >= m.back:
            m.full = True
            return
        m.back -= 1
        m.back[0] = <uint16_t>(m.bits >> m.bit_count)


cdef inline void finish_streams(LzmsModel *m) noexcept nogil:
    """Write out what the two coders still hold."""
    shift_low(m)
    shift_low(m)
    if m.has_cached:
        put_unit(m, <uint16_t>m.cached)
    while m.held:
        put_unit(m, 0xFFFF)
        m.held -= 1
    if m.bit_count:
        put_bits(m, 0, 16 - m.bit_count)


# ---- Adaptive codes ----

cdef inline void rebuild_code(AdaptiveCode *code, const uint8_t *extra) noexcept nogil:
    cdef uint32_t i
    make_code_lengths(code.frequencies, code.symbols, MAX_CODEWORD_BITS, code.lengths)
    make_codewords(code.lengths, code.symbols, code.codewords)
    for i in range(code.symbols):
        code.costs[i] = <uint16_t>(code.lengths[i] * COST_ONE)
        if extra != NULL:
            code.costs[i] += <uint16_t>(extra[i] * COST_ONE)
    code.left = code.period


cdef inline void start_code(
    AdaptiveCode *code, uint32_t symbols, uint32_t period, const uint8_t *extra
) noexcept nogil:
    cdef uint32_t i
    code.symbols = symbols
    code.period = period
    for i in range(symbols):
        code.frequencies[i] = 1
    rebuild_code(code, extra)


cdef inline bint put_symbol(
    LzmsModel *m, AdaptiveCode *code, uint32_t symbol, const uint8_t *extra
) noexcept nogil:
    """Write a codeword and let the code learn; return whether it was rebuilt."""
    cdef uint32_t i
    put_bits(m, code.codewords[symbol], code.lengths[symbol])
    code.frequencies[symbol] += 1
    code.left -= 1
    if code.left:
        return False
    rebuild_code(code, extra)
    for i in range(code.symbols):
        code.frequencies[i] = (code.frequencies[i] >> 1) + 1
    return True


cdef inline void cost_lengths(LzmsModel *m) noexcept nogil:
    cdef uint32_t length
    for length in range(1, COSTED_LENGTHS):
        m.length_cost[length] = m.length_code.costs[m.tables.length_slot[length]]


cdef inline void put_length(LzmsModel *m, uint32_t length) noexcept nogil:
    cdef uint32_t slot = length_slot(&m.tables, length)
    cdef bint rebuilt = put_symbol(m, &m.length_code, slot, m.tables.slots.length_extra)
    put_bits(m, length - m.tables.slots.length_base[slot], m.tables.slots.length_extra[slot])
    if rebuilt:
        cost_lengths(m)


cdef inline void put_offset(LzmsModel *m, AdaptiveCode *code, uint32_t offset) noexcept nogil:
    cdef uint32_t slot = offset_slot(&m.tables, offset)
    put_symbol(m, code, slot, m.tables.slots.offset_extra)
    put_bits(m, offset - m.tables.slots.offset_base[slot], m.tables.slots.offset_extra[slot])


# ---- Items ----

cdef inline void put_repeat(
    LzmsModel *m, Probability *first, Probability *second, const uint8_t *states, uint32_t index
) noexcept nogil:
    put_decision(m, first + states[0], index > 0)
    if index:
        put_decision(m, second + states[1], index > 1)


cdef inline void put_match(
    LzmsModel *m, ItemKind kind, uint32_t value, uint32_t length
) noexcept nogil:
    cdef PathState *s = &m.state
    put_decision(m, &m.match[s.match], kind >= DELTA_EXPLICIT)
    if kind <= LZ_REPEAT:
        put_decision(m, &m.lz[s.lz], kind == LZ_REPEAT)
    else:
        put_decision(m, &m.delta[s.delta], kind == DELTA_REPEAT)
    if kind == LZ_EXPLICIT:
        put_offset(m, &m.offset_code, value)
    elif kind == LZ_REPEAT:
        put_repeat(m, m.lz_repeat[0], m.lz_repeat[1], s.lz_repeat, value)
    elif kind == DELTA_EXPLICIT:
        put_symbol(m, &m.power_code, value >> DELTA_RAW_BITS, NULL)
        put_offset(m, &m.delta_offset_code, value & ((1 << DELTA_RAW_BITS) - 1))
    else:
        put_repeat(m, m.delta_repeat[0], m.delta_repeat[1], s.delta_repeat, value)
    put_length(m, length)


cdef inline void put_item(
    LzmsModel *m, ItemKind kind, uint32_t value, uint32_t length
) noexcept nogil:
    """Encode an item in the current state and advance past it."""
    put_decision(m, &m.main[m.state.main], kind != LITERAL)
    if kind == LITERAL:
        put_symbol(m, &m.literal_code, value, NULL)
    else:
        put_match(m, kind, value, length)
    follow_item(&m.state, kind, value)


# ---- Start of a block ----

cdef inline void start_block(
    LzmsModel *m, uint32_t size, uint16_t *output, uint32_t units
) noexcept nogil:
    """Reset all that adapts, for a block of ``size`` bytes into ``units`` units of output."""
    cdef uint32_t i, offsets = offset_symbol_count(&m.tables.slots, size)
    start_decisions(m, m.main, MAIN_STATES)
    start_decisions(m, m.match, MATCH_STATES)
    start_decisions(m, m.lz, LZ_STATES)
    start_decisions(m, m.delta, DELTA_STATES)
    for i in range(2):
        start_decisions(m, m.lz_repeat[i], REPEAT_STATES)
        start_decisions(m, m.delta_repeat[i], REPEAT_STATES)
    start_code(&m.literal_code, LITERAL_SYMBOLS, LITERAL_PERIOD, NULL)
    start_code(&m.offset_code, offsets, OFFSET_PERIOD, m.tables.slots.offset_extra)
    start_code(&m.length_code, LENGTH_SYMBOLS, LENGTH_PERIOD, m.tables.slots.length_extra)
    start_code(&m.delta_offset_code, offsets, OFFSET_PERIOD, m.tables.slots.offset_extra)
    start_code(&m.power_code, POWER_SYMBOLS, POWER_PERIOD, NULL)
    cost_lengths(m)
    start_state(&m.state)
    m.low = 0
    m.range_size = <uint32_t>0xFFFFFFFF
    m.held = 0
    m.has_cached = False
    m.bits = 0
    m.bit_count = 0
    m.full = False
    m.front = output
    m.back = output + units
