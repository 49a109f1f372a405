# cython: language_level=3, boundscheck=False, wraparound=False
# cython: initializedcheck=False, cdivision=True
# cython: embedsignature=True, freethreading_compatible=True
"""The LZMS decoder."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from wimtui.engine.codecs._lzms_tables cimport (
    DELTA_STATES, INITIAL_HISTORY, INITIAL_ZEROS, LENGTH_PERIOD, LENGTH_SYMBOLS, LITERAL_PERIOD,
    LITERAL_SYMBOLS, LZ_STATES, LzmsSlots, MAIN_STATES, MATCH_STATES, MAX_BLOCK_SIZE,
    MAX_CODEWORD_BITS, MIN_BLOCK_SIZE, OFFSET_PERIOD, OFFSET_SYMBOLS, POWER_PERIOD,
    POWER_SYMBOLS, REPEAT_STATES, fill_lzms_slots, offset_symbol_count,
)
from wimtui.engine.codecs._x86_filter cimport X86Filter, filter_x86, init_x86_filter

from wimtui.engine.codecs.errors import CodecError


# The two bit readers and what they read. These functions must end up inside the decoding loop for
# its state to live in registers, which only C can demand. Little-endian machines only.
cdef extern from * nogil:
    """
    #include <stdint.h>
    #include <string.h>

    #define LZMS_INLINE static inline __attribute__((always_inline))

    typedef struct { uint64_t history; uint32_t zeros; uint32_t weight; } lzms_probability;

    typedef struct {
        uint32_t range, code;
        const uint8_t *next, *end;     /* range coder: the next unit, the end of the block */
        uint64_t bits;                 /* left-justified; below the top `count`, bits to come or 0 */
        uint32_t count;
        const uint8_t *back, *begin;   /* bit reader: the end of the next unit, the block's start */
    } lzms_reader;

    /* Decode one decision. `weight` is `zeros` clamped to 1..63. */
    LZMS_INLINE uint32_t lzms_decide(lzms_reader *r, lzms_probability *p)
    {
        uint64_t history = p->history;
        uint32_t zeros = p->zeros + (uint32_t)(history >> 63);
        uint32_t bound;
        if (__builtin_expect(r->range < 0x10000, 0)) {
            uint32_t unit = 0;
            if (r->end - r->next >= 2) {
                uint16_t v;
                memcpy(&v, r->next, 2);
                unit = v;
                r->next += 2;
            }
            r->range <<= 16;
            r->code = r->code << 16 | unit;
        }
        bound = (r->range >> 6) * p->weight;
        if (r->code < bound) {
            r->range = bound;
            p->history = history << 1;
            p->zeros = zeros;
            p->weight = zeros - (zeros >> 6);
            return 0;
        }
        r->range -= bound;
        r->code -= bound;
        zeros -= 1;
        p->history = history << 1 | 1;
        p->zeros = zeros;
        p->weight = zeros + !zeros;
        return 1;
    }

    /* Make at least 48 bits available; before the start of the block there are zeros. */
    LZMS_INLINE void lzms_refill(lzms_reader *r)
    {
        if (__builtin_expect(r->back - r->begin >= 8, 1)) {
            uint64_t v;
            memcpy(&v, r->back - 8, 8);
            r->bits |= v >> r->count;
            r->back -= ((63 - r->count) >> 4) << 1;
            r->count |= 48;
            return;
        }
        while (r->count <= 48) {
            uint16_t v = 0;
            if (r->back - r->begin >= 2) {
                r->back -= 2;
                memcpy(&v, r->back, 2);
            }
            r->bits |= (uint64_t)v << (48 - r->count);
            r->count += 16;
        }
    }

    LZMS_INLINE void lzms_drop(lzms_reader *r, uint32_t n)
    {
        r->bits <<= n;
        r->count -= n;
    }

    /* n may be 0. */
    LZMS_INLINE uint32_t lzms_take(lzms_reader *r, uint32_t n)
    {
        uint32_t v = (uint32_t)((r->bits >> 1) >> (63 - n));
        lzms_drop(r, n);
        return v;
    }

    typedef uint8_t lzms_bytes __attribute__((vector_size(16)));
    static const uint8_t lzms_keep[64] = {
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
        255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    };

    LZMS_INLINE void lzms_blend16(uint8_t *target, const uint8_t *source, const uint8_t *keep)
    {
        lzms_bytes t, s, k;
        memcpy(&t, target, 16);
        memcpy(&s, source, 16);
        memcpy(&k, keep, 16);
        t = (t & k) | (s & ~k);
        memcpy(target, &t, 16);
    }

    /* Copy n <= 32 bytes, rewriting the rest of 32 as it is. */
    LZMS_INLINE void lzms_copy_upto32(uint8_t *target, const uint8_t *source, size_t n)
    {
        lzms_blend16(target, source, lzms_keep + 32 - n);
        lzms_blend16(target + 16, source + 16, lzms_keep + 48 - n);
    }
    """
    ctypedef struct Probability "lzms_probability":
        uint64_t history
        uint32_t zeros
        uint32_t weight
    ctypedef struct Reader "lzms_reader":
        uint32_t range
        uint32_t code
        const uint8_t *next
        const uint8_t *end
        uint64_t bits
        uint32_t count
        const uint8_t *back
        const uint8_t *begin
    uint32_t decide "lzms_decide"(Reader *r, Probability *p) noexcept
    void refill "lzms_refill"(Reader *r) noexcept
    void drop "lzms_drop"(Reader *r, uint32_t n) noexcept
    uint32_t take "lzms_take"(Reader *r, uint32_t n) noexcept
    void prefetch "__builtin_prefetch"(const void *p) noexcept
    void copy_upto32 "lzms_copy_upto32"(uint8_t *target, const uint8_t *source, size_t n) noexcept
    bint likely(bint) noexcept
    bint unlikely(bint) noexcept


cdef enum:
    LITERAL_TABLE_BITS = 10
    OFFSET_TABLE_BITS = 11
    LENGTH_TABLE_BITS = 9
    POWER_TABLE_BITS = 7
    MAX_TABLE = 2048
    BIG_FREQUENCY = 64
    COPY_MARGIN = 32            # bytes a fast copy may touch beyond its end
    PENDING_COPIES = 16         # copies put off while their sources are fetched; a power of two

cdef enum Status:
    DECODED = 0
    BAD_SOURCE_SIZE
    NO_OFFSET_CODE
    BEFORE_START
    PAST_END


# An adaptive Huffman code. A table entry is ``symbol << 16 | extra bits << 8 | codeword bits``; an
# entry of 0 sends codewords longer than the table's index to the comparison with ``limit``.
cdef struct Code:
    uint32_t symbol_count
    uint32_t period
    uint32_t left
    uint32_t table_bits
    const uint32_t *symbol_entry            # table entries without the codeword bits
    uint32_t limit[MAX_CODEWORD_BITS + 1]   # end of the codewords of a length, as 15-bit fractions
    uint32_t first[MAX_CODEWORD_BITS + 1]   # index of a length's first symbol minus its codeword
    uint16_t frequency[OFFSET_SYMBOLS + 1]
    uint32_t canonical[OFFSET_SYMBOLS + 1]  # symbol entries by (codeword bits, symbol)
    uint32_t table[MAX_TABLE]

# A validated match whose bytes are not yet in place; literals behind it may be.
cdef struct Copy:
    uint32_t position
    uint32_t length
    uint32_t offset
    uint32_t span               # of a delta match, else 0

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
    X86Filter filter


cdef LzmsSlots slots
fill_lzms_slots(&slots)
cdef uint32_t[LITERAL_SYMBOLS] plain_entry
cdef uint32_t[OFFSET_SYMBOLS] offset_entry
cdef uint32_t[LENGTH_SYMBOLS] length_entry


cdef void fill_symbol_entries() noexcept:
    cdef uint32_t symbol
    for symbol in range(LITERAL_SYMBOLS):
        plain_entry[symbol] = symbol << 16
    for symbol in range(OFFSET_SYMBOLS):
        offset_entry[symbol] = symbol << 16 | <uint32_t>slots.offset_extra[symbol] << 8
    for symbol in range(LENGTH_SYMBOLS):
        length_entry[symbol] = symbol << 16 | <uint32_t>slots.length_extra[symbol] << 8


fill_symbol_entries()


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
    cdef uint32_t i, k, leaf = 0, node = 0, a, b, c, d, first, next_first, inner
    for i in range(n):
        leaf_weight[i] = frequency[order[i]]
        node_weight[i] = 0xFFFFFF
    for i in range(n, n + 3):
        leaf_weight[i] = 0xFFFFFF
        node_weight[i] = 0xFFFFFF
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
    first = n - 2
    inner = 1
    # With frequency sums below 4096 no length exceeds MAX_CODEWORD_BITS.
    for i in range(1, MAX_CODEWORD_BITS + 1):
        next_first = taken[first]
        counts[i] = 2 * inner - (first - next_first)
        inner = first - next_first
        if inner == 0:
            break
        first = next_first


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


cdef void build_code(Code *code) noexcept nogil:
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


cdef void rebuild_code(Code *code) noexcept nogil:
    cdef uint32_t i
    build_code(code)
    for i in range(code.symbol_count):
        code.frequency[i] = (code.frequency[i] >> 1) + 1


cdef void start_code(
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


cdef inline void copy_match(
    uint8_t *target, size_t offset, size_t length, size_t room, bint exact
) noexcept nogil:
    cdef const uint8_t *source = target - offset
    cdef size_t i
    if likely(offset >= 16 and room >= length + COPY_MARGIN):
        while unlikely(length > 32):
            memcpy(target, source, 16)
            memcpy(target + 16, source + 16, 16)
            target += 32
            source += 32
            length -= 32
        if exact:
            copy_upto32(target, source, length)
        else:
            memcpy(target, source, 16)
            memcpy(target + 16, source + 16, 16)
    elif offset == 1:
        memset(target, source[0], length)
    else:
        for i in range(length):
            target[i] = source[i]


cdef inline void copy_delta_match(
    uint8_t *target, size_t offset, size_t span, size_t length
) noexcept nogil:
    cdef uint8_t *end = target + length
    while target < end:
        target[0] = <uint8_t>(
            (target - offset)[0] + (target - span)[0] - (target - offset - span)[0]
        )
        target += 1


cdef inline void run_copy(uint8_t *block, size_t block_size, const Copy *copy) noexcept nogil:
    if likely(copy.span == 0):
        copy_match(block + copy.position, copy.offset, copy.length, block_size - copy.position, True)
    else:
        copy_delta_match(block + copy.position, copy.offset, copy.span, copy.length)


cdef inline uint32_t read_repeat(
    Reader *reader, Probability *first, Probability *second, uint32_t *states
) noexcept nogil:
    """Read a queue index, 0..2."""
    if decide(reader, first + states[0]) == 0:
        states[0] = states[0] << 1 & (REPEAT_STATES - 1)
        return 0
    states[0] = (states[0] << 1 | 1) & (REPEAT_STATES - 1)
    if decide(reader, second + states[1]) == 0:
        states[1] = states[1] << 1 & (REPEAT_STATES - 1)
        return 1
    states[1] = (states[1] << 1 | 1) & (REPEAT_STATES - 1)
    return 2


cdef inline uint64_t take_from_queue(uint64_t *queue, uint32_t index) noexcept nogil:
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


cdef Status decode_items(
    Model *model, const uint8_t *source, size_t source_size, uint8_t *block, size_t block_size,
    size_t *position,
) noexcept nogil:
    cdef Reader reader
    cdef Copy[PENDING_COPIES] pending
    cdef Copy *copy
    cdef size_t slot = 0
    cdef bint far = block_size >= 4194304
    cdef uint8_t *target = block
    cdef uint8_t *end = block + block_size
    cdef uint32_t main_state = 0, match_state = 0, lz_state = 0, delta_state = 0
    cdef uint32_t[2] lz_repeat_states
    cdef uint32_t[2] delta_repeat_states
    cdef uint64_t[4] lz_queue
    cdef uint64_t[4] delta_queue        # power << 32 | raw offset
    cdef uint32_t after_lz = 0, after_delta = 0, entry, symbol, extra, power, span
    cdef size_t offset, length, i
    cdef bint is_delta, has_offsets = model.offset.symbol_count > 1
    cdef Status status = DECODED
    reader.range = 0xFFFFFFFF
    reader.code = (
        <uint32_t>source[1] << 24 | <uint32_t>source[0] << 16
        | <uint32_t>source[3] << 8 | source[2]
    )
    reader.next = source + 4
    reader.end = source + source_size
    reader.bits = 0
    reader.count = 0
    reader.back = source + source_size
    reader.begin = source
    for i in range(4):
        lz_queue[i] = i + 1
        delta_queue[i] = i + 1
    for i in range(2):
        lz_repeat_states[i] = 0
        delta_repeat_states[i] = 0
    while target < end:
        refill(&reader)
        if decide(&reader, &model.main[main_state]) == 0:
            main_state = main_state << 1 & (MAIN_STATES - 1)
            symbol = read_entry(&reader, &model.literal, LITERAL_TABLE_BITS) >> 16
            target[0] = <uint8_t>symbol
            target += 1
            count_symbol(&model.literal, symbol)
            after_lz = 0
            after_delta = 0
            continue
        main_state = (main_state << 1 | 1) & (MAIN_STATES - 1)
        is_delta = decide(&reader, &model.match[match_state])
        match_state = (match_state << 1 | is_delta) & (MATCH_STATES - 1)
        span = 0
        if likely(not is_delta):
            if decide(&reader, &model.lz[lz_state]) == 0:
                lz_state = lz_state << 1 & (LZ_STATES - 1)
                if unlikely(not has_offsets):
                    status = NO_OFFSET_CODE
                    break
                entry = read_entry(&reader, &model.offset, OFFSET_TABLE_BITS)
                symbol = entry >> 16
                offset = slots.offset_base[symbol] + take(&reader, entry >> 8 & 0xFF)
                count_symbol(&model.offset, symbol)
                push_queue(lz_queue, offset)
            else:
                lz_state = (lz_state << 1 | 1) & (LZ_STATES - 1)
                i = read_repeat(
                    &reader, model.lz_repeat[0], model.lz_repeat[1], lz_repeat_states
                )
                offset = take_from_queue(lz_queue, <uint32_t>i + after_lz)
            after_lz = 1
            after_delta = 0
        else:
            if decide(&reader, &model.delta[delta_state]) == 0:
                delta_state = delta_state << 1 & (DELTA_STATES - 1)
                if unlikely(not has_offsets):
                    status = NO_OFFSET_CODE
                    break
                power = read_entry(&reader, &model.power, POWER_TABLE_BITS) >> 16
                count_symbol(&model.power, power)
                refill(&reader)
                entry = read_entry(&reader, &model.delta_offset, OFFSET_TABLE_BITS)
                symbol = entry >> 16
                offset = slots.offset_base[symbol] + take(&reader, entry >> 8 & 0xFF)
                count_symbol(&model.delta_offset, symbol)
                push_queue(delta_queue, <uint64_t>power << 32 | offset)
            else:
                delta_state = (delta_state << 1 | 1) & (DELTA_STATES - 1)
                i = read_repeat(
                    &reader, model.delta_repeat[0], model.delta_repeat[1], delta_repeat_states
                )
                offset = take_from_queue(delta_queue, <uint32_t>i + after_delta)
                power = <uint32_t>(offset >> 32)
                offset = <uint32_t>offset
            offset <<= power
            span = <uint32_t>1 << power
            after_lz = 0
            after_delta = 1
        if unlikely(reader.count < MAX_CODEWORD_BITS):
            refill(&reader)
        entry = read_entry(&reader, &model.length, LENGTH_TABLE_BITS)
        symbol = entry >> 16
        extra = entry >> 8 & 0xFF
        length = slots.length_base[symbol]
        if extra:
            refill(&reader)
            length += take(&reader, extra)
        count_symbol(&model.length, symbol)
        if unlikely(length > <size_t>(end - target)):
            status = PAST_END
            break
        if unlikely(offset + span > <size_t>(target - block)):
            status = BEFORE_START
            break
        if far:
            prefetch(target - offset)
            copy = &pending[slot & (PENDING_COPIES - 1)]
            if likely(slot >= PENDING_COPIES):
                run_copy(block, block_size, copy)
            copy.position = <uint32_t>(target - block)
            copy.length = <uint32_t>length
            copy.offset = <uint32_t>offset
            copy.span = span
            slot += 1
        elif likely(not is_delta):
            copy_match(target, offset, length, end - target, False)
        else:
            copy_delta_match(target, offset, span, length)
        target += length
    if status == DECODED:
        for i in range(slot - PENDING_COPIES if slot > PENDING_COPIES else 0, slot):
            run_copy(block, block_size, &pending[i & (PENDING_COPIES - 1)])
    position[0] = target - block
    return status


cdef Status decode_block(
    Model *model, const uint8_t *source, size_t source_size, uint8_t *block, size_t block_size,
    size_t *position,
) noexcept nogil:
    cdef Probability *probability = model.main
    cdef uint32_t offset_symbols = offset_symbol_count(&slots, block_size)
    cdef Status status
    cdef uint32_t i
    position[0] = 0
    if block_size == 0:
        return DECODED
    if source_size < 4 or source_size & 1:
        return BAD_SOURCE_SIZE
    for i in range(MAIN_STATES + MATCH_STATES + LZ_STATES + DELTA_STATES + 4 * REPEAT_STATES):
        probability[i].history = INITIAL_HISTORY
        probability[i].zeros = INITIAL_ZEROS
        probability[i].weight = INITIAL_ZEROS
    start_code(&model.literal, LITERAL_SYMBOLS, LITERAL_PERIOD, LITERAL_TABLE_BITS, plain_entry)
    start_code(
        &model.offset, offset_symbols, OFFSET_PERIOD, OFFSET_TABLE_BITS, offset_entry
    )
    start_code(
        &model.length, LENGTH_SYMBOLS, LENGTH_PERIOD, LENGTH_TABLE_BITS, length_entry
    )
    start_code(
        &model.delta_offset, offset_symbols, OFFSET_PERIOD, OFFSET_TABLE_BITS, offset_entry
    )
    start_code(&model.power, POWER_SYMBOLS, POWER_PERIOD, POWER_TABLE_BITS, plain_entry)
    status = decode_items(model, source, source_size, block, block_size, position)
    if status == DECODED:
        filter_x86(&model.filter, block, block_size, True)
    return status




_REASONS = {
    BAD_SOURCE_SIZE: "source size is odd or under 4",
    NO_OFFSET_CODE: "match offset in a block too small for one",
    BEFORE_START: "match reaches before the start",
    PAST_END: "match reaches past the end",
}


@cython.final
@cython.auto_pickle(False)
cdef class LzmsDecompressor:
    """Decodes LZMS blocks of up to ``block_size`` bytes, a power of two from 2**15 to 2**30.

    Raises:
        ValueError: ``block_size`` is not such a size.
    """

    cdef Model *model
    cdef size_t block_size
    cdef bint busy

    def __cinit__(self, block_size: int) -> None:
        if not MIN_BLOCK_SIZE <= block_size <= MAX_BLOCK_SIZE or block_size & (block_size - 1):
            raise ValueError(f"LZMS block size {block_size} is not a power of two, 2**15 to 2**30")
        self.block_size = block_size
        self.model = <Model *>malloc(sizeof(Model))
        if self.model is NULL:
            raise MemoryError
        init_x86_filter(&self.model.filter)

    def __dealloc__(self) -> None:
        free(self.model)

    def decompress(self, source, uncompressed_size: int) -> bytes:
        """Return the ``uncompressed_size`` bytes that ``source`` encodes.

        Raises:
            CodecError: The block is malformed or truncated.
            ValueError: ``uncompressed_size`` is over the block size.
            RuntimeError: Another thread uses this object.
        """
        cdef const uint8_t[::1] view = source
        cdef bytes block
        if not 0 <= uncompressed_size <= self.block_size:
            raise ValueError(
                f"uncompressed size {uncompressed_size} is over the block size {self.block_size}"
            )
        block = PyBytes_FromStringAndSize(NULL, uncompressed_size)
        self._decode(view, <uint8_t *>PyBytes_AS_STRING(block), uncompressed_size)
        return block

    def decompress_into(self, source, destination) -> None:
        """Fill the writable buffer ``destination`` with the bytes that ``source`` encodes.

        Raises:
            CodecError: The block is malformed or truncated; ``destination`` has been written to.
            ValueError: ``destination`` is larger than the block size.
            RuntimeError: Another thread uses this object.
        """
        cdef const uint8_t[::1] view = source
        cdef uint8_t[::1] block = destination
        cdef size_t size = block.shape[0]
        if size > self.block_size:
            raise ValueError(f"uncompressed size {size} is over the block size {self.block_size}")
        self._decode(view, &block[0] if size else NULL, size)

    cdef int _decode(
        self, const uint8_t[::1] source, uint8_t *block, size_t size
    ) except -1:
        cdef const uint8_t *start = &source[0] if source.shape[0] else NULL
        cdef size_t source_size = source.shape[0], position
        cdef Status status
        if self.busy:
            raise RuntimeError("this LzmsDecompressor is in use by another thread")
        self.busy = True
        with nogil:
            status = decode_block(self.model, start, source_size, block, size, &position)
        self.busy = False
        if status != DECODED:
            raise CodecError(f"LZMS block: {_REASONS[status]}, at output offset {position}")
        return 0
