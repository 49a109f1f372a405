"""An overlay against a plain model: any operations, kills, commits."""

from __future__ import annotations

import copy
import shutil
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.staging.base_image import FILE, FOLDER, Mount, unix_options
from tests.staging.committing import commit
from tests.staging.model import Model, ModelNode, difference
from tests.staging.model_image import build
from wimtui.engine.errors import NodeError
from wimtui.engine.staging.changes import is_clean, list_changes
from wimtui.engine.staging.paths import find_base_path, find_path
from wimtui.engine.staging.restore import restore
from wimtui.engine.tree import ROOT_INO, AttributeChanges, Ino, RenameMode, XattrMode

if TYPE_CHECKING:
    from collections.abc import Callable

    from wimtui.engine.tree import WritableFile

NAMES = [b"a", b"b", b"B", b"sub", b"\xc3\xa9", b"long name.txt"]
names = st.sampled_from(NAMES)
picks = st.integers(0, 1000)
pieces = st.binary(max_size=40)
offsets = st.sampled_from([0, 1, 10, 5000, 70_000])
sizes = st.sampled_from([0, 1, 10, 4999, 6000, 100_000])
xattr_names = st.sampled_from([b"user.one", b"user.other"])


class OverlayMachine(RuleBasedStateMachine):
    """Does the same to both sides."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="wimtui-staging-"))
        wim, self.model = build(self.folder)
        self.base = copy.deepcopy(self.model)
        """The image under the overlay."""
        self.mount = Mount.create(wim, self.folder, unix_options())
        self.inos: dict[int, Ino] = {}
        self.handles: list[tuple[ModelNode, WritableFile]] = []
        self.kept: list[ModelNode] = []
        """Unlinked and still open; held, so that their ids stay theirs."""
        self.commits = 0
        self.learn()

    def teardown(self) -> None:
        self.close_handles()
        self.check_all()
        self.mount.reopen()
        self.inos.clear()
        self.learn()
        self.check_all()
        self.mount.close()
        shutil.rmtree(self.folder)

    # Both sides

    def learn(self) -> None:
        """Know the inode number of every node by its path, as the kernel would."""
        for path, node in self.model.walk():
            self.inos[id(node)] = self.mount.ino(path)

    def ino(self, node: ModelNode) -> Ino:
        return self.inos[id(node)]

    def both(self, on_model: Callable[[], Any], on_overlay: Callable[[], Any]) -> Any:
        """Run both and compare the errors; return what the overlay gave, or the error."""
        failure: type[NodeError] | None = None
        expected = None
        try:
            expected = on_model()
        except NodeError as error:
            failure = type(error)
        if failure is not None:
            with pytest.raises(NodeError) as raised:
                on_overlay()
            assert type(raised.value) is failure
            return raised.value
        given = on_overlay()
        if isinstance(given, int) and isinstance(expected, ModelNode):
            self.inos[id(expected)] = Ino(given)
        return given

    def pick(self, number: int, type: int = 0) -> ModelNode:
        nodes = [node for _, node in self.model.walk() if not type or node.type == type]
        return nodes[number % len(nodes)]

    def pick_directory(self, number: int) -> ModelNode:
        """Mostly a directory, now and then something else."""
        return self.pick(number, stat.S_IFDIR if number % 8 else 0)

    def lost(self, node: ModelNode | None) -> None:
        """Forget a node that has no name, unless a handle has it."""
        if node is None or self.model.nlink(node):
            return
        if any(opened is node for opened, _ in self.handles):
            self.kept.append(node)
        else:
            self.mount.overlay.forget(self.ino(node))

    # Names

    def make(self, where: int, name: bytes, node: ModelNode, make: Callable[..., Ino]) -> None:
        directory = self.pick_directory(where)
        ino = self.ino(directory)

        def on_model() -> ModelNode:
            self.model.add(directory, name, node)
            return node

        self.both(on_model, lambda: make(ino, name))

    @rule(where=picks, name=names)
    def create(self, where: int, name: bytes) -> None:
        overlay = self.mount.overlay
        node = ModelNode(stat.S_IFREG, mode=0o644)
        self.make(where, name, node, lambda ino, name: overlay.create_node(ino, name, FILE))

    @rule(where=picks, name=names)
    def make_directory(self, where: int, name: bytes) -> None:
        overlay = self.mount.overlay
        node = ModelNode(stat.S_IFDIR, mode=0o755)
        self.make(where, name, node, lambda ino, name: overlay.make_directory(ino, name, FOLDER))

    @rule(
        where=picks, name=names, leads_to=st.sampled_from([b"a", b"../x/y", b"/abs", b"\xc3\xa9"])
    )
    def make_symlink(self, where: int, name: bytes, leads_to: bytes) -> None:
        overlay = self.mount.overlay
        node = ModelNode(stat.S_IFLNK, target=leads_to, mode=0o777)
        self.make(
            where, name, node, lambda ino, name: overlay.make_symlink(ino, name, leads_to, FILE)
        )

    @rule(what=picks, where=picks, name=names)
    def link(self, what: int, where: int, name: bytes) -> None:
        node, directory = self.pick(what), self.pick_directory(where)
        self.both(
            lambda: self.model.link(node, directory, name),
            lambda: self.mount.overlay.link(self.ino(node), self.ino(directory), name),
        )

    @rule(where=picks, name=names)
    def unlink(self, where: int, name: bytes) -> None:
        directory = self.pick_directory(where)
        node = directory.children.get(name)
        self.both(
            lambda: self.model.unlink(directory, name),
            lambda: self.mount.overlay.unlink(self.ino(directory), name),
        )
        self.lost(node)

    @rule(where=picks, name=names)
    def remove_directory(self, where: int, name: bytes) -> None:
        directory = self.pick_directory(where)
        node = directory.children.get(name)
        self.both(
            lambda: self.model.rmdir(directory, name),
            lambda: self.mount.overlay.remove_directory(self.ino(directory), name),
        )
        self.lost(node)

    @rule(where=picks, name=names, to=picks, new_name=names, mode=st.sampled_from(list(RenameMode)))
    def rename(self, where: int, name: bytes, to: int, new_name: bytes, mode: RenameMode) -> None:
        source, target = self.pick(where, stat.S_IFDIR), self.pick(to, stat.S_IFDIR)
        replaced = target.children.get(new_name)
        self.both(
            lambda: (self.model.rename(source, name, target, new_name, mode), None)[1],
            lambda: self.mount.overlay.rename(
                self.ino(source), name, self.ino(target), new_name, mode
            ),
        )
        self.lost(replaced)

    # Data and attributes

    @rule(what=picks, offset=offsets, data=pieces)
    def write(self, what: int, offset: int, data: bytes) -> None:
        node = self.pick(what, stat.S_IFREG)
        self.mount.write(self.ino(node), data, offset)
        if data:
            self.model.write(node, offset, data)

    @rule(what=picks, size=sizes)
    def truncate(self, what: int, size: int) -> None:
        node = self.pick(what)
        if node.type == stat.S_IFLNK:
            return
        self.both(
            lambda: self.model.truncate(node, size),
            lambda: self.mount.overlay.change(self.ino(node), AttributeChanges(size=size)),
        )

    @rule(what=picks, mtime_ns=st.integers(-(10**18), 4 * 10**18))
    def set_time(self, what: int, mtime_ns: int) -> None:
        node = self.pick(what)
        node.mtime_ns = mtime_ns // 100 * 100
        self.mount.overlay.change(self.ino(node), AttributeChanges(mtime_ns=mtime_ns))

    @rule(what=picks, mode=st.integers(0, 0o777))
    def set_mode(self, what: int, mode: int) -> None:
        node = self.pick(what)
        if node.type != stat.S_IFLNK:
            node.mode = mode
            self.mount.overlay.change(self.ino(node), AttributeChanges(mode=mode))

    @rule(what=picks, name=xattr_names, value=pieces, mode=st.sampled_from(list(XattrMode)))
    def set_xattr(self, what: int, name: bytes, value: bytes, mode: XattrMode) -> None:
        node = self.pick(what)
        self.both(
            lambda: self.model.set_xattr(node, name, value, mode),
            lambda: self.mount.overlay.set_xattr(self.ino(node), name, value, mode),
        )

    @rule(what=picks, name=xattr_names)
    def remove_xattr(self, what: int, name: bytes) -> None:
        node = self.pick(what)
        self.both(
            lambda: self.model.remove_xattr(node, name),
            lambda: self.mount.overlay.remove_xattr(self.ino(node), name),
        )

    # Open files

    @rule(what=picks)
    def open(self, what: int) -> None:
        node = self.pick(what, stat.S_IFREG)
        self.handles.append((node, self.mount.overlay.open_for_writing(self.ino(node))))

    @precondition(lambda self: self.handles)
    @rule(what=picks, offset=offsets, data=st.binary(min_size=1, max_size=40))
    def write_open(self, what: int, offset: int, data: bytes) -> None:
        node, file = self.handles[what % len(self.handles)]
        assert file.write(offset, data) == len(data)
        self.model.write(node, offset, data)
        assert difference(file.read(0, 1 << 20), node.data) is None

    @precondition(lambda self: self.handles)
    @rule(what=picks)
    def close(self, what: int) -> None:
        node, file = self.handles.pop(what % len(self.handles))
        file.close()
        if not any(opened is node for opened, _ in self.handles):
            self.kept = [other for other in self.kept if other is not node]
            self.lost(node)

    def close_handles(self) -> None:
        while self.handles:
            self.close(0)

    # What happens to the whole

    @rule()
    def kill(self) -> None:
        for _, file in self.handles:
            file.close()
        self.handles.clear()
        self.kept.clear()
        self.mount.reopen()
        self.inos.clear()
        self.learn()
        self.check_all()

    @precondition(lambda self: self.commits < 3)
    @rule(keep_open=st.booleans(), what=picks, data=st.binary(min_size=1, max_size=10))
    def commit(self, keep_open: bool, what: int, data: bytes) -> None:
        if not keep_open:
            self.close_handles()

        def meanwhile() -> None:
            node = self.pick(what, stat.S_IFREG)
            self.mount.write(self.ino(node), data, 3)
            self.model.write(node, 3, data)
            self.create(what, b"meanwhile")
            self.check_all()

        self.commits += 1
        self.base = copy.deepcopy(self.model)
        commit(self.mount, meanwhile if what % 2 else None)
        self.check_all()

    @precondition(lambda self: not self.handles)
    @rule()
    def restore_everything(self) -> None:
        overlay = self.mount.overlay
        for ino in restore(overlay, b"/").unlinked:
            overlay.forget(ino)
        assert list_changes(overlay) == []
        assert is_clean(overlay)
        self.model = copy.deepcopy(self.base)
        self.inos.clear()
        self.learn()
        self.check_all()

    @precondition(lambda self: not self.handles)
    @rule(what=picks, of_image=st.booleans())
    def restore_path(self, what: int, of_image: bool) -> None:
        overlay = self.mount.overlay
        paths = [path for path, _ in (self.base if of_image else self.model).walk()][1:]
        if not paths:
            return
        path = paths[what % len(paths)]
        above, _, name = path.rpartition(b"/")
        was_in_image = find_base_path(overlay, path) is not None
        for ino in restore(overlay, path).unlinked:
            overlay.forget(ino)
        self.relearn()
        self.check_all()
        directory = find_base_path(overlay, above)
        is_in_place = directory is not None and find_path(overlay, above) == directory
        if was_in_image:
            # A renamed directory stays where it is, and another may have its old name.
            assert directory is not None
            node = self.node_of(overlay.ino(directory)).children[name]
            self.compare(node, self.base.find(path))
            assert not is_in_place or self.model.find(path) is node
        elif is_in_place:
            assert not self.mount.has(path)

    def node_of(self, ino: Ino) -> ModelNode:
        return next(node for _, node in self.model.walk() if self.ino(node) == ino)

    def compare(self, node: ModelNode, known: ModelNode) -> None:
        """Check that all of a node is as it was in the image."""
        assert (node.type, node.target) == (known.type, known.target)
        assert difference(node.data, known.data) is None
        assert (node.xattrs, node.names()) == (known.xattrs, known.names())
        assert node.mode == known.mode or not known.mode
        assert node.mtime_ns == known.mtime_ns or known.mtime_ns is None
        for name in known.names():
            self.compare(node.children[name], known.children[name])

    def relearn(self) -> None:
        """Take the model from the overlay, which must be a tree."""
        overlay = self.mount.overlay
        self.model = Model()
        self.inos = {id(self.model.root): ROOT_INO}
        nodes = {ROOT_INO: self.model.root}
        pending = [(ROOT_INO, self.model.root)]
        while pending:
            parent, directory = pending.pop()
            for name, ino in overlay.list_directory(parent):
                known = nodes.get(ino)
                if known is not None:
                    assert not known.is_directory
                    directory.children[name] = known
                    continue
                node = nodes[ino] = ModelNode(stat.S_IFMT(overlay.attributes(ino).mode))
                self.inos[id(node)] = ino
                self.model.put(directory, name, node)
                if node.is_directory:
                    pending.append((ino, node))
                elif node.type == stat.S_IFLNK:
                    node.target = overlay.read_link(ino)
                else:
                    node.data = bytearray(self.mount.read(ino))
        for ino, node in nodes.items():
            found = overlay.attributes(ino)
            node.mode, node.mtime_ns = stat.S_IMODE(found.mode), found.mtime_ns
            if node.type != stat.S_IFLNK:
                names = overlay.list_xattrs(ino)
                node.xattrs = {name: overlay.get_xattr(ino, name) for name in names}

    # Comparing

    @invariant()
    def same_names(self) -> None:
        overlay = self.mount.overlay
        for _, node in self.model.walk():
            if node.is_directory:
                listed = overlay.list_directory(self.ino(node))
                assert sorted(name for name, _ in listed) == node.names()
                for name, ino in listed:
                    assert (
                        ino == self.ino(node.children[name]) == overlay.lookup(self.ino(node), name)
                    )
                if node.parent is not None:
                    assert overlay.parent(self.ino(node)) == self.ino(node.parent)

    def check_all(self) -> None:
        """Compare everything that can be read."""
        self.same_names()
        overlay = self.mount.overlay
        list_changes(overlay)
        for _, node in self.model.walk():
            ino = self.ino(node)
            found = overlay.attributes(ino)
            assert found.ino == ino
            assert stat.S_IFMT(found.mode) == node.type
            if node.mode:
                assert stat.S_IMODE(found.mode) == node.mode
            if node.mtime_ns is not None:
                assert found.mtime_ns == node.mtime_ns
            if node.type == stat.S_IFREG:
                assert found.nlink == self.model.nlink(node)
                assert difference(self.mount.read(ino), node.data) is None
            if node.type == stat.S_IFLNK:
                assert overlay.read_link(ino) == node.target
                continue
            assert set(overlay.list_xattrs(ino)) == node.xattrs.keys()
            for name, value in node.xattrs.items():
                assert overlay.get_xattr(ino, name) == value
        assert overlay.parent(ROOT_INO) == ROOT_INO


OverlayMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=30)
TestOverlay = pytest.mark.slow(OverlayMachine.TestCase)
