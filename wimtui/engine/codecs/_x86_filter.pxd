# cython: language_level=3, boundscheck=False, wraparound=False
# cython: initializedcheck=False, cdivision=True
# The LZMS x86 filter: relative displacements of calls and address loads to absolute ones and back.
#
# It runs over every block, before parsing and after decoding, whether or not that is code; it is
# its own proof of code: two references to one target within 64 KiB enable translation near by.

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset


cdef extern from * nogil:
    """
    #include <stddef.h>
    #include <stdint.h>
    #include <string.h>

    typedef uint8_t x86_bytes __attribute__((vector_size(16)));

    /* The first index in [i, end) that may start an instruction the filter knows, else end.
       Bytes up to end + 2 must be readable. Candidates are rare (one in 100 bytes of code), so
       sixteen positions are tried at once. */
    static inline size_t x86_find_candidate(const uint8_t *data, size_t i, size_t end)
    {
        for (; i + 16 <= end; i += 16) {
            x86_bytes a, b, c, hit;
            uint64_t half[2];
            memcpy(&a, data + i, 16);
            memcpy(&b, data + i + 1, 16);
            memcpy(&c, data + i + 2, 16);
            hit = (x86_bytes)((a & 0xFE) == 0xE8)
                | ((x86_bytes)((a & 0xFB) == 0x48) & (x86_bytes)((c & 0x07) == 0x05)
                   & ((x86_bytes)(b == 0x8D) | (x86_bytes)(b == 0x8B)))
                | ((x86_bytes)(a == 0xFF) & (x86_bytes)(b == 0x15))
                | ((x86_bytes)(a == 0xF0) & (x86_bytes)(b == 0x83));
            memcpy(half, &hit, 16);
            if (half[0]) return i + ((size_t)__builtin_ctzll(half[0]) >> 3);
            if (half[1]) return i + 8 + ((size_t)__builtin_ctzll(half[1]) >> 3);
        }
        for (; i < end; i++) {
            uint8_t a = data[i];
            if ((a & 0xFE) == 0xE8 || (a & 0xFB) == 0x48 || a == 0xFF || a == 0xF0) break;
        }
        return i;
    }
    """
    size_t find_candidate "x86_find_candidate"(const uint8_t *data, size_t i, size_t end) noexcept


cdef enum:
    X86_TAIL = 16               # no instruction starts in the last bytes of a block
    X86_CALL_REACH = 511        # how far behind confirmed code a call is still translated
    X86_REACH = 1023            # the same for every other instruction
    X86_TARGET_AGE = 65535      # how far apart two references to one target confirm each other


cdef struct X86Filter:
    # ``last_use[target]`` is ``epoch`` plus the index of the last byte that referred to the target.
    # Advancing the epoch by more than the block leaves all entries too old to matter, which saves
    # clearing 256 KiB for each block.
    uint32_t epoch
    uint32_t last_use[65536]


cdef inline void init_x86_filter(X86Filter *state) noexcept nogil:
    memset(state.last_use, 0, sizeof(state.last_use))
    state.epoch = X86_TARGET_AGE + 1


cdef inline uint32_t x86_opcode_size(const uint8_t *code) noexcept nogil:
    """Return the bytes before the displacement of an instruction to translate, else 0."""
    cdef uint8_t first = code[0], second = code[1], third = code[2]
    if first == 0xE8:
        return 1
    if first == 0x48 or first == 0x4C:
        if third & 7 != 5:
            return 0
        if second == 0x8D or (second == 0x8B and first == 0x48 and third & 0xF0 == 0):
            return 3
        return 0
    if first == 0xFF:
        return 2 if second == 0x15 else 0
    return 3 if first == 0xF0 and second == 0x83 and third == 0x05 else 0


cdef inline void filter_x86(
    X86Filter *state, uint8_t *data, size_t size, bint undo
) noexcept nogil:
    """Translate a block of at most 2**30 bytes in place, or undo that."""
    cdef size_t end, i = 1
    cdef uint32_t opcode_size, displacement, index, last_byte, target, reach, epoch
    cdef uint32_t confirmed
    if size <= X86_TAIL + 1:
        return
    end = size - X86_TAIL
    epoch = state.epoch
    confirmed = <uint32_t>-1024
    while True:
        i = find_candidate(data, i, end)
        if i >= end:
            break
        if data[i] == 0xE9:
            i += 5
            continue
        opcode_size = x86_opcode_size(data + i)
        if opcode_size == 0:
            i += 1
            continue
        index = <uint32_t>i
        last_byte = index + opcode_size + 3
        reach = X86_CALL_REACH if opcode_size == 1 else X86_REACH
        memcpy(&displacement, data + i + opcode_size, 4)
        target = displacement
        # Differences are taken modulo 2**32: at most 2**30 + 1024 apart, they stay exact.
        if index - confirmed <= reach:
            if undo:
                displacement -= index
                target = displacement
            else:
                displacement += index
            memcpy(data + i + opcode_size, &displacement, 4)
        target = (index + target) & 0xFFFF
        if epoch + last_byte - state.last_use[target] <= X86_TARGET_AGE:
            confirmed = last_byte
        state.last_use[target] = epoch + last_byte
        i = <size_t>last_byte + 1
    state.epoch = epoch + <uint32_t>size + X86_TARGET_AGE + 1
    if state.epoch > <uint32_t>1 << 31:
        init_x86_filter(state)
