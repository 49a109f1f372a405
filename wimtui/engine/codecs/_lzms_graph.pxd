# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# Graph of the near-optimal LZMS parser.
#
# A segment of the text is a graph with a node a position: the cheapest known cost to reach it, the
# arrival that costs that much, and the state on the path behind it.

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from wimtui.engine.codecs._lzms_delta cimport (
    DELTA_POWERS, DELTA_RAW_BITS, DeltaFinder, DeltaMatch, credit_power,
)
from wimtui.engine.codecs._lzms_encoder cimport put_item
from wimtui.engine.codecs._lzms_intervals cimport (
    LONGEST_MATCH, WINDOW_SIZE_MAX, IntervalFinder, Match, load_window, next_matches,
)
from wimtui.engine.codecs._lzms_model cimport (
    DELTA_EXPLICIT, LITERAL, LZ_REPEAT, ItemKind, LzmsModel, PathState, follow_item,
)
from wimtui.engine.codecs._matchfinder cimport block_load16, block_prefetch, match_extent


cdef enum:
    SEGMENT_SIZE = 2048
    NODES = SEGMENT_SIZE + 2 * LONGEST_MATCH + 2
    UNREACHED = 0x7FFFFFFF
    BATCH_SIZE = 32             # positions whose matches are found ahead of the parser
    DELTA_RAW_MASK = (1 << DELTA_RAW_BITS) - 1


# One to three items: optionally a match, then a literal (``gap``), then the item itself.
cdef struct Arrival:
    uint32_t value
    uint32_t first_value
    uint16_t length
    uint16_t first_length       # 0 for no match before the literal
    uint8_t kind
    uint8_t first_kind
    uint8_t gap


cdef struct Item:
    uint32_t value
    uint32_t length
    ItemKind kind


cdef struct Parser:
    LzmsModel *model
    const uint8_t *text
    uint32_t size
    uint32_t start              # of the segment
    uint32_t nice               # length taken at once
    bint match_gaps             # search match + literal + repeat 0
    bint all_gaps               # search repeat + literal + repeat 0, literal + repeat 0
    uint32_t repeated           # length of the longest repeat match at this node
    uint32_t reached            # furthest node with an arrival
    IntervalFinder finder
    DeltaFinder delta_finder
    uint32_t batch_start        # position of the first one queried ahead
    uint32_t batch_size
    uint32_t ends[BATCH_SIZE + 1]
    Match found[BATCH_SIZE * LONGEST_MATCH]
    const Match *matches        # of this node
    DeltaMatch deltas[DELTA_POWERS]
    Item taken                  # the long match that ends the segment
    uint32_t costs[NODES]
    Arrival arrivals[NODES]
    PathState states[NODES]
    Item items[NODES]           # the path, last item first


cdef inline void fill_batch(Parser *s, uint32_t position) noexcept nogil:
    """Query the positions to come, in the next window where one ends; fetch what they match."""
    cdef uint32_t i, size, found
    cdef const Match *matches
    if s.finder.next == s.finder.size:
        size = s.size - position
        if size > WINDOW_SIZE_MAX:
            size = WINDOW_SIZE_MAX
        load_window(&s.finder, s.text + position, size, s.nice)
    size = s.finder.size - s.finder.next
    s.batch_start = position
    s.batch_size = size if size < BATCH_SIZE else BATCH_SIZE
    s.ends[0] = 0
    for i in range(s.batch_size):
        matches = s.found + s.ends[i]
        found = next_matches(&s.finder, s.found + s.ends[i])
        s.ends[i + 1] = s.ends[i] + found
        if found:
            block_prefetch(s.text + position + i + matches[0].length - matches[0].offset)


cdef inline uint32_t query_matches(Parser *s, uint32_t position) noexcept nogil:
    """Point s.matches at the explicit matches of a position, longest first; return how many."""
    cdef uint32_t i = position - s.batch_start
    if i == s.batch_size:
        fill_batch(s, position)
        i = 0
    s.matches = s.found + s.ends[i]
    return s.ends[i + 1] - s.ends[i]


