# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# Suffix array of a text by induced sorting (SA-IS, Nong, Zhang and Chan 2009).
#
# A suffix is S-type where it sorts before its successor, else L-type; the last one is L-type. LMS
# suffixes are S-type ones behind an L-type one. An array entry is a position; 0 also means "empty",
# because position 0 induces nothing. HELD marks entries that induce nothing in the running pass.
# Text accesses are random, so every pass asks for the letters AHEAD entries early.

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memset

from wimtui.engine.codecs._matchfinder cimport block_prefetch

ctypedef fused letter:
    uint8_t
    uint32_t


cdef enum:
    HELD = 0x80000000
    PLAIN = 0x7FFFFFFF
    AHEAD = 24


cdef inline void count_letters(
    const letter *text, uint32_t n, uint32_t letters, uint32_t *counts
) noexcept nogil:
    cdef uint32_t i
    memset(counts, 0, letters * sizeof(uint32_t))
    for i in range(n):
        counts[text[i]] += 1


cdef inline void bucket_starts(
    const uint32_t *counts, uint32_t letters, uint32_t *bounds
) noexcept nogil:
    cdef uint32_t i, total = 0
    for i in range(letters):
        bounds[i] = total
        total += counts[i]


cdef inline void bucket_ends(
    const uint32_t *counts, uint32_t letters, uint32_t *bounds
) noexcept nogil:
    cdef uint32_t i, total = 0
    for i in range(letters):
        total += counts[i]
        bounds[i] = total


cdef inline void put_last_suffix(
    const letter *text, uint32_t n, uint32_t *array, uint32_t *bounds
) noexcept nogil:
    """Place the L-type suffix that the end of the text induces."""
    cdef uint32_t c = text[n - 1]
    array[bounds[c]] = (n - 1) | (<uint32_t>HELD if text[n - 2] < text[n - 1] else 0)
    bounds[c] += 1


cdef inline void reduce_l_types(
    const letter *text, uint32_t n, uint32_t *array, uint32_t *bounds
) noexcept nogil:
    """Induce L-type entries left to right and keep only those that induce an S-type one."""
    cdef uint32_t i, entry, place
    cdef letter c
    put_last_suffix(text, n, array, bounds)
    for i in range(n):
        if i + AHEAD < n:
            block_prefetch(text + (array[i + AHEAD] & <uint32_t>PLAIN))
        entry = array[i]
        if entry & <uint32_t>HELD:
            array[i] = entry ^ <uint32_t>HELD
        elif entry:
            array[i] = 0
            entry -= 1
            c = text[entry]
            place = bounds[c]
            bounds[c] = place + 1
            if entry == 0 or text[entry - 1] < c:
                entry |= <uint32_t>HELD
            array[place] = entry


cdef inline void reduce_s_types(
    const letter *text, uint32_t n, uint32_t *array, uint32_t *bounds
) noexcept nogil:
    """Induce S-type entries right to left; only the LMS ones stay, marked HELD."""
    cdef uint32_t i = n, entry, place
    cdef letter c
    while i:
        i -= 1
        if i >= AHEAD:
            block_prefetch(text + (array[i - AHEAD] & <uint32_t>PLAIN))
        entry = array[i]
        if entry & <uint32_t>HELD or entry == 0:
            continue
        array[i] = 0
        entry -= 1
        c = text[entry]
        place = bounds[c] - 1
        bounds[c] = place
        if entry and text[entry - 1] > c:
            entry |= <uint32_t>HELD
        array[place] = entry


cdef inline void induce_l_types(
    const letter *text, uint32_t n, uint32_t *array, uint32_t *bounds
) noexcept nogil:
    """Induce all L-type entries left to right; entries that induce S-type ones end up not HELD."""
    cdef uint32_t i, entry, place
    cdef letter c
    put_last_suffix(text, n, array, bounds)
    for i in range(n):
        if i + AHEAD < n:
            block_prefetch(text + (array[i + AHEAD] & <uint32_t>PLAIN))
        entry = array[i]
        array[i] = entry ^ <uint32_t>HELD
        if entry == 0 or entry & <uint32_t>HELD:
            continue
        entry -= 1
        c = text[entry]
        place = bounds[c]
        bounds[c] = place + 1
        if entry == 0 or text[entry - 1] < c:
            entry |= <uint32_t>HELD
        array[place] = entry


cdef inline void induce_s_types(
    const letter *text, uint32_t n, uint32_t *array, uint32_t *bounds
) noexcept nogil:
    """Induce all S-type entries right to left and remove the marks."""
    cdef uint32_t i = n, entry, place
    cdef letter c
    while i:
        i -= 1
        if i >= AHEAD:
            block_prefetch(text + (array[i - AHEAD] & <uint32_t>PLAIN))
        entry = array[i]
        if entry & <uint32_t>HELD:
            array[i] = entry ^ <uint32_t>HELD
            continue
        if entry == 0:
            continue
        entry -= 1
        c = text[entry]
        place = bounds[c] - 1
        bounds[c] = place
        if entry == 0 or text[entry - 1] > c:
            entry |= <uint32_t>HELD
        array[place] = entry


