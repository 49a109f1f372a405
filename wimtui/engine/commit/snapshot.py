"""What an image shall hold: the neutral input of the writer, from staging or from a directory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from wimtui.engine.image.metadata_writer import DentryNode
    from wimtui.engine.tree import OpenFile


class BlobSource(Protocol):
    """Bytes that may become a blob. They must not change until the commit has ended."""

    @property
    def size(self) -> int:
        """Bytes in all."""
        ...

    def shown_path(self) -> str:
        """Return which file it is of, for those who watch; empty where nobody knows."""
        ...

    def open(self) -> OpenFile:
        """Open them for reading; may be called several times, from any thread."""
        ...


class TreeSnapshot(Protocol):
    """A whole tree at one moment; later changes to what it was taken from do not show.

    A stream whose SHA-1 is not known yet has a *token* in its node instead: any 20 bytes that are
    no hash of the archive and a key of ``staged``. The writer hashes what stands behind it, and
    puts the hash there.
    """

    @property
    def security_data(self) -> bytes:
        """The table of security descriptors as stored (``SecurityData.raw``)."""
        ...

    @property
    def has_changes(self) -> bool:
        """Whether anything differs from the image that the tree was made from."""
        ...

    def root(self) -> DentryNode:
        """Return the root directory's node."""
        ...

    def children(self, node: DentryNode) -> Iterable[DentryNode]:
        """Return the entries of a plain directory whose node came from here; may be repeated."""
        ...

    def staged(self) -> Mapping[bytes, BlobSource]:
        """Return the data behind each token in use."""
        ...
