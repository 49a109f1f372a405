# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# cython: embedsignature=True, freethreading_compatible=True
"""XPRESS compressor: LZ77 with one prefix code a block, stored in front of it as 512 nibbles."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.pythread cimport (
    NOWAIT_LOCK, PyThread_acquire_lock, PyThread_allocate_lock, PyThread_free_lock,
    PyThread_release_lock, PyThread_type_lock,
)
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

from wimtui.engine.codecs._huffman_code cimport make_code_lengths, make_codewords
from wimtui.engine.codecs._matchfinder cimport (
    BLOCK_PADDING, MATCH_LENGTH_BITS, MATCH_LENGTH_MASK, MatchFinder, chains_entries,
    chains_longest, chains_place, chains_reset, chains_skip, highest_set_bit, match_extent, trees_advance,
    trees_entries, trees_reset,
)

cdef enum:
    SYMBOLS = 512
    MAX_CODE_LENGTH = 15
    TABLE_NBYTES = 256
    END_OF_DATA = 256
    MIN_MATCH = 3
    LONG_HEADER = 15            # length header that announces raw length bytes
    MAX_TREE_MATCH = 511
    FLAT_COST = 9               # bits of every symbol before the first code is known
    CACHE_PER_BYTE = 8          # cached matches a position, on average
    CACHE_SLACK = 1024


cdef enum Parser:
    GREEDY
    LAZY
    OPTIMAL


# An item is symbol | (length - 3) << 16 | low offset bits << 32; a literal is its byte.
cdef struct Encoder:
    MatchFinder finder
    Parser parser
    uint32_t passes
    uint32_t size               # of this block
    uint32_t item_count
    uint32_t long_lengths       # matches with a 16-bit raw length
    uint8_t *block
    uint64_t *items
    uint32_t *cache             # per position: matches as offset << 9 | length, then their count
    uint32_t *cost_to_end       # in bits, [size + 1]
    uint32_t *choices           # best item of a position as length << 16 | offset, [size]
    uint32_t frequencies[SYMBOLS]
    uint8_t lengths[SYMBOLS]
    uint16_t codewords[SYMBOLS]


cdef inline uint64_t *put_literal(Encoder *e, uint64_t *item, uint32_t pos) noexcept nogil:
    cdef uint8_t byte = e.block[pos]
    item[0] = byte
    e.frequencies[byte] += 1
    return item + 1


cdef inline uint64_t *put_match(Encoder *e, uint64_t *item, uint32_t length, uint32_t offset) noexcept nogil:
    cdef uint32_t adjusted = length - MIN_MATCH
    cdef uint32_t log2_offset = highest_set_bit(offset)
    cdef uint32_t symbol = 256 + (log2_offset << 4)
    symbol |= adjusted if adjusted < LONG_HEADER else LONG_HEADER
    if adjusted >= LONG_HEADER + 255:
        e.long_lengths += 1
    e.frequencies[symbol] += 1
    item[0] = (
        symbol | <uint64_t>adjusted << 16 | <uint64_t>(offset ^ (<uint32_t>1 << log2_offset)) << 32
    )
    return item + 1


cdef void parse_chains(Encoder *e, bint lazy) noexcept nogil:
    """Parse greedily, or put a match off by a byte as long as that makes it longer."""
    cdef MatchFinder *finder = &e.finder
    cdef uint16_t *table = <uint16_t *>finder.tables
    cdef uint32_t size = e.size, pos = 0, length, longer, offset = 0, next_offset = 0
    cdef uint32_t depth = finder.depth, ahead_depth = (depth + 1) // 2
    cdef uint32_t far3 = 2048 if size <= 8192 else 4096
    cdef uint64_t *item = e.items
    chains_reset(finder, table)
    while pos < size:
        length = chains_longest(finder, table, pos, MIN_MATCH - 1, size - pos, depth, &offset)
        if length < MIN_MATCH or (length == MIN_MATCH and offset >= far3):
            item = put_literal(e, item, pos)
            pos += 1
            continue
        longer = 0
        while lazy and length < finder.nice and pos + 1 < size:
            longer = chains_longest(
                finder, table, pos + 1, length, size - pos - 1, ahead_depth, &next_offset
            )
            if longer == length:
                break
            item = put_literal(e, item, pos)
            pos += 1
            length = longer
            offset = next_offset
            longer = 0
        item = put_match(e, item, length, offset)
        if longer:
            chains_skip(finder, table, pos + 2, length - 2)
        else:
            chains_skip(finder, table, pos + 1, length - 1)
        pos += length
    e.item_count = <uint32_t>(item - e.items)


cdef inline uint32_t tree_room(uint32_t room) noexcept nogil:
    return room if room < MAX_TREE_MATCH else MAX_TREE_MATCH


cdef uint32_t *collect_matches(Encoder *e) noexcept nogil:
    """Cache the matches of all positions, each list followed by its count; return the end."""
    cdef MatchFinder *finder = &e.finder
    cdef uint16_t *table = <uint16_t *>finder.tables
    cdef uint32_t *cache = e.cache
    cdef uint32_t *limit = e.cache + <uint64_t>CACHE_PER_BYTE * e.size
    cdef uint32_t *begin
    cdef uint32_t size = e.size, pos = 0, longest, skip
    trees_reset(finder, table)
    while pos < size:
        begin = cache
        if cache < limit:
            cache = trees_advance(finder, table, pos, tree_room(size - pos), True, False, cache)
        longest = (cache - 1)[0] if cache > begin else 0
        cache[0] = <uint32_t>(cache - begin)
        cache += 1
        pos += 1
        if longest & MATCH_LENGTH_MASK < finder.nice:
            continue
        skip = match_extent(
            e.block + pos - 1, e.block + pos - 1 - (longest >> MATCH_LENGTH_BITS),
            longest & MATCH_LENGTH_MASK, size - pos + 1,
        ) - 1
        while skip:
            if cache < limit:
                trees_advance(finder, table, pos, tree_room(size - pos), False, False, NULL)
            cache[0] = 0
            cache += 1
            pos += 1
            skip -= 1
    return cache


cdef inline uint32_t length_bits(uint32_t adjusted) noexcept nogil:
    """Return the bits of the raw bytes of a match ``adjusted + 3`` long."""
    if adjusted < LONG_HEADER:
        return 0
    return 8 if adjusted < LONG_HEADER + 255 else 24


cdef inline uint32_t match_symbol(uint32_t adjusted, uint32_t log2_offset) noexcept nogil:
    return 256 + (log2_offset << 4) + (adjusted if adjusted < LONG_HEADER else LONG_HEADER)


cdef void find_cheapest_path(Encoder *e, const uint32_t *cache) noexcept nogil:
    """Choose the best item of every position, from the last to the first; ``cache`` is the end."""
    cdef uint32_t pos = e.size, count, best, choice, cost, adjusted, offset, length, log2_offset, i, top
    cdef uint32_t symbol_costs[SYMBOLS]
    for i in range(SYMBOLS):
        symbol_costs[i] = e.lengths[i] + ((i >> 4) & 15 if i >= 256 else 0)
    e.cost_to_end[pos] = 0
    while pos:
        pos -= 1
        cache -= 1
        count = cache[0]
        cache -= count
        best = symbol_costs[e.block[pos]] + e.cost_to_end[pos + 1]
        choice = 1 << 16
        if count and cache[count - 1] & MATCH_LENGTH_MASK >= e.finder.nice:
            offset = cache[count - 1] >> MATCH_LENGTH_BITS
            length = match_extent(
                e.block + pos, e.block + pos - offset, cache[count - 1] & MATCH_LENGTH_MASK, e.size - pos
            )
            adjusted = length - MIN_MATCH
            cost = symbol_costs[match_symbol(adjusted, highest_set_bit(offset))]
            cost += length_bits(adjusted) + e.cost_to_end[pos + length]
            if cost < best:
                best = cost
                choice = length << 16 | offset
            count -= 1
        length = MIN_MATCH
        for i in range(count):
            offset = cache[i] >> MATCH_LENGTH_BITS
            top = cache[i] & MATCH_LENGTH_MASK
            log2_offset = highest_set_bit(offset)
            while length <= top:
                adjusted = length - MIN_MATCH
                cost = symbol_costs[match_symbol(adjusted, log2_offset)]
                cost += length_bits(adjusted) + e.cost_to_end[pos + length]
                if cost < best:
                    best = cost
                    choice = length << 16 | offset
                length += 1
        e.cost_to_end[pos] = best
        e.choices[pos] = choice


cdef void follow_path(Encoder *e) noexcept nogil:
    """Turn the chosen items into the item list and its tallies."""
    cdef uint32_t pos = 0, length
    cdef uint64_t *item = e.items
    memset(e.frequencies, 0, sizeof(e.frequencies))
    e.long_lengths = 0
    while pos < e.size:
        length = e.choices[pos] >> 16
        if length == 1:
            item = put_literal(e, item, pos)
        else:
            item = put_match(e, item, length, e.choices[pos] & 0xFFFF)
        pos += length
    e.item_count = <uint32_t>(item - e.items)
    e.frequencies[END_OF_DATA] += 1


cdef void parse_optimal(Encoder *e) noexcept nogil:
    """Parse near-optimally: cheapest path under the code that the previous pass led to."""
    cdef uint32_t *cache = collect_matches(e)
    cdef uint32_t i, k
    memset(e.lengths, FLAT_COST, SYMBOLS)
    for k in range(e.passes):
        find_cheapest_path(e, cache)
        follow_path(e)
        if k + 1 < e.passes:
            make_code_lengths(e.frequencies, SYMBOLS, MAX_CODE_LENGTH, e.lengths)
            for i in range(SYMBOLS):
                if e.lengths[i] == 0:
                    e.lengths[i] = MAX_CODE_LENGTH


cdef uint64_t encoded_size(Encoder *e) noexcept nogil:
    """Return the exact size of the block under the codes in ``e``, in bytes."""
    cdef uint64_t bits = 0, raw_nbytes = 2 * <uint64_t>e.long_lengths
    cdef uint32_t i
    for i in range(256):
        bits += <uint64_t>e.frequencies[i] * e.lengths[i]
    for i in range(256, SYMBOLS):
        bits += <uint64_t>e.frequencies[i] * (e.lengths[i] + ((i >> 4) & 15))
        if i & 15 == LONG_HEADER:
            raw_nbytes += e.frequencies[i]
    # Two units are reserved ahead; the last 1..16 bits go to the first of them.
    return TABLE_NBYTES + 4 + 2 * ((bits + 15) // 16 - 1) + raw_nbytes


cdef struct Output:
    uint8_t *data
    uint64_t first              # where the next unit goes
    uint64_t second             # where the one after it goes
    uint64_t end
    uint64_t bits               # pending, right-aligned
    uint32_t bit_count


cdef inline void flush_units(Output *out) noexcept nogil:
    """Write units until at most 16 bits are pending; the decoder's look-ahead fixes the slots."""
    cdef uint32_t unit
    while out.bit_count > 16:
        out.bit_count -= 16
        unit = <uint32_t>(out.bits >> out.bit_count)
        out.data[out.first] = <uint8_t>unit
        out.data[out.first + 1] = <uint8_t>(unit >> 8)
        out.first = out.second
        out.second = out.end
        out.end += 2


