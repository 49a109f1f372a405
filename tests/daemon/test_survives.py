"""What front ends and full disks do to a daemon must not end its mount."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mounting import mounted
from wimtui.control import registry
from wimtui.control.client import DaemonClient
from wimtui.control.mountinfo import MountTable
from wimtui.control.protocol import Outcome, Status, StatusReply, Subscribe, Unmount
from wimtui.control.transport import SendQueue

pytestmark = [pytest.mark.fuse, pytest.mark.mqueue]
SAMPLE = "tools/sample/sample.wim"


def record_at(where: Path) -> registry.MountRecord:
    record = registry.find_mount(where, registry.list_mounts())
    assert record is not None
    return record


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\xff" * 2048,
        b'{"v":1,"t":"status","id":' + b"9" * 1900 + b',"to":"/wimtui.0.c.1.1.00000000"}',
        b'{"v":1,"t":"subscribe","id":1,"log_level":"Logger","to":"/nowhere"}',
        b'{"v":9,"t":"status","id":1}',
        b"[" * 2000,
    ],
)
def test_senseless_messages(message: bytes) -> None:
    with mounted(Path(SAMPLE)) as where:
        with SendQueue.open(record_at(where).entry.queue_name) as queue:
            assert queue.try_send(message)

        with DaemonClient(record_at(where)) as client:
            assert isinstance(client.request(Status()), StatusReply)
        assert (where / "license.rtf").is_file()


def test_a_word_that_is_no_log_level() -> None:
    with mounted(Path(SAMPLE)) as where, DaemonClient(record_at(where)) as client:
        client.request(Subscribe(log_level="Logger"))

        assert isinstance(client.request(Status()), StatusReply)


def test_a_registry_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = tmp_path / "run"
    monkeypatch.setenv("WIMTUI_RUNTIME_DIR", str(runtime))
    with mounted(Path(SAMPLE)) as where:
        mounts = runtime / "mounts"
        with DaemonClient(record_at(where)) as client, (where / "license.rtf").open("rb"):
            mounts.rename(runtime / "away")
            mounts.write_bytes(b"")  # nothing can be made in there, not even by root
            ended = client.run(Unmount())
        mounts.unlink()
        (runtime / "away").rename(mounts)

        assert (ended.outcome, ended.code) == (Outcome.FAILED, 79)
        assert record_at(where).status is registry.MountStatus.OK
        assert (where / "license.rtf").is_file()


def test_fstab_words_keep_their_commas() -> None:
    with mounted(Path(SAMPLE), "-o", r"fsname=a\,b,noatime") as where:
        [mount] = [one for one in MountTable.read().mounts if one.mount_point == str(where)]

        assert mount.source == "a,b"
        assert "noatime" in mount.options
