"""A commit that is killed, that fails, or that loses its power costs nothing."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import shutil
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.commit.faulty_disk import CountedDisk, FailingDisk, KillingDisk, RecordingDisk
from tests.commit.invariants import check_wim
from tests.commit.trees import Contents, TestTree, all_contents
from tests.commit.ways import WAYS, Way, make_wim, options
from tests.oracle.wims import WIMLIB, wimlib
from wimtui.engine.archive import Archive
from wimtui.engine.commit import edit, output
from wimtui.engine.commit.errors import UncertainWriteError
from wimtui.engine.errors import CancelledError, WimError, WriteFailedError
from wimtui.engine.progress import CancelToken, Phase, Progress

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.commit.faulty_disk import Operation

Names = list[str]


@dataclass
class Case:
    """A WIM before and after one way of changing it."""

    way: Way
    before: Path
    old: tuple[list[Contents], Names]
    new: tuple[list[Contents], Names]
    calls: int
    """File-changing system calls of the way."""
    verified: set[bytes] = field(default_factory=set)
    """SHA-1 of the files that wimlib-imagex has verified."""


def state(path: Path) -> tuple[list[Contents], Names]:
    """All that matters of a file; every blob is decoded and hashed."""
    with Archive.open(path) as archive:
        names = [image.name for image in archive.wim.xml.images]
    return all_contents(path), names


def run(way: Way, path: Path, disk: CountedDisk | None = None) -> None:
    with Archive.open(path) as archive:
        way(archive, options(disk))


@pytest.fixture(params=WAYS)
def case(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    # Small buffers make many writes, and so many points to fail at.
    monkeypatch.setattr(output, "BUFFER_NBYTES", 6_000)
    way = WAYS[request.param]
    before = make_wim(tmp_path / "before.wim")
    after = Path(shutil.copy(before, tmp_path / "after.wim"))
    disk = CountedDisk()
    run(way, after, disk)
    check_wim(after, fresh="rebuild" in request.param or request.param == "delete")
    return Case(way, before, state(before), state(after), disk.calls)


def check_old_or_new(case: Case, path: Path) -> bool:
    """The file is whole, and holds the old or the new images; return whether the new ones."""
    found = state(path)
    assert found in (case.old, case.new)
    digest = hashlib.sha1(path.read_bytes()).digest()
    if WIMLIB is not None and digest not in case.verified:
        wimlib("verify", path)
        case.verified.add(digest)
    return found == case.new


def check_second_try(case: Case, path: Path, *, done: bool) -> None:
    """Saving again succeeds and leaves nothing behind."""
    if not done:
        run(case.way, path)
    assert state(path) == case.new
    check_wim(path)
    assert not list(path.parent.glob("*wimtui-tmp"))


@pytest.mark.slow
@pytest.mark.parametrize("halfway", [False, True], ids=["before", "halfway"])
def test_killed_at_every_call(case: Case, tmp_path: Path, halfway: bool) -> None:
    for at in range(1, case.calls + 1):
        folder = tmp_path / f"kill-{at}"
        folder.mkdir()
        path = Path(shutil.copy(case.before, folder / "x.wim"))
        child = os.fork()
        if child == 0:
            try:
                run(case.way, path, KillingDisk(at, halfway=halfway))
            finally:
                os._exit(0)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status)
        assert os.WTERMSIG(status) == signal.SIGKILL
        check_second_try(case, path, done=check_old_or_new(case, path))
        shutil.rmtree(folder)
    print(f"killed at {case.calls} points")


@pytest.mark.slow
@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC], ids=["EIO", "ENOSPC"])
@pytest.mark.parametrize("for_good", [False, True], ids=["once", "for good"])
def test_every_call_fails(case: Case, tmp_path: Path, error: int, for_good: bool) -> None:
    original = case.before.read_bytes()
    failed = 0
    for at in range(1, case.calls + 1):
        folder = tmp_path / f"fail-{at}"
        folder.mkdir()
        path = Path(shutil.copy(case.before, folder / "x.wim"))
        disk = FailingDisk(at, error, for_good=for_good)
        with Archive.open(path) as archive:
            raised = _refused(case.way, archive, disk)
            if raised is not None:
                failed += 1
                done = check_old_or_new(case, path)
                assert not done or isinstance(raised, UncertainWriteError)
                if not for_good:
                    assert path.read_bytes() == original, f"after a failed {disk.failed}"
                if not done:
                    # The same open archive may be tried again.
                    case.way(archive, options())
            else:
                assert disk.failed == "fsync_directory", "only that is a mere warning"
        check_second_try(case, path, done=True)
        shutil.rmtree(folder)
    assert failed >= case.calls - 1
    print(f"failed at {case.calls} points")


def _refused(way: Way, archive: Archive, disk: FailingDisk) -> WriteFailedError | None:
    """What the way raised; if nothing, it must have warned."""
    try:
        result = way(archive, options(disk))
    except WriteFailedError as error:
        return error
    assert result.warnings
    return None


@pytest.mark.slow
def test_power_cut(case: Case, tmp_path: Path) -> None:
    """Every prefix of the writes, with those not synced lost, torn or in any order."""
    path = Path(shutil.copy(case.before, tmp_path / "recorded.wim"))
    original = path.read_bytes()
    disk = RecordingDisk()
    run(case.way, path, disk)
    seen: set[bytes] = set()
    for contents in _states_after_power_cut(original, disk.log):
        digest = hashlib.sha1(contents).digest()
        if digest in seen:
            continue
        seen.add(digest)
        cut = tmp_path / "cut.wim"
        cut.write_bytes(contents)
        if len(seen) % 4:
            # wimlib-imagex looks at a quarter of them, this program at all.
            case.verified.add(digest)
        if not check_old_or_new(case, cut) and len(seen) % 5 == 0:
            run(case.way, cut)
            assert state(cut) == case.new
    print(f"{len(disk.log)} operations, {len(seen)} different files after a power cut")


def _states_after_power_cut(original: bytes, log: list[Operation]) -> Iterator[bytes]:
    """Yield what may be found under the WIM's name after a cut anywhere in the log."""
    rng = random.Random(1)
    renamed = next((n for n, operation in enumerate(log) if operation.name == "rename"), None)
    for length in range(len(log) + 1):
        done = log[:length]
        if renamed is None:
            yield from _contents_after(original, done, rng)
            continue
        durable = any(operation.name == "fsync_directory" for operation in done)
        if not durable:
            yield original
        if length > renamed:
            # The name may be there before anything that was not synced.
            yield from _contents_after(b"", done, rng)


