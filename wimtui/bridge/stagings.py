"""What screens ask about staged changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wimtui import messages, staging_messages
from wimtui.control.errors import ControlError, NotAMountError
from wimtui.engine.errors import WimError
from wimtui.job_runner import sink_of
from wimtui.outcomes import cause_of, exported_text, sentence_of
from wimtui.service.change_tree import ChangeTree

if TYPE_CHECKING:
    from textual.message import Message
    from textual.message_pump import MessagePump

    from wimtui.bridge.asker import Asker
    from wimtui.job_runner import JobRunner
    from wimtui.jobs import Job
    from wimtui.service.browse import CancelToken
    from wimtui.service.changes import ChangeList
    from wimtui.service.frontend import Services


FEW = 500
"""Changes that are quicker applied to a tree on screen than noticed: 3 ms."""


class StagingCalls:
    """Lists, compares, restores and exports staged changes.

    A target is a mount id, a mount point or a staging folder; paths are from the image's root.
    """

    def __init__(self, asker: Asker, services: Services, jobs: JobRunner) -> None:
        self._asker = asker
        self._services = services
        self._jobs = jobs

    def poll(self, screen: MessagePump, target: str, known: ChangeList | None) -> None:
        """Ask for ChangesListed if something may have changed since the known list.

        Nothing is asked while an answer about the same target is owed.
        """

        def work() -> Message | None:
            try:
                listed = self._services.changes_since(target, known)
            except (WimError, ControlError) as error:
                return staging_messages.ChangesUnreadable(
                    target,
                    cause_of(error),
                    error.hint or "",
                    is_over=isinstance(error, NotAMountError),
                )
            except OSError as error:
                return staging_messages.ChangesUnreadable(target, sentence_of(error), "")
            if listed is None:
                return None
            if known is not None:
                removed, added = listed.since(known)
                if len(removed) + len(added) <= FEW:
                    return staging_messages.ChangesListed(
                        target, listed, known, None, removed, added
                    )
            # Made here: with 10,000 changes it takes 50 ms.
            tree = ChangeTree(listed.by_json.values())
            return staging_messages.ChangesListed(target, listed, None, tree, [], [])

        self._asker.ask(screen, "list the changes", work, key=f"changes {target}")

    def compare(self, screen: MessagePump, target: str, path: str, revision: str) -> None:
        """Ask for PathCompared."""

        def work() -> Message:
            try:
                diff = self._services.diff_path(target, path)
            except (WimError, ControlError, OSError) as error:
                return staging_messages.PathCompared(path, revision, None, sentence_of(error))
            return staging_messages.PathCompared(path, revision, diff)

        self._asker.ask(screen, "compare a file", work)

    def restore(self, screen: MessagePump, target: str, path: str) -> None:
        """Undo what is staged at a path and below; PathRestored."""

        def work() -> Message:
            count = self._services.restore(target, path)
            return staging_messages.PathRestored(path, count)

        self._asker.ask(screen, f"restore {path}", work, key=f"restore {target}")

    def view(self, screen: MessagePump, target: str, path: str, *, before: bool) -> None:
        """Copy a staged file, or the image's, to where programs find it; then OpenFile."""

        def work() -> Message:
            copy = self._services.copy_of_staged(target, path, before=before)
            return messages.OpenFile(copy, is_temporary=True)

        def unwanted(message: Message) -> None:
            if isinstance(message, messages.OpenFile):
                self._services.remove_temporary_copy(message.path)

        self._asker.ask(screen, f"open {path}", work, key="view", unwanted=unwanted)

    def export(self, target: str, path: str, output: str) -> Job:
        """Begin to write the changes at a path and below into a folder or an archive."""

        def work(job: Job, token: CancelToken) -> bool:
            result = self._services.export_changes(target, output, path, sink_of(job), token)
            job.summary, job.lines = exported_text(result)
            return True

        return self._jobs.begin(f"Export changes to {output}", work)
