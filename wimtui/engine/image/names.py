"""File names: UTF-16LE as stored, WTF-8 as Linux sees them, and NTFS collation.

WTF-8 is UTF-8 in which unpaired surrogates keep their 3-byte form, so every stored name has exactly
one form on the host. The upcase table is that of Windows 10's NTFS, one UTF-16 unit at a time.
"""

from __future__ import annotations

from functools import cache
from struct import pack

from wimtui.engine.errors import NameEncodingError

MAX_NAME_UNITS = 32767
"""UTF-16 units that the format's 16-bit byte count can hold."""

MAX_NTFS_NAME_UNITS = 255

MAX_HOST_NAME_NBYTES = 1024
"""Longest WTF-8 name that the kernel accepts from a FUSE file system."""

# first[-last][/step] delta: code units in hexadecimal, step and delta in decimal.
_UPCASE_RANGES = """
61-7A -32;E0-F6 -32;F8-FE -32;FF 121;101-12F/2 -1;133-137/2 -1;13A-148/2 -1;14B-177/2 -1
17A-17E/2 -1;180 195;183-185/2 -1;188 -1;18C -1;192 -1;195 97;199 -1;19A 163;19E 130;1A1-1A5/2 -1
1A8 -1;1AD -1;1B0 -1;1B4-1B6/2 -1;1B9 -1;1BD -1;1BF 56;1C6 -2;1C9 -2;1CC -2;1CE-1DC/2 -1;1DD -79
1DF-1EF/2 -1;1F3 -2;1F5 -1;1F9-21F/2 -1;223-233/2 -1;23C -1;242 -1;247-24F/2 -1;250 10783
251 10780;253 -210;254 -206;256-257 -205;259 -202;25B -203;260 -205;263 -207;268 -209;269 -211
26B 10743;26F -211;271 10749;272 -213;275 -214;27D 10727;280 -218;283 -218;288 -218;289 -69
28A-28B -217;28C -71;292 -219;371-373/2 -1;377 -1;37B-37D 130;3AC -38;3AD-3AF -37;3B1-3C1 -32
3C3-3CB -32;3CC -64;3CD-3CE -63;3D7 -8;3D9-3EF/2 -1;3F2 7;3F8 -1;3FB -1;430-44F -32;450-45F -80
461-481/2 -1;48B-4BF/2 -1;4C2-4CE/2 -1;4CF -15;4D1-523/2 -1;561-586 -48;1D79 35332;1D7D 3814
1E01-1E95/2 -1;1EA1-1EFF/2 -1;1F00-1F07 8;1F10-1F15 8;1F20-1F27 8;1F30-1F37 8;1F40-1F45 8
1F51-1F57/2 8;1F60-1F67 8;1F70-1F71 74;1F72-1F75 86;1F76-1F77 100;1F78-1F79 128;1F7A-1F7B 112
1F7C-1F7D 126;1F80-1F87 8;1F90-1F97 8;1FA0-1FA7 8;1FB0-1FB1 8;1FB3 9;1FC3 9;1FD0-1FD1 8
1FE0-1FE1 8;1FE5 7;1FF3 9;214E -28;2170-217F -16;2184 -1;24D0-24E9 -26;2C30-2C5E -48;2C61 -1
2C65 -10795;2C66 -10792;2C68-2C6C/2 -1;2C73 -1;2C76 -1;2C81-2CE3/2 -1;2D00-2D25 -7264
A641-A65F/2 -1;A663-A66D/2 -1;A681-A697/2 -1;A723-A72F/2 -1;A733-A76F/2 -1;A77A-A77C/2 -1
A77F-A787/2 -1;A78C -1;FF41-FF5A -32
"""


def _upcase_pairs() -> dict[int, int]:
    pairs = {}
    for entry in _UPCASE_RANGES.replace("\n", ";").strip(";").split(";"):
        span, delta = entry.split()
        span, _, step = span.partition("/")
        first, _, last = span.partition("-")
        for unit in range(int(first, 16), int(last or first, 16) + 1, int(step or 1)):
            pairs[unit] = unit + int(delta)
    return pairs


_UPCASE = _upcase_pairs()


@cache
def upcase_table() -> bytes:
    """Return the 65,536 upper-case units in native byte order, 128 KiB, for the scanner."""
    units = [*range(65536)]
    for unit, upper in _UPCASE.items():
        units[unit] = upper
    return pack("=65536H", *units)


def upcase(text: str) -> str:
    """Return the text as NTFS compares it when case does not matter."""
    return text.translate(_UPCASE)


def wtf8_from_utf16(units: bytes) -> bytes:
    """Return the host form of UTF-16LE bytes, of which there must be an even number."""
    return units.decode("utf-16-le", "surrogatepass").encode("utf-8", "surrogatepass")


def utf16_from_wtf8(name: bytes) -> bytes:
    """Return a host name as UTF-16LE bytes. Raises NameEncodingError."""
    return text_from_wtf8(name).encode("utf-16-le", "surrogatepass")


def text_from_wtf8(name: bytes) -> str:
    """Return a host name as text that may hold lone surrogates. Raises NameEncodingError."""
    try:
        return name.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise NameEncodingError(
            f"the name {name!r} is not UTF-8 (byte {error.start})",
            hint="rename it with a UTF-8 locale",
        ) from error


def wtf8_from_text(text: str) -> bytes:
    """Return text as a host name; lone surrogates keep their 3-byte form."""
    return text.encode("utf-8", "surrogatepass")


def collation_key(name: bytes) -> tuple[bytes, bytes]:
    """Return what orders WTF-8 names as NTFS does: upper-cased units first, exact units second."""
    text = text_from_wtf8(name)
    exact = text.encode("utf-16-be", "surrogatepass")
    return upcase(text).encode("utf-16-be", "surrogatepass"), exact
