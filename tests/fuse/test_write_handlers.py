"""Handlers that change a tree, called without a mount."""

from __future__ import annotations

import errno
import os
import stat
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import trio
from pyfuse3 import EntryAttributes, FUSEError

from tests.fuse.fake_tree import FakeFile
from tests.fuse.fake_write_tree import FakeWriteTree, only, sample_write_tree
from wimtui.engine import errors
from wimtui.engine.fuse.threads import WorkerThreads
from wimtui.engine.fuse.write_operations import WriteOperations
from wimtui.engine.tree import ROOT_INO, Ino

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from wimtui.engine.progress import CancelToken

ROOT: Any = SimpleNamespace(pid=0, uid=0, gid=0, umask=0o022)
USER: Any = SimpleNamespace(pid=0, uid=1000, gid=100, umask=0o022)


@pytest.fixture
def threads() -> Iterator[WorkerThreads]:
    threads = WorkerThreads(1)
    yield threads
    threads.close()


@pytest.fixture
def tree() -> FakeWriteTree:
    return sample_write_tree()


@pytest.fixture
def operations(tree: FakeWriteTree, threads: WorkerThreads) -> WriteOperations:
    return WriteOperations(tree, threads, timeout_seconds=5.0)


async def refused(answer: Awaitable[object]) -> int:
    with pytest.raises(FUSEError) as caught:
        await answer
    return caught.value.errno


async def looked_up(operations: WriteOperations, name: bytes) -> Ino:
    return Ino((await operations.lookup(ROOT_INO, name, USER)).st_ino)


def setting(**fields: int) -> tuple[EntryAttributes, Any]:
    """Return what pyfuse3 gives setattr."""
    attributes = EntryAttributes()
    for name, value in fields.items():
        setattr(attributes, name, value)
    names = ("mode", "uid", "gid", "size", "atime", "mtime", "ctime")
    update = {
        f"update_{name}": f"st_{name}" in fields or f"st_{name}_ns" in fields for name in names
    }
    return attributes, SimpleNamespace(**update)


# Names


@pytest.mark.trio
async def test_what_is_made_is_known_and_belongs_to_its_maker(
    tree: FakeWriteTree, operations: WriteOperations
) -> None:
    made = await operations.mkdir(ROOT_INO, b"d", 0o750, USER)
    fifo = await operations.mknod(Ino(made.st_ino), b"f", stat.S_IFIFO | 0o600, 0, USER)
    link = await operations.symlink(Ino(made.st_ino), b"l", b"target", USER)
    device = await operations.mknod(Ino(made.st_ino), b"n", stat.S_IFCHR | 0o600, 259, USER)

    assert made.st_mode == stat.S_IFDIR | 0o750
    assert stat.S_ISFIFO(fifo.st_mode)
    assert (link.st_mode, link.st_size) == (stat.S_IFLNK | 0o777, 6)
    assert device.st_rdev == 259
    assert (made.entry_timeout, made.attr_timeout) == (5.0, 5.0)
    await operations.forget([(ino.st_ino, 1) for ino in (made, fifo, link, device)])
    assert set(tree.forgotten) == {ino.st_ino for ino in (made, fifo, link, device)}


@pytest.mark.trio
async def test_a_hard_link_is_one_more_reference(
    tree: FakeWriteTree, operations: WriteOperations
) -> None:
    ino = await looked_up(operations, b"hello")
    linked = await operations.link(ino, ROOT_INO, b"third", USER)

    assert (linked.st_ino, linked.st_nlink) == (ino, 3)
    await operations.forget([(ino, 1)])
    assert tree.forgotten == []
    await operations.forget([(ino, 1)])
    assert tree.forgotten == [ino]


@pytest.mark.trio
@pytest.mark.parametrize("flags", [3, 4, 8, 5])
async def test_unknown_rename_flags_are_invalid(operations: WriteOperations, flags: int) -> None:
    renamed = operations.rename(ROOT_INO, b"hello", ROOT_INO, b"new", flags, USER)

    assert await refused(renamed) == errno.EINVAL


@pytest.mark.trio
async def test_rename_replaces_keeps_or_exchanges(
    tree: FakeWriteTree, operations: WriteOperations
) -> None:
    hello, big = tree.root.children[b"hello"], tree.root.children[b"big"]

    assert (
        await refused(operations.rename(ROOT_INO, b"hello", ROOT_INO, b"big", 1, USER))
        == errno.EEXIST
    )
    await operations.rename(ROOT_INO, b"hello", ROOT_INO, b"big", 2, USER)
    assert (tree.root.children[b"hello"], tree.root.children[b"big"]) == (big, hello)
    await operations.rename(ROOT_INO, b"big", ROOT_INO, b"hello", 0, USER)
    assert tree.root.children[b"hello"] == hello
    assert b"big" not in tree.root.children