cdef inline uint32_t list_lms(const letter *text, uint32_t n, uint32_t *positions) noexcept nogil:
    """Write the LMS positions in descending order; return how many."""
    cdef uint32_t i = n - 1, found = 0
    cdef bint s_type = False
    while i:
        i -= 1
        if text[i] < text[i + 1]:
            s_type = True
        elif text[i] > text[i + 1]:
            if s_type:
                positions[found] = i + 1
                found += 1
            s_type = False
    return found


cdef inline bint same_letters(const letter *a, const letter *b, uint32_t n) noexcept nogil:
    cdef uint32_t i
    for i in range(n):
        if a[i] != b[i]:
            return False
    return True


cdef inline uint32_t name_lms(
    const letter *text, uint32_t n, uint32_t *array, uint32_t found, const uint32_t *positions
) noexcept nogil:
    """Number the sorted LMS substrings of array[0..found) by content; return the count of names.

    Leaves the names plus one in array[found + position / 2], which no two LMS positions share.
    """
    cdef uint32_t *names = array + found
    cdef uint32_t i, position, size, name = 0, before = 0, size_before = 0, end = 0
    memset(names, 0, (n - found) * sizeof(uint32_t))
    for i in range(found):
        # From one LMS letter to the next, both included; the last substring equals no other.
        names[positions[i] >> 1] = end + 1 - positions[i] if i else 0
        end = positions[i]
    for i in range(found):
        if i + AHEAD < found:
            block_prefetch(text + array[i + AHEAD])
            block_prefetch(names + (array[i + AHEAD] >> 1))
        position = array[i]
        size = names[position >> 1]
        if not (
            size and size == size_before and same_letters(text + position, text + before, size)
        ):
            name += 1
        names[position >> 1] = name
        before = position
        size_before = size
    return name


cdef inline uint32_t gather_lms(
    const letter *text, uint32_t n, uint32_t letters, uint32_t *array, uint32_t *spare
) noexcept nogil:
    """Gather the LMS positions, sorted by LMS substring, in array[0..found).

    Leaves their descending list behind the two tables of ``letters`` words in ``spare``.
    """
    cdef uint32_t *bounds = spare + letters
    cdef uint32_t *positions = bounds + letters
    cdef uint32_t i, listed, found = 0
    count_letters(text, n, letters, spare)
    listed = list_lms(text, n, positions)
    memset(array, 0, n * sizeof(uint32_t))
    bucket_ends(spare, letters, bounds)
    for i in range(listed):
        bounds[text[positions[i]]] -= 1
        array[bounds[text[positions[i]]]] = positions[i]
    bucket_starts(spare, letters, bounds)
    reduce_l_types(text, n, array, bounds)
    bucket_ends(spare, letters, bounds)
    reduce_s_types(text, n, array, bounds)
    for i in range(n):
        if array[i] & <uint32_t>HELD:
            array[found] = array[i] ^ <uint32_t>HELD
            found += 1
    return found


cdef inline void restore_positions(
    const letter *text, uint32_t n, uint32_t *array, uint32_t found
) noexcept nogil:
    """Turn the sorted indices of LMS suffixes in text order into their positions."""
    cdef uint32_t *positions = array + n - found
    cdef uint32_t i
    list_lms(text, n, positions)
    for i in range(found):
        if i + AHEAD < found:
            block_prefetch(positions + (found - 1 - array[i + AHEAD]))
        array[i] = positions[found - 1 - array[i]]


cdef inline uint32_t *reduce_text(uint32_t *array, uint32_t n, uint32_t found) noexcept nogil:
    """Move the names left by name_lms, in text order, to the end of the array; return where."""
    cdef uint32_t *reduced = array + n - found
    cdef uint32_t i = n - found, j = found
    while i:
        i -= 1
        if array[found + i]:
            j -= 1
            reduced[j] = array[found + i] - 1
    return reduced


cdef inline void spread_lms(
    const letter *text, uint32_t n, uint32_t *array, uint32_t found, uint32_t *bounds
) noexcept nogil:
    """Move the sorted LMS suffixes from array[0..found) to the ends of their buckets."""
    cdef uint32_t i = found, position, place
    memset(array + found, 0, (n - found) * sizeof(uint32_t))
    while i:
        i -= 1
        if i >= AHEAD:
            block_prefetch(text + array[i - AHEAD])
        position = array[i]
        array[i] = 0
        place = bounds[text[position]] - 1
        bounds[text[position]] = place
        array[place] = position


cdef inline void sort_suffixes(
    const letter *text, uint32_t n, uint32_t letters, uint32_t *array, uint32_t *spare
) noexcept nogil:
    """Write the suffix array of text[0..n) over ``letters`` letters into array[0..n).

    ``spare`` needs 1.25 n + 2 * letters words.
    """
    cdef uint32_t *bounds = spare + letters
    cdef uint32_t *reduced
    cdef uint32_t found, names
    if n < 2:
        array[0] = 0
        return
    found = gather_lms(text, n, letters, array, spare)
    if found > 1:
        names = name_lms(text, n, array, found, bounds + letters)
        if names < found:
            reduced = reduce_text(array, n, found)
            sort_suffixes(<const uint32_t *>reduced, found, names, array, spare)
            restore_positions(text, n, array, found)
    count_letters(text, n, letters, spare)
    bucket_ends(spare, letters, bounds)
    spread_lms(text, n, array, found, bounds)
    bucket_starts(spare, letters, bounds)
    induce_l_types(text, n, array, bounds)
    bucket_ends(spare, letters, bounds)
    induce_s_types(text, n, array, bounds)
