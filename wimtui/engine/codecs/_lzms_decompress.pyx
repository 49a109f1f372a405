# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: cdivision=True, embedsignature=True, freethreading_compatible=True
"""The LZMS decoder."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from wimtui.engine.codecs._lzms_code cimport (
    Code, copy_code, count_symbol, read_entry, start_code,
)
from wimtui.engine.codecs._lzms_copy cimport Match, copy_match
from wimtui.engine.codecs._lzms_reader cimport (
    Probability, Reader, decide, init_probabilities, init_reader, refill, take,
)
from wimtui.engine.codecs._lzms_tables cimport (
    DELTA_STATES, LENGTH_PERIOD, LENGTH_SYMBOLS, LITERAL_PERIOD, LITERAL_SYMBOLS, LZ_STATES,
    LzmsSlots, MAIN_STATES, MATCH_STATES, MAX_BLOCK_SIZE, MAX_CODEWORD_BITS, MIN_BLOCK_SIZE,
    OFFSET_PERIOD, OFFSET_SYMBOLS, POWER_PERIOD, POWER_SYMBOLS, REPEAT_STATES, fill_lzms_slots,
    offset_symbol_count,
)
from wimtui.engine.codecs._x86_filter cimport X86Filter, filter_x86, init_x86_filter

from wimtui.engine.codecs.errors import CodecError


cdef extern from * nogil:
    """
    #define lzms_claim(flag) __atomic_exchange_n(flag, 1, __ATOMIC_ACQUIRE)
    #define lzms_release(flag) __atomic_store_n(flag, 0, __ATOMIC_RELEASE)
    """
    bint claim "lzms_claim"(char *flag) noexcept
    void release "lzms_release"(char *flag) noexcept
    void prefetch "__builtin_prefetch"(const void *p) noexcept
    bint likely(bint) noexcept
    bint unlikely(bint) noexcept


cdef enum:
    LITERAL_TABLE_BITS = 10
    OFFSET_TABLE_BITS = 10
    LENGTH_TABLE_BITS = 8
    POWER_TABLE_BITS = 7
    PENDING_COPIES = 16         # copies put off while their sources are fetched; a power of two
    # In blocks from this size on, match sources are seldom cached. Putting copies off makes blocks
    # of 16 and 64 MiB a tenth faster, but those of 128 KiB a tenth and of 4 MiB 4 % slower.
    FAR_BLOCK_SIZE = 8388608
    NO_OFFSET = 0xFFFFFFFF      # beyond the start of any block

cdef enum Status:
    DECODED = 0
    BAD_SOURCE_SIZE
    BEFORE_START
    PAST_END


# What the items of one kind of match leave for the next: states of the decision classes, and the
# sources in order of use. The source of the preceding item cannot be named: if that was of the same
# kind, ``used`` is 1 and added to queue indices.
cdef struct History:
    uint32_t explicit
    uint32_t repeat0
    uint32_t repeat1
    uint32_t used
    uint64_t queue[4]           # LZ: offset; delta: power << 32 | offset >> power

cdef struct Model:
    Probability main[MAIN_STATES]
    Probability match[MATCH_STATES]
    Probability lz[LZ_STATES]
    Probability delta[DELTA_STATES]
    Probability lz_repeat[2][REPEAT_STATES]
    Probability delta_repeat[2][REPEAT_STATES]
    Code literal
    Code offset
    Code length
    Code delta_offset
    Code power
    Code initial_literal        # the codes as every block starts with them
    Code initial_offset
    Code initial_length
    Code initial_power
    X86Filter x86


cdef LzmsSlots slots
cdef uint32_t[LITERAL_SYMBOLS] plain_entry
cdef uint32_t[OFFSET_SYMBOLS] offset_entry
cdef uint32_t[LENGTH_SYMBOLS] length_entry


cdef void fill_constants() noexcept nogil:
    cdef uint32_t symbol
    fill_lzms_slots(&slots)
    for symbol in range(LITERAL_SYMBOLS):
        plain_entry[symbol] = symbol << 16
    for symbol in range(OFFSET_SYMBOLS):
        offset_entry[symbol] = symbol << 16 | <uint32_t>slots.offset_extra[symbol] << 8
    for symbol in range(LENGTH_SYMBOLS):
        length_entry[symbol] = symbol << 16 | <uint32_t>slots.length_extra[symbol] << 8


fill_constants()


cdef void init_model(Model *model) noexcept nogil:
    memset(model, 0, sizeof(Model))
    start_code(
        &model.initial_literal, LITERAL_SYMBOLS, LITERAL_PERIOD, LITERAL_TABLE_BITS, plain_entry
    )
    start_code(
        &model.initial_length, LENGTH_SYMBOLS, LENGTH_PERIOD, LENGTH_TABLE_BITS, length_entry
    )
    start_code(&model.initial_power, POWER_SYMBOLS, POWER_PERIOD, POWER_TABLE_BITS, plain_entry)
    init_x86_filter(&model.x86)


cdef void start_block(Model *model, size_t block_size) noexcept nogil:
    cdef uint32_t symbols = offset_symbol_count(&slots, block_size)
    init_probabilities(
        model.main, MAIN_STATES + MATCH_STATES + LZ_STATES + DELTA_STATES + 4 * REPEAT_STATES
    )
    if model.initial_offset.symbol_count != symbols:
        start_code(&model.initial_offset, symbols, OFFSET_PERIOD, OFFSET_TABLE_BITS, offset_entry)
    copy_code(&model.literal, &model.initial_literal)
    copy_code(&model.offset, &model.initial_offset)
    copy_code(&model.length, &model.initial_length)
    copy_code(&model.delta_offset, &model.initial_offset)
    copy_code(&model.power, &model.initial_power)


cdef inline size_t read_offset(Reader *reader, Code *code) noexcept nogil:
    """Read an explicit offset; 45 bits must be in hand."""
    cdef uint32_t entry
    cdef size_t offset
    if unlikely(code.symbol_count < 2):     # a block of 2 bytes or less has no code for offsets
        return NO_OFFSET
    entry = read_entry(reader, code, OFFSET_TABLE_BITS)
    offset = <size_t>slots.offset_base[entry >> 16] + take(reader, entry >> 8 & 0xFF)
    count_symbol(code, entry >> 16)
    return offset


cdef inline size_t read_length(Reader *reader, Code *code) noexcept nogil:
    cdef uint32_t entry, extra
    cdef size_t length
    if unlikely(reader.count < MAX_CODEWORD_BITS):
        refill(reader)
    entry = read_entry(reader, code, LENGTH_TABLE_BITS)
    length = slots.length_base[entry >> 16]
    extra = entry >> 8 & 0xFF
    if extra:
        refill(reader)
        length += take(reader, extra)
    count_symbol(code, entry >> 16)
    return length


cdef inline uint64_t use_queue(uint64_t *queue, uint32_t index) noexcept nogil:
    """Move an entry to the front and return it."""
    cdef uint64_t entry = queue[index]
    while index > 0:
        queue[index] = queue[index - 1]
        index -= 1
    queue[0] = entry
    return entry


cdef inline void push_queue(uint64_t *queue, uint64_t entry) noexcept nogil:
    queue[3] = queue[2]
    queue[2] = queue[1]
    queue[1] = queue[0]
    queue[0] = entry


cdef inline uint64_t read_repeat(
    Reader *reader, Probability *first, Probability *second, History *history
) noexcept nogil:
    """Read a queue index and return that source."""
    cdef uint32_t index = history.used
    if decide(reader, first + history.repeat0) == 0:
        history.repeat0 = history.repeat0 << 1 & (REPEAT_STATES - 1)
    else:
        history.repeat0 = (history.repeat0 << 1 | 1) & (REPEAT_STATES - 1)
        if decide(reader, second + history.repeat1) == 0:
            history.repeat1 = history.repeat1 << 1 & (REPEAT_STATES - 1)
            index += 1
        else:
            history.repeat1 = (history.repeat1 << 1 | 1) & (REPEAT_STATES - 1)
            index += 2
    return use_queue(history.queue, index)


cdef inline void read_lz(
    Reader *reader, Model *model, History *history, Match *match
) noexcept nogil:
    if decide(reader, model.lz + history.explicit) == 0:
        history.explicit = history.explicit << 1 & (LZ_STATES - 1)
        match.offset = read_offset(reader, &model.offset)
        push_queue(history.queue, match.offset)
    else:
        history.explicit = (history.explicit << 1 | 1) & (LZ_STATES - 1)
        match.offset = read_repeat(reader, model.lz_repeat[0], model.lz_repeat[1], history)
    match.span = 0


cdef inline void read_delta(
    Reader *reader, Model *model, History *history, Match *match
) noexcept nogil:
    cdef uint32_t power
    cdef uint64_t source
    if decide(reader, model.delta + history.explicit) == 0:
        history.explicit = history.explicit << 1 & (DELTA_STATES - 1)
        power = read_entry(reader, &model.power, POWER_TABLE_BITS) >> 16
        count_symbol(&model.power, power)
        refill(reader)
        source = <uint64_t>power << 32 | read_offset(reader, &model.delta_offset)
        push_queue(history.queue, source)
    else:
        history.explicit = (history.explicit << 1 | 1) & (DELTA_STATES - 1)
        source = read_repeat(reader, model.delta_repeat[0], model.delta_repeat[1], history)
    match.offset = <size_t><uint32_t>source << (source >> 32)
    match.span = <size_t>1 << (source >> 32)


cdef inline void init_history(History *history) noexcept nogil:
    cdef uint32_t i
    history.explicit = 0
    history.repeat0 = 0
    history.repeat1 = 0
    history.used = 0
    for i in range(4):
        history.queue[i] = i + 1


cdef inline Status check_match(const Match *match, size_t block_size) noexcept nogil:
    if unlikely(match.offset + match.span > match.position):
        return BEFORE_START
    if unlikely(match.length > block_size - match.position):
        return PAST_END
    return DECODED


cdef Status decode_items(
    Model *model, const uint8_t *source, size_t source_size, uint8_t *block, size_t block_size,
    size_t *position,
) noexcept nogil:
    """Decode up to the end of the block or an error; ``position`` tells where that was."""
    cdef Reader reader
    cdef History lz, delta
    cdef Match match
    cdef Match[PENDING_COPIES] pending
    cdef Match *slot
    cdef uint8_t *target = block
    cdef uint8_t *end = block + block_size
    cdef size_t matches = 0, i
    cdef uint32_t symbol, main_state = 0, match_state = 0
    cdef Status status = DECODED
    cdef bint far = block_size >= FAR_BLOCK_SIZE
    init_reader(&reader, source, source_size)
    init_history(&lz)
    init_history(&delta)
    while target < end:
        if decide(&reader, model.main + main_state) == 0:
            main_state = main_state << 1 & (MAIN_STATES - 1)
            if unlikely(reader.count < MAX_CODEWORD_BITS):
                refill(&reader)
            symbol = read_entry(&reader, &model.literal, LITERAL_TABLE_BITS) >> 16
            target[0] = <uint8_t>symbol
            target += 1
            count_symbol(&model.literal, symbol)
            lz.used = 0
            delta.used = 0
            continue
        main_state = (main_state << 1 | 1) & (MAIN_STATES - 1)
        refill(&reader)
        if likely(decide(&reader, model.match + match_state) == 0):
            match_state = match_state << 1 & (MATCH_STATES - 1)
            read_lz(&reader, model, &lz, &match)
            lz.used = 1
            delta.used = 0
        else:
            match_state = (match_state << 1 | 1) & (MATCH_STATES - 1)
            read_delta(&reader, model, &delta, &match)
            lz.used = 0
            delta.used = 1
        match.length = read_length(&reader, &model.length)
        match.position = target - block
        status = check_match(&match, block_size)
        if unlikely(status != DECODED):
            break
        if far:
            prefetch(target - match.offset)
            slot = pending + (matches & (PENDING_COPIES - 1))
            if likely(matches >= PENDING_COPIES):
                copy_match(block, block_size, slot, True)
            slot[0] = match
            matches += 1
        else:
            copy_match(block, block_size, &match, False)
        target += match.length
    if status == DECODED:
        for i in range(matches - PENDING_COPIES if matches > PENDING_COPIES else 0, matches):
            copy_match(block, block_size, pending + (i & (PENDING_COPIES - 1)), True)
    position[0] = target - block
    return status


cdef Status decode_block(
    Model *model, const uint8_t *source, size_t source_size, uint8_t *block, size_t block_size,
    size_t *position,
) noexcept nogil:
    cdef Status status
    position[0] = 0
    if block_size == 0:
        return DECODED
    if source_size < 4 or source_size & 1:
        return BAD_SOURCE_SIZE
    start_block(model, block_size)
    status = decode_items(model, source, source_size, block, block_size, position)
    if status == DECODED:
        filter_x86(&model.x86, block, block_size, True)
    return status


_REASONS = {
    BAD_SOURCE_SIZE: "its size is odd or under 4",
    BEFORE_START: "a match reaches before the start",
    PAST_END: "a match reaches past the end",
}


def translate_x86(uint8_t[::1] block not None, undo: bool) -> None:
    """Run the x86 filter alone over a block of up to 2**30 bytes, in place, or undo it.

    Raises:
        ValueError: The block is larger.
    """
    cdef size_t size = block.shape[0]
    cdef bint undoing = undo
    cdef X86Filter *x86
    if size > MAX_BLOCK_SIZE:
        raise ValueError(f"block of {size} bytes is not within 0..{MAX_BLOCK_SIZE}")
    if size == 0:
        return
    x86 = <X86Filter *>malloc(sizeof(X86Filter))
    if x86 is NULL:
        raise MemoryError
    with nogil:
        init_x86_filter(x86)
        filter_x86(x86, &block[0], size, undoing)
    free(x86)


@cython.final
@cython.auto_pickle(False)
cdef class LzmsDecompressor:
    """Decodes LZMS blocks of up to ``block_size`` bytes, a power of two from 2**15 to 2**30.

    The object takes 350 KiB whatever the block size.

    Raises:
        ValueError: ``block_size`` is not such a size.
    """

    cdef Model *model
    cdef size_t block_size
    cdef char busy

    def __cinit__(self, block_size: int) -> None:
        if not MIN_BLOCK_SIZE <= block_size <= MAX_BLOCK_SIZE or block_size & (block_size - 1):
            raise ValueError(f"LZMS block size {block_size} is not a power of two, 2**15 to 2**30")
        self.block_size = block_size
        self.model = <Model *>malloc(sizeof(Model))
        if self.model is NULL:
            raise MemoryError
        init_model(self.model)

    def __dealloc__(self) -> None:
        free(self.model)

    def decompress(self, const uint8_t[::1] source not None, uncompressed_size: int) -> bytes:
        """Return the ``uncompressed_size`` bytes that ``source`` encodes.

        Raises:
            CodecError: The block is malformed or truncated.
            ValueError: ``uncompressed_size`` is over the block size.
            RuntimeError: Another thread is using this object.
        """
        cdef bytes block
        if not 0 <= uncompressed_size <= self.block_size:
            raise ValueError(
                f"uncompressed size {uncompressed_size} is not within 0..{self.block_size}"
            )
        block = PyBytes_FromStringAndSize(NULL, uncompressed_size)
        self._decode(source, <uint8_t *>PyBytes_AS_STRING(block), uncompressed_size)
        return block

    def decompress_into(
        self, const uint8_t[::1] source not None, uint8_t[::1] destination not None
    ) -> None:
        """Fill ``destination`` with the bytes that ``source`` encodes.

        Raises:
            CodecError: The block is malformed or truncated; ``destination`` is partly overwritten.
            ValueError: ``destination`` is larger than the block size.
            RuntimeError: Another thread is using this object.
        """
        cdef size_t size = destination.shape[0]
        if size > self.block_size:
            raise ValueError(f"uncompressed size {size} is not within 0..{self.block_size}")
        self._decode(source, &destination[0] if size else NULL, size)

    cdef int _decode(self, const uint8_t[::1] source, uint8_t *block, size_t size) except -1:
        cdef const uint8_t *start = &source[0] if source.shape[0] else NULL
        cdef size_t source_size = source.shape[0], position
        cdef Status status
        if claim(&self.busy):
            raise RuntimeError("another thread is using this LzmsDecompressor")
        with nogil:
            status = decode_block(self.model, start, source_size, block, size, &position)
        release(&self.busy)
        if status != DECODED:
            raise CodecError(f"bad LZMS block at output offset {position}: {_REASONS[status]}")
        return 0
