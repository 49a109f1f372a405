# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# Match finder on the tree of LCP intervals of a suffix array.
#
# An interval groups the suffixes that share their first ``lcp`` bytes. A reference to one is
# ``lcp << POSITION_BITS | index``; 0 is the root, of lcp 0. Per interval one word holds, until a
# suffix in it is visited, the reference to its parent, then the latest position that took it over.
# Per position one word holds the reference to its deepest interval, and once visited the reference
# to the interval from which on a later position has taken over. Queries climb towards the root; an
# interval whose position is outdated is noticed because that position's word refers deeper.
#
# A window is at most 2**26 bytes, which leaves 6 bits for the lcp. Longer texts are searched one
# window after another, and matches do not reach from one into the other.

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memset

from wimtui.engine.codecs._lzms_suffix_array cimport sort_suffixes
from wimtui.engine.codecs._matchfinder cimport block_prefetch


cdef enum:
    POSITION_BITS = 26
    POSITION_MASK = 0x3FFFFFF
    WINDOW_SIZE_MAX = 1 << 26
    LONGEST_MATCH = 63          # what the lcp field holds
    SHORTEST_MATCH = 2
    BYTE_LETTERS = 256
    LOOK_AHEAD = 16
    ASKED = 32                  # more than the positions looked ahead
    CACHED_SIZE = 1 << 18       # windows up to this do not gain from asking ahead


cdef struct Match:
    uint32_t length
    uint32_t offset


cdef struct IntervalFinder:
    uint32_t *intervals         # window size words
    uint32_t *positions         # behind them: 1.25 * window size + 512 words, 0.25 for sorting
    uint32_t size               # of the window
    uint32_t first_position     # index of positions[0] seen from intervals[0]
    uint32_t asked[ASKED]       # per query to come: index of the word it reads next
    uint32_t next               # position in the window of the next query


cdef inline void measure_prefixes(
    IntervalFinder *f, const uint8_t *text, uint32_t nice
) noexcept nogil:
    """Put the lcp of every suffix with the one before it above its position (Kasai et al. 2001)."""
    cdef uint32_t *array = f.intervals
    cdef uint32_t *common = f.positions
    cdef uint32_t n = f.size, i, other, h = 0, limit
    for i in range(1, n):
        common[array[i]] = array[i - 1]
    for i in range(n):
        if i + LOOK_AHEAD < n:
            block_prefetch(text + common[i + LOOK_AHEAD])
        if i == array[0]:
            h = 0
            common[i] = 0
            continue
        other = common[i]
        limit = n - (i if i > other else other)
        if limit > nice:
            limit = nice
        while h < limit and text[i + h] == text[other + h]:
            h += 1
        common[i] = h << POSITION_BITS if h >= SHORTEST_MATCH else 0
        if h:
            h -= 1
    for i in range(n):
        if i + LOOK_AHEAD < n:
            block_prefetch(common + array[i + LOOK_AHEAD])
        array[i] |= common[array[i]]


cdef inline void link_intervals(IntervalFinder *f) noexcept nogil:
    """Build the tree over the array of ``lcp << POSITION_BITS | position``, overwriting it."""
    cdef uint32_t *array = f.intervals
    cdef uint32_t open_intervals[LONGEST_MATCH + 2]
    cdef uint32_t top = 0, made = 0, lcp, position, closed, r, word = array[0]
    open_intervals[0] = 0
    for r in range(f.size):
        position = word & <uint32_t>POSITION_MASK
        # At most one interval is opened a step, so the ones stored are behind the reading end.
        word = array[r + 1] if r + 1 < f.size else 0
        lcp = word & ~<uint32_t>POSITION_MASK
        if lcp > (open_intervals[top] & ~<uint32_t>POSITION_MASK):
            made += 1
            top += 1
            open_intervals[top] = lcp | made
        f.positions[position] = open_intervals[top]
        while (open_intervals[top] & ~<uint32_t>POSITION_MASK) > lcp:
            closed = open_intervals[top] & <uint32_t>POSITION_MASK
            if (open_intervals[top - 1] & ~<uint32_t>POSITION_MASK) < lcp:
                made += 1
                open_intervals[top] = lcp | made
            else:
                top -= 1
            array[closed] = open_intervals[top]
    array[0] = 0


cdef inline void load_window(
    IntervalFinder *f, const uint8_t *text, uint32_t size, uint32_t nice
) noexcept nogil:
    """Index text[0..size); matches of up to ``nice`` bytes will be found inside it."""
    f.size = size
    f.next = 0
    f.first_position = <uint32_t>(f.positions - f.intervals)
    memset(f.asked, 0, sizeof(f.asked))
    sort_suffixes(text, size, BYTE_LETTERS, f.intervals, f.positions)
    measure_prefixes(f, text, nice)
    link_intervals(f)


cdef inline void ask_deeper(IntervalFinder *f, uint32_t position) noexcept nogil:
    """Have the word brought in that a coming query reads next, by what it has read so far."""
    cdef uint32_t *asked = f.asked + position % ASKED
    cdef uint32_t word = f.intervals[asked[0]]
    asked[0] = word & <uint32_t>POSITION_MASK
    if word <= <uint32_t>POSITION_MASK:
        asked[0] += f.first_position
    block_prefetch(f.intervals + asked[0])


cdef inline void ask_ahead(IntervalFinder *f, uint32_t position) noexcept nogil:
    """Take the queries to come a step each: by their turn most of what they read is at hand."""
    if f.size <= CACHED_SIZE or position + 24 >= f.size:
        return
    f.asked[(position + 24) % ASKED] = f.first_position + position + 24
    block_prefetch(f.positions + position + 24)
    ask_deeper(f, position + 19)
    ask_deeper(f, position + 15)
    ask_deeper(f, position + 11)
    ask_deeper(f, position + 8)
    ask_deeper(f, position + 5)
    ask_deeper(f, position + 2)


cdef inline uint32_t next_matches(IntervalFinder *f, Match *matches) noexcept nogil:
    """Write the matches of the next position, longest first; return how many.

    Offsets are strictly decreasing: each is the smallest for its length. ``matches`` has room for
    LONGEST_MATCH of them.
    """
    cdef uint32_t *intervals = f.intervals
    cdef uint32_t *positions = f.positions
    cdef uint32_t position = f.next, here, above, earlier, found = 0
    f.next += 1
    ask_ahead(f, position)
    here = positions[position]
    positions[position] = 0
    while True:
        above = intervals[here & <uint32_t>POSITION_MASK]
        if above <= <uint32_t>POSITION_MASK:
            break
        intervals[here & <uint32_t>POSITION_MASK] = position
        here = above
    # New below the root, or taken over by position 0 so far, which is never reported.
    if above == 0:
        if here:
            intervals[here & <uint32_t>POSITION_MASK] = position
        return 0
    earlier = above
    while True:
        above = positions[earlier]
        while above > here:
            earlier = intervals[above & <uint32_t>POSITION_MASK]
            above = positions[earlier]
        intervals[here & <uint32_t>POSITION_MASK] = position
        positions[earlier] = here
        matches[found].length = here >> POSITION_BITS
        matches[found].offset = position - earlier
        found += 1
        if above == 0:
            return found
        here = above
        earlier = intervals[here & <uint32_t>POSITION_MASK]
