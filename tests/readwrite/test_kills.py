"""A daemon killed at any moment loses nothing that it has answered.

``WIMTUI_KILLS=200`` (or ``make test-kills``) makes it as many kills as a release should stand.
"""

from __future__ import annotations

import errno
import os
import random
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.mounting import wimtui_json
from tests.readwrite.control import assert_same, shown
from tests.readwrite.mounts import copied_sample, mounted_rw, signal_gone

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.fuse, pytest.mark.slow]

KILLS: Final = int(os.environ.get("WIMTUI_KILLS", "6"))
GONE: Final = {errno.ENOTCONN, errno.ECONNABORTED}

Operation = tuple[str, tuple[object, ...]]


def apply(root: Path, operation: Operation) -> None:
    """Do one system call that changes something (and what it takes to get there)."""
    kind, arguments = operation
    path = root / str(arguments[0])
    rest: tuple[object, ...] = arguments[1:]
    match kind, rest:
        case "create", ():
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
        case "write", (int(offset), bytes(data)):
            descriptor = os.open(path, os.O_WRONLY)
            try:
                if os.pwrite(descriptor, data, offset) != len(data):
                    raise OSError(errno.ENOTCONN, "only a part was answered")
            finally:
                os.close(descriptor)
        case "truncate", (int(size),):
            os.truncate(path, size)
        case "rename", (str(new),):
            path.rename(root / new)
        case "unlink", ():
            path.unlink()
        case "mkdir", ():
            path.mkdir()
        case "rmdir", ():
            path.rmdir()
        case "symlink", (str(target),):
            path.symlink_to(target)
        case "link", (str(new),):
            os.link(path, root / new)
        case "utime", (int(ns),):
            os.utime(path, ns=(ns, ns))
        case _:
            raise AssertionError(operation)


class Storm:
    """Creates, writes, renames and deletes, as an untar and a clean-up at the same time would."""

    def __init__(self, mount: Path, control: Path, seed: int) -> None:
        self.mount = mount
        self.control = control
        self.rng = random.Random(seed)
        self.files: list[str] = []
        self.folders = ["."]
        self.answered = 0
        self.pending: Operation | None = None
        self.failure: OSError | None = None
        self._made = 0
        self._script: list[Operation] = []

    def run(self) -> None:
        """Go on until the mount is gone."""
        while True:
            operation = self._script.pop(0) if self._script else self._choose()
            self.pending = operation
            try:
                apply(self.mount, operation)
            except OSError as error:
                if error.errno not in GONE:
                    self.failure = error
                self._script.clear()
                return
            self.finish(operation)
            self.answered += 1

    def finish(self, operation: Operation) -> None:
        """Do on the control folder what the mount has done."""
        apply(self.control, operation)
        self.pending = None
        kind, (name, *rest) = operation
        match kind:
            case "create" | "symlink":
                self.files.append(str(name))
            case "link":
                self.files.append(str(rest[0]))
            case "mkdir":
                self.folders.append(str(name))
            case "unlink":
                self.files.remove(str(name))
            case "rmdir":
                self.folders.remove(str(name))
            case "rename":
                self._moved(str(name), str(rest[0]))

    def _moved(self, old: str, new: str) -> None:
        if new in self.files:
            self.files.remove(new)
        self.files = [_below(name, old, new) for name in self.files]
        self.folders = [_below(name, old, new) for name in self.folders]

    def _choose(self) -> Operation:
        rng = self.rng
        regular = [name for name in self.files if not Path(name).name.startswith("l")]
        if len(regular) < 20 or (rng.random() < 0.4 and len(self.files) < 300):
            return self._unpack()
        choices: dict[str, Callable[[], Operation]] = {
            "write": lambda: ("write", (rng.choice(regular), rng.randrange(50_000), self._data())),
            "truncate": lambda: ("truncate", (rng.choice(regular), rng.randrange(60_000))),
            "rename": lambda: self._rename(rng.choice(self.files)),
            "replace": lambda: self._replace(*rng.sample(regular, 2)),
            "unlink": lambda: ("unlink", (rng.choice(self.files),)),
            "symlink": lambda: ("symlink", (self._fresh("l"), "../x")),
            "link": lambda: ("link", (rng.choice(regular), self._fresh("f"))),
            "mkdir": lambda: ("mkdir", (self._fresh("d"),)),
            "rmdir": self._remove_folder,
            "folder": self._rename_folder,
        }
        weights = [20, 8, 15, 5, 20, 4, 6, 8, 6, 4]
        return choices[rng.choices(list(choices), weights)[0]]()

    def _rename(self, name: str) -> Operation:
        return "rename", (name, self._fresh(Path(name).name[0]))

    def _replace(self, name: str, other: str) -> Operation:
        # Two names of one file: rename does nothing, and both stay.
        if (self.control / name).samefile(self.control / other):
            return "unlink", (other,)
        return "rename", (name, other)

    def _unpack(self) -> Operation:
        name = self._fresh("f")
        ns = self.rng.randrange(10**17) * 100
        self._script = [("write", (name, 0, self._data())), ("utime", (name, ns))]
        return "create", (name,)

    def _fresh(self, letter: str) -> str:
        self._made += 1
        return os.path.normpath(f"{self.rng.choice(self.folders)}/{letter}{self._made}")

    def _data(self) -> bytes:
        return self.rng.randbytes(self.rng.choice([1, 100, 5000, 100_000]))

    def _remove_folder(self) -> Operation:
        for folder in self.folders[1:]:
            if not any(name.startswith(folder + "/") for name in [*self.files, *self.folders]):
                return "rmdir", (folder,)
        return "mkdir", (self._fresh("d"),)

    def _rename_folder(self) -> Operation:
        if len(self.folders) == 1:
            return "mkdir", (self._fresh("d"),)
        old = self.rng.choice(self.folders[1:])
        self._made += 1
        return "rename", (old, f"d{self._made}")


def _below(name: str, old: str, new: str) -> str:
    if name == old:
        return new
    return new + name[len(old) :] if name.startswith(old + "/") else name


def test_every_answered_operation_survives_kills(tmp_path: Path) -> None:
    control = tmp_path / "control"
    control.mkdir()
    rng = random.Random(KILLS)
    in_flight_done = 0
    with mounted_rw(copied_sample(tmp_path)) as mounted:
        place = mounted.path / "storm"
        place.mkdir()
        storm = Storm(place, control, seed=KILLS)
        pid = mounted.summary()["pid"]
        for kill in range(KILLS):
            before = storm.answered
            thread = threading.Thread(target=storm.run)
            descriptor = os.pidfd_open(pid)
            thread.start()
            thread.join(rng.random() * 0.4)
            os.kill(pid, signal.SIGKILL)
            signal_gone(descriptor)
            os.close(descriptor)
            thread.join(30)
            assert not thread.is_alive()
            assert mounted.summary()["status"] == "dead"
            pid = wimtui_json("remount", mounted.path)["pid"]
            assert storm.failure is None
            pending = storm.pending
            if pending is not None and shown(place) != shown(control):
                # Killed between doing it and saying so.
                storm.finish(pending)
                in_flight_done += 1
                if pending[0] == "write":
                    # Nobody was told of it, so it may be there in part, cut at a page.
                    apply(place, pending)
            print(f"kill {kill + 1}: after {storm.answered - before} answers, in {pending!r:.70}")
            assert_same(place, control)
        assert not mounted.summary()["detail"]
    print(f"{KILLS} kills, {storm.answered} operations answered, none lost;")
    print(f"{in_flight_done} that were under way had been done")
