"""How far a commit is, told to front ends often enough to draw and no more."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from wimtui.control.protocol import ProgressEvent

if TYPE_CHECKING:
    from collections.abc import Callable

    import trio

    from wimtui.engine.progress import Phase, Progress

EVENT_INTERVAL_S: Final = 0.1
"""How often progress is told; a writer that compresses reports thousands of times a second."""


class Teller:
    """Takes the progress of one operation from any one thread at a time.

    The beginning and the end of each phase are always told.
    """

    def __init__(
        self, tell: Callable[[ProgressEvent], None] | None, token: trio.lowlevel.TrioToken
    ) -> None:
        """Hand events to ``tell`` on the trio thread of ``token``."""
        self._tell = tell
        self._token = token
        self._phase: Phase | None = None
        self._began_at = 0.0
        self._told_at = 0.0

    def __call__(self, progress: Progress) -> None:
        """Tell, unless it is too soon."""
        now = time.monotonic()
        is_first = progress.phase is not self._phase
        if is_first:
            self._phase, self._began_at = progress.phase, now
        is_last = (
            progress.bytes_done >= progress.bytes_total
            and progress.items_done >= progress.items_total
        )
        if self._tell is None or not (
            is_first or is_last or now - self._told_at >= EVENT_INTERVAL_S
        ):
            return
        self._told_at = now
        self._token.run_sync_soon(self._tell, _event(progress, now - self._began_at))


def _event(progress: Progress, elapsed_s: float) -> ProgressEvent:
    return ProgressEvent(
        operation="commit",
        phase=progress.phase.value,
        bytes_done=progress.bytes_done,
        bytes_total=progress.bytes_total,
        items_done=progress.items_done,
        items_total=progress.items_total,
        path=progress.path,
        elapsed_ms=int(1000 * elapsed_s),
        bytes_per_s=int(progress.bytes_done / elapsed_s) if elapsed_s > 0 else 0,
    )
