# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""The codes of LZX chunks: their alphabets, their tables, and how a block transmits them."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from wimtui.engine.codecs._bitio cimport likely, load16le, load_units, unlikely
from wimtui.engine.codecs._huffman_decode cimport (
    CODE_COMPLETE,
    CODE_EMPTY,
    CODE_INVALID,
    ENTRY_POINTER,
    CodeBuilder,
    build_decode_table,
    follow_pointer,
)

cdef enum:
    NUM_LITERALS = 256
    MAX_SLOTS = 50
    MAX_MAIN_SYMBOLS = 656
    NUM_LENGTH_SYMBOLS = 249
    NUM_PRETREE_SYMBOLS = 20
    NUM_ALIGNED_SYMBOLS = 8
    MIN_MATCH = 2
    LONG_LENGTH = 9
    MAX_MATCH = 257
    MIN_ORDER = 15
    DEFAULT_BLOCK_SIZE = 32768

# Index widths of the root tables, and room for the subtables of the worst complete codes.
cdef enum:
    MAIN_BITS = 11
    MAIN_TABLE_SIZE = 2726
    LENGTH_BITS = 9
    LENGTH_TABLE_SIZE = 878
    PRETREE_BITS = 6
    PRETREE_TABLE_SIZE = 582
    ALIGNED_BITS = 7
    ALIGNED_TABLE_SIZE = 128

cdef enum:
    # Payload of a main entry: length 2..9 in bits 12..15, where a literal has 1; slot in 16..21;
    # in 22 whether the low three offset bits come from the aligned code; from 23 the right shift
    # that leaves the extra offset bits (63 - their number), or where a literal stands in the table
    # of bytes.
    LENGTH_AT = 12
    SLOT_AT = 16
    ALIGNED_AT = 22
    SHIFT_AT = 23
    FIRST_LITERAL = 256
    ENTRY_LITERAL = 0x80000000
    # Payload of the entries of the other codes: the symbol.
    SYMBOL_AT = 16
    # Entry of an empty length code: a length that fits nowhere.
    NO_LENGTH = 0xFFFF0000

cdef enum BlockKind:
    VERBATIM = 1
    ALIGNED = 2
    UNCOMPRESSED = 3

cdef enum Status:
    OK = 0
    BAD_BLOCK_TYPE
    BAD_BLOCK_SIZE
    BAD_PRETREE
    BAD_RUN
    BAD_MAIN_CODE
    BAD_LENGTH_CODE
    BAD_ALIGNED_CODE
    NO_SUCH_CODE
    SHORT_RAW_BLOCK
    ZERO_RECENT_OFFSET
    BAD_OFFSET
    BAD_LENGTH


cdef struct Slot:
    # Offset of the slot's first match.
    uint32_t base
    # Which of the old recent offsets, or 3 for the explicit offset, become the recent offsets.
    uint8_t new_recent[4]


cdef struct Cursor:
    # Bit buffer, left-justified, and how many bits of it count; below them may lie the next ones.
    uint64_t bits
    int in_hand
    # Zero bits handed out past the end of the input.
    int invented
    const uint8_t* source
    const uint8_t* source_end
    # Where the bit stream began: the chunk, or the byte after an uncompressed block.
    const uint8_t* stream_start
    uint8_t* start
    uint8_t* out
    uint8_t* block_end
    uint8_t* end
    uint32_t recent[3]
    bint has_aligned_code


cdef struct Tables

ctypedef int (*FastLoop)(Tables*, Cursor*) noexcept nogil


cdef struct Tables:
    # For verbatim and aligned blocks. Pointers keep them out of line: inlined, they spill more.
    FastLoop fast_loops[2]
    CodeBuilder builder
    uint32_t verbatim_templates[MAX_MAIN_SYMBOLS]
    uint32_t aligned_templates[MAX_MAIN_SYMBOLS]
    # Templates of the other codes: the payload is the symbol.
    uint32_t symbol_templates[NUM_LENGTH_SYMBOLS]
    Slot slots[MAX_SLOTS]
    uint32_t main[MAIN_TABLE_SIZE]
    uint32_t length[LENGTH_TABLE_SIZE]
    uint32_t pretree[PRETREE_TABLE_SIZE]
    uint32_t aligned[ALIGNED_TABLE_SIZE]
    uint8_t main_lengths[MAX_MAIN_SYMBOLS]
    uint8_t length_lengths[NUM_LENGTH_SYMBOLS]
    # The literals from FIRST_LITERAL on, and room for a wide load of the last.
    uint8_t literal_bytes[FIRST_LITERAL + 256 + 16]
    size_t nmain
    int size_bits


