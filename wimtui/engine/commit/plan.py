"""What a write comes to: images, blobs to be written, and how often each blob is used."""

from __future__ import annotations

from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from hashlib import sha1 as _sha1
from os import cpu_count
from typing import TYPE_CHECKING

from wimtui.engine.commit.links import DirectoryLinks
from wimtui.engine.commit.references import (
    count_image,
    count_references,
    leaves_something_out,
)
from wimtui.engine.commit.sources import MemorySource, pieces, sha1_of
from wimtui.engine.errors import BlobHashError, WimError
from wimtui.engine.image.attributes import FileAttribute
from wimtui.engine.image.blobs import ZERO_SHA1
from wimtui.engine.image.metadata import ImageMetadata
from wimtui.engine.image.metadata_writer import write_metadata
from wimtui.engine.image.reparse import MAX_REPARSE_NBYTES, ReparseTag
from wimtui.engine.progress import Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from concurrent.futures import Future

    from wimtui.engine.archive import Archive
    from wimtui.engine.commit.reporter import Reporter
    from wimtui.engine.commit.snapshot import BlobSource, TreeSnapshot
    from wimtui.engine.container.xml_data import ImageElement, XmlData
    from wimtui.engine.image.metadata_writer import DentryNode


# Plain numbers: each operation on an IntFlag costs as much as all else that is done for a node.
_DIRECTORY = int(FileAttribute.DIRECTORY)
_DIRECTORY_BITS = int(FileAttribute.DIRECTORY | FileAttribute.REPARSE_POINT)

_SMALL_NBYTES = 1 << 16
_KEPT_NBYTES = 1 << 25
"""Bytes of small sources that are kept in memory between hashing and writing."""


@dataclass(frozen=True, slots=True)
class KeptImage:
    """An image of the file, as it is."""

    index: int
    """1-based, in the file as it is."""


@dataclass(frozen=True, slots=True)
class TreeImage:
    """An image to be written."""

    tree: TreeSnapshot


@dataclass(frozen=True, slots=True)
class Target:
    """What the file shall be."""

    images: tuple[KeptImage | TreeImage, ...]
    xml: XmlData
    """A copy to write to, with one IMAGE for each image; counters are filled in."""
    boot_index: int
    """0 for none."""
    sets_rp_fix: bool = False
    """Links of an image were fixed, so the header says so."""

    @property
    def keeps_images(self) -> bool:
        """Whether only XML data and header differ."""
        return all(isinstance(image, KeptImage) for image in self.images)


@dataclass(frozen=True, slots=True)
class NewBlob:
    """Data that the file does not hold."""

    sha1: bytes
    source: BlobSource


@dataclass(frozen=True, slots=True)
class PlannedImage:
    """An image with the metadata resource it will have."""

    kept_index: int
    """0 where ``metadata`` is to be written."""
    sha1: bytes
    metadata: bytes


@dataclass(slots=True)
class Plan:
    """A write worked out; nothing is written yet."""

    target: Target
    images: list[PlannedImage] = field(default_factory=list)
    references: Counter[bytes] = field(default_factory=Counter)
    new_blobs: list[NewBlob] = field(default_factory=list)
    reused: int = 0
    """Streams among the new data that something else holds already."""
    keeps_all_blobs: bool = False
    """An image is not seen whole, so a blob without known use may be in use."""
    warnings: list[str] = field(default_factory=list)


