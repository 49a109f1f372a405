"""How mounts begin and end."""

# The system calls themselves are what is tested.
# ruff: noqa: PTH116, PTH208

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuse.fake_tree import BLOCK
from tests.fuse.mounted import Mounted, wait_until
from wimtui.engine.fuse.mount_info import find_mount

pytestmark = pytest.mark.fuse


@pytest.fixture(params=["pyfuse3", "server"])
def session(request: pytest.FixtureRequest) -> str:
    """Who answers the kernel."""
    return str(request.param)


def test_unmounting_from_outside_ends_the_process_well(session: str, tmp_path: Path) -> None:
    with Mounted(tmp_path, session=session, flat_files=3) as mounted:
        os.listdir(mounted.path)
        assert mounted.unmount().returncode == 0

        assert mounted.answer() == {"end": "unmounted", "bugs": 0}
        assert mounted.wait() == 0
        assert find_mount(mounted.path) is None


def test_umount_does_as_well(session: str, tmp_path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("umount(8) needs root")
    with Mounted(tmp_path, session=session, flat_files=3) as mounted:
        subprocess.run(["umount", mounted.path], check=True)

        assert mounted.answer() == {"end": "unmounted", "bugs": 0}
        assert mounted.wait() == 0


def test_a_busy_mount_stays_and_a_lazy_unmount_serves_until_the_last_close(
    session: str,
    tmp_path: Path,
) -> None:
    with Mounted(tmp_path, session=session, flat_files=3) as mounted:
        with (mounted.path / "big").open("rb", buffering=0) as file:
            if os.getuid() != 0:
                assert mounted.unmount().returncode == 1
            else:
                busy = subprocess.run(["umount", mounted.path], capture_output=True, check=False)
                assert busy.returncode != 0
            assert mounted.unmount("-z").returncode == 0
            assert find_mount(mounted.path) is None

            file.seek(5 << 20)
            assert file.read(100) == BLOCK[:100]
            assert mounted.process.poll() is None

        assert mounted.answer() == {"end": "unmounted", "bugs": 0}
        assert mounted.wait() == 0


def test_a_connection_cut_by_force_is_told_from_an_unmount(session: str, tmp_path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("umount -f needs root")
    with Mounted(tmp_path, session=session, flat_files=3) as mounted:
        with (mounted.path / "hello").open("rb"):
            subprocess.run(["umount", "-f", mounted.path], capture_output=True, check=False)
            assert mounted.answer() == {"end": "aborted", "bugs": 0}

        assert mounted.wait() == 0
        assert find_mount(mounted.path) is not None
        assert mounted.unmount().returncode == 0


def test_terminating_takes_the_mount_away(session: str, tmp_path: Path) -> None:
    with Mounted(tmp_path, session=session, flat_files=3) as mounted:
        assert mounted.ask("terminate") == {"done": "terminate"}

        assert mounted.answer() == {"end": "terminated", "bugs": 0}
        assert mounted.wait() == 0
        assert find_mount(mounted.path) is None


def test_a_crash_leaves_a_dead_mount_and_not_an_empty_directory(
    session: str, tmp_path: Path
) -> None:
    with Mounted(tmp_path, session=session, flat_files=3) as mounted:
        mounted.send("crash")
        assert mounted.wait() != 0
        assert "crash on request" in mounted.log()

        assert find_mount(mounted.path) is not None
        with pytest.raises(OSError, match="not connected") as caught:
            os.listdir(mounted.path)
        assert caught.value.errno == errno.ENOTCONN


def test_a_killed_process_leaves_a_dead_mount_that_can_be_cleared(
    session: str, tmp_path: Path
) -> None:
    with Mounted(tmp_path, session=session, flat_files=3) as mounted:
        mounted.process.send_signal(signal.SIGKILL)
        mounted.wait()

        with pytest.raises(OSError, match="not connected"):
            os.stat(mounted.path)
        assert mounted.unmount().returncode == 0
        assert find_mount(mounted.path) is None
        assert os.listdir(mounted.path) == []


def test_a_second_mount_in_one_process_is_refused(session: str, tmp_path: Path) -> None:
    with Mounted(tmp_path, session=session, flat_files=3) as mounted:
        answer = mounted.ask("second")

        assert answer["error"] == "UsageError"
        assert str(mounted.path) in answer["text"]
        assert (mounted.path / "hello").read_bytes() == b"hello, world\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [(["frobnicate"], "unknown option"), (["max_read=4096"], "max_read cannot be used")],
)
def test_a_mount_that_fails_says_why(
    session: str, tmp_path: Path, options: list[str], message: str
) -> None:
    mounted = Mounted(tmp_path, session=session, flat_files=3, options=options)
    assert mounted.answer() is None
    assert mounted.wait() != 0

    assert message in mounted.log()
    assert find_mount(mounted.path) is None
    mounted.__exit__()


def test_a_mount_point_that_is_not_there_says_so(session: str, tmp_path: Path) -> None:
    mounted = Mounted(tmp_path, session=session, flat_files=3, mount_point_suffix="/missing")
    assert mounted.answer() is None
    assert mounted.wait() != 0

    assert "MountFailedError" in mounted.log()
    assert "missing" in mounted.log()
    mounted.__exit__()


def test_the_source_and_words_of_fstab_reach_the_kernel(session: str, tmp_path: Path) -> None:
    name = "/a b/smörgås,1.wim"
    options = ["noauto,user,_netdev,noexec,nosuid", "fsname=" + name.replace(",", r"\,")]
    with Mounted(tmp_path, session=session, flat_files=3, options=options) as mounted:
        info = find_mount(mounted.path)

        assert info is not None
        assert info.source == name
        assert {"ro", "noexec", "nosuid"} <= set(info.options.split(","))


def test_debug_prints_the_messages(tmp_path: Path) -> None:
    with Mounted(tmp_path, flat_files=3, options=["debug"]) as mounted:
        (mounted.path / "hello").stat()

        wait_until(lambda: "LOOKUP" in mounted.log())


def test_root_may_have_the_kernel_read_further_ahead(session: str, tmp_path: Path) -> None:
    with Mounted(tmp_path, session=session, flat_files=3) as mounted:
        info = find_mount(mounted.path)
        assert info is not None
        setting = Path(f"/sys/class/bdi/{info.device}/read_ahead_kb")
        if not os.access(setting, os.W_OK):
            pytest.skip("read_ahead_kb cannot be written")

        wait_until(lambda: setting.read_text().strip() == "1024")


def test_most_requests_are_read_without_waiting(tmp_path: Path) -> None:
    """Proves that pyfuse3 still takes what it waits with from its variable ``trio``."""
    with Mounted(tmp_path, flat_files=3, timeout_seconds=0) as mounted:
        subprocess.run(
            [
                sys.executable,
                "-c",
                "import os, sys\nfor _ in range(500): os.stat(sys.argv[1])",
                mounted.path / "hello",
            ],
            check=True,
        )

        assert mounted.ask("activity")["immediate"] > 0
