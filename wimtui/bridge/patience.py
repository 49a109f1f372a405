"""Waiting for what others look at just now."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, TypeVar

from wimtui.engine.errors import LockedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from wimtui.service.mounts import MountSummary

_PATIENCE_S: Final = 5.0
_PAUSE_S: Final = 0.05

Found = TypeVar("Found")


def patiently(mount: MountSummary, call: Callable[[], Found]) -> Found:
    """Call, and again if need be: what nobody has mounted is open to one at a time.

    Screens look at it now and then, each for a moment. Raises what ``call`` does.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return call()
        except LockedError:
            if mount.alive or time.monotonic() > deadline:
                raise
        time.sleep(_PAUSE_S)
