"""A mount as the app knows it: what the registry says and what its daemon said lately."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import TYPE_CHECKING

from wimtui.widgets.cells import (
    NOTHING,
    Cell,
    age_text,
    count_text,
    exact_size_text,
    plain,
    rate_text,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wimtui.service.mounts import MountActivity, MountSummary
    from wimtui.widgets.cells import Tone
    from wimtui.widgets.fact_list import Fact

KEPT_RATES = 60

_TONES: dict[str, Tone] = {
    "ok": "good",
    "dirty": "warn",
    "starting": "info",
    "committing": "info",
    "unmounting": "info",
    "needs remount": "bad",
    "detached": "warn",
    "invalid": "bad",
}


@dataclass(slots=True)
class MountRow:
    """One mount. ``rates`` are reads in a second, latest last."""

    summary: MountSummary
    now: float
    activity: MountActivity | None = None
    activity_at: float = 0.0
    rates: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT_RATES))
    is_silent: bool = False
    """Whether its daemon did not answer the last time."""

    @property
    def key(self) -> str:
        """What the mount is known by."""
        summary = self.summary
        return summary.mount_id or summary.staging_path or summary.mount_point

    @property
    def wim_name(self) -> str:
        """The WIM without its folder."""
        return plain(PurePath(self.summary.wim_path).name or self.summary.wim_path)

    @property
    def uptime(self) -> float | None:
        """Seconds since it was mounted."""
        created = self.summary.created
        return self.now - created if created else None

    @property
    def rate(self) -> float:
        """Reads in a second, lately."""
        return self.rates[-1] if self.rates else 0.0

    def heard(self, activity: MountActivity | None, at: float) -> None:
        """Take in what the daemon said, or that it said nothing."""
        self.is_silent = activity is None
        if activity is None:
            return
        before = self.activity
        if before is not None and at > self.activity_at:
            reads = max(activity.reads - before.reads, 0)
            self.rates.append(reads / (at - self.activity_at))
        self.activity, self.activity_at = activity, at

    @property
    def changes(self) -> int | None:
        """Number of staged changes; None for read-only mounts, and where nobody counted."""
        if self.summary.mode != "rw":
            return None
        if self.summary.alive:
            return None if self.activity is None else self.activity.changes
        return self.summary.changes

    @property
    def staged_nbytes(self) -> int | None:
        """What is staged takes on the disk; None as for ``changes``."""
        if self.summary.mode != "rw":
            return None
        if self.summary.alive:
            return None if self.activity is None else self.activity.staged_nbytes
        return self.summary.staged_nbytes

    @property
    def state(self) -> str:
        """The status in a word or two: what the registry says, and what the daemon adds."""
        status = self.summary.status.value
        if status == "dead":
            return "needs remount"
        if status == "ok" and self.is_silent:
            return "silent"
        if status == "ok" and self.changes:
            return "dirty"
        return status

    @property
    def badge(self) -> Cell:
        """The status."""
        return Cell(f"● {self.state}", _TONES.get(self.state, "warn"))

    @property
    def is_settled(self) -> bool:
        """Whether it lives, does nothing at this moment, and has nothing to lose."""
        if not self.summary.mount_id or self.state != "ok":
            return False
        return self.summary.mode == "ro" or self.changes == 0

    @property
    def can_remount(self) -> bool:
        """Whether it lost its daemon, and somebody noted how it was mounted."""
        summary = self.summary
        return self.is_left and bool(summary.mount_id or summary.staging_path)

    @property
    def is_left(self) -> bool:
        """Whether it is what a mount left behind."""
        return not self.summary.alive and self.summary.status.value in (
            "dead", "detached", "unknown",
        )  # fmt: skip

    @property
    def hits(self) -> str:
        """Share of chunks that were in the cache."""
        if self.activity is None:
            return NOTHING
        asked = self.activity.cache_hits + self.activity.cache_misses
        return f"{self.activity.cache_hits / asked:.0%}" if asked else NOTHING

    def facts(self) -> Iterator[Fact]:
        """Everything, in words."""
        summary = self.summary
        index = f"{summary.image_index}" if summary.image_index else "?"
        yield "Mount point", Cell(plain(summary.mount_point), "strong")
        yield "WIM", plain(summary.wim_path)
        yield "Image", f"{index}  {plain(summary.image_name)}".rstrip()
        mode = "read-only" if summary.mode == "ro" else "read-write"
        badge = self.badge
        detail = f", {plain(summary.detail)}" if summary.detail else ""
        yield "Status", Cell(f"{badge.text[2:]}, {mode}{detail}", badge.tone)
        if self.changes is not None:
            size = exact_size_text(self.staged_nbytes or 0)
            text = f"{count_text(self.changes, 'change')}, {size} staged"
            yield "Changes", Cell(text, "warn" if self.changes else "")
        if summary.staging_path:
            yield "Staged in", plain(summary.staging_path)
        if self.uptime is not None:
            yield "Up" if summary.alive else "Since", age_text(self.uptime)
        if summary.alive:
            yield "Daemon", f"process {summary.pid}"
        activity = self.activity
        if activity is None:
            return
        yield "Reads", f"{activity.reads:,} requests, {exact_size_text(activity.bytes_read)}"
        yield (
            "Cache",
            f"{self.hits} hits of {activity.cache_hits + activity.cache_misses:,}, "
            f"{exact_size_text(activity.cache_nbytes)}",
        )
        yield "Open files", f"{activity.open_handles:,}"
        yield "Reads/s", rate_text(self.rate)
