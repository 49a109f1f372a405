"""Which files are decoded ahead, and when that ends."""

from __future__ import annotations

from tests.image.fake_blobs import FakeBlobs
from tests.image.raw_metadata import ENCRYPTED, Raw, build, directory
from wimtui.engine.image.blobs import EMPTY_SHA1
from wimtui.engine.image.metadata import ImageMetadata
from wimtui.engine.image.view import ImageView
from wimtui.engine.tree import Ino

COUNT = 200


def view_of_files(blobs: FakeBlobs) -> ImageView:
    files = [Raw(f"file{n:03}", sha1=blobs.add(b"content %d" % n)) for n in range(COUNT)]
    return ImageView(ImageMetadata.parse(build(directory("", *files))), blobs)


def hashes_of(blobs: FakeBlobs, first: int, last: int) -> list[bytes]:
    return list(blobs.contents)[first : last + 1]


def test_files_opened_in_order_have_the_next_ones_decoded() -> None:
    blobs = FakeBlobs()
    view = view_of_files(blobs)
    for number in range(3):
        view.open_file(Ino(2 + number))
    assert blobs.loaded_ahead == []
    view.open_file(Ino(5))
    assert blobs.loaded_ahead == hashes_of(blobs, 4, 35)
    for number in range(4, COUNT):
        view.open_file(Ino(2 + number))
    # Each once, and the nodes beyond the last one not at all.
    assert blobs.loaded_ahead == hashes_of(blobs, 4, COUNT - 1)


def test_gaps_are_stepped_over_and_leaps_end_it() -> None:
    blobs = FakeBlobs()
    view = view_of_files(blobs)
    for ino in (2, 5, 18, 20):
        view.open_file(Ino(ino))
    assert blobs.loaded_ahead == hashes_of(blobs, 19, 50)
    assert blobs.is_wanted is not None
    assert blobs.is_wanted()
    view.open_file(Ino(150))
    assert not blobs.is_wanted()
    for ino in (140, 130, 120, 110, 100, 90):
        view.open_file(Ino(ino))
    assert len(blobs.loaded_ahead) == 32


def test_files_opened_and_not_read_are_no_reason() -> None:
    class Unread(FakeBlobs):
        def open(self, sha1: bytes) -> object:  # type: ignore[override]
            file = super().open(sha1)
            file.was_read = False  # type: ignore[attr-defined]
            return file

    blobs = Unread()
    view = view_of_files(blobs)
    for number in range(20):
        view.open_file(Ino(2 + number))
    assert blobs.loaded_ahead == []


def view_of(*children: Raw) -> ImageView:
    blobs = FakeBlobs()
    blobs.add(b"there")
    return ImageView(ImageMetadata.parse(build(directory("", *children))), blobs)


def test_every_file_opens_unless_one_lacks_its_data_or_is_encrypted() -> None:
    there = FakeBlobs().add(b"there")
    missing = FakeBlobs().add(b"missing")
    good = [Raw("a", sha1=there), Raw("b"), Raw("c", sha1=EMPTY_SHA1), directory("d")]
    assert view_of(*good).every_file_opens()
    assert view_of(*good, Raw("s", sha1=there, extras=[("x", there)])).every_file_opens()
    assert not view_of(*good, Raw("m", sha1=missing)).every_file_opens()
    stream = Raw("s", sha1=there, extras=[("x", missing)])
    assert not view_of(*good, stream).every_file_opens()
    assert not view_of(*good, Raw("e", ENCRYPTED, sha1=there)).every_file_opens()
