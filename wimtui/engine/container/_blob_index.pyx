# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# cython: embedsignature=True, freethreading_compatible=True
"""Blob table in memory: the rows as they lie on disk, a class for each, and an index by SHA-1.

65 bytes an entry: 50 of the row, 1 of its class, 6 to 12 of the index, and 4 where rows are solid.
The index is open addressing with linear probing at most half full. Its hash is keyed with random
numbers, so that nobody can prepare a file whose hashes all collide.
"""

import os

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Calloc, PyMem_Free, PyMem_Malloc
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport qsort
from libc.string cimport memcmp, memcpy, memset

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    #if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
    #error "the rows are read as little-endian words"
    #endif
    static inline uint64_t wt_load64(const uint8_t *p) { uint64_t v; memcpy(&v, p, 8); return v; }
    static inline uint32_t wt_load32(const uint8_t *p) { uint32_t v; memcpy(&v, p, 4); return v; }
    static inline uint16_t wt_load16(const uint8_t *p) { uint16_t v; memcpy(&v, p, 2); return v; }
    static inline uint64_t wt_mix(uint64_t a, uint64_t b) {
        __uint128_t product = (__uint128_t)a * b;
        return (uint64_t)product ^ (uint64_t)(product >> 64);
    }
    """
    uint64_t wt_load64(const uint8_t *p) noexcept nogil
    uint32_t wt_load32(const uint8_t *p) noexcept nogil
    uint16_t wt_load16(const uint8_t *p) noexcept nogil
    uint64_t wt_mix(uint64_t a, uint64_t b) noexcept nogil

cdef enum:
    ROW = 50
    HASH_AT = 30
    FLAG_METADATA = 0x02
    FLAG_COMPRESSED = 0x04
    FLAG_SOLID = 0x10
    CLASS_MASK = 0x0F
    C_IGNORED = 0
    C_BLOB = 1
    C_METADATA = 2
    C_SOLID_RESOURCE = 3
    C_UNUSABLE = 0x80
    C_SIZES_DIFFER = 1
    C_OUTSIDE_SOLID = 2
    C_METADATA_SHARED = 3
    C_METADATA_IN_SOLID = 4
    C_OVERLAP = 5

ROW_NBYTES = ROW

# Classes of rows.
IGNORED = C_IGNORED
BLOB = C_BLOB
METADATA = C_METADATA
SOLID_RESOURCE = C_SOLID_RESOURCE

# Why a table is refused: BlobIndex.failure is (one of these, row).
SIZES_DIFFER = C_SIZES_DIFFER
OUTSIDE_SOLID = C_OUTSIDE_SOLID
METADATA_SHARED = C_METADATA_SHARED
METADATA_IN_SOLID = C_METADATA_IN_SOLID
OVERLAP = C_OVERLAP

cdef uint64_t SOLID_MARKER = 0x100000000
cdef uint64_t SIZE_MASK = 0x00FFFFFFFFFFFFFF
cdef uint32_t NO_ROW = 0xFFFFFFFF
cdef uint8_t[20] ZERO
memset(ZERO, 0, 20)


cdef struct SolidPlace:
    uint32_t run
    uint32_t usable
    uint64_t base
    uint64_t size


cdef struct Range:
    uint32_t solid
    uint32_t row
    uint64_t start
    uint64_t end


cdef int compare_ranges(const void *left, const void *right) noexcept nogil:
    cdef const Range *a = <const Range *>left
    cdef const Range *b = <const Range *>right
    if a.solid != b.solid:
        return -1 if a.solid < b.solid else 1
    if a.start != b.start:
        return -1 if a.start < b.start else 1
    return 0


def solid_resource_rows(const uint8_t[::1] rows not None):
    """Return ``(row, run)`` of every solid resource entry, in table order.

    A run is a maximal sequence of rows with flag 0x10; runs are numbered from 0.
    """
    cdef Py_ssize_t count = rows.shape[0] // ROW
    cdef Py_ssize_t row
    cdef long run = -1
    cdef bint inside = False
    cdef const uint8_t *at
    found = []
    for row in range(count):
        at = &rows[row * ROW]
        if not at[7] & FLAG_SOLID:
            inside = False
            continue
        if not inside:
            run += 1
            inside = True
        if wt_load64(at + 16) == SOLID_MARKER:
            found.append((row, run))
    return found


@cython.final
cdef class BlobIndex:
    """Classified rows of one blob table."""

    cdef readonly bytes rows
    cdef readonly Py_ssize_t row_count
    cdef readonly Py_ssize_t blob_count
    cdef readonly list metadata_rows
    cdef readonly tuple ignored_counts
    # Rows ignored for: a zero hash, no data, a foreign part, unreferenced metadata, metadata in a
    # later part, metadata beyond the image count, a duplicate hash.
    cdef readonly tuple failure
    cdef const uint8_t *_rows
    cdef uint8_t *_classes
    cdef uint32_t *_solid_of
    cdef uint32_t *_slots
    cdef uint64_t _mask
    cdef uint64_t[4] _keys
    cdef SolidPlace *_solids
    cdef Py_ssize_t _solid_count
    cdef uint64_t _smallest_offset, _file_size, _chunk_size
    cdef uint32_t _part_number, _image_count, _chunk_overhead
    cdef bint _solid_allowed
    cdef uint32_t[7] _ignored
    cdef Py_ssize_t _metadata_count

    def __cinit__(self, bytes rows not None, *, bint solid_allowed, uint32_t part_number,
                  uint32_t image_count, uint64_t smallest_offset, uint64_t file_size,
                  uint64_t chunk_size, uint32_t chunk_overhead, list solids not None):
        cdef Py_ssize_t index, slot_count
        self.rows = rows
        self._rows = <const uint8_t *>PyBytes_AS_STRING(rows)
        self.row_count = PyBytes_GET_SIZE(rows) // ROW
        if self.row_count >= 0x7FFFFFFF:
            raise OverflowError("a blob table of 2**31 rows")
        self._solid_allowed = solid_allowed
        self._part_number = part_number
        self._image_count = image_count
        self._smallest_offset = smallest_offset
        self._file_size = file_size
        self._chunk_size = chunk_size
        self._chunk_overhead = chunk_overhead
        self._solid_count = len(solids)
        memset(self._ignored, 0, sizeof(self._ignored))
        slot_count = 16
        while slot_count < 2 * self.row_count:
            slot_count *= 2
        self._mask = slot_count - 1
        self._classes = <uint8_t *>PyMem_Calloc(self.row_count + 1, 1)
        self._slots = <uint32_t *>PyMem_Malloc(slot_count * sizeof(uint32_t))
        self._solids = <SolidPlace *>PyMem_Calloc(self._solid_count + 1, sizeof(SolidPlace))
        if self._classes == NULL or self._slots == NULL or self._solids == NULL:
            raise MemoryError
        if self._solid_count:
            self._solid_of = <uint32_t *>PyMem_Malloc((self.row_count + 1) * sizeof(uint32_t))
            if self._solid_of == NULL:
                raise MemoryError
            memset(self._solid_of, 0xFF, (self.row_count + 1) * sizeof(uint32_t))
        memset(self._slots, 0xFF, slot_count * sizeof(uint32_t))
        for index in range(self._solid_count):
            run, base, size, usable = solids[index]
            self._solids[index] = SolidPlace(run, usable, base, size)
        keys = os.urandom(32)
        memcpy(self._keys, PyBytes_AS_STRING(keys), 32)
        self._classify_all()

    def __dealloc__(self):
        PyMem_Free(self._classes)
        PyMem_Free(self._slots)
        PyMem_Free(self._solids)
        PyMem_Free(self._solid_of)

    cdef _classify_all(self):
        cdef Py_ssize_t row = 0
        cdef Py_ssize_t first_solid = 0
        cdef Py_ssize_t end_solid = 0
        cdef int status = 0
        cdef long run = -1
        cdef bint inside = False
        with nogil:
            while row < self.row_count:
                if self._solid_allowed and self._rows[row * ROW + 7] & FLAG_SOLID:
                    if not inside:
                        inside = True
                        run += 1
                        first_solid = end_solid
                        while end_solid < self._solid_count and self._solids[end_solid].run == run:
                            end_solid += 1
                    status = self._classify(row, first_solid, end_solid, True)
                else:
                    inside = False
                    status = self._classify(row, 0, 0, False)
                if status:
                    break
                row += 1
        if status == 0 and self._solid_count:
            row = self._find_overlap()
            status = C_OVERLAP if row >= 0 else 0
        self.failure = (status, row) if status else None
        self.ignored_counts = tuple([self._ignored[index] for index in range(7)])
        self.metadata_rows = [
            row for row in range(self.row_count) if self._classes[row] & CLASS_MASK == C_METADATA
        ] if self._metadata_count else []

    cdef int _classify(self, Py_ssize_t row, Py_ssize_t first_solid, Py_ssize_t end_solid,
                       bint solid) noexcept nogil:
        cdef const uint8_t *at = self._rows + row * ROW
        cdef uint64_t size_in_wim = wt_load64(at) & SIZE_MASK
        cdef uint8_t flags = at[7]
        cdef uint64_t offset = wt_load64(at + 8)
        cdef uint64_t size = wt_load64(at + 16)
        cdef bint usable = True
        cdef Py_ssize_t place
        if solid:
            if size == SOLID_MARKER:
                self._classes[row] = C_SOLID_RESOURCE
                return 0
            size = size_in_wim
            place = self._solid_with(offset, size, first_solid, end_solid)
            if place < 0:
                return C_OUTSIDE_SOLID
            self._solid_of[row] = <uint32_t>place
            usable = self._solids[place].usable
        elif not flags & FLAG_COMPRESSED:
            if size_in_wim != size:
                return C_SIZES_DIFFER
            usable = self._lies_in_file(offset, size_in_wim)
        else:
            usable = self._lies_in_file(offset, size_in_wim) and self._holds(size_in_wim, size)
        if memcmp(at + HASH_AT, ZERO, 20) == 0:
            self._ignored[0] += 1
        elif size == 0:
            self._ignored[1] += 1
        elif wt_load16(at + 24) != self._part_number:
            self._ignored[2] += 1
        elif flags & FLAG_METADATA:
            return self._classify_metadata(row, solid, usable)
        elif not self._insert(row):
            self._ignored[6] += 1
        else:
            self._classes[row] = C_BLOB if usable else C_BLOB | C_UNUSABLE
            self.blob_count += 1
        return 0

    cdef int _classify_metadata(self, Py_ssize_t row, bint solid, bint usable) noexcept nogil:
        cdef uint32_t references = wt_load32(self._rows + row * ROW + 26)
        if references == 0:
            self._ignored[3] += 1
            return 0
        if references != 1:
            return C_METADATA_SHARED
        if solid:
            return C_METADATA_IN_SOLID
        if self._part_number != 1:
            self._ignored[4] += 1
        elif self._metadata_count >= <Py_ssize_t>self._image_count:
            self._ignored[5] += 1
        else:
            self._metadata_count += 1
            self._classes[row] = C_METADATA if usable else C_METADATA | C_UNUSABLE
        return 0

    cdef bint _lies_in_file(self, uint64_t offset, uint64_t size) noexcept nogil:
        return (
            offset >= self._smallest_offset
            and offset <= self._file_size
            and size <= self._file_size - offset
        )

    cdef bint _holds(self, uint64_t size_in_wim, uint64_t size) noexcept nogil:
        # Each chunk takes a byte at least and, but for one, an entry of the chunk table.
        cdef uint64_t chunks, width
        if self._chunk_size == 0 or size == 0:
            return size == 0
        chunks = (size - 1) // self._chunk_size + 1
        width = 8 if size >> 32 else 4
        if chunks > size_in_wim:
            return False
        return (chunks - 1) * width + chunks * (1 + self._chunk_overhead) <= size_in_wim

    cdef Py_ssize_t _solid_with(self, uint64_t offset, uint64_t size, Py_ssize_t first,
                                Py_ssize_t end) noexcept nogil:
        # Bases ascend: the last resource that begins at or before `offset`; an earlier
        # one can only end there.
        cdef Py_ssize_t low = first
        cdef Py_ssize_t high = end
        cdef Py_ssize_t middle
        cdef uint64_t inside
        while low < high:
            middle = (low + high) // 2
            if self._solids[middle].base <= offset:
                low = middle + 1
            else:
                high = middle
        if low == first:
            return -1
        inside = offset - self._solids[low - 1].base
        if inside > self._solids[low - 1].size or size > self._solids[low - 1].size - inside:
            return -1
        return low - 1

    cdef Py_ssize_t _find_overlap(self) except -2:
        cdef Py_ssize_t count = 0
        cdef Py_ssize_t row, index
        cdef Range *ranges = <Range *>PyMem_Malloc((self.blob_count + 1) * sizeof(Range))
        if ranges == NULL:
            raise MemoryError
        try:
            with nogil:
                for row in range(self.row_count):
                    if self._classes[row] & CLASS_MASK == C_BLOB and self._solid_of[row] != NO_ROW:
                        ranges[count].solid = self._solid_of[row]
                        ranges[count].row = <uint32_t>row
                        ranges[count].start = wt_load64(self._rows + row * ROW + 8)
                        ranges[count].end = ranges[count].start + (
                            wt_load64(self._rows + row * ROW) & SIZE_MASK
                        )
                        count += 1
                qsort(ranges, count, sizeof(Range), compare_ranges)
            for index in range(1, count):
                if (ranges[index].solid == ranges[index - 1].solid
                        and ranges[index].start < ranges[index - 1].end):
                    return ranges[index].row
            return -1
        finally:
            PyMem_Free(ranges)

    cdef inline uint64_t _first_slot(self, const uint8_t *sha1) noexcept nogil:
        cdef uint64_t mixed = wt_mix(
            wt_load64(sha1) ^ self._keys[0], wt_load64(sha1 + 8) ^ self._keys[1]
        )
        return wt_mix(mixed ^ self._keys[2], wt_load32(sha1 + 16) ^ self._keys[3]) & self._mask

    cdef bint _insert(self, Py_ssize_t row) noexcept nogil:
        cdef const uint8_t *sha1 = self._rows + row * ROW + HASH_AT
        cdef uint64_t slot = self._first_slot(sha1)
        while self._slots[slot] != NO_ROW:
            if memcmp(self._rows + <Py_ssize_t>self._slots[slot] * ROW + HASH_AT, sha1, 20) == 0:
                return False
            slot = (slot + 1) & self._mask
        self._slots[slot] = <uint32_t>row
        return True

    def find(self, bytes sha1 not None):
        """Return the row of the blob with that SHA-1 (20 bytes), or -1."""
        if PyBytes_GET_SIZE(sha1) != 20:
            return -1
        return self._row_of(<const uint8_t *>PyBytes_AS_STRING(sha1))

    cdef Py_ssize_t _row_of(self, const uint8_t *wanted) noexcept nogil:
        cdef uint64_t slot = self._first_slot(wanted)
        while self._slots[slot] != NO_ROW:
            if memcmp(self._rows + <Py_ssize_t>self._slots[slot] * ROW + HASH_AT, wanted, 20) == 0:
                return <Py_ssize_t>self._slots[slot]
            slot = (slot + 1) & self._mask
        return -1

    def absent(self, bytes hashes not None):
        """Return those of many SHA-1 hashes (20 bytes each, without separator) that no row has."""
        cdef Py_ssize_t count = PyBytes_GET_SIZE(hashes) // 20
        cdef Py_ssize_t index
        cdef Py_ssize_t missing = 0
        cdef const uint8_t *wanted = <const uint8_t *>PyBytes_AS_STRING(hashes)
        cdef uint8_t *found = <uint8_t *>PyMem_Malloc(count * 20 + 1)
        if found == NULL:
            raise MemoryError
        with nogil:
            for index in range(count):
                if self._row_of(wanted + 20 * index) < 0:
                    memcpy(found + 20 * missing, wanted + 20 * index, 20)
                    missing += 1
        try:
            return PyBytes_FromStringAndSize(<const char *>found, 20 * missing)
        finally:
            PyMem_Free(found)

    cdef int _check_row(self, Py_ssize_t row) except -1:
        if not 0 <= row < self.row_count:
            raise IndexError(f"row {row} of {self.row_count}")
        return 0

    def row_class(self, Py_ssize_t row):
        """Return IGNORED, BLOB, METADATA or SOLID_RESOURCE."""
        self._check_row(row)
        return self._classes[row] & CLASS_MASK

    def is_usable(self, Py_ssize_t row):
        """Return whether the row's place lies within the file and can hold its size."""
        self._check_row(row)
        return not self._classes[row] & C_UNUSABLE

    def size(self, Py_ssize_t row):
        """Return the uncompressed size of a blob in bytes."""
        self._check_row(row)
        if self._solid_count and self._solid_of[row] != NO_ROW:
            return wt_load64(self._rows + row * ROW) & SIZE_MASK
        return wt_load64(self._rows + row * ROW + 16)

    def stored_size(self, Py_ssize_t row):
        """Return the stored size of a blob in bytes; for one in a solid resource, its own size."""
        self._check_row(row)
        return wt_load64(self._rows + row * ROW) & SIZE_MASK

    cdef const uint8_t *_place(self, Py_ssize_t row) except? NULL:
        """Return a blob's entry if it lies on its own, and can lie there; else NULL."""
        self._check_row(row)
        if self._classes[row] != C_BLOB:
            return NULL
        if self._solid_count and self._solid_of[row] != NO_ROW:
            return NULL
        return self._rows + row * ROW

    def compressed_place(self, Py_ssize_t row):
        """Return offset, stored size and size of a compressed blob on its own, else None."""
        cdef const uint8_t *at = self._place(row)
        if at == NULL or not at[7] & FLAG_COMPRESSED:
            return None
        return wt_load64(at + 8), wt_load64(at) & SIZE_MASK, wt_load64(at + 16)

    def raw_place(self, Py_ssize_t row):
        """Return offset and size of a blob on its own that is stored as it is, else None."""
        cdef const uint8_t *at = self._place(row)
        if at == NULL or at[7] & FLAG_COMPRESSED:
            return None
        return wt_load64(at + 8), wt_load64(at + 16)

    def sha1(self, Py_ssize_t row):
        """Return the hash of a row, 20 bytes."""
        self._check_row(row)
        return PyBytes_FromStringAndSize(<const char *>self._rows + row * ROW + HASH_AT, 20)

    def solid_index(self, Py_ssize_t row):
        """Return the position of the solid resource that holds a blob, or -1."""
        self._check_row(row)
        if self._solid_count == 0 or self._solid_of[row] == NO_ROW:
            return -1
        return self._solid_of[row]

    def rows_in_file_order(self):
        """Return the rows of blobs: those on their own by offset, then solid ones by place."""
        cdef Py_ssize_t count = 0
        cdef Py_ssize_t row
        cdef Range *ranges = <Range *>PyMem_Malloc((self.row_count + 1) * sizeof(Range))
        if ranges == NULL:
            raise MemoryError
        try:
            with nogil:
                for row in range(self.row_count):
                    if self._classes[row] & CLASS_MASK == C_BLOB:
                        ranges[count].row = <uint32_t>row
                        ranges[count].start = wt_load64(self._rows + row * ROW + 8)
                        ranges[count].solid = 0
                        if self._solid_count and self._solid_of[row] != NO_ROW:
                            ranges[count].solid = self._solid_of[row] + 1
                        count += 1
                qsort(ranges, count, sizeof(Range), compare_ranges)
            return [ranges[row].row for row in range(count)]
        finally:
            PyMem_Free(ranges)
