"""Which names can be given: the format's limits, and what Windows thinks of them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from wimtui.engine.errors import InvalidNameError, NameEncodingError, NameTooLongError
from wimtui.engine.image.names import (
    MAX_NTFS_NAME_UNITS,
    utf16_from_wtf8,
    wtf8_from_utf16,
)
from wimtui.engine.image.view import StreamsInterface

if TYPE_CHECKING:
    from wimtui.engine.staging.options import OverlayOptions

_log = logging.getLogger(__name__)

_FORBIDDEN: Final = frozenset(b'"*/:<>?\\|') | frozenset(range(0x20))
_DEVICES: Final = frozenset(
    [b"CON", b"PRN", b"AUX", b"NUL"]
    + [b"COM%d" % number for number in range(1, 10)]
    + [b"LPT%d" % number for number in range(1, 10)]
)


def windows_objection(name: bytes) -> str | None:
    """Say why Windows would not take a name, or None."""
    if any(byte in _FORBIDDEN for byte in name):
        return 'it has one of the characters " * / : < > ? \\ | or a control character'
    if name.endswith((b" ", b".")):
        return "it ends with a space or a dot"
    if name.partition(b".")[0].rstrip(b" ").upper() in _DEVICES:
        return "it is the name of a device"
    return None


def check_encoding(name: bytes) -> None:
    """Raise unless a name can be stored and found again.

    Raises:
        NameEncodingError: It is no UTF-8, or not the one form that a name has.
        NameTooLongError: It exceeds 255 UTF-16 units.
    """
    units = len(name)
    if not name.isascii():
        stored = utf16_from_wtf8(name)
        units = len(stored) // 2
        if wtf8_from_utf16(stored) != name:
            raise NameEncodingError(
                f"the name {name!r} has a surrogate pair in place of one character",
                hint="rename it with a UTF-8 locale",
            )
    if units > MAX_NTFS_NAME_UNITS:
        raise NameTooLongError(
            f"a name of {units} UTF-16 units; {MAX_NTFS_NAME_UNITS} are possible"
        )


class NameRules:
    """Checks the names of one overlay."""

    def __init__(self, options: OverlayOptions) -> None:
        """Be as strict as the options say."""
        self._windows_names = options.windows_names
        self._colon_is_special = options.view.streams is StreamsInterface.WINDOWS
        self._warned = False

    def check(self, name: bytes) -> None:
        """Raise unless a file or directory can be given that name.

        Raises:
            InvalidNameError: It is empty, a dot entry, or one that the options forbid.
            NameEncodingError: It is no UTF-8.
            NameTooLongError: It is too long.
        """
        if name in (b"", b".", b"..") or b"/" in name or b"\0" in name:
            raise InvalidNameError(f"{name!r} is no name")
        if self._colon_is_special and b":" in name[:-1]:
            raise InvalidNameError(
                f"{_shown(name)} names a stream, and this must be a file or directory"
            )
        check_encoding(name)
        if self._warned and not self._windows_names:
            return
        objection = windows_objection(name)
        if objection is None:
            return
        if self._windows_names:
            raise InvalidNameError(f"Windows forbids the name {_shown(name)}: {objection}")
        self._warned = True
        _log.warning("Windows will not take the name %s: %s", _shown(name), objection)


def check_stream_name(name: bytes) -> None:
    """Raise unless a named stream can have that name.

    Raises:
        InvalidNameError: It is empty or has a character that NTFS forbids.
        NameEncodingError: It is no UTF-8.
        NameTooLongError: It is too long.
    """
    if not name or any(byte in b"\\/:\0" for byte in name):
        raise InvalidNameError(f"{_shown(name)} is no name that a stream can have")
    check_encoding(name)


def _shown(name: bytes) -> str:
    return name.decode(errors="replace")
