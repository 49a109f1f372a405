"""What became of the WIM under a mount, looked up now and then."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import trio

from wimtui.engine.container.file_state import FileState, FileWatch

if TYPE_CHECKING:
    from collections.abc import Callable

    from wimtui.daemon.mounted_image import MountedImage
    from wimtui.engine.archive import Archive

log = logging.getLogger(__name__)

INTERVAL_S = 2.0
"""How soon it is known that somebody has written to the WIM."""

_WORST_FIRST = (FileState.OVERWRITTEN, FileState.REPLACED, FileState.GONE)
_BECAME = {
    FileState.OVERWRITTEN: "overwritten in place",
    FileState.REPLACED: "replaced; the mount still shows the old one",
    FileState.GONE: "removed or renamed; the mount still shows it",
}


class WimWatch:
    """The files that a mount reads from, and how they stand."""

    def __init__(self, image: MountedImage, note: Callable[[FileState], None]) -> None:
        """Watch what an image is in, also after commits have made other files of that.

        ``note`` writes down what was found.
        """
        self._image = image
        self._note = note
        self._archive: Archive | None = None
        self._files: tuple[FileWatch, ...] = ()
        self._state = FileState.SAME

    async def run(self) -> None:
        """Look again and again."""
        while True:
            await trio.sleep(INTERVAL_S)
            await self.look()

    async def look(self) -> FileState:
        """Return how the files stand; the worst of several."""
        archive = self._image.archive
        if archive is not self._archive:
            self._archive = archive
            self._files = tuple(FileWatch(wim) for wim in archive.blobs.files)
        found = await trio.to_thread.run_sync(_states, self._files)
        if self._image.archive is not archive:
            # A commit has put another file in its place, and may have closed this one.
            return self._state
        state = next((one for one in _WORST_FIRST if one in found), FileState.SAME)
        if state is not self._state and state in _BECAME:
            log.warning("%s: the WIM was %s", archive.wim.path, _BECAME[state])
        self._state = state
        self._note(state)
        return state


def _states(files: tuple[FileWatch, ...]) -> set[FileState]:
    return {file.state() for file in files}
