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
    ENTRY_LITERAL,
    ENTRY_POINTER,
    CodeBuilder,
    build_decode_table,
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
    # Payload of a match entry: slot in bits 16..21, length 2..9 in 22..25, extra bits in 26..30.
    SLOT_AT = 16
    LENGTH_AT = 22
    EXTRA_AT = 26
    # The low three offset bits come from the aligned code.
    ENTRY_ALIGNED = 0x8000
    # Entry of an empty length code: a length that fits nowhere.
    NO_LENGTH = 0xFFFF0000
    # One turn of the fast loop fetches three times 6 bytes, and loads 8 at a time.
    INPUT_SLACK = 24
    # Literals that one turn of the fast loop may write after its check.
    LITERAL_SLACK = 2

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


cdef struct Tables:
    CodeBuilder builder
    uint32_t verbatim_templates[MAX_MAIN_SYMBOLS]
    uint32_t aligned_templates[MAX_MAIN_SYMBOLS]
    # Templates of the other codes: the payload is the symbol.
    uint32_t symbol_templates[NUM_LENGTH_SYMBOLS]
    uint32_t offset_base[MAX_SLOTS]
    uint32_t main[MAIN_TABLE_SIZE]
    uint32_t length[LENGTH_TABLE_SIZE]
    uint32_t pretree[PRETREE_TABLE_SIZE]
    uint32_t aligned[ALIGNED_TABLE_SIZE]
    uint8_t main_lengths[MAX_MAIN_SYMBOLS]
    uint8_t length_lengths[NUM_LENGTH_SYMBOLS]
    size_t nmain
    int size_bits


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


cdef unsigned int extra_bits_of(unsigned int slot) noexcept nogil:
    if slot < 4:
        return 0
    return (slot >> 1) - 1 if slot < 36 else 17


