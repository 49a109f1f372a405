"""What screens ask about mounts."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from wimtui import messages
from wimtui.control.errors import ControlError, MountBusyError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from textual.message import Message
    from textual.message_pump import MessagePump

    from wimtui.bridge.asker import Asker
    from wimtui.service.frontend import Services
    from wimtui.service.mounts import MountRequest, MountSummary, StartProgress

log = logging.getLogger(__name__)

LIST_MOUNTS = "list the mounts"


class MountCalls:
    """Lists, makes and ends mounts."""

    def __init__(self, asker: Asker, services: Services) -> None:
        self._asker = asker
        self._services = services

    def poll(self, target: MessagePump) -> None:
        """Ask for MountsListed, unless that is being asked already."""
        self._asker.ask(
            target,
            LIST_MOUNTS,
            lambda: messages.MountsListed(self._services.list_mounts()),
            key="mounts",
        )

    def poll_activity(self, target: MessagePump, mount_ids: Iterable[str]) -> None:
        """Ask daemons for ActivityRead; one that still owes an answer is not asked again."""
        for mount_id in mount_ids:
            self._asker.ask(
                target,
                "ask a daemon",
                lambda mount_id=mount_id: self._activity(mount_id),  # type: ignore[misc]
                key=f"activity {mount_id}",
            )

    def _activity(self, mount_id: str) -> Message:
        try:
            activity = self._services.activity_of(mount_id)
        except (ControlError, OSError) as error:
            log.debug("no activity of %s: %s", mount_id, error)
            return messages.ActivityRead(mount_id, None, self._services.now())
        return messages.ActivityRead(mount_id, activity, self._services.now())

    def mount(self, target: MessagePump, request: MountRequest, *, create: bool) -> None:
        """Mount; MountProgress, then Mounted or OperationFailed."""

        def tell(start: StartProgress) -> None:
            self._asker.post(
                target,
                messages.MountProgress(request.mount_id, start.phase, start.done, start.total),
            )

        def work() -> Message:
            if create:
                self._services.create_mount_point(request.mount_point)
            return messages.Mounted(self._services.mount(request, tell))

        self._asker.ask(target, "mount", work, subject=request.mount_id)

    def unmount(self, target: MessagePump, mount: MountSummary, *, force: bool = False) -> None:
        """Unmount; Unmounted, UnmountRefused where it is in use, or OperationFailed."""
        name = mount.mount_id or mount.mount_point

        def work() -> Message:
            try:
                return messages.Unmounted(self._services.unmount(name, lazy=force))
            except ControlError as error:
                if error.code != MountBusyError.code:
                    raise
                holders = self._services.holders_of(mount.mount_point)
                return messages.UnmountRefused(mount.mount_point, error.message, holders)

        self._asker.ask(
            target, f"unmount {mount.mount_point}", work, key=f"unmount {name}", subject=name
        )

    def find_holders(self, target: MessagePump, mount_point: str) -> None:
        """Ask for HoldersFound."""
        self._asker.ask(
            target,
            "look for who uses the mount",
            lambda: messages.HoldersFound(mount_point, self._services.holders_of(mount_point)),
            key=f"holders {mount_point}",
        )
