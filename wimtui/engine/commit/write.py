"""The entry to every write: choose append or rebuild, check, plan, write."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from wimtui.engine.commit.append import Appender
from wimtui.engine.commit.plan import Planner
from wimtui.engine.commit.precondition import (
    check_absent,
    check_replaceable,
    check_writable,
)
from wimtui.engine.commit.rebuild import Rebuilder
from wimtui.engine.commit.reporter import Reporter

if TYPE_CHECKING:
    from wimtui.engine.archive import Archive
    from wimtui.engine.commit.options import WriteOptions, WriteResult
    from wimtui.engine.commit.plan import Target


def must_rebuild(archive: Archive, options: WriteOptions) -> bool:
    """Return whether the options or the file rule an append out (wim-container 13.5)."""
    wim = archive.wim
    wanted = options.compression
    codec_differs = wanted.codec is not None and wanted.codec is not wim.codec
    chunks_differ = wanted.chunk_size is not None and wanted.chunk_size != wim.chunk_size
    return (
        options.rebuild
        or options.recompress
        or options.solid
        or codec_differs
        or chunks_differ
        or wim.header.is_pipable
    )


def write_archive(archive: Archive, target: Target, options: WriteOptions) -> WriteResult:
    """Make a file what ``target`` says; return when that is on the disk.

    After an error the file is as it was, and may be tried again; UncertainWriteError alone, after
    a disk that failed twice, leaves open whether it is the old or the new archive.

    Raises:
        ReadOnlyWimError: It cannot be modified.
        ArchiveChangedError: It is not what was opened.
        LockedError: Another process writes it.
        NoSpaceError: The disk has too little room.
        WriteFailedError: The system reports an error.
        CancelledError: Stopped.
        WimError: Something to be saved cannot be read.
    """
    reporter = Reporter(options.progress, options.cancel)
    if options.save_as is not None:
        check_absent(options.save_as)
        plan = Planner(archive, target, reporter).plan(options.clock())
        return Rebuilder(archive, plan, options, reporter, options.save_as).run()
    check_writable(archive.wim, ignore_readonly=options.ignore_readonly)
    rebuild = must_rebuild(archive, options)
    if rebuild:
        check_replaceable(os.path.realpath(archive.wim.path))
    plan = Planner(archive, target, reporter).plan(options.clock())
    if rebuild:
        return Rebuilder(archive, plan, options, reporter, archive.wim.path).run()
    return Appender(archive, plan, options, reporter).run()


def write_new(path: str, target: Target, options: WriteOptions) -> WriteResult:
    """Make a file that does not exist yet.

    Raises:
        OpenFailedError: Its folder does not exist or is not writable.
        WriteFailedError: It exists, or cannot be written.
        NoSpaceError: The disk has too little room.
        CancelledError: Stopped.
        WimError: Something to be saved cannot be read.
    """
    reporter = Reporter(options.progress, options.cancel)
    check_absent(path)
    plan = Planner(None, target, reporter).plan(options.clock())
    return Rebuilder(None, plan, options, reporter, path).run()
