"""What the engine raises: one tree, each error saying what, where and what to do.

``code`` is the number a process exits with for that cause. Numbers up to 91 are those wimlib-imagex
uses for the same cause; our own start at 100 (docs/EXIT_CODES.md lists all).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from os import PathLike


class WimError(Exception):
    """Root of everything the engine raises on purpose.

    Attributes:
        message: What is wrong.
        path: The file concerned, if one is.
        structure: The part of the file concerned, such as ``blob table entry 7``.
        offset_in_file: Where that part lies, in bytes from the start of the file.
        hint: What the user can do about it.
    """

    code: ClassVar[int] = 100

    def __init__(
        self,
        message: str,
        *,
        path: str | PathLike[str] | None = None,
        structure: str | None = None,
        offset_in_file: int | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.path = None if path is None else str(path)
        self.structure = structure
        self.offset_in_file = offset_in_file
        self.hint = hint

    def __str__(self) -> str:
        place = [] if self.path is None else [self.path]
        if self.structure is not None:
            at = "" if self.offset_in_file is None else f" at offset {self.offset_in_file}"
            place.append(self.structure + at)
        elif self.offset_in_file is not None:
            place.append(f"offset {self.offset_in_file}")
        text = ": ".join([*place, self.message])
        return text if self.hint is None else f"{text}; {self.hint}"


class UsageError(WimError):
    """A combination of arguments that makes no sense."""

    code = 24


class FormatError(WimError, ValueError):
    """The file breaks the format."""

    code = 17


class NotWimError(FormatError):
    """The first bytes are no WIM's."""

    code = 43


class TruncatedError(FormatError):
    """The file ends before something it promises."""

    code = 65


class HeaderError(FormatError):
    """A header field is impossible."""

    code = 17


class ImageCountError(FormatError):
    """Header, XML and blob table disagree about the number of images."""

    code = 10


class CompressionTypeError(FormatError):
    """The header or a solid resource names no known codec."""

    code = 16


class ChunkSizeError(FormatError):
    """A chunk size the codec cannot have."""

    code = 15


class PartNumberError(FormatError):
    """Part number and total parts are inconsistent."""

    code = 25


class UnknownVersionError(FormatError):
    """A WIM version that nobody documents."""

    code = 67


class IncompleteWimError(FormatError):
    """The first write of the file never finished."""

    code = 84


class BlobTableError(FormatError):
    """A blob table entry is impossible."""

    code = 20


class XmlDataError(FormatError):
    """The XML data is no WIM's description."""

    code = 73


class IntegrityTableError(FormatError):
    """The integrity table itself is malformed."""

    code = 19


class IntegrityError(FormatError):
    """A piece of the file does not have the digest that the integrity table gives."""

    code = 13


class MetadataError(FormatError):
    """A metadata resource is malformed."""

    code = 21


class NoMetadataError(FormatError):
    """The file holds no image metadata, such as a later part of a split set."""

    code = 36


class CorruptResourceError(FormatError):
    """The compressed bytes of a resource cannot be decoded."""

    code = 2


class BlobHashError(FormatError):
    """A blob's bytes do not have the SHA-1 they are known by."""

    code = 28


class PipableError(FormatError):
    """A pipable WIM whose records do not fit."""

    code = 26


class ReparseDataError(FormatError):
    """Reparse data that is no valid link."""

    code = 27


class EncryptedError(WimError):
    """An encrypted ESD."""

    code = 74


class UnsupportedError(WimError):
    """Valid, and not something this program does."""

    code = 68


class LimitError(WimError):
    """Valid perhaps, and larger than this program agrees to hold."""

    code = 39


class OpenFailedError(WimError):
    """A file cannot be opened."""

    code = 47


class GlobError(WimError):
    """A pattern of ``--ref`` matches nothing."""

    code = 8


class ReadFailedError(WimError):
    """The operating system reports a read error."""

    code = 50


class WriteFailedError(WimError):
    """The operating system reports a write error."""

    code = 72


class NoSuchImageError(WimError):
    """The WIM has no image of that index or name."""

    code = 18


class ImageNameTakenError(WimError):
    """Another image of the WIM has that name."""

    code = 11


class MissingBlobError(WimError):
    """A blob that an image refers to is in none of the files given."""

    code = 55


class ReadOnlyWimError(WimError):
    """The WIM cannot be modified: permissions, READONLY flag, split, or delta."""

    code = 71


class LockedError(WimError):
    """Another process has the WIM open for writing."""

    code = 1


class CancelledError(WimError):
    """The user cancelled."""

    code = 76


class NodeError(WimError):
    """A file system operation on one node of a tree that cannot be done."""

    code = 100


class NodeNotFoundError(NodeError):
    """No such name (ENOENT)."""

    code = 49


class NodeExistsError(NodeError):
    """The name is taken (EEXIST)."""


class NotADirectoryNodeError(NodeError):
    """A directory is needed (ENOTDIR)."""

    code = 40


class IsADirectoryNodeError(NodeError):
    """Something other than a directory is needed (EISDIR)."""

    code = 32


class DirectoryNotEmptyError(NodeError):
    """Only an empty directory can go (ENOTEMPTY)."""

    code = 41


class NotALinkError(NodeError):
    """readlink on something that is no link (EINVAL)."""

    code = 51


class NoSuchAttributeError(NodeError):
    """No such extended attribute or named stream (ENODATA)."""


class AttributeExistsError(NodeError):
    """The extended attribute exists and must not (EEXIST)."""


class AttributeTooLargeError(NodeError):
    """An attribute value over what the kernel passes in one call, 65,536 bytes (E2BIG)."""


class StreamsDisabledError(NodeError):
    """Named streams were switched off for this mount (EOPNOTSUPP)."""


class EncryptedNodeError(NodeError):
    """The data of an EFS-encrypted file (EACCES)."""


class InvalidNameError(NodeError):
    """A name that the tree cannot hold (EINVAL)."""


class NameEncodingError(NodeError):
    """A name that is not UTF-8 (EILSEQ)."""

    code = 31


class NameTooLongError(NodeError):
    """A name over 255 UTF-16 units (ENAMETOOLONG)."""


class NotPermittedError(NodeError):
    """An operation that this node or mount never allows (EPERM)."""


class NotSupportedNodeError(NodeError):
    """An operation that nothing in the format can hold (EOPNOTSUPP)."""


class StaleNodeError(NodeError):
    """The inode is gone (ESTALE)."""
