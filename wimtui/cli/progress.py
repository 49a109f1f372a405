"""How far long work is: a bar on a terminal, a line for each phase elsewhere, or JSON lines."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Final

import humanize

from wimtui.cli import output
from wimtui.cli.diagnostics import shown
from wimtui.engine.progress import Phase

if TYPE_CHECKING:
    from collections.abc import Callable

    from wimtui.engine.progress import Progress

_REDRAW_S: Final = 0.1
_BAR_WIDTH: Final = 24
_STEADY_S: Final = 0.2
"""Before that a rate says nothing."""

_LABELS: Final = {Phase.WRITE: "compress and write"}
_ITEMS: Final = {
    Phase.SCAN: "file",
    Phase.HASH: "file",
    Phase.WRITE: "blob",
    Phase.METADATA: "image",
    Phase.INTEGRITY: "piece",
    Phase.VERIFY: "blob",
}


def label(phase: str) -> str:
    """Return what people call a phase."""
    return _LABELS.get(phase, str(phase))  # type: ignore[call-overload, no-any-return]


class Meter:
    """Measures phases; what it shows of them is for its heirs. Called from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._began_at = 0.0
        self._latest: Progress | None = None

    def __call__(self, progress: Progress) -> None:
        """Take one moment."""
        with self._lock:
            now = self._clock()
            latest = self._latest
            if latest is None or latest.phase is not progress.phase:
                if latest is not None:
                    self._leave(latest, now - self._began_at)
                self._began_at = now
            self._latest = progress
            self._show(progress, now - self._began_at)

    def close(self, *, is_done: bool = True) -> None:
        """The work is over; unless ``is_done`` the last phase was not finished."""
        with self._lock:
            if self._latest is not None:
                elapsed = self._clock() - self._began_at
                self._end(self._latest, elapsed, is_done=is_done)
                self._latest = None

    def _show(self, progress: Progress, elapsed_s: float) -> None:
        """Show one moment of a phase."""

    def _leave(self, progress: Progress, elapsed_s: float) -> None:
        """A phase is finished, and another one follows."""

    def _end(self, progress: Progress, elapsed_s: float, *, is_done: bool) -> None:
        """The last phase is over."""


class ProgressBar(Meter):
    """Phase, share, rate and time left on a terminal's standard error; nothing elsewhere."""

    def __init__(self, *, enabled: bool = True) -> None:
        super().__init__()
        self._enabled = enabled and sys.stderr.isatty()
        self._drawn_at: float | None = None

    def _show(self, progress: Progress, elapsed_s: float) -> None:
        now = self._clock()
        is_full = progress.bytes_done >= progress.bytes_total > 0
        is_soon = self._drawn_at is not None and now - self._drawn_at < _REDRAW_S
        if self._enabled and (is_full or elapsed_s == 0 or not is_soon):
            self._drawn_at = now
            sys.stderr.write("\r\x1b[K" + self._text(progress, elapsed_s))
            sys.stderr.flush()

    def _text(self, progress: Progress, elapsed_s: float) -> str:
        done, total = progress.bytes_done, progress.bytes_total
        fraction = _fraction(progress)
        bar = "#" * int(fraction * _BAR_WIDTH)
        parts = [f"{label(progress.phase)} [{bar:<{_BAR_WIDTH}}] {fraction:4.0%}"]
        if total:
            rate = done / elapsed_s if elapsed_s > _STEADY_S else 0.0
            left = f"{(total - done) / rate:.0f} s left" if rate else "- s left"
            parts.append(f"{_size(done)} of {_size(total)} {_size(rate)}/s, {left}")
        if progress.path:
            parts.append(shown(progress.path))
        columns = os.get_terminal_size(sys.stderr.fileno()).columns or 80
        return " ".join(parts)[: columns - 1]

    def _end(self, progress: Progress, elapsed_s: float, *, is_done: bool) -> None:
        if self._drawn_at is not None:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


class PhaseLines(Meter):
    """A line on standard error for each phase that had something to do."""

    def __init__(self) -> None:
        super().__init__()
        self._uncounted: dict[str, float] = {}
        """Seconds of phases that count nothing; these come several times, and get one line."""

    def _leave(self, progress: Progress, elapsed_s: float) -> None:
        counted = _counted(progress)
        if counted:
            self._write(f"{label(progress.phase)} {counted} in {elapsed_s:.1f} s")
        elif progress.phase not in _ITEMS:
            name = label(progress.phase)
            self._uncounted[name] = self._uncounted.get(name, 0.0) + elapsed_s

    def _end(self, progress: Progress, elapsed_s: float, *, is_done: bool) -> None:
        if is_done:
            self._leave(progress, elapsed_s)
        for name, spent_s in self._uncounted.items():
            self._write(f"{name} in {spent_s:.1f} s")
        if not is_done:
            self._write(f"{label(progress.phase)} stopped after {elapsed_s:.1f} s")

    def _write(self, text: str) -> None:
        print(f"phase: {text}", file=sys.stderr, flush=True)


class JsonLines(Meter):
    """Each moment as a line of JSON on standard output."""

    def __init__(self) -> None:
        super().__init__()
        self._is_read = True

    def _show(self, progress: Progress, elapsed_s: float) -> None:
        if not self._is_read:
            return
        # Who reads no more is told at the end; what is written must not suffer from it.
        try:
            output.json_line(
                {
                    "type": "progress",
                    "phase": progress.phase.value,
                    "bytes_done": progress.bytes_done,
                    "bytes_total": progress.bytes_total,
                    "items_done": progress.items_done,
                    "items_total": progress.items_total,
                    "path": progress.path,
                    "elapsed_s": round(elapsed_s, 3),
                    "bytes_per_s": int(progress.bytes_done / elapsed_s) if elapsed_s > 0 else 0,
                }
            )
            sys.stdout.flush()
        except BrokenPipeError:
            self._is_read = False


def meter(*, as_json: bool) -> Meter:
    """Return what shows the progress of a command that writes."""
    if as_json:
        return JsonLines()
    with contextlib.suppress(ValueError):
        if sys.stderr.isatty() and sys.stdout.isatty():
            return ProgressBar()
    return PhaseLines()


def _fraction(progress: Progress) -> float:
    if progress.bytes_total:
        return progress.bytes_done / progress.bytes_total
    return progress.items_done / progress.items_total if progress.items_total else 0.0


def _size(nbytes: float) -> str:
    return humanize.naturalsize(nbytes, binary=True)


def _counted(progress: Progress) -> str:
    """Return how much a phase that is finished had to do; its last moments may not be told."""
    items = max(progress.items_done, progress.items_total)
    nbytes = max(progress.bytes_done, progress.bytes_total)
    noun = _ITEMS.get(progress.phase, "item")
    parts = [f"{items:,} {noun}{'' if items == 1 else 's'}"] if items else []
    if nbytes:
        parts.append(_size(nbytes))
    return ", ".join(parts)
