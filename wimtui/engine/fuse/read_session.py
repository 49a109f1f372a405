"""A mount of a tree that does not change: served straight from the device, by its own thread."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from wimtui.engine.fuse._read_server import ReadServer
from wimtui.engine.fuse.session import FuseSession

if TYPE_CHECKING:
    from wimtui.engine.fuse.operations import WimOperations
    from wimtui.engine.fuse.options import FuseOptions

DEVICE = "/dev/fuse"


class ReadSession(FuseSession):
    """A session in which pyfuse3 mounts and unmounts, and ``ReadServer`` answers.

    A request costs a third of what it does through pyfuse3 (docs/decisions/0002-read-server.md),
    and the kernel keeps listings, link targets and the knowledge that opening always works. With
    ``-o debug`` pyfuse3 serves, because it is libfuse that prints the messages.
    """

    def __init__(
        self,
        operations: WimOperations,
        mount_point: Path,
        options: FuseOptions,
        *,
        opens_are_needed: bool = True,
    ) -> None:
        """Prepare a mount; nothing happens before ``open``.

        Args:
            operations: The tree, its counters, and what becomes of errors.
            mount_point: Where.
            options: How.
            opens_are_needed: False where every regular file can be opened and read: opening and
                closing then cost no request. Open files are not counted.
        """
        super().__init__(operations, mount_point, options)
        self._opens_are_needed = opens_are_needed
        self._wake_fd = -1

    def terminate(self) -> None:
        """End ``serve`` from the trio thread; requests under way are answered first."""
        if self.options.debug:
            super().terminate()
        elif self._wake_fd >= 0:
            self._terminated = True
            os.eventfd_write(self._wake_fd, 1)

    async def _answer(self) -> None:
        """Run the server in its thread until the mount ends or ``terminate`` wakes it."""
        if self.options.debug:
            await super()._answer()
            return
        done = trio.Event()
        token = trio.lowlevel.current_trio_token()
        device = _device_of_this_process()
        os.set_blocking(device, False)
        self._wake_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        server = ReadServer(
            device,
            self._wake_fd,
            self.operations,
            self.operations.threads.start,
            on_init=lambda: token.run_sync_soon(self.operations.init),
            opens_are_needed=self._opens_are_needed,
        )
        errors: list[BaseException] = []

        def serve() -> None:
            try:
                server.serve()
            except BaseException as error:
                errors.append(error)
            token.run_sync_soon(done.set)

        thread = threading.Thread(target=serve, name="fuse", daemon=True)
        thread.start()
        try:
            await done.wait()
        finally:
            os.eventfd_write(self._wake_fd, 1)
            thread.join()
            os.close(self._wake_fd)
            self._wake_fd = -1
            server.close()
        if errors:
            raise errors[0]


def _device_of_this_process() -> int:
    """Return the descriptor of the mount; pyfuse3 has it and does not tell."""
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            if str(entry.readlink()) == DEVICE:
                return int(entry.name)
    raise RuntimeError("this process has no FUSE device open")
