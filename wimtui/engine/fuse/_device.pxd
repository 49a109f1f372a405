# cython: language_level=3
"""The FUSE device: a request read, a reply written."""

from libc.errno cimport EAGAIN, ECONNABORTED, EINTR, ENODEV, ENOENT, errno
from libc.stdint cimport uint32_t, uint64_t
from posix.unistd cimport read

from wimtui.engine.fuse._protocol cimport fuse_out_header

cdef extern from "<poll.h>" nogil:
    struct pollfd:
        int fd
        short events
        short revents
    int poll(pollfd *, unsigned long, int)
    enum:
        POLLIN

cdef extern from "<sys/uio.h>" nogil:
    struct iovec:
        void *iov_base
        size_t iov_len
    Py_ssize_t writev(int, const iovec *, int)

cdef enum:
    # Large enough for every request of a mount that nobody writes to.
    REQUEST_ROOM = 1 << 17
    WOKEN = -1000000


cdef inline Py_ssize_t receive(int fd, int wake_fd, char *buffer) noexcept nogil:
    """Return the next request's size, a negative errno, or WOKEN."""
    cdef pollfd watched[2]
    cdef Py_ssize_t nbytes
    watched[0].fd = fd
    watched[0].events = POLLIN
    watched[1].fd = wake_fd
    watched[1].events = POLLIN
    while True:
        nbytes = read(fd, buffer, REQUEST_ROOM)
        if nbytes >= 0:
            return nbytes
        if errno == EINTR or errno == ENOENT:
            # ENOENT: whoever asked was killed.
            continue
        if errno != EAGAIN:
            return -errno
        if poll(watched, 2, -1) > 0 and watched[1].revents:
            return WOKEN


cdef inline int reply(
    int fd, uint64_t unique, int error, const char *data, size_t nbytes
) noexcept nogil:
    """Answer a request; 0 or an errno. That the kernel has given the request up is no error."""
    cdef fuse_out_header header
    cdef iovec pieces[2]
    header.len = <uint32_t> (sizeof(header) + nbytes)
    header.error = -error
    header.unique = unique
    pieces[0].iov_base = &header
    pieces[0].iov_len = sizeof(header)
    pieces[1].iov_base = <void *> data
    pieces[1].iov_len = nbytes
    if writev(fd, pieces, 2 if nbytes else 1) >= 0:
        return 0
    if errno == ENOENT or errno == ENODEV or errno == ECONNABORTED:
        return 0
    return errno
