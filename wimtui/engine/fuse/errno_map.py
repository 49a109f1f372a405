"""Engine errors as errno: the one place where they meet.

What the kernel gets is a number; what the log gets is decided in ``failures``.
"""

from __future__ import annotations

import errno
from typing import Final

from pyfuse3 import FUSEError

from wimtui.engine import errors

_ERRNO_BY_TYPE: Final[dict[type[errors.WimError], int]] = {
    errors.WimError: errno.EIO,
    errors.UsageError: errno.EINVAL,
    errors.EncryptedError: errno.EACCES,
    errors.UnsupportedError: errno.EOPNOTSUPP,
    errors.ReadOnlyWimError: errno.EROFS,
    errors.LockedError: errno.EBUSY,
    errors.CancelledError: errno.EINTR,
    errors.NodeNotFoundError: errno.ENOENT,
    errors.NodeExistsError: errno.EEXIST,
    errors.NotADirectoryNodeError: errno.ENOTDIR,
    errors.IsADirectoryNodeError: errno.EISDIR,
    errors.DirectoryNotEmptyError: errno.ENOTEMPTY,
    errors.NotALinkError: errno.EINVAL,
    errors.NoSuchAttributeError: errno.ENODATA,
    errors.AttributeExistsError: errno.EEXIST,
    errors.AttributeTooLargeError: errno.E2BIG,
    errors.StreamsDisabledError: errno.EOPNOTSUPP,
    errors.EncryptedNodeError: errno.EACCES,
    errors.InvalidNameError: errno.EINVAL,
    errors.NameEncodingError: errno.EILSEQ,
    errors.NameTooLongError: errno.ENAMETOOLONG,
    errors.NotPermittedError: errno.EPERM,
    errors.NotSupportedNodeError: errno.EOPNOTSUPP,
    errors.StaleNodeError: errno.ESTALE,
}

# What a full or broken disk below says, and what the caller can act on. Anything else becomes EIO:
# an ENOENT about the archive would read as an ENOENT about the file in it, and ENOSYS would make
# the kernel stop sending that request for good.
_PASSED_ON: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ENOMEM, errno.EINTR})


def errno_of(error: Exception) -> int:
    """Return what the kernel is told about an error; EIO where nothing says more.

    The nearest class decides. An error without a class of its own that was caused by an OSError,
    such as a failed write, tells that one's number if the caller can act on it.
    """
    for kind in type(error).__mro__:
        if kind is errors.WimError:
            break
        if kind in _ERRNO_BY_TYPE:
            return _ERRNO_BY_TYPE[kind]
    cause = error if isinstance(error, OSError) else error.__cause__
    if isinstance(cause, OSError) and cause.errno in _PASSED_ON:
        return int(cause.errno)
    return errno.EIO


class Refusal:
    """One FUSEError made once, for answers given thousands of times a second.

    Raising a stored exception appends to its traceback every time, and so keeps every frame alive;
    hence ``fresh``, which is still a quarter cheaper (131 ns) than making and raising one (175 ns).
    """

    __slots__ = ("_error",)

    def __init__(self, number: int) -> None:
        self._error = FUSEError(number)

    def fresh(self) -> FUSEError:
        """Return the error without the traceback of the last time."""
        return self._error.with_traceback(None)
