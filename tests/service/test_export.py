"""Exports of staged changes, of a mount that lives and of what it leaves: the same either way."""

from __future__ import annotations

import os
import stat
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.live import live
from tests.mounting import wimtui, wimtui_json
from tests.readwrite.mounts import Mounted, copied_sample, mounted_rw
from wimtui.engine.errors import CancelledError, NodeExistsError, NodeNotFoundError, UsageError
from wimtui.engine.progress import CancelToken
from wimtui.engine.staging import inspection
from wimtui.service.change_sources import open_source
from wimtui.service.changes import changes_since, comparison_of
from wimtui.service.comparisons import stream_diff
from wimtui.service.export import LIST_NAME, copy_of_staged, export_changes
from wimtui.service.shell import remove_temporary_copy
from wimtui.service.stagings import find_staged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wimtui.engine.progress import Progress

__all__ = ["live"]
pytestmark = pytest.mark.fuse

BIG = os.urandom(5 << 20)
LIST = (
    "A\t/folder/\n"
    "A\t/folder/big.bin\n"
    "R\t/setup.exe\t/folder/setup renamed.exe\tnames,streams\n"
    "M\t/license.rtf\tdata\n"
    "A\t/link\n"
    "A\t/new\\nline.txt\n"
    "D\t/notepad.lnk\n"
)
WRITTEN = {
    LIST_NAME, "folder", "folder/big.bin", "folder/setup renamed.exe",
    "folder/setup renamed.exe:Zone.Identifier", "folder/setup renamed.exe:empty",
    "folder/setup renamed.exe:zone", "license.rtf", "link", "new\nline.txt",
}  # fmt: skip


@pytest.fixture
def changed(tmp_path: Path) -> Iterator[Mounted]:
    with mounted_rw(copied_sample(tmp_path)) as mounted:
        root = mounted.path
        (root / "new\nline.txt").write_text("hello\n")
        os.utime(root / "new\nline.txt", ns=(10**18, 10**18))
        (root / "folder").mkdir()
        (root / "folder" / "big.bin").write_bytes(BIG)
        with (root / "license.rtf").open("ab") as file:
            file.write(b"more\n")
        os.setxattr(root / "setup.exe", "user.zone", b"stream\n")
        (root / "setup.exe").rename(root / "folder" / "setup renamed.exe")
        (root / "notepad.lnk").unlink()
        (root / "link").symlink_to("folder/big.bin")
        yield mounted


def check_folder(top: Path, mounted: Path) -> None:
    found = {str(path.relative_to(top)) for path in top.rglob("*")}
    assert found == WRITTEN
    assert (top / LIST_NAME).read_text() == LIST
    assert (top / "folder" / "big.bin").read_bytes() == BIG
    assert (top / "folder" / "setup renamed.exe:zone").read_bytes() == b"stream\n"
    assert (top / "new\nline.txt").stat().st_mtime_ns == 10**18
    assert os.readlink(top / "link") == "folder/big.bin"
    assert stat.S_IMODE((top / "license.rtf").stat().st_mode) & 0o111 == 0
    if mounted.is_mount():
        for name in ("license.rtf", "folder/setup renamed.exe"):
            assert (top / name).read_bytes() == (mounted / name).read_bytes()


def test_a_folder_and_an_archive_of_a_living_mount(changed: Mounted, tmp_path: Path) -> None:
    seen: list[Progress] = []
    result = export_changes(str(changed.path), str(tmp_path / "out"), progress=seen.append)
    check_folder(tmp_path / "out", changed.path)
    assert (result.file_count, result.directory_count, result.deleted_count) == (8, 1, 1)
    assert (result.skipped, result.skipped_count) == ((), 0)
    assert seen[-1].bytes_done == result.nbytes == seen[-1].bytes_total
    assert seen[-1].items_done == seen[-1].items_total == 6
    for suffix in (".tar", ".tar.gz", ".tar.xz"):
        archive = tmp_path / f"out{suffix}"
        export_changes(str(changed.path), str(archive))
        with tarfile.open(archive) as tar:
            assert set(tar.getnames()) == WRITTEN
            assert tar.getnames()[0] == LIST_NAME
            unpacked = tmp_path / f"unpacked{suffix}"
            # Debian 12's Python knows no filters, later ones want one.
            tar.extraction_filter = getattr(tarfile, "tar_filter", None)
            tar.extractall(unpacked)
        check_folder(unpacked, changed.path)
    assert sorted(path.name for path in tmp_path.glob(".*")) == []


def test_what_a_mount_left_is_exported_alike(changed: Mounted, tmp_path: Path) -> None:
    wimtui("unmount", changed.path, "--keep")
    (staging,) = tmp_path.glob("*.staging-*")
    export_changes(str(staging), str(tmp_path / "out"))
    check_folder(tmp_path / "out", changed.path)


