"""The end of a write: blob table, XML data, integrity table, and the header that names them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wimtui.engine.container.file_bytes import FileBytes
from wimtui.engine.container.flags import HEADER_NBYTES, ResourceFlag
from wimtui.engine.container.integrity import compute_table, covered_nbytes
from wimtui.engine.container.resource import NO_RESOURCE, ResourceHeader

if TYPE_CHECKING:
    from wimtui.engine.commit.output import Output
    from wimtui.engine.commit.reporter import Reporter
    from wimtui.engine.container.integrity import IntegrityTable
    from wimtui.engine.container.xml_data import XmlData


@dataclass(frozen=True, slots=True)
class OldIntegrity:
    """A table whose digests may be used again, since nothing it covers has changed."""

    table: IntegrityTable
    covered: int


@dataclass(frozen=True, slots=True)
class WrittenTables:
    """Where the tables lie, and their bytes for comparison."""

    blob_table: ResourceHeader
    xml_data: ResourceHeader
    integrity: ResourceHeader
    pieces: tuple[tuple[int, bytes], ...]
    """(offset in the file, bytes) of each."""


class TableWriter:
    """Writes the tables at the end of an output."""

    def __init__(self, output: Output, reporter: Reporter) -> None:
        self._output = output
        self._reporter = reporter
        self._pieces: list[tuple[int, bytes]] = []

    def write(
        self,
        rows: bytes | ResourceHeader,
        xml: XmlData,
        *,
        integrity_piece_size: int,
        old: OldIntegrity | None = None,
    ) -> WrittenTables:
        """Write them.

        Args:
            rows: The blob table, or where the old one lies that stays in force.
            xml: The document; its root TOTALBYTES is set.
            integrity_piece_size: Bytes a piece; 0 for no integrity table.
            old: Digests to use again.

        Raises:
            WriteFailedError: They cannot be written.
            CancelledError: Stopped while hashing.
        """
        if isinstance(rows, ResourceHeader):
            blob_table = rows
        else:
            blob_table = self._append(rows, ResourceFlag.METADATA)
        xml.total_bytes = self._output.position
        xml_data = self._append(xml.pack(), ResourceFlag.METADATA)
        integrity = NO_RESOURCE
        if integrity_piece_size and not blob_table.is_absent:
            table = self._integrity(blob_table, integrity_piece_size, old)
            integrity = self._append(table.pack(), ResourceFlag.NONE)
        self._output.finish()
        return WrittenTables(blob_table, xml_data, integrity, tuple(self._pieces))

    def _append(self, data: bytes, flags: ResourceFlag) -> ResourceHeader:
        if not data:
            return NO_RESOURCE
        offset = self._output.position
        self._output.append(data)
        self._pieces.append((offset, data))
        return ResourceHeader(len(data), flags, offset, len(data))

    def _integrity(
        self, blob_table: ResourceHeader, piece_size: int, old: OldIntegrity | None
    ) -> IntegrityTable:
        self._output.flush()
        file = FileBytes(self._output.path)
        try:
            return compute_table(
                file,
                covered_nbytes(blob_table),
                piece_size=piece_size,
                old=None if old is None else old.table,
                old_covered=0 if old is None else old.covered,
                progress=self._reporter.sink,
                cancel=self._reporter.cancel,
            )
        finally:
            file.close()


def end_of_tables(*resources: ResourceHeader) -> int:
    """Return the first byte after the last of these, at least the header's end."""
    return max(HEADER_NBYTES, *(resource.end_in_wim for resource in resources))
