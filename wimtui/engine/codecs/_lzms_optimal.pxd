# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# Near-optimal LZMS parser.
#
# A segment ends where every path meets in one node, at SEGMENT_SIZE nodes, or at a match so long
# that it is taken at once. The items on the cheapest path are encoded, which moves the model on,
# before the next segment is searched. Within a segment the probabilities and codes are frozen
# while the decision states follow the path.

from libc.stdint cimport uint8_t, uint32_t

from wimtui.engine.codecs._lzms_delta cimport (
    DELTA_RAW_BITS, DELTA_SHORTEST, DeltaMatch, credit_power, delta_extent, difference32,
    next_delta_matches, start_deltas,
)
from wimtui.engine.codecs._lzms_encoder cimport put_item
from wimtui.engine.codecs._lzms_graph cimport (
    DELTA_RAW_MASK, SEGMENT_SIZE, Arrival, Item, Parser, offer_gap, offer_lengths, put_path,
    query_matches, reach, settle_node,
)
from wimtui.engine.codecs._lzms_model cimport (
    DELTA_EXPLICIT, DELTA_MATCH, DELTA_REPEAT, LITERAL, LZ_EXPLICIT, LZ_MATCH, LZ_REPEAT,
    LzmsModel, PathState, offset_slot, repeat_cost,
)
from wimtui.engine.codecs._lzms_tables cimport (
    LZ_STATES, MAIN_STATES, MATCH_STATES, REPEAT_STATES,
)
from wimtui.engine.codecs._matchfinder cimport block_load16, match_extent


cdef inline uint32_t gap_cost(
    Parser *s, const PathState *p, uint32_t matches, uint32_t lz_state, uint32_t repeat_state
) noexcept nogil:
    """Return the cost of the decisions of a literal and repeat 0, after ``matches`` (0, 1) more."""
    cdef LzmsModel *m = s.model
    cdef uint32_t main = p.main, match = p.match
    if matches:
        main = (main << 1 | 1) & (MAIN_STATES - 1)
        match = (match << 1) & (MATCH_STATES - 1)
    return (
        <uint32_t>m.main[main].cost[0]
        + m.main[(main << 1) & (MAIN_STATES - 1)].cost[1]
        + m.match[match].cost[0]
        + m.lz[lz_state].cost[1]
        + m.lz_repeat[0][repeat_state].cost[0]
    )


cdef inline bint search_repeats(
    Parser *s, uint32_t node, uint32_t limit, uint32_t cost
) noexcept nogil:
    """Offer the repeat LZ matches; True where one is taken at once."""
    cdef PathState *p = s.states + node
    cdef LzmsModel *m = s.model
    cdef const uint8_t *here = s.text + s.start + node
    cdef uint32_t shift = p.last == LZ_MATCH, index, offset, total
    cdef uint8_t after[2]
    cdef Item item
    item.kind = LZ_REPEAT
    cost += m.match[p.match].cost[0] + <uint32_t>m.lz[p.lz].cost[1]
    for index in range(3):
        offset = p.lz_queue[index + shift]
        if offset > s.start + node or block_load16(here) != block_load16(here - offset):
            continue
        item.value = index
        item.length = match_extent(here, here - offset, 2, limit)
        if item.length >= s.nice:
            s.taken = item
            s.taken.length = match_extent(here, here - offset, item.length, s.size - s.start - node)
            return True
        total = cost + repeat_cost(m.lz_repeat[0], m.lz_repeat[1], p.lz_repeat, index)
        offer_lengths(s, node, item, 2, total)
        if item.length > s.repeated:
            s.repeated = item.length
        if s.all_gaps:
            after[0] = (p.lz_repeat[0] << 1 | (index > 0)) & (REPEAT_STATES - 1)
            total += m.length_cost[item.length] + gap_cost(
                s, p, 1, (p.lz << 1 | 1) & (LZ_STATES - 1), after[0]
            )
            offer_gap(s, node, item, offset, total)
    return False


