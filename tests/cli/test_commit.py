"""The options of commits from the shell, and what is refused, said and left alone."""

from __future__ import annotations

import json
import random
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.mounting import mounted as mounted_ro
from tests.mounting import wimtui, wimtui_json
from tests.oracle.wims import wimlib
from tests.readwrite.mounts import SAMPLE, Mounted, copied_sample, mounted_rw
from wimtui.engine.archive import Archive

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.fuse


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Mounted]:
    with mounted_rw(copied_sample(tmp_path)) as mounted:
        yield mounted


def header_of(wim: Path) -> dict[str, Any]:
    return dict(wimtui_json("info", wim)["archive"])


def change(mounted: Mounted) -> None:
    """Change something."""
    (mounted.path / "new.txt").write_text("new")
    (mounted.path / "notepad.lnk").unlink()


def assert_changed(wim: Path, image: str = "1") -> None:
    """A WIM is whole, and an image of it has what ``change`` makes."""
    assert wimtui_json("verify", wim)["damaged"] == []
    with mounted_ro(wim, image=image) as path:
        assert (path / "new.txt").read_text() == "new"
        assert not (path / "notepad.lnk").exists()
        assert (path / "setup.exe").stat().st_size > 0


def test_another_compression(mounted: Mounted) -> None:
    assert header_of(mounted.wim)["compression"] == "LZX"
    change(mounted)
    assert wimtui_json("commit", mounted.path, "--compress=LZX:20")["is_rebuilt"] is False
    assert wimtui_json("commit", mounted.path, "--compress=xpress:10")["is_rebuilt"] is True
    assert header_of(mounted.wim)["compression"] == "XPRESS"
    assert_changed(mounted.wim)
    (mounted.path / "later").write_text("later")
    said = wimtui("unmount", mounted.path, "--commit", "--solid", "--no-space-check").stdout
    assert "rebuilt" in said
    with Archive.open(str(mounted.wim)) as archive:
        assert archive.wim.blob_table.solids
    assert_changed(mounted.wim)


def test_what_is_no_compression(mounted: Mounted) -> None:
    for wrong in ("zip", "LZX:fast", ""):
        assert (
            "compression" in wimtui("commit", mounted.path, f"--compress={wrong}", code=24).stderr
        )
    wimtui("unmount", mounted.path, "--compress=LZX", code=24)
    assert mounted.summary()["status"] == "ok"


def test_nothing_changed(mounted: Mounted) -> None:
    before = mounted.wim.read_bytes()
    assert "nothing was written" in wimtui("commit", mounted.path).stdout
    assert mounted.wim.read_bytes() == before
    assert wimtui_json("commit", mounted.path, "--force-write")["is_written"] is True
    after = mounted.wim.read_bytes()
    assert after[208 : len(before)] == before[208:]
    assert len(after) > len(before)
    assert "nothing was written" in wimtui("unmount", mounted.path, "--commit").stdout
    assert mounted.wim.read_bytes() == after


def test_a_read_only_mount(tmp_path: Path) -> None:
    other = tmp_path / "other.wim"
    with mounted_ro(SAMPLE) as path:
        said = wimtui("commit", path, f"--save-as={other}").stderr
        assert "read-only, so a commit has no effect" in said
        (line,) = wimtui("commit", path, "--json").stdout.splitlines()
        assert json.loads(line)["type"] == "result"
        assert json.loads(line)["is_written"] is False
        wimtui("status", path)
        said = wimtui("unmount", path, "--commit", "--rebuild", f"--save-as={other}").stderr
        assert "read-only, so --commit has no effect" in said
        assert not path.is_mount()
        wimtui("mount", SAMPLE, "1", path)
    assert not other.exists()


def test_saved_elsewhere_the_mount_goes_on(mounted: Mounted, tmp_path: Path) -> None:
    change(mounted)
    before = mounted.wim.read_bytes()
    other = tmp_path / "other.wim"
    done = wimtui_json("commit", mounted.path, f"--save-as={other}")
    assert (done["saved_as"], done["is_written"]) == (str(other), True)
    assert_changed(other)
    assert mounted.wim.read_bytes() == before
    assert len(mounted.status()["changes"]) == 2
    assert "exists" in wimtui("commit", mounted.path, f"--save-as={other}", code=72).stderr
    # To go on in, the mount has its own WIM still.
    wimtui("commit", mounted.path)
    assert_changed(mounted.wim)


def test_saved_elsewhere_at_the_end(mounted: Mounted, tmp_path: Path) -> None:
    change(mounted)
    before = mounted.wim.read_bytes()
    other = tmp_path / "other.wim"
    other.touch()
    wimtui("unmount", mounted.path, "--commit", f"--save-as={other}", code=72)
    assert mounted.summary()["status"] == "ok"
    other.unlink()
    wimtui("unmount", mounted.path, "--commit", f"--save-as={other}")
    assert_changed(other)
    assert mounted.wim.read_bytes() == before
    assert mounted.stagings() == []
    assert [one for one in wimtui_json("mounts") if one["wim_path"] == str(mounted.wim)] == []


