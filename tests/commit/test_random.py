"""Random edits saved in random ways, against a model that knows nothing of WIM."""

from __future__ import annotations

import hashlib
import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.commit.invariants import check_wim
from tests.commit.trees import TestTree, all_contents
from tests.commit.ways import options, words
from tests.oracle.wims import WIMLIB, wimlib
from wimtui.engine.archive import Archive, ArchiveOptions
from wimtui.engine.codecs.base import CodecId
from wimtui.engine.commit import edit
from wimtui.engine.commit.edit import ImageProperties
from wimtui.engine.commit.options import Compression, WriteOptions

if TYPE_CHECKING:
    from wimtui.engine.image.metadata_writer import DentryNode

Model = dict[str, tuple[bytes, dict[bytes, bytes]]]
"""Data and streams by path."""

WAYS = st.sampled_from(["append", "append", "rebuild", "new image", "solid", "recode"])
EDITS = st.lists(
    st.tuples(
        st.sampled_from(["add", "modify", "remove", "rename", "link", "stream", "directory"]),
        st.integers(0, 2**32),
    ),
    max_size=8,
)
TURNS = st.lists(st.tuples(WAYS, EDITS), min_size=1, max_size=4)


def data_of(rng: random.Random) -> bytes:
    size = rng.choice([0, 1, 300, 4095, 4096, 4097, 20_000])
    return rng.randbytes(size) if rng.random() < 0.3 else words(rng.randrange(5), size)


class Edited:
    """A tree and its model, edited together."""

    def __init__(self, tree: TestTree, model: Model) -> None:
        self.tree = tree
        self.model = {path: (data, dict(streams)) for path, (data, streams) in model.items()}

    def directories(self) -> list[str]:
        found = [""]

        def visit(node: DentryNode, where: str) -> None:
            for child in node.children:
                if child.attributes & 0x10:
                    found.append(f"{where}/{child.name.decode()}")
                    visit(child, found[-1])

        visit(self.tree.root(), "")
        return found

    def group(self, path: str) -> list[str]:
        """All names of a file."""
        group = self.tree.find(path).group_id
        if not group:
            return [path]
        return [each for each in self.model if self.tree.find(each).group_id == group]

    def apply(self, what: str, seed: int) -> None:
        rng = random.Random(seed)
        folder = rng.choice(self.directories())
        new = f"{folder}/{what}-{rng.randrange(1000)}"
        taken = {child.name for child in self.tree.find(folder).children}
        if new.rpartition("/")[2].encode() in taken:
            return
        if what == "directory":
            self.tree.make_directory(new)
        elif what == "add":
            self.model[new] = (data_of(rng), {})
            self.tree.add(new, self.model[new][0])
        elif self.model:
            self._apply_to(rng.choice(sorted(self.model)), new, what, rng)

    def _apply_to(self, path: str, new: str, what: str, rng: random.Random) -> None:
        if what == "modify":
            data = data_of(rng)
            self.tree.modify(path, data)
            for name in self.group(path):
                self.model[name] = (data, self.model[name][1])
        elif what == "remove":
            self.tree.remove(path)
            del self.model[path]
        elif what == "rename":
            self.tree.rename(path, new)
            self.model[new] = self.model.pop(path)
        elif what == "link":
            self.tree.link(path, new)
            self.model[new] = self.model[path]
        else:
            value = data_of(rng)
            names = self.group(path)
            self.tree.set_stream(path, b"stream", value)
            for name in names:
                self.tree.find(name).named_streams = self.tree.find(path).named_streams
                self.model[name] = (self.model[name][0], {b"stream": value})

    def expected(self) -> dict[str, tuple[bytes, dict[bytes, bytes]]]:
        return {
            path: (_sha1(data), {name: _sha1(value) for name, value in streams.items()})
            for path, (data, streams) in self.model.items()
        }


def _sha1(data: bytes) -> bytes:
    return hashlib.sha1(data).digest() if data else bytes(20)


@pytest.mark.slow
@settings(max_examples=120)
@given(TURNS, st.sampled_from(CodecId), st.booleans())
def test_random_edits(
    tmp_path_factory: pytest.TempPathFactory,
    turns: list[tuple[str, list[tuple[str, int]]]],
    codec: CodecId,
    integrity: bool,
) -> None:
    path = tmp_path_factory.mktemp("random") / "a.wim"
    start = Edited(TestTree(), {})
    for seed in range(6):
        start.apply("add", seed)
    given = options(compression=Compression(codec, level=20), integrity=integrity)
    edit.create(str(path), start.tree, ImageProperties("0"), given)
    models = [start]
    for number, (way, edits) in enumerate(turns, 1):
        with Archive.open(path, ArchiveOptions(check_integrity=True)) as archive:
            index = 1 + number % len(models)
            edited = Edited(TestTree.of_image(archive, index), models[index - 1].model)
            for what, seed in edits:
                edited.apply(what, seed)
            if way == "new image":
                named = ImageProperties(str(number), boot=number % 2 == 0)
                edit.commit_new_image(archive, index, edited.tree, named, options())
                models.append(edited)
            else:
                edit.commit_image(archive, index, edited.tree, _options(way, number))
                models[index - 1] = edited
        check_wim(path)
        for found, model in zip(all_contents(path), models, strict=True):
            files = {
                name: (fields[5], dict(fields[7]))  # type: ignore[call-overload]
                for name, fields in found.items()
                if not fields[0] & 0x10  # type: ignore[operator]
            }
            assert files == model.expected()
    if WIMLIB is not None:
        wimlib("verify", path)


def _options(way: str, number: int) -> WriteOptions:
    if way == "solid":
        return options(solid=True, compression=Compression(level=20, solid_chunk_size=1 << 15))
    if way == "recode":
        codec = list(CodecId)[number % 4]
        return options(compression=Compression(codec, level=20))
    return options(rebuild=way == "rebuild")
