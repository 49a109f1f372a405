"""Handlers called without a mount."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

import pyfuse3
import pytest
import trio
from pyfuse3 import EntryAttributes, FUSEError, SetattrFields

from tests.fuse.fake_tree import FakeFile, FakeTree, sample_tree
from wimtui.engine import errors
from wimtui.engine.fuse import read_operations
from wimtui.engine.fuse.lookup_counts import LookupCounts
from wimtui.engine.fuse.operations import WimOperations
from wimtui.engine.fuse.threads import WorkerThreads
from wimtui.engine.tree import ROOT_INO

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

CTX: Any = None
"""No handler looks at the request's context."""


@pytest.fixture
def threads() -> Iterator[WorkerThreads]:
    threads = WorkerThreads(1)
    yield threads
    threads.close()


@pytest.fixture
def tree() -> FakeTree:
    return sample_tree(big_size=1 << 20, flat_files=10)


@pytest.fixture
def operations(tree: FakeTree, threads: WorkerThreads) -> WimOperations:
    return WimOperations(tree, threads, timeout_seconds=5.0)


async def refused(answer: Awaitable[object]) -> int:
    """Return the number that a handler raised."""
    with pytest.raises(FUSEError) as caught:
        await answer
    return caught.value.errno


class Listing:
    """Stands for the kernel's buffer: takes so many entries a request."""

    def __init__(self, room: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.room = room
        self.taken: list[tuple[bytes, int, int]] = []
        self._left = room
        monkeypatch.setattr(read_operations, "readdir_reply", self.reply)

    def reply(self, _: object, name: bytes, entry: EntryAttributes, next_id: int) -> bool:
        if self._left == 0:
            return False
        self._left -= 1
        self.taken.append((name, entry.st_ino, next_id))
        return True

    async def walk(self, operations: WimOperations, handle: int) -> None:
        token: Any = None
        start = 0
        while True:
            self._left, before = self.room, len(self.taken)
            await operations.readdir(handle, start, token)
            if len(self.taken) == before:
                return
            start = self.taken[-1][2]


READS: dict[str, Callable[[WimOperations], Awaitable[object]]] = {
    "lookup": lambda ops: ops.lookup(ROOT_INO, b"hello", CTX),
    "getattr": lambda ops: ops.getattr(ROOT_INO, CTX),
    "readlink": lambda ops: ops.readlink(4, CTX),
    "open": lambda ops: ops.open(2, os.O_RDONLY, CTX),
    "getxattr": lambda ops: ops.getxattr(2, b"user.zone", CTX),
    "listxattr": lambda ops: ops.listxattr(2, CTX),
    "statfs": lambda ops: ops.statfs(CTX),
}


@pytest.mark.trio
@pytest.mark.parametrize("operation", READS)
@pytest.mark.parametrize(
    ("error", "number"),
    [
        (errors.StaleNodeError("gone"), errno.ESTALE),
        (errors.StreamsDisabledError("off"), errno.EOPNOTSUPP),
        (errors.CorruptResourceError("bad"), errno.EIO),
        (OSError(errno.ENOENT, "the archive is gone"), errno.EIO),
        (KeyError("a bug"), errno.EIO),
        (MemoryError(), errno.EIO),
    ],
    ids=repr,
)
async def test_whatever_the_tree_raises_becomes_a_number(
    tree: FakeTree, operations: WimOperations, operation: str, error: Exception, number: int
) -> None:
    await READS[operation](operations)
    tree.fail = error

    assert await refused(READS[operation](operations)) == number

    tree.fail = None
    await READS[operation](operations)
    assert operations.activity.requests[operation] == 3


def test_every_request_that_pyfuse3_knows_is_answered() -> None:
    handlers = {name for name in vars(pyfuse3.Operations) if not name.startswith("_")}
    inherited = {
        name
        for name in handlers
        if getattr(WimOperations, name) is getattr(pyfuse3.Operations, name)
    }

    # poll: the kernel then treats files as always ready. stacktrace: no request.
    assert inherited <= {"poll", "stacktrace", "enable_acl", "enable_writeback_cache"}


@pytest.mark.trio
async def test_metadata_is_answered_without_a_checkpoint(
    operations: WimOperations, tree: FakeTree
) -> None:
    handlers = [READS[name] for name in ("lookup", "getattr", "open", "listxattr", "statfs")]
    ran = trio.Event()
    async with trio.open_nursery() as nursery:

        async def other() -> None:
            ran.set()

        nursery.start_soon(other)
        for handler in handlers:
            await handler(operations)
        file = await operations.open(tree.root.children[b"big"], os.O_RDONLY, CTX)
        assert len(await operations.read(file.fh, 0, 4096)) == 4096
        assert not ran.is_set()


@pytest.mark.trio
async def test_lookup_finds_and_remembers_absence(operations: WimOperations) -> None:
    found = await operations.lookup(ROOT_INO, b"hello", CTX)
    absent = await operations.lookup(ROOT_INO, b"\xff\xfe", CTX)

    assert (found.st_ino, found.st_nlink, found.attr_timeout) == (2, 2, 5.0)
    assert (absent.st_ino, absent.entry_timeout) == (0, 5.0)
    assert await refused(operations.lookup(found.st_ino, b"x", CTX)) == errno.ENOTDIR


@pytest.mark.trio
@pytest.mark.parametrize("room", [1, 2, 3, 7, 100])
async def test_readdir_gives_every_entry_once_whatever_the_buffer(
    operations: WimOperations, tree: FakeTree, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing = Listing(room, monkeypatch)
    flat = tree.root.children[b"flat"]
    handle = await operations.opendir(flat, CTX)
    await listing.walk(operations, handle)

    names = [name for name, _, _ in listing.taken]
    assert names == [b".", b"..", *tree.nodes[flat].children]
    assert [ino for _, ino, _ in listing.taken[:2]] == [flat, ROOT_INO]
    await operations.releasedir(handle)
    assert len(operations.directories) == 0


@pytest.mark.trio
async def test_a_listing_under_way_is_not_disturbed_and_a_rewound_one_is_fresh(
    operations: WimOperations, tree: FakeTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    token: Any = None
    listing = Listing(4, monkeypatch)
    flat = tree.nodes[tree.root.children[b"flat"]]
    before = list(flat.children)
    handle = await operations.opendir(flat.ino, CTX)
    await operations.readdir(handle, 0, token)
    del flat.children[before[0]]
    listing.room = 100
    listing._left = 100
    await operations.readdir(handle, 4, token)
    assert [name for name, _, _ in listing.taken[2:]] == before

    listing.taken.clear()
    await listing.walk(operations, handle)
    assert [name for name, _, _ in listing.taken[2:]] == before[1:]


@pytest.mark.trio
async def test_an_unreadable_directory_fails_in_readdir(
    operations: WimOperations, tree: FakeTree
) -> None:
    token: Any = None
    handle = await operations.opendir(ROOT_INO, CTX)
    tree.fail = errors.MetadataError("bad")

    assert await refused(operations.readdir(handle, 0, token)) == errno.EIO
    assert await refused(operations.readdir(999, 0, token)) == errno.EBADF


@pytest.mark.trio
async def test_references_are_counted_where_asked_for(
    tree: FakeTree, threads: WorkerThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = LookupCounts()
    operations = WimOperations(tree, threads, lookup_counts=counts)
    flat = tree.root.children[b"flat"]
    await operations.lookup(ROOT_INO, b"flat", CTX)
    await operations.lookup(ROOT_INO, b"absent", CTX)
    listing = Listing(5, monkeypatch)
    handle = await operations.opendir(flat, CTX)
    await listing.walk(operations, handle)

    assert counts.known() == [flat, *tree.nodes[flat].children.values()]
    await operations.forget([(ino, 1) for ino in counts.known()])
    assert counts.known() == []


@pytest.mark.trio
async def test_reads_come_from_memory_or_from_a_thread(
    operations: WimOperations, tree: FakeTree
) -> None:
    slow = tree.add_file(tree.root, b"slow", FakeFile(1000, cached=False))
    fast = tree.nodes[tree.root.children[b"hello"]]
    for node in (slow, fast):
        handle = (await operations.open(node.ino, os.O_RDONLY, CTX)).fh
        assert await operations.read(handle, 5, 1 << 20) == node.file._bytes(5, 1 << 20)  # type: ignore[union-attr]
        assert await operations.read(handle, node.size, 10) == b""
        assert operations.files.open_inodes() == {node.ino: 1}
        await operations.release(handle)

    activity = operations.activity
    assert (activity.reads, activity.inline_reads) == (4, 2)
    assert activity.bytes_read == 995 + 8
    assert slow.file is not None
    assert slow.file.closed == 1
    assert operations.files.open_inodes() == {}
    assert await refused(operations.read(999, 0, 1)) == errno.EBADF


@pytest.mark.trio
async def test_a_corrupt_range_fails_and_the_rest_reads(
    operations: WimOperations, tree: FakeTree, caplog: pytest.LogCaptureFixture
) -> None:
    handle = (await operations.open(tree.root.children[b"corrupt"], os.O_RDONLY, CTX)).fh

    for _ in range(3):
        assert await refused(operations.read(handle, 600 << 10, 4096)) == errno.EIO
    assert len(await operations.read(handle, 0, 4096)) == 4096
    (record,) = caplog.records
    assert "blob 0123abcd" in record.getMessage()


@pytest.mark.trio
@pytest.mark.parametrize(
    "flags", [os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_TRUNC, os.O_RDONLY | os.O_TRUNC]
)
async def test_opening_for_writing_is_refused(operations: WimOperations, flags: int) -> None:
    assert await refused(operations.open(2, flags, CTX)) == errno.EROFS


@pytest.mark.trio
async def test_every_request_that_changes_is_refused(operations: WimOperations) -> None:
    fields = SetattrFields()
    answers = {
        "setattr": operations.setattr(2, EntryAttributes(), fields, None, CTX),
        "mknod": operations.mknod(1, b"n", 0o100644, 0, CTX),
        "mkdir": operations.mkdir(1, b"n", 0o755, CTX),
        "unlink": operations.unlink(1, b"hello", CTX),
        "rmdir": operations.rmdir(1, b"empty", CTX),
        "symlink": operations.symlink(1, b"n", b"t", CTX),
        "rename": operations.rename(1, b"hello", 1, b"n", 0, CTX),
        "link": operations.link(2, 1, b"n", CTX),
        "write": operations.write(1, 0, b"x"),
        "create": operations.create(1, b"n", 0o644, os.O_WRONLY, CTX),
        "setxattr": operations.setxattr(2, b"user.a", b"v", CTX),
        "removexattr": operations.removexattr(2, b"user.zone", CTX),
    }

    assert {name: await refused(answer) for name, answer in answers.items()} == dict.fromkeys(
        answers, errno.EROFS
    )


@pytest.mark.trio
async def test_requests_that_need_no_answer_are_switched_off(operations: WimOperations) -> None:
    for answer in (operations.flush(1), operations.fsync(1, True), operations.fsyncdir(1, True)):
        assert await refused(answer) == errno.ENOSYS
    assert await operations.access(1, os.R_OK, CTX)


@pytest.mark.trio
async def test_names_the_kernel_asks_for_never_reach_the_tree(
    operations: WimOperations, tree: FakeTree
) -> None:
    tree.fail = AssertionError("asked")
    for name in (b"security.capability", b"security.selinux", b"system.posix_acl_access"):
        assert await refused(operations.getxattr(2, name, CTX)) == errno.ENODATA
    tree.fail = None

    assert await operations.getxattr(2, b"user.zone", CTX) == b"[ZoneTransfer]"
    assert await refused(operations.getxattr(2, b"user.none", CTX)) == errno.ENODATA
    assert b"user.empty" in await operations.listxattr(2, CTX)


@pytest.mark.trio
async def test_a_tree_without_attributes_has_the_kernel_stop_asking(
    tree: FakeTree, threads: WorkerThreads
) -> None:
    operations = WimOperations(tree, threads, has_xattrs=False)

    assert await refused(operations.getxattr(2, b"user.zone", CTX)) == errno.ENOSYS
    assert await refused(operations.listxattr(2, CTX)) == errno.ENOSYS


@pytest.mark.trio
async def test_what_is_left_open_is_closed_with_the_mount(
    operations: WimOperations, tree: FakeTree
) -> None:
    file = tree.nodes[tree.root.children[b"hello"]].file
    await operations.open(2, os.O_RDONLY, CTX)
    operations.close()

    assert file is not None
    assert file.closed == 1
    assert len(operations.files) == 0
