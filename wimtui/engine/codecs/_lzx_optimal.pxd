# cython: language_level=3, boundscheck=False, wraparound=False
# cython: initializedcheck=False, cdivision=True
# The near-optimal LZX parser: all matches of a block are cached, then a few passes each find the
# cheapest path through it under the code that the pass before led to. Costs are in 1/64 bit.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from wimtui.engine.codecs._lzx_block cimport (
    ALIGNED_LIMIT, FIRST_ALIGNED_SLOT, ITEM_LENGTH_BITS, ITEM_LENGTH_MASK, LENGTH_LIMIT,
    LENGTH_SYMBOLS, LITERALS, LONG_HEADER, MAIN_LIMIT, MAX_MATCH, MIN_MATCH, Tallies, make_lengths,
    put_block, slot_of, tally_item,
)
from wimtui.engine.codecs._lzx_parse cimport (
    Encoder, SplitStatistics, block_ends, observe_literal, observe_match, room_at,
)
from wimtui.engine.codecs._matchfinder cimport (
    MATCH_LENGTH_MASK, block_load16, highest_set_bit, likely_false, match_extent, position_t,
    trees_advance, trees_reset,
)

cdef enum:
    COST_SHIFT = 32
    BIT_COST = 64
    LENGTHS = 256               # match lengths 2..257
    QUEUE_RING = 1024           # over twice the longest match
    OFFSET_BITS = 21            # a queue is R0 | R1 << 21 | R2 << 42
    OFFSET_MASK = 0x1FFFFF
    GAP_FLAG = 0x80000000       # arrival by a match, a literal and the same offset again
    EXPLICIT_BIAS = 1024        # 2 << ITEM_LENGTH_BITS: offset to formatted offset
    PROBABILITY_BITS = 24
    UNSEEN_LITERAL_COST = 704
    UNSEEN_ALIGNED_COST = 384
    LITERAL_ARRIVAL = 1         # as a match of length 1 at R0: the byte is known from the position
    NODE_SLACK = 1024           # nodes past the block's end that its last matches may reach


# ---- Matches ----

cdef inline uint32_t collect_block(Encoder *e, position_t *table, uint32_t begin) noexcept nogil:
    """Cache the matches from ``begin`` to where the block ends; return that position."""
    cdef uint32_t *cache = e.cache
    cdef uint32_t *limit = e.cache + e.cache_capacity
    cdef uint32_t *end
    cdef uint32_t pos = begin, observed_until = begin, length, _skip
    memset(&e.split, 0, sizeof(SplitStatistics))
    memset(e.observed_literals, 0, sizeof(e.observed_literals))
    e.observed_matches = 0
    while cache < limit and not block_ends(e, begin, pos):
        end = trees_advance(&e.finder, table, pos, room_at(e, pos), True, True, cache + 1)
        cache[0] = <uint32_t>(end - cache - 1)
        length = (end - 1)[0] & ITEM_LENGTH_MASK if cache[0] else 0
        cache = end
        if pos >= observed_until:
            if length >= 3:
                observe_match(&e.split, length)
                e.observed_matches += 1
                observed_until = pos + length
            else:
                observe_literal(&e.split, e.data[pos])
                e.observed_literals[e.data[pos]] += 1
                observed_until = pos + 1
        pos += 1
        if length >= e.finder.nice:
            for _skip in range(length - 1):
                trees_advance(&e.finder, table, pos, room_at(e, pos), False, True, cache)
                cache[0] = 0
                cache += 1
                pos += 1
    return pos


# ---- Costs ----

cdef inline uint32_t log2_cost(uint32_t v) noexcept nogil:
    """Return 64 * log2(v) for v >= 1, within one unit."""
    cdef uint32_t k = highest_set_bit(v)
    cdef float fraction = <float>v / <float>(<uint32_t>1 << k) - 1
    fraction *= <float>1.3465 - <float>0.3465 * fraction
    return BIT_COST * k + <uint32_t>(BIT_COST * fraction + <float>0.5)


cdef inline uint32_t flat_prior(uint32_t distinct) noexcept nogil:
    """Return 2**-((304 + distinct) / 64) in units of 2**-PROBABILITY_BITS."""
    cdef uint32_t exponent = 304 + distinct
    cdef float t = <float>(exponent & 63) / 64
    t = 1 - t * (<float>0.6716 - <float>0.1716 * t)
    return <uint32_t>((1 << PROBABILITY_BITS >> (exponent >> 6)) * t)


