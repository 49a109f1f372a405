"""What `wimtui status`, diff and restore say and do after a known script."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from tests.mounting import mounted as mounted_ro
from tests.mounting import wimtui, wimtui_json
from tests.readwrite.control import assert_same
from tests.readwrite.mounts import Mounted, mounted_rw

if TYPE_CHECKING:
    from pathlib import Path
pytestmark = pytest.mark.fuse


def script(root: Path) -> None:
    """Change some of everything."""
    (root / "new.txt").write_text("hello\n")
    (root / "folder").mkdir()
    with (root / "license.rtf").open("ab") as file:
        file.write(b"more\n")
    os.utime(root / "Windows", ns=(10**18, 10**18))
    os.setxattr(root / "setup.exe", "user.zone", b"stream\n")
    (root / "setup.exe").rename(root / "folder" / "setup renamed.exe")
    (root / "notepad.lnk").unlink()
    (root / "gone").write_text("")
    (root / "gone").unlink()


EXPECTED = [
    ("added", "/folder", None, [], None, None),
    ("added", "/new.txt", None, [], None, 6),
    ("deleted", "/notepad.lnk", None, [], 19, None),
    ("modified", "/Windows", None, ["times"], None, None),
    ("modified", "/license.rtf", None, ["data"], 15385, 15390),
    ("renamed", "/folder/setup renamed.exe", "/setup.exe", ["names", "streams"], 30000, 30000),
]


def told(status: dict[str, Any]) -> list[tuple[object, ...]]:
    return sorted(
        (
            one["kind"],
            one["path"],
            one["old_path"],
            one["what"],
            one["size_before"],
            one["size_after"],
        )
        for one in status["changes"]
    )


@pytest.fixture
def changed(mounted: Mounted) -> Mounted:
    script(mounted.path)
    return mounted


def test_status_tells_exactly_the_changes(changed: Mounted) -> None:
    status = changed.status()
    assert told(status) == EXPECTED
    assert (status["mode"], status["state"], status["image_index"]) == ("rw", "ok", 1)
    assert status["staging_path"] == str(changed.stagings()[0])
    assert status["staged_nbytes"] > 15000
    text = wimtui("status", changed.path).stdout
    assert "renamed   /setup.exe -> /folder/setup renamed.exe (streams)  30,000 bytes" in text
    assert "Changes:         6" in text


def test_a_mount_without_changes_says_so(mounted: Mounted) -> None:
    status = mounted.status()
    assert (status["changes"], status["open_handles"]) == ([], 0)
    with (mounted.path / "license.rtf").open("r+b") as file:
        file.read()
        assert mounted.status()["open_handles"] == 1
    assert mounted.status()["changes"] == []


def test_a_detached_staging_tells_the_same(changed: Mounted) -> None:
    wimtui("unmount", changed.path, "--keep")
    (staging,) = changed.stagings()
    for target in (changed.path, staging):
        status = wimtui_json("status", target)
        assert told(status) == EXPECTED
        assert status["state"] == "detached"
    summary = changed.summary()
    assert (summary["status"], summary["changes"]) == ("detached", 6)
    assert summary["staged_nbytes"] > 15000
    assert "license.rtf" in wimtui("diff", staging, "/license.rtf").stdout


def test_diff_of_texts_streams_and_binaries(changed: Mounted) -> None:
    (changed.path / "wide.txt").write_bytes("ä one\r\n".encode("utf-16"))
    with (changed.path / "folder" / "setup renamed.exe").open("r+b") as file:
        file.seek(20_000)
        file.write(bytes(255 - byte for byte in b"changed"))
    text = wimtui("diff", changed.path).stdout
    assert "--- /license.rtf\n+++ /license.rtf\n" in text
    assert "\n+more\n" in text
    assert "--- /dev/null\n+++ /new.txt\n@@ -0,0 +1 @@\n+hello\n" in text
    assert "+ä one" in text
    assert "rename from /setup.exe\nrename to /folder/setup renamed.exe\n" in text
    assert "Binary files /setup.exe and /folder/setup renamed.exe differ" in text
    assert "first difference at offset 20000" in text
    assert "+++ /folder/setup renamed.exe:zone\n@@ -0,0 +1 @@\n+stream\n" in text
    only = wimtui("diff", changed.path, changed.path / "new.txt").stdout
    assert only == "--- /dev/null\n+++ /new.txt\n@@ -0,0 +1 @@\n+hello\n"
    assert wimtui("diff", changed.path, "/Users").stdout == ""
    wimtui("diff", changed.path, "/nowhere", code=49)


def test_restore_undoes_changes_in_the_living_mount(changed: Mounted, tmp_path: Path) -> None:
    root = changed.path
    before = (root / "license.rtf").read_bytes()
    assert before.endswith(b"more\n")
    assert not (root / "setup.exe").exists()
    wimtui("restore", root, root / "license.rtf", "/setup.exe", "notepad.lnk", "/new.txt")
    assert (root / "license.rtf").read_bytes() == before[:-5]
    assert "user.zone" not in os.listxattr(root / "setup.exe")
    assert (root / "notepad.lnk").is_symlink()
    assert not (root / "new.txt").exists()
    assert not (root / "folder" / "setup renamed.exe").exists()
    assert [change[:2] for change in told(changed.status())] == [
        ("added", "/folder"),
        ("modified", "/Windows"),
    ]
    wimtui("restore", root, "/")
    assert changed.status()["changes"] == []
    with mounted_ro(changed.wim) as original:
        assert_same(root, original, times=True)


def test_what_is_open_for_writing_is_not_restored(changed: Mounted) -> None:
    with (changed.path / "license.rtf").open("ab") as file:
        file.write(b"x")
        file.flush()
        done = wimtui("restore", changed.path, "/license.rtf", code=100)
        assert "open for writing" in done.stderr
    wimtui("restore", changed.path, "/license.rtf")


def test_restore_works_detached_too(changed: Mounted) -> None:
    wimtui("unmount", changed.path, "--keep")
    (staging,) = changed.stagings()
    wimtui("restore", staging, "/license.rtf")
    wimtui("remount", staging)
    assert not (changed.path / "license.rtf").read_bytes().endswith(b"more\n")
    assert (changed.path / "new.txt").read_text() == "hello\n"


def test_a_read_only_mount_has_nothing_staged(wim: Path) -> None:
    with mounted_rw(wim) as writable, mounted_ro(writable.wim) as path:
        assert wimtui_json("status", path)["mode"] == "ro"
        wimtui("diff", path, code=24)
        wimtui("restore", path, "/", code=24)
