"""Files and folders of an image, written without a mount."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from tests.live import SAMPLE
from tests.mounting import mounted, wimtui, wimtui_json

if TYPE_CHECKING:
    from pathlib import Path


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha1(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink()
    }


def test_a_folder_is_what_a_mount_shows(tmp_path: Path) -> None:
    said = wimtui("extract", SAMPLE, "1", "/WINDOWS", "/setup.exe", "--dest-dir", tmp_path).stdout
    assert len(said.splitlines()) == 2
    with mounted(SAMPLE) as where:
        assert contents(tmp_path / "Windows") == contents(where / "Windows")
        assert (tmp_path / "setup.exe").read_bytes() == (where / "setup.exe").read_bytes()


def test_the_whole_image(tmp_path: Path) -> None:
    (result,) = wimtui_json("extract", SAMPLE, "2", "--dest-dir", tmp_path)["extracted"]
    assert result["file_count"] == len(
        [
            path
            for path in (tmp_path / "image-2").rglob("*")
            if path.is_symlink() or not path.is_dir()
        ]
    )


def test_what_is_not_there_or_in_the_way(tmp_path: Path) -> None:
    out = tmp_path / "out"
    said = wimtui("extract", SAMPLE, "1", "/nope", "--dest-dir", out, code=49).stderr
    assert "/nope" in said
    assert not out.exists()
    out.mkdir()
    (out / "setup.exe").write_text("mine")
    wimtui("extract", SAMPLE, "1", "/setup.exe", "--dest-dir", out, code=100)
    assert (out / "setup.exe").read_text() == "mine"