cdef inline void reach(Parser *s, uint32_t node) noexcept nogil:
    while s.reached < node:
        s.reached += 1
        s.costs[s.reached] = UNREACHED


cdef inline void offer_lengths(
    Parser *s, uint32_t node, Item item, uint32_t shortest, uint32_t cost
) noexcept nogil:
    """Offer a match in all its lengths from ``shortest`` on; ``cost`` is all but the length's."""
    cdef uint32_t length, total
    cdef const uint16_t *length_cost = s.model.length_cost
    cdef Arrival arrival
    arrival.value = item.value
    arrival.kind = item.kind
    arrival.gap = False
    arrival.first_length = 0
    arrival.first_value = 0
    arrival.first_kind = 0
    reach(s, node + item.length)
    for length in range(shortest, item.length + 1):
        total = cost + length_cost[length]
        if total < s.costs[node + length]:
            s.costs[node + length] = total
            arrival.length = <uint16_t>length
            s.arrivals[node + length] = arrival


cdef inline void offer_gap(
    Parser *s, uint32_t node, Item first, uint32_t offset, uint32_t cost
) noexcept nogil:
    """Offer ``first``, a literal, and repeat 0 at ``offset`` where that matches two bytes or more.

    ``first.length`` may be 0: then there is no first match. ``cost`` includes all but the literal's
    codeword and the last length.
    """
    cdef uint32_t skipped = s.start + node + first.length
    cdef uint32_t limit = s.size - skipped, length, target
    cdef const uint8_t *here = s.text + skipped + 1
    cdef uint8_t byte = s.text[skipped]
    cdef Arrival *arrival
    if limit < 3 or offset > skipped or block_load16(here) != block_load16(here - offset):
        return
    limit = limit - 1 if limit <= s.nice else s.nice
    length = match_extent(here, here - offset, 2, limit)
    cost += s.model.literal_code.costs[byte] + s.model.length_cost[length]
    target = node + first.length + 1 + length
    reach(s, target)
    if cost < s.costs[target]:
        s.costs[target] = cost
        arrival = s.arrivals + target
        arrival.kind = LZ_REPEAT
        arrival.value = 0
        arrival.length = <uint16_t>length
        arrival.gap = True
        arrival.first_kind = first.kind
        arrival.first_value = first.value
        arrival.first_length = <uint16_t>first.length


cdef inline void settle_node(Parser *s, uint32_t node) noexcept nogil:
    """Work out the state behind the arrival that won a node."""
    cdef Arrival *a = s.arrivals + node
    cdef PathState *p = s.states + node
    if a.gap:
        p[0] = s.states[node - a.length - 1 - a.first_length]
        if a.first_length:
            follow_item(p, <ItemKind>a.first_kind, a.first_value)
        follow_item(p, LITERAL, 0)
        follow_item(p, LZ_REPEAT, 0)
    else:
        p[0] = s.states[node - a.length]
        follow_item(p, <ItemKind>a.kind, a.value)


cdef inline void add_item(
    Parser *s, uint32_t *count, ItemKind kind, uint32_t value, uint32_t length
) noexcept nogil:
    s.items[count[0]].kind = kind
    s.items[count[0]].value = value
    s.items[count[0]].length = length
    count[0] += 1


cdef inline void put_path(Parser *s, uint32_t node) noexcept nogil:
    """Encode the items on the path to a node."""
    cdef uint32_t count = 0
    cdef Arrival *a
    while node:
        a = s.arrivals + node
        node -= a.length
        add_item(s, &count, <ItemKind>a.kind, a.value, a.length)
        if a.gap:
            node -= 1
            add_item(s, &count, LITERAL, s.text[s.start + node], 1)
            if a.first_length:
                node -= a.first_length
                add_item(s, &count, <ItemKind>a.first_kind, a.first_value, a.first_length)
    while count:
        count -= 1
        if s.items[count].kind == DELTA_EXPLICIT:
            credit_power(&s.delta_finder, s.items[count].value >> DELTA_RAW_BITS)
        put_item(s.model, s.items[count].kind, s.items[count].value, s.items[count].length)
