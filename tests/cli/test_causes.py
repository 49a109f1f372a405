"""One number per cause: each that a user who only reads can meet, by a real command."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.container.builder import BuiltWim, WimBuilder
from tests.image.raw_metadata import Raw, build, directory
from tests.live import SAMPLE
from tests.mounting import WIMTUI, mount_point, wimtui
from wimtui.engine.codecs.base import CodecId
from wimtui.engine.container.flags import HeaderFlag, ResourceFlag

if TYPE_CHECKING:
    from pathlib import Path

DATA = b"some data of a file, " * 200


def small_wim(codec: CodecId = CodecId.NONE, **fields: object) -> WimBuilder:
    builder = WimBuilder(codec=codec, **fields)  # type: ignore[arg-type]
    sha1 = builder.add_blob(DATA)
    tree = directory("", Raw("file", sha1=sha1), directory("folder", Raw("inner", sha1=sha1)))
    builder.add_image(build(tree), name="first")
    return builder


def built(codec: CodecId = CodecId.NONE, **fields: object) -> BuiltWim:
    return small_wim(codec, **fields).build()


def said(code: int, *arguments: str | Path) -> str:
    """Run a command that must fail with a code and one line that names the cause."""
    done = wimtui(*arguments, code=code)
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("wimtui: ")
    return line


def no_wim() -> bytes:
    return b"PK\x03\x04" + bytes(400)


def short() -> bytes:
    return bytes(built().data[:100])


def unknown_version() -> bytes:
    return bytes(built().patch(12, b"\x00\x0f\x01\x00").data)


def impossible_header_size() -> bytes:
    return bytes(built().patch(8, b"\xd1").data)


def impossible_part() -> bytes:
    return bytes(built().patch_header(part_number=3, total_parts=2).data)


def too_many_images() -> bytes:
    return bytes(built().patch_header(image_count=70_000).data)


def another_image_count() -> bytes:
    return bytes(built(image_count=2).data)


def unknown_codec() -> bytes:
    wim = built(codec=CodecId.LZX)
    return bytes(wim.patch_header(flags=HeaderFlag.COMPRESSION).data)


def odd_chunk_size() -> bytes:
    return bytes(built(codec=CodecId.LZX).patch_header(chunk_size=12345).data)


def never_finished() -> bytes:
    wim = built()
    none = replace(wim.header.blob_table, size_in_wim=0, offset_in_wim=0, uncompressed_size=0)
    return bytes(wim.patch_header(blob_table=none, xml_data=none).data)


def no_xml() -> bytes:
    return bytes(built(xml="<WIM><IMAGE INDEX='1'>").data)


def encrypted() -> bytes:
    xml = '<WIM><ESD><ENCRYPTED/></ESD><IMAGE INDEX="1"/></WIM>'
    return bytes(built(xml=xml).data)


def blob_of_two_sizes() -> bytes:
    wim = built()
    return bytes(wim.patch_row(0, uncompressed_size=1 << 30).data)


def end_missing() -> bytes:
    wim = built()
    return bytes(wim.data[: wim.xml_offset - 10])


def broken_metadata() -> bytes:
    wim = built()
    at = wim.rows[1].resource.offset_in_wim
    return bytes(wim.patch(at + 20, b"\xff" * 8).data)


def huge_chunks() -> bytes:
    wim = built(codec=CodecId.LZMS)
    return bytes(wim.patch_header(chunk_size=1 << 30).data)


def solid_xml() -> bytes:
    wim = built()
    xml = replace(wim.header.xml_data, flags=wim.header.xml_data.flags | ResourceFlag.SOLID)
    return bytes(wim.patch_header(version=0xE00, xml_data=xml).data)


@pytest.mark.parametrize(
    ("make", "code", "words"),
    [
        (no_wim, 43, "not a WIM"),
        (short, 65, "too short"),
        (unknown_version, 67, "version"),
        (impossible_header_size, 17, "header"),
        (impossible_part, 25, "part"),
        (too_many_images, 10, "70000"),
        (another_image_count, 10, "2"),
        (unknown_codec, 16, "compression"),
        (odd_chunk_size, 15, "12345"),
        (never_finished, 84, "complete"),
        (no_xml, 73, "XML"),
        (encrypted, 74, "encrypted"),
        (huge_chunks, 39, "--max-chunk-size"),
        (solid_xml, 68, "solid resource"),
    ],
)
def test_what_info_dir_verify_and_mount_refuse(
    tmp_path: Path, make: object, code: int, words: str
) -> None:
    wim = tmp_path / "bad.wim"
    wim.write_bytes(make())  # type: ignore[operator]
    line = said(code, "info", wim)
    assert words in line
    assert str(wim) in line
    with mount_point() as where:
        assert said(code, "mount", wim, "1", where) == line


def test_every_command_says_the_same(tmp_path: Path) -> None:
    wim = tmp_path / "bad.wim"
    wim.write_bytes(encrypted())
    commands: list[list[str | Path]] = [
        ["info", wim],
        ["dir", wim, "1"],
        ["verify", wim],
        ["cat", wim, "1", "file"],
    ]
    assert len({said(74, *command) for command in commands}) == 1


@pytest.mark.parametrize(
    ("make", "code"), [(blob_of_two_sizes, 20), (end_missing, 65), (broken_metadata, 21)]
)
def test_what_a_listing_refuses(tmp_path: Path, make: object, code: int) -> None:
    wim = tmp_path / "bad.wim"
    wim.write_bytes(make())  # type: ignore[operator]
    with mount_point() as where:
        line = said(code, "mount", wim, "1", where)
    assert said(code, "dir", wim, "1") == line
    assert str(wim) in line


def test_integrity_table(tmp_path: Path) -> None:
    wim = tmp_path / "a.wim"
    made = built(integrity_piece_size=4096)
    made.patch(230, b"\xff\xff").write(wim)
    with mount_point() as where:
        assert "integrity" in said(13, "mount", wim, "1", where, "--check")
    made.patch(made.header.integrity.offset_in_wim, b"\xff").write(wim)
    with mount_point() as where:
        assert "integrity" in said(19, "mount", wim, "1", where, "--check")


def test_limits_can_be_raised(tmp_path: Path) -> None:
    wim = tmp_path / "huge.wim"
    wim.write_bytes(huge_chunks())
    assert wimtui("info", wim, "--max-chunk-size=1G").stdout


def test_no_such_image() -> None:
    assert "2 images" in said(18, "dir", SAMPLE)
    assert "'7'" in said(18, "info", SAMPLE, "7")
    assert "'none'" in said(18, "cat", SAMPLE, "none", "/setup.exe")
    assert "'-1'" in said(18, "dir", SAMPLE, "--", "-1")


def test_paths_of_an_image() -> None:
    assert "/no/such" in said(49, "dir", SAMPLE, "1", "--path=/no/such")
    assert "/nope" in said(49, "cat", SAMPLE, "1", "/nope")
    assert "directory" in said(32, "cat", SAMPLE, "1", "/Windows")


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    missing = tmp_path / "missing.wim"
    assert f"{missing}: " in said(47, "info", missing)
    assert "regular" in said(47, "verify", tmp_path)
    assert "--ref" in said(8, "dir", SAMPLE, "1", f"--ref={tmp_path}/*.swm")


def test_later_parts_hold_no_image(tmp_path: Path) -> None:
    builder = small_wim(part_number=2, total_parts=2)
    wim = builder.build().write(tmp_path / "second.swm")
    assert "part 2 of 2" in said(36, "dir", wim, "1")


def test_a_part_of_another_set(tmp_path: Path) -> None:
    builder = WimBuilder(total_parts=2)
    builder.add_image(build(directory("", Raw("gone", sha1=b"\7" * 20))))
    first = builder.build().write(tmp_path / "a.swm")
    small_wim(part_number=2, total_parts=2, guid=bytes(16)).build().write(tmp_path / "a2.swm")
    line = said(55, "cat", first, "1", "/gone", f"--ref={tmp_path}/a2.swm")
    assert "/gone" in line
    assert "--ref" in line


def test_missing_data(tmp_path: Path) -> None:
    builder = WimBuilder()
    builder.add_image(build(directory("", Raw("gone", sha1=b"\7" * 20))))
    wim = builder.build().write(tmp_path / "delta.wim")
    assert "/gone" in wimtui("verify", wim, code=55).stderr
    assert "--ref" in said(55, "cat", wim, "1", "/gone")


def test_corrupt_data(tmp_path: Path) -> None:
    made = small_wim(CodecId.LZX).build()
    wim = made.patch(made.rows[0].resource.offset_in_wim + 4, b"\xff" * 30).write(tmp_path / "a")
    assert "chunk" in said(2, "cat", wim, "1", "/file")
    done = wimtui("verify", wim, code=28)
    assert "[1] /file" in done.stderr
    assert "[1] /folder/inner" in done.stderr
    assert "1 bad" in done.stdout


def test_another_hash(tmp_path: Path) -> None:
    made = built()
    wim = made.patch(made.rows[0].resource.offset_in_wim, b"x").write(tmp_path / "a.wim")
    assert "checksum mismatch" in wimtui("verify", wim, code=28).stderr


@pytest.mark.parametrize(
    "arguments",
    [
        [], ["mount"], ["info"], ["info", "--nonsense", "x"], ["mount", "a"], ["nonsense"],
        ["mount", "--umask=999", "a", "b"], ["mount", "--cache-size=-1", "a", "b"],
        ["mount", "--uid=-1", "a", "b"], ["mount", "--streams-interface=other", "a", "b"],
        ["verify", "a", "b"], ["cat", "a", "1"],
    ],
)  # fmt: skip
def test_usage(arguments: list[str]) -> None:
    if not arguments:
        arguments = ["unmount"]
    line = said(255, *arguments)
    assert "--help" in line


def test_arguments_that_make_no_sense_together(tmp_path: Path) -> None:
    assert "too many" in said(24, "mount", SAMPLE, "1", "2", tmp_path)
    with mount_point() as where:
        assert "rw" in said(24, "mount", SAMPLE, "1", where, "-o", "rw")
        assert "max_read" in said(24, "mount", SAMPLE, "1", where, "-o", "max_read=4096")


def test_what_fuse_refuses() -> None:
    with mount_point() as where:
        assert "bogus" in said(6, "mount", SAMPLE, "1", where, "-o", "bogus")


def test_the_reader_of_the_output_goes_away() -> None:
    command = f"{' '.join(WIMTUI)} dir {SAMPLE} 1 --detailed | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stderr == ""
    assert done.returncode in (0, 141)


AS_NOBODY = """
import importlib, os, pkgutil, sys
for layer in ("cli", "control", "service"):
    package = importlib.import_module(f"wimtui.{layer}")
    for module in pkgutil.walk_packages(package.__path__, f"wimtui.{layer}."):
        if not module.name.endswith(".app"):
            importlib.import_module(module.name)