cdef inline unsigned int extra_bits_of(unsigned int slot) noexcept nogil:
    if slot < 4:
        return 0
    return (slot >> 1) - 1 if slot < 36 else 17


cdef inline void make_templates(Tables* tables) noexcept nogil:
    cdef uint32_t symbol, slot, header, extra, payload
    cdef uint32_t base = 0
    for symbol in range(NUM_LITERALS):
        tables.literal_bytes[FIRST_LITERAL + symbol] = <uint8_t>symbol
        payload = (FIRST_LITERAL + symbol) << SHIFT_AT | 1 << LENGTH_AT
        tables.verbatim_templates[symbol] = payload
        tables.aligned_templates[symbol] = payload
    for symbol in range(NUM_LENGTH_SYMBOLS):
        tables.symbol_templates[symbol] = symbol << SYMBOL_AT
    for slot in range(MAX_SLOTS):
        extra = extra_bits_of(slot)
        tables.slots[slot].base = base - 2
        tables.slots[slot].new_recent[0] = slot if slot < 3 else 3
        tables.slots[slot].new_recent[1] = 1 if slot == 0 or slot == 2 else 0
        tables.slots[slot].new_recent[2] = 2 if slot < 2 else (0 if slot == 2 else 1)
        base += <uint32_t>1 << extra
        for header in range(8):
            symbol = NUM_LITERALS + 8 * slot + header
            payload = slot << SLOT_AT | (header + MIN_MATCH) << LENGTH_AT
            tables.verbatim_templates[symbol] = payload | (63 - extra) << SHIFT_AT | extra
            if extra >= 3:
                tables.aligned_templates[symbol] = (
                    payload | (66 - extra) << SHIFT_AT | (extra - 3) | 1 << ALIGNED_AT
                )
            else:
                tables.aligned_templates[symbol] = tables.verbatim_templates[symbol]


cdef inline void set_order(Tables* tables, size_t block_size) noexcept nogil:
    """Choose the alphabet and the width of the block size field for a chunk size."""
    cdef int order = MIN_ORDER
    cdef size_t slot = 0
    while (<size_t>1 << order) < block_size:
        order += 1
    # enough slots for the largest offset, three less than the window
    while slot + 1 < MAX_SLOTS and tables.slots[slot + 1].base + 3 <= <uint32_t>1 << order:
        slot += 1
    tables.nmain = NUM_LITERALS + 8 * (slot + 1)
    tables.size_bits = 16 if order == MIN_ORDER else 24


cdef inline void refill(Cursor* cursor) noexcept nogil:
    """Have at least 48 bits in hand; past the end of the input they are zeros."""
    if likely(cursor.source_end - cursor.source >= 8):
        cursor.bits |= load_units(cursor.source) >> cursor.in_hand
        cursor.source += ((63 - cursor.in_hand) >> 4) << 1
        cursor.in_hand |= 48
        return
    while cursor.in_hand < 48:
        if cursor.source_end - cursor.source >= 2:
            cursor.bits |= <uint64_t>load16le(cursor.source) << (48 - cursor.in_hand)
            cursor.source += 2
        else:
            cursor.invented += 16
        cursor.in_hand += 16


cdef inline uint32_t take(Cursor* cursor, int count) noexcept nogil:
    """Take 0..32 bits that are in hand."""
    cdef uint32_t value = <uint32_t>((cursor.bits >> 1) >> (63 - count))
    cursor.bits <<= count
    cursor.in_hand -= count
    return value


cdef inline uint32_t find_entry(const uint32_t* table, int root_bits, uint64_t bits) noexcept nogil:
    cdef uint32_t entry = table[bits >> (64 - root_bits)]
    if unlikely(entry & ENTRY_POINTER):
        entry = follow_pointer(table, root_bits, entry, bits)
    return entry


