"""What screens ask about commits: what they would write, and the jobs that write it."""

from __future__ import annotations

import logging
import time
from contextlib import closing
from pathlib import PurePath
from typing import TYPE_CHECKING, Final

from wimtui import messages
from wimtui.bridge.patience import patiently
from wimtui.control.errors import ControlError, RemoteError
from wimtui.control.protocol import LogEvent, Outcome, ProgressEvent
from wimtui.engine.errors import WimError
from wimtui.job_runner import sink_of
from wimtui.outcomes import commit_failure, committed_text, sentence_of
from wimtui.service.browse import CancelToken
from wimtui.service.commits import committed, progress_of
from wimtui.service.mounts import MountStatus

if TYPE_CHECKING:
    from collections.abc import Iterable

    from textual.message import Message
    from textual.message_pump import MessagePump

    from wimtui.bridge.asker import Asker
    from wimtui.control.protocol import Event
    from wimtui.engine.progress import Progress, ProgressSink
    from wimtui.job_runner import JobRunner
    from wimtui.jobs import Job
    from wimtui.service.commits import CommitSettings
    from wimtui.service.frontend import Services
    from wimtui.service.mounts import MountSummary
    from wimtui.service.operations import RunningOperation

log = logging.getLogger(__name__)

LOOK: Final = "look at what is staged"


class _LeftError(ControlError):
    """The app ends; the daemon goes on."""


class CommitCalls:
    """Looks at what is staged, writes it, and follows what others began to write."""

    def __init__(self, app: MessagePump, asker: Asker, services: Services, jobs: JobRunner) -> None:
        self._app = app
        self._asker = asker
        self._services = services
        self._jobs = jobs
        self._leave = CancelToken()

    def look(self, target: MessagePump, mount: MountSummary) -> None:
        """Ask for StagedRead."""
        name = target_of(mount)

        def work() -> Message:
            began = time.perf_counter()
            report = patiently(mount, lambda: self._services.report_of(name))
            return messages.StagedRead(name, report, time.perf_counter() - began)

        self._asker.ask(target, LOOK, work, key=f"staged {name}", subject=name)

    def estimate(self, target: MessagePump, mount: MountSummary, settings: CommitSettings) -> None:
        """Ask for EstimateRead."""
        name = target_of(mount)

        def work() -> Message:
            try:
                found = patiently(mount, lambda: self._services.commit_estimate(name, settings))
            except (WimError, ControlError, OSError) as error:
                return messages.EstimateRead(settings, None, sentence_of(error))
            return messages.EstimateRead(settings, found)

        self._asker.ask(target, "estimate a commit", work)

    def begin(
        self,
        mount: MountSummary,
        settings: CommitSettings,
        *,
        unmounts: bool = False,
        force: bool = False,
    ) -> Job:
        """Begin to write what is staged; of a mount its daemon does the work.

        Args:
            mount: The mount, or what it left staged.
            settings: How.
            unmounts: End the mount after it.
            force: Even while files are open.
        """
        name = target_of(mount)

        def work(job: Job, token: CancelToken) -> bool:
            sink = self._leaving_sink(job)
            try:
                if unmounts:
                    done = self._services.commit_and_unmount(
                        name, settings, sink, token, force=force
                    )
                else:
                    done = patiently(
                        mount, lambda: self._services.commit(name, settings, sink, token)
                    )
            except (WimError, ControlError, OSError) as error:
                job.summary = commit_failure(error, is_mounted=mount.alive)
                raise
            job.summary = committed_text(done)
            for warning in done.warnings:
                job.note(warning)
            return True

        return self._jobs.begin(
            _title(mount, settings, unmounts=unmounts), work, subject=name, survives=mount.alive
        )

    def _leaving_sink(self, job: Job) -> ProgressSink:
        """Return what takes progress, and drops the connection to the daemon when the app ends."""
        sink = sink_of(job)

        def take(progress: Progress) -> None:
            if job.survives and self._leave.cancelled:
                raise _LeftError("the app ends")
            sink(progress)

        return take

    def leave(self) -> None:
        """Follow nothing any more."""
        self._leave.cancel()

    # What others began

    def notice(self, mounts: Iterable[MountSummary]) -> None:
        """Follow the commits that nobody here began."""
        for mount in mounts:
            if mount.status is not MountStatus.COMMITTING or not mount.alive:
                continue
            if not self._jobs.is_running(mount.mount_id):
                self._asker.ask(
                    self._app,
                    "follow a commit",
                    lambda mount=mount: self._attach(mount),  # type: ignore[misc]
                    key=f"follow {mount.mount_id}",
                )

    def _attach(self, mount: MountSummary) -> None:
        try:
            running = self._services.running_operation(mount.mount_id)
        except (ControlError, OSError) as error:
            log.debug("nothing to follow of %s: %s", mount.mount_id, error)
            return
        if running is None:
            return
        if self._jobs.is_running(mount.mount_id):
            running.close()
            return
        unmounts = " and unmount" if running.name == "unmount" else ""
        self._jobs.begin(
            f"Commit{unmounts} {mount.mount_point} (started elsewhere)",
            lambda job, token: self._follow(job, token, running, mount),
            subject=mount.mount_id,
            survives=True,
        )

    def _follow(
        self, job: Job, token: CancelToken, running: RunningOperation, mount: MountSummary
    ) -> bool:
        sink = sink_of(job)

        def take(event: Event) -> None:
            if isinstance(event, ProgressEvent):
                sink(progress_of(event), event.elapsed_ms / 1000)
            elif isinstance(event, LogEvent):
                job.note(f"{event.level} {event.text}")

        try:
            with closing(running):
                ended = running.follow(take, token, self._leave)
            if ended is not None and ended.outcome is not Outcome.DONE:
                raise RemoteError(ended.code, ended.text or "the commit failed", hint=ended.hint)
        except ControlError as error:
            job.summary = commit_failure(error, is_mounted=True)
            raise
        if ended is not None:
            job.summary = committed_text(committed(mount.wim_path, ended.data))
            if ended.text:
                job.note(ended.text)
        return True


def target_of(mount: MountSummary) -> str:
    """Return what services know a mount by, or its staging folder where nothing is mounted."""
    if mount.status is MountStatus.DETACHED or not mount.mount_id:
        return mount.staging_path
    return mount.mount_id


def _title(mount: MountSummary, settings: CommitSettings, *, unmounts: bool) -> str:
    verb = "Commit"
    if settings.save_as is not None:
        verb = f"Save as {PurePath(settings.save_as).name}"
    elif settings.new_image:
        verb = "Add image of"
    elif settings.rebuild or settings.recompress or settings.solid:
        verb = "Rebuild from"
    end = " and unmount" if unmounts else ""
    where = mount.mount_point if mount.alive or not mount.staging_path else mount.staging_path
    return f"{verb}{end} {where}" if verb == "Commit" else f"{verb} {where}{end}"
