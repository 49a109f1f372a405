"""What screens ask about WIMs as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wimtui import messages
from wimtui.job_runner import sink_of
from wimtui.outcomes import verdict_of

if TYPE_CHECKING:
    from textual.message import Message
    from textual.message_pump import MessagePump

    from wimtui.bridge.asker import Asker
    from wimtui.job_runner import JobRunner
    from wimtui.jobs import Job
    from wimtui.service.browse import CancelToken
    from wimtui.service.frontend import Services


class ArchiveCalls:
    """Opens and verifies WIMs, and remembers which were opened."""

    def __init__(self, asker: Asker, services: Services, jobs: JobRunner) -> None:
        self._asker = asker
        self._services = services
        self._jobs = jobs

    def open(self, target: MessagePump, path: str) -> None:
        """Ask for ArchiveOpened; the WIM is remembered."""

        def work() -> Message:
            facts = self._services.inspect_archive(path)
            self._services.remember_wim(path)
            return messages.ArchiveOpened(path, facts, self._services.split_set_of(path, facts))

        self._asker.ask(target, f"open {path}", work, subject=path)

    def read_recents(self, target: MessagePump) -> None:
        """Ask for RecentsRead."""
        self._asker.ask(
            target,
            "read the list of WIMs",
            lambda: messages.RecentsRead(self._services.recent_wims()),
            key="recents",
        )

    def forget(self, target: MessagePump, path: str) -> None:
        """Take a WIM off the list; RecentsRead."""
        self._asker.ask(
            target,
            "forget a WIM",
            lambda: messages.RecentsRead(self._services.forget_wim(path)),
        )

    def verify(self, path: str, references: tuple[str, ...]) -> Job:
        """Begin to verify a WIM."""

        def work(job: Job, token: CancelToken) -> bool:
            report = self._services.verify(path, references, sink_of(job), token)
            job.summary, job.lines = verdict_of(report)
            return report.ok and not report.missing

        return self._jobs.begin(f"Verify {path}", work)
