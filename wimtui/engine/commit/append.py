"""Writing behind the end of a file, its header last (wim-container 13.5).

Nothing that the header in force names is touched: until the new one is on the disk, the file is
the old archive, and from then on the new one.
"""

from __future__ import annotations

import contextlib
import os
import struct
from dataclasses import replace
from typing import TYPE_CHECKING

from wimtui.engine.codecs.base import CodecId
from wimtui.engine.commit.chunk_pool import ChunkPool
from wimtui.engine.commit.disk import reported
from wimtui.engine.commit.errors import UncertainWriteError
from wimtui.engine.commit.finish import OldIntegrity, TableWriter, end_of_tables
from wimtui.engine.commit.lock import WimLock
from wimtui.engine.commit.options import UpcomingFile, WriteResult
from wimtui.engine.commit.output import Output
from wimtui.engine.commit.output_format import metadata_level
from wimtui.engine.commit.precondition import check_unchanged, flags_bytes, without_mark
from wimtui.engine.commit.replace_file import remove_abandoned
from wimtui.engine.commit.resource_writer import ResourceWriter
from wimtui.engine.commit.sources import MemorySource
from wimtui.engine.commit.space import Load, Needs
from wimtui.engine.commit.table import TableBuilder
from wimtui.engine.commit.verify import check_header, verify_written
from wimtui.engine.container._blob_index import ROW_NBYTES
from wimtui.engine.container.flags import HeaderFlag, ResourceFlag
from wimtui.engine.container.integrity import DEFAULT_PIECE_SIZE, covered_nbytes
from wimtui.engine.container.resource import NO_RESOURCE
from wimtui.engine.errors import IntegrityTableError
from wimtui.engine.progress import Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from wimtui.engine.archive import Archive
    from wimtui.engine.commit.finish import WrittenTables
    from wimtui.engine.commit.options import WriteOptions
    from wimtui.engine.commit.plan import Plan
    from wimtui.engine.commit.reporter import Reporter
    from wimtui.engine.commit.snapshot import BlobSource
    from wimtui.engine.container.header import Header
    from wimtui.engine.container.resource import ResourceHeader
    from wimtui.engine.container.wim_file import WimFile


_PLACE = struct.Struct("<QQ")
_SIZE = (1 << 56) - 1
"""The stored size in the first eight bytes of a row; the flags are above it."""


def old_end(wim: WimFile) -> int:
    """Return where the archive ends, whatever an interrupted write left behind it."""
    header = wim.header
    end = end_of_tables(header.blob_table, header.xml_data, header.integrity)
    table = wim.blob_table
    index = table.index
    rows, unpack, is_usable = index.rows, _PLACE.unpack_from, index.is_usable
    numbers = [*table.metadata_rows, *table.blob_rows_in_file_order()]
    if table.solids:
        numbers = [number for number in numbers if index.solid_index(number) < 0]
    for number in numbers:
        size_and_flags, offset_in_wim = unpack(rows, number * ROW_NBYTES)
        resource_end = offset_in_wim + (size_and_flags & _SIZE)
        if resource_end > end and is_usable(number):
            end = resource_end
    for solid in table.solids:
        if solid.is_usable:
            end = max(end, solid.offset_in_wim + solid.size_in_wim)
    return min(end, wim.file.size)


