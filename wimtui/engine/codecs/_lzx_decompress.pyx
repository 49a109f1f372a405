# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# cython: embedsignature=True, freethreading_compatible=True
"""LZX decoder for WIM: independent chunks, no stream header, E8 calls always translated."""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memchr, memcpy, memset

from wimtui.engine.codecs._bitio cimport (
    COPY_SLACK,
    choose,
    copy_match_bytes,
    copy_match_wide,
    drop_flag,
    likely,
    load16le,
    load32le,
    load_units,
    store32le,
    take_flag,
    unlikely,
)
from wimtui.engine.codecs._huffman_decode cimport (
    CODE_COMPLETE,
    CODE_EMPTY,
    CODE_INVALID,
    CODEWORD_AT,
    ENTRY_POINTER,
    CodeBuilder,
    build_decode_table,
    codeword_bits,
    follow_pointer,
    total_bits,
)

from wimtui.engine.codecs.errors import CodecError

cdef enum:
    NUM_LITERALS = 256
    MAX_SLOTS = 50
    MAX_MAIN_SYMBOLS = 656
    NUM_LENGTH_SYMBOLS = 249
    NUM_PRETREE_SYMBOLS = 20
    NUM_ALIGNED_SYMBOLS = 8
    MIN_MATCH = 2
    LONG_LENGTH = 9
    MIN_ORDER = 15
    DEFAULT_BLOCK_SIZE = 32768
    # The fixed file size of the call translation.
    E8_FILE_SIZE = 12000000
    E8_TAIL = 10

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
    # Payload of a main entry: length 2..9 in bits 12..15, where a literal has 1; slot in 16..21; the aligned flag;
    # from bit 23 the right shift that leaves the extra offset bits (63 - their number), or where a literal stands in the table of bytes.
    LENGTH_AT = 12
    SLOT_AT = 16
    # The low three offset bits come from the aligned code.
    ENTRY_ALIGNED = 0x400000
    SHIFT_AT = 23
    FIRST_LITERAL = 256
    ENTRY_LITERAL = 0x80000000
    # Payload of the entries of the other codes: the symbol.
    SYMBOL_AT = 16
    # Entry of an empty length code: a length that fits nowhere.
    NO_LENGTH = 0xFFFF0000
    # One turn of the fast loop fetches twice 6 bytes, and loads 8 at a time.
    INPUT_SLACK = 16

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

cdef tuple REASONS = (
    "",
    "unknown block type",
    "block size is zero or over the room left in the chunk",
    "the pretree lengths do not make a complete prefix code",
    "a run of code lengths is invalid or leaves its array",
    "the main code lengths do not make a complete prefix code",
    "the length code lengths do not make a complete prefix code",
    "the aligned offset code lengths do not make a complete prefix code",
    "a symbol is wanted from an empty code",
    "an uncompressed block is truncated",
    "an uncompressed block sets a recent offset to zero",
    "a match reaches before the start of the chunk",
    "a match reaches past the end of its block",
)


# Types that stand for the kinds of compressed blocks: the fast loop is compiled once for each.
ctypedef int32_t VerbatimTag
ctypedef uint32_t AlignedTag
ctypedef fused BlockTag:
    VerbatimTag
    AlignedTag


cdef struct Slot:
    # Offset of the slot's first match.
    uint32_t base
    # Which of the old recent offsets, or 3 for the explicit offset, become the recent offsets.
    uint8_t new_recent[4]


cdef struct Tables

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


ctypedef int (*FastLoop)(Tables*, Cursor*) noexcept nogil


cdef struct Tables:
    # For verbatim and aligned blocks. Called through pointers to keep them out of line: inlined, they spill.
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


cdef unsigned int extra_bits_of(unsigned int slot) noexcept nogil:
    if slot < 4:
        return 0
    return (slot >> 1) - 1 if slot < 36 else 17


cdef void make_templates(Tables* tables) noexcept nogil:
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
                    payload | (66 - extra) << SHIFT_AT | (extra - 3) | ENTRY_ALIGNED
                )
            else:
                tables.aligned_templates[symbol] = tables.verbatim_templates[symbol]


cdef void set_order(Tables* tables, size_t block_size) noexcept nogil:
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


cdef inline uint32_t take_symbol(Cursor* cursor, const uint32_t* table, int root_bits) noexcept nogil:
    """Take a codeword of a code whose payload is the symbol."""
    cdef uint32_t entry = find_entry(table, root_bits, cursor.bits)
    cursor.bits <<= entry & 63
    cursor.in_hand -= <int>(entry & 63)
    return entry >> SYMBOL_AT


