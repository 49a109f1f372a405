"""What screens ask to be written into WIMs, and what they ask before."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from wimtui import upkeep_messages
from wimtui.job_runner import sink_of
from wimtui.service.editing import WriteSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.message_pump import MessagePump

    from wimtui.bridge.asker import Asker
    from wimtui.job_runner import JobRunner
    from wimtui.jobs import Job
    from wimtui.service.browse import CancelToken
    from wimtui.service.editing import ImageProperties, Written
    from wimtui.service.frontend import Services


class EditCalls:
    """Changes and deletes images, and rebuilds WIMs; each edit ends with WimWritten."""

    def __init__(self, asker: Asker, services: Services, jobs: JobRunner) -> None:
        self._asker = asker
        self._services = services
        self._jobs = jobs

    def read_space(self, target: MessagePump, path: str) -> None:
        """Ask for SpaceRead."""
        self._asker.ask(
            target,
            f"measure {path}",
            lambda: upkeep_messages.SpaceRead(path, self._services.space_of(path)),
            key=f"space {path}",
        )

    def count_loss(self, target: MessagePump, path: str, index: int) -> None:
        """Ask for LossCounted."""
        self._asker.ask(
            target,
            f"look into image {index}",
            lambda: upkeep_messages.LossCounted(path, self._services.loss_of(path, index)),
        )

    def set_image(
        self, target: MessagePump, path: str, index: int, properties: ImageProperties
    ) -> Job:
        """Begin to change what a WIM says of an image."""
        return self._begin(
            target,
            path,
            f"Change image {index} of {path}",
            lambda settings: self._services.set_image(path, str(index), properties, settings),
        )

    def capture(
        self,
        target: MessagePump,
        folder: str,
        path: str,
        properties: ImageProperties,
        compress: str | None,
    ) -> Job:
        """Begin to capture a folder as an image; the WIM is remembered."""

        def write(settings: WriteSettings) -> Written:
            settings = replace(settings, compress=compress)
            written = self._services.capture_folder(folder, path, properties, settings)
            self._services.remember_wim(path)
            return written

        return self._begin(target, path, f"Capture {folder} into {path}", write)

    def delete_image(self, target: MessagePump, path: str, index: int, *, soft: bool) -> Job:
        """Begin to delete an image."""
        return self._begin(
            target,
            path,
            f"Delete image {index} of {path}",
            lambda settings: self._services.delete_image(path, str(index), settings, soft=soft),
        )

    def optimize(self, target: MessagePump, path: str, *, recompress: bool) -> Job:
        """Begin to write a WIM anew without dead bytes."""

        def write(settings: WriteSettings) -> Written:
            return self._services.optimize_wim(path, settings)

        return self._begin(target, path, f"Optimise {path}", write, recompress=recompress)

    def _begin(
        self,
        target: MessagePump,
        path: str,
        title: str,
        write: Callable[[WriteSettings], Written],
        *,
        recompress: bool = False,
    ) -> Job:
        def work(job: Job, token: CancelToken) -> bool:
            settings = WriteSettings(recompress=recompress, progress=sink_of(job), cancel=token)
            try:
                written = write(settings)
            finally:
                self._asker.post(target, upkeep_messages.WimWritten(path))
            job.summary, job.lines = _outcome(written), written.warnings
            return True

        return self._jobs.begin(title, work)


def _outcome(written: Written) -> str:
    if not written.is_written:
        return "nothing was to be changed, nothing was written"
    if not written.old_size:
        return f"{written.path}: made, {written.new_size:,} bytes"
    saved = written.old_size - written.new_size
    if not saved:
        return f"{written.path}: {written.new_size:,} bytes as before"
    change = f"{saved:,} bytes given back" if saved > 0 else f"{-saved:,} bytes more"
    return f"{written.path}: {written.new_size:,} bytes, {change}"