cdef inline void fill_match_costs(
    Encoder *e, const uint16_t *header_costs, const uint16_t *length_costs
) noexcept nogil:
    """Tabulate header, length symbol and plain extra bits of every slot and length.

    The low three bits of an offset cost extra from FIRST_ALIGNED_SLOT on: see ``aligned_costs``.
    """
    cdef uint32_t slot, i, extra, base
    cdef uint16_t *row
    for slot in range(e.writer.slots):
        row = e.match_costs + LENGTHS * slot
        extra = e.writer.slot_extra_bits[slot]
        if slot >= FIRST_ALIGNED_SLOT:
            extra -= 3
        extra *= BIT_COST
        for i in range(LONG_HEADER):
            row[i] = <uint16_t>(header_costs[8 * slot + i] + extra)
        base = header_costs[8 * slot + LONG_HEADER] + extra
        for i in range(LENGTH_SYMBOLS):
            row[LONG_HEADER + i] = <uint16_t>(base + length_costs[i])


cdef inline void guess_costs(Encoder *e) noexcept nogil:
    """Set costs from what a greedy parse of the cached matches saw."""
    cdef uint16_t header_costs[400]
    cdef uint32_t headers = 8 * e.writer.slots, i, total = e.observed_matches, distinct = 0
    cdef uint32_t literal_probability = 0, probability, prior
    for i in range(LITERALS):
        total += e.observed_literals[i]
        distinct += e.observed_literals[i] != 0
    prior = flat_prior(distinct)
    for i in range(LITERALS):
        if e.observed_literals[i] == 0:
            e.literal_costs[i] = UNSEEN_LITERAL_COST
            continue
        probability = <uint32_t>((<uint64_t>e.observed_literals[i] << PROBABILITY_BITS) // total)
        probability = (probability + prior) // 2
        literal_probability += probability
        e.literal_costs[i] = BIT_COST * PROBABILITY_BITS - log2_cost(probability)
        if e.literal_costs[i] < BIT_COST:
            e.literal_costs[i] = BIT_COST
    probability = (1 << PROBABILITY_BITS) // 100 * 15
    if literal_probability + probability < 1 << PROBABILITY_BITS:
        probability = (1 << PROBABILITY_BITS) - literal_probability
    probability = BIT_COST * PROBABILITY_BITS + log2_cost(headers) - log2_cost(probability)
    for i in range(headers):
        header_costs[i] = <uint16_t>probability
    for i in range(8):
        e.aligned_costs[i] = 3 * BIT_COST
    fill_match_costs(e, header_costs, e.first_length_costs)


cdef inline uint32_t length_cost(uint8_t length, uint32_t limit) noexcept nogil:
    return BIT_COST * (length if length else limit)


cdef inline void measure_costs(Encoder *e) noexcept nogil:
    """Set costs from the code lengths of the latest pass."""
    cdef uint16_t header_costs[400]
    cdef uint16_t length_costs[LENGTH_SYMBOLS]
    cdef uint32_t i
    for i in range(LITERALS):
        e.literal_costs[i] = length_cost(e.writer.lengths.main[i], MAIN_LIMIT)
    for i in range(8 * e.writer.slots):
        header_costs[i] = <uint16_t>length_cost(e.writer.lengths.main[LITERALS + i], MAIN_LIMIT)
    for i in range(LENGTH_SYMBOLS):
        length_costs[i] = <uint16_t>length_cost(e.writer.lengths.length[i], LENGTH_LIMIT)
    for i in range(8):
        e.aligned_costs[i] = length_cost(e.writer.lengths.aligned[i], ALIGNED_LIMIT)
    fill_match_costs(e, header_costs, length_costs)


# ---- The cheapest path ----

cdef inline uint64_t push_offset(uint64_t queue, uint32_t offset) noexcept nogil:
    return queue << OFFSET_BITS | offset


cdef inline uint64_t swap_offset(uint64_t queue, uint32_t index) noexcept nogil:
    """Return the queue with the given entry and R0 exchanged."""
    cdef uint32_t shift = OFFSET_BITS * index
    cdef uint64_t change = (queue ^ queue >> shift) & OFFSET_MASK
    return queue ^ change ^ change << shift


cdef inline uint64_t arriving_queue(Encoder *e, uint32_t i, uint32_t item) noexcept nogil:
    """Return the queue at node ``i`` that ``item`` leads to."""
    cdef uint32_t length = item & ITEM_LENGTH_MASK, value = item >> ITEM_LENGTH_BITS
    cdef uint64_t queue = e.queues[(i - length) & (QUEUE_RING - 1)]
    if likely_false(item & <uint32_t>GAP_FLAG):
        value = e.gaps[i]
        i -= length + 1 + (value & ITEM_LENGTH_MASK)
        return push_offset(e.queues[i & (QUEUE_RING - 1)], (value >> ITEM_LENGTH_BITS) - 2)
    if likely_false(value - 1 < 2):
        return swap_offset(queue, value)
    # Explicit matches push, literals and matches at R0 keep: a choice better not left to a branch.
    if value:
        return push_offset(queue, value - 2)
    return queue


cdef inline bint may_improve(const uint64_t *farthest, uint64_t least_cost) noexcept nogil:
    """Return whether a match may better its farthest node if its shortest length costs this.

    Otherwise its nearer nodes hardly gain either: leaving it out saves an eighth of the time for
    0.1 % of size.
    """
    return farthest[0] >> COST_SHIFT > least_cost


cdef inline void relax_lengths(
    uint64_t *node, uint64_t value, const uint16_t *costs, uint32_t first, uint32_t last
) noexcept nogil:
    """Offer the match ``value`` (cost, formatted offset, length 0) with the lengths first..last.

    As the cost sits in the high half, the minimum of two node values is the cheaper arrival.
    """
    cdef uint64_t offer
    cdef const uint64_t *end = node + last
    node += first
    costs += first - MIN_MATCH
    value += first
    while True:
        offer = value + (<uint64_t>costs[0] << COST_SHIFT)
        node[0] = offer if offer < node[0] else node[0]
        if node == end:
            return
        node += 1
        costs += 1
        value += 1


cdef inline void relax_gap(
    Encoder *e, uint32_t begin, uint32_t i, uint32_t match, uint64_t match_cost
) noexcept nogil:
    """Offer ``match``, one literal, then the same offset again as far as it goes."""
    cdef uint32_t length = match & ITEM_LENGTH_MASK, offset = (match >> ITEM_LENGTH_BITS) - 2
    cdef uint32_t behind = begin + i + length + 1, room, target
    cdef const uint8_t *here = e.data + behind
    cdef uint64_t offer
    if block_load16(here) != block_load16(here - offset) or behind + MIN_MATCH > e.size:
        return
    room = room_at(e, behind)
    room = match_extent(here, here - offset, MIN_MATCH, room)
    target = i + length + 1 + room
    offer = match_cost + e.literal_costs[(here - 1)[0]] + e.match_costs[room - MIN_MATCH]
    offer = offer << COST_SHIFT | <uint32_t>GAP_FLAG | room
    if offer < e.nodes[target]:
        e.nodes[target] = offer
        e.gaps[target] = match


cdef inline uint32_t relax_repeats(
    Encoder *e, uint32_t begin, uint32_t i, uint64_t cost, uint64_t queue
) noexcept nogil:
    """Offer the matches at recent offsets; return the first length not offered."""
    cdef const uint8_t *here = e.data + begin + i
    cdef uint32_t room = room_at(e, begin + i), next_length = MIN_MATCH, k, length
    cdef uint32_t prefix
    cdef uint64_t offset
    cdef const uint16_t *row
    if room < MIN_MATCH:
        return next_length
    prefix = block_load16(here)
    for k in range(3):
        offset = queue & OFFSET_MASK
        queue >>= OFFSET_BITS
        if block_load16(here - offset) != prefix:
            continue
        length = match_extent(here, here - offset, MIN_MATCH, room)
        if length < next_length:
            continue
        row = e.match_costs + LENGTHS * k
        if may_improve(e.nodes + i + length, cost + row[next_length - MIN_MATCH]):
            relax_lengths(
                e.nodes + i, cost << COST_SHIFT | k << ITEM_LENGTH_BITS, row, next_length, length
            )
        next_length = length + 1
    return next_length


cdef inline void relax_matches(
    Encoder *e, uint32_t begin, uint32_t i, uint64_t cost, uint64_t queue, const uint32_t *matches
) noexcept nogil:
    """Offer what the match finder found at node ``i``, repeats first."""
    cdef uint32_t next_length = relax_repeats(e, begin, i, cost, queue)
    cdef uint32_t k, match, length, slot
    cdef uint64_t start_cost
    cdef const uint16_t *row
    if matches[matches[0]] & MATCH_LENGTH_MASK < next_length:
        return
    for k in range(1, matches[0] + 1):
        match = matches[k] + EXPLICIT_BIAS
        length = match & ITEM_LENGTH_MASK
        if length < next_length:
            continue
        slot = slot_of(match >> ITEM_LENGTH_BITS)
        row = e.match_costs + LENGTHS * slot
        start_cost = cost
        if slot >= FIRST_ALIGNED_SLOT:
            start_cost += e.aligned_costs[match >> ITEM_LENGTH_BITS & 7]
        if may_improve(e.nodes + i + length, start_cost + row[next_length - MIN_MATCH]):
            relax_lengths(
                e.nodes + i, start_cost << COST_SHIFT | (match & ~<uint32_t>ITEM_LENGTH_MASK),
                row, next_length, length,
            )
            relax_gap(e, begin, i, match, start_cost + row[length - MIN_MATCH])
        next_length = length + 1


cdef inline void find_path(Encoder *e, uint32_t begin, uint32_t size) noexcept nogil:
    """Find the cheapest arrival at every byte of the block, from the first to the last."""
    cdef uint64_t *nodes = e.nodes
    cdef const uint32_t *cache = e.cache
    cdef uint64_t queue, cost, offer, arrival
    cdef uint32_t i = 0
    memset(nodes, 0xFF, (size + NODE_SLACK) * sizeof(uint64_t))
    arrival = 0
    queue = push_offset(push_offset(e.recent[2], e.recent[1]), e.recent[0])
    while True:
        e.queues[i & (QUEUE_RING - 1)] = queue
        if i == size:
            return
        cost = arrival >> COST_SHIFT
        if cache[0]:
            relax_matches(e, begin, i, cost, queue, cache)
        cache += cache[0] + 1
        offer = (cost + e.literal_costs[e.data[begin + i]]) << COST_SHIFT | LITERAL_ARRIVAL
        i += 1
        arrival = nodes[i]
        if offer < arrival:
            arrival = offer
            nodes[i] = offer
        queue = arriving_queue(e, i, <uint32_t>arrival)


cdef inline uint32_t *follow_path(Encoder *e, uint32_t begin, uint32_t size) noexcept nogil:
    """List and tally the items of the path, from the last one back; return the first."""
    cdef uint32_t *items = e.items + e.items_capacity
    cdef uint32_t i = size, item
    memset(&e.writer.tallies, 0, sizeof(Tallies))
    while i:
        item = <uint32_t>e.nodes[i]
        if item == LITERAL_ARRIVAL:
            i -= 1
            items -= 1
            item = e.data[begin + i] << ITEM_LENGTH_BITS | 1
            items[0] = item
        elif item & <uint32_t>GAP_FLAG:
            item ^= <uint32_t>GAP_FLAG
            items -= 3
            items[0] = e.gaps[i]
            items[2] = item
            i -= item & ITEM_LENGTH_MASK
            items[1] = e.data[begin + i - 1] << ITEM_LENGTH_BITS | 1
            tally_item(&e.writer, items[0])
            tally_item(&e.writer, items[1])
            i -= 1 + (items[0] & ITEM_LENGTH_MASK)
        else:
            items -= 1
            items[0] = item
            i -= item & ITEM_LENGTH_MASK
        tally_item(&e.writer, item)
    return items


cdef inline bint encode_optimal(Encoder *e, position_t *table) noexcept nogil:
    """Encode the whole input; return False where it would not shrink."""
    cdef uint32_t pos = 0, begin, size, k, _pass
    cdef uint64_t queue
    cdef uint32_t *items
    trees_reset(&e.finder, table)
    while pos < e.size:
        begin = pos
        pos = collect_block(e, table, begin)
        size = pos - begin
        guess_costs(e)
        find_path(e, begin, size)
        items = follow_path(e, begin, size)
        for _pass in range(1, e.passes):
            make_lengths(&e.writer)
            measure_costs(e)
            find_path(e, begin, size)
            items = follow_path(e, begin, size)
        queue = e.queues[size & (QUEUE_RING - 1)]
        for k in range(3):
            e.recent[k] = <uint32_t>(queue >> k * OFFSET_BITS & OFFSET_MASK)
        k = <uint32_t>(e.items + e.items_capacity - items)
        if not put_block(&e.writer, e.data + begin, size, items, k, e.recent):
            return False
    return True