cdef int read_lengths(Tables* tables, Cursor* target, uint8_t* lengths, size_t count) noexcept nogil:
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


cdef int read_codes(Tables* tables, Cursor* cursor, int kind) noexcept nogil:
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


cdef int decode_fast(Tables* tables, Cursor* cursor, BlockTag tag) noexcept nogil:
    """Decode while both buffers have room to spare; stops before an item that might not fit.

    Needs a byte of output: a literal is a match of length 1 and recent offset 0 whose bytes come from a table, so that
    nothing branches on the kind of item. Of ``in_hand`` only the low six bits count: whole entries are
    subtracted from it.
    """
    cdef const uint8_t* start = cursor.start
    cdef const uint8_t* source = cursor.source
    cdef const uint8_t* source_safe = cursor.source_end - INPUT_SLACK
    cdef uint8_t* out = cursor.out
    cdef uint8_t* out_safe = cursor.block_end
    cdef uint64_t bits = cursor.bits
    cdef uint64_t in_hand = cursor.in_hand
    cdef uint64_t after
    cdef uint32_t queue[4]
    cdef uint32_t recent1
    cdef uint32_t entry, other, offset, mask
    cdef const Slot* slot
    cdef size_t length
    cdef int status = OK
    queue[0] = cursor.recent[0]
    queue[1] = cursor.recent[1]
    queue[2] = cursor.recent[2]
    if out_safe > cursor.end - COPY_SLACK:
        out_safe = cursor.end - COPY_SLACK
    while source <= source_safe:
        bits |= load_units(source) >> (in_hand & 63)
        source += 6 - (in_hand >> 3 & 6)
        in_hand |= 48
        entry = tables.main[bits >> (64 - MAIN_BITS)]
        if unlikely(entry & ENTRY_POINTER):
            entry = follow_pointer(&tables.main[0], MAIN_BITS, entry, bits)
        length = entry >> LENGTH_AT & 15
        after = bits << (entry >> CODEWORD_AT & 63)
        if length == LONG_LENGTH:
            other = find_entry(&tables.length[0], LENGTH_BITS, after)
            length += other >> SYMBOL_AT
            if unlikely(<Py_ssize_t>length > out_safe - out):
                break
            after <<= other & 63
            in_hand -= codeword_bits(entry) + (other & 63)
            after |= load_units(source) >> (in_hand & 63)
            source += 6 - (in_hand >> 3 & 6)
            in_hand = (in_hand | 48) - (total_bits(entry) - codeword_bits(entry))
            bits = after << (total_bits(entry) - codeword_bits(entry))
        else:
            if unlikely(out + length > out_safe):
                break
            bits <<= entry & 63
            in_hand -= entry
        slot = &tables.slots[entry >> SLOT_AT & 63]
        offset = <uint32_t>((after >> 1) >> (entry >> SHIFT_AT & 63))
        if BlockTag is AlignedTag:
            other = tables.aligned[bits >> (64 - ALIGNED_BITS)]
            mask = 0 - (entry >> 22 & 1)
            offset = offset << (3 & mask) | (other >> SYMBOL_AT & mask)
            bits <<= other & mask & 63
            in_hand -= other & mask & 63
        queue[3] = slot.base + offset
        offset = queue[slot.new_recent[0]]
        recent1 = queue[slot.new_recent[1]]
        queue[2] = queue[slot.new_recent[2]]
        queue[1] = recent1
        queue[0] = offset
        if unlikely(offset > <size_t>(out - start)):
            if not entry & ENTRY_LITERAL:
                status = BAD_OFFSET
                break
        memcpy(out, choose(entry & ENTRY_LITERAL, &tables.literal_bytes[entry >> SHIFT_AT], out - offset), 16)
        if unlikely(length > 16 or offset < length):
            copy_match_wide(out, offset, length)
        out += length
    cursor.bits = bits
    cursor.in_hand = in_hand & 63
    cursor.source = source
    cursor.out = out
    cursor.recent[0] = queue[0]
    cursor.recent[1] = queue[1]
    cursor.recent[2] = queue[2]
    return status


cdef int decode_verbatim(Tables* tables, Cursor* cursor) noexcept nogil:
    return decode_fast(tables, cursor, <VerbatimTag>0)


cdef int decode_aligned(Tables* tables, Cursor* cursor) noexcept nogil:
    return decode_fast(tables, cursor, <AlignedTag>0)


