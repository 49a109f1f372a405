"""Bulk files: private, read once, and no way to make root read or delete something else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wimtui.control.bulk import BulkFolder, take_bulk
from wimtui.control.errors import ControlError, MessageTooLargeError
from wimtui.control.protocol import (
    MAX_MESSAGE_NBYTES,
    ErrorReply,
    OkReply,
    Reply,
    StatusReply,
)
from wimtui.control.wire import Envelope, decode, encode

UID = os.geteuid()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "bulk"


def test_a_file_is_private_and_read_once(folder: Path) -> None:
    path = BulkFolder(folder).store(b"payload")
    assert Path(path).stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700
    assert take_bulk(path, folder, UID) == b"payload"
    assert list(folder.iterdir()) == []
    with pytest.raises(ControlError, match="cannot be read"):
        take_bulk(path, folder, UID)


@pytest.mark.parametrize(
    "reply",
    [
        StatusReply(wim_path="/é" * 2048, mount_point="/b" * 2048, data={"k": "v" * 3000}),
        OkReply(data={str(n): "v" * 50 for n in range(500)}),
    ],
)
def test_large_replies_are_spilled(folder: Path, reply: Reply) -> None:
    fitted = BulkFolder(folder).fit(reply)
    encoded = encode(Envelope(fitted, 2**60, reply_to=""))
    assert len(encoded) <= MAX_MESSAGE_NBYTES
    assert fitted.spilled
    assert decode(take_bulk(fitted.bulk_path, folder, UID)).message == reply


def test_what_fits_is_left_alone(folder: Path) -> None:
    bulk = BulkFolder(folder)
    for reply in (OkReply(), StatusReply(), ErrorReply(text="x" * 5000)):
        assert bulk.fit(reply) is reply
    assert not folder.exists()
    with pytest.raises(MessageTooLargeError):
        bulk.fit(OkReply(bulk_path="/x", data={"k": "v" * 3000}))


def test_nothing_outside_the_folder_is_taken(folder: Path, tmp_path: Path) -> None:
    BulkFolder(folder).store(b"")
    secret = tmp_path / "secret"
    secret.write_text("secret", encoding="ascii")
    (folder / "link").symlink_to(secret)
    (folder / "hard").hardlink_to(secret)
    (folder / "folder").mkdir()
    os.mkfifo(folder / "fifo")
    names = (secret, folder / ".." / "secret", folder / "..", *folder.glob("[a-z]*[k-r]"))
    for path in (*names, folder / "hard"):
        with pytest.raises(ControlError):
            take_bulk(str(path), folder, UID)
    assert secret.exists()
    assert (folder / "hard").exists()


def test_nothing_of_another_user_is_taken(folder: Path) -> None:
    path = BulkFolder(folder).store(b"payload")
    with pytest.raises(ControlError, match="another user's"):
        take_bulk(path, folder, UID + 1)
    if UID == 0:
        os.chown(folder, 1, -1)
        with pytest.raises(ControlError, match="not its own"):
            take_bulk(path, folder, 1)
    assert Path(path).exists()


def test_a_folder_that_is_a_link_is_not_followed(folder: Path, tmp_path: Path) -> None:
    path = BulkFolder(tmp_path / "real").store(b"payload")
    folder.symlink_to(tmp_path / "real")
    with pytest.raises(ControlError, match="cannot be read"):
        take_bulk(str(folder / Path(path).name), folder, UID)


def test_close_removes_what_nobody_fetched(folder: Path) -> None:
    bulk = BulkFolder(folder)
    bulk.store(b"x")
    bulk.close()
    assert not folder.exists()
