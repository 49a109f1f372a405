"""The queues on which front ends get replies, noted in the runtime folder so that none is lost.

The kernel keeps a queue until somebody removes it, and queues cannot be listed where /dev/mqueue is
not mounted. So each has an empty file of its name, which tells sweep_client_queues() to remove it
once its process is gone.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from wimtui import paths
from wimtui.control.errors import ControlError, QueueError, QueueLimitError
from wimtui.control.registry_entry import clients_folder
from wimtui.control.transport import ClientQueueName, ReceiveQueue, unlink_queue

if TYPE_CHECKING:
    from pathlib import Path


class ClientQueue:
    """A queue for the replies and events of one daemon; close() leaves nothing of it."""

    __slots__ = ("_note", "queue")

    def __init__(self, queue: ReceiveQueue, note: Path) -> None:
        self.queue = queue
        self._note = note

    @classmethod
    def create(cls, *, writer_uid: int, runtime: Path | None = None) -> ClientQueue:
        """Make a queue with a random name.

        Args:
            writer_uid: The user whose daemon writes to it.
            runtime: The runtime folder, by default the user's.

        Raises:
            QueueError: It cannot be made.
            ControlError: The runtime folder is not safely ours.
        """
        name = ClientQueueName.make().text
        try:
            folder = paths.private_folder(clients_folder(runtime or paths.runtime_dir()))
            note = folder / name.removeprefix("/")
            note.touch(mode=0o600, exist_ok=False)
        except OSError as error:
            raise ControlError(f"no folder to note a message queue in: {error}") from error
        try:
            return cls(_create_queue(name, writer_uid, folder.parent), note)
        except BaseException:
            note.unlink(missing_ok=True)
            raise

    def close(self) -> None:
        """Remove the queue; harmless when done twice."""
        self.queue.close()
        self._note.unlink(missing_ok=True)


def sweep_client_queues(runtime: Path) -> int:
    """Remove the queues of front ends of this user that are gone; how many those were."""
    removed = 0
    with contextlib.suppress(OSError):
        for note in list(clients_folder(runtime).iterdir()):
            name = ClientQueueName.parse("/" + note.name)
            if name is None or name.uid != os.geteuid() or name.is_reader_running():
                continue
            with contextlib.suppress(QueueError):
                removed += unlink_queue(name.text)
            note.unlink(missing_ok=True)
    return removed


def _create_queue(name: str, writer_uid: int, runtime: Path) -> ReceiveQueue:
    try:
        return ReceiveQueue.create(name, writer_uid=writer_uid)
    except QueueLimitError:
        if sweep_client_queues(runtime) == 0:
            raise
        return ReceiveQueue.create(name, writer_uid=writer_uid)
