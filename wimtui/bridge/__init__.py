"""Between screens and services: calls in threads of their own, answers as messages.

Every call here returns at once. Threads never touch a widget; what they find is posted to the
screen that asked, and whatever goes wrong becomes a message that says so.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import termios
import threading
from typing import TYPE_CHECKING

from wimtui import messages
from wimtui.bridge.archives import ArchiveCalls
from wimtui.bridge.asker import Asker
from wimtui.bridge.commits import CommitCalls
from wimtui.bridge.edits import EditCalls
from wimtui.bridge.images import ImageCalls
from wimtui.bridge.logs import LogCalls
from wimtui.bridge.mounts import MountCalls
from wimtui.bridge.places import PlaceCalls
from wimtui.bridge.recovery import RecoveryCalls
from wimtui.bridge.stagings import StagingCalls
from wimtui.job_runner import JobRunner

if TYPE_CHECKING:
    from textual.message_pump import MessagePump

    from wimtui.service.frontend import Services

log = logging.getLogger(__name__)

_END_S = 8.0
"""Longer than jobs get to clear up."""


def _has_terminal() -> bool:
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        termios.tcgetattr(terminal)
    except termios.error:
        return False
    finally:
        os.close(terminal)
    return True


class Bridge:
    """Runs service calls for screens.

    Attributes:
        services: What is called.
        jobs: Long operations of this session.
        mounts: Calls about mounts.
        commits: Calls about commits.
        places: Calls about folders.
        archives: Calls about WIMs as a whole.
        images: Calls about what is in an image.
        logs: Calls about log files.
        edits: Calls that write into WIMs.
        recovery: Calls about mounts that are to be another or back.
        stagings: Calls about what is staged.
    """

    def __init__(self, app: MessagePump, services: Services) -> None:
        asker = Asker()
        self.services = services
        self.jobs = JobRunner(lambda message: asker.post(app, message), services.now)
        self.mounts = MountCalls(app, asker, services)
        self.commits = CommitCalls(app, asker, services, self.jobs)
        self.places = PlaceCalls(asker, services)
        self.archives = ArchiveCalls(asker, services, self.jobs)
        self.images = ImageCalls(app, asker, services, self.jobs)
        self.logs = LogCalls(asker, services)
        self.edits = EditCalls(asker, services, self.jobs)
        self.recovery = RecoveryCalls(app, asker, services, self.jobs)
        self.stagings = StagingCalls(asker, services, self.jobs)
        self._app = app
        self._asker = asker

    def catch_signals(self) -> None:
        """End in order when asked to, and at once when the terminal is lost.

        A hang-up that somebody sends to an app whose terminal lives is a request like any other.

        Called once the loop runs, and only where there is a terminal.
        """
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._app.post_message, messages.AskedToEnd())
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)

    def _hang_up(self) -> None:
        """Let jobs clear up, then end; without a word to a terminal that is gone.

        Textual's own end can wait for ever there: its thread that writes may never write again. A
        terminal may also go a moment after the signal.
        """

        def end() -> None:
            log.info("the terminal is gone")
            self.stop()
            os._exit(128 + signal.SIGHUP)

        if _has_terminal():
            self._app.post_message(messages.AskedToEnd())
            late = threading.Timer(_END_S, end)
            late.daemon = True
            late.start()
        else:
            threading.Thread(target=end, name="hang-up").start()

    def stop(self) -> None:
        """Cancel the jobs and give them a moment to clear up; answers go nowhere from here on."""
        self._asker.stop()
        self.commits.leave()
        self.jobs.stop()

    @property
    def is_idle(self) -> bool:
        """Whether every question has been answered."""
        return self._asker.is_idle