cdef inline bint search_delta_repeats(
    Parser *s, uint32_t node, uint32_t limit, uint32_t cost
) noexcept nogil:
    """Offer the repeat delta matches; True where one is taken at once."""
    cdef PathState *p = s.states + node
    cdef LzmsModel *m = s.model
    cdef const uint8_t *here = s.text + s.start + node
    cdef uint32_t shift = p.last == DELTA_MATCH, index, offset, span
    cdef Item item
    item.kind = DELTA_REPEAT
    cost += m.match[p.match].cost[1] + <uint32_t>m.delta[p.delta].cost[1]
    for index in range(3):
        offset = p.delta_queue[index + shift]
        span = <uint32_t>1 << (offset >> DELTA_RAW_BITS)
        offset = (offset & DELTA_RAW_MASK) << (offset >> DELTA_RAW_BITS)
        if offset + span > s.start + node:
            continue
        if (difference32(here, span) ^ difference32(here - offset, span)) & 0xFFFF:
            continue
        item.value = index
        item.length = delta_extent(here, here - offset, span, 2, limit)
        if item.length >= s.nice:
            s.taken = item
            s.taken.length = delta_extent(
                here, here - offset, span, item.length, s.size - s.start - node
            )
            return True
        offer_lengths(s, node, item, 2, cost + repeat_cost(
            m.delta_repeat[0], m.delta_repeat[1], p.delta_repeat, index
        ))
    return False


cdef inline bint search_matches(
    Parser *s, uint32_t node, uint32_t found, uint32_t cost
) noexcept nogil:
    """Offer the explicit LZ matches, each length with its smallest offset."""
    cdef PathState *p = s.states + node
    cdef LzmsModel *m = s.model
    cdef const uint8_t *here = s.text + s.start + node
    cdef uint32_t shortest = s.repeated + 1, total, gap
    cdef Item item
    item.kind = LZ_EXPLICIT
    if s.matches[0].length >= s.nice:
        s.taken.kind = LZ_EXPLICIT
        s.taken.value = s.matches[0].offset
        s.taken.length = match_extent(
            here, here - s.taken.value, s.matches[0].length, s.size - s.start - node
        )
        return True
    cost += m.match[p.match].cost[0] + <uint32_t>m.lz[p.lz].cost[0]
    gap = gap_cost(s, p, 1, (p.lz << 1) & (LZ_STATES - 1), p.lz_repeat[0])
    while found:
        found -= 1
        item.length = s.matches[found].length
        if item.length < shortest:
            continue
        item.value = s.matches[found].offset
        total = cost + m.offset_code.costs[offset_slot(&m.tables, item.value)]
        offer_lengths(s, node, item, shortest, total)
        shortest = item.length + 1
        if s.match_gaps:
            offer_gap(s, node, item, item.value, total + m.length_cost[item.length] + gap)
    return False


cdef inline uint32_t shortest_useful(
    const Parser *s, uint32_t matches, uint32_t offset
) noexcept nogil:
    """Return the length from which a delta match beats repeats and LZ matches no farther away."""
    cdef uint32_t i
    for i in range(matches):
        if s.matches[i].offset <= offset:
            return 1 + (s.matches[i].length if s.matches[i].length > s.repeated else s.repeated)
    return 1 + s.repeated if s.repeated >= DELTA_SHORTEST else DELTA_SHORTEST


