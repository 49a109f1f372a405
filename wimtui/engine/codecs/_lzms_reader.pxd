# cython: language_level=3, boundscheck=False, wraparound=False
# cython: initializedcheck=False, cdivision=True
# The two streams of an LZMS block: a range decoder from the front, a bit reader from the back.
#
# Both read on past their last unit, into each other's and then into zeros: that is no error.
# These functions must end up inside the decoding loop for its state to live in registers, which
# only C can demand. Little-endian machines only.

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from wimtui.engine.codecs._lzms_tables cimport INITIAL_HISTORY, INITIAL_ZEROS


cdef extern from * nogil:
    """
    #include <stdint.h>
    #include <string.h>

    #define LZMS_INLINE static inline __attribute__((always_inline))

    typedef struct {
        uint64_t history;              /* the last 64 bits, the newest at the bottom */
        uint32_t zeros;                /* how many of them are 0 */
        uint32_t weight;               /* that, clamped to 1..63 */
    } lzms_probability;

    typedef struct {
        uint32_t range, code;
        const uint8_t *next, *end;     /* range decoder: the next unit, the end of the block */
        uint64_t bits;    /* left-justified; below the first `count`, 0 or bits to come */
        uint32_t count;
        const uint8_t *back, *begin;   /* bit reader: the end of the next unit, the block's start */
    } lzms_reader;

    LZMS_INLINE uint32_t lzms_decide(lzms_reader *r, lzms_probability *p)
    {
        uint64_t history = p->history;
        uint32_t zeros = p->zeros + (uint32_t)(history >> 63);
        uint32_t bound;
        if (__builtin_expect(r->range < 0x10000, 0)) {
            uint16_t unit = 0;
            if (r->end - r->next >= 2) {
                memcpy(&unit, r->next, 2);
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

    LZMS_INLINE void lzms_refill(lzms_reader *r)
    {
        if (__builtin_expect(r->back - r->begin >= 8, 1)) {
            uint64_t units;
            memcpy(&units, r->back - 8, 8);
            r->bits |= units >> r->count;
            r->back -= ((63 - r->count) >> 4) << 1;
            r->count |= 48;
            return;
        }
        while (r->count <= 48) {
            uint16_t unit = 0;
            if (r->back - r->begin >= 2) {
                r->back -= 2;
                memcpy(&unit, r->back, 2);
            }
            r->bits |= (uint64_t)unit << (48 - r->count);
            r->count += 16;
        }
    }

    LZMS_INLINE void lzms_drop(lzms_reader *r, uint32_t n)
    {
        r->bits <<= n;
        r->count -= n;
    }

    LZMS_INLINE uint32_t lzms_take(lzms_reader *r, uint32_t n)
    {
        uint32_t value = (uint32_t)((r->bits >> 1) >> (63 - n));
        lzms_drop(r, n);
        return value;
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
    # One binary decision.
    uint32_t decide "lzms_decide"(Reader *reader, Probability *probability) noexcept
    # Have at least 48 bits in hand.
    void refill "lzms_refill"(Reader *reader) noexcept
    # Use up n <= 63 of the bits in hand, n may be 0; ``take`` returns them.
    void drop "lzms_drop"(Reader *reader, uint32_t n) noexcept
    uint32_t take "lzms_take"(Reader *reader, uint32_t n) noexcept


cdef inline void init_probabilities(Probability *probability, uint32_t count) noexcept nogil:
    cdef uint32_t i
    for i in range(count):
        probability[i].history = INITIAL_HISTORY
        probability[i].zeros = INITIAL_ZEROS
        probability[i].weight = INITIAL_ZEROS


cdef inline void init_reader(Reader *reader, const uint8_t *source, size_t size) noexcept nogil:
    """Start reading a block of an even number of bytes, at least 4."""
    reader.range = 0xFFFFFFFF
    reader.code = (
        <uint32_t>source[1] << 24 | <uint32_t>source[0] << 16
        | <uint32_t>source[3] << 8 | source[2]
    )
    reader.next = source + 4
    reader.end = source + size
    reader.bits = 0
    reader.count = 0
    reader.back = source + size
    reader.begin = source
