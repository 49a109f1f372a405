"""What other users left is theirs, also where root finds it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from wimtui.control import registry
from wimtui.control.errors import NotPermittedError
from wimtui.control.protocol import Disposition
from wimtui.control.registry import MountRecord, MountStatus
from wimtui.control.registry_entry import RegistryEntry, new_mount_id
from wimtui.service import changes, commits, mounts, stagings
from wimtui.service.commits import CommitSettings
from wimtui.service.recovery import recoverables

if TYPE_CHECKING:
    from collections.abc import Callable

    from wimtui.service.mounts import MountSummary

OTHER = os.geteuid() + 1


def drop(target: str) -> MountSummary:
    """What ``unmount --discard`` does."""
    return mounts.unmount_at(target, disposition=Disposition.DISCARD)


ACTS: dict[str, Callable[[str], object]] = {
    "remount": stagings.remount,
    "discard": drop,
    "commit": lambda target: commits.commit_at(target, CommitSettings()),
    "estimate": lambda target: commits.commit_estimate(target, CommitSettings()),
    "status": changes.report_of,
    "diff": changes.diff_of,
}


@pytest.fixture(params=[MountStatus.DETACHED, MountStatus.DEAD])
def left(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> MountRecord:
    """What the registry tells of another user's mount; its staging path is a folder of ours."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / "changes.db").write_bytes(b"")
    (folder / "mount.json").write_text('{"request": {"mount_point": "/"}, "changes": 5}')
    entry = RegistryEntry(
        mount_id=new_mount_id(),
        wim_path=str(tmp_path / "their.wim"),
        mount_point=str(tmp_path / "point"),
        mode="rw",
        options={"wim_path": "/their.wim", "mount_point": "/"},
        staging_path=str(folder),
        uid=OTHER,
    )
    record = MountRecord(entry, request.param, alive=False)
    monkeypatch.setattr(registry, "list_mounts", lambda **_: (record,))
    return record


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
def test_nothing_is_done_with_what_another_user_left(
    left: MountRecord, act: Callable[[str], object]
) -> None:
    before = sorted(Path(left.entry.staging_path).iterdir())
    with pytest.raises(NotPermittedError) as caught:
        act(left.entry.mount_point)
    assert str(OTHER) in caught.value.message
    assert "sudo -u" in str(caught.value.hint)
    assert sorted(Path(left.entry.staging_path).iterdir()) == before


def test_the_folder_that_another_user_names_is_not_looked_into(left: MountRecord) -> None:
    (summary,) = mounts.list_mounts()
    assert (summary.uid, summary.changes) == (OTHER, None)
    assert stagings.find_staged(left.entry.mount_point).note is None


def test_recovery_offers_to_clear_at_most(left: MountRecord) -> None:
    (found,) = [one for one in recoverables() if one.staging_path]
    assert found.target == left.entry.mount_id
    assert [way.name for way in found.ways] == ["CLEAR"] * (left.status is MountStatus.DEAD)


def test_a_folder_named_by_its_path_is_told_from_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "their.wim.staging-0123456789"
    folder.mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: OTHER)
    monkeypatch.setattr(registry, "list_mounts", lambda **_: ())
    with pytest.raises(NotPermittedError):
        stagings.find_staged(str(folder))
