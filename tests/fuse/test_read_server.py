"""The read server without a kernel: requests through a socket, as the device would bring them."""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
import threading
from typing import TYPE_CHECKING

import pytest

from tests.fuse.fake_tree import BLOCK, FakeTree, sample_tree
from wimtui.engine.fuse._read_server import ReadServer
from wimtui.engine.fuse.operations import WimOperations
from wimtui.engine.fuse.threads import WorkerThreads
from wimtui.engine.tree import ROOT_INO, Ino

if TYPE_CHECKING:
    from collections.abc import Iterator

# Opcodes and flags of linux/fuse.h, version 7.
LOOKUP, FORGET, GETATTR, SETATTR, READLINK, OPEN, READ, WRITE = 1, 2, 3, 4, 5, 14, 15, 16
STATFS, RELEASE, GETXATTR, LISTXATTR, FLUSH, INIT, OPENDIR, RELEASEDIR = (
    17, 18, 22, 23, 25, 26, 27, 29
)  # fmt: skip
ACCESS, CREATE, INTERRUPT, DESTROY, BATCH_FORGET, READDIRPLUS = 34, 35, 36, 38, 42, 44
NO_OPEN_SUPPORT, NO_OPENDIR_SUPPORT, DO_READDIRPLUS, ASYNC_READ = 1 << 17, 1 << 24, 1 << 13, 1
ALL_FLAGS = 0xFFFFFFFF

IN_HEADER = struct.Struct("<IIQQIIIHH")
OUT_HEADER = struct.Struct("<IiQ")
INIT_OUT = struct.Struct("<IIIIHHIIHH")
ATTR = struct.Struct("<6Q10I")
ENTRY = struct.Struct("<4Q2I")


class Device:
    """The kernel's end."""

    def __init__(self, tree: FakeTree, *, opens_are_needed: bool, has_xattrs: bool) -> None:
        self.socket, self.other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (self.socket, self.other):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self.other.setblocking(False)
        self.wake_fd = os.eventfd(0)
        self.threads = WorkerThreads(2)
        self.operations = WimOperations(
            tree, self.threads, timeout_seconds=7.0, has_xattrs=has_xattrs
        )
        self.begun = threading.Event()
        self.server = ReadServer(
            self.other.fileno(),
            self.wake_fd,
            self.operations,
            self.threads.start,
            on_init=self.begun.set,
            opens_are_needed=opens_are_needed,
        )
        self.ended: list[object] = []
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()
        self.unique = 0

    def _serve(self) -> None:
        try:
            self.ended.append(self.server.serve())
        except OSError as error:
            self.ended.append(error)

    def send(self, opcode: int, nodeid: int, body: bytes = b"") -> None:
        self.unique += 1
        nbytes = IN_HEADER.size + len(body)
        self.socket.send(IN_HEADER.pack(nbytes, opcode, self.unique, nodeid, 0, 0, 0, 0, 0) + body)

    def ask(self, opcode: int, nodeid: int, body: bytes = b"") -> tuple[int, bytes]:
        """Return the errno and what follows."""
        self.send(opcode, nodeid, body)
        readable, _, _ = select.select([self.socket], [], [], 30)
        assert readable, "no answer"
        answer = self.socket.recv(1 << 20)
        nbytes, error, unique = OUT_HEADER.unpack_from(answer)
        assert (nbytes, unique) == (len(answer), self.unique)
        return -error, answer[OUT_HEADER.size :]

    def init(self, minor: int = 38, flags: int = ALL_FLAGS) -> tuple[int, ...]:
        error, body = self.ask(INIT, 0, struct.pack("<IIII", 7, minor, 131072, flags) + bytes(48))
        assert error == 0
        return INIT_OUT.unpack_from(body)

    def read(self, ino: int, offset: int, size: int, handle: int = 0) -> tuple[int, bytes]:
        return self.ask(READ, ino, struct.pack("<QQIIQII", handle, offset, size, 0, 0, 0, 0))

    def list(self, ino: int, size: int, offset: int = 0) -> list[tuple[bytes, int, int, int]]:
        """Return names, node ids, inode numbers and the next offsets of one answer."""
        error, body = self.ask(
            READDIRPLUS, ino, struct.pack("<QQIIQII", 0, offset, size, 0, 0, 0, 0)
        )
        assert error == 0
        assert len(body) <= size
        found = []
        at = 0
        while at < len(body):
            [node] = struct.unpack_from("<Q", body, at)
            inode, following, length, _ = struct.unpack_from("<QQII", body, at + 128)
            found.append((body[at + 152 : at + 152 + length], node, inode, following))
            at += (152 + length + 7) & ~7
        return found

    def close(self) -> None:
        os.eventfd_write(self.wake_fd, 1)
        self.thread.join(30)
        assert not self.thread.is_alive()
        self.threads.close()
        self.server.close()
        os.close(self.wake_fd)
        self.socket.close()
        self.other.close()


