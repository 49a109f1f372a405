"""The one writer of standard error, and what a process exits with."""

from __future__ import annotations

import errno
import os
import re
import sys
from contextlib import contextmanager
from enum import IntEnum
from typing import TYPE_CHECKING

from wimtui.control.errors import ControlError
from wimtui.engine.errors import WimError

if TYPE_CHECKING:
    from collections.abc import Iterator


class ExitCode(IntEnum):
    """One number per cause. Those up to 91 are wimlib-imagex's; docs/EXIT_CODES.md explains all."""

    SUCCESS = 0
    LOCKED = 1
    CORRUPT_DATA = 2
    FUSE_FAILURE = 6
    GLOB_WITHOUT_MATCHES = 8
    IMAGE_COUNT = 10
    IMAGE_NAME_TAKEN = 11
    INTEGRITY = 13
    CHUNK_SIZE = 15
    COMPRESSION_TYPE = 16
    HEADER = 17
    NO_SUCH_IMAGE = 18
    INTEGRITY_TABLE = 19
    BLOB_TABLE = 20
    METADATA = 21
    BAD_ARGUMENT = 24
    PART_NUMBER = 25
    PIPABLE = 26
    REPARSE_DATA = 27
    BLOB_HASH = 28
    NAME_ENCODING = 31
    IS_A_DIRECTORY = 32
    NO_METADATA = 36
    MESSAGE_QUEUE = 38
    OUT_OF_MEMORY = 39
    NOT_A_DIRECTORY = 40
    DIRECTORY_NOT_EMPTY = 41
    NOT_A_WIM = 43
    OPEN = 47
    NO_SUCH_PATH = 49
    READ = 50
    READ_LINK = 51
    MISSING_BLOB = 55
    TRUNCATED = 65
    UNKNOWN_VERSION = 67
    UNSUPPORTED = 68
    READ_ONLY_WIM = 71
    WRITE = 72
    XML = 73
    ENCRYPTED = 74
    CANCELLED = 76
    BUSY = 79
    NOT_A_MOUNT = 80
    NOT_PERMITTED = 81
    INCOMPLETE = 84
    CHANGED_MEANWHILE = 88
    FAILED = 100
    DAEMON_GONE = 101
    TIMEOUT = 102
    DAEMON_START = 103
    REGISTRY = 104
    MALFORMED_MESSAGE = 105
    PROTOCOL_VERSION = 106
    MOUNT_POINT = 107
    INTERRUPTED = 130
    BROKEN_PIPE = 141
    USAGE = 255


_BY_ERRNO = {
    errno.ENOENT: ExitCode.OPEN,
    errno.EACCES: ExitCode.OPEN,
    errno.EISDIR: ExitCode.IS_A_DIRECTORY,
    errno.ENOTDIR: ExitCode.NOT_A_DIRECTORY,
    errno.EBUSY: ExitCode.BUSY,
    errno.EPERM: ExitCode.NOT_PERMITTED,
    errno.EIO: ExitCode.READ,
    errno.ENOSPC: ExitCode.WRITE,
}


_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def shown(text: str) -> str:
    """Return text without control characters: a name in a WIM must not command a terminal."""
    return _CONTROL.sub(lambda match: ascii(match[0])[1:-1], text)


def say(message: str) -> None:
    """Write one line to standard error."""
    print(f"wimtui: {shown(message)}", file=sys.stderr)


def exit_code(error: BaseException) -> int:
    """Return the number for a failure the user is told about."""
    if isinstance(error, WimError | ControlError):
        return error.code
    if isinstance(error, OSError):
        return _BY_ERRNO.get(error.errno or 0, ExitCode.FAILED)
    return ExitCode.FAILED


def describe(error: BaseException) -> str:
    """Return one line: what, where and what to do."""
    if isinstance(error, OSError) and error.strerror:
        where = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
        return where + error.strerror
    return str(error)


@contextmanager
def reported() -> Iterator[None]:
    """Turn a user's failure into one line and an exit; bugs keep their traceback."""
    try:
        yield
        sys.stdout.flush()
    except (WimError, ControlError) as error:
        say(describe(error))
        sys.exit(exit_code(error))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(ExitCode.BROKEN_PIPE)
    except OSError as error:
        say(describe(error))
        sys.exit(exit_code(error))
