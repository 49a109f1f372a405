"""What screens ask about mounts that are to be another or back, and what needs a decision."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from wimtui import upkeep_messages
from wimtui.control.errors import ControlError, MountBusyError
from wimtui.engine.progress import Phase, Progress
from wimtui.job_runner import sink_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.message import Message
    from textual.message_pump import MessagePump

    from wimtui.bridge.asker import Asker
    from wimtui.job_runner import JobRunner
    from wimtui.jobs import Job
    from wimtui.service.browse import CancelToken
    from wimtui.service.frontend import Services
    from wimtui.service.mounts import MountSummary, StartProgress


class RecoveryCalls:
    """Finds what needs a decision, and carries some of the decisions out."""

    def __init__(self, app: MessagePump, asker: Asker, services: Services, jobs: JobRunner) -> None:
        self._app = app
        self._asker = asker
        self._services = services
        self._jobs = jobs
        # Staging folders can be open once only, be it to count what is in them.
        self._lock = threading.Lock()

    def read(self, target: MessagePump) -> None:
        """Ask for RecoverablesRead."""

        def work() -> Message:
            with self._lock:
                return upkeep_messages.RecoverablesRead(self._services.recoverables())

        self._asker.ask(
            target, "look for what needs recovery", work, key="recoverables", once_more=True
        )

    def remount(self, mount: MountSummary) -> Job:
        """Begin to mount again what lost its daemon; MountReplaced goes to the app."""

        def work(job: Job, token: CancelToken) -> bool:
            with self._lock:
                made = self._services.remount(_name(mount), _start_sink(job))
            job.summary = f"mounted at {made.mount_point}"
            self._asker.post(self._app, upkeep_messages.MountReplaced(made))
            return True

        return self._jobs.begin(f"Remount {mount.mount_point}", work, subject=mount.mount_id)

    def switch(self, wish: upkeep_messages.SwitchMount) -> Job:
        """Begin to mount something else in place of a mount.

        MountReplaced goes to the app, or SwitchRefused where the mount is in use.
        """
        mount = wish.mount
        image = None if wish.image_index is None else str(wish.image_index)

        def work(job: Job, token: CancelToken) -> bool:
            try:
                made = self._services.switch(
                    mount.mount_id, wish.read_write, image, _start_sink(job)
                )
            except ControlError as error:
                if error.code == MountBusyError.code:
                    holders = self._services.holders_of(mount.mount_point)
                    refused = upkeep_messages.SwitchRefused(wish, error.message, holders)
                    self._asker.post(self._app, refused)
                raise
            mode = "read-write" if made.mode == "rw" else "read-only"
            job.summary = f"image {made.image_index} is mounted {mode} at {made.mount_point}"
            self._asker.post(self._app, upkeep_messages.MountReplaced(made))
            return True

        return self._jobs.begin(f"Switch {mount.mount_point}", work, subject=mount.mount_id)

    def trim(self, path: str) -> Job:
        """Begin to cut what a killed write left in a WIM."""

        def work(job: Job, token: CancelToken) -> bool:
            job.summary = f"{path}: {self._services.trim(path):,} bytes cut"
            return True

        return self._jobs.begin(f"Clean {path}", work)


def _name(mount: MountSummary) -> str:
    return mount.mount_id or mount.staging_path or mount.mount_point


def _start_sink(job: Job) -> Callable[[StartProgress], None]:
    sink = sink_of(job)
    return lambda start: sink(
        Progress(Phase(start.phase), bytes_done=start.done, bytes_total=start.total)
    )
