"""The registry of mounts: one JSON file a mount, locked by its daemon for as long as that lives.

The lock (flock) is the only sign of life: the kernel drops it however the daemon ends, and unlike a
process id it is never somebody else's. Every write replaces the file, so readers see one whole
state; the lock is taken on the replacement before it gets its name.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import logging
import os
import re
import secrets
import stat
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, get_type_hints

import wimtui
from wimtui import paths
from wimtui.control.errors import RegistryError
from wimtui.control.processes import start_ticks
from wimtui.control.protocol import DaemonState
from wimtui.control.transport import daemon_queue_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType

log = logging.getLogger(__name__)

ENTRY_VERSION = 1
_SUFFIX = ".json"
_NEW_SUFFIX = ".new"
_MOUNT_ID = re.compile(r"[0-9a-f]{16}")
_MAX_ENTRY_NBYTES = 1 << 20


def new_mount_id() -> str:
    """A random name for a mount: 16 hexadecimal digits."""
    return secrets.token_hex(8)


def is_mount_id(text: str) -> bool:
    """Whether ``text`` has the form of new_mount_id()."""
    return _MOUNT_ID.fullmatch(text) is not None


def mounts_folder(runtime: Path) -> Path:
    """Where in a runtime folder the registry is."""
    return runtime / "mounts"


def bulk_folder(runtime: Path, mount_id: str) -> Path:
    """Where in a runtime folder a daemon puts what is too large for a queue."""
    return runtime / "bulk" / mount_id


def clients_folder(runtime: Path) -> Path:
    """Where in a runtime folder front ends note the queues they made."""
    return runtime / "clients"


@dataclass(frozen=True, slots=True)
class RegistryEntry:
    """What a daemon writes down about its mount.

    Paths are absolute and without links. Fields that a later version adds are ignored by this one.
    """

    mount_id: str
    wim_path: str
    mount_point: str
    image_index: int = 0
    """1-based."""
    image_name: str = ""
    mode: str = "ro"
    """``ro`` or ``rw``."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Mount options, for a remount."""
    staging_path: str = ""
    """Folder with uncommitted changes; empty for read-only mounts."""
    uid: int = -1
    pid: int = 0
    process_started: int = 0
    """Start of the daemon, in clock ticks after boot."""
    queue_name: str = ""
    kernel_mount_id: int = 0
    """As in mountinfo; 0 until mounted."""
    device: str = ""
    """``major:minor`` of the mount; empty until mounted."""
    state: DaemonState = DaemonState.STARTING
    wimtui_version: str = ""
    created: float = 0.0
    """Seconds since 1970."""

    @classmethod
    def for_this_process(cls, mount_id: str, wim_path: str, mount_point: str) -> RegistryEntry:
        """An entry with the fields filled that tell of the daemon itself."""
        uid, pid = os.geteuid(), os.getpid()
        return cls(
            mount_id=mount_id,
            wim_path=wim_path,
            mount_point=mount_point,
            uid=uid,
            pid=pid,
            process_started=start_ticks(pid) or 0,
            queue_name=daemon_queue_name(uid, mount_id),
            wimtui_version=wimtui.__version__,
            created=time.time(),
        )

    def pack(self) -> bytes:
        """The entry as JSON in ASCII."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return json.dumps({"v": ENTRY_VERSION, **fields}, indent=1).encode("ascii")

    @classmethod
    def parse(cls, packed: bytes) -> RegistryEntry:
        """The entry in these bytes.

        Raises:
            ValueError: It is none, or of another major version.
        """
        try:
            raw = json.loads(packed)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error
        if not isinstance(raw, dict) or raw.get("v") != ENTRY_VERSION:
            raise ValueError(f"no registry entry of version {ENTRY_VERSION}")
        kinds = get_type_hints(cls)
        values: dict[str, Any] = {}
        for name in (f.name for f in dataclasses.fields(cls)):
            if name not in raw:
                continue
            value, kind = raw[name], kinds[name]
            if kind is DaemonState:
                value = DaemonState(value)
            elif kind is float:
                value = float(value)
            elif not isinstance(value, kind if kind in (int, str) else dict):
                raise ValueError(f"{name} cannot be {value!r:.80}")
            values[name] = value
        if not is_mount_id(str(values.get("mount_id"))):
            raise ValueError("no mount id")
        try:
            return cls(**values)
        except TypeError as error:
            raise ValueError(str(error)) from error


class RegistryFile:
    """A daemon's own entry, locked from create() to remove() or close()."""

    __slots__ = ("_descriptor", "_given_runtime", "_runtime", "entry")

    def __init__(self, entry: RegistryEntry, runtime: Path | None) -> None:
        self.entry = entry
        self._given_runtime = runtime
        self._runtime = runtime or Path()
        self._descriptor: int | None = None

    @classmethod
    def create(cls, entry: RegistryEntry, *, runtime: Path | None = None) -> RegistryFile:
        """Write and lock an entry.

        Args:
            entry: What to write.
            runtime: The runtime folder, by default the user's.

        Raises:
            RegistryError: The folder is not safely ours, or cannot be written.
        """
        made = cls(entry, runtime)
        made._write()
        return made

    @property
    def path(self) -> Path:
        """The file."""
        return mounts_folder(self._runtime) / (self.entry.mount_id + _SUFFIX)

    @property
    def bulk_folder(self) -> Path:
        """Where this daemon puts what is too large for a queue; not made here."""
        return bulk_folder(self._runtime, self.entry.mount_id)

    def update(self, **changes: Any) -> None:
        """Replace fields of the entry, and the file if that makes a difference.

        Raises:
            RegistryError: The file cannot be written.
        """
        entry = dataclasses.replace(self.entry, **changes)
        if entry != self.entry:
            self.entry = entry
            self._write()

    def ensure(self) -> None:
        """Write the file again if it is gone, as /run/user/UID is after the user's last logout.

        Raises:
            RegistryError: The file cannot be written.
        """
        if self._descriptor is not None and not _is_named(self._descriptor, self.path):
            self._write()

    def remove(self) -> None:
        """Delete the file, then let go of the lock; harmless when done twice."""
        if self._descriptor is not None:
            self.path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                self.bulk_folder.rmdir()
        self.close()

    def close(self) -> None:
        """Let go of the lock and leave the file: what it tells of is there for somebody else."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _write(self) -> None:
        try:
            self._runtime = self._given_runtime or paths.runtime_dir()
            folder = paths.private_folder(mounts_folder(self._runtime))
            new_path = folder / (self.entry.mount_id + _NEW_SUFFIX)
            flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
            descriptor = os.open(new_path, flags, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                os.write(descriptor, self.entry.pack())
                new_path.replace(self.path)
            except BaseException:
                os.close(descriptor)
                raise
        except OSError as error:
            raise RegistryError(
                f"the registry of mounts cannot be written: {error}", path=self.path
            ) from error
        self.close()
        self._descriptor = descriptor


@dataclass(frozen=True, slots=True)
class FoundEntry:
    """An entry as some process reads it.

    Attributes:
        entry: What the daemon wrote.
        runtime: The runtime folder it is in.
        alive: Whether the daemon holds its lock.
    """

    entry: RegistryEntry
    runtime: Path
    alive: bool

    @property
    def path(self) -> Path:
        """The file."""
        return mounts_folder(self.runtime) / (self.entry.mount_id + _SUFFIX)


class RegistryFolder:
    """The entries in the runtime folder of one user, who need not be the reader.

    Root reads what others wrote: links are not followed, files of any other owner are ignored.
    """

    __slots__ = ("_uid", "runtime")

    def __init__(self, runtime: Path, uid: int | None = None) -> None:
        self.runtime = runtime
        self._uid = os.geteuid() if uid is None else uid

    def entries(self) -> tuple[FoundEntry, ...]:
        """Every entry that can be read."""
        with self._opened() as folder:
            if folder is None:
                return ()
            names = sorted(name for name in os.listdir(folder) if name.endswith(_SUFFIX))
            found = (self._read(folder, name) for name in names)
            return tuple(entry for entry in found if entry is not None)

    def find(self, mount_id: str) -> FoundEntry | None:
        """The entry of one mount."""
        with self._opened() as folder:
            return None if folder is None else self._read(folder, mount_id + _SUFFIX)

    def remove_dead(self, mount_id: str) -> bool:
        """Delete an entry that no daemon holds; whether it was deleted."""
        with self._opened() as folder:
            return folder is not None and _remove_unlocked(folder, mount_id + _SUFFIX)

    def remove_rubbish(self, min_age_s: float) -> None:
        """Delete files that are no entries, unlocked and older than ``min_age_s`` seconds."""
        with self._opened() as folder:
            if folder is None:
                return
            for name in os.listdir(folder):
                if name.endswith(_SUFFIX) and self._read(folder, name) is not None:
                    continue
                with contextlib.suppress(OSError):
                    age = time.time() - os.lstat(name, dir_fd=folder).st_mtime
                    if age >= min_age_s and _remove_unlocked(folder, name):
                        log.info("removed %s, which is no registry entry", name)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int | None]:
        """A descriptor of the folder; None if there is none of that user's."""
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            folder = os.open(mounts_folder(self.runtime), flags)
        except OSError:
            yield None
            return
        try:
            yield folder if os.fstat(folder).st_uid == self._uid else None
        finally:
            os.close(folder)

    def _read(self, folder: int, name: str) -> FoundEntry | None:
        # A file that was replaced while it was looked at has lost its lock to its replacement.
        while True:
            opened = _open_file(folder, name)
            if opened is None:
                return None
            try:
                if os.fstat(opened).st_uid != self._uid:
                    return None
                alive = not _try_lock(opened, fcntl.LOCK_SH)
                if not alive and not _is_named(opened, name, folder):
                    continue
                entry = RegistryEntry.parse(os.read(opened, _MAX_ENTRY_NBYTES))
            except (OSError, ValueError) as error:
                log.warning("%s is no registry entry: %s", name, error)
                return None
            finally:
                os.close(opened)
            if name != entry.mount_id + _SUFFIX or entry.uid != self._uid:
                log.warning("%s does not tell of a mount of user %d", name, self._uid)
                return None
            return FoundEntry(entry, self.runtime, alive)


def _open_file(folder: int, name: str) -> int | None:
    # Not blocking, for the case that it is a FIFO.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        opened = os.open(name, flags, dir_fd=folder)
    except OSError:
        return None
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        os.close(opened)
        return None
    return opened


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_named(descriptor: int, name: str | Path, folder: int | None = None) -> bool:
    """Whether a name still leads to an open file."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(name, dir_fd=folder))
    except OSError:
        return False


def _remove_unlocked(folder: int, name: str) -> bool:
    opened = _open_file(folder, name)
    if opened is None:
        return False
    try:
        if not _try_lock(opened, fcntl.LOCK_EX) or not _is_named(opened, name, folder):
            return False
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return False
    finally:
        os.close(opened)
    return True
