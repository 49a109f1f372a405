# cython: language_level=3, boundscheck=False, wraparound=False
# cython: initializedcheck=False, cdivision=True
# LZX blocks, the encoder's side: items and their tallies, codes, the bit stream, block layouts.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from wimtui.engine.codecs._huffman_code cimport make_code_lengths, make_codewords
from wimtui.engine.codecs._matchfinder cimport highest_set_bit

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>

    /* The four 16-bit units of v, most significant unit first, as little-endian bytes. */
    static inline void store_four_units(uint8_t *p, uint64_t v)
    {
        const uint64_t low = 0x0000FFFF0000FFFFull;
        v = (v & low) << 16 | (v >> 16 & low);
        v = v << 32 | v >> 32;
    #if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        v = __builtin_bswap64(v);
    #endif
        memcpy(p, &v, 8);
    }
    """
    void store_four_units(uint8_t *p, uint64_t v) noexcept nogil

cdef enum:
    MIN_MATCH = 2
    MAX_MATCH = 257
    LITERALS = 256
    MAX_SLOTS = 50
    MAX_MAIN_SYMBOLS = 656
    LENGTH_SYMBOLS = 249
    ALIGNED_SYMBOLS = 8
    PRETREE_SYMBOLS = 20
    LONG_HEADER = 7             # length header that announces a symbol of the length code
    FIRST_ALIGNED_SLOT = 8      # slots from here on have three or more extra bits
    ITEM_LENGTH_BITS = 9        # an item is value << 9 | length
    ITEM_LENGTH_MASK = 511
    # One flush per match: 16 + 12 + 14 + 7 bits beside at most 15 pending ones.
    MAIN_LIMIT = 16
    LENGTH_LIMIT = 12
    ALIGNED_LIMIT = 7
    PRETREE_LIMIT = 15
    DEFAULT_BLOCK_SIZE = 32768
    HEADER_SLACK = 2048         # more than the header and code lengths of a block can take


cdef enum BlockKind:
    VERBATIM = 1
    ALIGNED = 2
    UNCOMPRESSED = 3


# An item with length 1 is a literal and its value the byte; else a match, whose value is the
# formatted offset: 0, 1, 2 for a recent offset, otherwise offset + 2.
cdef struct Tallies:
    uint32_t main[MAX_MAIN_SYMBOLS]
    uint32_t length[LENGTH_SYMBOLS]
    uint32_t aligned[ALIGNED_SYMBOLS]


cdef struct CodeLengths:
    uint8_t main[MAX_MAIN_SYMBOLS]
    uint8_t length[LENGTH_SYMBOLS]
    uint8_t aligned[ALIGNED_SYMBOLS]


cdef struct Output:
    uint8_t *data
    uint64_t position           # bytes written
    uint64_t capacity           # HEADER_SLACK more bytes may be scribbled on
    uint64_t bits               # pending, right-aligned
    uint32_t bit_count


cdef struct BlockWriter:
    Output out
    uint32_t order              # window order, 15..21
    uint32_t main_symbols
    uint32_t slots
    Tallies tallies
    CodeLengths lengths
    CodeLengths previous        # of the latest coded block
    uint16_t main_codewords[MAX_MAIN_SYMBOLS]
    uint16_t length_codewords[LENGTH_SYMBOLS]
    uint16_t aligned_codewords[ALIGNED_SYMBOLS]
    uint8_t slot_extra_bits[MAX_SLOTS]
    uint32_t slot_bases[MAX_SLOTS]      # formatted offsets


cdef inline uint32_t slot_of(uint32_t formatted_offset) noexcept nogil:
    """Return the slot: two per power of two, from 2**18 on one per 2**17."""
    cdef uint32_t k
    if formatted_offset < 2:
        return formatted_offset
    if formatted_offset >= 1 << 18:
        return 34 + (formatted_offset >> 17)
    k = highest_set_bit(formatted_offset)
    return 2 * k + ((formatted_offset >> (k - 1)) & 1)


cdef inline void fill_slot_tables(BlockWriter *w) noexcept nogil:
    cdef uint32_t slot, base = 0
    for slot in range(MAX_SLOTS):
        w.slot_bases[slot] = base
        w.slot_extra_bits[slot] = <uint8_t>(0 if slot < 4 else slot // 2 - 1 if slot < 36 else 17)
        base += <uint32_t>1 << w.slot_extra_bits[slot]


cdef inline void start_stream(BlockWriter *w, uint64_t capacity) noexcept nogil:
    w.out.position = 0
    w.out.capacity = capacity
    w.out.bits = 0
    w.out.bit_count = 0
    memset(&w.previous, 0, sizeof(CodeLengths))
    memset(&w.tallies, 0, sizeof(Tallies))


cdef inline void tally_item(BlockWriter *w, uint32_t item) noexcept nogil:
    cdef uint32_t length = item & ITEM_LENGTH_MASK, value = item >> ITEM_LENGTH_BITS, slot
    if length == 1:
        w.tallies.main[value] += 1
        return
    slot = slot_of(value)
    if slot >= FIRST_ALIGNED_SLOT:
        w.tallies.aligned[value & 7] += 1
    length -= MIN_MATCH
    if length >= LONG_HEADER:
        w.tallies.length[length - LONG_HEADER] += 1
        length = LONG_HEADER
    w.tallies.main[LITERALS + 8 * slot + length] += 1


cdef inline void make_lengths(BlockWriter *w) noexcept nogil:
    """Build the three codes' lengths from the tallies."""
    make_code_lengths(w.tallies.main, w.main_symbols, MAIN_LIMIT, w.lengths.main)
    make_code_lengths(w.tallies.length, LENGTH_SYMBOLS, LENGTH_LIMIT, w.lengths.length)
    make_code_lengths(w.tallies.aligned, ALIGNED_SYMBOLS, ALIGNED_LIMIT, w.lengths.aligned)


