"""A mount from its beginning to its end."""

from __future__ import annotations

import contextlib
import logging
import os
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

import pyfuse3
import trio

from wimtui.engine.errors import UsageError, WimError
from wimtui.engine.fuse.mount_info import find_mount
from wimtui.engine.fuse.request_loop import RequestLoop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wimtui.engine.fuse.options import FuseOptions
    from wimtui.engine.fuse.read_operations import ReadOperations

log = logging.getLogger(__name__)

READ_AHEAD_KIB: Final = 1024
"""What the kernel may read ahead: the largest read request it sends, 256 pages."""


_WAYS_OUT: Final = (
    ("user_allow_other", "root may write that line there; leave out allow_other to go without"),
    ("no write access to mountpoint", "choose a folder of your own"),
    ("not owned by user", "choose a folder of your own"),
    ("open /dev/fuse: Permission", "ask root to let you read and write /dev/fuse"),
)
"""What libfuse and fusermount3 say, in part, and what to do about it."""


class MountFailedError(WimError):
    """FUSE refuses the mount."""

    code = 6


class SessionEnd(Enum):
    """Why the kernel asks no more."""

    UNMOUNTED = "unmounted"
    """Somebody unmounted: fusermount3 -u or umount."""
    ABORTED = "aborted"
    """The connection was cut, as ``umount -f`` does where files are open. The mount point is dead
    until somebody unmounts it; ``close`` does not, because libfuse takes it for unmounted."""
    TERMINATED = "terminated"
    """``terminate`` was called; the mount is still there until ``close``."""


class FuseSession:
    """One mount of this process; there can be no second at the same time.

    The order is ``open``, ``serve``, ``close``. A crash in between leaves the mount point dead
    rather than empty: to a mirroring program an empty one would mean that everything was deleted.
    """

    # pyfuse3 keeps its session in module variables and takes a second init without a word,
    # orphaning the first mount; only a class variable can see both.
    _current: ClassVar[FuseSession | None] = None

    def __init__(self, operations: ReadOperations, mount_point: Path, options: FuseOptions) -> None:
        """Prepare a mount; nothing happens before ``open``."""
        self.operations = operations
        self.mount_point = mount_point
        self.options = options
        self.ready = trio.Event()
        """Set when the kernel has begun to ask: the mount can be used."""
        self._terminated = False
        self._device: str | None = None
        self.loop = RequestLoop()

    def open(self) -> None:
        """Mount.

        Raises:
            UsageError: This process has a mount already.
            MountFailedError: libfuse or the kernel refuses; the text is libfuse's own.
        """
        if FuseSession._current is not None:
            raise UsageError(
                "this process has a file system mounted already",
                path=FuseSession._current.mount_point,
                hint="start another process for another mount",
            )
        self.operations.on_init = self.ready.set
        with _libfuse_messages() as messages:
            try:
                pyfuse3.init(
                    self.operations, os.fspath(self.mount_point), self.options.for_pyfuse3()
                )
            except RuntimeError as error:
                text = messages.text() or str(error)
                raise MountFailedError(text, path=self.mount_point, hint=_way_out(text)) from error
        FuseSession._current = self

    async def serve(self) -> SessionEnd:
        """Answer the kernel until somebody unmounts or ``terminate`` is called."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._meet_kernel)
            await self._answer()
            nursery.cancel_scope.cancel()
        if self._terminated:
            return SessionEnd.TERMINATED
        mount = find_mount(self.mount_point)
        if mount is not None and mount.device == self._device:
            return SessionEnd.ABORTED
        return SessionEnd.UNMOUNTED

    async def _answer(self) -> None:
        """Answer the kernel's requests to the end."""
        with self.loop.installed():
            await pyfuse3.main()

    def terminate(self) -> None:
        """End ``serve`` from the trio thread; requests under way are answered first.

        Does nothing where the session is over: libfuse has none then that it could end.
        """
        if FuseSession._current is not self:
            return
        self._terminated = True
        self.operations.interrupt()
        pyfuse3.terminate()

    def close(self, *, unmount: bool) -> None:
        """Give up the session; calling it again does nothing.

        Args:
            unmount: Take the mount away, even if files are open. Harmless after somebody else
                unmounted: libfuse looks whether the mount is still its own. False leaves a dead
                mount point.
        """
        if FuseSession._current is not self:
            return
        pyfuse3.close(unmount=unmount)
        FuseSession._current = None
        self.operations.close()

    async def _meet_kernel(self) -> None:
        """Note the mount's device; let the kernel ask for 1 MiB at a time where root may say so."""
        await self.ready.wait()
        # The answer to INIT, which sets the small figure, is written before any other task runs.
        mount = find_mount(self.mount_point)
        if mount is not None:
            self._device = mount.device
            _set_read_ahead(mount.device)


def _way_out(text: str) -> str | None:
    return next((way for part, way in _WAYS_OUT if part in text), None)


def _set_read_ahead(device: str) -> None:
    setting = Path(f"/sys/class/bdi/{device}/read_ahead_kb")
    try:
        setting.write_text(f"{READ_AHEAD_KIB}\n", encoding="ascii")
    except OSError as error:
        log.debug("read-ahead stays at the kernel's default: %s", error)


class _Messages:
    """What was written to a file descriptor while it was diverted."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def text(self) -> str:
        """Return it as one line."""
        size = os.lseek(self._descriptor, 0, os.SEEK_END)
        lines = os.pread(self._descriptor, size, 0).decode(errors="replace").splitlines()
        return "; ".join(line.strip() for line in lines if line.strip())


@contextlib.contextmanager
def _libfuse_messages() -> Iterator[_Messages]:
    """Keep what libfuse prints: it has no other way to say why a mount fails."""
    saved = os.dup(2)
    diverted = os.memfd_create("libfuse-messages")
    messages = _Messages(diverted)
    try:
        os.dup2(diverted, 2)
        try:
            yield messages
        finally:
            os.dup2(saved, 2)
        if text := messages.text():
            log.info("libfuse: %s", text)
    finally:
        os.close(diverted)
        os.close(saved)
