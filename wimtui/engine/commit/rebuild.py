"""Writing a whole file: anew beside the old one and renamed over it, or where none was."""

from __future__ import annotations

import contextlib
import os
import secrets
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from wimtui.engine.codecs.base import CodecId
from wimtui.engine.commit.append import old_end
from wimtui.engine.commit.carry import (
    Carried,
    carry,
    copy_bytes,
    copy_resource,
    in_packing_order,
    names_of_blobs,
)
from wimtui.engine.commit.chunk_pool import ChunkPool
from wimtui.engine.commit.disk import reported
from wimtui.engine.commit.finish import TableWriter
from wimtui.engine.commit.lock import WimLock
from wimtui.engine.commit.options import UpcomingFile, WriteResult
from wimtui.engine.commit.output import Output
from wimtui.engine.commit.output_format import output_format
from wimtui.engine.commit.precondition import check_unchanged
from wimtui.engine.commit.replace_file import TemporaryFile, remove_abandoned
from wimtui.engine.commit.resource_writer import ResourceWriter
from wimtui.engine.commit.solid_writer import SolidWriter
from wimtui.engine.commit.sources import MemorySource
from wimtui.engine.commit.space import Load, Needs
from wimtui.engine.commit.table import SolidBlob, TableBuilder
from wimtui.engine.commit.verify import check_header, verify_written
from wimtui.engine.container._blob_index import ROW_NBYTES
from wimtui.engine.container.compression import CODEC_FLAGS
from wimtui.engine.container.flags import (
    HeaderFlag,
    ResourceFlag,
    WimVersion,
)
from wimtui.engine.container.header import Header
from wimtui.engine.container.integrity import DEFAULT_PIECE_SIZE
from wimtui.engine.container.resource import NO_RESOURCE
from wimtui.engine.errors import IntegrityTableError
from wimtui.engine.progress import Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from wimtui.engine.archive import Archive
    from wimtui.engine.commit.finish import WrittenTables
    from wimtui.engine.commit.options import WriteOptions
    from wimtui.engine.commit.plan import NewBlob, Plan, PlannedImage
    from wimtui.engine.commit.reporter import Reporter
    from wimtui.engine.commit.snapshot import BlobSource
    from wimtui.engine.container.resource import ResourceHeader

_KEPT_FLAGS = HeaderFlag.RP_FIX | HeaderFlag.READONLY


@dataclass(slots=True)
class _Body:
    """What of the output is written so far."""

    output: Output
    table: TableBuilder
    written: dict[bytes, BlobSource]
    """Blobs that were encoded, to be read back."""
    encoded_images: list[int]