@pytest.fixture
def tree() -> FakeTree:
    return sample_tree(1 << 20, 40)


@pytest.fixture
def device(tree: FakeTree) -> Iterator[Device]:
    device = Device(tree, opens_are_needed=False, has_xattrs=True)
    yield device
    device.close()


@pytest.fixture
def asking(tree: FakeTree) -> Iterator[Device]:
    """A device whose files must be opened and that has no attributes."""
    device = Device(tree, opens_are_needed=True, has_xattrs=False)
    yield device
    device.close()


def ino_of(tree: FakeTree, name: bytes) -> Ino:
    return tree.root.children[name]


def test_the_versions_meet(device: Device) -> None:
    major, minor, readahead, flags, *_, max_write, _, pages, _ = device.init()
    assert (major, minor, readahead) == (7, 38, 131072)
    assert flags & (ASYNC_READ | DO_READDIRPLUS) == ASYNC_READ | DO_READDIRPLUS
    assert (max_write, pages) == (4096, 256)
    assert device.begun.wait(30)


def test_older_and_newer_kernels(device: Device) -> None:
    newer = struct.pack("<IIII", 8, 0, 0, 0) + bytes(48)
    error, body = device.ask(INIT, 0, newer)
    assert (error, INIT_OUT.unpack_from(body)[0]) == (0, 7)
    assert not device.begun.is_set()
    assert device.ask(INIT, 0, struct.pack("<IIII", 7, 12, 0, 0))[0] == errno.EPROTO
    assert device.init(minor=31, flags=ASYNC_READ)[1:4] == (31, 131072, ASYNC_READ)


def test_a_kernel_that_cannot_do_without_open_is_answered_with_handles(
    device: Device, tree: FakeTree
) -> None:
    device.init(flags=DO_READDIRPLUS)
    ino = ino_of(tree, b"hello")
    error, body = device.ask(OPENDIR, ROOT_INO, bytes(8))
    assert (error, len(body)) == (0, 16)
    error, body = device.ask(OPEN, ino, bytes(8))
    [handle] = struct.unpack_from("<Q", body)
    assert (error, device.operations.files.open_inodes()) == (0, {ino: 1})
    assert device.read(ino, 0, 4096, handle) == (0, b"hello, world\n")
    assert device.ask(RELEASE, ino, struct.pack("<QIIQ", handle, 0, 0, 0)) == (0, b"")
    assert device.operations.files.open_inodes() == {}
    assert device.read(ino, 0, 4096, handle)[0] == errno.EBADF


def test_opening_needs_no_request_where_every_file_opens(device: Device, tree: FakeTree) -> None:
    device.init()
    assert device.ask(OPEN, ino_of(tree, b"hello"), bytes(8)) == (errno.ENOSYS, b"")
    assert device.ask(OPENDIR, ROOT_INO, bytes(8)) == (errno.ENOSYS, b"")
    assert device.ask(RELEASEDIR, ROOT_INO, bytes(24)) == (0, b"")
    assert device.read(ino_of(tree, b"hello"), 7, 5) == (0, b"world")
    assert device.read(ino_of(tree, b"uncached"), 0, 4096) == (0, BLOCK[:4096])
    assert device.read(ino_of(tree, b"corrupt"), 600 << 10, 4096) == (errno.EIO, b"")
    assert device.operations.activity.bytes_read == 5 + 4096


