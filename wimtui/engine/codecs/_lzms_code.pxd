# cython: language_level=3, boundscheck=False, wraparound=False
# cython: initializedcheck=False, cdivision=True
# The adaptive Huffman codes of LZMS, the decoder's side: frequencies -> lengths -> lookup table.
#
# A code is rebuilt after every 512 or 1024 symbols, which takes a sixth of all decoding time.

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy, memset

from wimtui.engine.codecs._lzms_reader cimport Reader, drop
from wimtui.engine.codecs._lzms_tables cimport MAX_CODEWORD_BITS, OFFSET_SYMBOLS


cdef extern from * nogil:
    bint unlikely(bint) noexcept


cdef enum:
    MAX_TABLE_BITS = 10
    BIG_FREQUENCY = 64          # sums stay below 3650, so at most 57 symbols are that frequent
    NO_WEIGHT = 0xFFFFFF        # of nodes that do not exist, above every sum

# A table entry is ``symbol << 16 | extra bits << 8 | codeword bits``. An entry of 0 sends a
# codeword that is longer than the table's index to the comparison with ``limit``.
cdef struct Code:
    uint32_t symbol_count
    uint32_t period
    uint32_t left                           # symbols until the next rebuild
    uint32_t table_bits
    const uint32_t *symbol_entry            # table entries without the codeword bits
    uint32_t limit[MAX_CODEWORD_BITS + 1]   # end of the codewords of a length, as 15-bit fractions
    uint32_t first[MAX_CODEWORD_BITS + 1]   # index of a length's first symbol minus its codeword
    uint16_t frequency[OFFSET_SYMBOLS + 1]
    uint32_t canonical[OFFSET_SYMBOLS + 1]  # symbol entries by (codeword bits, symbol)
    uint32_t table[1 << MAX_TABLE_BITS]


cdef inline uint32_t bucket_of(uint32_t frequency) noexcept nogil:
    return frequency if frequency < BIG_FREQUENCY else BIG_FREQUENCY


cdef inline void sort_by_frequency(
    const uint16_t *frequency, uint32_t n, uint16_t *order
) noexcept nogil:
    """Write the symbols by (frequency, symbol).

    A counting sort, whose last bucket, of all big frequencies, is then insertion sorted: their sum
    leaves room for few. Both halves of the alphabet are counted and placed side by side, because
    most symbols share a few buckets and would wait for each other's counts.
    """
    cdef uint32_t low[BIG_FREQUENCY + 1]
    cdef uint32_t high[BIG_FREQUENCY + 1]
    cdef uint32_t half = n >> 1, symbol, bucket, total = 0, count, weight, i, j, big
    memset(low, 0, sizeof(low))
    memset(high, 0, sizeof(high))
    for symbol in range(half):
        low[bucket_of(frequency[symbol])] += 1
        high[bucket_of(frequency[half + symbol])] += 1
    if n & 1:
        high[bucket_of(frequency[n - 1])] += 1
    for bucket in range(BIG_FREQUENCY + 1):
        count = low[bucket]
        low[bucket] = total
        total += count
        count = high[bucket]
        high[bucket] = total
        total += count
    big = low[BIG_FREQUENCY]
    for symbol in range(half):
        bucket = bucket_of(frequency[symbol])
        order[low[bucket]] = <uint16_t>symbol
        low[bucket] += 1
        bucket = bucket_of(frequency[half + symbol])
        order[high[bucket]] = <uint16_t>(half + symbol)
        high[bucket] += 1
    if n & 1:
        order[high[bucket_of(frequency[n - 1])]] = <uint16_t>(n - 1)
    for i in range(big + 1, n):
        symbol = order[i]
        weight = frequency[symbol]
        j = i
        while j > big and frequency[order[j - 1]] > weight:
            order[j] = order[j - 1]
            j -= 1
        order[j] = <uint16_t>symbol


cdef inline void count_lengths(
    const uint16_t *frequency, uint32_t n, const uint16_t *order, uint32_t *counts
) noexcept nogil:
    """Count the codewords of each length that Huffman's algorithm gives, a leaf first on ties.

    Only the shape matters: ``taken[k]`` inner nodes had become children before node k was made, and
    nodes become children in the order they are made, so the nodes of a level are those from
    ``taken`` of the level's above first node up to that node.
    """
    cdef uint32_t leaf_weight[OFFSET_SYMBOLS + 3]
    cdef uint32_t node_weight[OFFSET_SYMBOLS + 3]
    cdef uint16_t taken[OFFSET_SYMBOLS + 1]
    cdef uint32_t i, k, leaf = 0, node = 0, a, b, c, d, first, inner
    for i in range(n):
        leaf_weight[i] = frequency[order[i]]
        node_weight[i] = NO_WEIGHT
    for i in range(n, n + 3):
        leaf_weight[i] = NO_WEIGHT
        node_weight[i] = NO_WEIGHT
    for k in range(n - 1):
        # The two lightest of the next leaves a <= b and the next nodes c <= d.
        a = leaf_weight[leaf]
        b = leaf_weight[leaf + 1]
        c = node_weight[node]
        d = node_weight[node + 1]
        taken[k] = <uint16_t>node
        if b <= c:
            node_weight[k] = a + b
            leaf += 2
        elif d < a:
            node_weight[k] = c + d
            node += 2
        else:
            node_weight[k] = a + c
            leaf += 1
            node += 1
    memset(counts, 0, (MAX_CODEWORD_BITS + 1) * sizeof(uint32_t))
    first = n - 1
    inner = 1
    for i in range(1, MAX_CODEWORD_BITS + 1):
        # ``inner`` nodes from ``first`` - inner on make the level above; those before are deeper.
        first -= inner
        c = first - taken[first]
        counts[i] = 2 * inner - c
        inner = c
        if inner == 0:
            return
    # No sum below 3650 of so many frequencies leads here, but memory must not depend on that: the
    # inner nodes that are too deep give up their place and split the deepest leaves above.
    counts[MAX_CODEWORD_BITS] += inner
    while first > 0:
        first -= 1
        i = MAX_CODEWORD_BITS - 1
        while counts[i] == 0:
            i -= 1
        counts[i] -= 1
        counts[i + 1] += 2