cdef inline void put_length_bytes(Output *out, uint32_t adjusted) noexcept nogil:
    if adjusted < LONG_HEADER + 255:
        out.data[out.end] = <uint8_t>(adjusted - LONG_HEADER)
        out.end += 1
        return
    out.data[out.end] = 255
    out.data[out.end + 1] = <uint8_t>adjusted
    out.data[out.end + 2] = <uint8_t>(adjusted >> 8)
    out.end += 3


cdef void write_block(Encoder *e, uint8_t *data) noexcept nogil:
    """Write exactly ``encoded_size(e)`` bytes."""
    cdef Output out
    cdef uint64_t item
    cdef uint32_t i, symbol, width, adjusted
    for i in range(TABLE_NBYTES):
        data[i] = e.lengths[2 * i] | e.lengths[2 * i + 1] << 4
    out.data = data
    out.first = TABLE_NBYTES
    out.second = TABLE_NBYTES + 2
    out.end = TABLE_NBYTES + 4
    out.bits = 0
    out.bit_count = 0
    for i in range(e.item_count):
        item = e.items[i]
        symbol = <uint32_t>item & 511
        out.bits = out.bits << e.lengths[symbol] | e.codewords[symbol]
        out.bit_count += e.lengths[symbol]
        if symbol >= 256:
            if symbol & 15 == LONG_HEADER:
                adjusted = <uint32_t>(item >> 16) & 0xFFFF
                flush_units(&out)
                put_length_bytes(&out, adjusted)
            width = (symbol >> 4) & 15
            out.bits = out.bits << width | item >> 32
            out.bit_count += width
        # 34 pending bits leave room for a codeword and the bits of an offset.
        if out.bit_count > 34:
            flush_units(&out)
    out.bits = out.bits << e.lengths[END_OF_DATA] | e.codewords[END_OF_DATA]
    out.bit_count += e.lengths[END_OF_DATA]
    flush_units(&out)
    i = <uint32_t>(out.bits << (16 - out.bit_count))
    data[out.first] = <uint8_t>i
    data[out.first + 1] = <uint8_t>(i >> 8)
    data[out.second] = 0
    data[out.second + 1] = 0


