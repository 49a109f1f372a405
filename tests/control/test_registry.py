"""Entries reconciled with the table of mounts, and the sweep."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.control.test_registry_entry import new_entry
from wimtui.control.bulk import BulkFolder
from wimtui.control.errors import QueueMissingError
from wimtui.control.mountinfo import MountTable
from wimtui.control.protocol import DaemonState
from wimtui.control.registry import (
    MountRecord,
    MountStatus,
    find_mount,
    list_mounts,
    reconcile,
    sweep,
)
from wimtui.control.registry_entry import RegistryEntry, RegistryFile, bulk_folder
from wimtui.control.registry_folder import FoundEntry, RegistryFolder
from wimtui.control.transport import ReceiveQueue, SendQueue

UID = os.geteuid()
POINT = "/mnt/point"
OURS = f"50 27 0:50 / {POINT} rw - fuse.wimtui a.wim rw,user_id={UID}"
COVER = f"51 50 0:51 / {POINT} rw - tmpfs none rw"
MOVED = f"50 27 0:50 / /mnt/moved rw - fuse.wimtui a.wim rw,user_id={UID}"
FOREIGN = f"52 27 0:50 / {POINT} rw - fuse.sshfs host rw,user_id={UID}"
OTHER_USER = f"53 27 0:50 / {POINT} rw - fuse.wimtui a.wim rw,user_id={UID + 1}"


def entry_of(**changes: object) -> RegistryEntry:
    values: dict[str, object] = {
        "mount_point": POINT,
        "device": "0:50",
        "kernel_mount_id": 50,
        "state": DaemonState.OK,
    }
    return new_entry(**{**values, **changes})


def judge(*lines: str, alive: bool, **changes: object) -> MountRecord:
    found = FoundEntry(entry_of(**changes), Path("/run/wimtui"), alive)
    records = reconcile([found], MountTable.parse("\n".join(lines)), UID)
    assert records[0].entry == found.entry
    return records[0]


@pytest.mark.parametrize(
    ("lines", "alive", "changes", "status"),
    [
        ((OURS,), True, {}, MountStatus.OK),
        ((OURS,), True, {"state": DaemonState.COMMITTING}, MountStatus.COMMITTING),
        ((OURS,), True, {"state": DaemonState.UNMOUNTING}, MountStatus.UNMOUNTING),
        ((OURS,), True, {"state": DaemonState.STARTING, "device": ""}, MountStatus.STARTING),
        ((), True, {"state": DaemonState.STARTING, "device": ""}, MountStatus.STARTING),
        ((), True, {}, MountStatus.UNMOUNTING),
        ((), True, {"state": DaemonState.COMMITTING}, MountStatus.COMMITTING),
        ((), True, {"state": DaemonState.DETACHED}, MountStatus.DETACHED),
        ((), True, {"staging_path": "/"}, MountStatus.DETACHED),
        ((OURS, COVER), True, {}, MountStatus.INVALID),
        ((MOVED,), True, {}, MountStatus.INVALID),
        ((OURS,), False, {}, MountStatus.DEAD),
        ((OURS, COVER), False, {"wim_path": "a.wim"}, MountStatus.DEAD),
        ((MOVED,), False, {"wim_path": "a.wim"}, MountStatus.DEAD),
        ((MOVED,), False, {"options": {"fuse_options": ["ro,fsname=x"]}}, MountStatus.DEAD),
        ((MOVED,), False, {"wim_path": "b.wim"}, MountStatus.ENDED),
        ((OURS,), False, {"device": "", "kernel_mount_id": 0}, MountStatus.DEAD),
        ((), False, {"staging_path": "/"}, MountStatus.DETACHED),
        ((), False, {"staging_path": "/nowhere/at/all"}, MountStatus.ENDED),
        ((), False, {}, MountStatus.ENDED),
        ((FOREIGN,), False, {}, MountStatus.ENDED),
        ((FOREIGN,), False, {"device": ""}, MountStatus.ENDED),
        ((OTHER_USER,), False, {}, MountStatus.ENDED),
        ((OTHER_USER,), False, {"device": ""}, MountStatus.ENDED),
    ],
)
def test_status(
    lines: tuple[str, ...], alive: bool, changes: dict[str, object], status: MountStatus
) -> None:
    assert judge(*lines, alive=alive, **changes).status is status


@pytest.mark.parametrize("mode", ["ro", "rw"])
def test_what_became_of_the_wim_is_told(mode: str) -> None:
    def judged(wim_state: str, state: DaemonState = DaemonState.OK) -> MountRecord:
        return judge(OURS, alive=True, mode=mode, wim_state=wim_state, state=state)

    assert (judged("").status, judged("").detail) == (MountStatus.OK, "")
    lost = judged("overwritten")
    assert (lost.status, lost.is_covered) == (MountStatus.INVALID, False)
    assert ("export" if mode == "rw" else "mount it anew") in lost.detail
    for state, word in (("replaced", "still shows the old one"), ("gone", "removed or renamed")):
        assert judged(state).status is MountStatus.OK
        assert word in judged(state).detail
        committing = judged(state, DaemonState.COMMITTING)
        assert (committing.status, committing.detail) == (MountStatus.COMMITTING, "")
    assert judged("what a later version says").status is MountStatus.OK


def test_where_it_went() -> None:
    assert judge(MOVED, alive=True).mount_points == ("/mnt/moved",)
    assert "moved to /mnt/moved" in judge(MOVED, alive=True).detail
    assert "over it" in judge(OURS, COVER, alive=True).detail
    assert judge(OURS, COVER, alive=True).is_covered
    assert not judge(MOVED, alive=True).is_covered


def test_a_device_number_that_serves_again_is_the_living_entrys() -> None:
    dead = FoundEntry(entry_of(created=1.0), Path("/run/wimtui"), alive=False)
    alive = FoundEntry(entry_of(created=2.0), Path("/run/wimtui"), alive=True)
    for order in ([dead, alive], [alive, dead]):
        records = reconcile(order, MountTable.parse(OURS))
        assert [record.status for record in records] == [MountStatus.ENDED, MountStatus.OK]


def test_of_two_dead_entries_the_later_has_the_mount() -> None:
    found = [FoundEntry(entry_of(created=float(n)), Path("/r"), alive=False) for n in (1, 2)]
    records = reconcile(found, MountTable.parse(OURS))
    assert [record.status for record in records] == [MountStatus.ENDED, MountStatus.DEAD]


def test_a_mount_without_entry_may_be_another_sessions() -> None:
    bind = OURS.replace(POINT, "/bind").replace("50 27", "60 27")
    (record,) = reconcile([], MountTable.parse(f"{OURS}\n{bind}"), UID)
    assert (record.status, record.alive, record.runtime) == (MountStatus.UNKNOWN, False, None)
    assert (record.entry.mount_point, record.entry.mount_id) == (POINT, "")
    assert record.mount_points == (POINT, "/bind")
    assert "no registry entry" in record.detail


def test_mounts_of_other_users_are_shown_on_demand() -> None:
    table = MountTable.parse(OTHER_USER)
    assert reconcile([], table, UID) == ()
    (record,) = reconcile([], table, None)
    assert record.entry.uid == UID + 1


def test_find_mount() -> None:
    old = FoundEntry(entry_of(created=1.0), Path("/r"), alive=False)
    new = FoundEntry(entry_of(created=2.0), Path("/r"), alive=True)
    records = reconcile([old, new], MountTable.parse(OURS))
    assert find_mount("/mnt/../mnt/point/", records) == records[1]
    assert find_mount(old.entry.mount_id, records) == records[0]
    assert find_mount("/mnt", records) is None


@pytest.mark.mqueue
def test_sweep_removes_what_is_stale_and_nothing_else(runtime: Path, tmp_path: Path) -> None:
    staging = tmp_path / "staging"
    staging.mkdir()
    table = MountTable.parse(OURS)
    ended = RegistryFile.create(entry_of(device="0:99", mount_point="/gone"))
    detached = RegistryFile.create(entry_of(device="0:98", staging_path=str(staging)))
    dead = RegistryFile.create(entry_of())
    alive = RegistryFile.create(entry_of(device="0:97", mount_point="/alive"))
    files = (ended, detached, dead, alive)
    queues = [ReceiveQueue.create(file.entry.queue_name) for file in files]
    for file in files:
        BulkFolder(file.bulk_folder).store(b"x")
    for file in files[:3]:
        file.close()

    removed = sweep(table=table)

    assert [record.entry.mount_id for record in removed] == [ended.entry.mount_id]
    left = {record.entry.mount_id: record.status for record in list_mounts(table=table)}
    assert left == {
        detached.entry.mount_id: MountStatus.DETACHED,
        dead.entry.mount_id: MountStatus.DEAD,
        alive.entry.mount_id: MountStatus.UNMOUNTING,
    }
    for queue in queues[:3]:
        with pytest.raises(QueueMissingError):
            SendQueue.open(queue.name)
    SendQueue.open(queues[3].name).close()
    assert list(bulk_folder(runtime, "").iterdir()) == [alive.bulk_folder]
    for queue in queues:
        queue.close()
    alive.close()


@pytest.mark.mqueue
def test_sweep_removes_no_queue_that_is_not_the_daemons() -> None:
    with ReceiveQueue.create(f"/wimtui.{UID}.c.1.1.00000000") as other:
        RegistryFile.create(entry_of(queue_name=other.name)).close()
        sweep(table=MountTable.parse(""))
        SendQueue.open(other.name).close()


def test_a_registry_that_does_not_exist(runtime: Path) -> None:
    table = MountTable.parse("")
    assert list_mounts(table=table) == ()
    assert sweep(table=table) == ()
    assert RegistryFolder(runtime).find("0" * 16) is None
    assert not runtime.exists()
