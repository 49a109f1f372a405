"""What screens ask about logs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wimtui import messages

if TYPE_CHECKING:
    from textual.message_pump import MessagePump

    from wimtui.bridge.asker import Asker
    from wimtui.service.frontend import Services


class LogCalls:
    """Lists and reads log files."""

    def __init__(self, asker: Asker, services: Services) -> None:
        self._asker = asker
        self._services = services

    def list(self, target: MessagePump) -> None:
        """Ask for LogsListed."""
        self._asker.ask(
            target,
            "list the logs",
            lambda: messages.LogsListed(self._services.log_files()),
            key="logs",
        )

    def read(self, target: MessagePump, path: str) -> None:
        """Ask for LogRead."""
        self._asker.ask(
            target,
            "read a log",
            lambda: messages.LogRead(path, self._services.tail(path)),
            key=f"log {path}",
        )
