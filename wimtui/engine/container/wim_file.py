"""One WIM file open for reading: header, XML data, blob table, and its bytes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self

from wimtui.engine.codecs.factory import DecompressorPool
from wimtui.engine.container.blob_table import BlobTable
from wimtui.engine.container.compression import codec_from_flags, effective_chunk_size
from wimtui.engine.container.file_bytes import FileBytes, FileIdentity
from wimtui.engine.container.flags import HEADER_NBYTES, HeaderFlag, ResourceFlag, WimVersion
from wimtui.engine.container.header import PIPABLE_MAGIC, Header
from wimtui.engine.container.integrity import check_pieces, covered_nbytes, read_integrity_table
from wimtui.engine.container.limits import Limits
from wimtui.engine.container.resource_reader import open_resource, read_whole
from wimtui.engine.container.xml_data import XmlData
from wimtui.engine.errors import (
    EncryptedError,
    HeaderError,
    ImageCountError,
    LimitError,
    PipableError,
    TruncatedError,
    XmlDataError,
)

if TYPE_CHECKING:
    from os import PathLike
    from types import TracebackType

    from wimtui.engine.codecs.base import CodecId
    from wimtui.engine.container.integrity import IntegrityTable
    from wimtui.engine.container.resource import ResourceHeader
    from wimtui.engine.container.resource_reader import Resource
    from wimtui.engine.progress import CancelToken, ProgressSink


@dataclass(frozen=True, slots=True)
class OpenOptions:
    """How to open a WIM file."""

    check_integrity: bool = False
    """Compare the integrity table, if there is one, before anything else is believed."""

    limits: Limits = field(default_factory=Limits)
    progress: ProgressSink | None = None
    cancel: CancelToken | None = None


@dataclass(frozen=True, slots=True, eq=False)
class WimFile:
    """A WIM file open for reading.

    Its parts were checked in the order header, codec, integrity (on demand), XML data with the
    test for encryption, blob table.
    """

    file: FileBytes
    identity: FileIdentity
    header: Header
    codec: CodecId
    chunk_size: int
    """Of non-solid resources; 0 in an uncompressed file."""

    xml: XmlData
    """Shared; edit a copy."""

    blob_table: BlobTable
    warnings: tuple[str, ...]
    """What is odd and tolerated, a sentence each."""

    limits: Limits

    @classmethod
    def open(cls, path: str | PathLike[str], options: OpenOptions | None = None) -> WimFile:
        """Open and check a file.

        Raises:
            OpenFailedError: The file cannot be opened.
            FormatError: Header, XML data or blob table are impossible (see its subclasses).
            EncryptedError: An encrypted ESD.
            LimitError: A part is larger than the limits.
            IntegrityError: The check was asked for and failed.
            CancelledError: The check was cancelled.
        """
        options = options or OpenOptions()
        file = FileBytes(path)
        try:
            return cls._load(file, options)
        except BaseException:
            file.close()
            raise

    @classmethod
    def _load(cls, file: FileBytes, options: OpenOptions) -> WimFile:
        first = file.read(0, min(HEADER_NBYTES, file.size), "header")
        header = _trailing_header(file, first) if first[:8] == PIPABLE_MAGIC else None
        header = header or Header.parse(first, path=file.path)
        header.check(file.size, path=file.path)
        codec = codec_from_flags(header.flags, path=file.path)
        chunk_size = effective_chunk_size(codec, header.chunk_size, path=file.path)
        options.limits.check_chunk_size(
            chunk_size, path=file.path, structure="header", offset_in_file=20
        )
        warnings = _header_warnings(header)
        if options.check_integrity and not _check_integrity(file, header, options):
            warnings.append("there is no integrity table to check")
        tables = _TableReader(file, header, codec, chunk_size)
        xml = _read_xml(tables, options.limits)
        blob_table = _read_blob_table(tables, options.limits)
        missing = header.image_count - len(blob_table.metadata_rows)
        if missing and header.part_number == 1:
            warnings.append(f"{missing} of {header.image_count} images have no metadata resource")
        return cls(
            file=file,
            identity=FileIdentity(file.device, file.inode, file.size, first),
            header=header,
            codec=codec,
            chunk_size=chunk_size,
            xml=xml,
            blob_table=blob_table,
            warnings=(*warnings, *blob_table.warnings),
            limits=options.limits,
        )

    @property
    def path(self) -> str:
        """The path that the file was opened by."""
        return self.file.path

    @property
    def image_count(self) -> int:
        """Images that header and XML data agree on."""
        return self.header.image_count

    def open_resource(self, header: ResourceHeader) -> Resource:
        """Return a reader for a non-solid resource of this file.

        Raises:
            FormatError: It cannot be read as the header describes it.
        """
        if self.header.version is not WimVersion.SOLID:
            # Before version 0x0E00 the flag has no meaning.
            header = replace(header, flags=header.flags & ~ResourceFlag.SOLID)
        return open_resource(
            self.file,
            header,
            codec=self.codec,
            chunk_size=self.chunk_size,
            is_pipable=self.header.is_pipable,
        )

    def integrity_table(self) -> IntegrityTable | None:
        """Return the integrity table, or None where there is none.

        Raises:
            IntegrityTableError: It is malformed.
            TruncatedError: It lies outside the file.
        """
        return read_integrity_table(self.file, self.header.integrity, self.header.blob_table)

    def xml_bytes(self) -> bytes:
        """Return the XML document as it is stored, byte order mark included."""
        tables = _TableReader(self.file, self.header, self.codec, self.chunk_size)
        return tables.read(self.header.xml_data, "XML data", self.limits.xml_size)

    def stored_blob_table(self) -> bytes:
        """Read the blob table's rows once more, from where they were. Raises WimError."""
        tables = _TableReader(self.file, self.header, self.codec, self.chunk_size)
        return _stored_rows(tables, self.limits)

    def close(self) -> None:
        """Close the file; later reads raise ReadFailedError."""
        self.file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def check_integrity(
    wim: WimFile, progress: ProgressSink | None = None, cancel: CancelToken | None = None
) -> bool:
    """Compare a file with its integrity table; return False where it has none.

    Raises:
        IntegrityError: A piece of the file has another digest.
        IntegrityTableError: The table is malformed.
        CancelledError: ``cancel`` was used.
    """
    options = OpenOptions(progress=progress, cancel=cancel)
    return _check_integrity(wim.file, wim.header, options)