def test_what_is_staged_without_a_mount_is_saved_elsewhere(mounted: Mounted) -> None:
    change(mounted)
    before = mounted.wim.read_bytes()
    wimtui("unmount", mounted.path, "--keep")
    (staging,) = mounted.stagings()
    other = mounted.wim.with_name("other.wim")
    said = wimtui("commit", staging, f"--save-as={other}", "--compress=XPRESS").stdout
    assert "still staged" in said
    assert_changed(other)
    assert header_of(other)["compression"] == "XPRESS"
    assert mounted.wim.read_bytes() == before
    wimtui("commit", staging)
    assert_changed(mounted.wim)


def replaced(wim: Path, source: Path) -> None:
    """Put a copy with one more image in the WIM's place."""
    copy = wim.with_name("copy.wim")
    shutil.copy(wim, copy)
    wimlib("append", source, copy, "Another")
    copy.replace(wim)


def overwritten(wim: Path, source: Path) -> None:
    """Write a copy with one more image into the very file."""
    copy = wim.with_name("copy.wim")
    shutil.copy(wim, copy)
    wimlib("append", source, copy, "Another")
    wim.write_bytes(copy.read_bytes())
    copy.unlink()


@pytest.mark.oracle
@pytest.mark.parametrize("how", [replaced, overwritten], ids=lambda how: how.__name__)
@pytest.mark.parametrize("is_alive", [True, False], ids=["alive", "killed"])
def test_somebody_else_changed_the_wim(mounted: Mounted, how: Any, *, is_alive: bool) -> None:
    source = mounted.wim.with_name("source")
    source.mkdir()
    (source / "theirs").write_text("theirs")
    change(mounted)
    if not is_alive:
        mounted.kill()
    how(mounted.wim, source)
    theirs = mounted.wim.read_bytes()
    commands = [["commit", str(mounted.path)], ["unmount", str(mounted.path), "--commit"]]
    for command in commands:
        assert "--save-as" in wimtui(*command, code=88).stderr
    assert mounted.summary()["status"] == ("ok" if is_alive else "dead")
    for number, command in enumerate(commands):
        other = mounted.wim.with_name(f"other{number}.wim")
        wimtui(*command, f"--save-as={other}")
        assert_changed(other)
        wimlib("verify", other)
        assert wimlib("dir", other, "1", "--path=/new.txt").split() == ["/new.txt"]
        # Without its daemon there is only the WIM as it is to start from, other images included.
        assert header_of(other)["image_count"] == (2 if is_alive else 3)
    assert mounted.wim.read_bytes() == theirs
    assert mounted.stagings() == []


@pytest.mark.oracle
def test_the_image_that_changes_are_of_is_gone(mounted: Mounted) -> None:
    source = mounted.wim.with_name("source")
    source.mkdir()
    change(mounted)
    mounted.kill()
    mounted.wim.unlink()
    wimlib("capture", source, mounted.wim, "Another")
    other = mounted.wim.with_name("other.wim")
    for options in ([], [f"--save-as={other}"]):
        said = wimtui("commit", mounted.path, *options, code=88).stderr
        assert "put the WIM back" in said
    assert len(mounted.stagings()) == 1
    assert not other.exists()


def test_data_overwritten_under_a_mount_is_not_copied(mounted: Mounted) -> None:
    change(mounted)
    other = mounted.wim.with_name("other.wim")
    data = bytearray(mounted.wim.read_bytes())
    for offset in range(208, len(data)):
        data[offset] ^= 0x55
    data[24:40] = random.Random(1).randbytes(16)
    before = mounted.wim.read_bytes()
    mounted.wim.write_bytes(data)
    for options in ([], ["--rebuild"], [f"--save-as={other}"]):
        said = wimtui("commit", mounted.path, *options, code=88).stderr
        assert f"{mounted.wim}: the WIM was overwritten in place while it was open" in said
        assert "copy its old bytes back" in said
        assert "wimtui export" in said
    assert not other.exists()
    status = mounted.status()
    assert len(status["changes"]) == 2
    assert status["state"] == mounted.summary()["status"] == "invalid"
    assert status["detail"] == mounted.summary()["detail"]
    assert "overwritten" in status["detail"]
    mounted.wim.write_bytes(before)
    assert mounted.status()["state"] == "ok"
    wimtui("commit", mounted.path)
    assert_changed(mounted.wim)


