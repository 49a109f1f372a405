# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# cython: embedsignature=True, freethreading_compatible=True
"""LZMS compressor: LZ and delta matches, range coded decisions and adaptive prefix codes."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.pythread cimport (
    NOWAIT_LOCK, PyThread_acquire_lock, PyThread_allocate_lock, PyThread_free_lock,
    PyThread_release_lock, PyThread_type_lock,
)
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from wimtui.engine.codecs._lzms_delta cimport DELTA_TABLE_SIZE
from wimtui.engine.codecs._lzms_encoder cimport finish_streams, start_block
from wimtui.engine.codecs._lzms_graph cimport Parser
from wimtui.engine.codecs._lzms_intervals cimport LONGEST_MATCH, WINDOW_SIZE_MAX
from wimtui.engine.codecs._lzms_lazy cimport LazyParser, parse_lazily
from wimtui.engine.codecs._lzms_model cimport LzmsModel, fill_tables
from wimtui.engine.codecs._lzms_optimal cimport parse_optimally
from wimtui.engine.codecs._lzms_tables cimport MAX_BLOCK_SIZE, MIN_BLOCK_SIZE
from wimtui.engine.codecs._matchfinder cimport BLOCK_PADDING, chains_place, highest_set_bit
from wimtui.engine.codecs._x86_filter cimport X86Filter, filter_x86, init_x86_filter


cdef extern from * nogil:
    """
    #include <stdint.h>
    #include <stdlib.h>
    #include <sys/mman.h>

    /* Large scratch on huge pages: the match finder's accesses are random, and with 4 KiB pages
       half of its time goes to address translation. */
    static void *lzms_allocate(uint64_t nbytes)
    {
        void *p = NULL;
        if (posix_memalign(&p, nbytes < (1 << 22) ? 64 : 1 << 21, nbytes)) return NULL;
    #ifdef MADV_HUGEPAGE
        if (nbytes >= (1 << 22)) madvise(p, nbytes, MADV_HUGEPAGE);
    #endif
        return p;
    }
    """
    void *allocate_scratch "lzms_allocate"(uint64_t nbytes) noexcept


cdef enum:
    SHORTEST_BLOCK = 5          # less cannot shrink: a block is at least two units
    CACHED_ORDER = 20
    OPTIMAL_LEVEL = 35
    MATCH_GAP_LEVEL = 45
    THOROUGH_LEVEL = 60


cdef struct Encoder:
    LzmsModel model
    Parser parser
    LazyParser lazy_parser
    bint optimal                # which of the two parses
    X86Filter x86_filter
    uint8_t *text               # the filtered block and BLOCK_PADDING
    uint16_t *output


cdef void encode_block(Encoder *e, const uint8_t *source, uint32_t size) noexcept nogil:
    """Fill e.output from both ends; e.model.full tells that it did not fit."""
    memcpy(e.text, source, size)
    memset(e.text + size, 0, BLOCK_PADDING)
    filter_x86(&e.x86_filter, e.text, size, False)
    start_block(&e.model, size, e.output, (size - 1) >> 1)
    e.parser.size = e.lazy_parser.size = size
    if e.optimal:
        parse_optimally(&e.parser)
    else:
        parse_lazily(&e.lazy_parser)
    if not e.model.full:
        finish_streams(&e.model)


@cython.final
cdef class LzmsCompressor:
    """Encodes blocks of at most ``block_size`` bytes (a power of two, 2**15 .. 2**30).

    ``level`` is 1..100: lazy parsing below 35, then near-optimal with delta matches, with more
    kinds of matches tried from 45 and 60. An object takes 11 bytes of memory per byte of the
    block size, 9 of them for 2**26 bytes at most, and a megabyte besides. The same input and
    level give the same output.

    Raises:
        ValueError: ``block_size`` or ``level`` is out of range.
    """

    cdef Encoder *_encoder
    cdef PyThread_type_lock _busy
    cdef readonly uint32_t block_size
    cdef readonly uint32_t level

    def __cinit__(self, uint32_t block_size, uint32_t level=50):
        if not MIN_BLOCK_SIZE <= block_size <= MAX_BLOCK_SIZE or block_size & (block_size - 1):
            raise ValueError(
                f"LZMS block size {block_size}: use a power of two from 32768 to 1073741824"
            )
        if not 1 <= level <= 100:
            raise ValueError(f"LZMS level {level}: use 1 to 100")
        self.block_size = block_size
        self.level = level
        self._busy = PyThread_allocate_lock()
        self._encoder = <Encoder *>calloc(1, sizeof(Encoder))
        if self._busy == NULL or self._encoder == NULL:
            raise MemoryError
        self._allocate()
        self._choose_effort()

    def __dealloc__(self):
        if self._busy != NULL:
            PyThread_free_lock(self._busy)
        if self._encoder != NULL:
            free(self._encoder.parser.finder.intervals)
            free(self._encoder.parser.delta_finder.table)
            free(self._encoder.text)
            free(self._encoder.output)
            free(self._encoder)

    cdef int _allocate(self) except -1:
        cdef Encoder *e = self._encoder
        cdef uint64_t size = self.block_size, window = min(size, WINDOW_SIZE_MAX)
        cdef uint32_t *words
        # The excess over two words a position is for sorting the suffixes.
        words = <uint32_t *>allocate_scratch((window * 2 + window // 4 + 512) * sizeof(uint32_t))
        e.parser.finder.intervals = words
        e.parser.delta_finder.table = <uint32_t *>allocate_scratch(
            DELTA_TABLE_SIZE * sizeof(uint32_t)
        )
        e.text = <uint8_t *>allocate_scratch(size + BLOCK_PADDING)
        e.output = <uint16_t *>allocate_scratch(size)
        if words == NULL or e.parser.delta_finder.table == NULL:
            raise MemoryError
        if e.text == NULL or e.output == NULL:
            raise MemoryError
        e.parser.finder.positions = words + window
        e.lazy_parser.tables = words
        e.lazy_parser.text = e.text
        e.lazy_parser.model = &e.model
        e.parser.model = &e.model
        e.parser.text = e.text
        fill_tables(&e.model.tables)
        init_x86_filter(&e.x86_filter)
        return 0

    cdef void _choose_effort(self):
        cdef Encoder *e = self._encoder
        cdef uint32_t level = self.level
        cdef uint32_t order = highest_set_bit(min(self.block_size, <uint32_t>WINDOW_SIZE_MAX))
        e.optimal = level >= OPTIMAL_LEVEL
        # The heads of the chains take at most as many words as their links.
        chains_place(
            &e.lazy_parser.chains, e.lazy_parser.tables, min(order - 1, 15), min(order - 1, 24)
        )
        # Every step along a chain of a large window misses the caches.
        e.lazy_parser.chains.depth = 2 * level if order <= CACHED_ORDER else (level + 1) // 2
        e.lazy_parser.chains.nice = max(8, 4 * level)
        e.parser.nice = min(LONGEST_MATCH * level // 50, LONGEST_MATCH)
        e.parser.match_gaps = level >= MATCH_GAP_LEVEL
        e.parser.all_gaps = level >= THOROUGH_LEVEL
        e.parser.delta_finder.thorough = level >= THOROUGH_LEVEL

    def compress(self, const uint8_t[::1] source not None):
        """Return the encoded block, or None where it would not be smaller than ``source``.

        Raises:
            ValueError: ``source`` is over the block size of this object.
            RuntimeError: Another thread is using this object.
        """
        cdef LzmsModel *m = &self._encoder.model
        cdef uint64_t size = source.shape[0], front, back
        cdef bytes encoded
        cdef char *target
        if size > self.block_size:
            raise ValueError(
                f"LZMS block of {size} bytes: this compressor takes at most {self.block_size}"
            )
        if size < SHORTEST_BLOCK:
            return None
        if not PyThread_acquire_lock(self._busy, NOWAIT_LOCK):
            raise RuntimeError("LZMS compressor is in use by another thread: give each its own")
        try:
            with nogil:
                encode_block(self._encoder, &source[0], <uint32_t>size)
            if m.full:
                return None
            front = <uint64_t>(m.front - self._encoder.output) * 2
            back = <uint64_t>(self._encoder.output + ((size - 1) >> 1) - m.back) * 2
            encoded = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>(front + back))
            target = PyBytes_AS_STRING(encoded)
            memcpy(target, self._encoder.output, front)
            memcpy(target + front, m.back, back)
            return encoded
        finally:
            PyThread_release_lock(self._busy)
