"""wimlib-imagex reads what was written, and finds everything else as it was."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.commit.invariants import check_wim
from tests.commit.trees import TestTree, contents
from tests.commit.ways import FAST, options, words
from tests.conftest import why_no_fuse
from tests.oracle.trees import differences, snapshot
from tests.oracle.wims import KINDS, Kind, MadeWim, make_source, make_wim, wimlib
from wimtui.engine.archive import Archive, ArchiveOptions
from wimtui.engine.codecs.base import CodecId
from wimtui.engine.commit import edit
from wimtui.engine.commit.capture import CaptureOptions, capture
from wimtui.engine.commit.edit import ImageProperties
from wimtui.engine.commit.options import Compression
from wimtui.engine.container.flags import HeaderFlag
from wimtui.engine.errors import ReadOnlyWimError

if TYPE_CHECKING:
    from pathlib import Path

    from wimtui.engine.commit.options import WriteOptions, WriteResult

pytestmark = [pytest.mark.oracle, pytest.mark.slow]

WRITABLE = [kind for kind in KINDS if not kind.split]
MOVES = re.compile(r"^(Offset in WIM|Compressed size|Reference Count|Flags|Link Group ID) .*$")
SOLID_LINE = re.compile(r"^(Raw|Solid|.*[Ss]olid|Part Number).*$")


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_source(tmp_path_factory.mktemp("source") / "tree")


@pytest.fixture(params=WRITABLE, ids=lambda kind: kind.name)
def made(request: pytest.FixtureRequest, source: Path, tmp_path: Path) -> MadeWim:
    kind: Kind = request.param
    if kind.streams and why_no_fuse():
        pytest.skip(why_no_fuse() or "")
    return make_wim(kind, source, tmp_path)


def detailed(path: Path, image: int, refs: list[str]) -> dict[str, str]:
    """``dir --detailed`` by file, without what depends on the place in the WIM."""
    text = wimlib("dir", path, str(image), "--detailed", *refs)
    found = {}
    for block in text.split("-" * 76 + "\n"):
        lines = [
            line
            for line in block.splitlines()
            if not MOVES.match(line) and not SOLID_LINE.match(line)
        ]
        path_line = next((line for line in lines if line.startswith("Full Path")), None)
        if path_line is not None:
            found[path_line.partition('"')[2].rstrip('"')] = "\n".join(lines)
    return found


def change(tree: TestTree) -> tuple[set[str], set[str]]:
    """Make the fixed set of changes; return paths added or modified, and paths gone."""
    tree.add("/added.txt", words(50, 100_000))
    tree.add("/Windows/added too", b"tiny")
    tree.add("/empty", b"")
    tree.make_directory("/made")
    tree.symlink("/made/link", b"../Windows")
    tree.symlink("/made/link to file", b"../added.txt")
    tree.link("/added.txt", "/made/hard link")
    tree.set_stream("/added.txt", b"stream", b"of a file that is new")
    for node in tree.walk():
        if node.group_id == tree.find("/added.txt").group_id:
            node.named_streams = tree.find("/added.txt").named_streams
    touched = {"/added.txt", "/empty", "/made", "/made/link", "/made/link to file"}
    touched |= {"/made/hard link", "/Windows/added too"}
    gone: set[str] = set()
    if any(child.name == b"mixed.bin" for child in tree.root().children):
        tree.modify("/mixed.bin", words(51, 150_000))
        tree.remove("/random.bin")
        tree.rename("/edge-4097.txt", "/made/renamed")
        tree.set_stream("/edge-4096.txt", b"extra", b"stream " * 9)
        touched |= {"/mixed.bin", "/edge-4096.txt", "/made/renamed"}
        gone = {"/random.bin", "/edge-4097.txt"}
    return touched, gone


def save(archive: Archive, tree: TestTree, way: str, given: WriteOptions) -> WriteResult:
    if way == "new image":
        return edit.commit_new_image(archive, 1, tree, ImageProperties("saved"), given)
    return edit.commit_image(archive, 1, tree, replace(given, rebuild=way == "rebuild"))


@pytest.mark.parametrize("way", ["append", "rebuild", "new image"])
def test_every_kind_saved_in_every_way(
    made: MadeWim, way: str, source: Path, tmp_path: Path
) -> None:
    refs = made.ref_options
    before = detailed(made.path, 1, refs)
    header_flags = HeaderFlag.RP_FIX
    with Archive.open(made.path, ArchiveOptions(references=made.refs)) as archive:
        tree = TestTree.of_image(archive, 1)
        touched, gone = change(tree)
        codec, flags = archive.wim.codec, archive.wim.header.flags
        solids = len(archive.wim.blob_table.solids)
        result = save(archive, tree, way, options())
    assert result.is_written
    is_rebuilt = way == "rebuild" or "pipable" in made.kind.name
    assert result.is_rebuilt == is_rebuilt
    check_wim(made.path, fresh=is_rebuilt, external=made.kind.delta)
    wimlib("verify", made.path, *refs)
    with Archive.open(made.path) as archive:
        assert archive.wim.codec is codec
        assert archive.wim.header.flags & header_flags == flags & header_flags
        assert bool(archive.wim.blob_table.solids) == bool(solids)
    index = 2 if way == "new image" else 1
    after = detailed(made.path, index, refs)
    assert set(after) == (set(before) | touched) - gone
    for path in set(before) - touched - gone - {"/", "/Windows"}:
        assert after[path] == before[path]
    if way == "new image":
        assert detailed(made.path, 1, refs) == before
    check_applied(made, index, source, tmp_path)


def check_applied(made: MadeWim, index: int, source: Path, tmp_path: Path) -> None:
    """Compare what wimlib-imagex extracts with what was asked for."""
    applied = tmp_path / "applied"
    wimlib("apply", made.path, str(index), applied, *made.ref_options)
    assert (applied / "added.txt").read_bytes() == words(50, 100_000)
    assert (applied / "made" / "hard link").samefile(applied / "added.txt")
    assert (applied / "made" / "link").resolve() == applied / "Windows"
    assert (applied / "empty").read_bytes() == b""
    assert (applied / "mixed.bin").read_bytes() == words(51, 150_000)
    assert not (applied / "random.bin").exists()
    for name in ("big.log", "zeros.bin", "edge-0.txt", "Windows/System32/drivers/driver001.inf"):
        assert (applied / name).read_bytes() == (source / name).read_bytes()
    shutil.rmtree(applied)


def test_links_to_directories_say_so(tmp_path: Path, source: Path) -> None:
    path = tmp_path / "a.wim"
    wimlib("capture", source, path, "--compress=none")
    with Archive.open(path) as archive:
        tree = TestTree.of_image(archive, 1)
        change(tree)
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


def _update(path: Path, turn: int) -> None:
    script = f"add {path.parent}/in-{turn} /by-wimlib-{turn}\n"
    (path.parent / f"in-{turn}").write_bytes(words(700 + turn, 30_000))
    if turn > 4:
        script += f"delete /by-wimlib-{turn - 4}\n"
    subprocess.run(
        ["wimlib-imagex", "update", path, "1"],
        input=script, text=True, check=True, capture_output=True, timeout=120,
    )  # fmt: skip


def _mount(path: Path, turn: int) -> None:
    folder = path.parent / "mnt"
    folder.mkdir(exist_ok=True)
    wimlib("mountrw", path, "1", folder)
    try:
        (folder / f"by-wimlib-{turn}").write_bytes(words(700 + turn, 30_000))
        (folder / f"by-us-{turn - 1}").rename(folder / f"renamed-{turn - 1}")
        if turn > 4:
            (folder / f"by-wimlib-{turn - 4}").unlink()
    finally:
        wimlib("unmount", folder, "--commit")
    deadline = time.monotonic() + 20
    while _is_mounted(folder) or any(path.parent.glob("*.staging*")):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _is_mounted(folder: Path) -> bool:
    """Whether a mount is there; one that is just going away answers with an error."""
    try:
        return folder.is_mount()
    except OSError:
        return True


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        ("LZX-32768", "update"), ("XPRESS-32768", "update"), ("solid-small-chunks", "update"),
        pytest.param("LZX-32768", "mount", marks=pytest.mark.fuse),
    ],
)  # fmt: skip
def test_ten_turns_with_wimlib(kind: str, how: str, source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "wims"
    folder.mkdir()
    made = make_wim(next(each for each in KINDS if each.name == kind), source, folder)
    path = made.path
    wimlib("apply", path, "1", tmp_path / "before")
    wimlib("info", path, "1", "--boot", "--check")
    expected: dict[str, bytes] = {}
    for turn in range(0, 20, 2):
        with Archive.open(path) as archive:
            tree = TestTree.of_image(archive, 1)
            tree.add(f"/by-us-{turn}", words(turn, 40_000))
            if turn > 4:
                old = f"by-us-{turn - 4}" if how == "update" else f"renamed-{turn - 4}"
                tree.remove("/" + old)
                del expected[old]
            edit.commit_image(archive, 1, tree, options(rebuild=turn == 12))
        expected[f"by-us-{turn}"] = words(turn, 40_000)
        check_wim(path)
        wimlib("verify", path)
        (_update if how == "update" else _mount)(path, turn + 1)
        expected[f"by-wimlib-{turn + 1}"] = words(701 + turn, 30_000)
        if turn + 1 > 4:
            del expected[f"by-wimlib-{turn - 3}"]
        if how == "mount":
            expected[f"renamed-{turn}"] = expected.pop(f"by-us-{turn}")
    with Archive.open(path, ArchiveOptions(check_integrity=True)) as archive:
        assert archive.wim.header.boot_index == 1
        assert archive.wim.integrity_table() is not None
    applied = tmp_path / "applied"
    wimlib("apply", path, "1", applied, "--check")
    for name, data in expected.items():
        assert (applied / name).read_bytes() == data
    found, links = snapshot(applied)
    wanted, wanted_links = snapshot(tmp_path / "before")
    rest = {name: node for name, node in found.items() if name not in expected}
    assert differences(rest, wanted) == []
    assert links == wanted_links
    assert len(expected) > 3


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
        counters = [_counters(wimlib("info", wim, "1")) for wim in (ours, theirs)]
        assert counters[0] == counters[1]
        assert ours.stat().st_size <= theirs.stat().st_size * 1.01


def _without_access(found: dict[str, str]) -> dict[str, str]:
    return {name: re.sub("Last Access.*", "", text) for name, text in found.items()}


def _counters(info: str) -> dict[str, str]:
    found: dict[str, str] = defaultdict(str)
    for line in info.splitlines():
        key, _, value = line.partition(":")
        if key in ("Directory Count", "File Count", "Total Bytes", "Hard Link Bytes", "Name"):
            found[key] = value.strip()
    return found