cdef inline bint search_deltas(
    Parser *s, uint32_t node, uint32_t found, uint32_t matches, uint32_t cost
) noexcept nogil:
    """Offer the explicit delta matches; True where one is taken at once."""
    cdef PathState *p = s.states + node
    cdef LzmsModel *m = s.model
    cdef const uint8_t *here = s.text + s.start + node
    cdef uint32_t i, offset, shortest
    cdef DeltaMatch *match
    cdef Item item
    item.kind = DELTA_EXPLICIT
    cost += m.match[p.match].cost[1] + <uint32_t>m.delta[p.delta].cost[0]
    for i in range(found):
        match = s.deltas + i
        item.value = match.power << DELTA_RAW_BITS | match.raw
        item.length = match.length
        offset = match.raw << match.power
        shortest = shortest_useful(s, matches, offset)
        if item.length < shortest:
            continue
        if item.length >= s.nice:
            s.taken = item
            s.taken.length = delta_extent(
                here, here - offset, <uint32_t>1 << match.power, item.length,
                s.size - s.start - node,
            )
            return True
        offer_lengths(
            s, node, item, shortest,
            cost + m.power_code.costs[match.power]
            + m.delta_offset_code.costs[offset_slot(&m.tables, match.raw)],
        )
    return False


cdef inline void offer_literal(Parser *s, uint32_t node, uint32_t cost) noexcept nogil:
    """Offer a literal, and where it is no gain by itself, a literal and repeat 0."""
    cdef PathState *p = s.states + node
    cdef LzmsModel *m = s.model
    cdef uint8_t byte = s.text[s.start + node]
    cdef uint32_t total = cost + m.main[p.main].cost[0] + m.literal_code.costs[byte]
    cdef Arrival *arrival = s.arrivals + node + 1
    cdef Item none
    reach(s, node + 1)
    if total < s.costs[node + 1]:
        s.costs[node + 1] = total
        arrival.kind = LITERAL
        arrival.value = byte
        arrival.length = 1
        arrival.gap = False
    elif s.all_gaps:
        none.kind = LITERAL
        none.value = 0
        none.length = 0
        offer_gap(s, node, none, p.lz_queue[0], cost + gap_cost(s, p, 0, p.lz, p.lz_repeat[0]))


cdef inline bint search_node(Parser *s, uint32_t node) noexcept nogil:
    """Offer everything that starts at a node; True where a long match is taken at once."""
    cdef uint32_t position = s.start + node
    cdef uint32_t limit = s.size - position, found, found_deltas, cost
    if limit > s.nice:
        limit = s.nice
    found = query_matches(s, position)
    found_deltas = next_delta_matches(&s.delta_finder, s.text, position, limit, s.deltas)
    cost = s.costs[node] + s.model.main[s.states[node].main].cost[1]
    s.repeated = 1
    if limit >= 2:
        if search_repeats(s, node, limit, cost):
            return True
        if search_delta_repeats(s, node, limit, cost):
            return True
        if found and search_matches(s, node, found, cost):
            return True
        if found_deltas and search_deltas(s, node, found_deltas, found, cost):
            return True
    offer_literal(s, node, s.costs[node])
    return False


cdef inline void pass_over(Parser *s, uint32_t position, uint32_t end) noexcept nogil:
    """Register positions inside a match."""
    while position < end:
        query_matches(s, position)
        next_delta_matches(&s.delta_finder, s.text, position, s.size - position, NULL)
        position += 1


cdef inline void parse_segment(Parser *s) noexcept nogil:
    cdef uint32_t node = 0
    cdef bint taken
    s.states[0] = s.model.state
    s.costs[0] = 0
    s.reached = 0
    while True:
        taken = search_node(s, node)
        if taken:
            break
        node += 1
        if node == s.reached or node == SEGMENT_SIZE:
            break
        settle_node(s, node)
    put_path(s, node)
    s.start += node
    if taken:
        if s.taken.kind == DELTA_EXPLICIT:
            credit_power(&s.delta_finder, s.taken.value >> DELTA_RAW_BITS)
        put_item(s.model, s.taken.kind, s.taken.value, s.taken.length)
        pass_over(s, s.start + 1, s.start + s.taken.length)
        s.start += s.taken.length


cdef inline void parse_optimally(Parser *s) noexcept nogil:
    """Encode the text; stops early where the model finds its output full."""
    s.start = 0
    s.finder.size = 0
    s.finder.next = 0
    s.batch_start = 0
    s.batch_size = 0
    start_deltas(&s.delta_finder, s.size)
    while s.start < s.size and not s.model.full:
        parse_segment(s)
