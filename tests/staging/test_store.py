"""The staging folder: what it holds, whose it is, what is refused."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import stat
import threading
from typing import TYPE_CHECKING

import pytest

from tests.staging.base_image import Mount, build_wim
from wimtui.engine.archive import Archive
from wimtui.engine.errors import FormatError, OpenFailedError, UnknownVersionError, WimError
from wimtui.engine.image.view import StreamsInterface, ViewOptions
from wimtui.engine.staging.identity import IdentityMatch, WimIdentity
from wimtui.engine.staging.options import OverlayOptions
from wimtui.engine.staging.store import DATABASE_NAME, StagingStore
from wimtui.engine.tree import ROOT_INO

if TYPE_CHECKING:
    from pathlib import Path


def test_the_folder_is_private_and_named_after_the_wim(mount: Mount) -> None:
    folder = mount.overlay.store.folder
    assert folder.name.startswith("base.wim.staging-")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    mount.create_file(b"/new", b"secret")
    for path in folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0


def test_options_and_identity_are_found_again(base_wim: Path, tmp_path: Path) -> None:
    options = OverlayOptions(
        ViewOptions(1, 2, 0o22, 0o33, 0o44, True, StreamsInterface.NONE, b"/m\xff", True),
        silent=False,
        windows_names=True,
    )
    with Archive.open(base_wim) as archive:
        identity = WimIdentity.of(archive)
        store = StagingStore.create(tmp_path, identity, 1, options, {"point": "/m"})
        store.close()
        store = StagingStore.open(store.folder)
        assert store.facts.options == options
        assert store.facts.identity == identity
        assert store.facts.mount == {"point": "/m"}
        assert store.facts.match(WimIdentity.of(archive)) is IdentityMatch.SAME
        store.close()


def test_a_copied_or_touched_wim_is_the_same_and_a_changed_one_is_not(
    mount: Mount, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.wim"
    copy.write_bytes(mount.wim.read_bytes())
    os.utime(copy, ns=(5, 5))
    with Archive.open(copy) as archive:
        assert mount.overlay.store.facts.match(WimIdentity.of(archive)) is IdentityMatch.SAME
        mount.make_directory(b"/x")
    other = build_wim(tmp_path / "other.wim")
    data = bytearray(other.read_bytes())
    data[24] ^= 1
    other.write_bytes(data)
    with Archive.open(other) as archive:
        found = WimIdentity.of(archive)
    assert mount.overlay.store.facts.match(found) is IdentityMatch.CHANGED
    mount.overlay.store.note_commit(found)
    mount.reopen()
    assert mount.overlay.store.facts.match(found) is IdentityMatch.COMMITTED
    mount.overlay.store.note_commit(None)
    assert mount.overlay.store.facts.match(found) is IdentityMatch.CHANGED


def test_rubbish_goes_at_the_next_opening(mount: Mount) -> None:
    ino = mount.create_file(b"/new", b"kept")
    folder = mount.overlay.store.folder
    (folder / "000000ff").write_bytes(b"copied, and killed before anybody knew of it")
    (folder / "notes").write_bytes(b"not ours")
    mount.reopen()
    assert not (folder / "000000ff").exists()
    assert (folder / "notes").exists()
    assert mount.read(ino) == b"kept"


def test_discarded_files_wait_for_the_database(mount: Mount) -> None:
    mount.write(mount.ino(b"/a.txt"), b"x")
    mount.unlink(b"/a.txt")
    folder = mount.overlay.store.folder
    assert (folder / "00000001").exists()
    mount.overlay.store.collect()
    assert not (folder / "00000001").exists()


def test_many_discarded_files_do_not_pile_up(mount: Mount) -> None:
    for number in range(1800):
        mount.create_file(b"/f%d" % number, b"x")
        mount.unlink(b"/f%d" % number)
    assert len(list(mount.overlay.store.folder.iterdir())) < 1100


def test_removing_leaves_nothing(base_wim: Path, tmp_path: Path) -> None:
    mount = Mount.create(base_wim, tmp_path)
    mount.create_file(b"/new", b"x")
    mount.overlay.store.remove()
    mount.archive.close()
    assert list(tmp_path.glob("*staging*")) == []


def test_what_is_no_staging_folder_is_refused(mount: Mount, tmp_path: Path) -> None:
    with pytest.raises(OpenFailedError):
        StagingStore.open(tmp_path)
    (tmp_path / DATABASE_NAME).write_bytes(b"not a database, but as long as one" * 100)
    with pytest.raises(FormatError):
        StagingStore.open(tmp_path)
    with pytest.raises(OpenFailedError):
        StagingStore.create(
            tmp_path / "nowhere", mount.overlay.store.facts.identity, 1, OverlayOptions()
        )


def test_a_damaged_database_is_named(mount: Mount, tmp_path: Path) -> None:
    for number in range(40):
        mount.create_file(b"/f%d" % number, b"x")
    folder = mount.overlay.store.folder
    mount.close()
    intact = (folder / DATABASE_NAME).read_bytes()
    rng = random.Random(1)
    said = []
    for number in range(120):
        copy = tmp_path / f"copy-{number}"
        shutil.copytree(folder, copy)
        damaged = bytearray(intact)
        for _ in range(rng.choice([1, 8, 200])):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        (copy / DATABASE_NAME).write_bytes(damaged)
        try:
            StagingStore.open(copy).close()
        except WimError as error:
            said.append(str(error).replace(str(copy), "COPY"))
    assert len(said) > 10
    assert all("COPY" in text for text in said)


@pytest.mark.parametrize(
    ("pragma", "error"),
    [("user_version = 99", UnknownVersionError), ("application_id = 1", FormatError)],
)
def test_another_format_is_refused(
    base_wim: Path, tmp_path: Path, pragma: str, error: type[Exception]
) -> None:
    mount = Mount.create(base_wim, tmp_path)
    mount.close()
    database = sqlite3.connect(mount.overlay.store.folder / DATABASE_NAME)
    database.execute(f"PRAGMA {pragma}")
    database.commit()
    database.close()
    with pytest.raises(error):
        StagingStore.open(mount.overlay.store.folder)


def test_a_failed_write_changes_nothing(mount: Mount) -> None:
    before = mount.overlay.list_directory(ROOT_INO)
    mount.overlay.store._database._connection.execute("PRAGMA query_only = ON")
    with pytest.raises(OSError, match=r"Read-only|error"):
        mount.create_file(b"/new")
    with pytest.raises(OSError, match=r"Read-only|error"):
        mount.unlink(b"/a.txt")
    assert mount.overlay.list_directory(ROOT_INO) == before
    mount.overlay.store._database._connection.execute("PRAGMA query_only = OFF")
    mount.create_file(b"/new")


def test_a_lost_staged_file_reads_as_empty(mount: Mount) -> None:
    ino = mount.create_file(b"/new", b"data")
    (mount.overlay.store.folder / "00000001").unlink()
    mount.reopen()
    assert mount.overlay.attributes(ino).size == 0
    assert mount.read(ino) == b""


def test_notes_of_a_commit_come_between_changes(mount: Mount) -> None:
    store = mount.overlay.store
    identity = store.facts.identity
    failures = []

    def note() -> None:
        try:
            for _ in range(100):
                store.note_commit(identity)
                store.note_commit(None)
        except OSError as error:
            failures.append(error)

    thread = threading.Thread(target=note)
    thread.start()
    made = 0
    while thread.is_alive():
        mount.create_file(b"/made%d" % made, b"x")
        made += 1
    thread.join()
    assert failures == []
    mount.reopen()
    for number in range(made):
        assert mount.read(mount.ino(b"/made%d" % number)) == b"x"
