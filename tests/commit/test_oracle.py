"""wimlib-imagex reads what was written, and finds everything else as it was."""

from __future__ import annotations

import re
import shutil
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.commit.invariants import check_wim
from tests.commit.listing import counters, detailed
from tests.commit.test_staged import FILE, FOLDER, LINK, at, base, overlay_on, write
from tests.commit.test_staged import change as change_base
from tests.commit.trees import TestTree, contents
from tests.commit.ways import FAST, options, words
from tests.conftest import why_no_fuse
from tests.oracle.trees import Node, differences, snapshot
from tests.oracle.wims import KINDS, Kind, MadeWim, make_source, make_wim, wimlib
from wimtui.engine.archive import Archive, ArchiveOptions
from wimtui.engine.codecs.base import CodecId
from wimtui.engine.commit import edit
from wimtui.engine.commit.capture import CaptureOptions, capture
from wimtui.engine.commit.edit import ImageProperties
from wimtui.engine.commit.options import Compression
from wimtui.engine.commit.overlay import CommitPlan, commit_overlay
from wimtui.engine.container.flags import HeaderFlag
from wimtui.engine.errors import ReadOnlyWimError
from wimtui.engine.tree import ROOT_INO, AttributeChanges, RenameMode, XattrMode

if TYPE_CHECKING:
    from wimtui.engine.commit.options import WriteResult
    from wimtui.engine.staging.overlay import Overlay

pytestmark = [pytest.mark.oracle, pytest.mark.slow]

WRITABLE = [kind for kind in KINDS if not kind.split]


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_source(tmp_path_factory.mktemp("source") / "tree")


@dataclass(frozen=True)
class Original:
    """A WIM as wimlib-imagex made it, and what it extracts from it."""

    made: MadeWim
    applied: dict[str, Node]

    @classmethod
    def make(cls, kind: Kind, source: Path, folder: Path) -> Original:
        made = make_wim(kind, source, folder)
        wimlib("apply", made.path, "1", folder / "applied", *made.ref_options)
        applied, _ = snapshot(folder / "applied")
        shutil.rmtree(folder / "applied")
        return cls(made, applied)


@pytest.fixture(scope="session")
def originals() -> dict[str, Original]:
    """WIMs by kind, filled as they are asked for: making some takes seconds."""
    return {}


