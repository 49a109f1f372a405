"""Handles, lookup counts, attributes, the list of mounts, and what is logged."""

from __future__ import annotations

import errno
import logging
import stat
from pathlib import Path

import pytest
from pyfuse3 import FUSEError

from wimtui.engine.errors import CorruptResourceError, NodeNotFoundError
from wimtui.engine.fuse import failures as failures_module
from wimtui.engine.fuse.attributes import entry_attributes, negative_entry
from wimtui.engine.fuse.failures import Failures, LogLimit
from wimtui.engine.fuse.handles import HandleTable
from wimtui.engine.fuse.lookup_counts import LookupCounts
from wimtui.engine.fuse.mount_info import find_mount, parse_mount_info
from wimtui.engine.tree import Ino, NodeAttributes


def test_handles_count_opens_by_inode_and_are_never_reused() -> None:
    table: HandleTable[str] = HandleTable()
    first, second, other = table.add(Ino(7), "a"), table.add(Ino(7), "b"), table.add(Ino(8), "c")

    assert table.open_inodes() == {7: 2, 8: 1}
    assert (table.get(second), table.ino(other)) == ("b", 8)
    assert table.remove(first) == "a"
    assert table.open_inodes() == {7: 1, 8: 1}
    assert table.add(Ino(9), "d") not in {first, second, other}
    assert sorted(table.drain()) == ["b", "c", "d"]
    assert (len(table), table.open_inodes()) == (0, {})


def test_an_unknown_handle_is_a_bad_descriptor() -> None:
    table: HandleTable[str] = HandleTable()

    for use in (table.get, table.ino, table.remove):
        with pytest.raises(FUSEError) as caught:
            use(5)
        assert caught.value.errno == errno.EBADF


def test_lookups_are_counted_until_all_are_forgotten() -> None:
    counts = LookupCounts()
    for ino in (2, 2, 3):
        counts.add(Ino(ino))

    assert counts.forget([(Ino(2), 1), (Ino(3), 1)]) == [3]
    assert Ino(2) in counts
    assert counts.known() == [2]
    assert counts.forget([(Ino(2), 5)]) == [2]
    assert counts.forget([(Ino(2), 1)]) == []
    assert len(counts) == 0


@pytest.mark.parametrize(
    "time_ns", [-11_644_473_600_000_000_000, -100, 0, 253_402_300_799_999_999_900]
)
def test_attributes_keep_every_field_and_times_before_1970(time_ns: int) -> None:
    node = NodeAttributes(
        Ino(1 << 40), stat.S_IFREG | 0o640, 3, 1000, 1001, 259, 1 << 42, 77, time_ns, time_ns + 1, 2
    )
    entry = entry_attributes(node, 12.5)

    assert NodeAttributes(
        Ino(entry.st_ino), entry.st_mode, entry.st_nlink, entry.st_uid, entry.st_gid,
        entry.st_rdev, entry.st_size, entry.st_blocks,
        entry.st_atime_ns, entry.st_mtime_ns, entry.st_ctime_ns,
    ) == node  # fmt: skip
    assert (entry.entry_timeout, entry.attr_timeout, entry.generation) == (12.5, 12.5, 0)


def test_absence_is_inode_zero_with_a_timeout() -> None:
    entry = negative_entry(9.0)

    assert (entry.st_ino, entry.entry_timeout) == (0, 9.0)


def test_the_list_of_mounts_is_read_with_its_escapes() -> None:
    text = (
        "36 35 98:0 / /mnt rw,noatime master:1 - ext3 /dev/root rw\n"
        r"42 27 0:39 / /tmp/a\040b ro,nosuid - fuse.wim /x\134y.wim ro,user_id=0"
        "\n"
    )
    mounts = parse_mount_info(text)

    assert [mount.device for mount in mounts] == ["98:0", "0:39"]
    assert (mounts[1].mount_point, mounts[1].fs_type, mounts[1].source) == (
        "/tmp/a b", "fuse.wim", "/x\\y.wim"
    )  # fmt: skip


def test_what_is_mounted_is_found_without_touching_it() -> None:
    proc = find_mount(Path("/proc"))

    assert proc is not None
    assert proc.fs_type == "proc"
    assert find_mount(Path("/proc/no/such/mount")) is None


def test_an_ordinary_answer_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    failures = Failures()

    assert failures.translate("lookup", NodeNotFoundError("no such name")).errno == errno.ENOENT
    assert not caplog.records
    assert (failures.data_errors, failures.bugs) == (0, 0)


def test_corrupt_data_is_one_line_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    limit = LogLimit(lambda: now)
    failures = Failures(limit)
    error = CorruptResourceError("chunk 7 cannot be decoded", structure="blob 12ab")
    for _ in range(5):
        assert failures.translate("read", error).errno == errno.EIO

    assert [record.getMessage() for record in caplog.records] == [
        "read: blob 12ab: chunk 7 cannot be decoded"
    ]
    assert caplog.records[0].levelno == logging.WARNING
    assert (failures.data_errors, limit.suppressed) == (5, 4)

    now = failures_module.QUIET_SECONDS
    failures.translate("read", error)
    assert len(caplog.records) == 2


def test_a_disk_full_of_errors_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    failures = Failures(LogLimit(lambda: 0.0))
    for chunk in range(1000):
        failures.translate("read", CorruptResourceError(f"chunk {chunk}"))

    assert len(caplog.records) == failures_module.LINES_A_PERIOD


def test_a_bug_is_logged_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    failures = Failures()
    with pytest.raises(KeyError) as caught:
        raise KeyError("oops")

    assert failures.translate("getattr", caught.value).errno == errno.EIO
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None
    assert failures.bugs == 1
