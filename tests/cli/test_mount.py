"""`wimtui mount`: every option, every kind of path, and errors on the caller's stderr."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from tests.live import DEADLINE_S, SAMPLE, Live, mount_points, wait_for
from tests.mounting import WIMTUI, mount_point, mounted, wimtui, wimtui_json
from tests.oracle.wims import wimlib

pytestmark = [pytest.mark.fuse, pytest.mark.mqueue]

CONTENT = b"what the file holds\n" * 100


def options_of(where: Path) -> set[str]:
    for line in Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines():
        fields = line.split(" ")
        if fields[4] == str(where):
            return {*fields[5].split(","), *fields[-1].split(","), f"source={fields[-2]}"}
    raise AssertionError(f"{where} is not mounted")


@pytest.fixture(scope="module")
def one_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small WIM with one image, an owner and a fifo."""
    folder = tmp_path_factory.mktemp("one")
    source = folder / "source"
    source.mkdir()
    (source / "File.txt").write_bytes(CONTENT)
    os.mkfifo(source / "fifo")
    (source / "File.txt").chmod(0o640)
    os.utime(source / "File.txt", ns=(10**18, 10**18))
    wimlib("capture", source, folder / "one.wim", "The Only One", "--unix-data", "--check")
    return folder / "one.wim"


def test_an_image_by_name_by_index_or_none(one_image: Path, live: Live) -> None:
    for image in (["The Only One"], ["1"], []):
        with mount_point() as where:
            wimtui("mount", one_image, *image, where)
            assert (where / "File.txt").read_bytes() == CONTENT
            assert live.the_mount(where)["image_name"] == "The Only One"
            wimtui("unmount", where)
    with mount_point() as where:
        assert "2 images" in wimtui("mount", SAMPLE, where, code=18).stderr
        wimtui("mount", SAMPLE, "Windows Sample Professional", where)
        assert live.the_mount(where)["image_index"] == 2
        wimtui("unmount", where)