def test_opening_is_asked_for_where_it_can_fail(asking: Device, tree: FakeTree) -> None:
    asking.init()
    ino = ino_of(tree, b"hello")
    assert asking.ask(OPEN, ino, bytes(8))[0] == 0
    for flags in (os.O_WRONLY, os.O_RDWR, os.O_TRUNC):
        assert asking.ask(OPEN, ino, struct.pack("<II", flags, 0))[0] == errno.EROFS
    assert asking.ask(OPEN, 10**6, bytes(8))[0] == errno.ESTALE


def test_more_files_than_are_kept_open_still_read(device: Device, tree: FakeTree) -> None:
    flat = tree.nodes[ino_of(tree, b"flat")]
    for number in range(400):
        tree.add_file(flat, b"more-%03d" % number, b"%d" % number)
    device.init()
    for _ in range(2):
        for number in range(400):
            ino = flat.children[b"more-%03d" % number]
            assert device.read(ino, 0, 4096) == (0, b"%d" % number)


def test_a_listing_is_whole_whatever_the_room(device: Device, tree: FakeTree) -> None:
    device.init()
    flat = ino_of(tree, b"flat")
    for room in (180, 200, 1000, 4096, 1 << 20):
        found: list[tuple[bytes, int, int, int]] = []
        while part := device.list(flat, room, found[-1][3] if found else 0):
            found += part
        names = [b".", b"..", *(b"file-%05d" % number for number in range(40))]
        assert [name for name, *_ in found] == names
        assert [node for _, node, *_ in found[:2]] == [0, 0]
        assert [inode for _, _, inode, _ in found[:2]] == [flat, ROOT_INO]
        assert all(node == inode for _, node, inode, _ in found[2:])
    assert device.list(flat, 100) == []
    assert device.list(flat, 4096, 10**12) == []


def test_lookup_and_attributes(device: Device, tree: FakeTree) -> None:
    device.init()
    error, body = device.ask(LOOKUP, ROOT_INO, b"hello\0")
    node, _, entry_valid, attr_valid, *_ = ENTRY.unpack_from(body)
    assert (error, node, entry_valid, attr_valid) == (0, ino_of(tree, b"hello"), 7, 7)
    error, absent = device.ask(LOOKUP, ROOT_INO, b"nothing\0")
    assert (error, ENTRY.unpack_from(absent)[:3]) == (0, (0, 0, 7))
    error, attributes = device.ask(GETATTR, node, bytes(16))
    assert error == 0
    assert attributes[16:] == body[ENTRY.size :]
    assert ATTR.unpack(attributes[16:])[:2] == (node, 13)
    assert device.ask(LOOKUP, node, b"x\0")[0] == errno.ENOTDIR
    assert device.ask(LOOKUP, ROOT_INO, b"no end")[0] == errno.EINVAL
    assert device.ask(GETATTR, 10**6, bytes(16))[0] == errno.ESTALE


@pytest.mark.parametrize(
    ("time_ns", "seconds", "nanoseconds"),
    [
        (0, 0, 0),
        (1_000_000_001, 1, 1),
        (-1, -1, 999_999_999),
        (-2_000_000_000, -2, 0),
        (-11_644_473_600 * 10**9, -11_644_473_600, 0),
        (10**20 + 7, 10**11, 7),
        (-(10**20) - 7, -(10**11) - 1, 10**9 - 7),
    ],
)
def test_times_of_every_age(
    device: Device, tree: FakeTree, time_ns: int, seconds: int, nanoseconds: int
) -> None:
    device.init()
    ino = ino_of(tree, b"hello")
    tree.nodes[ino].times_ns = (0, time_ns, 0)
    body = device.ask(GETATTR, ino, bytes(16))[1][16:]
    assert struct.unpack_from("<q", body, 32) == (seconds,)
    assert ATTR.unpack(body)[7] == nanoseconds


