"""The whole life of a daemon: options in, a mount served, nothing left behind."""

from __future__ import annotations

import gc
import logging
import sys
from pathlib import Path
from typing import NoReturn

import trio

from wimtui import logs
from wimtui.control.errors import ControlError, os_error_text
from wimtui.control.handshake import Startup
from wimtui.control.mount_request import MountRequest
from wimtui.daemon.serve import serve_mount
from wimtui.engine.errors import WimError, WriteFailedError

log = logging.getLogger(__name__)


def main() -> None:
    """Serve the mount that the starting process asks for; exit codes as in docs/EXIT_CODES.md."""
    startup = Startup.from_arguments()
    try:
        request = MountRequest.from_options(startup.options)
        log_path = _set_up_logging(request, foreground=startup.foreground)
        # The columns of an image never form cycles; walking them would only cost time.
        gc.freeze()
        trio.run(serve_mount, startup, request, log_path)
    except (WimError, ControlError) as error:
        _fail(startup, error.code, error)
    except OSError as error:
        _fail(startup, 100, error, os_error_text(error))
    except BaseException:
        log.exception("the daemon crashed")
        raise


def _fail(startup: Startup, code: int, error: Exception, text: str = "") -> NoReturn:
    if not startup.foreground:
        log.error("%s", error)
    startup.failed(code, text or str(error), name=type(error).__name__)
    sys.exit(code)


def _set_up_logging(request: MountRequest, *, foreground: bool) -> Path | None:
    level = logging.DEBUG if request.debug else logging.INFO
    log_file = Path(request.log_file) if request.log_file else None
    made = logs.set_up_daemon(
        request.mount_id, level=level, log_file=log_file, foreground=foreground
    )
    if made is None and log_file is not None:
        raise WriteFailedError(
            "the log file cannot be written", path=log_file, hint="name another with --log-file"
        )
    return made