def test_a_mount_ends_whatever_became_of_its_wim(mounted: Mounted) -> None:
    change(mounted)
    before = mounted.wim.read_bytes()
    mounted.wim.write_bytes(b"no WIM")
    assert mounted.status()["state"] == "invalid"
    said = wimtui("unmount", mounted.path, "--commit", code=88).stderr
    assert "overwritten in place" in said
    wimtui("unmount", mounted.path, "--keep")
    (staging,) = mounted.stagings()
    mounted.wim.write_bytes(before)
    wimtui("commit", staging)
    assert_changed(mounted.wim)


def test_mounts_tell_what_became_of_the_wim(tmp_path: Path) -> None:
    wim = copied_sample(tmp_path)
    with mounted_rw(wim) as writer, mounted_ro(wim) as reader:

        def details() -> list[str]:
            facts = wimtui_json("status", writer.path), wimtui_json("status", reader)
            assert [one["state"] for one in facts] == ["ok", "ok"]
            return [one["detail"] for one in facts]

        data = (reader / "setup.exe").read_bytes()
        for options in ([], ["--new-image", "--name=third"]):
            change(writer)
            wimtui("commit", writer.path, *options)
            wimtui("restore", writer.path, "/") if options else None
            (writer.path / "notepad.lnk").touch()
            assert details() == ["", ""], "an append harms no reader"
        wimtui("commit", writer.path, "--rebuild")
        own, others = details()
        assert own == ""
        assert "replaced; this mount still shows the old one" in others
        assert (reader / "setup.exe").read_bytes() == data
        wim.rename(tmp_path / "away.wim")
        assert [("renamed" in one) for one in details()] == [True, True]


def test_what_cannot_be_saved_to(mounted: Mounted) -> None:
    change(mounted)
    inside = mounted.path / "inside.wim"
    nowhere = mounted.wim.with_name("none") / "a.wim"
    for command in (["commit", str(mounted.path)], ["unmount", str(mounted.path), "--commit"]):
        for place, code, why in (
            (inside, 24, "in the mount itself"),
            (mounted.wim, 72, "the file exists"),
            (nowhere, 47, "its folder does not exist; make the folder first"),
        ):
            said = wimtui(*command, f"--save-as={place}", code=code).stderr
            assert f"{place}: " in said
            assert why in said
    assert not inside.exists()
    assert len(mounted.status()["changes"]) == 2


def test_json_is_lines(mounted: Mounted) -> None:
    change(mounted)
    lines = wimtui("commit", mounted.path, "--json").stdout.splitlines()
    events = [json.loads(line) for line in lines]
    assert [event["type"] for event in events] == ["progress"] * (len(events) - 1) + ["result"]
    phases = list(dict.fromkeys(event["phase"] for event in events[:-1]))
    assert phases[:4] == ["scan", "hash", "metadata", "write"]
    assert {"sync", "verify"} <= {*phases}
    done = max((e for e in events[:-1] if e["phase"] == "hash"), key=lambda e: e["bytes_done"])
    assert (done["bytes_done"], done["bytes_total"], done["items_done"]) == (3, 3, 1)
    (mounted.path / "again").touch()
    options = ["--new-image", "--name", header_of(mounted.wim)["images"][0]["name"]]
    failed = wimtui("unmount", mounted.path, "--commit", *options, "--json", code=11)
    last = json.loads(failed.stdout.splitlines()[-1])
    assert (last["type"], last["code"]) == ("error", 11)
    assert last["text"] in failed.stderr
    last = wimtui_json("unmount", mounted.path, "--commit")
    assert (last["type"], last["mount_point"]) == ("result", str(mounted.path))


def test_changes_are_called_lost_only_where_they_are(mounted: Mounted) -> None:
    change(mounted)
    with (mounted.path / "setup.exe").open("rb"):
        said = wimtui("unmount", mounted.path, code=79).stderr
        assert "discarded" not in said
    assert len(mounted.status()["changes"]) == 2
    said = wimtui("unmount", mounted.path).stderr
    assert "2 uncommitted changes discarded" in said
    assert mounted.stagings() == []


def test_a_dead_mount_is_committed_once(mounted: Mounted) -> None:
    change(mounted)
    mounted.kill()
    wimtui("commit", mounted.path)
    assert mounted.stagings() == []
    said = wimtui("commit", mounted.path, code=80).stderr
    assert "written or dropped already; wimtui cleanup" in said
    wimtui("unmount", mounted.path, "--commit")
    assert_changed(mounted.wim)


def test_a_wim_that_is_gone(mounted: Mounted) -> None:
    change(mounted)
    away = mounted.wim.rename(mounted.wim.with_name("away.wim"))
    for options in ([], ["--rebuild"]):
        said = wimtui("commit", mounted.path, *options, code=88).stderr
        assert "not there any more; put it back" in said
    away.rename(mounted.wim)
    wimtui("commit", mounted.path)
    assert_changed(mounted.wim)
