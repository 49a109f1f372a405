"""What a mount daemon is asked to do: plain values, from a front end to ``wimtui.daemon``."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_type_hints

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class MountRequest:
    """One mount. Paths are absolute."""

    mount_id: str
    wim_path: str
    mount_point: str
    image: str = ""
    """1-based index or name; empty where the WIM has one image."""
    read_write: bool = False
    references: tuple[str, ...] = ()
    """Globs of further parts, or of the WIMs that a delta WIM refers to."""
    check: bool = False
    """Verify the integrity table first."""
    streams: str = "xattr"
    """``none``, ``xattr`` or ``windows``."""
    unix_data: bool = False
    allow_other: bool = False
    ignore_case: bool = False
    uid: int = 0
    gid: int = 0
    umask: int = 0
    cache_nbytes: int = 256 << 20
    max_chunk_nbytes: int = 64 << 20
    max_metadata_nbytes: int = 0
    """0 goes by the size of the file."""
    fuse_options: tuple[str, ...] = ()
    """Words given with ``-o``."""
    staging_parent: str = ""
    """Where a read-write mount puts its staging folder; empty for beside the WIM."""
    staging_path: str = ""
    """An existing staging folder to go on with."""
    log_file: str = ""
    debug: bool = False
    """Print FUSE messages to standard error."""

    def to_options(self) -> dict[str, Any]:
        """Return the request as JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> MountRequest:
        """Read a request; unknown keys are ignored.

        Raises:
            ValueError: A value is missing or of the wrong type.
        """
        kinds = get_type_hints(cls)
        values: dict[str, Any] = {}
        for field in dataclasses.fields(cls):
            if field.name not in options:
                continue
            value = options[field.name]
            kind = kinds[field.name]
            if kind == tuple[str, ...]:
                if not isinstance(value, list | tuple):
                    raise ValueError(f"{field.name} is no list")
                value = tuple(map(str, value))
            elif type(value) is not kind:
                raise ValueError(f"{field.name} cannot be {value!r:.80}")
            values[field.name] = value
        try:
            return cls(**values)
        except TypeError as error:
            raise ValueError(str(error)) from error
