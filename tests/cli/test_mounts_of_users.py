"""``wimtui mounts`` says whose a mount is where that is not plain."""

from __future__ import annotations

import os
import re
from argparse import Namespace

import pytest

from wimtui.cli.commands import mounts as command
from wimtui.service import mounts
from wimtui.service.mounts import MountStatus, MountSummary

NO_USER = 4_000_000_000


def mount_of(uid: int) -> MountSummary:
    """A mount of a user."""
    return MountSummary(
        mount_id="0123456789abcdef",
        wim_path="/their/a.wim",
        image_index=1,
        image_name="Image",
        mount_point="/their/mount",
        mode="ro",
        status=MountStatus.OK,
        detail="",
        alive=True,
        pid=77,
        uid=uid,
        created=0.0,
        staging_path="",
    )


@pytest.mark.parametrize(
    ("uids", "shown"),
    [
        ((), []),
        ((os.geteuid(),), [["MOUNT POINT", "STATUS", "MODE"], ["/their/mount", "ok", "ro"]]),
        (
            (NO_USER, -1),
            [
                ["MOUNT POINT", "USER", "STATUS"],
                ["/their/mount", str(NO_USER), "ok"],
                ["/their/mount", "?", "ok"],
            ],
        ),
    ],
    ids=["none", "own", "others"],
)
def test_whose_a_mount_is(
    uids: tuple[int, ...],
    shown: list[list[str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(mounts, "list_mounts", lambda: tuple(map(mount_of, uids)))
    assert command.run(Namespace(json=False)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [re.split(r" {2,}", line)[:3] for line in lines] == shown