def test_links_attributes_and_usage(device: Device, tree: FakeTree) -> None:
    device.init()
    hello = ino_of(tree, b"hello")
    room = struct.pack("<II", 100, 0)
    assert device.ask(READLINK, ino_of(tree, b"link")) == (0, b"hello")
    assert device.ask(READLINK, hello)[0] == errno.EINVAL
    assert device.ask(GETXATTR, hello, room + b"user.zone\0") == (0, b"[ZoneTransfer]")
    assert device.ask(GETXATTR, hello, bytes(8) + b"user.zone\0")[1][:4] == b"\x0e\0\0\0"
    assert device.ask(GETXATTR, hello, room + b"user.big\0")[0] == errno.ERANGE
    for name in (b"user.no\0", b"security.capability\0", b"system.posix_acl_access\0"):
        assert device.ask(GETXATTR, hello, room + name)[0] == errno.ENODATA
    assert device.ask(GETXATTR, hello, room + b"no end")[0] == errno.EINVAL
    assert device.ask(LISTXATTR, hello, room) == (0, b"user.zone\0user.empty\0user.big\0")
    error, usage = device.ask(STATFS, ROOT_INO)
    assert (error, struct.unpack_from("<5Q", usage)[:3]) == (0, (1000, 250, 250))


def test_a_tree_without_attributes_is_asked_once(asking: Device) -> None:
    asking.init()
    assert asking.ask(GETXATTR, ROOT_INO, bytes(8) + b"user.x\0")[0] == errno.ENOSYS
    assert asking.ask(LISTXATTR, ROOT_INO, bytes(8))[0] == errno.ENOSYS


def test_changes_are_refused_and_what_needs_no_answer_is_switched_off(device: Device) -> None:
    device.init()
    for opcode in (SETATTR, WRITE, CREATE):
        assert device.ask(opcode, ROOT_INO, bytes(100)) == (errno.EROFS, b"")
    for opcode in (FLUSH, ACCESS, INTERRUPT, 46, 4000):
        assert device.ask(opcode, ROOT_INO, bytes(100)) == (errno.ENOSYS, b"")


@pytest.mark.parametrize("opcode", [INIT, READ, READDIRPLUS, OPEN, RELEASE, GETXATTR, LISTXATTR])
def test_a_request_cut_short_is_refused(device: Device, opcode: int) -> None:
    assert device.ask(opcode, ROOT_INO, b"\0\0") == (errno.ENOSYS, b"")


def test_forgetting_has_no_answer(device: Device) -> None:
    device.init()
    device.send(FORGET, 5, bytes(8))
    device.send(BATCH_FORGET, 0, bytes(24))
    assert device.ask(GETATTR, ROOT_INO, bytes(16))[0] == 0
    assert device.operations.activity.requests["forget"] == 2


def test_whatever_the_tree_raises_becomes_a_number(device: Device, tree: FakeTree) -> None:
    device.init()
    tree.fail = ZeroDivisionError("a bug")
    for opcode, body in (
        (LOOKUP, b"x\0"),
        (GETATTR, bytes(16)),
        (READLINK, b""),
        (STATFS, b""),
        (READ, bytes(40)),
        (READDIRPLUS, bytes(40)),
    ):
        assert device.ask(opcode, ROOT_INO, body) == (errno.EIO, b"")
    assert device.operations.failures.bugs == 6
    tree.fail = None
    assert device.ask(GETATTR, ROOT_INO, bytes(16))[0] == 0


def test_the_end_is_told_from_the_call_to_end(tree: FakeTree) -> None:
    device = Device(tree, opens_are_needed=True, has_xattrs=True)
    assert device.ask(DESTROY, 0) == (0, b"")
    device.thread.join(30)
    assert device.ended == [False]
    device.close()
    device = Device(tree, opens_are_needed=True, has_xattrs=True)
    device.close()
    assert device.ended == [True]


def test_a_request_without_a_whole_header_ends_the_mount(tree: FakeTree) -> None:
    device = Device(tree, opens_are_needed=True, has_xattrs=True)
    device.socket.send(b"short")
    device.thread.join(30)
    assert isinstance(device.ended[0], OSError)
    device.close()