cdef inline void fill_table(Code *code, const uint32_t *counts) noexcept nogil:
    cdef uint32_t length, codeword = 0, i, j, index = 0, entry, run
    cdef uint32_t[4] entries
    cdef uint32_t *place = code.table
    for length in range(1, MAX_CODEWORD_BITS + 1):
        codeword <<= 1
        code.first[length] = index - codeword
        codeword += counts[length]
        code.limit[length] = codeword << (MAX_CODEWORD_BITS - length)
        if length + 2 <= code.table_bits:
            run = <uint32_t>1 << (code.table_bits - length)
            for i in range(index, index + counts[length]):
                entry = code.canonical[i] | length
                for j in range(4):
                    entries[j] = entry
                for j in range(0, run, 4):
                    memcpy(place + j, entries, 16)
                place += run
        elif length + 1 == code.table_bits:
            for i in range(index, index + counts[length]):
                entry = code.canonical[i] | length
                place[0] = entry
                place[1] = entry
                place += 2
        elif length == code.table_bits:
            for i in range(index, index + counts[length]):
                place[0] = code.canonical[i] | length
                place += 1
        index += counts[length]
    memset(place, 0, <size_t>(code.table + (1 << code.table_bits) - place) * sizeof(uint32_t))


cdef inline void build_code(Code *code) noexcept nogil:
    """Make the code that fits the frequencies."""
    cdef uint16_t order[OFFSET_SYMBOLS + 1]
    cdef uint8_t lengths[OFFSET_SYMBOLS + 1]
    cdef uint32_t counts[MAX_CODEWORD_BITS + 1]
    cdef uint32_t low[MAX_CODEWORD_BITS + 1]
    cdef uint32_t high[MAX_CODEWORD_BITS + 1]
    cdef uint32_t length, i, total = 0, low_count, symbol, n = code.symbol_count, half = n >> 1
    code.left = code.period
    sort_by_frequency(code.frequency, n, order)
    count_lengths(code.frequency, n, order, counts)
    for length in range(MAX_CODEWORD_BITS, 0, -1):
        low_count = 0
        for i in range(total, total + counts[length]):
            symbol = order[i]
            lengths[symbol] = <uint8_t>length
            low_count += <uint32_t>(symbol < half)
        total += counts[length]
        low[length] = low_count
    total = 0
    for length in range(1, MAX_CODEWORD_BITS + 1):
        high[length] = total + low[length]
        low[length] = total
        total += counts[length]
    for i in range(half):
        length = lengths[i]
        code.canonical[low[length]] = code.symbol_entry[i]
        low[length] += 1
        length = lengths[half + i]
        code.canonical[high[length]] = code.symbol_entry[half + i]
        high[length] += 1
    if n & 1:
        code.canonical[high[lengths[n - 1]]] = code.symbol_entry[n - 1]
    fill_table(code, counts)


cdef inline void rebuild_code(Code *code) noexcept nogil:
    cdef uint32_t i
    build_code(code)
    for i in range(code.symbol_count):
        code.frequency[i] = (code.frequency[i] >> 1) + 1


cdef inline void start_code(
    Code *code, uint32_t symbol_count, uint32_t period, uint32_t table_bits,
    const uint32_t *symbol_entry,
) noexcept nogil:
    cdef uint32_t i
    code.symbol_count = symbol_count
    code.period = period
    code.table_bits = table_bits
    code.symbol_entry = symbol_entry
    for i in range(symbol_count):
        code.frequency[i] = 1
    if symbol_count > 1:
        build_code(code)


cdef inline void copy_code(Code *code, const Code *source) noexcept nogil:
    cdef size_t unused = (1 << MAX_TABLE_BITS) - (1 << source.table_bits)
    memcpy(code, source, sizeof(Code) - unused * sizeof(uint32_t))


cdef inline uint32_t read_entry(Reader *reader, Code *code, uint32_t table_bits) noexcept nogil:
    """Take a codeword of at most 15 bits in hand and return its table entry."""
    cdef uint32_t entry = code.table[reader.bits >> (64 - table_bits)]
    cdef uint32_t length, word
    if unlikely(entry == 0):
        word = <uint32_t>(reader.bits >> 49)
        length = table_bits + 1
        while length < MAX_CODEWORD_BITS and word >= code.limit[length]:
            length += 1
        entry = length | code.canonical[
            code.first[length] + (word >> (MAX_CODEWORD_BITS - length))
        ]
    drop(reader, entry & 0xFF)
    return entry


cdef inline void count_symbol(Code *code, uint32_t symbol) noexcept nogil:
    code.frequency[symbol] += 1
    code.left -= 1
    if unlikely(code.left == 0):
        rebuild_code(code)
