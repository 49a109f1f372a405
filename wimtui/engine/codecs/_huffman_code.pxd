# cython: language_level=3, boundscheck=False, wraparound=False
# cython: initializedcheck=False, cdivision=True
# Length-limited canonical prefix codes, the encoder's side: frequencies -> lengths -> codewords.
#
# Lengths are the Huffman lengths wherever the limit does not bind, with the tie rules every codec
# here expects: a leaf goes before an inner node of equal frequency, and symbols of equal frequency
# get non-increasing lengths in symbol order. Where the limit binds, the deepest leaf that may still
# be split takes the excess, which costs next to nothing against the optimum.

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memset


cdef enum:
    CODE_MAX_SYMBOLS = 1024     # a symbol takes SYMBOL_BITS bits of a sort key
    CODE_MAX_LENGTH = 16
    SYMBOL_BITS = 10
    SYMBOL_MASK = 1023


cdef inline uint32_t sort_by_frequency(
    const uint32_t *frequencies, uint32_t n, uint32_t *sorted_keys
) noexcept nogil:
    """Write ``frequency << 10 | symbol`` of every used symbol in ascending order; return how many.

    A counting sort on min(frequency, n - 1) places nearly all; the last bucket is then insertion
    sorted. Frequencies must stay below 2**22.
    """
    cdef uint32_t starts[CODE_MAX_SYMBOLS]
    cdef uint32_t symbol, bucket, key, used = 0, total = 0, count, i, j
    memset(starts, 0, n * sizeof(uint32_t))
    for symbol in range(n):
        bucket = frequencies[symbol]
        starts[bucket if bucket < n - 1 else n - 1] += 1
    for bucket in range(1, n):
        count = starts[bucket]
        starts[bucket] = total
        total += count
    used = total
    for symbol in range(n):
        bucket = frequencies[symbol]
        if bucket:
            if bucket > n - 1:
                bucket = n - 1
            sorted_keys[starts[bucket]] = frequencies[symbol] << SYMBOL_BITS | symbol
            starts[bucket] += 1
    # starts[b] has become the end of bucket b: the last bucket begins where the one before ends.
    i = starts[n - 2] if n > 2 else 0
    i += 1
    while i < used:
        key = sorted_keys[i]
        j = i
        while j > 0 and sorted_keys[j - 1] > key:
            sorted_keys[j] = sorted_keys[j - 1]
            j -= 1
        sorted_keys[j] = key
        i += 1
    return used


cdef inline void link_tree(uint32_t *nodes, uint32_t leaves) noexcept nogil:
    """Turn the sorted keys into parent indices of the ``leaves - 1`` inner nodes, in place.

    The symbols in the low bits of the entries stay where they are.
    """
    cdef uint32_t leaf = 0, node = 0, made = 0, total, frequency, _child
    while made < leaves - 1:
        total = 0
        for _child in range(2):
            if leaf < leaves and (
                node >= made or nodes[leaf] >> SYMBOL_BITS <= nodes[node] >> SYMBOL_BITS
            ):
                frequency = nodes[leaf] >> SYMBOL_BITS
                leaf += 1
            else:
                frequency = nodes[node] >> SYMBOL_BITS
                nodes[node] = made << SYMBOL_BITS | (nodes[node] & SYMBOL_MASK)
                node += 1
            total += frequency
        nodes[made] = total << SYMBOL_BITS | (nodes[made] & SYMBOL_MASK)
        made += 1


cdef inline void count_lengths(
    uint32_t *nodes, uint32_t leaves, uint32_t limit, uint32_t *counts
) noexcept nogil:
    """Count the codewords of every length 1..``limit`` from the parent indices of ``link_tree``."""
    cdef uint32_t depth, room, i
    memset(counts, 0, (CODE_MAX_LENGTH + 1) * sizeof(uint32_t))
    counts[1] = 2
    nodes[leaves - 2] &= SYMBOL_MASK
    i = leaves - 2
    while i > 0:
        i -= 1
        depth = (nodes[nodes[i] >> SYMBOL_BITS] >> SYMBOL_BITS) + 1
        nodes[i] = depth << SYMBOL_BITS | (nodes[i] & SYMBOL_MASK)
        room = depth
        if room >= limit:
            room = limit - 1
            while counts[room] == 0:
                room -= 1
        counts[room] -= 1
        counts[room + 1] += 2


cdef inline uint32_t make_code_lengths(
    const uint32_t *frequencies, uint32_t n, uint32_t limit, uint8_t *lengths
) noexcept nogil:
    """Fill ``lengths[0..n)`` with a complete code of ``limit`` bits at most; count used symbols.

    Needs 2 <= n <= 1024, limit <= 16, 2**limit >= n and a frequency sum below 2**22. With no used
    symbol all lengths are 0; a lone symbol shares the two one-bit codewords with symbol 0 (or 1).
    """
    cdef uint32_t nodes[CODE_MAX_SYMBOLS]
    cdef uint32_t counts[CODE_MAX_LENGTH + 1]
    cdef uint32_t used, length, i, _k
    memset(lengths, 0, n)
    used = sort_by_frequency(frequencies, n, nodes)
    if used == 0:
        return 0
    if used == 1:
        i = nodes[0] & SYMBOL_MASK
        lengths[0] = 1
        lengths[i if i else 1] = 1
        return 1
    link_tree(nodes, used)
    count_lengths(nodes, used, limit, counts)
    i = 0
    length = limit
    while length:
        for _k in range(counts[length]):
            lengths[nodes[i] & SYMBOL_MASK] = <uint8_t>length
            i += 1
        length -= 1
    return used


cdef inline void make_codewords(
    const uint8_t *lengths, uint32_t n, uint16_t *codewords
) noexcept nogil:
    """Assign the canonical codewords, right-aligned, in order of (length, symbol)."""
    cdef uint32_t following[CODE_MAX_LENGTH + 2]
    cdef uint32_t counts[CODE_MAX_LENGTH + 1]
    cdef uint32_t symbol, length
    memset(counts, 0, sizeof(counts))
    for symbol in range(n):
        counts[lengths[symbol]] += 1
    counts[0] = 0
    following[0] = 0
    for length in range(CODE_MAX_LENGTH + 1):
        following[length + 1] = (following[length] + counts[length]) << 1
    for symbol in range(n):
        length = lengths[symbol]
        codewords[symbol] = <uint16_t>following[length]
        following[length] += 1