class Rebuilder:
    """One write of a whole file."""

    def __init__(
        self,
        archive: Archive | None,
        plan: Plan,
        options: WriteOptions,
        reporter: Reporter,
        target: str,
    ) -> None:
        """Write to ``target``: over the archive's own file if it is that, else to a new one."""
        self._archive = archive
        self._plan = plan
        self._options = options
        self._reporter = reporter
        self._target = os.path.realpath(target)
        self._replaces = archive is not None and self._target == os.path.realpath(archive.wim.path)
        self._form = output_format(archive, options)
        self._carried = Carried() if archive is None else carry(archive, plan, self._form)

    def run(self) -> WriteResult:
        """Write, and return when it is on the disk; after an error nothing has changed.

        Raises:
            ArchiveChangedError: The file to be replaced is not what was opened.
            LockedError: Another process writes it.
            NoSpaceError: The disk is full, or is going to be.
            WriteFailedError: The system reports an error, or what was written reads differently.
            CancelledError: Stopped.
            WimError: Something to be saved cannot be read.
        """
        archive = self._archive
        end = 0
        with contextlib.ExitStack() as stack:
            if self._replaces and archive is not None:
                if not self._options.lock_held:
                    stack.enter_context(WimLock.take(self._target))
                end = old_end(archive.wim)
                check_unchanged(archive.wim, end)
            remove_abandoned(self._target, self._options.disk)
            if self._options.check_space:
                self._needs().check(self._reporter.cancel)
            original = self._target if self._replaces else None
            names = Path(self._target).stat().st_nlink if self._replaces else 1
            temporary = TemporaryFile(self._target, self._options.disk, original)
            stack.callback(temporary.discard)
            new_size = self._write(temporary)
            if self._replaces and archive is not None:
                check_unchanged(archive.wim, end)
                warnings = temporary.replace()
                if names > 1:
                    warnings = (*warnings, "other hard links to the WIM still name the old file")
            else:
                warnings = temporary.publish()
            new_lock = None
            if self._replaces and self._options.lock_held:
                new_lock = WimLock(os.dup(temporary.fd), is_held=True)
        return self._result(new_size, warnings, new_lock)

    def _result(
        self, new_size: int, warnings: tuple[str, ...], lock: WimLock | None
    ) -> WriteResult:
        archive, plan = self._archive, self._plan
        if archive is not None and archive.wim.header.is_pipable:
            warnings = (*warnings, "the pipable WIM was written as an ordinary one")
        for codec in sorted(self._carried.recoded):
            text = f"solid data was {codec.name}, and is {self._form.solid_codec.name} from now on"
            warnings = (*warnings, text)
        return WriteResult(
            path=self._target,
            is_written=True,
            is_rebuilt=True,
            old_size=0 if archive is None else archive.wim.file.size,
            new_size=new_size,
            blobs_written=len(plan.new_blobs),
            blobs_reused=plan.reused,
            blobs_copied=self._carried.copied_blobs,
            blobs_dropped=self._carried.dropped,
            warnings=(*plan.warnings, *warnings),
            lock=lock,
        )

    def _needs(self) -> Needs:
        plan, carried, form = self._plan, self._carried, self._form
        fixed = carried.copied_nbytes + ROW_NBYTES * (len(plan.references) + len(plan.images) + 2)
        plain = [source for _, source in carried.rewritten]
        packed = [source for _, source in carried.packed]
        (packed if form.solid else plain).extend(blob.source for blob in plan.new_blobs)
        for image in plan.images:
            if not image.kept_index:
                plain.append(MemorySource(image.metadata))
            elif self._copies_metadata(image):
                fixed += self._stored_metadata(image).size_in_wim
            elif self._archive is not None:
                plain.append(MemorySource(self._archive.blobs.metadata_resource(image.kept_index)))
        if self._archive is not None:
            fixed += self._archive.wim.header.xml_data.size_in_wim
        if self._piece_size():
            every = fixed + sum(source.size for source in (*plain, *packed))
            fixed += 20 * (every // self._piece_size() + 1)
        loads = (
            Load(plain, form.codec, form.chunk_size),
            Load(packed, form.solid_codec, form.solid_chunk_size, is_solid=True),
        )
        return Needs(self._target, fixed, loads)

    def _stored_metadata(self, image: PlannedImage) -> ResourceHeader:
        assert self._archive is not None
        table = self._archive.wim.blob_table
        return table.row(table.metadata_rows[image.kept_index - 1]).resource

    def _write(self, temporary: TemporaryFile) -> int:
        """Write and verify the whole file, except for its name."""
        output = Output(
            self._options.disk, temporary.fd, temporary.path, 0, shown_path=self._target
        )
        provisional = self._header(None, None)
        output.append(provisional.pack())
        body = _Body(output, TableBuilder(), {}, [])
        self._write_data(body)
        rows = body.table.pack()
        tables = TableWriter(output, self._reporter).write(
            rows, self._plan.target.xml, integrity_piece_size=self._piece_size()
        )
        header = self._header(tables, body.table)
        output.patch(0, header.pack())
        self._reporter.begin(Phase.SYNC)
        with reported(self._target, "write"):
            self._options.disk.fsync(temporary.fd)
        check_header(temporary.fd, temporary.path, header)
        verify_written(
            temporary.path, header, tables, body.written, body.encoded_images, self._reporter
        )
        if self._options.on_ready is not None:
            upcoming = UpcomingFile(
                self._target, output.position, header.pack(), rows, is_rebuilt=True
            )
            self._options.on_ready(upcoming)
        return output.position

    def _write_data(self, body: _Body) -> None:
        """Write all resources: copies first, then what is encoded, then metadata."""
        plan, carried, form = self._plan, self._carried, self._form
        images = sum(self._metadata_nbytes(image) for image in plan.images)
        new = sum(blob.source.size for blob in plan.new_blobs)
        self._reporter.begin(
            Phase.WRITE,
            carried.copied_nbytes + carried.encoded_nbytes + new + images,
            len(plan.references),
        )
        self._copy(body)
        packs_new = form.solid
        packed = carried.packed
        if packed or (packs_new and plan.new_blobs):
            self._pack(body, packed, packs_new)
        with self._writer(body, form.level) as writer:
            self._encode(body, writer, () if packs_new else plan.new_blobs)
        with self._writer(body, form.metadata_level) as writer:
            self._write_metadata(body, writer)
        self._reporter.finish()

    @contextlib.contextmanager
    def _writer(self, body: _Body, level: int) -> Iterator[ResourceWriter]:
        form, reporter = self._form, self._reporter
        with contextlib.ExitStack() as stack:
            pool = None
            if form.codec is not CodecId.NONE:
                pool = stack.enter_context(self._pool(form.codec, form.chunk_size, level))
            yield ResourceWriter(
                body.output, pool, on_bytes=reporter.on_bytes, cancel=reporter.cancel
            )

    def _copy(self, body: _Body) -> None:
        archive = self._archive
        if archive is None:
            return
        plan, rows = self._plan, archive.wim.blob_table.index.rows
        for extent in self._carried.copied:
            shift = body.output.position - extent.offset_in_wim
            copy_bytes(archive, extent.offset_in_wim, extent.size, body.output, self._reporter)
            body.table.keep_rows(
                rows, extent.rows, plan.references, keep_all=plan.keeps_all_blobs, shift=shift
            )
            self._reporter.advance(items=len(extent.rows))
        for copied in self._carried.copied_solids:
            solid = copied.solid
            stored = replace(
                NO_RESOURCE, offset_in_wim=solid.offset_in_wim, size_in_wim=solid.size_in_wim
            )
            place = copy_resource(archive, stored, body.output, self._reporter)
            body.table.add_solid(
                place.offset_in_wim, place.size_in_wim, solid.uncompressed_size, copied.blobs
            )
            self._reporter.advance(items=len(copied.blobs))

    def _pack(self, body: _Body, packed: list[tuple[bytes, BlobSource]], packs_new: bool) -> None:
        """Write one solid resource."""
        form = self._form
        new = self._plan.new_blobs if packs_new else []
        blobs = in_packing_order(packed, new, names_of_blobs(self._archive, self._plan))
        with self._pool(form.solid_codec, form.solid_chunk_size, form.level) as pool:
            writer = SolidWriter(
                body.output, pool, on_bytes=self._reporter.on_bytes, cancel=self._reporter.cancel
            )
            start, stored_size = writer.write(blobs)
        offset = 0
        entries = []
        for sha1, source in blobs:
            entries.append(SolidBlob(offset, source.size, sha1, self._plan.references[sha1]))
            body.written[sha1] = source
            offset += source.size
        body.table.add_solid(start, stored_size, offset, entries)
        self._reporter.advance(items=len(blobs))

    def _encode(self, body: _Body, writer: ResourceWriter, new: list[NewBlob] | tuple[()]) -> None:
        every = [*self._carried.rewritten, *((blob.sha1, blob.source) for blob in new)]
        for sha1, source in every:
            body.written[sha1] = source
            writer.add(source, sha1, ResourceFlag.NONE, self._adder(body.table, sha1))
        writer.flush()

    def _adder(self, table: TableBuilder, sha1: bytes) -> Callable[[ResourceHeader], None]:
        def done(resource: ResourceHeader) -> None:
            table.add_blob(resource, sha1, self._plan.references[sha1])
            self._reporter.advance(items=1)

        return done

    def _write_metadata(self, body: _Body, writer: ResourceWriter) -> None:
        for index, image in enumerate(self._plan.images, 1):
            if image.kept_index and self._copies_metadata(image):
                assert self._archive is not None
                stored = self._stored_metadata(image)
                place = copy_resource(self._archive, stored, body.output, self._reporter)
                body.table.add_metadata(place, image.sha1)
                continue
            metadata = image.metadata
            if image.kept_index:
                assert self._archive is not None
                metadata = self._archive.blobs.metadata_resource(image.kept_index)
            places: list[ResourceHeader] = []
            source = MemorySource(metadata)
            writer.add(source, image.sha1, ResourceFlag.METADATA, places.append)
            writer.flush()
            body.table.add_metadata(places[0], image.sha1)
            body.encoded_images.append(index)

    def _metadata_nbytes(self, image: PlannedImage) -> int:
        """Return what the metadata resource counts for in the progress."""
        if not image.kept_index:
            return len(image.metadata)
        stored = self._stored_metadata(image)
        return stored.size_in_wim if self._copies_metadata(image) else stored.uncompressed_size

    def _copies_metadata(self, image: PlannedImage) -> bool:
        assert self._archive is not None
        wim, form = self._archive.wim, self._form
        return (
            not form.recompress
            and not wim.header.is_pipable
            and (form.codec, form.chunk_size) == (wim.codec, wim.chunk_size)
            and bool(self._stored_metadata(image).flags & ResourceFlag.COMPRESSED)
        )

    def _pool(self, codec: CodecId, chunk_size: int, level: int) -> ChunkPool:
        return ChunkPool(
            codec,
            chunk_size,
            level,
            worker_count=self._options.worker_count,
            cancel=self._reporter.cancel,
        )

    def _piece_size(self) -> int:
        archive = self._archive
        old = None
        if archive is not None:
            with contextlib.suppress(IntegrityTableError):
                old = archive.wim.integrity_table()
        present = archive is not None and archive.wim.header.integrity.offset_in_wim != 0
        wanted = self._options.integrity
        if not (present if wanted is None else wanted):
            return 0
        return DEFAULT_PIECE_SIZE if old is None else old.piece_size_to_keep

    def _header(self, tables: WrittenTables | None, table: TableBuilder | None) -> Header:
        """Return the header; a provisional one that opens nowhere without tables."""
        target, form, archive = self._plan.target, self._form, self._archive
        flags = CODEC_FLAGS[form.codec]
        if archive is not None:
            flags |= archive.wim.header.flags & _KEPT_FLAGS
        if target.sets_rp_fix:
            flags |= HeaderFlag.RP_FIX
        if tables is None:
            flags |= HeaderFlag.WRITE_IN_PROGRESS
        is_solid = form.codec is CodecId.LZMS or (table is not None and table.has_solids)
        keeps_guid = archive is not None and self._replaces
        return Header(
            is_pipable=False,
            version=WimVersion.SOLID if is_solid else WimVersion.DEFAULT,
            flags=flags,
            chunk_size=form.chunk_size,
            guid=archive.wim.header.guid if archive and keeps_guid else secrets.token_bytes(16),
            part_number=1,
            total_parts=1,
            image_count=len(self._plan.images),
            blob_table=NO_RESOURCE if tables is None else tables.blob_table,
            xml_data=NO_RESOURCE if tables is None else tables.xml_data,
            boot_metadata=NO_RESOURCE
            if table is None
            else table.resource_of_image(target.boot_index),
            boot_index=target.boot_index,
            integrity=NO_RESOURCE if tables is None else tables.integrity,
        )
