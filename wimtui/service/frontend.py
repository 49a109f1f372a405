"""All services that the app uses, as one object that can be exchanged as a whole."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from wimtui.engine.archive import ArchiveOptions
from wimtui.service import (
    archives,
    changes,
    commits,
    comparisons,
    copies,
    editing,
    export,
    extract,
    folders,
    holders,
    log_files,
    mount_points,
    mounts,
    recents,
    recovery,
    shell,
    space,
    switching,
    verify,
    write_access,
)
from wimtui.service.browse import ImageSession
from wimtui.service.mounts import Disposition
from wimtui.service.operations import RunningOperation

if TYPE_CHECKING:
    from collections.abc import Callable

    from wimtui.engine.progress import CancelToken, ProgressSink


class Services:
    """Blocking calls, each from any thread."""

    def now(self) -> float:
        """Return seconds since 1970."""
        return time.time()

    def run_shell(self, folder: str) -> int:
        """Run a shell until it ends. Raises OSError."""
        return shell.run_shell(folder)

    def open_file(self, path: str, *, editor: bool) -> int:
        """Show a file in the user's pager or editor until that ends. Raises OSError."""
        return shell.open_in_editor(path) if editor else shell.open_in_pager(path)

    def remove_temporary_copy(self, path: str) -> None:
        """Remove what was made to be looked at."""
        shell.remove_temporary_copy(path)

    def list_mounts(self) -> tuple[mounts.MountSummary, ...]:
        """Return all mounts. Raises ControlError, OSError."""
        return tuple(mounts.list_mounts())

    def activity_of(self, mount_id: str) -> mounts.MountActivity:
        """Ask a daemon. Raises ControlError."""
        return mounts.activity_of(mount_id)

    def new_request(self, wim: str, mount_point: str, **options: Any) -> mounts.MountRequest:
        """Return a request to mount."""
        return mounts.new_request(wim, mount_point, **options)

    def mount(
        self, request: mounts.MountRequest, on_progress: Callable[[mounts.StartProgress], None]
    ) -> mounts.MountSummary:
        """Mount. Raises ControlError."""
        return mounts.mount(request, on_progress)

    def unmount(
        self, target: str, *, lazy: bool, disposition: Disposition = Disposition.KEEP
    ) -> mounts.MountSummary:
        """Unmount. Raises ControlError."""
        return mounts.unmount_at(target, lazy=lazy, disposition=disposition)

    def report_of(self, target: str) -> changes.MountReport:
        """Return all that is staged. Raises ControlError, WimError."""
        return changes.report_of(target)

    def commit_estimate(
        self, target: str, settings: commits.CommitSettings
    ) -> commits.CommitEstimate:
        """Return how much a commit would write. Raises ControlError, WimError, OSError."""
        return commits.commit_estimate(target, settings)

    def commit(
        self,
        target: str,
        settings: commits.CommitSettings,
        progress: ProgressSink,
        cancel: CancelToken,
    ) -> commits.Committed:
        """Write what is staged. Raises ControlError, WimError, OSError."""
        return commits.commit_at(target, settings, progress=progress, cancel=cancel)

    def commit_and_unmount(
        self,
        target: str,
        settings: commits.CommitSettings,
        progress: ProgressSink,
        cancel: CancelToken,
        *,
        force: bool,
    ) -> commits.Committed:
        """Write what is staged and unmount. Raises ControlError, WimError, OSError."""
        return commits.commit_and_unmount(
            target, settings, force=force, progress=progress, cancel=cancel
        )

    def running_operation(self, target: str) -> RunningOperation | None:
        """Return what a daemon does at this moment. Raises ControlError."""
        return RunningOperation.attach(target)

    def remount(
        self, target: str, on_progress: Callable[[mounts.StartProgress], None]
    ) -> mounts.MountSummary:
        """Mount again what lost its daemon. Raises ControlError, WimError."""
        return mounts.remount(target, None, on_progress)

    def switch(
        self,
        target: str,
        read_write: bool | None,
        image: str | None,
        on_progress: Callable[[mounts.StartProgress], None],
    ) -> mounts.MountSummary:
        """Mount something else at the same place. Raises ControlError, WimError."""
        return switching.switch(target, read_write=read_write, image=image, on_progress=on_progress)

    def recoverables(self) -> tuple[recovery.Recoverable, ...]:
        """Return what needs a decision. Raises ControlError, OSError."""
        return recovery.recoverables()

    def trim(self, path: str) -> int:
        """Cut what a killed write left in a WIM. Raises WimError."""
        return space.trim(path)

    def check_write_access(
        self, wim: str, references: tuple[str, ...], staging_typed: str
    ) -> write_access.WriteAccess:
        """Say what speaks against a read-write mount."""
        return write_access.check_write_access(wim, references, staging_typed)

    def space_of(self, path: str) -> space.SpaceFacts:
        """Return what of a WIM file is in use. Raises WimError."""
        return space.space_of(path)

    def loss_of(self, path: str, index: int) -> space.ImageLoss:
        """Return what goes with an image. Raises WimError."""
        return space.loss_of(path, index)

    def set_image(
        self,
        path: str,
        image: str,
        properties: editing.ImageProperties,
        settings: editing.WriteSettings,
    ) -> editing.Written:
        """Change what a WIM says of an image. Raises WimError."""
        return editing.set_image(path, image, properties, settings)

    def capture_folder(
        self,
        folder: str,
        path: str,
        properties: editing.ImageProperties,
        settings: editing.WriteSettings,
    ) -> editing.Written:
        """Append an image of a folder to a WIM, or make one. Raises WimError, OSError."""
        return editing.capture_directory(folder, path, properties, settings)

    def delete_image(
        self, path: str, image: str, settings: editing.WriteSettings, *, soft: bool
    ) -> editing.Written:
        """Delete an image. Raises WimError."""
        return editing.delete_image(path, image, settings, soft=soft)

    def optimize_wim(self, path: str, settings: editing.WriteSettings) -> editing.Written:
        """Write a WIM anew without dead bytes. Raises WimError."""
        return editing.optimize_wim(path, settings)

    def holders_of(self, mount_point: str) -> tuple[holders.Holder, ...]:
        """Return who uses a mount. Raises OSError."""
        return holders.holders_of(mount_point)

    def check_mount_point(self, typed: str) -> mount_points.MountPlace:
        """Look at a folder to mount on. Raises OSError."""
        return mount_points.check_mount_point(typed)

    def create_mount_point(self, path: str) -> None:
        """Make a folder. Raises OSError."""
        mount_points.create_mount_point(path)

    def suggest_mount_point(self, wim_path: str, image_index: int, image_count: int) -> str:
        """Return a free path, or an empty text."""
        return mount_points.suggest_mount_point(wim_path, image_index, image_count)

    def list_folder(self, folder: str, suffixes: tuple[str, ...]) -> list[str]:
        """Return the names of folders, and of files with one of the suffixes."""
        return folders.list_folder(folder, suffixes)

    def inspect_archive(self, path: str) -> archives.ArchiveFacts:
        """Return a WIM's facts. Raises WimError."""
        return archives.inspect_archive(path)

    def split_set_of(self, path: str, facts: archives.ArchiveFacts) -> archives.SplitSet:
        """Return what opens a WIM's images."""
        return archives.split_set_of(path, facts)

    def open_image(self, path: str, image: str, references: tuple[str, ...]) -> ImageSession:
        """Open an image to browse. Raises WimError."""
        return ImageSession.open(path, image, references)

    def verify(
        self, path: str, references: tuple[str, ...], progress: ProgressSink, cancel: CancelToken
    ) -> verify.VerifyReport:
        """Read and hash everything. Raises WimError."""
        return verify.verify(path, ArchiveOptions(references=references), progress, cancel)

    def copy_to_look_at(self, session: ImageSession, dentry: int) -> str:
        """Copy a file out for a pager or an editor. Raises WimError, OSError."""
        return copies.copy_to_look_at(session, dentry)

    def path_in_mount(self, mount_point: str, path: str) -> str:
        """Return where a file is in a mount, empty if there is no such file."""
        return copies.path_in_mount(mount_point, path)

    def extract(
        self,
        session: ImageSession,
        dentry: int,
        folder: str,
        progress: ProgressSink,
        cancel: CancelToken,
    ) -> extract.ExtractResult:
        """Write a file or folder. Raises WimError."""
        return extract.extract(session, dentry, folder, progress, cancel)

    def changes_since(
        self, target: str, known: changes.ChangeList | None
    ) -> changes.ChangeList | None:
        """Return what is staged, None if nothing has changed. Raises ControlError, WimError."""
        return changes.changes_since(target, known)

    def diff_path(self, target: str, path: str) -> comparisons.PathDiff:
        """Compare a path with the image. Raises ControlError, WimError."""
        return comparisons.diff_path(target, path)

    def restore(self, target: str, path: str) -> int:
        """Undo what is staged at a path and below. Raises ControlError, WimError, OSError."""
        return changes.restore_at(target, [path])

    def copy_of_staged(self, target: str, path: str, *, before: bool) -> str:
        """Return a temporary copy of a file. Raises ControlError, WimError, OSError."""
        return export.copy_of_staged(target, path, before=before)

    def export_changes(
        self, target: str, output: str, below: str, progress: ProgressSink, cancel: CancelToken
    ) -> export.ExportResult:
        """Write changes into a folder or an archive. Raises ControlError, WimError."""
        return export.export_changes(target, output, below, progress, cancel)

    def recent_wims(self) -> tuple[recents.RecentWim, ...]:
        """Return the WIMs opened lately."""
        return recents.recent_wims()

    def remember_wim(self, path: str) -> tuple[recents.RecentWim, ...]:
        """Remember that a WIM was opened."""
        return recents.remember_wim(path)

    def forget_wim(self, path: str) -> tuple[recents.RecentWim, ...]:
        """Take a WIM off the list."""
        return recents.forget_wim(path)

    def log_files(self) -> tuple[log_files.LogFile, ...]:
        """Return the log files. Raises OSError."""
        return log_files.log_files()

    def tail(self, path: str) -> tuple[str, ...]:
        """Return the end of a log file. Raises OSError."""
        return log_files.tail(path)
