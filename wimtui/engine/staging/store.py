"""A staging folder: where changes live until they are committed or discarded."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from wimtui.engine.errors import FormatError, OpenFailedError
from wimtui.engine.staging.database import WRITTEN_SINCE, Database
from wimtui.engine.staging.former import FormerWim, forget_former
from wimtui.engine.staging.identity import IdentityMatch, WimIdentity
from wimtui.engine.staging.node import FIRST_NEW_ID
from wimtui.engine.staging.options import OverlayOptions
from wimtui.engine.staging.reserve import Reserve
from wimtui.engine.staging.staged_files import StagedFiles, file_number, sync_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager

    from wimtui.engine.staging.edit import Edit
    from wimtui.engine.staging.node import Entry, NodeId, StagedNode

DATABASE_NAME: Final = "changes.db"


@dataclass(frozen=True, slots=True)
class StagingFacts:
    """What a staging folder says of itself."""

    identity: WimIdentity
    image: int
    """1-based index of the image."""
    created_ns: int
    options: OverlayOptions
    mount: dict[str, Any]
    """Whatever the mount wants to find again."""
    committing: WimIdentity | None
    """What the WIM will be once the commit under way is complete."""
    former: FormerWim | None
    """How to bring the WIM back to what it was before that; None where there is no way."""
    is_written_since: bool
    """Whether anything was staged after that commit began, and so is no part of it."""

    @classmethod
    def from_settings(cls, settings: dict[str, Any]) -> StagingFacts:
        """Read the ``setting`` table."""
        committing, former = settings.get("committing"), settings.get("former")
        return cls(
            identity=WimIdentity.from_json(settings["identity"]),
            image=settings["image"],
            created_ns=settings["created_ns"],
            options=OverlayOptions.from_json(settings["options"]),
            mount=settings["mount"],
            committing=None if committing is None else WimIdentity.from_json(committing),
            former=None if former is None else FormerWim.from_json(former),
            is_written_since=settings.get(WRITTEN_SINCE, False),
        )

    def match(self, found: WimIdentity) -> IdentityMatch:
        """Say what became of the WIM."""
        if self.identity.is_same(found):
            return IdentityMatch.SAME
        if self.committing is not None and self.committing.is_same(found):
            return IdentityMatch.COMMITTED
        return IdentityMatch.CHANGED


class StagingStore:
    """An open staging folder, which no other process can open meanwhile.

    Attributes:
        folder: The folder.
        files: The staged files in it.
        facts: What it says of itself.
    """

    def __init__(self, folder: Path, database: Database) -> None:
        self.folder = folder
        self._database = database
        self.facts = StagingFacts.from_settings(database.settings())
        self.nodes: dict[NodeId, StagedNode] = database.nodes()
        """As they were when the store was opened; for the overlay to take over."""
        self.entries: list[tuple[NodeId, bytes, Entry | None]] = list(database.entries())
        """Names as they were when the store was opened."""
        known = {number for node in self.nodes.values() for number in node.staged_files()}
        self.files = StagedFiles(folder, max(known, default=0) + 1)
        self.files.remove_unknown(known)
        self._next_id = self._first_free_id()
        self._reserve = Reserve(folder)

    def _first_free_id(self) -> NodeId:
        ids = [FIRST_NEW_ID - 1, *self.nodes]
        ids += [entry.node for _, _, entry in self.entries if entry is not None]
        ids += [stream.id for node in self.nodes.values() for stream in node.streams or ()]
        return max(ids) + 1

    @classmethod
    def create(
        cls,
        parent: Path,
        identity: WimIdentity,
        image: int,
        options: OverlayOptions,
        mount: dict[str, Any] | None = None,
    ) -> StagingStore:
        """Make an empty staging folder in ``parent``.

        Raises:
            OpenFailedError: The folder cannot be made.
            OSError: The disk is full.
        """
        name = f"{Path(identity.path).name}.staging-{secrets.token_hex(5)}"
        folder = parent / name
        try:
            folder.mkdir(mode=0o700)
        except OSError as error:
            raise OpenFailedError(
                f"cannot create a staging folder: {error.strerror}",
                path=folder,
                hint="choose another place with --staging-dir",
            ) from error
        try:
            database = Database.create(folder / DATABASE_NAME)
            database.put_settings(
                {
                    "identity": identity.to_json(),
                    "image": image,
                    "created_ns": time.time_ns(),
                    "options": options.to_json(),
                    "mount": mount or {},
                    "committing": None,
                }
            )
            database.sync()
            sync_folder(os.fspath(folder))
            sync_folder(os.fspath(parent))
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return cls(folder, database)

    @classmethod
    def open(cls, folder: Path) -> StagingStore:
        """Open a staging folder, after a kill too. Raises as ``Database.open``."""
        path = folder / DATABASE_NAME
        database = Database.open(path)
        try:
            return cls(folder, database)
        except (sqlite3.Error, ArithmeticError, LookupError, TypeError, ValueError) as error:
            database.close()
            raise FormatError(
                f"the staging database is damaged: {error}",
                path=path,
                hint="the numbered files in the folder hold the data of what was written",
            ) from error
        except BaseException:
            database.close()
            raise

    def new_id(self) -> NodeId:
        """Return a number that no node and no stream has had in this store."""
        number = self._next_id
        self._next_id = number + 1
        return number

    def write(self, edit: Edit) -> None:
        """Write all or nothing of an edit; what only removes may use the reserve. Raises OSError.

        Anything else must not, or nothing could be removed on a full disk for want of it.
        """
        self._write_somehow(lambda: self._database.write(edit), may_take_all=edit.only_removes)

    def _write_somehow(self, write: Callable[[], None], *, may_take_all: bool = True) -> None:
        """Write; on a full disk into the log from its beginning again, or into the reserve."""
        try:
            return write()
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
        self._database.empty_log()
        try:
            return write()
        except OSError as error:
            if error.errno != errno.ENOSPC or not may_take_all:
                raise
            self.give_up_reserve()
        return write()

    def give_up_reserve(self) -> None:
        """Give the database what room there is left for removing things; ``collect`` refills it."""
        self._reserve.release()
        self._database.empty_log()

    def grouped(self) -> AbstractContextManager[None]:
        """Have everything that is written meanwhile come true together, or not at all."""
        return self._database.grouped()

    def reload(self) -> tuple[dict[NodeId, StagedNode], list[tuple[NodeId, bytes, Entry | None]]]:
        """Return nodes and names as the database has them."""
        return self._database.nodes(), list(self._database.entries())

    def replace_all(self, edit: Edit, identity: WimIdentity, image: int) -> None:
        """Replace all that is staged, after a commit made ``identity`` of the WIM.

        From here on it is of the 1-based ``image``.
        """
        settings = {
            "identity": identity.to_json(), "image": image, "committing": None, "former": None,
            WRITTEN_SINCE: False,
        }  # fmt: skip
        self._write_somehow(lambda: self._database.replace_all(edit, settings))
        self._database.marks_writes = False
        forget_former(self.folder)
        self.facts = StagingFacts.from_settings(self._database.settings())

    def note_freeze(self) -> None:
        """Have the first change from here on leave a mark: the commit that begins lacks it."""
        self.put_settings({WRITTEN_SINCE: False})
        self._database.marks_writes = True

    def note_commit(self, expected: WimIdentity | None, former: FormerWim | None = None) -> None:
        """Write down what the WIM will be when the commit under way is complete, durably.

        Should everything stop between the WIM's last write and the staging's, ``match`` then says
        COMMITTED instead of CHANGED. None says that no commit is under way.
        """
        if expected is None:
            self.put_settings({"committing": None, "former": None})
            forget_former(self.folder)
        else:
            has_way = former is not None and former.keep(expected.path, self.folder)
            way = former.to_json() if former is not None and has_way else None
            self.put_settings({"committing": expected.to_json(), "former": way})
        self._database.sync()

    def note_mount(self, mount: dict[str, Any], options: OverlayOptions) -> None:
        """Write down how it is mounted now; a power cut may bring back how it was before."""
        self.put_settings({"mount": mount, "options": options.to_json()})

    def put_settings(self, settings: dict[str, Any]) -> None:
        """Write settings by their names in the ``setting`` table."""
        self._write_somehow(lambda: self._database.put_settings(settings))
        self.facts = StagingFacts.from_settings(self._database.settings())

    def sync(self, files: Iterable[int]) -> None:
        """Return when these files and everything in the database would survive a power cut.

        Blocks; safe in a worker thread.
        """
        self.files.sync(files)
        self._database.sync()

    def discard_files(self, numbers: Iterable[int]) -> None:
        """Give up staged files that the database does not mention any more."""
        if self.files.discard(numbers):
            self.collect()

    def collect(self) -> None:
        """Remove the files given up; waits for the disk."""
        self._database.sync()
        self.files.collect()
        self._reserve.take()

    def staged_nbytes(self) -> int:
        """Return what the staged files take on the disk."""
        return staged_nbytes(self.folder)

    def close(self) -> None:
        """Close the database; everything stays. Harmless when done twice."""
        with contextlib.suppress(OSError):
            self.collect()
        self._database.close()

    def remove(self) -> None:
        """Close and remove the folder with everything in it. Raises OSError."""
        self._database.close()
        shutil.rmtree(self.folder)


def staged_nbytes(folder: Path) -> int:
    """Return what the staged files of a folder take on the disk, in use or not."""
    total = 0
    with os.scandir(folder) as found:
        for item in found:
            if file_number(item.name) is not None:
                with contextlib.suppress(FileNotFoundError):
                    total += item.stat(follow_symlinks=False).st_blocks * 512
    return total
