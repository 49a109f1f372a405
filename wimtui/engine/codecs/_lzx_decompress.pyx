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
    load32le,
    load_units,
    store32le,
    take_flag,
    unlikely,
)
from wimtui.engine.codecs._huffman_decode cimport (
    CODEWORD_AT,
    ENTRY_POINTER,
    codeword_bits,
    follow_pointer,
    total_bits,
)
from wimtui.engine.codecs._lzx_codes cimport (
    ALIGNED,
    ALIGNED_AT,
    ALIGNED_BITS,
    BAD_BLOCK_SIZE,
    BAD_BLOCK_TYPE,
    BAD_LENGTH,
    BAD_OFFSET,
    DEFAULT_BLOCK_SIZE,
    ENTRY_LITERAL,
    LENGTH_AT,
    LENGTH_BITS,
    LONG_LENGTH,
    MAIN_BITS,
    MAX_MATCH,
    NO_SUCH_CODE,
    OK,
    SHIFT_AT,
    SHORT_RAW_BLOCK,
    SLOT_AT,
    SYMBOL_AT,
    UNCOMPRESSED,
    VERBATIM,
    ZERO_RECENT_OFFSET,
    Cursor,
    Slot,
    Tables,
    find_entry,
    make_templates,
    read_codes,
    refill,
    set_order,
    take,
    take_symbol,
)

from wimtui.engine.codecs.errors import CodecError

cdef enum:
    # The fixed file size of the call translation.
    E8_FILE_SIZE = 12000000
    E8_TAIL = 10
    # One turn of the fast loop fetches twice 6 bytes, and loads 8 at a time.
    INPUT_SLACK = 16

# Reasons by status.
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


cdef inline uint32_t use_offset(
    uint32_t* queue, const Slot* slot, uint32_t explicit
) noexcept nogil:
    """The offset of a match, moved to the front of the recent offsets; ``queue[3]`` is scratch."""
    cdef uint32_t front, second
    queue[3] = explicit
    front = queue[slot.new_recent[0]]
    second = queue[slot.new_recent[1]]
    queue[2] = queue[slot.new_recent[2]]
    queue[1] = second
    queue[0] = front
    return front


cdef int decode_fast(Tables* tables, Cursor* cursor, BlockTag tag) noexcept nogil:
    """Decode while both buffers have room to spare; stops before an item that might not fit.

    A literal is a match of length 1 at recent offset 0 whose bytes come from a table, so that
    nothing branches on the kind of item. Of ``in_hand`` only the low six bits count: whole
    entries are subtracted from it.
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
    cdef uint32_t entry, other, offset, mask
    cdef const Slot* slot
    cdef const uint8_t* literal
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
            if unlikely(length > MAX_MATCH or <Py_ssize_t>length > out_safe - out):
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
            mask = 0 - (entry >> ALIGNED_AT & 1)
            offset = offset << (3 & mask) | (other >> SYMBOL_AT & mask)
            bits <<= other & mask & 63
            in_hand -= other & mask & 63
        offset = use_offset(queue, slot, slot.base + offset)
        if unlikely(offset > <size_t>(out - start)):
            if not entry & ENTRY_LITERAL:
                status = BAD_OFFSET
                break
        literal = &tables.literal_bytes[entry >> SHIFT_AT]
        memcpy(out, choose(entry & ENTRY_LITERAL, literal, out - offset), 16)
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
        if entry >> ALIGNED_AT & 1:
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
            if length > MAX_MATCH:
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
    if end - cursor.stream_start - position < 12 + <Py_ssize_t>size:
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
    # the fast loop takes it that there is an aligned code, and room for one turn
    if (
        cursor.source_end - cursor.source >= INPUT_SLACK
        and size > COPY_SLACK
        and cursor.has_aligned_code
    ):
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
    Tables* tables, const uint8_t* source, size_t source_size,
    uint8_t* out, size_t out_size, size_t* produced,
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
@cython.auto_pickle(False)
cdef class LzxDecompressor:
    """Decodes LZX chunks of a resource whose chunk size is ``block_size``; holds all tables.

    A shorter last chunk needs the nominal chunk size of its resource too: the code depends on it.

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