def _contents_after(original: bytes, done: list[Operation], rng: random.Random) -> Iterator[bytes]:
    last_sync = max((n for n, each in enumerate(done) if each.name == "fsync"), default=-1)
    synced = [each for each in done[: last_sync + 1] if each.name in ("pwrite", "ftruncate")]
    loose = [each for each in done[last_sync + 1 :] if each.name in ("pwrite", "ftruncate")]
    base = _apply(original, synced)
    orders = [loose, [], loose[::-1]]
    orders += [[*loose[:n], *loose[n + 1 :]] for n in range(len(loose))]
    orders += [[each] for each in loose]
    for _ in range(4):
        orders.append(rng.sample(loose, rng.randint(0, len(loose))))
    for order in orders:
        yield _apply(base, order)
        if order and order[-1].name == "pwrite" and len(order[-1].data) > 512:
            last = order[-1]
            sectors = rng.randrange(len(last.data) // 512 + 1) * 512
            torn = type(last)("pwrite", last.file, last.offset, last.data[:sectors])
            yield _apply(base, [*order[:-1], torn])


def _apply(content: bytes, operations: list[Operation]) -> bytes:
    data = bytearray(content)
    for each in operations:
        if each.name == "ftruncate":
            del data[each.offset :]
            data += bytes(each.offset - len(data))
        else:
            end = each.offset + len(each.data)
            data += bytes(max(0, end - len(data)))
            data[each.offset : end] = each.data
    return bytes(data)


def test_a_cancelled_write_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = make_wim(tmp_path / "a.wim")
    original = path.read_bytes()
    for way in WAYS.values():
        for phase in (Phase.HASH, Phase.METADATA, Phase.WRITE, Phase.SYNC, Phase.VERIFY):
            token = CancelToken()

            def listen(
                progress: Progress, phase: Phase = phase, token: CancelToken = token
            ) -> None:
                if progress.phase is phase:
                    token.cancel()

            with Archive.open(path) as archive:
                try:
                    way(archive, options(progress=listen, cancel=token))
                except CancelledError:
                    assert path.read_bytes() == original
                else:
                    # Too late to stop: everything was written.
                    path.write_bytes(original)
            assert [name.name for name in tmp_path.iterdir()] == ["a.wim"]


def test_errors_of_the_engine_leave_the_file_as_it_was(tmp_path: Path) -> None:
    """A source that cannot be read in the middle of the write."""
    path = make_wim(tmp_path / "a.wim")
    original = path.read_bytes()

    class Vanishing:
        size = 100_000
        opened = 0

        def open(self) -> Vanishing:
            self.opened += 1
            return self

        def read(self, offset: int, size: int) -> bytes:
            if self.opened > 1 and offset:
                return b""
            return bytes(min(size, 65_536))

        read_nowait = read

        def close(self) -> None:
            pass

    for way in ("append", "rebuild"):
        with Archive.open(path) as archive:
            tree = TestTree.of_image(archive, 1)
            tree.add("/gone", Vanishing())
            with pytest.raises(WimError, match="changed while it was being saved"):
                edit.commit_image(archive, 1, tree, options(rebuild=way == "rebuild"))
        assert path.read_bytes() == original