class Planner:
    """Works out a write."""

    def __init__(self, archive: Archive | None, target: Target, reporter: Reporter) -> None:
        """Plan for a file, or for one that does not exist yet."""
        self._archive = archive
        self._reporter = reporter
        self._plan = Plan(target)
        self._hashes: dict[bytes, bytes] = {}
        """SHA-1 by token."""
        self._sources: dict[bytes, BlobSource] = {}
        """Data by SHA-1."""

    def plan(self, ticks: int) -> Plan:
        """Return the plan; XML counters are those of ``ticks``.

        Raises:
            BlobHashError: Data of another size has the hash of a blob.
            CancelledError: Stopped.
            WimError: Staged data or an image cannot be read, or a tree cannot be stored.
        """
        plan = self._plan
        trees = [image.tree for image in plan.target.images if isinstance(image, TreeImage)]
        self._hash(trees)
        self._reporter.begin(Phase.METADATA, items_total=len(plan.target.images))
        elements = plan.target.xml.images
        for image, element in zip(plan.target.images, elements, strict=True):
            if isinstance(image, KeptImage):
                self._keep(image.index)
            else:
                self._write(image.tree, element, ticks)
            self._reporter.advance(items=1)
        self._choose_blobs()
        return plan

    def _hash(self, trees: list[TreeSnapshot]) -> None:
        """Hash what is staged, on all cores."""
        staged: dict[bytes, BlobSource] = {}
        for tree in trees:
            staged.update(tree.staged())
        total = sum(source.size for source in staged.values())
        self._reporter.begin(Phase.HASH, total, len(staged))
        for token, source, digest in _hash_all(staged, self._reporter):
            self._reporter.advance(source.size, 1, source)
            if source.size == 0:
                self._hashes[token] = ZERO_SHA1
                continue
            known = self._sources.setdefault(digest, source)
            if known.size != source.size:
                raise _collision(digest)
            self._hashes[token] = digest
        self._reporter.finish()

    def _keep(self, index: int) -> None:
        """Take an image over as it is, and count what it uses."""
        assert self._archive is not None
        plan = self._plan
        info = self._archive.blobs.metadata_info(index)
        plan.images.append(PlannedImage(index, info.sha1, b""))
        try:
            metadata = self._archive.image(index)
        except WimError as error:
            plan.keeps_all_blobs = True
            plan.warnings.append(f"image {index} cannot be read and is kept as it is: {error}")
            return
        plan.keeps_all_blobs |= leaves_something_out(metadata)
        plan.references.update(count_references(metadata))

    def _write(self, tree: TreeSnapshot, element: ImageElement, ticks: int) -> None:
        """Make the metadata resource of a tree, and count what it holds."""
        plan = self._plan
        nodes = _StoredTree(tree, self._hashes, self._read_reparse)
        metadata = write_metadata(nodes.root(), tree.security_data, nodes.children)
        # Scanning it again counts the image, and shows that others can read it.
        image = ImageMetadata.parse(metadata)
        references = count_references(image)
        counters = count_image(image, references, self._size)
        element.set_number("DIRCOUNT", counters.directory_count)
        element.set_number("FILECOUNT", counters.file_count)
        element.set_number("TOTALBYTES", counters.total_nbytes)
        element.set_number("HARDLINKBYTES", counters.hard_link_nbytes)
        if not element.get_time("CREATIONTIME"):
            element.set_time("CREATIONTIME", ticks)
        element.set_time("LASTMODIFICATIONTIME", ticks)
        digest = _sha1(metadata, usedforsecurity=False).digest()
        plan.images.append(PlannedImage(0, digest, metadata))
        plan.references.update(references)

    def _choose_blobs(self) -> None:
        plan = self._plan
        staged = sum(self._hashes[token] != ZERO_SHA1 for token in self._hashes)
        for digest, source in self._sources.items():
            if not plan.references.get(digest):
                continue
            if self._archive is not None:
                table = self._archive.wim.blob_table
                row = table.find(digest)
                if row >= 0 and table.size(row) != source.size:
                    raise _collision(digest)
                if row >= 0 and table.index.is_usable(row):
                    continue
            plan.new_blobs.append(NewBlob(digest, source))
        plan.reused = staged - len(plan.new_blobs)

    def _size(self, sha1: bytes) -> int:
        source = self._sources.get(sha1)
        if source is not None:
            return source.size
        if self._archive is None:
            return 0
        table = self._archive.wim.blob_table
        row = table.find(sha1)
        if row >= 0 and table.index.is_usable(row):
            return table.size(row)
        return self._archive.blobs.size(sha1) or 0

    def _read_reparse(self, key: bytes) -> bytes | None:
        """Return the reparse data behind a hash or token, or None where there is none."""
        source = self._sources.get(self._hashes.get(key, key))
        if source is not None:
            if source.size > MAX_REPARSE_NBYTES:
                return None
            return b"".join(pieces(source, MAX_REPARSE_NBYTES, None))
        if self._archive is None:
            return None
        try:
            return self._archive.blobs.read_all(key, MAX_REPARSE_NBYTES)
        except WimError:
            return None


