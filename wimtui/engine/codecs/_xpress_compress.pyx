# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: cdivision=True, embedsignature=True, freethreading_compatible=True
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
    BLOCK_PADDING, chains_entries, chains_place, trees_entries,
)
from wimtui.engine.codecs._xpress_parse cimport (
    CACHE_PER_BYTE, CACHE_SLACK, END_OF_DATA, GREEDY, LAZY, LONG_HEADER, MAX_CODE_LENGTH, OPTIMAL,
    SYMBOLS, TABLE_NBYTES, Encoder, parse_chains, parse_optimal,
)

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
            raise ValueError(f"XPRESS block size {block_size}: use a power of two, 4096 to 65536")
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
            e.cache = <uint32_t *>malloc(
                ((CACHE_PER_BYTE + 1) * size + CACHE_SLACK) * sizeof(uint32_t)
            )
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
            raise ValueError(f"XPRESS block of {size} bytes: the limit here is {self.block_size}")
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
