# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# cython: embedsignature=True, freethreading_compatible=True
"""XPRESS decoder: LZ77 with one Huffman code a chunk, as [MS-XCA] describes it."""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from wimtui.engine.codecs._bitio cimport (
    COPY_SLACK,
    copy_match_bytes,
    choose,
    copy_match_wide,
    drop_flag,
    load16le,
    load_units,
    take_flag,
    unlikely,
)
from wimtui.engine.codecs._huffman_decode cimport (
    CODE_COMPLETE,
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
    HEADER_SIZE = 256
    NUM_SYMBOLS = 512
    ROOT_BITS = 11
    MAX_LENGTH = 15
    # Root and subtables of the worst complete code of 512 symbols and 15 bits.
    TABLE_SIZE = 2566
    MIN_MATCH = 3
    LONG_LENGTH = 18
    # One turn of the fast loop fetches 6 bytes of units and 3 raw ones, and loads 8 at a time.
    INPUT_SLACK = 16

cdef enum Status:
    OK = 0
    SHORT_HEADER
    BAD_CODE
    BAD_OFFSET
    BAD_LENGTH

cdef tuple REASONS = (
    "",
    "the chunk is shorter than its 256-byte code header",
    "the code lengths do not make a complete prefix code",
    "a match reaches before the start of the chunk",
    "a match reaches past the end of the chunk",
)

# Payload of an entry: the right shift that leaves the offset (63 - class) in bits 12..17; length
# in 18..22, where a literal has 1; from bit 23 where a literal stands in the table of bytes.
cdef enum:
    SHIFT_AT = 12
    LENGTH_AT = 18
    LITERAL_AT = 23
    FIRST_LITERAL = 256
    ENTRY_LITERAL = 0x80000000


cdef struct Tables:
    CodeBuilder builder
    uint32_t templates[NUM_SYMBOLS]
    uint32_t entries[TABLE_SIZE]
    uint8_t lengths[NUM_SYMBOLS]
    # The literals from FIRST_LITERAL on, and room for a wide load of the last.
    uint8_t literal_bytes[FIRST_LITERAL + 256 + 16]


cdef struct Cursor:
    # Bit buffer, left-justified, and how many bits of it count; below them may lie the next ones.
    uint64_t bits
    int in_hand
    const uint8_t* source
    const uint8_t* source_end
    uint8_t* start
    uint8_t* out
    uint8_t* end


cdef void make_templates(Tables* tables) noexcept nogil:
    cdef uint32_t* templates = tables.templates
    cdef uint32_t symbol, header, offset_class
    for symbol in range(256):
        tables.literal_bytes[FIRST_LITERAL + symbol] = <uint8_t>symbol
        templates[symbol] = (FIRST_LITERAL + symbol) << LITERAL_AT | 63 << SHIFT_AT | 1 << LENGTH_AT
        header = symbol & 15
        offset_class = symbol >> 4
        templates[256 + symbol] = (
            (header + MIN_MATCH) << LENGTH_AT | (63 - offset_class) << SHIFT_AT | offset_class
        )


cdef int read_header(Tables* tables, const uint8_t* source) noexcept nogil:
    cdef size_t i
    for i in range(HEADER_SIZE):
        tables.lengths[2 * i] = source[i] & 15
        tables.lengths[2 * i + 1] = source[i] >> 4
    if build_decode_table(
        &tables.builder, tables.entries, TABLE_SIZE, ROOT_BITS, MAX_LENGTH,
        tables.lengths, NUM_SYMBOLS, tables.templates,
    ) != CODE_COMPLETE:
        return BAD_CODE
    return OK


cdef inline bint take_long_match(
    Cursor* cursor, uint32_t entry, const uint8_t* out_safe, int* status
) noexcept nogil:
    """Copy a match of 18 bytes or more; False stops the fast loop before it."""
    cdef unsigned int extra = total_bits(entry) - codeword_bits(entry)
    cdef uint64_t bits = cursor.bits << codeword_bits(entry)
    cdef int in_hand = cursor.in_hand - <int>codeword_bits(entry)
    # raw bytes lie where a reader with 16..31 bits in hand would fetch its next unit
    cdef int surplus = (in_hand - 16) >> 4
    cdef const uint8_t* source = cursor.source - 2 * surplus
    cdef size_t offset
    cdef size_t length = source[0] + LONG_LENGTH
    source += 1
    if length == LONG_LENGTH + 255:
        length = <size_t>load16le(source) + MIN_MATCH
        source += 2
    if <Py_ssize_t>length > out_safe - cursor.out:
        return False
    in_hand -= 16 * surplus
    bits = (bits >> (64 - in_hand)) << (64 - in_hand)
    offset = ((bits >> 1) | (<uint64_t>1 << 63)) >> (entry >> SHIFT_AT & 63)
    if offset > <size_t>(cursor.out - cursor.start):
        status[0] = BAD_OFFSET
        return False
    cursor.bits = bits << extra
    cursor.in_hand = in_hand - <int>extra
    cursor.source = source
    copy_match_wide(cursor.out, offset, length)
    cursor.out += length
    return True


cdef int decode_fast(Tables* tables, Cursor* target) noexcept nogil:
    """Decode while both buffers have room to spare; stops before an item that might not fit.

    Needs a byte of output, which a literal would reach back to: it is a match of length 1 at
    offset 1 whose bytes come from a table, so that nothing branches on the kind of item. Of
    ``in_hand`` only the low six bits count: whole entries are subtracted from it.
    """
    cdef Cursor cursor = target[0]
    cdef const uint8_t* start = target.start
    cdef const uint8_t* source = target.source
    cdef const uint8_t* source_safe = target.source_end - INPUT_SLACK
    cdef uint8_t* out = target.out
    cdef uint8_t* out_safe = target.end - COPY_SLACK
    cdef const uint8_t* literal
    cdef uint64_t bits = target.bits
    cdef uint64_t in_hand = target.in_hand
    cdef uint64_t after
    cdef uint32_t entry
    cdef size_t offset, length
    cdef int status = OK
    while source <= source_safe:
        bits |= load_units(source) >> (in_hand & 63)
        source += 6 - (in_hand >> 3 & 6)
        in_hand |= 48
        entry = tables.entries[bits >> (64 - ROOT_BITS)]
        if unlikely(entry & ENTRY_POINTER):
            entry = follow_pointer(&tables.entries[0], ROOT_BITS, entry, bits)
        length = entry >> LENGTH_AT & 31
        if unlikely(length == LONG_LENGTH):
            cursor.bits = bits
            cursor.in_hand = in_hand & 63
            cursor.source = source
            cursor.out = out
            if not take_long_match(&cursor, entry, out_safe, &status):
                break
            bits = cursor.bits
            in_hand = cursor.in_hand
            source = cursor.source
            out = cursor.out
            continue
        if unlikely(out + length > out_safe):
            break
        after = bits << (entry >> CODEWORD_AT & 63)
        offset = ((after >> 1) | (<uint64_t>1 << 63)) >> (entry >> SHIFT_AT & 63)
        if unlikely(offset > <size_t>(out - start)):
            status = BAD_OFFSET
            break
        bits <<= entry & 63
        in_hand -= entry
        literal = &tables.literal_bytes[entry >> LITERAL_AT]
        memcpy(out, choose(entry & ENTRY_LITERAL, literal, out - offset), 16)
        if unlikely(length > 16 or offset < length):
            copy_match_wide(out, offset, length)
        out += length
    target.bits = bits
    target.in_hand = in_hand & 63
    target.source = source
    target.out = out
    return status


cdef inline void need16(Cursor* cursor) noexcept nogil:
    """Have 16..31 bits in hand; past the end of the input they are zeros."""
    if cursor.in_hand < 16:
        if cursor.source_end - cursor.source >= 2:
            cursor.bits |= <uint64_t>load16le(cursor.source) << (48 - cursor.in_hand)
            cursor.source += 2
        cursor.in_hand += 16


cdef inline unsigned int raw_byte(Cursor* cursor) noexcept nogil:
    cdef unsigned int value
    if cursor.source >= cursor.source_end:
        return 0
    value = cursor.source[0]
    cursor.source += 1
    return value


cdef void give_back(Cursor* cursor) noexcept nogil:
    """Return whole units to the input until at most 31 bits are in hand; clear what lies below."""
    cdef int surplus = (cursor.in_hand - 16) >> 4
    if surplus > 0:
        cursor.source -= 2 * surplus
        cursor.in_hand -= 16 * surplus
    if cursor.in_hand > 0:
        cursor.bits = (cursor.bits >> (64 - cursor.in_hand)) << (64 - cursor.in_hand)
    else:
        cursor.bits = 0


cdef int decode_careful(
    const uint32_t* entries, Cursor* cursor, const uint8_t* stop
) noexcept nogil:
    """Decode until the output reaches ``stop``, with a check for everything."""
    cdef uint32_t entry
    cdef size_t offset, length
    cdef unsigned int extra
    give_back(cursor)
    while cursor.out < stop:
        need16(cursor)
        entry = entries[cursor.bits >> (64 - ROOT_BITS)]
        if entry & ENTRY_POINTER:
            entry = follow_pointer(entries, ROOT_BITS, entry, cursor.bits)
        cursor.bits <<= codeword_bits(entry)
        cursor.in_hand -= <int>codeword_bits(entry)
        length = entry >> LENGTH_AT & 31
        if length == 1:
            cursor.out[0] = <uint8_t>(entry >> LITERAL_AT)
            cursor.out += 1
            continue
        need16(cursor)
        if length == LONG_LENGTH:
            length = raw_byte(cursor) + LONG_LENGTH
            if length == LONG_LENGTH + 255:
                length = raw_byte(cursor)
                length |= raw_byte(cursor) << 8
                length += MIN_MATCH
        offset = ((cursor.bits >> 1) | (<uint64_t>1 << 63)) >> (entry >> SHIFT_AT & 63)
        extra = 63 - (entry >> SHIFT_AT & 63)
        cursor.bits <<= extra
        cursor.in_hand -= <int>extra
        if offset > <size_t>(cursor.out - cursor.start):
            return BAD_OFFSET
        if length > <size_t>(cursor.end - cursor.out):
            return BAD_LENGTH
        copy_match_bytes(cursor.out, offset, length)
        cursor.out += length
    return OK


cdef int decode_chunk(
    Tables* tables, const uint8_t* source, size_t source_size,
    uint8_t* out, size_t out_size, size_t* produced,
) noexcept nogil:
    cdef Cursor cursor
    cdef int status
    produced[0] = 0
    if out_size == 0:
        return OK
    if source_size < HEADER_SIZE:
        return SHORT_HEADER
    status = read_header(tables, source)
    if status != OK:
        return status
    cursor.bits = 0
    cursor.in_hand = 0
    cursor.source = source + HEADER_SIZE
    cursor.source_end = source + source_size
    cursor.start = out
    cursor.out = out
    cursor.end = out + out_size
    if source_size >= HEADER_SIZE + INPUT_SLACK + 2 and out_size > COPY_SLACK:
        status = decode_careful(tables.entries, &cursor, out + 1)
        if status == OK:
            status = decode_fast(tables, &cursor)
    if status == OK:
        status = decode_careful(tables.entries, &cursor, cursor.end)
    produced[0] = cursor.out - out
    return status


@cython.final
@cython.auto_pickle(False)
cdef class XpressDecompressor:
    """Decodes XPRESS chunks of at most ``block_size`` bytes; the object holds all tables.

    Raises:
        ValueError: ``block_size`` is not a power of two in 4096..65536.
    """

    cdef Tables _tables
    cdef uint8_t _busy
    cdef readonly Py_ssize_t block_size

    def __cinit__(self, block_size: int):
        cdef Py_ssize_t size = block_size
        if size < 4096 or size > 65536 or size & (size - 1):
            raise ValueError(f"XPRESS block size {size} is not a power of two in 4096..65536")
        self.block_size = size
        make_templates(&self._tables)

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
        """Fill the whole writable buffer ``destination``, which must not overlap ``source``.

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
            raise ValueError(f"uncompressed size {size} is not in 0..{self.block_size}")
        return 0

    cdef int _decode(self, source, uint8_t* out, Py_ssize_t size) except -1:
        cdef Py_buffer view
        cdef size_t produced = 0
        cdef int status
        PyObject_GetBuffer(source, &view, PyBUF_SIMPLE)
        try:
            if not take_flag(&self._busy):
                raise RuntimeError("this XpressDecompressor is in use by another thread")
            with nogil:
                status = decode_chunk(
                    &self._tables, <const uint8_t*>view.buf, view.len, out, size, &produced
                )
            drop_flag(&self._busy)
        finally:
            PyBuffer_Release(&view)
        if status != OK:
            raise CodecError(f"XPRESS: {REASONS[status]} (after {produced} of {size} bytes)")
        return 0