os.environ.pop("WIMTUI_RUNTIME_DIR")
os.environ.update(HOME=sys.argv[1], XDG_STATE_HOME=sys.argv[1])
os.chown(sys.argv[1], 65534, 65534)
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
from wimtui.cli.main import main
main(sys.argv[2:])
"""
"""Runs a command as another user, whom the interpreter's own folders may be closed to."""


@pytest.mark.fuse
@pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")
def test_what_is_somebody_elses() -> None:
    with mount_point() as where:
        where.parent.chmod(0o755)
        home = where.parent / "home"
        home.mkdir()
        private = built().write(where.parent / "private.wim")
        private.chmod(0o600)
        wimtui("mount", SAMPLE, "1", where)
        for code, arguments in ((81, ["unmount", where]), (47, ["info", private])):
            command = [sys.executable, "-c", AS_NOBODY, *map(str, (home, *arguments))]
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
            assert done.returncode == code, done.stderr
            assert len(done.stderr.splitlines()) == 1
        wimtui("unmount", where)


INTERRUPTED = """
import os, signal, sys
from wimtui.cli.main import main

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[1]:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupting())
main(["mounts"])
"""
"""Runs a command that Ctrl-C comes upon while it loads a module."""


@pytest.mark.parametrize(
    "module", ["wimtui.cli.parser", "wimtui.logs", "wimtui.cli.commands.mounts"]
)
def test_control_c_at_once(module: str) -> None:
    command = [sys.executable, "-c", INTERRUPTED, module]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "wimtui: interrupted\n")