CHANGES: dict[str, Callable[[WriteOperations], Awaitable[object]]] = {
    "create": lambda ops: ops.create(ROOT_INO, b"new", 0o644, os.O_RDWR, USER),
    "mknod": lambda ops: ops.mknod(ROOT_INO, b"new", stat.S_IFIFO | 0o600, 0, USER),
    "mkdir": lambda ops: ops.mkdir(ROOT_INO, b"new", 0o755, USER),
    "symlink": lambda ops: ops.symlink(ROOT_INO, b"new", b"to", USER),
    "link": lambda ops: ops.link(2, ROOT_INO, b"new", USER),
    "unlink": lambda ops: ops.unlink(ROOT_INO, b"hello", USER),
    "rmdir": lambda ops: ops.rmdir(ROOT_INO, b"empty", USER),
    "rename": lambda ops: ops.rename(ROOT_INO, b"hello", ROOT_INO, b"new", 0, USER),
    "setattr": lambda ops: ops.setattr(2, *setting(st_mtime_ns=1), None, USER),
    "setxattr": lambda ops: ops.setxattr(2, b"user.new", b"v", USER),
    "removexattr": lambda ops: ops.removexattr(2, b"user.zone", USER),
    "truncate": lambda ops: ops.open(2, os.O_WRONLY | os.O_TRUNC, USER),
}


@pytest.mark.trio
@pytest.mark.parametrize("operation", CHANGES)
@pytest.mark.parametrize(
    ("error", "number"),
    [
        (errors.NameEncodingError("no UTF-8"), errno.EILSEQ),
        (errors.NotSupportedNodeError("cannot be stored"), errno.EOPNOTSUPP),
        (OSError(errno.ENOSPC, "full"), errno.ENOSPC),
        (ValueError("a bug"), errno.EIO),
    ],
    ids=repr,
)
async def test_a_change_that_fails_says_why_and_leaves_no_handle(
    tree: FakeWriteTree, operations: WriteOperations, operation: str, error: Exception, number: int
) -> None:
    tree.fail = error
    assert await refused(CHANGES[operation](operations)) == number
    assert len(operations.files) == 0

    tree.fail = None
    await CHANGES[operation](operations)


@pytest.mark.trio
async def test_names_with_aliases_are_looked_up_every_time(
    tree: FakeWriteTree, threads: WorkerThreads
) -> None:
    operations = WriteOperations(tree, threads, has_aliases=True)

    assert (await operations.lookup(ROOT_INO, b"hello", USER)).entry_timeout == 0
    assert await refused(operations.lookup(ROOT_INO, b"absent", USER)) == errno.ENOENT


# Inodes that lose their name


@pytest.mark.trio
async def test_an_unlinked_file_lives_until_it_is_closed_and_forgotten(
    tree: FakeWriteTree, operations: WriteOperations
) -> None:
    info, entry = await operations.create(ROOT_INO, b"new", 0o600, os.O_RDWR, USER)
    ino = Ino(entry.st_ino)
    await operations.unlink(ROOT_INO, b"new", USER)

    assert await operations.write(info.fh, 0, b"still") == 5
    assert await operations.read(info.fh, 0, 9) == b"still"
    assert (await operations.getattr(ino, USER)).st_nlink == 0
    await operations.forget([(ino, 1)])
    assert ino in tree.nodes
    await operations.release(info.fh)
    assert ino not in tree.nodes


@pytest.mark.trio
async def test_release_before_forget_keeps_the_inode(
    tree: FakeWriteTree, operations: WriteOperations
) -> None:
    info, entry = await operations.create(ROOT_INO, b"new", 0o600, os.O_RDWR, USER)
    await operations.unlink(ROOT_INO, b"new", USER)
    await operations.release(info.fh)
    assert entry.st_ino in tree.nodes
    await operations.forget([(entry.st_ino, 1)])
    assert entry.st_ino not in tree.nodes


@pytest.mark.trio
async def test_the_end_of_the_mount_lets_everything_go(
    tree: FakeWriteTree, operations: WriteOperations
) -> None:
    _, entry = await operations.create(ROOT_INO, b"new", 0o600, os.O_RDWR, USER)
    await operations.unlink(ROOT_INO, b"new", USER)
    operations.close()
    assert entry.st_ino not in tree.nodes


