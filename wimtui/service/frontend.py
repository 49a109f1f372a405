"""All services that the app uses, as one object that can be exchanged as a whole."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from wimtui.engine.archive import ArchiveOptions
from wimtui.service import (
    archives,
    extract,
    folders,
    holders,
    log_files,
    mount_points,
    mounts,
    recents,
    shell,
    verify,
)
from wimtui.service.browse import ImageSession

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

    def unmount(self, target: str, *, lazy: bool) -> mounts.MountSummary:
        """Unmount. Raises ControlError."""
        return mounts.unmount_at(target, lazy=lazy)

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

    def open_image(self, path: str, image: str, references: tuple[str, ...]) -> ImageSession:
        """Open an image to browse. Raises WimError."""
        return ImageSession.open(path, image, references)

    def verify(
        self, path: str, references: tuple[str, ...], progress: ProgressSink, cancel: CancelToken
    ) -> verify.VerifyReport:
        """Read and hash everything. Raises WimError."""
        return verify.verify(path, ArchiveOptions(references=references), progress, cancel)

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
