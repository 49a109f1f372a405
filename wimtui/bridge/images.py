"""What screens ask about an open image."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from wimtui import messages
from wimtui.engine.errors import CancelledError, WimError
from wimtui.job_runner import sink_of
from wimtui.outcomes import extracted_text, sentence_of
from wimtui.service.browse import CancelToken

if TYPE_CHECKING:
    from textual.message import Message
    from textual.message_pump import MessagePump

    from wimtui.bridge.asker import Asker
    from wimtui.job_runner import JobRunner
    from wimtui.jobs import Job
    from wimtui.service.browse import ImageEntry, ImageSession
    from wimtui.service.frontend import Services


class ImageCalls:
    """Opens images, reads and searches them, extracts from them."""

    def __init__(self, app: MessagePump, asker: Asker, services: Services, jobs: JobRunner) -> None:
        self._app = app
        self._asker = asker
        self._services = services
        self._jobs = jobs
        self._lock = threading.Lock()
        self._searches: dict[int, CancelToken] = {}
        self._session_jobs: dict[int, int] = {}
        self._given_back: set[int] = set()

    def open(self, target: MessagePump, path: str, image: str, references: tuple[str, ...]) -> None:
        """Ask for ImageOpened; whoever gets it has to close() in the end."""

        def work() -> Message:
            session = self._services.open_image(path, image, references)
            root = session.root()
            return messages.ImageOpened(session, root, session.children(root.dentry))

        def unwanted(message: Message) -> None:
            if isinstance(message, messages.ImageOpened):
                message.session.close()

        self._asker.ask(
            target, f"open image {image} of {path}", work, subject=path, unwanted=unwanted
        )

    def close(self, session: ImageSession) -> None:
        """Give a session back; it is closed once no job needs it."""
        self._searches.pop(id(session), CancelToken()).cancel()
        with self._lock:
            self._given_back.add(id(session))
            if self._session_jobs.get(id(session)):
                return
        self._close(session)

    def _close(self, session: ImageSession) -> None:
        self._given_back.discard(id(session))
        self._asker.ask(self._app, "close an image", session.close)

    def _release(self, session: ImageSession) -> None:
        """A job no longer needs a session (on the job's thread)."""
        with self._lock:
            left = self._session_jobs[id(session)] = self._session_jobs[id(session)] - 1
            is_last = not left and id(session) in self._given_back
        if is_last:
            self._close(session)

    def read_children(self, target: MessagePump, session: ImageSession, dentry: int) -> None:
        """Ask for ChildrenRead."""
        self._asker.ask(
            target,
            "list a folder",
            lambda: messages.ChildrenRead(dentry, session.children(dentry)),
        )

    def read_path(self, target: MessagePump, session: ImageSession, dentry: int) -> None:
        """Ask for PathRead: every folder from the root to a name."""

        def work() -> Message:
            folders = session.ancestors(dentry)[:-1]
            return messages.PathRead(dentry, [(one, session.children(one)) for one in folders])

        self._asker.ask(target, "find a name", work)

    def read_entry(self, target: MessagePump, session: ImageSession, dentry: int) -> None:
        """Ask for EntryRead and PreviewRead."""
        self._asker.ask(target, "read a file", lambda: messages.EntryRead(session.facts(dentry)))

        def preview() -> Message:
            try:
                return messages.PreviewRead(dentry, session.preview(dentry))
            except WimError as error:
                return messages.PreviewRead(dentry, None, sentence_of(error))

        self._asker.ask(target, "preview a file", preview)

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

        self._asker.ask(target, "search", work)

    def open_outside(
        self, session: ImageSession, entry: ImageEntry, path: str, mount_point: str, *, editor: bool
    ) -> None:
        """Have a file opened in the user's pager or editor: where it is mounted, or a copy of it.

        Args:
            session: The image.
            entry: The file.
            path: From the image's root.
            mount_point: Where the image is mounted; empty for nowhere.
            editor: In the editor.
        """

        def work() -> Message:
            found = self._services.path_in_mount(mount_point, path) if mount_point else ""
            if found:
                return messages.OpenFile(found, editor)
            copied = self._services.copy_to_look_at(session, entry.dentry)
            return messages.OpenFile(copied, editor, is_temporary=True)

        def unwanted(message: Message) -> None:
            if isinstance(message, messages.OpenFile) and message.is_temporary:
                self._services.remove_temporary_copy(message.path)

        self._asker.ask(self._app, f"open {path}", work, key="open outside", unwanted=unwanted)

    def extract(self, session: ImageSession, dentry: int, path: str, folder: str) -> Job:
        """Begin to extract a file or folder."""

        def work(job: Job, token: CancelToken) -> bool:
            try:
                result = self._services.extract(session, dentry, folder, sink_of(job), token)
            finally:
                self._release(session)
            job.summary, job.lines = extracted_text(result)
            return True

        with self._lock:
            self._session_jobs[id(session)] = self._session_jobs.get(id(session), 0) + 1
        return self._jobs.begin(f"Extract {path} to {folder}", work)
