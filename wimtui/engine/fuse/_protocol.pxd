# cython: language_level=3
"""The kernel's side of FUSE: structures of linux/fuse.h, and attributes in its form."""

from cpython.tuple cimport PyTuple_Check, PyTuple_GET_ITEM, PyTuple_GET_SIZE
from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t

cdef extern from "<linux/fuse.h>" nogil:
    struct fuse_in_header:
        uint32_t len
        uint32_t opcode
        uint64_t unique
        uint64_t nodeid

    struct fuse_out_header:
        uint32_t len
        int error
        uint64_t unique

    struct fuse_init_in:
        uint32_t major
        uint32_t minor
        uint32_t max_readahead
        uint32_t flags

    struct fuse_init_out:
        uint32_t major
        uint32_t minor
        uint32_t max_readahead
        uint32_t flags
        uint32_t max_write
        uint32_t time_gran
        uint16_t max_pages

    struct fuse_attr:
        uint64_t ino
        uint64_t size
        uint64_t blocks
        uint64_t atime
        uint64_t mtime
        uint64_t ctime
        uint32_t atimensec
        uint32_t mtimensec
        uint32_t ctimensec
        uint32_t mode
        uint32_t nlink
        uint32_t uid
        uint32_t gid
        uint32_t rdev
        uint32_t blksize

    struct fuse_entry_out:
        uint64_t nodeid
        uint64_t entry_valid
        uint64_t attr_valid
        fuse_attr attr

    struct fuse_attr_out:
        uint64_t attr_valid
        fuse_attr attr

    struct fuse_open_in:
        uint32_t flags

    struct fuse_open_out:
        uint64_t fh
        uint32_t open_flags

    struct fuse_release_in:
        uint64_t fh

    struct fuse_read_in:
        uint64_t fh
        uint64_t offset
        uint32_t size

    struct fuse_getxattr_in:
        uint32_t size

    struct fuse_getxattr_out:
        uint32_t size

    struct fuse_kstatfs:
        uint64_t blocks
        uint64_t bfree
        uint64_t bavail
        uint64_t files
        uint64_t ffree
        uint32_t bsize
        uint32_t namelen
        uint32_t frsize

    struct fuse_statfs_out:
        fuse_kstatfs st

    struct fuse_dirent:
        uint64_t ino
        uint64_t off
        uint32_t namelen
        uint32_t type
        char name[1]

    struct fuse_direntplus:
        fuse_entry_out entry_out
        fuse_dirent dirent

    enum:
        FUSE_KERNEL_VERSION
        FUSE_MIN_READ_BUFFER
        FUSE_NAME_OFFSET_DIRENTPLUS
        FUSE_ASYNC_READ
        FUSE_DO_READDIRPLUS
        FUSE_NO_OPEN_SUPPORT
        FUSE_PARALLEL_DIROPS
        FUSE_MAX_PAGES
        FUSE_CACHE_SYMLINKS
        FUSE_NO_OPENDIR_SUPPORT
        FOPEN_KEEP_CACHE
        FOPEN_CACHE_DIR
        FUSE_LOOKUP
        FUSE_FORGET
        FUSE_GETATTR
        FUSE_SETATTR
        FUSE_READLINK
        FUSE_SYMLINK
        FUSE_MKNOD
        FUSE_MKDIR
        FUSE_UNLINK
        FUSE_RMDIR
        FUSE_RENAME
        FUSE_LINK
        FUSE_OPEN
        FUSE_READ
        FUSE_WRITE
        FUSE_STATFS
        FUSE_RELEASE
        FUSE_SETXATTR
        FUSE_GETXATTR
        FUSE_LISTXATTR
        FUSE_REMOVEXATTR
        FUSE_FLUSH
        FUSE_INIT
        FUSE_OPENDIR
        FUSE_RELEASEDIR
        FUSE_CREATE
        FUSE_DESTROY
        FUSE_BATCH_FORGET
        FUSE_FALLOCATE
        FUSE_READDIRPLUS
        FUSE_RENAME2

cdef extern from "Python.h":
    long long PyLong_AsLongLongAndOverflow(object, int *overflow) except? -1


cdef inline int set_time(uint64_t *seconds, uint32_t *nanoseconds, object time_ns) except -1:
    """Part a time; beyond 1677 and 2262 nanoseconds outgrow 64 bits, the seconds do not."""
    cdef int overflow
    cdef int64_t value = PyLong_AsLongLongAndOverflow(time_ns, &overflow)
    cdef int64_t whole, rest
    if overflow:
        whole = time_ns // 1_000_000_000
        rest = time_ns % 1_000_000_000
    else:
        whole = value // 1_000_000_000
        rest = value - whole * 1_000_000_000
        if rest < 0:
            whole -= 1
            rest += 1_000_000_000
    seconds[0] = <uint64_t> whole
    nanoseconds[0] = <uint32_t> rest
    return 0


cdef inline int set_attr(fuse_attr *attr, object node) except -1:
    """Fill in what stat(2) shows of a node, from a ``NodeAttributes``."""
    if not PyTuple_Check(node) or PyTuple_GET_SIZE(node) != 11:
        raise TypeError(f"{node!r} are no attributes")
    attr.ino = <object> PyTuple_GET_ITEM(node, 0)
    attr.mode = <object> PyTuple_GET_ITEM(node, 1)
    attr.nlink = <object> PyTuple_GET_ITEM(node, 2)
    attr.uid = <object> PyTuple_GET_ITEM(node, 3)
    attr.gid = <object> PyTuple_GET_ITEM(node, 4)
    attr.rdev = <object> PyTuple_GET_ITEM(node, 5)
    attr.size = <object> PyTuple_GET_ITEM(node, 6)
    attr.blocks = <object> PyTuple_GET_ITEM(node, 7)
    attr.blksize = 4096
    set_time(&attr.atime, &attr.atimensec, <object> PyTuple_GET_ITEM(node, 8))
    set_time(&attr.mtime, &attr.mtimensec, <object> PyTuple_GET_ITEM(node, 9))
    set_time(&attr.ctime, &attr.ctimensec, <object> PyTuple_GET_ITEM(node, 10))
    return 0