class Appender:
    """One append to one file."""

    def __init__(
        self, archive: Archive, plan: Plan, options: WriteOptions, reporter: Reporter
    ) -> None:
        self._archive = archive
        self._wim = archive.wim
        self._plan = plan
        self._options = options
        self._reporter = reporter
        self._path = os.path.realpath(archive.wim.path)
        self._old_end = old_end(archive.wim)
        self._dropped = 0

    def run(self) -> WriteResult:
        """Write, and return when it is on the disk.

        After any error but UncertainWriteError the file is as before.

        Raises:
            ArchiveChangedError: The file is not what was opened.
            UncertainWriteError: The disk failed at the header and did not recover.
            LockedError: Another process writes it.
            NoSpaceError: The disk is full, or is going to be.
            WriteFailedError: The system reports an error, or what was written reads differently.
            CancelledError: Stopped.
            WimError: Something to be saved cannot be read.
        """
        with contextlib.ExitStack() as stack:
            if not self._options.lock_held:
                stack.enter_context(WimLock.take(self._path))
            remove_abandoned(self._path, self._options.disk)
            check_unchanged(self._wim, self._old_end)
            if self._options.check_space:
                self._needs().check(self._reporter.cancel)
            with reported(self._path, "open for writing"):
                fd = self._options.disk.open(self._path, os.O_RDWR)
            stack.callback(os.close, fd)
            new_size = self._write(fd)
        plan = self._plan
        return WriteResult(
            path=self._path,
            is_written=True,
            old_size=self._wim.file.size,
            new_size=new_size,
            blobs_written=len(plan.new_blobs),
            blobs_reused=plan.reused,
            blobs_dropped=self._dropped,
            warnings=tuple(plan.warnings),
        )

    def _needs(self) -> Needs:
        plan, wim = self._plan, self._wim
        sources: list[BlobSource] = [blob.source for blob in plan.new_blobs]
        sources += [MemorySource(image.metadata) for image in plan.images if image.metadata]
        # A new table has at most the old entries and one for each new resource.
        rows = wim.blob_table.row_count + len(sources)
        tables = ROW_NBYTES * rows + wim.header.xml_data.size_in_wim
        covered = self._old_end + tables + sum(source.size for source in sources)
        if self._piece_size():
            tables += 20 * (covered // self._piece_size() + 1)
        return Needs(self._path, tables, (Load(sources, wim.codec, wim.chunk_size),))

    def _piece_size(self) -> int:
        """Return the bytes a piece of the integrity table to write; 0 for none."""
        present = self._wim.header.integrity.offset_in_wim != 0
        wanted = self._options.integrity
        if not (present if wanted is None else wanted):
            return 0
        old = self._old_integrity()
        return DEFAULT_PIECE_SIZE if old is None else old.table.piece_size_to_keep

    def _old_integrity(self) -> OldIntegrity | None:
        try:
            table = self._wim.integrity_table()
            if table is None:
                return None
            return OldIntegrity(table, covered_nbytes(self._wim.header.blob_table))
        except IntegrityTableError:
            return None

    def _write(self, fd: int) -> int:
        """Write everything, header last; on any error put things back."""
        try:
            self._mark(fd)
            output = Output(self._options.disk, fd, self._path, self._old_end)
            table = self._append_resources(output)
            rows = self._wim.header.blob_table if table is None else table.pack()
            tables = TableWriter(output, self._reporter).write(
                rows,
                self._plan.target.xml,
                integrity_piece_size=self._piece_size(),
                old=self._old_integrity(),
            )
            header = self._new_header(tables, table)
            self._sync(fd)
            written = [i for i, image in enumerate(self._plan.images, 1) if not image.kept_index]
            blobs = {blob.sha1: blob.source for blob in self._plan.new_blobs}
            verify_written(self._path, header, tables, blobs, written, self._reporter)
            self._reporter.begin(Phase.SYNC)
            if self._options.on_ready is not None:
                place = tables.blob_table
                rows = os.pread(fd, place.size_in_wim, place.offset_in_wim)
                upcoming = UpcomingFile(self._path, output.position, header.pack(), rows)
                self._options.on_ready(upcoming)
        except BaseException:
            self._roll_back(fd)
            raise
        self._put_header(fd, header)
        return output.position

    def _mark(self, fd: int) -> None:
        """Cut what an interrupted write left, and mark the file as being written."""
        offset, flags = flags_bytes(self._wim.header, in_progress=True)
        with reported(self._path, "write"):
            if os.fstat(fd).st_size > self._old_end:
                self._options.disk.ftruncate(fd, self._old_end)
            self._pwrite(fd, flags, offset)

    def _append_resources(self, output: Output) -> TableBuilder | None:
        """Write new blobs and metadata; return the new table, or None where the old one stays."""
        plan = self._plan
        if self._keeps_table():
            return None
        table = TableBuilder()
        wim = self._wim
        total = sum(blob.source.size for blob in plan.new_blobs)
        total += sum(len(image.metadata) for image in plan.images)
        self._reporter.begin(Phase.WRITE, total, len(plan.new_blobs))
        level = self._options.compression.level
        with self._writer(output, level) as writer:
            for blob in plan.new_blobs:
                count = plan.references[blob.sha1]
                writer.add(
                    blob.source, blob.sha1, ResourceFlag.NONE, self._adder(table, blob.sha1, count)
                )
            writer.flush()
        with self._writer(output, metadata_level(wim.codec, level)) as writer:
            self._append_metadata(writer, table)
        self._reporter.finish()
        self._dropped = table.carry_over(
            wim.blob_table,
            plan.references,
            keep_all=plan.keeps_all_blobs,
            but={blob.sha1 for blob in plan.new_blobs},
        )
        return table

    @contextlib.contextmanager
    def _writer(self, output: Output, level: int) -> Iterator[ResourceWriter]:
        reporter, wim = self._reporter, self._wim
        with contextlib.ExitStack() as stack:
            pool = None
            if wim.codec is not CodecId.NONE:
                pool = ChunkPool(
                    wim.codec,
                    wim.chunk_size,
                    level,
                    worker_count=self._options.worker_count,
                    cancel=reporter.cancel,
                )
                stack.enter_context(pool)
            yield ResourceWriter(output, pool, on_bytes=reporter.on_bytes, cancel=reporter.cancel)

    def _append_metadata(self, writer: ResourceWriter, table: TableBuilder) -> None:
        """Write the new metadata resources; the table gets all of them in image order."""
        places: list[ResourceHeader] = []
        for image in self._plan.images:
            if image.kept_index:
                number = self._wim.blob_table.metadata_rows[image.kept_index - 1]
                places.append(self._wim.blob_table.row(number).resource)
                continue
            source = MemorySource(image.metadata)
            writer.add(source, image.sha1, ResourceFlag.METADATA, places.append)
            writer.flush()
        for image, place in zip(self._plan.images, places, strict=True):
            table.add_metadata(place, image.sha1)

    def _adder(
        self, table: TableBuilder, sha1: bytes, count: int
    ) -> Callable[[ResourceHeader], None]:
        def done(resource: ResourceHeader) -> None:
            table.add_blob(resource, sha1, count)
            self._reporter.advance(items=1)

        return done

    def _keeps_table(self) -> bool:
        """Whether images and blobs are those of the old table."""
        plan = self._plan
        kept = [image.kept_index for image in plan.images]
        return not plan.new_blobs and kept == list(range(1, self._wim.image_count + 1))

    def _new_header(self, tables: WrittenTables, table: TableBuilder | None) -> Header:
        target = self._plan.target
        old = self._wim.header
        flags = without_mark(old.flags)
        if target.sets_rp_fix:
            flags |= HeaderFlag.RP_FIX
        boot = NO_RESOURCE
        if table is not None:
            boot = table.resource_of_image(target.boot_index)
        elif target.boot_index:
            number = self._wim.blob_table.metadata_rows[target.boot_index - 1]
            boot = self._wim.blob_table.row(number).resource
        return replace(
            old,
            flags=flags,
            image_count=len(self._plan.images),
            blob_table=tables.blob_table,
            xml_data=tables.xml_data,
            boot_metadata=boot,
            boot_index=target.boot_index,
            integrity=tables.integrity,
        )

    def _sync(self, fd: int) -> None:
        self._reporter.begin(Phase.SYNC)
        with reported(self._path, "write"):
            self._options.disk.fsync(fd)

    def _put_header(self, fd: int, header: Header) -> None:
        """Let the new archive come into force; the old one is put back where that fails."""
        try:
            with reported(self._path, "write the header"):
                self._pwrite(fd, header.pack(), 0)
                self._options.disk.fsync(fd)
            check_header(fd, self._path, header)
        except BaseException as error:
            self._restore(fd, error)
            raise

    def _restore(self, fd: int, cause: BaseException) -> None:
        """Put the old header back, and cut the file only if that has certainly worked.

        All data is on the disk, so the file is whole with either header as long as it is not cut.
        """
        try:
            self._pwrite(fd, self._old_header(), 0)
            self._options.disk.fsync(fd)
        except OSError as error:
            raise UncertainWriteError(
                f"writing the header failed ({cause}), and so did putting the old one back "
                f"({error.strerror})",
                path=self._path,
                hint="the WIM is whole, with the changes or without; check its disk, then open it",
            ) from cause
        with contextlib.suppress(OSError):
            self._options.disk.ftruncate(fd, self._old_end)

    def _roll_back(self, fd: int) -> None:
        """Cut what was appended and take the mark away; each as far as the disk lets us."""
        with contextlib.suppress(OSError):
            self._options.disk.ftruncate(fd, self._old_end)
        with contextlib.suppress(OSError):
            offset, flags = flags_bytes(self._wim.header, in_progress=False)
            self._pwrite(fd, flags, offset)

    def _old_header(self) -> bytes:
        header = self._wim.header
        return replace(header, flags=without_mark(header.flags)).pack()

    def _pwrite(self, fd: int, data: bytes, offset: int) -> None:
        done = 0
        while done < len(data):
            done += self._options.disk.pwrite(fd, data[done:], offset + done)
