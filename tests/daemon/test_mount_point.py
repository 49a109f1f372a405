"""What a mount point that cannot be used is refused with."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from wimtui.daemon.mount_point import MountPointError, reserved
from wimtui.engine.fuse.session import _way_out

if TYPE_CHECKING:
    from pathlib import Path


def refusal(path: Path) -> MountPointError:
    """What is said of a path."""
    with (
        pytest.raises(MountPointError) as caught,
        reserved(path, may_hide_files=False, own=()),
    ):
        pass
    return caught.value


@pytest.mark.skipif(os.geteuid() == 0, reason="root may look into every folder")
def test_a_folder_that_may_not_be_read(tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir(mode=0)
    try:
        error = refusal(folder)
    finally:
        folder.chmod(0o700)
    assert error.message == "the mount point cannot be used: Permission denied"
    assert error.hint == "choose a folder of your own"


def test_a_path_that_leads_nowhere(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    assert "the mount point cannot be used: " in refusal(loop).message


def test_a_folder_that_is_missing(tmp_path: Path) -> None:
    error = refusal(tmp_path / "none")
    assert error.hint == f"mkdir {tmp_path / 'none'}"


@pytest.mark.parametrize(
    ("said", "way"),
    [
        (
            "fusermount3: option allow_other only allowed if 'user_allow_other' is set in"
            " /etc/fuse.conf",
            "root may write that line there",
        ),
        ("fusermount3: user has no write access to mountpoint /srv", "a folder of your own"),
        ("fusermount3: mountpoint /var/tmp not owned by user", "a folder of your own"),
        ("fuse: failed to open /dev/fuse: Permission denied", "ask root"),
    ],
)
def test_a_refusal_of_libfuse_says_what_to_do(said: str, way: str) -> None:
    assert way in str(_way_out(said))
    assert _way_out("fuse: unknown option(s): `-o blah'") is None
