"""Snapshots for a commit, and going on over the image that it made."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.staging.base_image import CONTENTS, FILE, Mount
from tests.staging.committing import commit
from wimtui.engine.errors import LockedError, MetadataError, StaleNodeError
from wimtui.engine.image.streams import StreamKind
from wimtui.engine.image.view import StreamsInterface, ViewOptions
from wimtui.engine.progress import CancelToken
from wimtui.engine.staging.changes import ChangeKind, is_clean, list_changes
from wimtui.engine.staging.node import FIRST_NEW_ID
from wimtui.engine.staging.options import OverlayOptions
from wimtui.engine.staging.rebase import Rebase
from wimtui.engine.staging.snapshot import BlobStream, FileStream, InlineStream
from wimtui.engine.tree import ROOT_INO, AttributeChanges, Ino, RenameMode, XattrMode

if TYPE_CHECKING:
    from collections.abc import Callable

    Make = Callable[[OverlayOptions | None], Mount]


def change_much(mount: Mount) -> None:
    overlay = mount.overlay
    mount.create_file(b"/new", b"new data")
    mount.write(mount.ino(b"/a.txt"), b"ALPHA")
    overlay.rename(ROOT_INO, b"dir", ROOT_INO, b"a folder", RenameMode.REPLACE)
    mount.create_file(b"/a folder/sub/deep", b"deep")
    mount.unlink(b"/linked1")
    overlay.set_xattr(mount.ino(b"/streams"), b"user.one", b"1", XattrMode.ANY)
    overlay.make_symlink(ROOT_INO, b"to new", b"new", FILE)
    overlay.change(mount.ino(b"/empty"), AttributeChanges(mtime_ns=0))


class TestSnapshot:
    """The frozen tree."""

    def test_says_what_changed_and_what_did_not(self, mount: Mount) -> None:
        change_much(mount)
        snapshot = mount.overlay.freeze()
        names = {name.name: name for name in snapshot.children(ROOT_INO)}
        assert list(names) == [name for name, _ in mount.overlay.list_directory(ROOT_INO)]
        for name in (b"new", b"a.txt", b"a folder", b"linked2", b"streams", b"empty"):
            assert names[name].dentry == -1
        for name in (b"secret", b"opaque", b"empty dir", b"short name.txt", b"link"):
            assert names[name].dentry >= 0
        assert names[b"short name.txt"].short_name == b"SHORTN~1.TXT"
        assert not snapshot.is_unchanged_below(ROOT_INO)
        assert not snapshot.is_unchanged_below(names[b"a folder"].node)
        assert snapshot.is_unchanged_below(names[b"empty dir"].node)
        assert snapshot.node(names[b"linked2"].node).link_count == 1
        streams = {stream.name: stream for stream in snapshot.node(names[b"streams"].node).streams}
        assert isinstance(streams[b"one"], InlineStream)
        assert isinstance(streams[b"Two"], BlobStream)
        (data,) = snapshot.node(names[b"new"].node).streams
        assert isinstance(data, FileStream)
        assert (data.kind, data.size) == (StreamKind.DATA, 8)
        changed = {node.id for node in snapshot.staged_nodes()}
        assert {names[b"new"].node, names[b"a.txt"].node, ROOT_INO} <= changed
        assert names[b"secret"].node not in changed
        snapshot.release()

    def test_stays_what_it_is_while_everything_changes(self, mount: Mount) -> None:
        change_much(mount)
        overlay = mount.overlay
        ino = mount.ino(b"/new")
        open_before = overlay.open_for_writing(ino)
        snapshot = overlay.freeze()
        node = snapshot.node(ino)
        (stream,) = node.streams
        assert isinstance(stream, FileStream)
        assert overlay.copy_up_size(ino) == 8
        assert overlay.copy_up_size(ino, keep=3) == 3
        assert open_before.write_nowait(0, b"N") is None
        overlay.copy_up(ino, None, CancelToken())
        assert open_before.write_nowait(0, b"N") == 1
        open_before.write(8, b" and more")
        overlay.change(mount.ino(b"/a.txt"), AttributeChanges(size=2))
        overlay.change(mount.ino(b"/a folder/sub/deep"), AttributeChanges(mtime_ns=77_700))
        overlay.set_xattr(mount.ino(b"/streams"), b"user.one", b"2", XattrMode.ANY)
        mount.unlink(b"/to new")
        overlay.rename(ROOT_INO, b"a folder", ROOT_INO, b"b", RenameMode.REPLACE)
        assert Path(stream.path).read_bytes() == b"new data"
        assert snapshot.node(ino) == node
        paths = [name.name for _, name in snapshot.walk()]
        assert b"to new" in paths
        assert b"a folder" in paths
        again = next(name for _, name in snapshot.walk() if name.name == b"deep")
        assert snapshot.node(again.node).write_time != 77_700 // 100
        assert mount.read(b"/new") == b"New data and more"
        assert mount.read(b"/a.txt") == b"AL"
        snapshot.release()
        snapshot.release()
        overlay.store.collect()
        assert not Path(stream.path).exists()
        open_before.close()
        mount.reopen()
        assert mount.read(b"/new") == b"New data and more"

    @pytest.mark.parametrize("at_once", [True, False])
    @pytest.mark.parametrize("open_before", [True, False])
    def test_an_empty_file_can_be_written_meanwhile(
        self, mount: Mount, at_once: bool, open_before: bool
    ) -> None:
        ino = mount.create_file(b"/new")
        file = mount.overlay.open_for_writing(ino) if open_before else None
        snapshot = mount.overlay.freeze()
        file = file or mount.overlay.open_for_writing(ino)
        written: list[int | None] = []

        def write() -> None:
            if at_once and open_before:
                # What the file system does: an answer of None must lead to a copy that helps.
                assert file.write_nowait(0, b"data") is None
                assert mount.overlay.copy_up_size(ino) > 0
                mount.overlay.copy_up(ino, None, CancelToken())
            written.append(file.write_nowait(0, b"data") if at_once else file.write(0, b"data"))

        if not open_before and at_once:
            mount.overlay.copy_up(ino, None, CancelToken())
        thread = threading.Thread(target=write, daemon=True)
        thread.start()
        thread.join(10)
        assert written == [4]
        (stream,) = snapshot.node(ino).streams
        assert isinstance(stream, FileStream)
        assert stream.size == 0
        assert mount.read(ino) == b"data"
        snapshot.release()
        file.close()
        mount.reopen()
        assert mount.read(ino) == b"data"

    def test_keeping_nothing_of_a_frozen_file_does_not_empty_it(self, mount: Mount) -> None:
        ino = mount.create_file(b"/new", b"data")
        snapshot = mount.overlay.freeze()
        mount.overlay.copy_up(ino, 0, CancelToken())
        assert mount.read(ino) == b"data"
        snapshot.release()

    def test_there_is_one_at_a_time(self, mount: Mount) -> None:
        snapshot = mount.overlay.freeze()
        with pytest.raises(LockedError):
            mount.overlay.freeze()
        snapshot.release()
        mount.overlay.freeze().release()

    def test_never_sees_half_a_write(self, mount: Mount) -> None:
        ino = mount.create_file(b"/new")
        stop = threading.Event()
        failures: list[BaseException] = []

        def write() -> None:
            file = mount.overlay.open_for_writing(ino)
            try:
                for count in range(1_000_000):
                    if stop.is_set():
                        break
                    file.write(0, bytes([count % 256]) * 100_000)
            except BaseException as error:  # told to the test
                failures.append(error)
            file.close()

        thread = threading.Thread(target=write, daemon=True)
        thread.start()
        for _ in range(15):
            snapshot = mount.overlay.freeze()
            (stream,) = snapshot.node(ino).streams
            assert isinstance(stream, FileStream)
            first = Path(stream.path).read_bytes() if stream.size else b""
            assert len(set(first)) <= 1
            assert len(first) == stream.size
            second = Path(stream.path).read_bytes() if stream.size else b""
            assert first == second
            snapshot.release()
        stop.set()
        thread.join(30)
        assert not thread.is_alive()
        assert failures == []


class TestRebase:
    """Going on after a commit."""

    def test_everything_committed_becomes_the_image(self, mount: Mount) -> None:
        change_much(mount)
        inos = {path: mount.ino(path) for path in (b"/new", b"/a folder", b"/link", b"/secret")}
        commit(mount)
        assert is_clean(mount.overlay)
        assert mount.overlay.layer.nodes == {}
        for path, ino in inos.items():
            assert mount.ino(path) == ino
            assert mount.overlay.attributes(ino).ino == ino
        assert inos[b"/new"] >= FIRST_NEW_ID
        assert mount.read(b"/new") == b"new data"
        assert mount.read(b"/a.txt") == b"ALPHA" + CONTENTS[b"/a.txt"][5:]
        assert mount.overlay.get_xattr(mount.ino(b"/streams"), b"user.one") == b"1"
        assert mount.overlay.parent(mount.ino(b"/a folder/sub")) == mount.ino(b"/a folder")
        mount.overlay.store.collect()
        assert mount.overlay.store.staged_nbytes() == 0
        with pytest.raises(StaleNodeError):
            mount.overlay.attributes(Ino(999))

    def test_later_changes_stay_staged(self, mount: Mount) -> None:
        change_much(mount)

        def meanwhile() -> None:
            mount.create_file(b"/later", b"later")
            mount.create_file(b"/a folder/later", b"too")
            mount.write(mount.ino(b"/new"), b"NEW")
            mount.unlink(b"/to new")
            mount.overlay.rename(ROOT_INO, b"a.txt", ROOT_INO, b"b.txt", RenameMode.REPLACE)
            mount.overlay.set_xattr(mount.ino(b"/streams"), b"user.3", b"3", XattrMode.ANY)
            mount.overlay.change(mount.ino(b"/empty"), AttributeChanges(mtime_ns=100))

        commit(mount, meanwhile)
        for _ in range(2):
            listed = [(change.kind, change.path) for change in list_changes(mount.overlay)]
            assert listed == [
                (ChangeKind.ADDED, b"/a folder/later"),
                (ChangeKind.RENAMED, b"/b.txt"),
                (ChangeKind.MODIFIED, b"/empty"),
                (ChangeKind.ADDED, b"/later"),
                (ChangeKind.MODIFIED, b"/new"),
                (ChangeKind.MODIFIED, b"/streams"),
                (ChangeKind.DELETED, b"/to new"),
            ]
            assert mount.read(b"/new") == b"NEW data"
            assert mount.read(b"/a folder/later") == b"too"
            assert mount.overlay.list_xattrs(mount.ino(b"/streams")) == [
                b"user.one",
                b"user.Two",
                b"user.3",
            ]
            mount.reopen()
        commit(mount)
        assert is_clean(mount.overlay)
        assert mount.read(b"/new") == b"NEW data"

    def test_files_open_over_a_commit_go_on(self, mount: Mount) -> None:
        overlay = mount.overlay
        written = overlay.open_for_writing(mount.create_file(b"/new", b"one"))
        reader = overlay.open_file(mount.ino(b"/a.txt"))
        staged_reader = overlay.open_file(mount.create_file(b"/other", b"other"))
        gone = overlay.open_file(mount.ino(b"/dir/b.bin"))
        gone_ino = mount.unlink(b"/dir/b.bin", forget=False)
        commit(mount)
        assert [change.path for change in list_changes(overlay)] == [b"/new"]
        written.write(3, b" two")
        assert mount.read(b"/new") == b"one two"
        assert reader.read(0, 5) == b"alpha"
        assert staged_reader.read(0, 9) == b"other"
        mount.write(mount.ino(b"/a.txt"), b"ALPHA")
        mount.write(mount.ino(b"/other"), b"OTHER")
        assert reader.read(0, 5) == b"ALPHA"
        assert staged_reader.read(0, 9) == b"OTHER"
        assert gone.read(0, 4) == CONTENTS[b"/dir/b.bin"][:4]
        assert overlay.attributes(gone_ino).nlink == 0
        assert overlay.attributes(gone_ino).ino == gone_ino
        for file in (written, reader, staged_reader, gone):
            file.close()
        overlay.forget(gone_ino)
        with pytest.raises(StaleNodeError):
            overlay.attributes(gone_ino)
        mount.reopen()
        assert mount.read(b"/new") == b"one two"
        assert mount.read(b"/other") == b"OTHER"

    def test_removed_files_live_on_over_commits(self, mount: Mount) -> None:
        overlay = mount.overlay
        mount.write(mount.ino(b"/empty"), b"staged")
        file = overlay.open_for_writing(mount.ino(b"/short name.txt"))
        kept = [b"/a.txt", b"/empty", b"/short name.txt", b"/dir/b.bin"]
        known = {mount.ino(path): mount.read(path) for path in kept}
        for path in kept:
            mount.unlink(path, forget=False)
        for _ in range(2):
            commit(mount)
            for ino, data in known.items():
                assert overlay.attributes(ino).nlink == 0
                assert overlay.attributes(ino).size == len(data)
                assert mount.read(ino) == data
        file.close()
        for ino in known:
            overlay.forget(ino)
            with pytest.raises(StaleNodeError):
                overlay.attributes(ino)
        overlay.store.collect()
        assert overlay.store.staged_nbytes() == 0

    def test_stream_numbers_stay(self, make_mount: Make) -> None:
        mount = make_mount(OverlayOptions(ViewOptions(streams=StreamsInterface.WINDOWS)))
        inos = {name: mount.ino(name) for name in (b"/streams:one", b"/streams:Two")}
        inos[b"/a.txt:new"] = mount.create_file(b"/a.txt:new", b"stream")
        commit(mount)
        for path, ino in inos.items():
            assert mount.ino(path) == ino
        assert mount.read(inos[b"/a.txt:new"]) == b"stream"
        mount.write(inos[b"/a.txt:new"], b"STREAM")
        mount.write(inos[b"/streams:Two"], b"two")
        commit(mount)
        for path, ino in inos.items():
            assert mount.ino(path) == ino
        assert mount.read(b"/a.txt:new") == b"STREAM"
        assert mount.read(b"/streams:Two") == b"two"

    def test_a_copy_up_under_way_is_finished(self, mount: Mount) -> None:
        # In front of everything, so that all numbers of the image change.
        mount.create_file(b"/0", b"first")
        ino = mount.ino(b"/dir/b.bin")
        contents = mount.overlay.contents
        fill = contents._fill

        def committing(*arguments: object) -> int:
            contents._fill = fill  # type: ignore[method-assign]
            commit(mount)
            assert mount.overlay.node_id(ino) != ino
            return fill(*arguments)  # type: ignore[arg-type]

        contents._fill = committing  # type: ignore[method-assign, assignment]
        mount.write(ino, b"WRITTEN")
        assert mount.read(b"/dir/b.bin") == b"WRITTEN" + CONTENTS[b"/dir/b.bin"][7:]
        assert mount.ino(b"/dir/b.bin") == ino

    def test_an_image_that_is_not_the_commits_is_refused(self, mount: Mount) -> None:
        mount.create_file(b"/new")
        snapshot = mount.overlay.freeze()
        with pytest.raises(MetadataError):
            Rebase(mount.overlay, snapshot, mount.archive.image(1), mount.archive.blobs)
        snapshot.release()
        assert mount.has(b"/new")

    def test_removed_streams_that_are_open(self, make_mount: Make) -> None:
        """Their numbers must not be taken for those of files in the image that follows."""
        mount = make_mount(OverlayOptions(ViewOptions(streams=StreamsInterface.WINDOWS)))
        overlay = mount.overlay
        inos = [mount.ino(b"/streams:" + name) for name in (b"one", b"Two")]
        files = [overlay.open_for_writing(ino) for ino in inos]
        mount.unlink(b"/streams:one", forget=False)
        for number in range(60):
            mount.create_file(b"/%d" % number, b"%d" % number)

        def meanwhile() -> None:
            mount.unlink(b"/streams:Two", forget=False)
            for file in files:
                assert file.write(0, b"other") == 5

        commit(mount, meanwhile)
        assert [overlay.attributes(ino)[:3:2] for ino in inos] == [(ino, 0) for ino in inos]
        overlay.change(inos[0], AttributeChanges(size=7))
        for number in range(60):
            assert mount.read(b"/%d" % number) == b"%d" % number
        assert [file.read(0, 99) for file in files] == [b"otherm ", b"other"]
        for file, ino in zip(files, inos, strict=True):
            file.close()
            overlay.forget(ino)
        mount.reopen()
        assert not mount.has(b"/streams:Two")

    def test_removed_files_that_are_not_open_can_be_opened_again(self, make_mount: Make) -> None:
        """As /proc/self/fd does with what O_PATH holds."""
        mount = make_mount(OverlayOptions())
        layer = mount.overlay.layer
        data = mount.read(b"/a.txt")
        ino = mount.unlink(b"/a.txt", forget=False)
        for _ in range(2):
            commit(mount)
            assert len(mount.overlay.contents.open_streams) == 0
            assert layer.reads_former()
            assert mount.read(ino) == data
        mount.overlay.forget(ino)
        assert not layer.reads_former()

    def test_streams_of_removed_files(self, make_mount: Make) -> None:
        mount = make_mount(OverlayOptions(ViewOptions(streams=StreamsInterface.WINDOWS)))
        stream = mount.ino(b"/streams:one")
        owner = mount.unlink(b"/streams", forget=False)
        mount.create_file(b"/new", b"new")
        for _ in range(2):
            commit(mount)
            assert mount.read(stream) == b"stream one"
            assert mount.read(owner) == b"main"
        assert mount.overlay.attributes(stream).ino == stream
