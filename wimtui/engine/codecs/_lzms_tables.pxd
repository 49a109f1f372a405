# cython: language_level=3, boundscheck=False, wraparound=False
# cython: initializedcheck=False, cdivision=True
# LZMS constants and slot tables, shared by the decoder and the encoder.
#
# A value is ``base[slot]`` plus ``extra[slot]`` verbatim bits. Base 0 is 1 and the slots tile the
# values, so the tables follow from how many slots have each number of extra bits.

from libc.stdint cimport uint8_t, uint32_t, uint64_t


cdef enum:
    LITERAL_SYMBOLS = 256
    OFFSET_SYMBOLS = 799        # in the largest blocks; see offset_symbol_count
    LENGTH_SYMBOLS = 54
    POWER_SYMBOLS = 8
    LITERAL_PERIOD = 1024       # a code is rebuilt after that many of its symbols
    OFFSET_PERIOD = 1024
    LENGTH_PERIOD = 512
    POWER_PERIOD = 512
    MAX_CODEWORD_BITS = 15
    MAIN_STATES = 16            # of each class of binary decisions
    MATCH_STATES = 32
    LZ_STATES = 64
    DELTA_STATES = 64
    REPEAT_STATES = 64
    INITIAL_HISTORY = 0x55555555
    INITIAL_ZEROS = 48          # zeros among the 64 bits of INITIAL_HISTORY
    MIN_BLOCK_SIZE = 32768
    MAX_BLOCK_SIZE = 1073741824

cdef struct LzmsSlots:
    # One base more than there are slots: the end of the last slot.
    uint32_t offset_base[OFFSET_SYMBOLS + 1]
    uint32_t length_base[LENGTH_SYMBOLS + 1]
    uint8_t offset_extra[OFFSET_SYMBOLS]
    uint8_t length_extra[LENGTH_SYMBOLS]


cdef inline void fill_slots(
    uint32_t *base, uint8_t *extra, const uint8_t *runs, uint32_t run_count
) noexcept nogil:
    """Lay out ``runs[x]`` slots of x extra bits each, then the last slot, which has 30."""
    cdef uint32_t bits, _index, slot = 0, value = 1
    for bits in range(run_count):
        for _index in range(runs[bits]):
            base[slot] = value
            extra[slot] = <uint8_t>bits
            value += <uint32_t>1 << bits
            slot += 1
    base[slot] = value
    extra[slot] = 30
    base[slot + 1] = value + (<uint32_t>1 << 30)


cdef inline void fill_lzms_slots(LzmsSlots *slots) noexcept nogil:
    cdef uint8_t[21] offset_runs
    cdef uint8_t[17] length_runs
    offset_runs[:] = [
        8, 0, 9, 7, 10, 15, 15, 20, 20, 30, 33, 40, 42, 45, 60, 73, 80, 85, 95, 105, 6,
    ]
    length_runs[:] = [26, 4, 6, 4, 5, 2, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 1]
    fill_slots(slots.offset_base, slots.offset_extra, offset_runs, 21)
    fill_slots(slots.length_base, slots.length_extra, length_runs, 17)


cdef inline uint32_t find_slot(
    const uint32_t *base, uint32_t slot_count, uint32_t value
) noexcept nogil:
    """Return the slot of ``value``, which must be at least 1."""
    cdef uint32_t low = 0, high = slot_count, middle
    while high - low > 1:
        middle = (low + high) >> 1
        if base[middle] <= value:
            low = middle
        else:
            high = middle
    return low


cdef inline uint32_t offset_symbol_count(
    const LzmsSlots *slots, uint64_t uncompressed_size
) noexcept nogil:
    """Return the size of both offset alphabets in a block of that many bytes, at most 2**30."""
    if uncompressed_size < 2:
        return 0
    return 1 + find_slot(slots.offset_base, OFFSET_SYMBOLS, <uint32_t>(uncompressed_size - 1))
