"""What comes after ``-o``: words for libfuse, for the kernel, for mount(8), and for us."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

from wimtui.engine.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

# Words that fstab carries for mount(8), systemd and udisks; a mount helper is handed them all.
_FOR_MOUNT: Final = frozenset(
    {
        "auto", "noauto", "defaults", "user", "nouser", "users", "owner", "noowner", "group",
        "nogroup", "nofail", "_netdev", "loud", "silent",
    }
)  # fmt: skip
_FOR_MOUNT_PREFIXES: Final = ("x-", "X-", "comment=", "user=", "uhelper=", "helper=")

# What the kernel knows, libfuse 3.14 refuses, and nothing here can tell apart: reading never
# changes a time. nonempty is what libfuse 3 always does.
_WITHOUT_EFFECT: Final = frozenset(
    {
        "relatime", "norelatime", "strictatime", "nostrictatime", "lazytime", "nolazytime",
        "diratime", "nodiratime", "symfollow", "nonempty",
    }
)  # fmt: skip

_IGNORED: Final = _FOR_MOUNT | _WITHOUT_EFFECT

_MAX_READ_TEXT: Final = (
    "the option max_read cannot be used: the kernel would refuse the mount, "
    "because libfuse wants the same number from both ends and only one can be set"
)


@dataclass(frozen=True, slots=True)
class FuseOptions:
    """How a file system is mounted."""

    read_only: bool = True
    """The kernel refuses every change (``ro``)."""
    allow_other: bool = False
    """Other users may look in; for all but root /etc/fuse.conf must say user_allow_other."""
    default_permissions: bool = True
    """The kernel checks permissions from the mode bits, and asks nobody."""
    debug: bool = False
    """libfuse prints every message to standard error."""
    fsname: str | None = None
    """The source column of mount(8) and df(1)."""
    subtype: str | None = "wim"
    """The type column then says ``fuse.`` and this."""
    passed_on: tuple[str, ...] = field(default=())
    """Words for libfuse or the kernel, such as ``nosuid`` or ``auto_unmount``."""

    @classmethod
    def parse(cls, words: Iterable[str], *, read_only: bool = True) -> Self:
        r"""Read the words given with ``-o``, commas and all.

        Words for mount(8) and words without effect are dropped. Words that nothing here knows go
        on to libfuse, which refuses the mount if it does not know them either.

        Args:
            words: Each may hold several, separated by commas; a comma in a value is ``\,``.
            read_only: What holds unless ``ro`` or ``rw`` is among the words; the last one wins.

        Raises:
            UsageError: ``max_read``, or a word that lacks its value.
        """
        values: dict[str, bool | str] = {"read_only": read_only}
        passed_on: list[str] = []
        for word in (piece for text in words for piece in split_words(text)):
            name, _, value = word.partition("=")
            if name in {"ro", "rw"}:
                values["read_only"] = name == "ro"
            elif name == "max_read":
                raise UsageError(_MAX_READ_TEXT, structure=f"-o {word}", hint="leave it out")
            elif name in {"fsname", "subtype"}:
                if not value:
                    raise UsageError("the option needs a value", structure=f"-o {word}")
                values[name] = unescape(value)
            elif word in {"allow_other", "default_permissions", "debug"}:
                values[word] = True
            elif word == "no_default_permissions":
                values["default_permissions"] = False
            elif word not in _IGNORED and not word.startswith(_FOR_MOUNT_PREFIXES):
                passed_on.append(word)
        return cls(passed_on=tuple(passed_on), **values)  # type: ignore[arg-type]

    def for_pyfuse3(self) -> set[str]:
        """Return the words for ``pyfuse3.init``; ASCII, as it demands."""
        words = set(self.passed_on)
        words.add("ro" if self.read_only else "rw")
        for name in ("allow_other", "default_permissions", "debug"):
            if getattr(self, name):
                words.add(name)
        if self.fsname is not None:
            words.add(f"fsname={escape(self.fsname)}")
        if self.subtype is not None:
            words.add(f"subtype={escape(self.subtype)}")
        return words


def split_words(text: str) -> list[str]:
    """Split at commas that no backslash protects; empty words vanish."""
    words = [""]
    position = 0
    while position < len(text):
        character = text[position]
        if character == "\\":
            words[-1] += text[position : position + 2]
            position += 2
            continue
        if character == ",":
            words.append("")
        else:
            words[-1] += character
        position += 1
    return [word for word in (word.strip() for word in words) if word]


def unescape(value: str) -> str:
    """Take away the backslashes that protect a character."""
    return re.sub(r"\\(.)", r"\1", value)


def escape(value: str) -> str:
    """Write a value so that libfuse reads it back, in ASCII.

    libfuse takes a backslash before any character, and before three octal digits for a byte.
    """
    escaped = []
    for byte in value.encode("utf-8", "surrogateescape"):
        if byte in b",\\":
            escaped.append("\\" + chr(byte))
        elif 0x20 < byte < 0x7F:
            escaped.append(chr(byte))
        else:
            escaped.append(f"\\{byte:03o}")
    return "".join(escaped)