cdef inline int take_offset(
    const Tables* tables, Cursor* cursor, uint32_t entry, uint32_t* offset
) noexcept nogil:
    """Take the offset of the match that ``entry`` begins, and update the recent offsets."""
    cdef uint32_t slot = entry >> SLOT_AT & 63
    if slot < 3:
        offset[0] = cursor.recent[slot]
        cursor.recent[slot] = cursor.recent[0]
    else:
        offset[0] = take(cursor, 63 - (entry >> SHIFT_AT & 63))
        if entry & ENTRY_ALIGNED:
            if not cursor.has_aligned_code:
                return NO_SUCH_CODE
            offset[0] = offset[0] << 3 | take_symbol(cursor, tables.aligned, ALIGNED_BITS)
        offset[0] += tables.slots[slot].base
        cursor.recent[2] = cursor.recent[1]
        cursor.recent[1] = cursor.recent[0]
    cursor.recent[0] = offset[0]
    return OK


cdef int decode_rest(const Tables* tables, Cursor* cursor) noexcept nogil:
    """Decode to the end of the block, with a check for everything."""
    cdef uint32_t entry, offset
    cdef size_t length
    cdef int status
    while cursor.out < cursor.block_end:
        refill(cursor)
        entry = find_entry(tables.main, MAIN_BITS, cursor.bits)
        cursor.bits <<= codeword_bits(entry)
        cursor.in_hand -= <int>codeword_bits(entry)
        length = entry >> LENGTH_AT & 15
        if length == 1:
            cursor.out[0] = <uint8_t>(entry >> SHIFT_AT)
            cursor.out += 1
            continue
        if length == LONG_LENGTH:
            length += take_symbol(cursor, tables.length, LENGTH_BITS)
            if length >= NO_LENGTH >> SYMBOL_AT:
                return NO_SUCH_CODE
            refill(cursor)
        status = take_offset(tables, cursor, entry, &offset)
        if status != OK:
            return status
        if offset > <size_t>(cursor.out - cursor.start):
            return BAD_OFFSET
        if length > <size_t>(cursor.block_end - cursor.out):
            return BAD_LENGTH
        copy_match_bytes(cursor.out, offset, length)
        cursor.out += length
    return OK


