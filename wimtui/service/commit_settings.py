"""How to commit, as front ends say it, in the terms of the daemon and of the engine."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wimtui.control.protocol import Commit, CommitMode

if TYPE_CHECKING:
    from wimtui.control.protocol import Scalar
    from wimtui.engine.commit.overlay import CommitPlan
    from wimtui.engine.progress import CancelToken, ProgressSink


@dataclass(frozen=True, slots=True)
class CommitSettings:
    """How to commit."""

    rebuild: bool = False
    """Write the file anew, without dead bytes."""
    recompress: bool = False
    """And compress again what could be copied."""
    check: bool = False
    """Write an integrity table."""
    new_image: bool = False
    """Append an image instead of writing in the place of the mounted one."""
    name: str = ""
    """Of the new image."""
    description: str = ""
    boot: bool = False
    """Make the new image the bootable one."""
    compress: str | None = None
    """``TYPE[:LEVEL]``; None keeps what the WIM has."""
    solid: bool = False
    """Rebuild, with all file data in a solid resource."""
    save_as: str | None = None
    """Write the result to this path, which must not exist, and leave the WIM as it is."""
    force_write: bool = False
    """Write although nothing has changed."""
    check_space: bool = True
    """Refuse before anything is written where the disk may be too small."""

    @property
    def absolute_save_as(self) -> str | None:
        """Where the result goes, whatever the current folder is."""
        return None if self.save_as is None else os.path.abspath(self.save_as)  # noqa: PTH100

    def request(self) -> Commit:
        """Return what a daemon is asked. Raises UsageError."""
        return Commit(**self.fields())

    def fields(self) -> dict[str, Any]:
        """Return the fields that a request for a commit or an unmount has. Raises UsageError."""
        anew = self.rebuild or self.recompress
        return {
            "mode": CommitMode.REBUILD if anew else CommitMode.APPEND,
            "new_image": self.new_image,
            "image_name": self.name,
            "image_description": self.description,
            "check": self.check,
            "options": self._options(),
        }

    def _options(self) -> dict[str, Scalar]:
        options: dict[str, Scalar] = {
            "recompress": self.recompress,
            "solid": self.solid,
            "boot": self.boot,
            "force": self.force_write,
            "no_space_check": not self.check_space,
        }
        if self.compress is not None:
            from wimtui.service.editing import parse_compression

            compression = parse_compression(self.compress)
            assert compression.codec is not None
            options |= {"codec": compression.codec.name, "level": compression.level}
        if self.save_as is not None:
            options["save_as"] = self.absolute_save_as
        return options

    def plan(self, progress: ProgressSink | None, cancel: CancelToken | None) -> CommitPlan:
        """Return what the engine is asked. Raises UsageError."""
        # What a daemon is asked needs nothing of the engine, which takes 0.1 s to load.
        from wimtui.engine.commit.edit import ImageProperties
        from wimtui.engine.commit.options import WriteOptions
        from wimtui.engine.commit.overlay import CommitPlan
        from wimtui.service.editing import parse_compression

        options = WriteOptions(
            rebuild=self.rebuild or self.recompress,
            recompress=self.recompress,
            solid=self.solid,
            compression=parse_compression(self.compress),
            integrity=True if self.check else None,
            check_space=self.check_space,
            save_as=self.absolute_save_as,
            progress=progress,
            cancel=cancel,
        )
        if not self.new_image:
            return CommitPlan(options, force=self.force_write)
        properties = ImageProperties(
            self.name or None, self.description or None, True if self.boot else None
        )
        return CommitPlan(options, properties, force=self.force_write)