@pytest.mark.trio
async def test_forget_never_raises(tree: FakeWriteTree, operations: WriteOperations) -> None:
    ino = await looked_up(operations, b"hello")
    tree.fail = ZeroDivisionError("a bug in the tree")
    await operations.forget([(ino, 1)])
    assert operations.failures.bugs == 1


# Copies


@pytest.mark.trio
async def test_opening_for_writing_copies_nothing(
    tree: FakeWriteTree, operations: WriteOperations
) -> None:
    ino = await looked_up(operations, b"hello")
    handle = (await operations.open(ino, os.O_RDWR, USER)).fh

    assert await operations.read(handle, 0, 5) == b"hello"
    assert tree.copies == []
    await operations.write(handle, 0, b"J")
    assert tree.copies == [(ino, None)]
    await operations.write(handle, 1, b"E")
    assert tree.copies == [(ino, None)]
    assert await operations.read(handle, 0, 5) == b"JEllo"
    assert operations.copy_ups.nbytes == 13
    assert operations.activity.bytes_written == 2


@pytest.mark.trio
async def test_handles_opened_before_see_what_is_written(
    tree: FakeWriteTree, operations: WriteOperations
) -> None:
    ino = await looked_up(operations, b"hello")
    reader = (await operations.open(ino, os.O_RDONLY, USER)).fh
    late = (await operations.open(ino, os.O_RDWR, USER)).fh
    assert await operations.read(late, 0, 5) == b"hello"
    writer = (await operations.open(ino, os.O_WRONLY, USER)).fh
    await operations.write(writer, 0, b"J")

    assert await operations.read(reader, 0, 5) == b"Jello"
    assert await operations.read(late, 0, 5) == b"Jello"


@pytest.mark.trio
async def test_truncating_copies_no_more_than_stays(
    tree: FakeWriteTree, operations: WriteOperations
) -> None:
    ino = await looked_up(operations, b"big")
    await operations.open(ino, os.O_WRONLY | os.O_TRUNC, USER)
    assert tree.copies == []
    assert (await operations.getattr(ino, USER)).st_size == 0

    other = await looked_up(operations, b"hello")
    answer = await operations.setattr(other, *setting(st_size=4), None, USER)
    assert tree.copies == [(other, 4)]
    assert answer.st_size == 4


@pytest.mark.trio
async def test_a_file_is_copied_once_for_all_who_write(
    tree: FakeWriteTree, operations: WriteOperations
) -> None:
    ino = await looked_up(operations, b"hello")
    handles = [(await operations.open(ino, os.O_RDWR, USER)).fh for _ in range(5)]
    async with trio.open_nursery() as nursery:
        for number, handle in enumerate(handles):
            nursery.start_soon(operations.write, handle, 20 + number, b"%d" % number)

    assert tree.copies == [(ino, None)]
    assert bytes(tree.staged[ino].content[20:]) == b"01234"


@pytest.mark.trio
async def test_what_a_commit_reads_is_copied_before_it_is_written_to(
    tree: FakeWriteTree, operations: WriteOperations
) -> None:
    info, entry = await operations.create(ROOT_INO, b"new", 0o600, os.O_RDWR, USER)
    await operations.write(info.fh, 0, b"abc")
    tree.frozen.add(Ino(entry.st_ino))
    tree.nodes[Ino(entry.st_ino)].file = FakeFile(3, b"abc")

    assert await operations.write(info.fh, 3, b"def") == 3
    assert tree.copies == [(entry.st_ino, None)]
    assert await operations.read(info.fh, 0, 9) == b"abcdef"


@pytest.mark.trio
async def test_other_requests_go_on_during_copies(
    tree: FakeWriteTree, operations: WriteOperations
) -> None:
    hello, big = [await looked_up(operations, name) for name in (b"hello", b"big")]
    go, begun = threading.Event(), threading.Semaphore(0)

    def wait_for_go(_: CancelToken) -> None:
        begun.release()
        go.wait(30)

    tree.copy_hook = wait_for_go
    async with trio.open_nursery() as nursery:
        for ino in (hello, big):
            handle = (await operations.open(ino, os.O_RDWR, USER)).fh
            nursery.start_soon(operations.write, handle, 0, b"x")
        for _ in range(2):
            await trio.to_thread.run_sync(begun.acquire)
        slow = (await operations.open(tree.root.children[b"uncached"], os.O_RDONLY, USER)).fh
        assert len(await operations.read(slow, 0, 100)) == 100
        await operations.mkdir(ROOT_INO, b"meanwhile", 0o755, USER)
        assert len(operations.copy_ups) == 2
        go.set()
    assert len(operations.copy_ups) == 0


