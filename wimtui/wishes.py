"""What screens wish of the app: another screen, a dialog, the terminal, the clipboard."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import on
from textual.app import App, SuspendNotSupported
from textual.screen import ModalScreen

from wimtui import messages, staging_messages, upkeep_messages
from wimtui.bridge import Bridge
from wimtui.jobs import Job, JobState
from wimtui.screens.archive import ArchiveScreen
from wimtui.screens.browse import BrowseScreen
from wimtui.screens.commit import CommitDialog
from wimtui.screens.commit_ways import Way
from wimtui.screens.jobs import JobsDialog
from wimtui.screens.mount import MountDialog
from wimtui.screens.recover import RecoverScreen
from wimtui.screens.staging import StagingScreen
from wimtui.screens.switch import SwitchBusyDialog, SwitchImageDialog
from wimtui.screens.unmount import UnmountDialog
from wimtui.widgets.cells import plain

if TYPE_CHECKING:
    from wimtui.service.frontend import Services
    from wimtui.service.mounts import MountSummary
    from wimtui.settings import Settings

_PROGRESS_S = 0.3
"""What is over before is not worth a panel."""


class WishingApp(App[None]):
    """An app that fulfils what screens post.

    Attributes:
        bridge: The way to the services.
        mounts: All mounts of this machine, as listed last.
        settings: What the user set.
        readonly: Whether no change is allowed.
        last_wim: Path of the WIM shown last.
    """

    def __init__(self, services: Services, user_settings: Settings, *, readonly: bool) -> None:
        super().__init__()
        self.readonly = readonly
        self.mounts: tuple[MountSummary, ...] = ()
        self.settings = user_settings
        self.bridge = Bridge(self, services)
        self.last_wim = ""

    def complain(self, title: str, cause: str, hint: str = "") -> None:
        """Show an error."""
        text = plain(cause) + (f"\n→ {plain(hint)}" if hint else "")
        self.notify(text, title=plain(title), severity="error", timeout=10, markup=False)

    def say(self, text: str, title: str = "") -> None:
        """Show a result."""
        self.notify(plain(text), title=plain(title), markup=False)

    @on(messages.ShowArchive)
    def show_archive(self, message: messages.ShowArchive) -> None:
        """Show a WIM."""
        self.last_wim = message.path
        self.push_screen(ArchiveScreen(self.bridge, message.path, readonly=self.readonly))

    @on(messages.MountImage)
    def mount_image(self, message: messages.MountImage) -> None:
        """Open the mount dialog."""
        self.push_screen(
            MountDialog(
                self.bridge, message.path, message.image_index, message.references, self.settings
            )
        )

    @on(messages.EndMount)
    def end_mount(self, message: messages.EndMount) -> None:
        """Unmount; a mount in use needs to be talked about, and changes that are staged."""
        if message.mount.alive or not message.mount.staging_path:
            self.bridge.mounts.unmount(self, message.mount)
        else:
            self._ask_about_changes(message.mount, stays=False, discards=message.discards)

    @on(messages.ChangesStaged)
    def changes_staged(self, message: messages.ChangesStaged) -> None:
        """Ask what becomes of the changes of a mount that is to end."""
        self._ask_about_changes(message.mount, stays=False)

    @on(messages.CommitMount)
    def commit_mount(self, message: messages.CommitMount) -> None:
        """Ask how to save."""
        self._ask_about_changes(message.mount, stays=True)

    def _ask_about_changes(
        self, mount: MountSummary, *, stays: bool, discards: bool = False
    ) -> None:
        if not isinstance(self.screen, CommitDialog):
            way = Way.DISCARD if discards else Way.COMMIT
            dialog = CommitDialog(self.bridge, mount, stays=stays, way=way)
            self.push_screen(dialog, self._commit_begun)

    def _commit_begun(self, result: object) -> None:
        """Show how far a commit is, unless it is over in no time."""
        if not isinstance(result, Job):
            return
        job = result

        def show() -> None:
            runs = job.state is JobState.RUNNING
            if runs and self.is_running and not isinstance(self.screen, ModalScreen):
                self.push_screen(JobsDialog(self.bridge, job))

        self.set_timer(_PROGRESS_S, show)

    @on(messages.UnmountRefused)
    def mount_in_use(self, message: messages.UnmountRefused) -> None:
        """Talk about a mount that cannot end."""
        for mount in self.mounts:
            if mount.mount_point == message.target:
                dialog = UnmountDialog(self.bridge, mount, message.holders)
                self.push_screen(dialog)
                return

    @on(upkeep_messages.Remount)
    def remount(self, message: upkeep_messages.Remount) -> None:
        """Mount again what lost its daemon."""
        self.bridge.recovery.remount(message.mount)

    @on(upkeep_messages.SwitchMount)
    def switch_mount(self, message: upkeep_messages.SwitchMount) -> None:
        """Mount something else at the same place."""
        self.bridge.recovery.switch(message)

    @on(upkeep_messages.SwitchRefused)
    def switch_refused(self, message: upkeep_messages.SwitchRefused) -> None:
        """Talk about a mount that is in use."""
        self.push_screen(SwitchBusyDialog(self.bridge, message))

    @on(upkeep_messages.ChooseImage)
    def choose_image(self, message: upkeep_messages.ChooseImage) -> None:
        """Ask which other image to mount."""
        self.push_screen(SwitchImageDialog(self.bridge, message.mount))

    @on(upkeep_messages.ShowRecover)
    def show_recover(self) -> None:
        """Show what needs a decision."""
        if not isinstance(self.screen, RecoverScreen):
            self.push_screen(RecoverScreen(self.bridge, readonly=self.readonly))

    @on(upkeep_messages.RecoverablesRead)
    def recoverables_read(self, message: upkeep_messages.RecoverablesRead) -> None:
        """Show at the start what needs a decision; mounts of other sessions do not."""
        if not any(one.is_own for one in message.found) or isinstance(self.screen, RecoverScreen):
            return
        if isinstance(self.screen, ModalScreen):
            self.say("ctrl+r shows what", "Something needs to be recovered")
        else:
            self.push_screen(RecoverScreen(self.bridge, message.found, readonly=self.readonly))

    @on(messages.ShowImage)
    def show_image(self, message: messages.ShowImage) -> None:
        """Browse an image."""
        self.push_screen(
            BrowseScreen(
                self.bridge, message.path, message.image_index, message.references,
                readonly=self.readonly,
            )
        )  # fmt: skip

    @on(staging_messages.ShowStaging)
    def show_staging(self, message: staging_messages.ShowStaging) -> None:
        """Show what is staged."""
        self.push_screen(StagingScreen(self.bridge, message.mount, readonly=self.readonly))

    @on(messages.ShowJobs)
    def show_jobs(self) -> None:
        """Show the jobs."""
        if not isinstance(self.screen, JobsDialog):
            self.push_screen(JobsDialog(self.bridge))

    @on(messages.CopyText)
    def copy_text(self, message: messages.CopyText) -> None:
        """Put a text on the clipboard."""
        self.copy_to_clipboard(message.text)
        self.say(message.text, f"Copied the {message.what}")

    @on(messages.OpenShell)
    def open_shell(self, message: messages.OpenShell) -> None:
        """Give the terminal to a shell."""
        try:
            with self.suspend():
                self.bridge.services.run_shell(message.folder)
        except SuspendNotSupported:
            self.complain("Cannot open a shell", "this terminal cannot be given away")
        except OSError as error:
            self.complain("Cannot open a shell", f"{message.folder}: {error.strerror}")
        self.bridge.mounts.poll(self)

    @on(messages.OpenFile)
    def open_file(self, message: messages.OpenFile) -> None:
        """Give the terminal to a pager or editor."""
        services = self.bridge.services
        try:
            with self.suspend():
                services.open_file(message.path, editor=message.editor)
        except SuspendNotSupported:
            self.complain("Cannot open the file", "this terminal cannot be given away")
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            self.complain("Cannot open the file", f"{where}{error.strerror or error}")
        finally:
            if message.is_temporary:
                services.remove_temporary_copy(message.path)
