"""The commands that write, from the shell; captures of directories."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.commit.invariants import check_wim
from tests.commit.trees import TestTree, contents
from tests.commit.ways import words
from tests.oracle.wims import WIMLIB
from wimtui.engine.archive import Archive
from wimtui.engine.codecs.base import CodecId
from wimtui.engine.commit.capture import CaptureOptions, capture
from wimtui.engine.errors import CancelledError, OpenFailedError, UsageError
from wimtui.engine.image.tagged_items import extended_attributes, unix_data
from wimtui.engine.progress import CancelToken
from wimtui.service.editing import parse_compression

if TYPE_CHECKING:
    from pathlib import Path


def wimtui(*arguments: str | Path, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "wimtui", *map(str, arguments)],
        capture_output=True, text=True, errors="replace", check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "source"
    root.mkdir()
    (root / "a.txt").write_bytes(words(1, 50_000))
    (root / "same").write_bytes(words(1, 50_000))
    (root / "empty").write_bytes(b"")
    (root / "folder").mkdir()
    (root / "folder" / "link").hardlink_to(root / "a.txt")
    (root / "to-folder").symlink_to("folder")
    (root / "inside").symlink_to(root / "folder")
    (root / "top").symlink_to(root)
    (root / "outside").symlink_to("/etc/passwd")
    os.setxattr(root / "a.txt", "user.stream", b"in a stream")
    (root / "a.txt").chmod(0o750)
    os.utime(root / "empty", ns=(10**18, 1_234_567_890_123_456_789))
    return root


def test_from_nothing_to_optimized(tmp_path: Path, source: Path) -> None:
    path = tmp_path / "a.wim"
    said = wimtui("new", path, "--name=Empty", "--boot", "--compress=XPRESS:20")
    assert "one empty image" in said
    check_wim(path, fresh=True)
    wimtui("capture", source, path)
    said = wimtui("capture", source, path, "--description=again", "--json")
    found = json.loads(said.splitlines()[-1])
    assert (found["image_index"], found["blobs_written"], found["blobs_reused"]) == (3, 0, 6)
    check_wim(path)
    wimtui("set", path, "3", "--name=Third", "--property=FLAGS=Pro", "--property=WINDOWS/ARCH=9")
    assert "nothing was written" in wimtui("set", path, "3", "--name=Third")
    with Archive.open(path) as archive:
        names = [image.name for image in archive.wim.xml.images]
        assert names == ["Empty", "source", "Third"]
        assert archive.wim.xml.images[2].get("WINDOWS/ARCH") == "9"
        assert archive.wim.xml.images[2].get("DESCRIPTION") == "again"
        assert archive.wim.header.boot_index == 1
    assert "image 3 is named" in wimtui("set", path, "1", "--name=Third", code=11)
    wimtui("delete", path, "source", "--soft")
    check_wim(path)
    said = wimtui("optimize", path, "--compress=LZX", "--check")
    assert "reclaimed" in said
    check_wim(path, fresh=True)
    wimtui("set", path, "1", "--no-boot")
    assert "no image" in wimtui("delete", path, "7", code=18)
    with Archive.open(path) as archive:
        assert archive.wim.codec is CodecId.LZX
        assert archive.wim.header.boot_index == 0
        assert archive.wim.integrity_table() is not None
        assert [image.name for image in archive.wim.xml.images] == ["Empty", "Third"]


def test_errors_have_their_exit_codes(tmp_path: Path, source: Path) -> None:
    path = tmp_path / "a.wim"
    wimtui("new", path)
    before = path.read_bytes()
    assert "exists" in wimtui("new", path, code=72)
    assert "no compression type" in wimtui("new", tmp_path / "b.wim", "--compress=zip", code=24)
    assert "only image" in wimtui("delete", path, "1", code=18)
    assert "cannot open" in wimtui("capture", tmp_path / "none", path, code=47)
    assert "folder does not exist" in wimtui("new", tmp_path / "none" / "a.wim", code=47)
    wimtui("capture", source, path, "--name=1")
    before = path.read_bytes()
    assert f"{path}: image 2 is named" in wimtui("set", path, "1", "--name=1", code=11)
    assert "NAME=VALUE" in wimtui("set", path, "--property=x", code=255)
    assert path.read_bytes() == before
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.wim", "source"]


def test_interrupted_by_control_c(tmp_path: Path) -> None:
    folder = tmp_path / "big"
    folder.mkdir()
    (folder / "random").write_bytes(os.urandom(16 << 20) * 8)
    path = tmp_path / "a.wim"
    wimtui("new", path, "--compress=LZX")
    before = path.read_bytes()
    process = subprocess.Popen(
        [sys.executable, "-m", "wimtui", "capture", folder, path, "--compress=LZX:100"],
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 60
    while path.stat().st_size == len(before):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 76, error
    assert path.read_bytes() == before


def test_a_captured_tree(source: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.wim"
    wimtui("capture", source, path)
    check_wim(path, fresh=True)
    found = contents(path, 1)
    attributes = {name: fields[0] for name, fields in found.items()}
    assert attributes["/a.txt"] == attributes["/empty"] == 0x80
    assert attributes["/folder"] == 0x10
    assert attributes["/to-folder"] == attributes["/inside"] == attributes["/top"] == 0x410
    assert attributes["/outside"] == 0x400
    rp_flags = {name: fields[10] for name, fields in found.items()}
    assert rp_flags["/inside"] == rp_flags["/top"] == 0
    assert rp_flags["/outside"] == rp_flags["/to-folder"] == 1
    assert all(fields[7] == () and fields[12] == b"" for fields in found.values())
    created, accessed, written = found["/empty"][2:5]
    assert created == written == 116_444_736_000_000_000 + 12_345_678_901_234_567
    assert accessed == 116_444_736_000_000_000 + 10**16
    with Archive.open(path) as archive:
        tree = TestTree.of_image(archive, 1)
        assert tree.find("/a.txt").group_id == tree.find("/folder/link").group_id != 0


def test_capture_options(source: Path, tmp_path: Path) -> None:
    os.mkfifo(source / "fifo", 0o640)
    tree = capture(str(source))
    assert len(tree.skipped) == 1
    assert str(source / "fifo") in tree.skipped[0]
    path = tmp_path / "a.wim"
    wimtui("capture", source, path, "--unix-data", "--xattrs", "--norpfix", "--solid")
    check_wim(path, fresh=True)
    with Archive.open(path) as archive:
        assert archive.wim.blob_table.solids
        tree2 = TestTree.of_image(archive, 1)
    unix = unix_data(tree2.find("/a.txt").tagged_items)
    assert unix is not None
    assert unix.mode == 0o100750
    fifo = unix_data(tree2.find("/fifo").tagged_items)
    assert fifo is not None
    assert fifo.mode == 0o010640
    assert [name for name, _ in tree2.find("/a.txt").named_streams] == [b"stream"]
    assert tree2.find("/a.txt").named_streams == tree2.find("/folder/link").named_streams
    assert tree2.find("/inside").rp_flags == 1


def test_extended_attributes_are_unix_data(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = (source / "a.txt", "user.too long", bytes(65_536))

    def listed(path: str, *, follow_symlinks: bool) -> list[str]:
        names = os_listxattr(path, follow_symlinks=follow_symlinks)
        return [*names, "trusted.kept", long[1]] if path == str(long[0]) else names

    def value(path: str, name: str, *, follow_symlinks: bool) -> bytes:
        if name == long[1]:
            return long[2]
        if name == "trusted.kept":
            return b"value"
        return os_getxattr(path, name, follow_symlinks=follow_symlinks)

    os_listxattr, os_getxattr = os.listxattr, os.getxattr
    monkeypatch.setattr(os, "listxattr", listed)
    monkeypatch.setattr(os, "getxattr", value)
    tree = capture(str(source), CaptureOptions(unix_data=True))
    (file,) = [child for child in tree.top.children if child.name == b"a.txt"]
    kept = {entry.name: entry.value for entry in extended_attributes(file.tagged_items)}
    assert kept.items() >= {b"user.stream": b"in a stream", b"trusted.kept": b"value"}.items()
    assert tree.skipped == [f"{long[0]}: the attribute {long[1]} is longer than 65535 bytes"]
    tree = capture(str(source), CaptureOptions(unix_data=True, xattrs_as_streams=True))
    (file,) = [child for child in tree.top.children if child.name == b"a.txt"]
    kept = {entry.name: entry.value for entry in extended_attributes(file.tagged_items)}
    assert b"trusted.kept" in kept
    assert b"user.stream" not in kept
    assert [name for name, _ in file.named_streams] == [b"stream", b"too long"]
    assert not capture(str(source)).top.tagged_items


def test_captures_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OpenFailedError, match="not a directory"):
        capture(str(tmp_path / "file"))
    token = CancelToken()
    token.cancel()
    with pytest.raises(CancelledError):
        capture(str(tmp_path), CaptureOptions(cancel=token))


@pytest.mark.parametrize("is_link", [False, True], ids=["name", "link"])
def test_what_is_no_utf8_is_named(tmp_path: Path, is_link: bool) -> None:
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    if is_link:
        (source / "sub" / "l").symlink_to(os.fsdecode(b"bad\xff"))
    else:
        (source / "sub" / os.fsdecode(b"bad\xff")).touch()
    wim = tmp_path / "a.wim"
    said = wimtui("capture", source, wim, code=31)
    assert os.fspath(source / "sub" / ("l" if is_link else "bad")) in said
    assert r"b'bad\xff' is not UTF-8" in said
    assert "rename" in said
    assert not wim.exists()
    if WIMLIB is not None:
        given = [str(WIMLIB), "capture", str(source), str(wim)]
        assert subprocess.run(given, capture_output=True, check=False).returncode == 31


@pytest.mark.parametrize(
    "path", ["DIRCOUNT", "FILECOUNT", "TOTALBYTES", "HARDLINKBYTES", "LASTMODIFICATIONTIME/LOWPART"]
)
def test_what_a_write_reckons_cannot_be_set(tmp_path: Path, source: Path, path: str) -> None:
    wim = tmp_path / "a.wim"
    for command in (("new", wim), ("capture", source, wim), ("set", wim, "1")):
        before = wim.read_bytes() if wim.exists() else None
        said = wimtui(*command, f"--property={path}=3", code=24)
        assert f"the property {path} cannot be set" in said
        assert (wim.read_bytes() if wim.exists() else None) == before
        if before is None:
            wimtui("new", wim)


def test_properties_that_are_more_than_text(tmp_path: Path, source: Path) -> None:
    wim = tmp_path / "a.wim"
    wimtui("new", wim, "--name=one")
    wimtui("capture", source, wim, "--property=NAME=two")
    assert "is named 'one' already" in wimtui("set", wim, "2", "--property=NAME=one", code=11)
    for wrong in ("CREATIONTIME=3", "CREATIONTIME/HIGHPART=3", "CREATIONTIME/x=0x3"):
        assert "HIGHPART and CREATIONTIME/LOWPART" in wimtui(
            "set", wim, "2", f"--property={wrong}", code=24
        )
    wimtui("set", wim, "2", "--property=CREATIONTIME/HIGHPART=0x01D00000", "--property=NAME=2")
    with Archive.open(wim) as archive:
        element = archive.wim.xml.images[1]
        assert element.name == "2"
        assert element.get_time("CREATIONTIME") >> 32 == 0x01D00000
    check_wim(wim)


def test_compression_as_an_argument() -> None:
    assert parse_compression(None).codec is None
    assert parse_compression("none").codec is CodecId.NONE
    lzx = parse_compression("lzx:100")
    assert (lzx.codec, lzx.level) == (CodecId.LZX, 100)
    for wrong in ("", "LZX:", "LZX:0", "LZX:x", "zip", "LZX:-1"):
        with pytest.raises(UsageError):
            parse_compression(wrong)