@pytest.mark.trio
async def test_a_copy_that_fails_answers_with_its_reason_and_can_be_tried_again(
    tree: FakeWriteTree, operations: WriteOperations
) -> None:
    ino = await looked_up(operations, b"hello")
    handle = (await operations.open(ino, os.O_RDWR, USER)).fh

    def fail(_: CancelToken) -> None:
        raise OSError(errno.ENOSPC, "full")

    tree.copy_hook = fail
    assert await refused(operations.write(handle, 0, b"J")) == errno.ENOSPC
    tree.copy_hook = lambda _: None
    assert await operations.write(handle, 0, b"J") == 1


@pytest.mark.trio
async def test_copies_are_cancelled_when_the_mount_ends(
    tree: FakeWriteTree, operations: WriteOperations
) -> None:
    ino = await looked_up(operations, b"hello")
    handle = (await operations.open(ino, os.O_RDWR, USER)).fh

    begun = threading.Event()

    def wait_for_cancel(token: CancelToken) -> None:
        begun.set()
        while True:
            token.check()

    tree.copy_hook = wait_for_cancel
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def _() -> None:
            assert await refused(operations.write(handle, 0, b"J")) == errno.EINTR

        await trio.to_thread.run_sync(begun.wait)
        operations.copy_ups.cancel_all()


# Attributes


@pytest.mark.trio
async def test_setattr_passes_on_what_is_set(
    tree: FakeWriteTree, operations: WriteOperations
) -> None:
    ino = await looked_up(operations, b"hello")
    await operations.setattr(ino, *setting(st_mode=stat.S_IFREG | 0o600), None, USER)
    await operations.setattr(ino, *setting(st_uid=5, st_gid=6), None, USER)
    answer = await operations.setattr(ino, *setting(st_atime_ns=150, st_mtime_ns=-1), None, USER)
    await operations.setattr(ino, *setting(st_ctime_ns=7), None, USER)

    assert [changes for _, changes in tree.changes] == [
        only(mode=stat.S_IFREG | 0o600),
        only(uid=5, gid=6),
        only(atime_ns=150, mtime_ns=-1),
    ]
    assert (answer.st_atime_ns, answer.st_mtime_ns) == (100, -100)


@pytest.mark.trio
@pytest.mark.parametrize(
    ("mode", "context", "left"),
    [
        (0o4755, USER, 0o755),
        (0o2755, USER, 0o755),
        (0o2745, USER, 0o2745),
        (0o6755, ROOT, 0o6755),
    ],
)
async def test_opening_with_truncation_clears_setuid(
    tree: FakeWriteTree, operations: WriteOperations, mode: int, context: Any, left: int
) -> None:
    ino = await looked_up(operations, b"hello")
    tree.nodes[ino].mode = stat.S_IFREG | mode
    await operations.open(ino, os.O_WRONLY | os.O_TRUNC, context)

    assert stat.S_IMODE(tree.nodes[ino].mode) == left


@pytest.mark.trio
async def test_a_handle_for_reading_cannot_write(
    tree: FakeWriteTree, operations: WriteOperations
) -> None:
    handle = (await operations.open(2, os.O_RDONLY, USER)).fh

    assert await refused(operations.write(handle, 0, b"x")) == errno.EBADF
    assert await refused(operations.write(999, 0, b"x")) == errno.EBADF


@pytest.mark.trio
async def test_fsync_reaches_the_tree(tree: FakeWriteTree, operations: WriteOperations) -> None:
    handle = (await operations.open(2, os.O_RDONLY, USER)).fh
    directory = await operations.opendir(ROOT_INO, USER)
    await operations.fsync(handle, datasync=True)
    await operations.fsyncdir(directory, datasync=False)

    assert tree.syncs == [(2, True), (ROOT_INO, False)]
    assert await refused(operations.fsync(999, datasync=False)) == errno.EBADF


@pytest.mark.trio
async def test_security_capability_costs_no_look_at_the_tree(
    tree: FakeWriteTree, operations: WriteOperations
) -> None:
    tree.fail = AssertionError("the tree was asked")

    assert await refused(operations.getxattr(2, b"security.capability", USER)) == errno.ENODATA