cdef inline void flush_units(Output *out) noexcept nogil:
    """Write the whole units among the pending bits (1..64), leaving at most 15 pending."""
    if out.bit_count == 0:
        return
    store_four_units(out.data + out.position, out.bits << (64 - out.bit_count))
    out.position += 2 * (out.bit_count >> 4)
    out.bit_count &= 15


cdef inline void put_bits(Output *out, uint32_t value, uint32_t width) noexcept nogil:
    """Append ``width`` (0..48) bits and flush."""
    out.bits = out.bits << width | value
    out.bit_count += width
    flush_units(out)


cdef inline uint32_t run_lengths(
    const uint8_t *lengths, const uint8_t *previous, uint32_t n, uint32_t *symbols,
    uint32_t *tallies,
) noexcept nogil:
    """Run-length code ``lengths``; return the number of pretree items written to ``symbols``.

    An item is symbol | extra bits << 8 | delta symbol of a run << 16.
    """
    cdef uint32_t i = 0, j, count = 0, run, delta
    while i < n:
        j = i + 1
        while j < n and lengths[j] == lengths[i]:
            j += 1
        run = j - i
        delta = previous[i] + (17 if previous[i] < lengths[i] else 0) - lengths[i]
        if lengths[i] == 0 and run >= 20:
            run = run if run < 51 else 51
            symbols[count] = 18 | (run - 20) << 8
        elif lengths[i] == 0 and run >= 4:
            run = run if run < 19 else 19
            symbols[count] = 17 | (run - 4) << 8
        elif run >= 4:
            run = run if run < 5 else 5
            symbols[count] = 19 | (run - 4) << 8 | delta << 16
            tallies[delta] += 1
        else:
            run = 1
            symbols[count] = delta
        tallies[symbols[count] & 31] += 1
        count += 1
        i += run
    return count