cdef int copy_raw_block(Cursor* cursor, size_t size) noexcept nogil:
    """Copy an uncompressed block, which begins at the next whole unit after the header."""
    cdef const uint8_t* end = cursor.source_end
    cdef Py_ssize_t consumed = (
        8 * (cursor.source - cursor.stream_start) + cursor.invented - cursor.in_hand
    )
    cdef Py_ssize_t position = 2 * (consumed // 16 + 1)
    cdef const uint8_t* source
    cdef int i
    if end - cursor.stream_start < position or end - cursor.stream_start - position < 12 + <Py_ssize_t>size:
        return SHORT_RAW_BLOCK
    source = cursor.stream_start + position
    for i in range(3):
        cursor.recent[i] = load32le(source + 4 * i)
        if cursor.recent[i] == 0:
            return ZERO_RECENT_OFFSET
    source += 12
    memcpy(cursor.out, source, size)
    cursor.out += size
    source += size
    if size & 1 and source < end:
        source += 1
    cursor.source = source
    cursor.stream_start = source
    cursor.bits = 0
    cursor.in_hand = 0
    cursor.invented = 0
    return OK


cdef int decode_block(Tables* tables, Cursor* cursor, bint* may_have_e8) noexcept nogil:
    cdef uint32_t kind
    cdef size_t size
    cdef int status
    refill(cursor)
    kind = take(cursor, 3)
    size = DEFAULT_BLOCK_SIZE if take(cursor, 1) else take(cursor, tables.size_bits)
    if size == 0 or size > <size_t>(cursor.end - cursor.out):
        return BAD_BLOCK_SIZE
    if kind == UNCOMPRESSED:
        may_have_e8[0] = True
        return copy_raw_block(cursor, size)
    if kind != VERBATIM and kind != ALIGNED:
        return BAD_BLOCK_TYPE
    status = read_codes(tables, cursor, kind)
    if status != OK:
        return status
    if tables.main_lengths[0xE8]:
        may_have_e8[0] = True
    cursor.block_end = cursor.out + size
    if cursor.source_end - cursor.source >= INPUT_SLACK and size > COPY_SLACK and cursor.has_aligned_code:
        status = tables.fast_loops[kind == ALIGNED](tables, cursor)
        if status != OK:
            return status
    return decode_rest(tables, cursor)


cdef void undo_e8(uint8_t* data, size_t size) noexcept nogil:
    """Turn the absolute call targets back into displacements."""
    cdef size_t limit = size - E8_TAIL
    cdef size_t i = 0
    cdef const uint8_t* found
    cdef int32_t value
    while i < limit:
        found = <const uint8_t*>memchr(data + i, 0xE8, limit - i)
        if found == NULL:
            return
        i = found - data
        value = <int32_t>load32le(found + 1)
        if value >= 0:
            if value < E8_FILE_SIZE:
                store32le(data + i + 1, <uint32_t>(value - <int32_t>i))
        elif value >= -<int32_t>i:
            store32le(data + i + 1, <uint32_t>(value + E8_FILE_SIZE))
        i += 5


cdef int decode_chunk(
    Tables* tables, const uint8_t* source, size_t source_size, uint8_t* out, size_t out_size, size_t* produced,
) noexcept nogil:
    cdef Cursor cursor
    cdef bint may_have_e8 = False
    cdef int status = OK
    cdef int i
    memset(&cursor, 0, sizeof(cursor))
    cursor.source = source
    cursor.source_end = source + source_size
    cursor.stream_start = source
    cursor.start = out
    cursor.out = out
    cursor.end = out + out_size
    for i in range(3):
        cursor.recent[i] = 1
    memset(tables.main_lengths, 0, sizeof(tables.main_lengths))
    memset(tables.length_lengths, 0, sizeof(tables.length_lengths))
    while status == OK and cursor.out < cursor.end:
        status = decode_block(tables, &cursor, &may_have_e8)
    produced[0] = cursor.out - out
    if status == OK and may_have_e8 and out_size > E8_TAIL:
        undo_e8(out, out_size)
    return status


@cython.final
cdef class LzxDecompressor:
    """Decodes LZX chunks of a resource with chunks of ``block_size`` bytes; the object holds all tables.

    A last, shorter chunk needs the nominal chunk size of its resource too: the code depends on it.

    Raises:
        ValueError: ``block_size`` is not a power of two in 32768..2097152.
    """

    cdef Tables _tables
    cdef uint8_t _busy
    cdef readonly Py_ssize_t block_size

    def __cinit__(self, block_size: int):
        cdef Py_ssize_t size = block_size
        if size < 32768 or size > 2097152 or size & (size - 1):
            raise ValueError(f"LZX block size {size} is not a power of two in 32768..2097152")
        self.block_size = size
        make_templates(&self._tables)
        self._tables.fast_loops[0] = decode_verbatim
        self._tables.fast_loops[1] = decode_aligned
        set_order(&self._tables, size)

    def decompress(self, source, uncompressed_size: int) -> bytes:
        """Return the ``uncompressed_size`` bytes that ``source`` encodes.

        Raises:
            CodecError: The chunk is malformed.
            ValueError: ``uncompressed_size`` is negative or over the block size.
            RuntimeError: Another thread is using this object.
        """
        cdef Py_ssize_t size = uncompressed_size
        self._check_size(size)
        out = PyBytes_FromStringAndSize(NULL, size)
        self._decode(source, <uint8_t*>PyBytes_AS_STRING(out), size)
        return out

    def decompress_into(self, source, destination) -> None:
        """Fill the whole writable buffer ``destination`` from ``source``; the two must not overlap.

        Raises:
            CodecError: The chunk is malformed; the content of ``destination`` is undefined.
            ValueError: ``destination`` is over the block size.
            RuntimeError: Another thread is using this object.
        """
        cdef Py_buffer view
        PyObject_GetBuffer(destination, &view, PyBUF_SIMPLE | PyBUF_WRITABLE)
        try:
            self._check_size(view.len)
            self._decode(source, <uint8_t*>view.buf, view.len)
        finally:
            PyBuffer_Release(&view)

    cdef int _check_size(self, Py_ssize_t size) except -1:
        if size < 0 or size > self.block_size:
            raise ValueError(f"uncompressed size {size} is not in 0..{self.block_size}, the block size")
        return 0

    cdef int _decode(self, source, uint8_t* out, Py_ssize_t size) except -1:
        cdef Py_buffer view
        cdef size_t produced = 0
        cdef int status
        PyObject_GetBuffer(source, &view, PyBUF_SIMPLE)
        try:
            if not take_flag(&self._busy):
                raise RuntimeError("this LzxDecompressor is in use by another thread")
            with nogil:
                status = decode_chunk(
                    &self._tables, <const uint8_t*>view.buf, view.len, out, size, &produced
                )
            drop_flag(&self._busy)
        finally:
            PyBuffer_Release(&view)
        if status != OK:
            raise CodecError(f"LZX: {REASONS[status]} (after {produced} of {size} bytes)")
        return 0
