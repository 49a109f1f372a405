"""Extraction: what is written equals the image, and nothing is left where it stops."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from wimtui.engine.errors import CancelledError, NodeExistsError, WriteFailedError
from wimtui.service.browse import CancelToken, ImageSession
from wimtui.service.extract import extract

if TYPE_CHECKING:
    from wimtui.engine.progress import Progress

SAMPLE = Path(__file__).resolve().parents[2] / "tools" / "sample" / "sample.wim"


def test_a_whole_image(tmp_path: Path) -> None:
    seen: list[Progress] = []
    with ImageSession.open(str(SAMPLE), "2") as session:
        result = extract(session, 0, str(tmp_path), seen.append)
        top = Path(result.path)
        columns = session.metadata.columns
        for dentry, stored in session.metadata.walk():
            path = top / os.fsdecode(stored).lstrip("/")
            entry = session.entry(dentry)
            found = path.lstat()
            assert stat.S_IFMT(found.st_mode) == columns.node_type(dentry)
            assert found.st_mtime_ns // 100 == (entry.write_time - 116_444_736_000_000_000)
            if stat.S_ISREG(found.st_mode):
                assert found.st_size == entry.size
                assert found.st_nlink == entry.link_count
    assert result.skipped_count == 0
    assert seen[-1].bytes_done == result.nbytes
    assert list(tmp_path.iterdir()) == [top]


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    with ImageSession.open(str(SAMPLE), "2") as session:
        dentry = session.dentry_at("/setup.exe")
        assert dentry is not None
        extract(session, dentry, str(tmp_path))
        with pytest.raises(NodeExistsError):
            extract(session, dentry, str(tmp_path))


def test_nothing_is_left_after_a_cancel(tmp_path: Path) -> None:
    token = CancelToken()
    with ImageSession.open(str(SAMPLE), "2") as session, pytest.raises(CancelledError):
        extract(session, 0, str(tmp_path), lambda _: token.cancel(), token)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    with ImageSession.open(str(SAMPLE), "2") as session, pytest.raises(WriteFailedError):
        extract(session, 0, str(file))