cdef inline uint32_t take_symbol(
    Cursor* cursor, const uint32_t* table, int root_bits
) noexcept nogil:
    """Take a codeword of a code whose payload is the symbol."""
    cdef uint32_t entry = find_entry(table, root_bits, cursor.bits)
    cursor.bits <<= entry & 63
    cursor.in_hand -= <int>(entry & 63)
    return entry >> SYMBOL_AT


cdef inline int read_lengths(
    Tables* tables, Cursor* target, uint8_t* lengths, size_t count
) noexcept nogil:
    """Read codeword lengths, coded by a pretree as differences to those in ``lengths``."""
    cdef Cursor cursor = target[0]
    cdef uint8_t pretree_lengths[NUM_PRETREE_SYMBOLS]
    cdef size_t i, run
    cdef uint32_t symbol
    cdef int value
    for i in range(NUM_PRETREE_SYMBOLS):
        refill(&cursor)
        pretree_lengths[i] = <uint8_t>take(&cursor, 4)
    if build_decode_table(
        &tables.builder, tables.pretree, PRETREE_TABLE_SIZE, PRETREE_BITS, 15,
        pretree_lengths, NUM_PRETREE_SYMBOLS, tables.symbol_templates,
    ) != CODE_COMPLETE:
        return BAD_PRETREE
    i = 0
    while i < count:
        refill(&cursor)
        symbol = take_symbol(&cursor, tables.pretree, PRETREE_BITS)
        if likely(symbol < 17):
            value = <int>lengths[i] - <int>symbol
            lengths[i] = <uint8_t>(value + 17 if value < 0 else value)
            i += 1
            continue
        value = 0
        if symbol == 17:
            run = 4 + take(&cursor, 4)
        elif symbol == 18:
            run = 20 + take(&cursor, 5)
        else:
            run = 4 + take(&cursor, 1)
            symbol = take_symbol(&cursor, tables.pretree, PRETREE_BITS)
            value = <int>lengths[i] - <int>symbol
            if value < 0:
                value += 17
            if symbol > 16:
                return BAD_RUN
        if run > count - i:
            return BAD_RUN
        memset(lengths + i, value, run)
        i += run
    target[0] = cursor
    return OK


cdef inline int read_codes(Tables* tables, Cursor* cursor, int kind) noexcept nogil:
    """Read the codes of a compressed block and build their tables."""
    cdef uint8_t aligned_lengths[NUM_ALIGNED_SYMBOLS]
    cdef const uint32_t* templates = tables.verbatim_templates
    cdef size_t i
    cdef int status
    cursor.has_aligned_code = True
    if kind == ALIGNED:
        templates = tables.aligned_templates
        refill(cursor)
        for i in range(NUM_ALIGNED_SYMBOLS):
            aligned_lengths[i] = <uint8_t>take(cursor, 3)
        status = build_decode_table(
            &tables.builder, tables.aligned, ALIGNED_TABLE_SIZE, ALIGNED_BITS, 7,
            aligned_lengths, NUM_ALIGNED_SYMBOLS, tables.symbol_templates,
        )
        if status == CODE_INVALID:
            return BAD_ALIGNED_CODE
        cursor.has_aligned_code = status == CODE_COMPLETE
    status = read_lengths(tables, cursor, tables.main_lengths, NUM_LITERALS)
    if status == OK:
        status = read_lengths(
            tables, cursor, tables.main_lengths + NUM_LITERALS, tables.nmain - NUM_LITERALS
        )
    if status == OK:
        status = read_lengths(tables, cursor, tables.length_lengths, NUM_LENGTH_SYMBOLS)
    if status != OK:
        return status
    if build_decode_table(
        &tables.builder, tables.main, MAIN_TABLE_SIZE, MAIN_BITS, 16,
        tables.main_lengths, tables.nmain, templates,
    ) != CODE_COMPLETE:
        return BAD_MAIN_CODE
    status = build_decode_table(
        &tables.builder, tables.length, LENGTH_TABLE_SIZE, LENGTH_BITS, 16,
        tables.length_lengths, NUM_LENGTH_SYMBOLS, tables.symbol_templates,
    )
    if status == CODE_INVALID:
        return BAD_LENGTH_CODE
    if status == CODE_EMPTY:
        for i in range(<size_t>1 << LENGTH_BITS):
            tables.length[i] = NO_LENGTH
    return OK
