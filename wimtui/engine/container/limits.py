"""What a file may make this program hold."""

from __future__ import annotations

from dataclasses import dataclass

from wimtui.engine.errors import LimitError

MEBIBYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes beyond which a file is refused with LimitError instead of being read into memory.

    The defaults hold whatever Microsoft's tools write, and keep a hostile file of 1 MB from making
    the process grow past 512 MB.
    """

    chunk_size: int = 64 * MEBIBYTE
    """Largest LZMS chunk. The format allows 1 GiB; Microsoft's readers stop at 64 MiB as well."""

    metadata_size: int | None = None
    """Largest uncompressed metadata resource in bytes; None sets it by the size of the file."""

    xml_size: int = 64 * MEBIBYTE
    """Largest XML document in bytes of UTF-16."""

    xml_elements: int = 1_200_000
    """Most elements and attributes of an XML document.

    65,535 images leave each 512 characters of ``xml_size``; writers fill those with 16.
    """

    solid_resources: int = 1 << 16
    """Most solid resources of a file; writers make one at a time, of up to the whole image."""

    blob_table_size: int = 4096 * MEBIBYTE
    """Largest blob table in bytes, 86 million entries."""

    def check_chunk_size(
        self, chunk_size: int, *, path: str, structure: str, offset_in_file: int
    ) -> None:
        """Refuse a chunk that is too large.

        Raises:
            LimitError: ``chunk_size`` is over ``self.chunk_size``.
        """
        if chunk_size > self.chunk_size:
            raise LimitError(
                f"chunks of {chunk_size} bytes are over the limit of {self.chunk_size}",
                path=path,
                structure=structure,
                offset_in_file=offset_in_file,
                hint=f"open the file with --max-chunk-size={chunk_size} if its source is trusted",
            )

    def largest_metadata(self, file_size: int) -> int:
        """Return how many bytes a metadata resource may have in a file of ``file_size`` bytes.

        Real directory trees compress 5 to 30 times. wimlib's bound, 512 times the file, stays in
        force; below it 64 times the file, though never less than 64 MiB or more than 4 GiB.
        """
        if self.metadata_size is not None:
            return self.metadata_size
        return min(512 * file_size, max(64 * MEBIBYTE, 64 * file_size), 4096 * MEBIBYTE)
