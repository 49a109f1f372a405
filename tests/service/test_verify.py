"""What a verification reports of files: users of bad blobs, and files without data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.container.builder import WimBuilder, sha1_of
from tests.image.raw_metadata import Raw, build, directory
from wimtui.engine.image.metadata import ImageMetadata
from wimtui.service.verify import verify

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

GOOD, BAD, ABSENT = b"good data", b"bad data", b"absent data"


def nested(*levels: Raw) -> Raw:
    for outer, inner in zip(levels[-2::-1], levels[:0:-1], strict=True):
        outer.children = [*(outer.children or []), inner]
    return levels[0]


def test_paths_are_made_of_what_is_reported_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "d" * 250
    users = [
        Raw("good", sha1=sha1_of(GOOD)),
        Raw("bad", sha1=sha1_of(BAD)),
        Raw("stream", extras=[("", sha1_of(GOOD)), ("s", sha1_of(ABSENT))]),
    ]
    levels = [directory(name) for _ in range(3000)]
    tree = directory("", nested(directory("near", *users), *levels, directory("far", *users)))
    builder = WimBuilder()
    builder.add_image(build(tree))
    builder.add_blob(GOOD)
    builder.add_blob(BAD)
    built = builder.build()
    built.patch(built.rows[built.row_of(sha1_of(BAD))].resource.offset_in_wim, b"B")
    asked = []
    path_of = ImageMetadata.path

    def path(metadata: ImageMetadata, dentry: int) -> bytes:
        asked.append(dentry)
        return path_of(metadata, dentry)

    monkeypatch.setattr(ImageMetadata, "path", path)
    report = verify(str(built.write(tmp_path / "a.wim")))
    [damaged] = report.damaged
    assert damaged.sha1 == sha1_of(BAD).hex()
    assert set(damaged.paths) >= {"[1] /near/bad"}
    assert "[1] /near/stream" in report.missing
    assert len(damaged.paths) == len(report.missing) == 2
    assert all(len(shown) <= 4100 for shown in (*damaged.paths, *report.missing))
    assert len(asked) == 4
    assert not report.unreadable_images
    assert not report.ok


def test_at_most_100_paths(tmp_path: Path) -> None:
    files = [Raw(f"file-{number}", sha1=sha1_of(ABSENT)) for number in range(150)]
    builder = WimBuilder()
    builder.add_image(build(directory("", *files)))
    report = verify(str(builder.build().write(tmp_path / "a.wim")))
    assert len(report.missing) == 100
    assert report.ok
