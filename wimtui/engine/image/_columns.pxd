# cython: language_level=3
"""Layout of the columns: what the scan fills and the accessors, stat table and walker read."""

from libc.stddef cimport size_t
from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef enum:
    ATTRIBUTE_DIRECTORY = 0x10
    ATTRIBUTE_REPARSE_POINT = 0x400
    ATTRIBUTE_ENCRYPTED = 0x4000

    # Dentry.flags
    FLAG_DIRECTORY = 1      # a plain directory: `content.children` holds, not `content.sha1`
    FLAG_HIDDEN = 2         # in the image, but Linux cannot hold its name
    FLAG_SAME_NAME = 4      # equal to the previous sibling but for case
    FLAG_SYNTHETIC = 8      # made up for an image without a root

    # StreamRow.kind
    KIND_DATA = 0           # unnamed data of a reparse point; others keep theirs in the dentry
    KIND_NAMED = 1

    TYPE_DIRECTORY = 0o040000
    TYPE_REGULAR = 0o100000
    TYPE_SYMLINK = 0o120000

    WARNING_KINDS = 17
    WARNING_EXAMPLES = 64


cdef struct Children:
    uint32_t first
    uint32_t count
    uint32_t subdir_offset  # in the metadata resource


cdef union Content:
    uint8_t sha1[20]        # reparse data of a reparse point, EFS data if encrypted, else data
    Children children


cdef struct Dentry:         # 96 bytes
    uint64_t creation_time
    uint64_t access_time
    uint64_t write_time
    uint64_t group_or_reparse   # the union at 0x58 as stored
    uint32_t offset_in_metadata
    uint32_t parent
    uint32_t name_offset    # in Tables.names; the short name follows the name
    uint32_t name_nbytes
    uint32_t short_name_nbytes
    uint32_t attributes
    int32_t security_id     # -1: none
    uint32_t side           # index + 1 into Tables.sides; 0: none
    uint32_t ino
    uint32_t flags
    Content content
    uint32_t name_hash


cdef struct Side:           # only for dentries that have any of these
    uint32_t first_stream
    uint32_t stream_count
    uint32_t tagged_offset  # in Tables.tagged
    uint32_t tagged_nbytes
    uint32_t unknown_0x54


cdef struct StreamRow:
    uint32_t name_offset
    uint32_t name_nbytes
    uint32_t owner          # inode number
    uint8_t sha1[20]
    uint8_t kind


cdef struct WarningRow:
    uint32_t kind
    uint32_t parent         # dentry index of the directory concerned
    uint32_t offset_in_metadata


cdef struct Tables:
    Dentry *dentries
    uint32_t dentry_count
    uint32_t dentry_capacity
    uint32_t *first_dentry  # by inode number; entry 0 unused
    uint32_t *link_counts
    uint32_t inode_count
    uint8_t *names
    size_t names_nbytes
    size_t names_capacity
    Side *sides
    uint32_t side_count
    uint32_t side_capacity
    StreamRow *streams
    uint32_t stream_count
    uint32_t stream_capacity
    uint8_t *tagged
    size_t tagged_nbytes
    size_t tagged_capacity
    uint32_t *slots         # dentry index + 1; 0: free
    size_t slot_mask
    const uint16_t *upcase
    uint64_t secret
    uint64_t warning_counts[WARNING_KINDS]
    WarningRow warnings[WARNING_EXAMPLES]
    uint32_t warning_count


cdef class Columns:
    cdef Tables tables
    cdef object _upcase_owner

    cdef Dentry *row(self, Py_ssize_t dentry) except NULL
    cdef Dentry *inode_row(self, Py_ssize_t ino) except NULL
    cdef Side *side(self, Dentry *row) noexcept
    cdef Py_ssize_t find(self, uint32_t parent, const uint8_t *name, size_t nbytes,
                         bint ignore_case) noexcept nogil
    cdef Py_ssize_t _find_in_run(self, uint32_t head, uint16_t *units, Py_ssize_t count,
                                 const uint8_t *name, size_t nbytes,
                                 bint ignore_case) noexcept nogil


cdef inline uint32_t node_type(const Dentry *row) noexcept nogil:
    """Return the S_IFMT bits: links are what SYMLINK and MOUNT_POINT reparse points become."""
    cdef uint32_t tag
    if row.flags & FLAG_DIRECTORY:
        return TYPE_DIRECTORY
    if row.attributes & (ATTRIBUTE_REPARSE_POINT | ATTRIBUTE_ENCRYPTED) == ATTRIBUTE_REPARSE_POINT:
        tag = <uint32_t> row.group_or_reparse
        if tag == 0xA000000CU or tag == 0xA0000003U:
            return TYPE_SYMLINK
    if row.attributes & ATTRIBUTE_DIRECTORY:
        return TYPE_DIRECTORY
    return TYPE_REGULAR
