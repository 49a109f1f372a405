# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""Decode tables of canonical prefix codes: a root table, then the subtables of long codewords.

An entry is 32 bits: the bits to consume (0..5), the length of the codeword (6..10), the pointer
flag (11) and a payload (12..31). It is made of a template for its symbol, which holds the payload
and the extra bits to consume, plus the codeword length in both low fields. A root entry with the
flag holds the start of a subtable in bits 16..31 and the width of its index in bits 0..5; the
entries of subtables hold whole codeword lengths.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

cdef enum:
    MAX_CODEWORD = 16
    MAX_SYMBOLS = 656
    LENGTH_UNIT = 0x41
    ENTRY_POINTER = 0x800
    CODEWORD_AT = 6
    POINTER_AT = 16

cdef enum:
    CODE_COMPLETE = 0
    CODE_EMPTY = 1
    CODE_INVALID = 2


cdef inline unsigned int total_bits(uint32_t entry) noexcept nogil:
    """Bits of the codeword and of what its symbol says to read besides."""
    return entry & 63


cdef inline unsigned int codeword_bits(uint32_t entry) noexcept nogil:
    return entry >> CODEWORD_AT & 31


cdef inline uint32_t follow_pointer(
    const uint32_t* table, int root_bits, uint32_t pointer, uint64_t bits
) noexcept nogil:
    """The entry of a long codeword at the top of ``bits``."""
    return table[(pointer >> POINTER_AT) + ((bits << root_bits) >> (64 - (pointer & 63)))]


cdef struct CodeBuilder:
    uint16_t sorted_symbols[MAX_SYMBOLS]


cdef inline uint32_t* fill_entry(uint32_t* out, uint32_t entry, size_t count) noexcept nogil:
    """Write ``count`` equal entries, a power of two, and return where the next goes."""
    cdef size_t i
    for i in range(count):
        out[i] = entry
    return out + count


cdef inline int build_subtables(
    uint32_t* table, size_t capacity, int root_bits, int max_length,
    const uint16_t* count, const uint16_t* symbol, const uint32_t* templates, uint32_t* root,
) noexcept nogil:
    """Fill the entries of codewords longer than ``root_bits``; ``root`` is the first free entry."""
    cdef size_t end = <size_t>1 << root_bits
    cdef size_t start
    cdef uint32_t* out
    cdef uint32_t* stop
    cdef int length = root_bits + 1
    cdef int width, wider
    cdef unsigned int left = 0
    cdef long room
    while length <= max_length and count[length] == 0:
        length += 1
    left = count[length] if length <= max_length else 0
    while length <= max_length:
        # the index is as wide as the codewords that share this root entry need
        width = length - root_bits
        wider = length
        room = (<long>1 << width) - <long>left
        while room > 0 and wider < max_length:
            width += 1
            wider += 1
            room = 2 * room - <long>count[wider]
        start = end
        end = start + (<size_t>1 << width)
        if end > capacity:
            return CODE_INVALID
        root[0] = <uint32_t>start << POINTER_AT | ENTRY_POINTER | <uint32_t>width
        root += 1
        out = table + start
        stop = table + end
        while out < stop:
            out = fill_entry(
                out, templates[symbol[0]] + <uint32_t>length * LENGTH_UNIT,
                <size_t>1 << (width - (length - root_bits)),
            )
            symbol += 1
            left -= 1
            while left == 0:
                length += 1
                if length > max_length:
                    return CODE_COMPLETE
                left = count[length]
    return CODE_COMPLETE


cdef inline int build_decode_table(
    CodeBuilder* builder, uint32_t* table, size_t capacity, int root_bits, int max_length,
    const uint8_t* lengths, size_t nsymbols, const uint32_t* templates,
) noexcept nogil:
    """Build the table of a code given by its codeword lengths (0..max_length), and say what it is.

    ``table`` holds ``capacity`` entries; a complete code fills all that can be looked up.
    """
    cdef uint16_t count[MAX_CODEWORD + 1]
    cdef uint16_t first[MAX_CODEWORD + 1]
    cdef uint16_t* symbol = builder.sorted_symbols
    cdef uint32_t* out = table
    cdef uint32_t kraft = 0
    cdef uint32_t entry
    cdef size_t i, run
    cdef int length
    memset(count, 0, sizeof(count))
    for i in range(nsymbols):
        count[lengths[i]] += 1
    if count[0] == nsymbols:
        return CODE_EMPTY
    first[0] = 0
    run = 0
    for length in range(1, max_length + 1):
        first[length] = <uint16_t>run
        run += count[length]
        kraft += <uint32_t>count[length] << (max_length - length)
    if kraft != <uint32_t>1 << max_length:
        return CODE_INVALID
    first[0] = <uint16_t>run  # unused symbols go behind the used ones
    for i in range(nsymbols):
        length = lengths[i]
        symbol[first[length]] = <uint16_t>i
        first[length] += 1
    for length in range(1, root_bits + 1):
        run = <size_t>1 << (root_bits - length)
        for i in range(count[length]):
            entry = templates[symbol[i]] + <uint32_t>length * LENGTH_UNIT
            out = fill_entry(out, entry, run)
        symbol += count[length]
    if out == table + (<size_t>1 << root_bits):
        return CODE_COMPLETE
    return build_subtables(table, capacity, root_bits, max_length, count, symbol, templates, out)