def test_only_a_subtree_from_the_command_line(changed: Mounted, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out.tgz"
    *_, result = (
        line for line in wimtui("export", changed.path, out, "/folder", "--json").stdout.split("\n")
        if line
    )  # fmt: skip
    assert '"file_count": 5' in result
    with tarfile.open(out) as tar:
        listed = tar.extractfile(LIST_NAME)
        assert listed is not None
        assert listed.read().decode() == "".join(LIST.splitlines(keepends=True)[:3])
    done = wimtui("export", changed.path, tmp_path / "folder", changed.path / "license.rtf")
    assert "1 files" in done.stdout
    assert sorted(path.name for path in (tmp_path / "folder").iterdir()) == [
        LIST_NAME, "license.rtf",
    ]  # fmt: skip


def test_nothing_is_overwritten_and_nothing_left_of_a_cancelled_one(
    changed: Mounted, tmp_path: Path
) -> None:
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(NodeExistsError):
        export_changes(str(changed.path), str(tmp_path / "taken"))
    assert (tmp_path / "taken").read_text() == "mine"
    before = sorted(tmp_path.iterdir())
    for name in ("out", "out.tar.gz"):
        cancel = CancelToken()

        def stop(progress: Progress, cancel: CancelToken = cancel) -> None:
            if progress.bytes_done > 1000:
                cancel.cancel()

        with pytest.raises(CancelledError):
            export_changes(str(changed.path), str(tmp_path / name), progress=stop, cancel=cancel)
    assert sorted(tmp_path.iterdir()) == before


def test_a_named_list_is_not_overwritten_by_a_file_of_its_name(tmp_path: Path) -> None:
    with mounted_rw(copied_sample(tmp_path)) as mounted:
        (mounted.path / LIST_NAME).write_text("mine")
        export_changes(str(mounted.path), str(tmp_path / "out"))
        assert (tmp_path / "out" / LIST_NAME).read_text() == "mine"
        assert (tmp_path / "out" / f"{LIST_NAME}~").read_text() == f"A\t/{LIST_NAME}\n"


def test_a_read_only_mount_has_nothing_to_export(tmp_path: Path) -> None:
    with mounted_rw(copied_sample(tmp_path)) as mounted:
        wimtui("unmount", mounted.path)
        wimtui("mount", mounted.wim, "1", mounted.path)
        with pytest.raises(UsageError):
            export_changes(str(mounted.path), str(tmp_path / "out"))
        wimtui("unmount", mounted.path)
    assert not (tmp_path / "out").exists()


def test_copies_to_look_at(changed: Mounted) -> None:
    target = str(changed.path)
    copy = Path(copy_of_staged(target, "/folder/big.bin"))
    assert copy.name == "big.bin"
    assert copy.read_bytes() == BIG
    assert stat.S_IMODE(copy.stat().st_mode) == 0o400
    remove_temporary_copy(str(copy))
    assert not copy.parent.exists()
    old = Path(copy_of_staged(target, "/license.rtf", before=True))
    assert (changed.path / "license.rtf").read_bytes() == old.read_bytes() + b"more\n"
    remove_temporary_copy(str(old))
    with pytest.raises(Exception, match="no /nowhere"):
        copy_of_staged(target, "/nowhere")


def test_both_ways_to_ask_say_the_same(changed: Mounted, tmp_path: Path) -> None:
    paths = [one["path"] for one in wimtui_json("status", changed.path)["changes"]]
    live_found = {path: comparison_of(str(changed.path), path) for path in paths}
    wimtui("unmount", changed.path, "--keep")
    with open_source(find_staged(str(changed.path))) as source:
        for path in paths:
            found = source.compare(path)
            assert found == live_found[path], path
        with pytest.raises(NodeNotFoundError):
            source.compare("/nowhere")
    renamed = live_found["/folder/setup renamed.exe"]
    assert renamed.before is not None
    assert renamed.after is not None
    assert renamed.before.path == "/setup.exe"
    assert ("zone", 7) in renamed.after.streams
    assert ("zone", 7) not in renamed.before.streams
    assert renamed.before.sddl == renamed.after.sddl != ""
    assert [one.name for one in renamed.streams] == ["zone"]
    (appended,) = live_found["/license.rtf"].streams
    assert appended.difference == appended.size_before
    assert appended.after == appended.before + b"more\n"
    (target,) = live_found["/notepad.lnk"].streams
    assert (target.before, target.size_after) == (b"Windows/notepad.exe", None)


def test_a_list_is_read_again_only_after_something_may_have_changed(changed: Mounted) -> None:
    target = str(changed.path)
    first = changes_since(target)
    assert first is not None
    assert first.is_alive
    assert changes_since(target, first) is None
    (changed.path / "license.rtf").read_bytes()
    assert changes_since(target, first) is None
    (changed.path / "another").touch()
    second = changes_since(target, first)
    assert second is not None
    removed, added = second.since(first)
    assert (removed, [one.path for one in added]) == ([], ["/another"])
    kept = {id(one) for one in first.by_json.values()}
    assert sum(id(one) in kept for one in second.by_json.values()) == len(first.by_json)
    wimtui("restore", changed.path, "/another")
    third = changes_since(target, second)
    assert third is not None
    assert third.by_json == first.by_json
    wimtui("unmount", changed.path, "--keep")
    left = changes_since(target, third)
    assert left is not None
    assert not left.is_alive
    assert list(left.by_json.values()) == list(first.by_json.values())
    assert changes_since(target, left) is None


def test_of_a_large_file_the_part_before_the_first_difference_is_given(
    changed: Mounted, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = (changed.path / "license.rtf").read_bytes()
    wimtui("unmount", changed.path, "--keep")
    monkeypatch.setattr(inspection, "PIECE_NBYTES", 5000)
    (found,) = comparison_of(str(changed.path), "/license.rtf").streams
    assert found.difference == len(whole) - 5
    assert found.start == (len(whole) - 5 - 4096) // 16 * 16
    assert found.after == whole[found.start :][:5000]
    assert found.lead_before == found.lead_after == whole[:512]
    shown = stream_diff(found)
    assert shown.lines[-1] == "+more"
    assert f"shown from offset {found.start:,} on" in shown.note
    monkeypatch.setattr(inspection, "SCAN_NBYTES", 1000)
    (found,) = comparison_of(str(changed.path), "/license.rtf").streams
    assert (found.difference, found.scanned) == (None, 1000)
    assert "the first 1,000 bytes are the same" in stream_diff(found).note
