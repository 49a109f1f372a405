# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# cython: embedsignature=True, freethreading_compatible=True
"""XPRESS decoder: LZ77 with one Huffman code a chunk, as [MS-XCA] describes it."""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from wimtui.engine.codecs._bitio cimport (
    COPY_SLACK,
    copy_match_bytes,
    copy_match_wide,
    drop_flag,
    likely,
    load16le,
    load_units,
    take_flag,
    unlikely,
)
from wimtui.engine.codecs._huffman_decode cimport (
    CODE_COMPLETE,
    ENTRY_LITERAL,
    ENTRY_POINTER,
    CodeBuilder,
    build_decode_table,
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
    # One turn of the fast loop fetches 6 + 6 units' bytes and 3 raw ones, and loads 8 ahead.
    INPUT_SLACK = 32

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

# Payload of a match entry: right shift that leaves the offset (63 - class) in bits 16..21, length in 22..26.
cdef enum:
    SHIFT_AT = 16
    LENGTH_AT = 22


cdef struct Tables:
    CodeBuilder builder
    uint32_t templates[NUM_SYMBOLS]
    uint32_t entries[TABLE_SIZE]
    uint8_t lengths[NUM_SYMBOLS]


cdef struct Cursor:
    # Bit buffer, left-justified, and how many bits of it count; below them may lie the next ones.
    uint64_t bits
    int in_hand
    const uint8_t* source
    const uint8_t* source_end
    uint8_t* start
    uint8_t* out
    uint8_t* end


cdef void make_templates(uint32_t* templates) noexcept nogil:
    cdef uint32_t symbol, header, offset_class
    for symbol in range(256):
        templates[symbol] = symbol << 16 | ENTRY_LITERAL
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


cdef int decode_fast(const uint32_t* entries, Cursor* cursor) noexcept nogil:
    """Decode while both buffers have room to spare; stops before an item that might not fit."""
    cdef uint64_t bits = cursor.bits
    cdef uint64_t after
    cdef int in_hand = cursor.in_hand
    cdef int left, surplus
    cdef const uint8_t* source = cursor.source
    cdef const uint8_t* raw
    cdef const uint8_t* source_safe = cursor.source_end - INPUT_SLACK
    cdef uint8_t* out = cursor.out
    cdef uint8_t* out_safe = cursor.end - COPY_SLACK
    cdef uint32_t entry
    cdef size_t offset, length
    cdef int status = OK
    while source <= source_safe and out < out_safe:
        bits |= load_units(source) >> in_hand
        source += ((63 - in_hand) >> 4) << 1
        in_hand |= 48
        entry = entries[bits >> (64 - ROOT_BITS)]
        if entry & ENTRY_LITERAL:
            out[0] = <uint8_t>(entry >> 16)
            out += 1
            bits <<= entry & 63
            in_hand -= entry & 255
            entry = entries[bits >> (64 - ROOT_BITS)]
            if entry & ENTRY_LITERAL:
                out[0] = <uint8_t>(entry >> 16)
                out += 1
                bits <<= entry & 63
                in_hand -= entry & 255
                entry = entries[bits >> (64 - ROOT_BITS)]
                if entry & ENTRY_LITERAL:
                    out[0] = <uint8_t>(entry >> 16)
                    out += 1
                    bits <<= entry & 63
                    in_hand -= entry & 255
                    continue
            bits |= load_units(source) >> in_hand
            source += ((63 - in_hand) >> 4) << 1
            in_hand |= 48
        if unlikely(entry & ENTRY_POINTER):
            entry = entries[(entry >> 16) + ((bits << ROOT_BITS) >> (64 - (entry & 63)))]
            if entry & ENTRY_LITERAL:
                out[0] = <uint8_t>(entry >> 16)
                out += 1
                bits <<= entry & 63
                in_hand -= entry & 255
                continue
        after = bits << (entry >> 8 & 31)
        length = entry >> LENGTH_AT
        left = in_hand - <int>(entry & 255)
        raw = source
        if unlikely(length == LONG_LENGTH):
            # raw bytes lie where a reader with 16..31 bits in hand would fetch its next unit
            left = in_hand - <int>(entry >> 8 & 31)
            surplus = (left - 16) >> 4
            raw -= 2 * surplus
            left -= 16 * surplus
            after = (after >> (64 - left)) << (64 - left)
            length = raw[0] + LONG_LENGTH
            raw += 1
            if length == LONG_LENGTH + 255:
                length = <size_t>load16le(raw) + MIN_MATCH
                raw += 2
            left -= <int>((entry & 255) - (entry >> 8 & 31))
        offset = ((after >> 1) | (<uint64_t>1 << 63)) >> (entry >> SHIFT_AT & 63)
        if unlikely(<Py_ssize_t>length > out_safe - out):
            break
        if unlikely(offset > <size_t>(out - cursor.start)):
            status = BAD_OFFSET
            break
        bits = after << ((entry & 255) - (entry >> 8 & 31))
        in_hand = left
        source = raw
        copy_match_wide(out, offset, length)
        out += length
    cursor.bits = bits
    cursor.in_hand = in_hand
    cursor.source = source
    cursor.out = out
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
    """Return whole units to the input until at most 31 bits are in hand, and clear what lies below."""
    cdef int surplus = (cursor.in_hand - 16) >> 4
    if surplus > 0:
        cursor.source -= 2 * surplus
        cursor.in_hand -= 16 * surplus
    if cursor.in_hand > 0:
        cursor.bits = (cursor.bits >> (64 - cursor.in_hand)) << (64 - cursor.in_hand)
    else:
        cursor.bits = 0


cdef int decode_rest(const uint32_t* entries, Cursor* cursor) noexcept nogil:
    """Decode to the end of the chunk, with a check for everything."""
    cdef uint32_t entry
    cdef size_t offset, length
    cdef unsigned int extra
    give_back(cursor)
    while cursor.out < cursor.end:
        need16(cursor)
        entry = entries[cursor.bits >> (64 - ROOT_BITS)]
        if entry & ENTRY_POINTER:
            entry = entries[(entry >> 16) + ((cursor.bits << ROOT_BITS) >> (64 - (entry & 63)))]
        cursor.bits <<= entry >> 8 & 31
        cursor.in_hand -= <int>(entry >> 8 & 31)
        if entry & ENTRY_LITERAL:
            cursor.out[0] = <uint8_t>(entry >> 16)
            cursor.out += 1
            continue
        need16(cursor)
        length = entry >> LENGTH_AT
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
    Tables* tables, const uint8_t* source, size_t source_size, uint8_t* out, size_t out_size, size_t* produced,
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
    if source_size >= HEADER_SIZE + INPUT_SLACK and out_size > COPY_SLACK:
        status = decode_fast(tables.entries, &cursor)
    if status == OK:
        status = decode_rest(tables.entries, &cursor)
    produced[0] = cursor.out - out
    return status


@cython.final
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
        make_templates(self._tables.templates)

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
