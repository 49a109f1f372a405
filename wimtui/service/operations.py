"""What a mount's daemon does at this moment, whoever began it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

from wimtui.control.client import DaemonClient
from wimtui.control.protocol import (
    Cancel,
    EndedEvent,
    Status,
    StatusReply,
    Subscribe,
)
from wimtui.service.stagings import find_staged

if TYPE_CHECKING:
    from collections.abc import Callable

    from wimtui.control.protocol import Event
    from wimtui.engine.progress import CancelToken

_ANSWER_S: Final = 60.0
_LOOK_S: Final = 0.2
"""How often a wish to stop is looked for."""


class RunningOperation:
    """A commit or an unmount that is under way, followed through a connection of its own.

    Attributes:
        name: ``commit`` or ``unmount``.
        wim_path: The WIM of the mount.
    """

    def __init__(self, client: DaemonClient, name: str, wim_path: str) -> None:
        self.name = name
        self.wim_path = wim_path
        self._client = client

    @classmethod
    def attach(cls, target: str) -> Self | None:
        """Begin to follow what a mount's daemon does; None where it does nothing.

        Raises:
            NotAMountError: Nothing is mounted there.
            ControlError: The daemon cannot be asked.
        """
        record = find_staged(target).record
        if record is None or not record.alive:
            return None
        client = DaemonClient(record)
        try:
            # The end of what is under way by the second answer comes to those who asked the first.
            client.request(Subscribe(log_level="INFO"), _ANSWER_S)
            status = client.request(Status(), _ANSWER_S)
            if isinstance(status, StatusReply) and status.operation:
                return cls(client, status.operation, record.entry.wim_path)
        except BaseException:
            client.close()
            raise
        client.close()
        return None

    def follow(
        self, on_event: Callable[[Event], None], cancel: CancelToken, leave: CancelToken
    ) -> EndedEvent | None:
        """Hand on the daemon's events until the operation is over; None if one left before.

        Args:
            on_event: Called with each event, the last one included.
            cancel: Stops the operation.
            leave: Ends the following alone.

        Raises:
            DaemonGoneError: The daemon ended without a word.
        """
        is_told = False

        def is_wished() -> bool:
            return leave.cancelled or (cancel.cancelled and not is_told)

        while not leave.cancelled:
            for event in self._client.events(timeout_s=_LOOK_S):
                on_event(event)
                if isinstance(event, EndedEvent) and event.operation == self.name:
                    return event
                if is_wished():
                    break
            if cancel.cancelled and not is_told:
                is_told = True
                self._client.request(Cancel(), _ANSWER_S)
        return None

    def close(self) -> None:
        """End the connection; harmless when done twice."""
        self._client.close()
