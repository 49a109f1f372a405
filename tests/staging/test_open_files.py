"""Files and streams that are open, whatever becomes of their names and of the image under them."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.staging.base_image import FILE, ImageBuilder, Mount, unix_options
from tests.staging.committing import replace_image
from tests.staging.model import difference
from wimtui.engine.image.view import StreamsInterface
from wimtui.engine.staging.changes import list_changes
from wimtui.engine.tree import ROOT_INO, AttributeChanges, RenameMode

if TYPE_CHECKING:
    from wimtui.engine.staging.snapshot import Snapshot
    from wimtui.engine.tree import Ino, OpenFile, WritableFile

paths = st.sampled_from([b"/a", b"/b", b"/c", b"/d/a", b"/d/b"])
stream_names = st.sampled_from([b"s", b"t"])
picks = st.integers(0, 100)
offsets = st.sampled_from([0, 1, 10, 5000])
pieces = st.binary(min_size=1, max_size=5)


@dataclass(eq=False)
class Stream:
    """The bytes of a file, or of a named stream of it."""

    data: bytearray = field(default_factory=bytearray)
    ino: Ino = ROOT_INO

    def write(self, offset: int, data: bytes) -> None:
        self.data += bytes(max(offset - len(self.data), 0))
        self.data[offset : offset + len(data)] = data

    def cut(self, size: int) -> None:
        del self.data[size:]
        self.data += bytes(size - len(self.data))


@dataclass(eq=False)
class File(Stream):
    """A file with its named streams."""

    named: dict[bytes, Stream] = field(default_factory=dict)

    def streams(self) -> list[Stream]:
        return [self, *self.named.values()]


class OpenFilesMachine(RuleBasedStateMachine):
    """Does the same to an overlay and to files in a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="wimtui-staging-"))
        self.files = {
            b"/a": File(bytearray(b"alpha" * 1000), named={b"s": Stream(bytearray(b"beta" * 900))}),
            b"/d/a": File(named={b"t": Stream(bytearray(b"T")), b"s": Stream(bytearray(b"SS"))}),
            b"/d/b": File(bytearray(b"deep")),
        }
        image = ImageBuilder()
        self.files[b"/c"] = self.files[b"/a"]
        for path, file in self.files.items():
            named = tuple((name, image.blob(bytes(s.data))) for name, s in file.named.items())
            group = 5 if file is self.files[b"/a"] else 0
            image.file(path, bytes(file.data), group_id=group, named_streams=named)
        options = unix_options(streams=StreamsInterface.WINDOWS)
        self.mount = Mount.create(image.write(self.folder / "base.wim"), self.folder, options)
        self.removed: list[Stream] = []
        """Files and streams without a name that the kernel has not forgotten."""
        self.readers: list[tuple[Stream, OpenFile]] = []
        self.writers: list[tuple[Stream, WritableFile]] = []
        self.snapshot: Snapshot | None = None
        self.commits = 0
        self.learn()

    def teardown(self) -> None:
        self.everything_is_there()
        self.kill()
        self.everything_is_there()
        self.mount.close()
        shutil.rmtree(self.folder)

    def learn(self) -> None:
        """Know all inode numbers, as the kernel would."""
        for path, file in self.files.items():
            file.ino = self.mount.ino(path)
            for name, stream in file.named.items():
                stream.ino = self.mount.ino(path + b":" + name)

    def known(self) -> list[Stream]:
        files = dict.fromkeys(self.files.values())
        return [*(stream for file in files for stream in file.streams()), *self.removed]

    def pick(self, what: int) -> Stream | None:
        streams = self.known()
        return streams[what % len(streams)] if streams else None

    def lost(self, file: File | None) -> None:
        if file is not None and file not in self.files.values():
            self.removed += file.streams()

    # Names

    @rule(path=paths)
    def create(self, path: bytes) -> None:
        if path not in self.files:
            ino = self.mount.overlay.create_node(*self.mount.place(path), FILE)
            self.files[path] = File(ino=ino)

    @rule(path=paths, name=stream_names)
    def create_stream(self, path: bytes, name: bytes) -> None:
        file = self.files.get(path)
        if file is not None and name not in file.named:
            place, known = self.mount.place(path)
            ino = self.mount.overlay.create_node(place, known + b":" + name, FILE)
            file.named[name] = Stream(ino=ino)

    @rule(path=paths)
    def unlink(self, path: bytes) -> None:
        if path in self.files:
            self.mount.unlink(path, forget=False)
            self.lost(self.files.pop(path))

    @rule(path=paths, name=stream_names)
    def unlink_stream(self, path: bytes, name: bytes) -> None:
        file = self.files.get(path)
        if file is not None and name in file.named:
            stream = file.named.pop(name)
            assert self.mount.unlink(path + b":" + name, forget=False) == stream.ino
            self.removed.append(stream)

    @rule(path=paths, new=paths)
    def link(self, path: bytes, new: bytes) -> None:
        if path in self.files and new not in self.files:
            self.mount.overlay.link(self.files[path].ino, *self.mount.place(new))
            self.files[new] = self.files[path]

    @rule(path=paths, new=paths)
    def rename(self, path: bytes, new: bytes) -> None:
        if path in self.files and self.files[path] is not self.files.get(new):
            places = (*self.mount.place(path), *self.mount.place(new))
            self.mount.overlay.rename(*places, RenameMode.REPLACE)
            replaced = self.files.get(new)
            self.files[new] = self.files.pop(path)
            self.lost(replaced)

    # Data

    @rule(what=picks)
    def open_for_reading(self, what: int) -> None:
        if stream := self.pick(what):
            self.readers.append((stream, self.mount.overlay.open_file(stream.ino)))

    @rule(what=picks)
    def open_for_writing(self, what: int) -> None:
        if stream := self.pick(what):
            self.writers.append((stream, self.mount.overlay.open_for_writing(stream.ino)))

    @rule(what=picks, offset=offsets, data=pieces)
    def write(self, what: int, offset: int, data: bytes) -> None:
        if self.writers:
            stream, file = self.writers[what % len(self.writers)]
            assert file.write(offset, data) == len(data)
            stream.write(offset, data)

    @rule(what=picks, size=st.sampled_from([0, 1, 10, 6000]))
    def truncate(self, what: int, size: int) -> None:
        if stream := self.pick(what):
            self.mount.overlay.change(stream.ino, AttributeChanges(size=size))
            stream.cut(size)

    @rule(what=picks, is_reader=st.booleans())
    def close(self, what: int, is_reader: bool) -> None:
        if is_reader and self.readers:
            self.readers.pop(what % len(self.readers))[1].close()
        elif self.writers:
            self.writers.pop(what % len(self.writers))[1].close()

    @rule(what=picks)
    def forget(self, what: int) -> None:
        in_use = [stream for stream, _ in (*self.readers, *self.writers)]
        forgotten = [stream for stream in self.removed if stream not in in_use]
        if forgotten:
            stream = forgotten[what % len(forgotten)]
            self.removed.remove(stream)
            self.mount.overlay.forget(stream.ino)

    # What happens to the whole

    @rule()
    def begin_commit(self) -> None:
        if self.snapshot is None and self.commits < 4:
            self.snapshot = self.mount.overlay.freeze()

    @rule(is_cancelled=st.booleans())
    def end_commit(self, is_cancelled: bool) -> None:
        if self.snapshot is None:
            return
        self.commits += 1
        if is_cancelled:
            self.snapshot.release()
        else:
            replace_image(self.mount, self.snapshot)
        self.snapshot = None

    @rule()
    def kill(self) -> None:
        for _, file in (*self.readers, *self.writers):
            file.close()
        self.readers.clear()
        self.writers.clear()
        self.removed.clear()
        self.snapshot = None
        self.mount.reopen()
        self.learn()

    @invariant()
    def everything_is_there(self) -> None:
        overlay = self.mount.overlay
        names = list(self.files.values())
        for path, file in self.files.items():
            assert self.mount.ino(path) == file.ino
            for name, stream in file.named.items():
                assert self.mount.ino(path + b":" + name) == stream.ino
        for stream in self.known():
            shown = overlay.attributes(stream.ino)
            assert (shown.ino, shown.size) == (stream.ino, len(stream.data))
            if isinstance(stream, File):
                assert shown.nlink == names.count(stream)
            assert difference(self.mount.read(stream.ino), stream.data) is None
        for stream, opened in (*self.readers, *self.writers):
            assert difference(opened.read(0, 1 << 20), stream.data) is None
        list_changes(overlay)


@pytest.mark.parametrize("stream_goes_first", [True, False])
def test_nothing_is_left_of_what_is_removed_and_forgotten(
    tmp_path: Path, stream_goes_first: bool
) -> None:
    image = ImageBuilder()
    image.file(b"/a", b"main", named_streams=((b"old", image.blob(b"one")),))
    options = unix_options(streams=StreamsInterface.WINDOWS)
    mount = Mount.create(image.write(tmp_path / "base.wim"), tmp_path, options)
    overlay = mount.overlay
    inos = [mount.create_file(b"/a:new", b"two"), mount.ino(b"/a:old")]
    inos.append(mount.unlink(b"/a", forget=False))
    for ino in inos if stream_goes_first else inos[::-1]:
        overlay.forget(ino)
    assert list(overlay.layer.nodes) == [ROOT_INO]
    assert not overlay.layer.unlinked
    overlay.store.collect()
    assert overlay.store.staged_nbytes() == 0
    mount.close()


OpenFilesMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=30)
TestOpenFiles = pytest.mark.slow(OpenFilesMachine.TestCase)