cdef void make_templates(Tables* tables) noexcept nogil:
    cdef uint32_t symbol, slot, header, extra, payload
    cdef uint32_t base = 0
    for symbol in range(NUM_LITERALS):
        tables.verbatim_templates[symbol] = symbol << 16 | ENTRY_LITERAL
        tables.aligned_templates[symbol] = symbol << 16 | ENTRY_LITERAL
    for symbol in range(NUM_LENGTH_SYMBOLS):
        tables.symbol_templates[symbol] = symbol << 16
    for slot in range(MAX_SLOTS):
        extra = extra_bits_of(slot)
        tables.offset_base[slot] = base - 2
        base += <uint32_t>1 << extra
        for header in range(8):
            symbol = NUM_LITERALS + 8 * slot + header
            payload = slot << SLOT_AT | (header + MIN_MATCH) << LENGTH_AT
            tables.verbatim_templates[symbol] = payload | extra << EXTRA_AT | extra
            if extra >= 3:
                tables.aligned_templates[symbol] = (
                    payload | (extra - 3) << EXTRA_AT | (extra - 3) | ENTRY_ALIGNED
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
    while slot + 1 < MAX_SLOTS and tables.offset_base[slot + 1] + 3 <= <uint32_t>1 << order:
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
        entry = table[(entry >> 16) + ((bits << root_bits) >> (64 - (entry & 63)))]
    return entry


cdef inline uint32_t take_symbol(Cursor* cursor, const uint32_t* table, int root_bits) noexcept nogil:
    """Take a codeword of a code whose payload is the symbol."""
    cdef uint32_t entry = find_entry(table, root_bits, cursor.bits)
    cursor.bits <<= entry & 63
    cursor.in_hand -= <int>(entry & 63)
    return entry >> 16


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


cdef int decode_fast(const Tables* tables, Cursor* cursor) noexcept nogil:
    """Decode while both buffers have room to spare; stops before an item that might not fit."""
    cdef const uint32_t* main = tables.main
    cdef uint64_t bits = cursor.bits
    cdef uint64_t after
    cdef int in_hand = cursor.in_hand
    cdef int left
    cdef const uint8_t* source = cursor.source
    cdef const uint8_t* source_safe = cursor.source_end - INPUT_SLACK
    cdef uint8_t* out = cursor.out
    cdef uint8_t* out_safe = cursor.block_end - LITERAL_SLACK
    cdef uint32_t recent0 = cursor.recent[0]
    cdef uint32_t recent1 = cursor.recent[1]
    cdef uint32_t recent2 = cursor.recent[2]
    cdef uint32_t entry, other, slot, offset
    cdef size_t length
    cdef int status = OK
    if out_safe > cursor.end - COPY_SLACK:
        out_safe = cursor.end - COPY_SLACK
    while source <= source_safe and out < out_safe:
        bits |= load_units(source) >> in_hand
        source += ((63 - in_hand) >> 4) << 1
        in_hand |= 48
        entry = main[bits >> (64 - MAIN_BITS)]
        if entry & ENTRY_LITERAL:
            out[0] = <uint8_t>(entry >> 16)
            out += 1
            bits <<= entry & 63
            in_hand -= <int>(entry & 255)
            entry = main[bits >> (64 - MAIN_BITS)]
            if entry & ENTRY_LITERAL:
                out[0] = <uint8_t>(entry >> 16)
                out += 1
                bits <<= entry & 63
                in_hand -= <int>(entry & 255)
                entry = main[bits >> (64 - MAIN_BITS)]
                if entry & ENTRY_LITERAL:
                    out[0] = <uint8_t>(entry >> 16)
                    out += 1
                    bits <<= entry & 63
                    in_hand -= <int>(entry & 255)
                    continue
            bits |= load_units(source) >> in_hand
            source += ((63 - in_hand) >> 4) << 1
            in_hand |= 48
        if unlikely(entry & ENTRY_POINTER):
            entry = main[(entry >> 16) + ((bits << MAIN_BITS) >> (64 - (entry & 63)))]
            if entry & ENTRY_LITERAL:
                out[0] = <uint8_t>(entry >> 16)
                out += 1
                bits <<= entry & 63
                in_hand -= <int>(entry & 255)
                continue
        after = bits << (entry >> 8 & 31)
        length = entry >> LENGTH_AT & 15
        left = in_hand - <int>(entry & 255)
        if length == LONG_LENGTH:
            other = find_entry(tables.length, LENGTH_BITS, after)
            length += other >> 16
            after <<= other & 63
            left = in_hand - <int>(entry >> 8 & 31) - <int>(other & 63)
            if unlikely(<Py_ssize_t>length > out_safe - out):
                break
            after |= load_units(source) >> left
            source += ((63 - left) >> 4) << 1
            left |= 48
            left -= <int>((entry & 255) - (entry >> 8 & 31))
        elif unlikely(<Py_ssize_t>length > out_safe - out):
            break
        slot = entry >> SLOT_AT & 63
        if slot >= 3:
            offset = <uint32_t>((after >> 1) >> (63 - (entry >> EXTRA_AT)))
            after <<= entry >> EXTRA_AT
            if entry & ENTRY_ALIGNED:
                other = tables.aligned[after >> (64 - ALIGNED_BITS)]
                after <<= other & 63
                left -= <int>(other & 63)
                offset = offset << 3 | other >> 16
            offset += tables.offset_base[slot]
            recent2 = recent1
            recent1 = recent0
        elif slot == 0:
            offset = recent0
        elif slot == 1:
            offset = recent1
            recent1 = recent0
        else:
            offset = recent2
            recent2 = recent0
        recent0 = offset
        if unlikely(offset > <size_t>(out - cursor.start)):
            status = BAD_OFFSET
            break
        bits = after
        in_hand = left
        copy_match_wide(out, offset, length)
        out += length
    cursor.bits = bits
    cursor.in_hand = in_hand
    cursor.source = source
    cursor.out = out
    cursor.recent[0] = recent0
    cursor.recent[1] = recent1
    cursor.recent[2] = recent2
    return status


cdef inline int take_offset(
    const Tables* tables, Cursor* cursor, uint32_t entry, uint32_t* offset
) noexcept nogil:
    """Take the offset of the match that ``entry`` begins, and update the recent offsets."""
    cdef uint32_t slot = entry >> SLOT_AT & 63
    if slot < 3:
        offset[0] = cursor.recent[slot]
        cursor.recent[slot] = cursor.recent[0]
    else:
        offset[0] = take(cursor, entry >> EXTRA_AT)
        if entry & ENTRY_ALIGNED:
            if not cursor.has_aligned_code:
                return NO_SUCH_CODE
            offset[0] = offset[0] << 3 | take_symbol(cursor, tables.aligned, ALIGNED_BITS)
        offset[0] += tables.offset_base[slot]
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
        cursor.bits <<= entry >> 8 & 31
        cursor.in_hand -= <int>(entry >> 8 & 31)
        if entry & ENTRY_LITERAL:
            cursor.out[0] = <uint8_t>(entry >> 16)
            cursor.out += 1
            continue
        length = entry >> LENGTH_AT & 15
        if length == LONG_LENGTH:
            length += take_symbol(cursor, tables.length, LENGTH_BITS)
            if length >= NO_LENGTH >> 16:
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
        status = decode_fast(tables, cursor)
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
