# cython: language_level=3, boundscheck=False, wraparound=False
# cython: initializedcheck=False, cdivision=True
# Match finders over one block: hash chains (greedy and lazy parsing), binary trees (optimal).
#
# The block must be followed by BLOCK_PADDING readable bytes: comparisons load eight bytes at a time
# and clip the length afterwards. Position 0 stands for "none", so it is never found as a match.
# Positions are 16-bit for blocks up to 64 KiB, which halves the cache footprint, else 32-bit.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>

    static inline uint32_t block_load16(const uint8_t *p)
    {
        uint16_t v;
        memcpy(&v, p, 2);
        return v;
    }

    static inline uint32_t block_load32(const uint8_t *p)
    {
        uint32_t v;
        memcpy(&v, p, 4);
    #if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        v = __builtin_bswap32(v);
    #endif
        return v;
    }

    static inline uint64_t block_load64(const uint8_t *p)
    {
        uint64_t v;
        memcpy(&v, p, 8);
    #if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        v = __builtin_bswap64(v);
    #endif
        return v;
    }

    #define byte_order(v) __builtin_bswap64(v)
    #define block_prefetch(p) __builtin_prefetch(p, 1)
    #define lowest_set_bit(v) ((uint32_t)__builtin_ctzll(v))
    #define highest_set_bit(v) ((uint32_t)__builtin_clz(v) ^ 31u)
    #define likely_true(c) __builtin_expect(!!(c), 1)
    #define likely_false(c) __builtin_expect(!!(c), 0)
    """
    uint32_t block_load16(const uint8_t *p) noexcept nogil
    uint32_t block_load32(const uint8_t *p) noexcept nogil
    uint64_t block_load64(const uint8_t *p) noexcept nogil
    void block_prefetch(const void *p) noexcept nogil
    uint64_t byte_order(uint64_t v) noexcept nogil
    uint32_t lowest_set_bit(uint64_t v) noexcept nogil
    uint32_t highest_set_bit(uint32_t v) noexcept nogil
    bint likely_true(bint condition) noexcept nogil
    bint likely_false(bint condition) noexcept nogil


cdef enum:
    BLOCK_PADDING = 16
    HASH_MULTIPLIER = 0x1E35A7BD
    TREE_HASH2_ORDER = 12
    TREE_HASH3_ORDER = 15
    TREE_HASH4_ORDER = 16
    TREE_HEAD3 = 0x1000         # 1 << TREE_HASH2_ORDER
    TREE_ROOT4 = 0x11000        # TREE_HEAD3 + (2 << TREE_HASH3_ORDER)
    TREE_CHILD = 0x21000        # TREE_ROOT4 + (1 << TREE_HASH4_ORDER)
    MATCH_LENGTH_BITS = 9       # a found match is packed as offset << 9 | length
    MATCH_LENGTH_MASK = 511


ctypedef fused position_t:
    uint16_t
    uint32_t


cdef struct MatchFinder:
    const uint8_t *data         # the block, padded
    void *tables                # position_t[entries]: heads, then chain or tree links
    void *head4                 # of the chains, inside tables; the trees have fixed places
    void *links
    uint32_t hash3_shift
    uint32_t hash4_shift
    uint32_t nice               # a match this long ends the search
    uint32_t depth              # candidates tried per position
    uint32_t hash2              # hashes of the position that comes next
    uint32_t hash3
    uint32_t hash4


cdef inline uint32_t match_extent(
    const uint8_t *here, const uint8_t *there, uint32_t length, uint32_t max_length
) noexcept nogil:
    """Return how far the two agree, at most ``max_length``; the first ``length`` bytes do."""
    cdef uint64_t difference
    while length < max_length:
        difference = block_load64(here + length) ^ block_load64(there + length)
        if difference:
            length += lowest_set_bit(difference) >> 3
            return length if length < max_length else max_length
        length += 8
    return max_length


# ---- Hash chains: position_t head3[], head4[], then next[block size] ----

cdef inline uint64_t chains_entries(
    uint32_t hash3_order, uint32_t hash4_order, uint64_t block_size
) noexcept nogil:
    return (<uint64_t>1 << hash3_order) + (<uint64_t>1 << hash4_order) + block_size


cdef inline void chains_place(
    MatchFinder *m, position_t *table, uint32_t hash3_order, uint32_t hash4_order
) noexcept nogil:
    """Lay the chains out in ``table``, which has room for ``chains_entries`` positions."""
    m.tables = table
    m.head4 = table + (<uint64_t>1 << hash3_order)
    m.links = <position_t *>m.head4 + (<uint64_t>1 << hash4_order)
    m.hash3_shift = 32 - hash3_order
    m.hash4_shift = 32 - hash4_order


cdef inline void chains_hash_ahead(MatchFinder *m, position_t *table, uint32_t pos) noexcept nogil:
    """Hash the position that comes next and fetch its buckets early."""
    cdef uint32_t prefix = block_load32(m.data + pos)
    m.hash3 = ((prefix & 0xFFFFFF) * <uint32_t>HASH_MULTIPLIER) >> m.hash3_shift
    m.hash4 = (prefix * <uint32_t>HASH_MULTIPLIER) >> m.hash4_shift
    block_prefetch(table + m.hash3)
    block_prefetch(<position_t *>m.head4 + m.hash4)


cdef inline void chains_reset(MatchFinder *m, position_t *table) noexcept nogil:
    """Forget the previous block; ``m.data`` is the block to come."""
    memset(table, 0, (<position_t *>m.links - table) * sizeof(position_t))
    chains_hash_ahead(m, table, 0)


cdef inline void chains_skip(
    MatchFinder *m, position_t *table, uint32_t pos, uint32_t count
) noexcept nogil:
    """Enter the positions ``pos .. pos + count - 1`` without searching."""
    cdef position_t *head4 = <position_t *>m.head4
    cdef position_t *links = <position_t *>m.links
    cdef uint32_t end = pos + count
    while pos < end:
        table[m.hash3] = <position_t>pos
        links[pos] = head4[m.hash4]
        head4[m.hash4] = <position_t>pos
        pos += 1
        chains_hash_ahead(m, table, pos)


cdef inline uint32_t chains_longest(
    MatchFinder *m, position_t *table, uint32_t pos, uint32_t best, uint32_t max_length,
    uint32_t depth, uint32_t *offset,
) noexcept nogil:
    """Enter ``pos`` and look for a match longer than ``best`` (>= 2); return the longest length.

    The nearest match of the length found is reported in ``offset``, which is untouched if none is.
    """
    cdef const uint8_t *here = m.data + pos
    cdef const uint8_t *there
    cdef position_t *head4 = <position_t *>m.head4
    cdef position_t *links = <position_t *>m.links
    cdef uint32_t near3 = table[m.hash3], node = head4[m.hash4]
    cdef uint32_t prefix = block_load32(here), nice, length
    table[m.hash3] = <position_t>pos
    head4[m.hash4] = <position_t>pos
    links[pos] = <position_t>node
    chains_hash_ahead(m, table, pos + 1)
    if max_length < 4 or best >= max_length:
        return best
    nice = m.nice if m.nice < max_length else max_length
    if best < 3 and near3 and (block_load32(m.data + near3) ^ prefix) & 0xFFFFFF == 0:
        best = 3
        offset[0] = pos - near3
    if best < 4:
        while True:
            if node == 0:
                return best
            there = m.data + node
            if block_load32(there) == prefix:
                break
            depth -= 1
            if depth == 0:
                return best
            node = links[node]
        best = match_extent(here, there, 4, max_length)
        offset[0] = pos - node
        if best >= nice:
            return best
        depth -= 1
        node = links[node]
    while depth and node:
        there = m.data + node
        if (
            block_load32(there + best - 3) == block_load32(here + best - 3)
            and block_load32(there) == prefix
        ):
            length = match_extent(here, there, 4, max_length)
            if length > best:
                best = length
                offset[0] = pos - node
                if best >= nice:
                    return best
        depth -= 1
        node = links[node]
    return best


# ---- Binary trees: position_t head2[], head3[][2], root4[], then child[block size][2] ----

cdef inline uint64_t trees_entries(uint64_t block_size) noexcept nogil:
    return TREE_CHILD + 2 * block_size


cdef inline void trees_hash_ahead(MatchFinder *m, position_t *table, uint32_t pos) noexcept nogil:
    """Hash the position that comes next and fetch its buckets early."""
    cdef uint32_t prefix = block_load32(m.data + pos)
    m.hash2 = ((prefix & 0xFFFF) * <uint32_t>HASH_MULTIPLIER) >> (32 - TREE_HASH2_ORDER)
    m.hash3 = ((prefix & 0xFFFFFF) * <uint32_t>HASH_MULTIPLIER) >> (32 - TREE_HASH3_ORDER)
    m.hash4 = (prefix * <uint32_t>HASH_MULTIPLIER) >> (32 - TREE_HASH4_ORDER)
    block_prefetch(table + m.hash2)
    block_prefetch(table + TREE_HEAD3 + 2 * m.hash3)
    block_prefetch(table + TREE_ROOT4 + m.hash4)


cdef inline void trees_reset(MatchFinder *m, position_t *table) noexcept nogil:
    """Forget the previous block; ``m.data`` is the block to come."""
    memset(table, 0, TREE_CHILD * sizeof(position_t))
    trees_hash_ahead(m, table, 0)


cdef inline uint32_t *trees_short(
    MatchFinder *m, position_t *table, uint32_t pos, bint record, bint pairs, uint32_t *found
) noexcept nogil:
    """Enter ``pos`` in the tables for 2 and 3 bytes; record the nearest matches of that size."""
    cdef const uint8_t *here = m.data + pos
    cdef position_t *head3 = table + TREE_HEAD3 + 2 * m.hash3
    cdef uint32_t prefix, near, far
    if pairs:
        near = table[m.hash2]
        table[m.hash2] = <position_t>pos
        if record and near and block_load16(m.data + near) == block_load16(here):
            found[0] = (pos - near) << MATCH_LENGTH_BITS | 2
            found += 1
    near = head3[0]
    far = head3[1]
    head3[0] = <position_t>pos
    head3[1] = <position_t>near
    if record and near:
        prefix = block_load32(here)
        if (block_load32(m.data + near) ^ prefix) & 0xFFFFFF == 0:
            found[0] = (pos - near) << MATCH_LENGTH_BITS | 3
            found += 1
        elif far and (block_load32(m.data + far) ^ prefix) & 0xFFFFFF == 0:
            found[0] = (pos - far) << MATCH_LENGTH_BITS | 3
            found += 1
    return found


cdef inline uint32_t *trees_descend(
    MatchFinder *m, position_t *child, uint32_t pos, uint32_t node, uint32_t max_length,
    bint record, uint32_t *found,
) noexcept nogil:
    """Make ``pos`` the root above ``node`` and record the matches on the way down."""
    cdef position_t *smaller = child + 2 * <uint64_t>pos
    cdef position_t *greater = smaller + 1
    cdef const uint8_t *here = m.data + pos
    cdef const uint8_t *there
    cdef uint32_t nice, depth = m.depth, length = 0, best = 3
    cdef uint32_t length_smaller = 0, length_greater = 0
    cdef uint64_t ahead, behind
    nice = m.nice if m.nice < max_length else max_length
    if not record:
        max_length = nice
    while node and depth:
        there = m.data + node
        ahead = block_load64(here + length)
        behind = block_load64(there + length)
        if likely_true(ahead != behind):
            length += lowest_set_bit(ahead ^ behind) >> 3
        else:
            length = match_extent(here, there, length + 8, max_length)
            ahead = block_load64(here + length)
            behind = block_load64(there + length)
        if length > best:
            if length > max_length:
                length = max_length
            best = length
            if record:
                found[0] = (pos - node) << MATCH_LENGTH_BITS | length
                found += 1
            if length >= nice:
                smaller[0] = child[2 * <uint64_t>node]
                greater[0] = child[2 * <uint64_t>node + 1]
                return found
        if byte_order(behind) < byte_order(ahead):
            smaller[0] = <position_t>node
            smaller = child + 2 * <uint64_t>node + 1
            node = smaller[0]
            length_smaller = length
        else:
            greater[0] = <position_t>node
            greater = child + 2 * <uint64_t>node
            node = greater[0]
            length_greater = length
        length = length_smaller if length_smaller < length_greater else length_greater
        depth -= 1
    smaller[0] = 0
    greater[0] = 0
    return found


cdef inline uint32_t *trees_advance(
    MatchFinder *m, position_t *table, uint32_t pos, uint32_t max_length, bint record,
    bint pairs, uint32_t *found,
) noexcept nogil:
    """Enter ``pos``; append to ``found`` its matches, longer and farther ones last; return the end.

    At most ``depth + 2`` matches, of strictly increasing length to ``max_length`` (<= 511), packed
    as offset << 9 | length. ``pairs`` includes matches of two bytes. Without ``record`` nothing is
    written.
    """
    cdef position_t *root4 = table + TREE_ROOT4
    cdef position_t *child = table + TREE_CHILD
    cdef uint32_t node = root4[m.hash4]
    root4[m.hash4] = <position_t>pos
    if max_length < 5:
        child[2 * <uint64_t>pos] = 0
        child[2 * <uint64_t>pos + 1] = 0
        trees_hash_ahead(m, table, pos + 1)
        return found
    found = trees_short(m, table, pos, record, pairs, found)
    trees_hash_ahead(m, table, pos + 1)
    return trees_descend(m, child, pos, node, max_length, record, found)
