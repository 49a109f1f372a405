from __future__ import annotations

from tests.image.raw_metadata import (
    ENCRYPTED,
    REPARSE,
    SYMLINK_TAG,
    ZERO,
    Raw,
    build,
    directory,
    sha,
)
from wimtui.engine.image.metadata import ImageMetadata, WarningKind


def group(*children: Raw) -> tuple[list[int], list[int], dict[WarningKind, int]]:
    """Inode of each dentry but the root, link count of each inode but the root's, warnings."""
    metadata = ImageMetadata.parse(build(directory("", *children)))
    columns = metadata.columns
    inos = [columns.ino(dentry) for dentry in range(1, columns.dentry_count)]
    counts = [columns.link_count(ino) for ino in range(2, columns.inode_count + 1)]
    return inos, counts, {warning.kind: warning.count for warning in metadata.warnings()}


def test_same_id_and_data_join() -> None:
    files = [Raw(name, group=9, sha1=sha(1)) for name in "abc"]
    assert group(*files) == ([2, 2, 2], [3], {})


def test_links_in_several_directories() -> None:
    a, b, c = (Raw("x", group=9, sha1=sha(1)) for _ in range(3))
    inos, counts, _ = group(directory("d", a), directory("e", directory("f", b)), c)
    assert counts.count(3) == 1
    assert sorted(inos).count(3) == 3


def test_different_data_stay_apart() -> None:
    inos, counts, warnings = group(
        Raw("a", group=9, sha1=sha(1)), Raw("b", group=9, sha1=sha(2)),
        Raw("c", group=9, sha1=sha(1)), Raw("d", group=9, sha1=sha(2)),
    )  # fmt: skip
    assert (inos, counts) == ([2, 3, 2, 3], [2, 2])
    assert warnings == {WarningKind.HARD_LINK_DATA: 1}


def test_data_in_an_extra_entry_count_as_unnamed_data() -> None:
    inos, _, _ = group(
        Raw("a", group=9, sha1=sha(1)), Raw("b", group=9, extras=[("", sha(1)), ("n", sha(2))])
    )
    assert inos == [2, 2]


def test_empty_files_join() -> None:
    assert group(Raw("a", group=9), Raw("b", group=9))[0] == [2, 2]


def test_id_0_and_reparse_points_never_join() -> None:
    links = [Raw(name, REPARSE, tag=SYMLINK_TAG, sha1=sha(1)) for name in "cd"]
    inos, _, _ = group(Raw("a", sha1=sha(1)), Raw("b", sha1=sha(1)), *links)
    assert inos == [2, 3, 4, 5]


def test_directories_stay_apart_with_a_warning() -> None:
    inos, _, warnings = group(directory("a", group=9), directory("b", group=9), Raw("c", group=9))
    assert inos == [2, 3, 4]
    assert warnings == {WarningKind.DIRECTORY_HARD_LINK: 1, WarningKind.HARD_LINK_DATA: 1}


def test_directory_ids_of_their_own_are_no_reason_to_warn() -> None:
    assert group(directory("a", group=9), directory("b", group=10))[2] == {}


def test_first_name_decides_about_the_fields() -> None:
    root = directory(
        "",
        directory("a", Raw("z", group=9, sha1=sha(1), times=(1, 2, 3), extras=[("s", sha(5))])),
        Raw("b", 0x21, group=9, sha1=sha(1), times=(4, 5, 6), short_name="BB"),
    )
    metadata = ImageMetadata.parse(build(root))
    columns = metadata.columns
    second = columns.lookup(0, b"b")
    first = columns.first_dentry(columns.ino(second))
    assert metadata.path(first) == b"/a/z"
    assert columns.times(first) == (1, 2, 3)
    assert columns.short_name(second) == b"BB"
    assert [warning.kind for warning in metadata.warnings()] == [WarningKind.HARD_LINK_FIELDS]


def test_encrypted_files_join_only_with_the_same_raw_data() -> None:
    inos, _, _ = group(
        Raw("a", ENCRYPTED, group=9, sha1=sha(1)), Raw("b", ENCRYPTED, group=9, sha1=sha(2)),
        Raw("c", ENCRYPTED, group=9, sha1=sha(1)), Raw("d", ENCRYPTED, group=9, sha1=ZERO),
    )  # fmt: skip
    assert inos == [2, 3, 2, 4]
