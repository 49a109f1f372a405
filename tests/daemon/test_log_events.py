"""What a daemon logs reaches the front ends that asked for it, and nobody else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.readwrite.mounts import copied_sample, mounted_rw
from wimtui.control import registry
from wimtui.control.client import DaemonClient
from wimtui.control.protocol import Commit, EndedEvent, Event, LogEvent, Status, Subscribe

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.fuse, pytest.mark.mqueue]


def until_ended(client: DaemonClient) -> list[Event]:
    """Take events up to the end of an operation, and those that were sent before a last answer."""
    events: list[Event] = []
    for event in client.events(timeout_s=30.0):
        events.append(event)
        if isinstance(event, EndedEvent):
            break
    client.request(Status())
    while (late := client.receive_nowait()) is not None:
        events.append(late)
    return events


def test_records_go_to_those_who_want_them(tmp_path: Path) -> None:
    with mounted_rw(copied_sample(tmp_path)) as mounted:
        (mounted.path / "new.txt").write_text("new")
        record = registry.find_mount(mounted.path, registry.list_mounts())
        assert record is not None
        with DaemonClient(record) as reader, DaemonClient(record) as other:
            reader.request(Subscribe(log_level="INFO"))
            other.request(Subscribe())
            other.request(Commit())

            told = [one for one in until_ended(reader) if isinstance(one, LogEvent)]
            assert any("committed, 1 blobs written" in one.text for one in told), told
            assert {one.level for one in told} == {"INFO"}
            assert all(one.logger.startswith("wimtui.") for one in told)
            assert not [one for one in until_ended(other) if isinstance(one, LogEvent)]