cdef inline void put_lengths(
    Output *out, const uint8_t *lengths, const uint8_t *previous, uint32_t n
) noexcept nogil:
    """Write one array of code lengths behind the pretree made for it."""
    cdef uint32_t symbols[MAX_MAIN_SYMBOLS]
    cdef uint32_t tallies[PRETREE_SYMBOLS]
    cdef uint8_t widths[PRETREE_SYMBOLS]
    cdef uint16_t codewords[PRETREE_SYMBOLS]
    cdef uint32_t count, i, symbol
    memset(tallies, 0, sizeof(tallies))
    count = run_lengths(lengths, previous, n, symbols, tallies)
    make_code_lengths(tallies, PRETREE_SYMBOLS, PRETREE_LIMIT, widths)
    make_codewords(widths, PRETREE_SYMBOLS, codewords)
    for i in range(PRETREE_SYMBOLS):
        put_bits(out, widths[i], 4)
    for i in range(count):
        symbol = symbols[i] & 31
        put_bits(out, codewords[symbol], widths[symbol])
        if symbol >= 17:
            put_bits(out, symbols[i] >> 8 & 31, 4 if symbol == 17 else 5 if symbol == 18 else 1)
        if symbol == 19:
            symbol = symbols[i] >> 16
            put_bits(out, codewords[symbol], widths[symbol])


cdef inline void put_block_header(BlockWriter *w, BlockKind kind, uint32_t size) noexcept nogil:
    """Write kind and size; an uncompressed block's size is always explicit in large windows.

    There wimlib's decoder (1.14.5) loses the bit position after the default-size bit.
    """
    put_bits(&w.out, kind, 3)
    if size == DEFAULT_BLOCK_SIZE and (kind != UNCOMPRESSED or w.order == 15):
        put_bits(&w.out, 1, 1)
    else:
        put_bits(&w.out, 0, 1)
        put_bits(&w.out, size, 16 if w.order == 15 else 24)


cdef inline uint64_t item_bits(BlockWriter *w, BlockKind kind) noexcept nogil:
    """Return the exact bits of the block's items."""
    cdef uint64_t bits = 0
    cdef uint32_t i, extra
    for i in range(LITERALS):
        bits += <uint64_t>w.tallies.main[i] * w.lengths.main[i]
    for i in range(LITERALS, w.main_symbols):
        extra = w.slot_extra_bits[(i - LITERALS) >> 3]
        if kind == ALIGNED and extra >= 3:
            extra -= 3
        bits += <uint64_t>w.tallies.main[i] * (w.lengths.main[i] + extra)
    for i in range(LENGTH_SYMBOLS):
        bits += <uint64_t>w.tallies.length[i] * w.lengths.length[i]
    if kind == ALIGNED:
        for i in range(ALIGNED_SYMBOLS):
            bits += <uint64_t>w.tallies.aligned[i] * w.lengths.aligned[i]
    return bits


cdef inline BlockKind cheaper_kind(BlockWriter *w) noexcept nogil:
    """Return whether the aligned code earns its 24 bits."""
    cdef uint32_t i, plain = 0, coded = 24
    for i in range(ALIGNED_SYMBOLS):
        plain += 3 * w.tallies.aligned[i]
        coded += w.lengths.aligned[i] * w.tallies.aligned[i]
    return ALIGNED if coded < plain else VERBATIM


