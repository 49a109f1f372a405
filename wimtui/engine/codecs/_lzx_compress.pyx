# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: cdivision=True, embedsignature=True, freethreading_compatible=True
"""LZX compressor in the WIM variant: independent blocks, E8 translation of every block."""

cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.pythread cimport (
    NOWAIT_LOCK, PyThread_acquire_lock, PyThread_allocate_lock, PyThread_free_lock,
    PyThread_release_lock, PyThread_type_lock,
)
from libc.math cimport exp
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memchr, memcpy, memset

from wimtui.engine.codecs._lzx_block cimport (
    HEADER_SLACK, LENGTH_SYMBOLS, LITERALS, MAX_MATCH, MAX_SLOTS, fill_slot_tables, finish_stream,
    start_stream,
)
from wimtui.engine.codecs._lzx_optimal cimport LENGTHS, NODE_SLACK, QUEUE_RING, encode_optimal
from wimtui.engine.codecs._lzx_parse cimport SOFT_MAX_BLOCK, Encoder, encode_lazy
from wimtui.engine.codecs._matchfinder cimport (
    BLOCK_PADDING, block_load32, chains_entries, chains_place, trees_entries,
)

cdef enum:
    TRANSLATION_SIZE = 12000000     # the "file size" of E8 translation that WIM fixes
    TRANSLATION_TAIL = 10           # no E8 in the last bytes is translated
    MIN_SIZE = 48                   # the code lengths alone outweigh smaller input
    CACHE_PER_BYTE = 5              # cached words a position, on average
    CACHE_SLACK = 1024              # beyond the limit: one search and the skipping of its match
    LAZY_MAX_LEVEL = 34
    HASH3_ORDER = 15
    HASH4_ORDER = 16


cdef void translate_calls(uint8_t *data, uint32_t size) noexcept nogil:
    """Make the operands of E8 (x86 call) absolute, in place."""
    cdef uint8_t *at = data
    cdef uint8_t *end = data + size - TRANSLATION_TAIL
    cdef int64_t i, operand
    cdef uint32_t word
    if size <= TRANSLATION_TAIL:
        return
    while at < end:
        at = <uint8_t *>memchr(at, 0xE8, end - at)
        if at == NULL:
            return
        i = at - data
        word = block_load32(at + 1)
        operand = <int64_t>word - (<int64_t>1 << 32 if word >> 31 else 0)
        if -i <= operand < TRANSLATION_SIZE:
            operand += i if operand < TRANSLATION_SIZE - i else -<int64_t>TRANSLATION_SIZE
            at[1] = <uint8_t>operand
            at[2] = <uint8_t>(operand >> 8)
            at[3] = <uint8_t>(operand >> 16)
            at[4] = <uint8_t>(operand >> 24)
        at += 5


cdef uint64_t encode(Encoder *e) noexcept nogil:
    """Encode the input in ``e``; return the size of the result, or 0 where it does not shrink."""
    cdef bint fits
    translate_calls(e.data, e.size)
    memset(e.data + e.size, 0, BLOCK_PADDING)
    e.recent[0] = e.recent[1] = e.recent[2] = 1
    start_stream(&e.writer, e.size - 1)
    if e.writer.order <= 16:
        if e.passes:
            fits = encode_optimal(e, <uint16_t *>e.finder.tables)
        else:
            fits = encode_lazy(e, <uint16_t *>e.finder.tables)
    elif e.passes:
        fits = encode_optimal(e, <uint32_t *>e.finder.tables)
    else:
        fits = encode_lazy(e, <uint32_t *>e.finder.tables)
    return finish_stream(&e.writer) if fits else 0


