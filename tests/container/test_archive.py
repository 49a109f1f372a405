"""Archives: images by index or name, and the end of their threads and files."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from tests.container.builder import WimBuilder
from wimtui.engine.archive import Archive
from wimtui.engine.errors import NoSuchImageError, ReadFailedError

if TYPE_CHECKING:
    from pathlib import Path


def make_wim(folder: Path, *names: str) -> Path:
    builder = WimBuilder()
    for name in names:
        builder.add_image(b"metadata of " + name.encode(), name=name)
    return builder.build().write(folder / "a.wim")


def test_images_by_index_and_name(tmp_path: Path) -> None:
    arabic_two = "\N{ARABIC-INDIC DIGIT TWO}"
    ten_digits = "0000000001"
    with Archive.open(make_wim(tmp_path, "2", "one", arabic_two, ten_digits)) as archive:
        assert archive.find_image("2") == 2
        assert archive.find_image("one") == 2
        assert archive.find_image(arabic_two) == 3
        assert archive.find_image("000000001") == 1
        assert archive.find_image(ten_digits) == 4


@pytest.mark.parametrize(
    "image",
    ["0", "4", "9" * 5000, "0" * 5000 + "1", "\N{SUPERSCRIPT TWO}", "\N{THAI DIGIT ONE}", "1\n"],
)
def test_no_such_image(tmp_path: Path, image: str) -> None:
    with (
        Archive.open(make_wim(tmp_path, "a", "b", "c")) as archive,
        pytest.raises(NoSuchImageError) as raised,
    ):
        archive.find_image(image)
    assert len(str(raised.value)) < 1000


def test_threads_end_before_the_files_are_closed(tmp_path: Path) -> None:
    archive = Archive.open(make_wim(tmp_path, "a"))
    began = threading.Event()

    def read_late() -> bytes:
        began.set()
        while archive.loader.submit(len, "") is not None:
            threading.Event().wait(0.001)
        return archive.wim.file.read(0, 8, "header")

    task = archive.loader.submit(read_late)
    assert task is not None
    assert began.wait(20)
    archive.close()
    assert task.result(0) == b"MSWIM\0\0\0"
    with pytest.raises(ReadFailedError):
        archive.wim.file.read(0, 8, "header")
    archive.close()
