"""A commit that is killed, that fails, or that loses its power costs nothing."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import shutil
import signal
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.commit.faulty_disk import CountedDisk, FailingDisk, KillingDisk, RecordingDisk
from tests.commit.invariants import check_wim
from tests.commit.trees import Contents, TestTree, all_contents
from tests.commit.ways import WAYS, Way, make_wim, options, saved
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

SWEEP = bool(os.environ.get("WIMTUI_FAULT_SWEEP"))
"""WIMTUI_FAULT_SWEEP=1 in the environment: writes in smaller pieces, several times the points."""


@dataclass
class Case:
    """A WIM before and after one way of changing it."""

    way: Way
    before: Path
    old: tuple[list[Contents], Names]
    new: tuple[list[Contents], Names]
    calls: int
    """File-changing system calls of the way."""
    saves_as: bool
    """The result is another file, and the WIM itself must not change at all."""
    verified: set[bytes] = field(default_factory=set)
    """SHA-1 of the files that wimlib-imagex has verified."""

    def result(self, path: Path) -> Path:
        """Where the way puts what it makes of ``path``."""
        return saved(path) if self.saves_as else path


def state(path: Path) -> tuple[list[Contents], Names]:
    """All that matters of a file; every blob is decoded and hashed."""
    with Archive.open(path) as archive:
        names = [image.name for image in archive.wim.xml.images]
    return all_contents(path), names


def run(way: Way, path: Path, disk: CountedDisk | None = None) -> None:
    with Archive.open(path) as archive:
        way(archive, options(disk))


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is such a file system: nothing here needs a slow fsync."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(
        prefix="wimtui-test-", dir=memory if os.access(memory, os.W_OK) else tmp_path
    ) as name:
        yield Path(name)


@pytest.fixture(params=WAYS)
def case(request: pytest.FixtureRequest, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    # Small buffers make many writes, and so many points to fail at.
    monkeypatch.setattr(output, "BUFFER_NBYTES", 1_500 if SWEEP else 6_000)
    monkeypatch.setattr(output, "COPY_NBYTES", 8_000 if SWEEP else 32_000)
    name: str = request.param
    way = WAYS[name]
    before = make_wim(folder / "before.wim")
    after = Path(shutil.copy(before, folder / "after.wim"))
    disk = CountedDisk()
    run(way, after, disk)
    saves_as = name.startswith("save as")
    result = saved(after) if saves_as else after
    check_wim(result, fresh=saves_as or "rebuild" in name or name == "delete")
    new = state(result)
    if saves_as:
        assert after.read_bytes() == before.read_bytes()
        result.unlink()
    return Case(way, before, state(before), new, disk.calls, saves_as)


def check_old_or_new(case: Case, path: Path) -> bool:
    """The files are whole, and hold the old or the new images; return whether the new ones."""
    result = case.result(path)
    if case.saves_as:
        assert path.read_bytes() == case.before.read_bytes()
        if not result.exists():
            return False
    found = state(result)
    assert found == case.new or (found == case.old and not case.saves_as)
    digest = hashlib.sha1(result.read_bytes()).digest()
    if WIMLIB is not None and digest not in case.verified:
        wimlib("verify", result)
        case.verified.add(digest)
    return found == case.new


def check_second_try(case: Case, path: Path, *, done: bool) -> None:
    """Saving again succeeds and leaves nothing behind."""
    result = case.result(path)
    if not done:
        run(case.way, path)
    elif case.saves_as:
        # Whoever writes the new file next removes the second name that a kill may have left it.
        with Archive.open(result) as archive:
            edit.optimize(archive, options())
    assert state(result) == case.new
    check_wim(result)
    assert not list(path.parent.glob("*wimtui-tmp"))


@pytest.mark.slow
@pytest.mark.parametrize("halfway", [False, True], ids=["before", "halfway"])
def test_killed_at_every_call(case: Case, folder: Path, halfway: bool) -> None:
    for at in range(1, case.calls + 1):
        trial = folder / f"kill-{at}"
        trial.mkdir()
        path = Path(shutil.copy(case.before, trial / "x.wim"))
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
        shutil.rmtree(trial)
    print(f"killed at {case.calls} points")


@pytest.mark.slow
@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC], ids=["EIO", "ENOSPC"])
@pytest.mark.parametrize("for_good", [False, True], ids=["once", "for good"])
def test_every_call_fails(case: Case, folder: Path, error: int, for_good: bool) -> None:
    original = case.before.read_bytes()
    failed = 0
    warned: set[str] = set()
    for at in range(1, case.calls + 1):
        trial = folder / f"fail-{at}"
        trial.mkdir()
        path = Path(shutil.copy(case.before, trial / "x.wim"))
        disk = FailingDisk(at, error, for_good=for_good)
        with Archive.open(path) as archive:
            raised = _refused(case.way, archive, disk)
            if raised is not None:
                failed += 1
                done = check_old_or_new(case, path)
                assert not done or isinstance(raised, UncertainWriteError)
                if not for_good:
                    assert path.read_bytes() == original, f"after a failed {disk.failed}"
                    assert not case.result(path).exists() or not case.saves_as
                if not done:
                    # The same open archive may be tried again.
                    case.way(archive, options())
            else:
                warned.add(disk.failed)
                assert check_old_or_new(case, path)
        check_second_try(case, path, done=True)
        shutil.rmtree(trial)
    assert warned <= {"fsync_directory", "unlink"}, "only these are mere warnings"
    assert failed >= case.calls - len(warned)
    print(f"{error}: failed at {case.calls} points")


def _refused(way: Way, archive: Archive, disk: FailingDisk) -> WriteFailedError | None:
    """What the way raised; if nothing, it must have warned."""
    try:
        result = way(archive, options(disk))
    except WriteFailedError as error:
        return error
    assert result.warnings
    return None


@pytest.mark.slow
def test_power_cut(case: Case, folder: Path) -> None:
    """Every prefix of the writes, with those not synced lost, torn or in any order."""
    path = Path(shutil.copy(case.before, folder / "recorded.wim"))
    original = path.read_bytes()
    disk = RecordingDisk()
    run(case.way, path, disk)
    if case.saves_as:
        assert str(path) not in disk.paths
        assert path.read_bytes() == original
    seen: set[bytes] = set()
    cut = folder / "cut" / "recorded.wim"
    cut.parent.mkdir()
    for found in _states_after_power_cut(None if case.saves_as else original, disk.log):
        digest = hashlib.sha1(found or b"").digest()
        if digest in seen:
            continue
        seen.add(digest)
        cut.write_bytes(original)
        case.result(cut).unlink(missing_ok=True)
        if found is not None:
            case.result(cut).write_bytes(found)
        if len(seen) % 4:
            # wimlib-imagex looks at a quarter of them, this program at all.
            case.verified.add(digest)
        if not check_old_or_new(case, cut) and len(seen) % 5 == 0:
            run(case.way, cut)
            assert state(case.result(cut)) == case.new
    print(f"{len(disk.log)} operations, {len(seen)} different files after a power cut")


def _states_after_power_cut(original: bytes | None, log: list[Operation]) -> Iterator[bytes | None]:
    """Yield what may be found under the result's name after a cut anywhere in the log.

    None stands for no file, as before where there is no ``original``.
    """
    rng = random.Random(1)
    named = next(
        (n for n, operation in enumerate(log) if operation.name in ("rename", "link")), None
    )
    for length in range(len(log) + 1):
        done = log[:length]
        if named is None:
            yield from _contents_after(original or b"", done, rng)
            continue
        durable = any(operation.name == "fsync_directory" for operation in done)
        if not durable:
            yield original
        if length > named:
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

        def shown_path(self) -> str:
            return ""

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
