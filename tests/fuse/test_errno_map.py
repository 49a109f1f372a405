"""Every engine error has a number that the kernel takes."""

from __future__ import annotations

import errno
import os
import re
from typing import TYPE_CHECKING

import pytest

from wimtui.engine import errors
from wimtui.engine.fuse import session
from wimtui.engine.fuse.errno_map import Refusal, errno_of

if TYPE_CHECKING:
    from collections.abc import Iterator


def all_errors(root: type[errors.WimError] = errors.WimError) -> Iterator[type[errors.WimError]]:
    yield root
    for child in root.__subclasses__():
        yield from all_errors(child)


@pytest.mark.parametrize("kind", sorted(set(all_errors()), key=str))
def test_every_engine_error_has_a_number_that_harms_nothing(kind: type[errors.WimError]) -> None:
    number = errno_of(kind("text"))

    assert number in errno.errorcode
    assert number != errno.ENOSYS, "the kernel would stop sending that request"


@pytest.mark.parametrize(
    "kind", [kind for kind in all_errors(errors.NodeError) if kind is not errors.NodeError]
)
def test_errors_about_nodes_say_the_number_in_their_docstring(
    kind: type[errors.WimError],
) -> None:
    named = re.search(r"\((E[A-Z0-9]+)\)", kind.__doc__ or "")

    assert named is not None
    assert errno_of(kind("text")) == getattr(errno, named[1])


@pytest.mark.parametrize(
    "kind",
    [
        errors.CorruptResourceError,
        errors.BlobHashError,
        errors.MissingBlobError,
        errors.MetadataError,
        errors.ReadFailedError,
        errors.LimitError,
        session.MountFailedError,
    ],
)
def test_what_is_wrong_with_the_archive_is_an_input_output_error(
    kind: type[errors.WimError],
) -> None:
    assert errno_of(kind("text")) == errno.EIO


def test_a_full_disk_behind_a_failed_write_is_told() -> None:
    error = errors.WriteFailedError("cannot write")
    error.__cause__ = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    assert errno_of(error) == errno.ENOSPC


@pytest.mark.parametrize("number", [errno.ENOENT, errno.ENOSYS, errno.EBADF, errno.EACCES])
def test_what_the_disk_says_about_the_archive_is_not_said_about_the_file(number: int) -> None:
    assert errno_of(OSError(number, "text")) == errno.EIO


def test_an_exception_nobody_planned_is_an_input_output_error() -> None:
    assert errno_of(ZeroDivisionError()) == errno.EIO


def test_a_stored_refusal_does_not_gather_tracebacks() -> None:
    refusal = Refusal(errno.ENODATA)
    depths = []
    for _ in range(3):
        try:
            raise refusal.fresh()
        except Exception as error:
            depth, trace = 0, error.__traceback__
            while trace is not None:
                depth, trace = depth + 1, trace.tb_next
            depths.append(depth)

    assert depths == [1, 1, 1]