def test_relative_paths(one_image: Path, live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    with mount_point() as where:
        shutil.copy(one_image, where.parent / "rel.wim")
        command = [*WIMTUI, "mount", "rel.wim", "mnt", "--log-file=rel.log", "--check"]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
        subprocess.run(command, cwd=where.parent, check=True, env=environment)
        assert live.the_mount(where)["wim_path"] == str(where.parent / "rel.wim")
        assert "mounted" in (where.parent / "rel.log").read_text()
        subprocess.run([*WIMTUI, "unmount", "mnt"], cwd=where.parent, check=True, env=environment)


@pytest.mark.parametrize(
    "name",
    ["with space", "com,ma", "ünïcödé 日本", "new\nline", "back\\slash", 'quo"te', "-o", "\udcff"],
)
def test_odd_paths(one_image: Path, live: Live, name: str) -> None:
    with mount_point() as base:
        wim = base / f"{name}.wim"
        shutil.copy(one_image, wim)
        where = base / name
        where.mkdir()
        wimtui("mount", wim, where)
        assert (where / "File.txt").read_bytes() == CONTENT
        made = live.the_mount(where)
        assert made["wim_path"] == str(wim)
        table = wimtui("mounts").stdout.splitlines()
        assert len([line for line in table if f" {made['pid']}" in line]) == 1
        assert wimtui_json("unmount", where)["mount_point"] == str(where)


def test_a_wim_that_goes_away_while_mounted(one_image: Path, tmp_path: Path) -> None:
    wim = Path(shutil.copy(one_image, tmp_path / "a.wim"))
    with mounted(wim) as where:
        wim.rename(tmp_path / "b.wim")
        assert (where / "File.txt").read_bytes() == CONTENT
    wim = tmp_path / "b.wim"
    with mounted(wim) as where:
        wim.unlink()
        assert (where / "File.txt").read_bytes() == CONTENT


@pytest.mark.parametrize("name", ["missing", "file", "full", "mounted"])
def test_mount_points_that_cannot_be(one_image: Path, name: str) -> None:
    with mount_point() as base:
        (base / "file").write_bytes(b"")
        (base / "full").mkdir()
        (base / "full" / "x").write_bytes(b"")
        (base / "mounted").mkdir()
        if name == "mounted":
            wimtui("mount", one_image, base / name)
        try:
            said = wimtui("mount", one_image, base / name, code=107).stderr
        finally:
            if name == "mounted":
                wimtui("unmount", base / name)
        assert str(base / name) in said
        assert len(said.splitlines()) == 1
        if name == "full":
            assert "nonempty" in said
            wimtui("mount", one_image, base / name, "-o", "nonempty")
            wimtui("unmount", base / name)


def test_nothing_that_wimtui_needs_is_covered(one_image: Path, tmp_path: Path) -> None:
    said = wimtui("mount", one_image, tmp_path, "-o", "nonempty", code=107).stderr
    assert "wimtui needs" in said


def test_words_after_o(one_image: Path) -> None:
    words = "noauto,user,nofail,_netdev,defaults,x-systemd.automount,comment=x,ro,noatime,nosuid"
    with mounted(one_image, "-o", words, "-o", "fsname=a\\,b,noexec") as where:
        assert {"ro", "noatime", "nosuid", "noexec", "source=a,b"} <= options_of(where)
        with pytest.raises(OSError, match="Read-only"):
            (where / "new").touch()


def test_owner_and_mode(one_image: Path) -> None:
    options = ("--uid=1234", "--gid=5678", "--umask=032")
    with mounted(one_image, *options) as where:
        found = (where / "File.txt").stat()
        assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (1234, 5678, 0o745)
    with mounted(one_image) as where:
        found = (where / "File.txt").stat()
        assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (os.getuid(), 0o777)
    with mounted(one_image, "--unix-data") as where:
        assert stat.S_IMODE((where / "File.txt").stat().st_mode) == 0o640
        assert stat.S_ISFIFO((where / "fifo").stat().st_mode)


def test_names_whatever_their_case(one_image: Path) -> None:
    with mounted(one_image, "--ignore-case") as where:
        assert (where / "fILE.TXT").read_bytes() == CONTENT
    with mounted(one_image) as where:
        assert not (where / "fILE.TXT").exists()


def test_streams(live: Live) -> None:
    found = [
        (one["path"], stream["name"])
        for one in wimtui_json("dir", SAMPLE, "2", "--detailed")
        for stream in one["streams"]
        if stream["kind"] == "named"
    ]
    path, name = found[0]
    cat = [*WIMTUI, "cat", str(SAMPLE), "2", f"{path}:{name}"]
    content = subprocess.run(cat, capture_output=True, check=True).stdout
    inside = path.lstrip("/")
    with mounted(SAMPLE, "--streams-interface=xattr", image="2") as where:
        assert os.getxattr(where / inside, f"user.{name}") == content
    with mounted(SAMPLE, "--streams-interface=windows", image="2") as where:
        assert (where / f"{inside}:{name}").read_bytes() == content
    with mounted(SAMPLE, "--streams-interface=none", image="2") as where:
        assert not (where / f"{inside}:{name}").exists()
        with pytest.raises(OSError, match="not supported"):
            os.listxattr(where / inside)


def test_allow_other(one_image: Path) -> None:
    as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    if os.getuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("only root can be somebody else")
    for options, seen in (([], False), (["--allow-other"], True)):
        with mounted(one_image, *options) as where:
            where.parent.chmod(0o755)
            done = subprocess.run(
                [*as_nobody, "cat", where / "File.txt"], capture_output=True, check=False
            )
            assert (done.stdout == CONTENT) is seen
            denied = subprocess.run(
                [*as_nobody, *WIMTUI, "unmount", where], capture_output=True, text=True,
                check=False, env={**os.environ, "WIMTUI_RUNTIME_DIR": "", "HOME": "/nonexistent"},
            )  # fmt: skip
            if "No module named" not in denied.stderr and "ermission" not in denied.stderr:
                assert denied.returncode in (80, 81), denied.stderr


def test_parts_and_references(tmp_path: Path, one_image: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for number in range(4):
        (source / f"r{number}").write_bytes(os.urandom(60_000))
    wimlib("capture", source, tmp_path / "w.wim", "--compress=none")
    wimlib("split", tmp_path / "w.wim", tmp_path / "s.swm", "0.1")
    parts = sorted(tmp_path.glob("s*.swm"))
    assert len(parts) > 2
    refs = [f"--ref={part}" for part in parts[1:]]
    for options in (refs, [f"--ref={tmp_path}/s*.swm"]):
        with mounted(tmp_path / "s.swm", *options) as where:
            for file in source.iterdir():
                assert (where / file.name).read_bytes() == file.read_bytes()
    with mounted(tmp_path / "s.swm") as where:
        read = subprocess.run(f"cat {where}/*", shell=True, capture_output=True, check=False)
        assert b"Input/output error" in read.stderr


def test_cache_size(one_image: Path) -> None:
    for size in ("0", "1G"):
        with mounted(SAMPLE, f"--cache-size={size}") as where:
            assert (where / "setup.exe").read_bytes()


def test_json(one_image: Path, live: Live) -> None:
    with mount_point() as where:
        made = wimtui_json("mount", one_image, where)
        assert (made["status"], made["mount_point"]) == ("ok", str(where))
        assert made["pid"] in live.daemons()
        wimtui("unmount", where)


def test_a_log_file_that_cannot_be(one_image: Path, tmp_path: Path) -> None:
    with mount_point() as where:
        said = wimtui("mount", one_image, where, "--log-file=/nowhere/x.log", code=72).stderr
        assert "/nowhere/x.log" in said
        log = tmp_path / "x.log"
        wimtui("mount", one_image, where, f"--log-file={log}")
        assert "mounted" in log.read_text()
        wimtui("unmount", where)


@pytest.mark.parametrize("option", ["--foreground", "-f", "--debug"])
def test_foreground(one_image: Path, live: Live, option: str) -> None:
    with mount_point() as where:
        shell = subprocess.Popen(
            [*WIMTUI, "mount", one_image, where, option], stderr=subprocess.PIPE, text=True
        )
        wait_for(lambda: str(where) in mount_points(), "the mount")
        wait_for(lambda: bool(live.mounts(where)), "the entry")
        wait_for(lambda: live.the_mount(where)["status"] == "ok", "the mount's start")
        assert (where / "File.txt").read_bytes() == CONTENT
        assert live.daemons() == [shell.pid]
        wimtui("unmount", where)
        _, said = shell.communicate(timeout=DEADLINE_S)
        assert shell.returncode == 0
        assert ("opcode: " in said or "LOOKUP" in said) is (option == "--debug")
        live.nothing_left(where, [])


def test_foreground_errors_are_said_once(one_image: Path) -> None:
    with mount_point() as where:
        said = wimtui("mount", one_image, "9", where, "-f", code=18).stderr
    assert len(said.splitlines()) == 1