class _StoredTree:
    """A tree with hashes in the place of tokens, and DIRECTORY on links made to directories."""

    def __init__(
        self,
        tree: TreeSnapshot,
        hashes: Mapping[bytes, bytes],
        read_reparse: Callable[[bytes], bytes | None],
    ) -> None:
        self._tree = tree
        self._hashes = hashes
        self._links = DirectoryLinks(tree, read_reparse) if tree.staged() else None
        self._originals: dict[int, DentryNode] = {}

    def root(self) -> DentryNode:
        return self._hashed(self._tree.root())

    def children(self, node: DentryNode) -> Iterable[DentryNode]:
        parent = self._originals.pop(id(node), node)
        children = self._tree.children(parent)
        links, hashes = self._links, self._hashes
        if links is None:
            return children
        stored = []
        for child in children:
            if child.attributes & _DIRECTORY_BITS == _DIRECTORY:
                links.note(child, parent)
            # Most nodes have no token, and a call for each would cost as much as all else here.
            if child.content_sha1 in hashes or child.data_sha1 in hashes or child.named_streams:
                child = self._changed(child, parent, links)
            stored.append(child)
        return stored

    def _changed(self, node: DentryNode, parent: DentryNode, links: DirectoryLinks) -> DentryNode:
        stored = self._hashed(node)
        if (
            stored is not node
            and node.reparse_tag == ReparseTag.SYMLINK
            and not node.attributes & _DIRECTORY
            and links.points_at_directory(node, parent)
        ):
            stored.attributes |= _DIRECTORY
        return stored

    def _hashed(self, node: DentryNode) -> DentryNode:
        """Return a node with hashes for tokens: itself where it has none."""
        hashes = self._hashes
        if not (
            node.content_sha1 in hashes
            or node.data_sha1 in hashes
            or any(sha1 in hashes for _, sha1 in node.named_streams)
        ):
            return node
        streams = tuple((name, hashes.get(sha1, sha1)) for name, sha1 in node.named_streams)
        stored = replace(
            node,
            content_sha1=hashes.get(node.content_sha1, node.content_sha1),
            data_sha1=hashes.get(node.data_sha1, node.data_sha1),
            named_streams=streams,
        )
        if node.attributes & _DIRECTORY_BITS == _DIRECTORY:
            self._originals[id(stored)] = node
        return stored


def _hash_all(
    staged: Mapping[bytes, BlobSource], reporter: Reporter
) -> Iterator[tuple[bytes, BlobSource, bytes]]:
    """Yield tokens, sources and SHA-1: big sources are hashed on all cores, a few ahead.

    Small ones are hashed here, since threads would spend more on taking turns; the data of the
    first of them is kept, and need not be read again to be written.
    """
    window: deque[tuple[bytes, Future[bytes]]] = deque()
    workers = cpu_count() or 1
    kept_nbytes = 0
    executor = ThreadPoolExecutor(workers, "hash")
    try:
        for token, source in staged.items():
            if source.size > _SMALL_NBYTES:
                window.append((token, executor.submit(sha1_of, source, reporter.cancel)))
            elif kept_nbytes + source.size > _KEPT_NBYTES:
                yield token, source, sha1_of(source, reporter.cancel)
            else:
                data = b"".join(pieces(source, _SMALL_NBYTES, reporter.cancel))
                kept_nbytes += len(data)
                kept = MemorySource(data, source.shown_path)
                yield token, kept, sha1_of(kept, reporter.cancel)
            if len(window) > 4 * workers:
                done, task = window.popleft()
                yield done, staged[done], task.result()
        while window:
            done, task = window.popleft()
            yield done, staged[done], task.result()
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _collision(digest: bytes) -> BlobHashError:
    return BlobHashError(
        f"two different streams have the SHA-1 {digest.hex()}, which a WIM cannot hold",
        hint="remove one of them",
    )