cdef inline void put_items(
    BlockWriter *w, BlockKind kind, const uint32_t *items, uint32_t count
) noexcept nogil:
    cdef Output out = w.out
    cdef uint32_t i, value, length, symbol, slot, extra, plain
    for i in range(count):
        value = items[i] >> ITEM_LENGTH_BITS
        length = items[i] & ITEM_LENGTH_MASK
        if length == 1:
            if out.bit_count > 48:
                flush_units(&out)
            out.bits = out.bits << w.lengths.main[value] | w.main_codewords[value]
            out.bit_count += w.lengths.main[value]
            continue
        flush_units(&out)
        slot = slot_of(value)
        length -= MIN_MATCH
        symbol = LITERALS + 8 * slot + (length if length < LONG_HEADER else LONG_HEADER)
        out.bits = out.bits << w.lengths.main[symbol] | w.main_codewords[symbol]
        out.bit_count += w.lengths.main[symbol]
        if length >= LONG_HEADER:
            length -= LONG_HEADER
            out.bits = out.bits << w.lengths.length[length] | w.length_codewords[length]
            out.bit_count += w.lengths.length[length]
        extra = w.slot_extra_bits[slot]
        plain = value - w.slot_bases[slot]
        if kind == ALIGNED and slot >= FIRST_ALIGNED_SLOT:
            out.bits = out.bits << (extra - 3) | plain >> 3
            plain &= 7
            out.bits = out.bits << w.lengths.aligned[plain] | w.aligned_codewords[plain]
            out.bit_count += extra - 3 + w.lengths.aligned[plain]
        else:
            out.bits = out.bits << extra | plain
            out.bit_count += extra
    flush_units(&out)
    w.out = out


cdef inline bint put_uncompressed(
    BlockWriter *w, const uint8_t *data, uint32_t size, const uint32_t *recent
) noexcept nogil:
    """Write the block verbatim behind the recent offsets; return False where it does not fit."""
    cdef uint32_t i
    put_block_header(w, UNCOMPRESSED, size)
    # To the unit boundary, a whole unit if already there.
    put_bits(&w.out, 0, 16 - w.out.bit_count)
    if w.out.position + 12 + size + 1 > w.out.capacity:
        return False
    for i in range(12):
        w.out.data[w.out.position + i] = <uint8_t>(recent[i >> 2] >> 8 * (i & 3))
    memcpy(w.out.data + w.out.position + 12, data, size)
    w.out.position += 12 + size
    if size & 1:
        w.out.data[w.out.position] = 0
        w.out.position += 1
    return True


cdef inline bint put_block(
    BlockWriter *w, const uint8_t *data, uint32_t size, const uint32_t *items, uint32_t count,
    const uint32_t *recent,
) noexcept nogil:
    """Write the block of ``size`` bytes with the tallied items; return False where it does not fit.

    ``recent`` are the offsets after the block, which an uncompressed one has to state. The tallies
    are cleared for the next block.
    """
    cdef Output before = w.out
    cdef BlockKind kind
    cdef uint64_t bits
    cdef uint32_t i
    make_lengths(w)
    kind = cheaper_kind(w)
    put_block_header(w, kind, size)
    if kind == ALIGNED:
        for i in range(ALIGNED_SYMBOLS):
            put_bits(&w.out, w.lengths.aligned[i], 3)
    put_lengths(&w.out, w.lengths.main, w.previous.main, LITERALS)
    put_lengths(
        &w.out, w.lengths.main + LITERALS, w.previous.main + LITERALS, w.main_symbols - LITERALS
    )
    put_lengths(&w.out, w.lengths.length, w.previous.length, LENGTH_SYMBOLS)
    bits = w.out.bit_count + item_bits(w, kind)
    memset(&w.tallies, 0, sizeof(Tallies))
    if w.out.position + bits // 8 > before.position + size + 16:
        w.out = before
        return put_uncompressed(w, data, size, recent)
    if w.out.position + 2 * ((bits + 15) // 16) > w.out.capacity:
        return False
    make_codewords(w.lengths.main, w.main_symbols, w.main_codewords)
    make_codewords(w.lengths.length, LENGTH_SYMBOLS, w.length_codewords)
    make_codewords(w.lengths.aligned, ALIGNED_SYMBOLS, w.aligned_codewords)
    put_items(w, kind, items, count)
    w.previous = w.lengths
    return True


cdef inline uint64_t finish_stream(BlockWriter *w) noexcept nogil:
    """Pad to a whole unit; return the size of the stream in bytes."""
    if w.out.bit_count:
        put_bits(&w.out, 0, 16 - w.out.bit_count)
    return w.out.position
