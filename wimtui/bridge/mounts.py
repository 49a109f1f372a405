"""What screens ask about mounts."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from wimtui import messages
from wimtui.bridge.patience import patiently
from wimtui.control.errors import ControlError, MountBusyError, QueueLimitError, RemoteError
from wimtui.service.mounts import Disposition, MountStatus

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

    def __init__(self, app: MessagePump, asker: Asker, services: Services) -> None:
        self._app = app
        self._asker = asker
        self._services = services

    def _tell_app(self, answer: Message) -> None:
        """Say what became of a mount although the dialog that wanted it is closed."""
        if isinstance(answer, messages.Mounted | messages.Unmounted | messages.OperationFailed):
            self._asker.post(self._app, answer)

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

    def _activity(self, mount_id: str) -> Message | None:
        try:
            activity = self._services.activity_of(mount_id)
        except QueueLimitError as error:
            # It was not even asked, so nothing is known of it.
            log.debug("cannot ask %s: %s", mount_id, error)
            return None
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

        self._asker.ask(target, "mount", work, subject=request.mount_id, unwanted=self._tell_app)

    def unmount(
        self,
        target: MessagePump,
        mount: MountSummary,
        *,
        force: bool = False,
        disposition: Disposition | None = None,
    ) -> None:
        """Unmount; Unmounted, UnmountRefused where it is in use, or OperationFailed.

        With changes of which ``disposition`` does not speak: ChangesStaged, and it stays mounted.
        """
        name = mount.mount_id or mount.mount_point
        if mount.status is MountStatus.DETACHED or not name:
            name = mount.staging_path
        chosen = disposition or _careful(mount)

        def work() -> Message:
            try:
                ended = patiently(
                    mount, lambda: self._services.unmount(name, lazy=force, disposition=chosen)
                )
                return messages.Unmounted(ended, _fate(ended, chosen))
            except ControlError as error:
                reason = error.name if isinstance(error, RemoteError) else ""
                if reason == "dirty":
                    return messages.ChangesStaged(mount)
                if error.code != MountBusyError.code or reason == "busy":
                    raise
                holders = self._services.holders_of(mount.mount_point)
                return messages.UnmountRefused(mount.mount_point, error.message, holders)

        self._asker.ask(
            target, f"unmount {mount.mount_point}", work, key=f"unmount {name}", subject=name,
            unwanted=self._tell_app,
        )  # fmt: skip

    def find_holders(self, target: MessagePump, mount_point: str) -> None:
        """Ask for HoldersFound."""
        self._asker.ask(
            target,
            "look for who uses the mount",
            lambda: messages.HoldersFound(mount_point, self._services.holders_of(mount_point)),
            key=f"holders {mount_point}",
        )


def _careful(mount: MountSummary) -> Disposition:
    """Return what loses nothing: a daemon says whether it has changes, nobody else knows."""
    has_changes = mount.mode == "rw" and mount.alive
    return Disposition.IF_CLEAN if has_changes else Disposition.KEEP


def _fate(mount: MountSummary, disposition: Disposition) -> str:
    if mount.mode != "rw" or disposition is Disposition.IF_CLEAN:
        return ""
    if disposition is Disposition.DISCARD:
        return "its changes are discarded"
    return f"its changes stay staged in {mount.staging_path}" if mount.staging_path else ""
