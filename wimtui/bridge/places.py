"""What screens ask about folders: where to mount, and where WIMs lie."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from wimtui import messages, upkeep_messages

if TYPE_CHECKING:
    from textual.message_pump import MessagePump

    from wimtui.bridge.asker import Asker
    from wimtui.service.frontend import Services

WIM_SUFFIXES = (".wim", ".swm", ".esd")


class PlaceCalls:
    """Looks at folders."""

    def __init__(self, asker: Asker, services: Services) -> None:
        self._asker = asker
        self._services = services

    def check(self, target: MessagePump, typed: str) -> None:
        """Ask for PlaceChecked."""
        self._asker.ask(
            target,
            "look at the mount point",
            lambda: messages.PlaceChecked(typed, self._services.check_mount_point(typed)),
        )

    def suggest(self, target: MessagePump, wim: str, image: int, count_: int) -> None:
        """Ask for PlaceSuggested."""
        self._asker.ask(
            target,
            "find a mount point",
            lambda: messages.PlaceSuggested(
                wim, image, self._services.suggest_mount_point(wim, image, count_)
            ),
        )

    def check_write_access(
        self, target: MessagePump, wim: str, references: tuple[str, ...], staging_typed: str
    ) -> None:
        """Ask for WriteAccessChecked."""
        self._asker.ask(
            target,
            "look whether the WIM can be written",
            lambda: upkeep_messages.WriteAccessChecked(
                staging_typed,
                self._services.check_write_access(wim, references, staging_typed),
            ),
        )

    async def list_folders(self, folder: str) -> list[str]:
        """Return the names of the folders in a folder, each with a slash."""
        return await asyncio.to_thread(self._services.list_folder, folder, ())

    async def list_wims(self, folder: str) -> list[str]:
        """Return the names of folders and WIMs in a folder."""
        return await asyncio.to_thread(self._services.list_folder, folder, WIM_SUFFIXES)