@cython.final
cdef class LzxCompressor:
    """Encodes blocks of at most ``block_size`` bytes (a power of two, 2**15 .. 2**21).

    ``level`` is 1..100: lazy parsing up to 34, then near-optimal parsing in one to four passes;
    depth and nice length of the match search grow with it. The same input and level give the same
    output.

    Raises:
        ValueError: ``block_size`` or ``level`` is out of range.
    """

    cdef Encoder *_encoder
    cdef PyThread_type_lock _busy
    cdef readonly uint32_t block_size
    cdef readonly uint32_t level

    def __cinit__(self, uint32_t block_size, uint32_t level=50):
        if not 1 << 15 <= block_size <= 1 << 21 or block_size & (block_size - 1):
            raise ValueError(f"LZX block size {block_size}: use a power of two, 32768 to 2097152")
        if not 1 <= level <= 100:
            raise ValueError(f"LZX level {level}: use 1 to 100")
        self.block_size = block_size
        self.level = level
        self._busy = PyThread_allocate_lock()
        self._encoder = <Encoder *>calloc(1, sizeof(Encoder))
        if self._busy == NULL or self._encoder == NULL:
            raise MemoryError
        self._choose_format()
        self._choose_effort()
        self._allocate()

    def __dealloc__(self):
        if self._busy != NULL:
            PyThread_free_lock(self._busy)
        if self._encoder != NULL:
            free(self._encoder.writer.out.data)
            free(self._encoder.finder.tables)
            free(self._encoder.data)
            free(self._encoder.items)
            free(self._encoder.cache)
            free(self._encoder.nodes)
            free(self._encoder.gaps)
            free(self._encoder.queues)
            free(self._encoder.match_costs)
            free(self._encoder)

    cdef void _choose_format(self):
        cdef Encoder *e = self._encoder
        e.writer.order = self.block_size.bit_length() - 1
        e.writer.slots = (30, 32, 34, 36, 38, 42, 50)[e.writer.order - 15]
        e.writer.main_symbols = LITERALS + 8 * e.writer.slots
        fill_slot_tables(&e.writer)

    cdef void _choose_effort(self):
        cdef Encoder *e = self._encoder
        cdef uint32_t level = self.level, i
        if level <= LAZY_MAX_LEVEL:
            e.finder.depth = 3 * level
            e.finder.nice = max(4, 4 * level)
            return
        e.finder.depth = 24 * level // 50
        e.finder.nice = 48 * level // 50
        e.passes = 1 + (level >= 45) + (level >= 70) + (level >= 100)
        for i in range(LENGTH_SYMBOLS):
            e.first_length_costs[i] = <uint16_t>(740 - 470 * exp(-<double>i / 19))

    cdef int _allocate(self) except -1:
        cdef Encoder *e = self._encoder
        cdef uint64_t size = self.block_size, entries, part
        part = min(size, SOFT_MAX_BLOCK + MAX_MATCH)
        e.items_capacity = part + MAX_MATCH
        if e.passes:
            entries = trees_entries(size)
            e.cache_capacity = CACHE_PER_BYTE * part
            e.cache = <uint32_t *>malloc((e.cache_capacity + CACHE_SLACK) * sizeof(uint32_t))
            e.nodes = <uint64_t *>malloc((part + NODE_SLACK) * sizeof(uint64_t))
            e.gaps = <uint32_t *>malloc((part + NODE_SLACK) * sizeof(uint32_t))
            e.queues = <uint64_t *>malloc(QUEUE_RING * sizeof(uint64_t))
            e.match_costs = <uint16_t *>malloc(MAX_SLOTS * LENGTHS * sizeof(uint16_t))
            if not (e.cache and e.nodes and e.gaps and e.queues and e.match_costs):
                raise MemoryError
        else:
            entries = chains_entries(HASH3_ORDER, HASH4_ORDER, size)
        entries *= sizeof(uint16_t) if e.writer.order <= 16 else sizeof(uint32_t)
        e.finder.tables = malloc(entries)
        e.items = <uint32_t *>malloc(e.items_capacity * sizeof(uint32_t))
        e.data = <uint8_t *>malloc(size + BLOCK_PADDING)
        e.writer.out.data = <uint8_t *>malloc(size + HEADER_SLACK)
        if not (e.finder.tables and e.items and e.data and e.writer.out.data):
            raise MemoryError
        if e.passes == 0 and e.writer.order <= 16:
            chains_place(&e.finder, <uint16_t *>e.finder.tables, HASH3_ORDER, HASH4_ORDER)
        elif e.passes == 0:
            chains_place(&e.finder, <uint32_t *>e.finder.tables, HASH3_ORDER, HASH4_ORDER)
        e.finder.data = e.data
        return 0

    def compress(self, const uint8_t[::1] source not None):
        """Return the encoded block, or None where it would not be smaller than ``source``.

        Raises:
            ValueError: ``source`` is over the block size of this object.
            RuntimeError: Another thread is using this object.
        """
        cdef Encoder *e = self._encoder
        cdef uint64_t size = source.shape[0], size_encoded
        if size > self.block_size:
            raise ValueError(f"LZX block of {size} bytes: the limit here is {self.block_size}")
        if size < MIN_SIZE:
            return None
        if not PyThread_acquire_lock(self._busy, NOWAIT_LOCK):
            raise RuntimeError("LZX compressor is in use by another thread: give each its own")
        try:
            with nogil:
                memcpy(e.data, &source[0], size)
                e.size = <uint32_t>size
                size_encoded = encode(e)
            if size_encoded == 0 or size_encoded >= size:
                return None
            return PyBytes_FromStringAndSize(<char *>e.writer.out.data, <Py_ssize_t>size_encoded)
        finally:
            PyThread_release_lock(self._busy)