cdef uint64_t plan_block(Encoder *e) noexcept nogil:
    """Parse the block and build its code; return the encoded size in bytes."""
    memset(e.frequencies, 0, sizeof(e.frequencies))
    e.long_lengths = 0
    if e.parser == OPTIMAL:
        parse_optimal(e)
    else:
        parse_chains(e, e.parser == LAZY)
        e.frequencies[END_OF_DATA] += 1
    make_code_lengths(e.frequencies, SYMBOLS, MAX_CODE_LENGTH, e.lengths)
    make_codewords(e.lengths, SYMBOLS, e.codewords)
    return encoded_size(e)


@cython.final
cdef class XpressCompressor:
    """Encodes blocks of at most ``block_size`` bytes (a power of two, 2**12 .. 2**16).

    ``level`` is 1..100: greedy parsing below 30, lazy below 60, then near-optimal; depth and nice
    length of the match search grow with it. The same input and level give the same output.

    Raises:
        ValueError: ``block_size`` or ``level`` is out of range.
    """

    cdef Encoder *_encoder
    cdef PyThread_type_lock _busy
    cdef readonly uint32_t block_size
    cdef readonly uint32_t level

    def __cinit__(self, uint32_t block_size, uint32_t level=50):
        if not 1 << 12 <= block_size <= 1 << 16 or block_size & (block_size - 1):
            raise ValueError(f"XPRESS block size {block_size}: use a power of two from 4096 to 65536")
        if not 1 <= level <= 100:
            raise ValueError(f"XPRESS level {level}: use 1 to 100")
        self.block_size = block_size
        self.level = level
        self._busy = PyThread_allocate_lock()
        self._encoder = <Encoder *>calloc(1, sizeof(Encoder))
        if self._busy == NULL or self._encoder == NULL:
            raise MemoryError
        self._choose_effort()
        self._allocate()

    def __dealloc__(self):
        if self._busy != NULL:
            PyThread_free_lock(self._busy)
        if self._encoder != NULL:
            free(self._encoder.finder.tables)
            free(self._encoder.block)
            free(self._encoder.items)
            free(self._encoder.cache)
            free(self._encoder.cost_to_end)
            free(self._encoder.choices)
            free(self._encoder)

    cdef void _choose_effort(self):
        cdef Encoder *e = self._encoder
        cdef uint32_t level = self.level
        if level < 30:
            e.parser = GREEDY
            e.finder.depth = max(1, 30 * level // 16)
            e.finder.nice = max(4, 60 * level // 16)
        elif level < 60:
            e.parser = LAZY
            e.finder.depth = 30 * level // 32
            e.finder.nice = 60 * level // 32
        else:
            e.parser = OPTIMAL
            e.finder.depth = 28 * level // 100
            e.finder.nice = 56 * level // 100
            e.passes = max(1, level // 40)

    cdef int _allocate(self) except -1:
        cdef Encoder *e = self._encoder
        cdef uint64_t size = self.block_size, entries
        # Tables much larger than the block cost more to clear than they save.
        cdef uint32_t hash3_order = 15 if size > 8192 else 12
        cdef uint32_t hash4_order = 16 if size > 16384 else 13
        if e.parser == OPTIMAL:
            entries = trees_entries(size)
            e.cache = <uint32_t *>malloc((CACHE_PER_BYTE * size + size + CACHE_SLACK) * sizeof(uint32_t))
            e.cost_to_end = <uint32_t *>malloc((size + 1) * sizeof(uint32_t))
            e.choices = <uint32_t *>malloc(size * sizeof(uint32_t))
            if e.cache == NULL or e.cost_to_end == NULL or e.choices == NULL:
                raise MemoryError
        else:
            entries = chains_entries(hash3_order, hash4_order, size)
        e.finder.tables = malloc(entries * sizeof(uint16_t))
        e.items = <uint64_t *>malloc(size * sizeof(uint64_t))
        e.block = <uint8_t *>malloc(size + BLOCK_PADDING)
        if e.finder.tables == NULL or e.items == NULL or e.block == NULL:
            raise MemoryError
        if e.parser != OPTIMAL:
            chains_place(&e.finder, <uint16_t *>e.finder.tables, hash3_order, hash4_order)
        e.finder.data = e.block
        return 0

    def compress(self, const uint8_t[::1] source not None):
        """Return the encoded block, or None where it would not be smaller than ``source``.

        Raises:
            ValueError: ``source`` is over the block size of this object.
            RuntimeError: Another thread is using this object.
        """
        cdef Encoder *e = self._encoder
        cdef uint64_t size = source.shape[0], size_encoded
        cdef bytes encoded
        cdef uint8_t *data
        if size > self.block_size:
            raise ValueError(f"XPRESS block of {size} bytes: this compressor takes {self.block_size}")
        if size <= TABLE_NBYTES + 4:
            return None
        if not PyThread_acquire_lock(self._busy, NOWAIT_LOCK):
            raise RuntimeError("XPRESS compressor is in use by another thread: give each its own")
        try:
            with nogil:
                memcpy(e.block, &source[0], size)
                memset(e.block + size, 0, BLOCK_PADDING)
                e.size = <uint32_t>size
                size_encoded = plan_block(e)
            if size_encoded >= size:
                return None
            encoded = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>size_encoded)
            data = <uint8_t *>PyBytes_AS_STRING(encoded)
            with nogil:
                write_block(e, data)
            return encoded
        finally:
            PyThread_release_lock(self._busy)
