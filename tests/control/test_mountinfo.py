"""The table of mounts, made up and real."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from wimtui.control.mountinfo import MountTable, unescape
from wimtui.control.registry import resolved_mount_point

if TYPE_CHECKING:
    from collections.abc import Iterator

TABLE = """\
22 27 0:21 / /proc rw,relatime - proc proc rw
36 35 98:0 /mnt1 /mnt2 rw,noatime shared:1 master:2 - ext3 /dev/root rw,errors=continue
40 22 0:50 / /mnt/a\\040b\\134c\\011d\\012e rw,nosuid - fuse.wimtui /x\\040y.wim rw,user_id=1000
41 40 0:51 / /mnt/a\\040b\\134c\\011d\\012e ro - tmpfs none rw
42 22 0:50 / /bind rw - fuse.wimtui /x\\040y.wim rw,user_id=1000,group_id=1000
43 22 0:52 / /short rw - autofs none
broken
1 2
x 22 0:53 / /bad rw - proc proc rw
"""


def test_fields() -> None:
    table = MountTable.parse(TABLE)
    assert [mount.kernel_mount_id for mount in table.mounts] == [22, 36, 40, 41, 42, 43]
    mount = table.mounts[2]
    assert mount.mount_point == "/mnt/a b\\c\td\ne"
    assert (mount.source, mount.fs_type, mount.is_wimtui) == ("/x y.wim", "fuse.wimtui", True)
    assert (mount.device, mount.parent_id, mount.user_id) == ("0:50", 22, 1000)
    assert table.mounts[1].root == "/mnt1"
    assert table.mounts[1].user_id is None
    assert table.mounts[5].super_options == ()


def test_the_topmost_mount_is_the_visible_one() -> None:
    table = MountTable.parse(TABLE)
    at = table.at("/mnt/a b\\c\td\ne")
    assert at is not None
    assert at.fs_type == "tmpfs"
    assert table.at("/elsewhere") is None
    assert [mount.mount_point for mount in table.of_device("0:50")][1] == "/bind"


def test_escapes() -> None:
    assert unescape(r"a\040b\134040") == "a b\\040"
    assert unescape("\\9 \\04") == "\\9 \\04"


def test_the_real_table_has_proc() -> None:
    # In a chroot no mount need be at the root.
    assert MountTable.read().at("/proc") is not None
    assert MountTable.read(os.getpid()).mounts == MountTable.read().mounts


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    # Every byte that the kernel escapes, one that is no UTF-8, and a line end of Unicode.
    point = Path(os.fsdecode(os.fsencode(tmp_path) + b"/a b\\c\td\ne#\xff\xe2\x80\xa8"))
    point.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "none", point],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        pytest.skip(f"cannot mount: {done.stderr.strip()}")
    yield point
    subprocess.run(["umount", point], check=True)


def test_a_real_mount(mounted: Path) -> None:
    mount = MountTable.read().at(str(mounted))
    assert mount is not None
    assert mount.fs_type == "tmpfs"
    device = mounted.stat().st_dev
    assert mount.device == f"{os.major(device)}:{os.minor(device)}"
    link = mounted.parent / "link"
    link.symlink_to(mounted)
    assert resolved_mount_point(str(link)) == str(mounted)
    assert resolved_mount_point(f"{mounted}/../{mounted.name}/") == str(mounted)


def test_real_bind_mounts_share_the_device(mounted: Path) -> None:
    other = mounted.parent / "bind"
    other.mkdir()
    subprocess.run(["mount", "--bind", mounted, other], check=True)
    try:
        table = MountTable.read()
        mount = table.at(str(mounted))
        assert mount is not None
        points = {one.mount_point for one in table.of_device(mount.device)}
        assert points == {str(mounted), str(other)}
    finally:
        subprocess.run(["umount", other], check=True)
