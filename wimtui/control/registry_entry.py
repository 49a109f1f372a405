"""One entry of the registry of mounts: a JSON file that its daemon locks for as long as it lives.

The lock (flock) is the only sign of life: the kernel drops it however the daemon ends, and unlike a
process id it is never somebody else's. Every write replaces the file, so readers see one whole
state; the lock is taken on the replacement before it gets its name.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import json
import os
import re
import secrets
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import wimtui
from wimtui import paths
from wimtui.control.errors import RegistryError
from wimtui.control.processes import start_ticks
from wimtui.control.protocol import DaemonState
from wimtui.control.transport import daemon_queue_name

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

ENTRY_VERSION = 1
ENTRY_SUFFIX = ".json"
_MAX_PID = 1 << 22
_NEW_SUFFIX = ".new"
_MOUNT_ID = re.compile(r"[0-9a-f]{16}")

_JSON_TYPES: dict[str, type | tuple[type, ...]] = {
    "str": str,
    "int": int,
    "float": (int, float),
    "DaemonState": str,
    "Mapping[str, Any]": dict,
}
"""What stands in the file for the types of RegistryEntry."""


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
    wim_state: str = ""
    """What became of the WIM since it was mounted: ``overwritten``, ``replaced`` or ``gone``."""
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
        values: dict[str, Any] = {}
        for name, kind in ((f.name, str(f.type)) for f in dataclasses.fields(cls)):
            if name not in raw:
                continue
            if not isinstance(raw[name], _JSON_TYPES[kind]):
                raise ValueError(f"{name} cannot be {raw[name]!r:.80}")
            values[name] = DaemonState(raw[name]) if kind == "DaemonState" else raw[name]
        if not is_mount_id(str(values.get("mount_id"))):
            raise ValueError("no mount id")
        _check_plausible(values)
        try:
            return cls(**values)
        except TypeError as error:
            raise ValueError(str(error)) from error


def _check_plausible(values: Mapping[str, Any]) -> None:
    """Refuse what no daemon writes and what would break a reader: entries may be anybody's."""
    for name, value in values.items():
        if isinstance(value, str):
            value.encode("utf-8", "surrogateescape")
            if "\0" in value:
                raise ValueError(f"{name} has a NUL")
        elif isinstance(value, int | float) and not -1 <= value < 1 << 62:
            raise ValueError(f"{name} cannot be {value}")
    if values.get("pid", 0) > _MAX_PID:
        raise ValueError("pid is none that a process can have")


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
        return mounts_folder(self._runtime) / (self.entry.mount_id + ENTRY_SUFFIX)

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
        if self._descriptor is not None and not is_named(self._descriptor, self.path):
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
                packed = self.entry.pack()
                if os.write(descriptor, packed) != len(packed):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
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


def is_named(descriptor: int, name: str | Path, folder: int | None = None) -> bool:
    """Whether a name still leads to an open file."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(name, dir_fd=folder))
    except OSError:
        return False
