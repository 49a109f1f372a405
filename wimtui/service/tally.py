"""What has been written out so far, what was left out, and who is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wimtui.engine.progress import Phase, Progress

if TYPE_CHECKING:
    from wimtui.engine.progress import CancelToken, ProgressSink

MAX_SKIPPED: Final = 100
"""Paths that are named; more are counted."""


class Tally:
    """Counts of one extraction or export.

    Attributes:
        bytes_done: Bytes of file data written, of ``bytes_total``.
        items_done: Names written, of ``items_total``.
        skipped: Paths with the reason, the first 100 of ``skipped_count``.
    """

    def __init__(self, progress: ProgressSink | None, cancel: CancelToken | None) -> None:
        self.bytes_done = self.bytes_total = 0
        self.items_done = self.items_total = 0
        self.file_count = self.directory_count = 0
        self.skipped: list[str] = []
        self.skipped_count = 0
        self._progress = progress
        self._cancel = cancel

    @property
    def is_cancelled(self) -> bool:
        """Whether somebody wishes an end."""
        return self._cancel is not None and self._cancel.cancelled

    def check(self) -> None:
        """Raise CancelledError where somebody wishes an end."""
        if self._cancel is not None:
            self._cancel.check()

    def skip(self, path: str, reason: str) -> None:
        """Note what was left out, and why."""
        self.skipped_count += 1
        if len(self.skipped) < MAX_SKIPPED:
            self.skipped.append(f"{path}: {reason}")

    def tell(self, path: str) -> None:
        """Report how far it is."""
        if self._progress is not None:
            self._progress(
                Progress(
                    Phase.EXTRACT, self.bytes_done, self.bytes_total,
                    self.items_done, self.items_total, path,
                )
            )  # fmt: skip