@pytest.fixture(params=WRITABLE, ids=lambda kind: kind.name)
def original(
    request: pytest.FixtureRequest,
    source: Path,
    originals: dict[str, Original],
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Original:
    kind: Kind = request.param
    if kind.streams and why_no_fuse():
        pytest.skip(why_no_fuse() or "")
    if kind.name not in originals:
        originals[kind.name] = Original.make(kind, source, tmp_path_factory.mktemp("original"))
    first = originals[kind.name]
    copy = Path(shutil.copy(first.made.path, tmp_path))
    return replace(first, made=replace(first.made, path=copy))


def change(overlay: Overlay) -> tuple[set[str], set[str]]:
    """Make the fixed set of changes; return paths added or modified, and paths gone."""
    windows = at(overlay, "/Windows")
    added = overlay.create_node(ROOT_INO, b"added.txt", FILE)
    write(overlay, added, words(50, 100_000))
    write(overlay, overlay.create_node(windows, b"added too", FILE), b"tiny")
    overlay.create_node(ROOT_INO, b"empty", FILE)
    made = overlay.make_directory(ROOT_INO, b"made", FOLDER)
    overlay.make_symlink(made, b"link", b"../Windows", LINK)
    overlay.make_symlink(made, b"link to file", b"../added.txt", LINK)
    overlay.link(added, made, b"hard link")
    overlay.set_xattr(added, b"user.stream", b"of a file that is new", XattrMode.ANY)
    overlay.set_xattr(at(overlay, "/edge-4096.txt"), b"user.extra", b"stream " * 9, XattrMode.ANY)
    write(overlay, at(overlay, "/mixed.bin"), words(51, 150_000))
    overlay.change(at(overlay, "/mixed.bin"), AttributeChanges(size=150_000))
    write(overlay, at(overlay, "/zeros.bin"), b"patched", 200_000)
    overlay.unlink(ROOT_INO, b"random.bin")
    overlay.unlink(at(overlay, "/links"), b"big-hard")
    overlay.rename(ROOT_INO, b"edge-4097.txt", made, b"renamed", RenameMode.REPLACE)
    overlay.rename(ROOT_INO, b"level0", made, b"levels", RenameMode.REPLACE)
    touched = {"/added.txt", "/empty", "/made", "/made/link", "/made/link to file"}
    touched |= {"/made/hard link", "/Windows/added too", "/mixed.bin", "/zeros.bin"}
    touched |= {"/edge-4096.txt", "/made/renamed"}
    # Their contents, or the number of their names.
    touched |= {"/", "/Windows", "/links", "/big.log", "/Windows/big-hard-2"}
    return touched, {"/random.bin", "/links/big-hard", "/edge-4097.txt"}


def moved(path: str) -> str:
    """Where a path that was there before is after the changes."""
    return "/made/levels" + path[7:] if path == "/level0" or path.startswith("/level0/") else path


def save(archive: Archive, overlay: Overlay, way: str, target: Path) -> WriteResult:
    given = options(
        rebuild=way == "rebuild",
        recompress=way == "recompress",
        save_as=str(target) if way == "save as" else None,
    )
    new_image = ImageProperties("saved") if way == "new image" else None
    frozen = overlay.freeze()
    try:
        return commit_overlay(archive, overlay, frozen, CommitPlan(given, new_image=new_image))
    finally:
        frozen.release()


@pytest.mark.parametrize("way", ["append", "rebuild", "new image", "save as"])
def test_every_kind_saved_in_every_way(
    original: Original, way: str, source: Path, tmp_path: Path
) -> None:
    made = original.made
    refs = made.ref_options
    before = detailed(made.path, 1, refs)
    untouched = made.path.read_bytes()
    target = tmp_path / "saved.wim" if way == "save as" else made.path
    with ExitStack() as stack:
        archive = stack.enter_context(Archive.open(made.path, ArchiveOptions(references=made.refs)))
        overlay = stack.enter_context(overlay_on(archive, tmp_path, unix_data=made.kind.unix_data))
        touched, gone = change(overlay)
        codec, flags = archive.wim.codec, archive.wim.header.flags
        solids = len(archive.wim.blob_table.solids)
        result = save(archive, overlay, way, target)
    assert result.is_written
    is_rebuilt = way in ("rebuild", "save as") or "pipable" in made.kind.name
    assert result.is_rebuilt == is_rebuilt
    assert any("pipable" in text for text in result.warnings) == ("pipable" in made.kind.name)
    check_wim(target, fresh=is_rebuilt, external=made.kind.delta)
    wimlib("verify", target, *refs)
    with Archive.open(target) as archive:
        assert archive.wim.codec is codec
        assert archive.wim.header.flags & HeaderFlag.RP_FIX == flags & HeaderFlag.RP_FIX
        assert bool(archive.wim.blob_table.solids) == bool(solids)
    index = 2 if way == "new image" else 1
    after = detailed(target, index, refs)
    assert set(after) == ({moved(path) for path in before} | touched) - gone
    for path in set(before) - touched - gone:
        assert after[moved(path)].replace(moved(path), path) == before[path]
    check_info(target, index, after)
    if way == "new image":
        assert detailed(made.path, 1, refs) == before
    if way == "save as":
        assert made.path.read_bytes() == untouched
    applied = tmp_path / "applied"
    wimlib("apply", target, str(index), applied, *refs)
    check_applied(applied, source)
    found, _ = snapshot(applied)
    changed = {path[1:] for path in touched | gone}
    rest = {name: node for name, node in found.items() if name not in changed}
    wanted = {
        moved("/" + name)[1:]: node
        for name, node in original.applied.items()
        if name not in changed
    }
    assert differences(rest, wanted) == []
    shutil.rmtree(applied)


def check_info(target: Path, index: int, listed: dict[str, str]) -> None:
    """Compare what wimlib-imagex says of the image with what it lists."""
    info = counters(wimlib("info", target, str(index)))
    folders = sum(text.count("DIRECTORY") > 0 and "REPARSE" not in text for text in listed.values())
    assert int(info["Directory Count"]) == folders
    assert int(info["File Count"]) == len(listed) - folders
    if index == 2:
        assert info["Name"] == "saved"


def check_applied(applied: Path, source: Path) -> None:
    """Compare what wimlib-imagex extracted of the changed files with what was asked for."""
    assert (applied / "added.txt").read_bytes() == words(50, 100_000)
    assert (applied / "made" / "hard link").samefile(applied / "added.txt")
    assert (applied / "made" / "link").resolve() == applied / "Windows"
    assert (applied / "empty").read_bytes() == b""
    assert (applied / "mixed.bin").read_bytes() == words(51, 150_000)
    zeros = bytearray((source / "zeros.bin").read_bytes())
    zeros[200_000:200_007] = b"patched"
    assert (applied / "zeros.bin").read_bytes() == zeros
    assert (applied / "Windows" / "big-hard-2").samefile(applied / "big.log")


@pytest.mark.parametrize("way", ["append", "rebuild", "recompress", "new image", "save as"])
@pytest.mark.parametrize("codec", list(CodecId), ids=lambda codec: codec.name)
def test_what_only_windows_knows_stays(codec: CodecId, way: str, tmp_path: Path) -> None:
    """Security descriptors, short names, object ids, attributes, EFS data, foreign links."""
    path = base(tmp_path / "a.wim", codec)
    before = detailed(path, 1, [])
    for wanted, text in (("/System/kept", "KEPT~1"), ("/System/kept", "Object ID")):
        assert text in before[wanted]
    descriptors = {text for block in before.values() for text in re.findall(r"Security.*", block)}
    assert len(descriptors) == 2
    target = tmp_path / "saved.wim" if way == "save as" else path
    with Archive.open(path) as archive, overlay_on(archive, tmp_path) as overlay:
        change_base(overlay)
        save(archive, overlay, way, target)
    check_wim(target)
    wimlib("verify", target)
    after = detailed(target, 2 if way == "new image" else 1, [])
    differ = {name for name in before if after.get(name) != before[name]}
    gone = {"/System/same", "/System/small", "/a-link.txt"}
    # Two of them have names that came or went.
    assert differ == gone | {"/", "/System", "/System/b.bin", "/System/a.txt"} | {
        "/System/kept",
        "/kept link",
    }
    assert gone.isdisjoint(after)
    for text in ("KEPT~1", "Object ID"):
        assert text in after["/System/kept"]


def test_links_to_directories_say_so(tmp_path: Path, source: Path) -> None:
    path = tmp_path / "a.wim"
    wimlib("capture", source, path, "--compress=none")
    with Archive.open(path) as archive:
        tree = TestTree.of_image(archive, 1)
        tree.add("/added.txt", b"of a file")
        tree.make_directory("/made")
        tree.symlink("/made/link", b"../Windows")
        tree.symlink("/made/link to file", b"../added.txt")
        tree.symlink("/through", b"made/link/System32")
        tree.symlink("/loop", b"loop")
        tree.symlink("/above", b"../../Windows")
        tree.symlink("/absolute", b"/Windows")
        edit.commit_image(archive, 1, tree, options())
    found = contents(path, 1)
    attributes = {name: fields[0] for name, fields in found.items()}
    assert attributes["/made/link"] == 0x410
    assert attributes["/through"] == 0x410
    assert attributes["/above"] == 0x410
    assert attributes["/made/link to file"] == 0x400
    assert attributes["/loop"] == 0x400
    assert attributes["/absolute"] == 0x400
    check_wim(path)
    wimlib("verify", path)


@pytest.mark.parametrize("codec", ["none", "XPRESS", "LZX", "LZMS"])
def test_rebuilt_with_another_codec(codec: str, source: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.wim"
    wimlib("capture", source, path, "--compress=XPRESS", "--check")
    before = detailed(path, 1, [])
    for wanted in CodecId:
        with Archive.open(path) as archive:
            given = options(compression=Compression(wanted, level=20))
            edit.optimize(archive, given)
        check_wim(path, fresh=True)
        wimlib("verify", path)
        with Archive.open(path, ArchiveOptions(check_integrity=True)) as archive:
            assert archive.wim.codec is wanted
            assert archive.wim.integrity_table() is not None
        assert detailed(path, 1, []) == before
    with Archive.open(path) as archive:
        named = {"none": CodecId.NONE}.get(codec) or CodecId[codec.upper()]
        edit.optimize(archive, options(compression=Compression(named, level=20)))
    check_wim(path, fresh=True)
    assert detailed(path, 1, []) == before


@pytest.mark.parametrize("codec", [CodecId.XPRESS, CodecId.LZX, CodecId.LZMS])
def test_packed_into_a_solid_resource(codec: CodecId, source: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.wim"
    wimlib("capture", source, path, "--compress=LZX")
    before = detailed(path, 1, [])
    solid = replace(FAST, solid_codec=codec, solid_chunk_size=1 << 15)
    with Archive.open(path) as archive:
        tree = TestTree.of_image(archive, 1)
        tree.add("/new", words(60, 200_000))
        edit.commit_image(archive, 1, tree, options(solid=True, compression=solid))
    check_wim(path, fresh=True)
    wimlib("verify", path)
    # What is appended stands on its own; a rebuild copies the solid resource.
    with Archive.open(path) as archive:
        tree = TestTree.of_image(archive, 1)
        tree.add("/newer", words(61, 100_000))
        edit.commit_image(archive, 1, tree, options())
    check_wim(path)
    with Archive.open(path) as archive:
        result = edit.optimize(archive, options())
        assert result.blobs_copied > 100
    check_wim(path, fresh=True)
    wimlib("verify", path)
    # With most of it unused it is packed anew.
    with Archive.open(path) as archive:
        tree = TestTree.of_image(archive, 1)
        tree.remove("/big.log")
        tree.remove("/links")
        tree.remove("/Windows/big-hard-2")
        tree.remove("/mixed.bin")
        result = edit.commit_image(archive, 1, tree, options(rebuild=True, compression=solid))
        assert result.new_size < result.old_size * 0.75
    check_wim(path, fresh=True)
    wimlib("verify", path)
    after = detailed(path, 1, [])
    kept = [name for name in after if name in before and not name.startswith("/links")]
    assert len(kept) > 150
    assert all(
        after[name] == before[name] for name in kept if name not in ("/", "/Windows", "/edge-0.txt")
    )


def test_parts_of_a_split_wim_are_refused(source: Path, tmp_path: Path) -> None:
    made = make_wim(next(kind for kind in KINDS if kind.split), source, tmp_path)
    with Archive.open(made.path, ArchiveOptions(references=made.refs)) as archive:
        tree = TestTree.of_image(archive, 1)
        tree.add("/x", b"x")
        with pytest.raises(ReadOnlyWimError, match="split"):
            edit.commit_image(archive, 1, tree, options())


def test_capture_equals_wimlib_capture(source: Path, tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours.wim", tmp_path / "theirs.wim"
    for extra, unix in (([], False), (["--unix-data"], True)):
        tree = capture(str(source), CaptureOptions(unix_data=unix))
        ours.unlink(missing_ok=True)
        given = options(compression=Compression(CodecId.LZX))
        rp_fix = bool(tree.fixed_links)
        edit.create(str(ours), tree, ImageProperties("x"), given, sets_rp_fix=rp_fix)
        wimlib("capture", source, theirs, "x", "--compress=LZX", *extra)
        check_wim(ours, fresh=True)
        assert _without_access(detailed(ours, 1, [])) == _without_access(detailed(theirs, 1, []))
        found = [counters(wimlib("info", wim, "1")) for wim in (ours, theirs)]
        assert found[0] == found[1]
        assert ours.stat().st_size <= theirs.stat().st_size * 1.01


def _without_access(found: dict[str, str]) -> dict[str, str]:
    return {name: re.sub("Last Access.*", "", text) for name, text in found.items()}
