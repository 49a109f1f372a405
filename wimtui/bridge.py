"""Between screens and services: calls in threads of their own, answers as messages.

Every call here returns at once. Threads never touch a widget; what they find is posted to the
screen that asked, and whatever goes wrong becomes a message that says so.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
import time
from typing import TYPE_CHECKING

from wimtui import messages
from wimtui.control.errors import ControlError, MountBusyError
from wimtui.engine.errors import CancelledError, WimError
from wimtui.job_runner import JobRunner, sink_of
from wimtui.outcomes import cause_of, extracted_text, sentence_of, verdict_of
from wimtui.service.browse import CancelToken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from textual.message import Message
    from textual.message_pump import MessagePump

    from wimtui.jobs import Job
    from wimtui.service.browse import ImageSession
    from wimtui.service.frontend import Services
    from wimtui.service.mounts import MountRequest, MountSummary, StartProgress

log = logging.getLogger(__name__)

LIST_MOUNTS = "list the mounts"
WIM_SUFFIXES = (".wim", ".swm", ".esd")


class Bridge:
    """Runs service calls for screens.

    Attributes:
        services: What is called.
        jobs: Long operations of this session.
    """

    def __init__(self, app: MessagePump, services: Services) -> None:
        self.services = services
        self.jobs = JobRunner(lambda message: self._post(app, message), services.now)
        self._app = app
        self._is_stopped = False
        self._busy: set[str] = set()
        self._pending = 0
        self._lock = threading.Lock()
        self._searches: dict[int, CancelToken] = {}
        self._session_jobs: dict[int, int] = {}
        self._given_back: set[int] = set()

    # Life

    def catch_signals(self) -> None:
        """End in order when asked to, and at once when the terminal is lost.

        Called once the loop runs, and only where there is a terminal.
        """
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._app.post_message, messages.AskedToEnd())
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)

    def _hang_up(self) -> None:
        """Let jobs clear up, then end without a word to a terminal that is gone.

        Textual's own end can wait for ever there: its thread that writes may never write again.
        """

        def end() -> None:
            log.info("the terminal is gone")
            self.stop()
            os._exit(128 + signal.SIGHUP)

        threading.Thread(target=end, name="hang-up").start()

    def stop(self) -> None:
        """Cancel the jobs and give them a moment to clear up; answers go nowhere from here on."""
        self._is_stopped = True
        self.jobs.stop()

    @property
    def is_idle(self) -> bool:
        """Whether every question has been answered."""
        with self._lock:
            return self._pending == 0

    # Mounts

    def poll_mounts(self, target: MessagePump) -> None:
        """Ask for MountsListed, unless that is being asked already."""
        self._ask(
            target,
            LIST_MOUNTS,
            lambda: messages.MountsListed(self.services.list_mounts()),
            key="mounts",
        )

    def poll_activity(self, target: MessagePump, mount_ids: Iterable[str]) -> None:
        """Ask daemons for ActivityRead; one that still owes an answer is not asked again."""
        for mount_id in mount_ids:
            self._ask(
                target,
                "ask a daemon",
                lambda mount_id=mount_id: self._activity(mount_id),  # type: ignore[misc]
                key=f"activity {mount_id}",
            )

    def _activity(self, mount_id: str) -> Message:
        try:
            activity = self.services.activity_of(mount_id)
        except (ControlError, OSError) as error:
            log.debug("no activity of %s: %s", mount_id, error)
            return messages.ActivityRead(mount_id, None, self.services.now())
        return messages.ActivityRead(mount_id, activity, self.services.now())

    def mount(self, target: MessagePump, request: MountRequest, *, create: bool) -> None:
        """Mount; MountProgress, then Mounted or OperationFailed."""

        def tell(start: StartProgress) -> None:
            self._post(
                target,
                messages.MountProgress(request.mount_id, start.phase, start.done, start.total),
            )

        def work() -> Message:
            if create:
                self.services.create_mount_point(request.mount_point)
            return messages.Mounted(self.services.mount(request, tell))

        self._ask(target, "mount", work, subject=request.mount_id)

    def unmount(self, target: MessagePump, mount: MountSummary, *, force: bool = False) -> None:
        """Unmount; Unmounted, UnmountRefused where it is in use, or OperationFailed."""
        name = mount.mount_id or mount.mount_point

        def work() -> Message:
            try:
                return messages.Unmounted(self.services.unmount(name, lazy=force))
            except ControlError as error:
                if error.code != MountBusyError.code:
                    raise
                holders = self.services.holders_of(mount.mount_point)
                return messages.UnmountRefused(mount.mount_point, error.message, holders)

        self._ask(target, f"unmount {mount.mount_point}", work, key=f"unmount {name}", subject=name)

    def find_holders(self, target: MessagePump, mount_point: str) -> None:
        """Ask for HoldersFound."""
        self._ask(
            target,
            "look for who uses the mount",
            lambda: messages.HoldersFound(mount_point, self.services.holders_of(mount_point)),
            key=f"holders {mount_point}",
        )

    def check_place(self, target: MessagePump, typed: str) -> None:
        """Ask for PlaceChecked."""
        self._ask(
            target,
            "look at the mount point",
            lambda: messages.PlaceChecked(typed, self.services.check_mount_point(typed)),
        )

    def suggest_place(self, target: MessagePump, wim: str, image: int, count_: int) -> None:
        """Ask for PlaceSuggested."""
        self._ask(
            target,
            "find a mount point",
            lambda: messages.PlaceSuggested(
                wim, image, self.services.suggest_mount_point(wim, image, count_)
            ),
        )

    async def list_folders(self, folder: str) -> list[str]:
        """Return the names of the folders in a folder, each with a slash."""
        return await asyncio.to_thread(self.services.list_folder, folder, ())

    async def list_wims(self, folder: str) -> list[str]:
        """Return the names of folders and WIMs in a folder."""
        return await asyncio.to_thread(self.services.list_folder, folder, WIM_SUFFIXES)

    # Archives

    def open_archive(self, target: MessagePump, path: str) -> None:
        """Ask for ArchiveOpened; the WIM is remembered."""

        def work() -> Message:
            facts = self.services.inspect_archive(path)
            self.services.remember_wim(path)
            return messages.ArchiveOpened(path, facts)

        self._ask(target, f"open {path}", work, subject=path)

    def read_recents(self, target: MessagePump) -> None:
        """Ask for RecentsRead."""
        self._ask(
            target,
            "read the list of WIMs",
            lambda: messages.RecentsRead(self.services.recent_wims()),
            key="recents",
        )

    def forget_wim(self, target: MessagePump, path: str) -> None:
        """Take a WIM off the list; RecentsRead."""
        self._ask(
            target,
            "forget a WIM",
            lambda: messages.RecentsRead(self.services.forget_wim(path)),
        )

    # Images

    def open_image(
        self, target: MessagePump, path: str, image: str, references: tuple[str, ...]
    ) -> None:
        """Ask for ImageOpened; whoever gets it has to close_image() in the end."""

        def work() -> Message:
            session = self.services.open_image(path, image, references)
            root = session.root()
            return messages.ImageOpened(session, root, session.children(root.dentry))

        def unwanted(message: Message) -> None:
            if isinstance(message, messages.ImageOpened):
                message.session.close()

        self._ask(target, f"open image {image} of {path}", work, subject=path, unwanted=unwanted)

    def close_image(self, session: ImageSession) -> None:
        """Give a session back; it is closed once no job needs it."""
        self._searches.pop(id(session), CancelToken()).cancel()
        with self._lock:
            self._given_back.add(id(session))
            if self._session_jobs.get(id(session)):
                return
        self._close(session)

    def _close(self, session: ImageSession) -> None:
        self._given_back.discard(id(session))
        self._ask(self._app, "close an image", session.close)

    def _release(self, session: ImageSession) -> None:
        """A job no longer needs a session (on the job's thread)."""
        with self._lock:
            left = self._session_jobs[id(session)] = self._session_jobs[id(session)] - 1
            is_last = not left and id(session) in self._given_back
        if is_last:
            self._close(session)

    def read_children(self, target: MessagePump, session: ImageSession, dentry: int) -> None:
        """Ask for ChildrenRead."""
        self._ask(
            target,
            "list a folder",
            lambda: messages.ChildrenRead(dentry, session.children(dentry)),
        )

    def read_path(self, target: MessagePump, session: ImageSession, dentry: int) -> None:
        """Ask for PathRead: every folder from the root to a name."""

        def work() -> Message:
            folders = session.ancestors(dentry)[:-1]
            return messages.PathRead(dentry, [(one, session.children(one)) for one in folders])

        self._ask(target, "find a name", work)

    def read_entry(self, target: MessagePump, session: ImageSession, dentry: int) -> None:
        """Ask for EntryRead and PreviewRead."""
        self._ask(target, "read a file", lambda: messages.EntryRead(session.facts(dentry)))

        def preview() -> Message:
            try:
                return messages.PreviewRead(dentry, session.preview(dentry))
            except WimError as error:
                return messages.PreviewRead(dentry, None, sentence_of(error))

        self._ask(target, "preview a file", preview)

    def search(self, target: MessagePump, session: ImageSession, text: str) -> None:
        """Ask for SearchDone; an earlier search of the same image is given up."""
        self._searches.pop(id(session), CancelToken()).cancel()
        token = self._searches[id(session)] = CancelToken()

        def work() -> Message | None:
            began = time.perf_counter()
            try:
                result = session.search(text, token)
            except CancelledError:
                return None
            return messages.SearchDone(result, time.perf_counter() - began)

        self._ask(target, "search", work)

    # Logs

    def list_logs(self, target: MessagePump) -> None:
        """Ask for LogsListed."""
        self._ask(
            target,
            "list the logs",
            lambda: messages.LogsListed(self.services.log_files()),
            key="logs",
        )

    def read_log(self, target: MessagePump, path: str) -> None:
        """Ask for LogRead."""
        self._ask(
            target,
            "read a log",
            lambda: messages.LogRead(path, self.services.tail(path)),
            key=f"log {path}",
        )

    # Jobs

    def verify(self, path: str, references: tuple[str, ...]) -> Job:
        """Begin to verify a WIM."""

        def work(job: Job, token: CancelToken) -> bool:
            report = self.services.verify(path, references, sink_of(job), token)
            job.summary, job.lines = verdict_of(report)
            return report.ok and not report.missing

        return self.jobs.begin(f"Verify {path}", work)

    def extract(self, session: ImageSession, dentry: int, path: str, folder: str) -> Job:
        """Begin to extract a file or folder."""

        def work(job: Job, token: CancelToken) -> bool:
            try:
                result = self.services.extract(session, dentry, folder, sink_of(job), token)
            finally:
                self._release(session)
            job.summary, job.lines = extracted_text(result)
            return True

        with self._lock:
            self._session_jobs[id(session)] = self._session_jobs.get(id(session), 0) + 1
        return self.jobs.begin(f"Extract {path} to {folder}", work)

    # Threads

    def _ask(
        self,
        target: MessagePump,
        doing: str,
        work: Callable[[], Message | None],
        *,
        key: str = "",
        subject: str = "",
        unwanted: Callable[[Message], None] | None = None,
    ) -> None:
        """Call ``work`` in a thread and post what it returns.

        Daemon threads: a daemon that does not answer must not keep the app from ending.

        Args:
            target: Who gets the answer.
            doing: For a failure's text.
            work: The call.
            key: Where not empty, nothing is done while a call of the same key runs.
            subject: For a failure's message.
            unwanted: Called with an answer that nobody is there to take.
        """
        with self._lock:
            if key and key in self._busy:
                return
            self._busy.add(key)
            self._pending += 1

        def run() -> None:
            answer = self._answer(doing, work, subject)
            with self._lock:
                self._busy.discard(key)
            if answer is not None and not self._post(target, answer) and unwanted is not None:
                unwanted(answer)
            with self._lock:
                self._pending -= 1

        threading.Thread(target=run, name=doing, daemon=True).start()

    def _answer(
        self, doing: str, work: Callable[[], Message | None], subject: str
    ) -> Message | None:
        try:
            return work()
        except (WimError, ControlError) as error:
            log.warning("cannot %s: %s", doing, error)
            return messages.OperationFailed(
                doing, cause_of(error), error.hint or "", error.code, subject
            )
        except OSError as error:
            log.warning("cannot %s: %s", doing, error)
            return messages.OperationFailed(doing, sentence_of(error), "", 100, subject)
        except Exception:
            log.exception("cannot %s", doing)
            return messages.OperationFailed(
                doing, "an unexpected error", "the log has the details", 100, subject
            )

    def _post(self, target: MessagePump, message: Message) -> bool:
        if self._is_stopped:
            return False
        try:
            return target.post_message(message)
        except RuntimeError:
            # The loop was closed this very moment.
            return False