def _check_integrity(file: FileBytes, header: Header, options: OpenOptions) -> bool:
    table = read_integrity_table(file, header.integrity, header.blob_table)
    if table is None:
        return False
    covered = covered_nbytes(header.blob_table, path=file.path)
    check_pieces(file, table, covered, progress=options.progress, cancel=options.cancel)
    return True


def _trailing_header(file: FileBytes, first: bytes) -> Header:
    """Return the header at the end of a pipable file, the only complete one."""
    leading = Header.parse(first, path=file.path)
    offset = file.size - HEADER_NBYTES
    data = file.read(offset, HEADER_NBYTES, "trailing header")
    if data[:8] != PIPABLE_MAGIC or offset < HEADER_NBYTES:
        raise PipableError(
            "no header at the end of a pipable WIM: it was not completely written",
            path=file.path,
            structure="trailing header",
            offset_in_file=offset,
        )
    header = Header.parse(data, path=file.path)
    if header.guid != leading.guid:
        raise PipableError(
            "leading and trailing header of a pipable WIM have different GUIDs",
            path=file.path,
            structure="trailing header",
            offset_in_file=offset + 24,
        )
    return header


def _header_warnings(header: Header) -> list[str]:
    warnings = []
    if header.flags & HeaderFlag.WRITE_IN_PROGRESS:
        warnings.append("a writer is at work on the file, or one crashed: it may be incomplete")
    if header.boot_index > header.image_count:
        warnings.append(f"boot index {header.boot_index} is over the image count and ignored")
    return warnings


@dataclass(frozen=True, slots=True)
class _TableReader:
    """Reads blob table and XML data, which some writers compress."""

    file: FileBytes
    header: Header
    codec: CodecId
    chunk_size: int

    def read(self, resource: ResourceHeader, structure: str, limit: int) -> bytes:
        """Return the bytes of a table, at most ``limit``."""
        if resource.uncompressed_size > limit:
            raise LimitError(
                f"{resource.uncompressed_size} bytes are over the limit of {limit}",
                path=self.file.path,
                structure=structure,
                offset_in_file=resource.offset_in_wim,
            )
        if resource.end_in_wim > self.file.size:
            raise TruncatedError(
                f"the WIM file is truncated: it has {self.file.size} bytes and this part ends at "
                f"{resource.end_in_wim}",
                path=self.file.path,
                structure=structure,
                offset_in_file=resource.offset_in_wim,
            )
        if resource.uncompressed_size and resource.offset_in_wim < HEADER_NBYTES:
            raise HeaderError(
                f"the {structure} lies inside the header",
                path=self.file.path,
                structure="header",
                offset_in_file=resource.offset_in_wim,
            )
        opened = open_resource(
            self.file,
            resource,
            codec=self.codec,
            chunk_size=self.chunk_size,
            is_pipable=self.header.is_pipable,
        )
        return read_whole(opened, DecompressorPool())


def _read_xml(tables: _TableReader, limits: Limits) -> XmlData:
    path, header = tables.file.path, tables.header
    place = header.xml_data
    if place.uncompressed_size == 0:
        raise XmlDataError("there is no XML data", path=path, structure="header", offset_in_file=72)
    data = tables.read(place, "XML data", limits.xml_size)
    xml = XmlData.parse(data, path=path, offset_in_file=place.offset_in_wim, limits=limits)
    if xml.is_encrypted:
        raise EncryptedError(
            "an encrypted ESD",
            path=path,
            structure="XML data",
            offset_in_file=place.offset_in_wim,
            hint="decrypt it first",
        )
    count = len(xml.images)
    if count != header.image_count:
        raise ImageCountError(
            f"the header says {header.image_count} images, the XML data {count}",
            path=path,
            structure="XML data",
            offset_in_file=place.offset_in_wim,
        )
    return xml


def _read_blob_table(tables: _TableReader, limits: Limits) -> BlobTable:
    return BlobTable.parse(
        _stored_rows(tables, limits),
        file=tables.file,
        header=tables.header,
        chunk_size=tables.chunk_size,
        limits=limits,
    )


def _stored_rows(tables: _TableReader, limits: Limits) -> bytes:
    place = tables.header.blob_table
    if not place.uncompressed_size:
        return b""
    return tables.read(place, "blob table", limits.blob_table_size)
