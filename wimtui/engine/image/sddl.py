"""Self-relative security descriptors as SDDL text."""

from __future__ import annotations

import struct
from typing import Final

from wimtui.engine.errors import MetadataError

_DESCRIPTOR = struct.Struct("<BBHIIII")
_ACL = struct.Struct("<BBHHH")
_ACE = struct.Struct("<BBH")

_SE_DACL_PRESENT = 0x0004
_SE_SACL_PRESENT = 0x0010

_DACL_FLAGS: Final = ((0x1000, "P"), (0x0100, "AR"), (0x0400, "AI"))
_SACL_FLAGS: Final = ((0x2000, "P"), (0x0200, "AR"), (0x0800, "AI"))

_ACE_TYPES: Final = {
    0x00: "A", 0x01: "D", 0x02: "AU", 0x03: "AL", 0x05: "OA", 0x06: "OD", 0x07: "OU", 0x08: "OL",
    0x09: "XA", 0x0A: "XD", 0x0B: "ZA", 0x0D: "XU", 0x11: "ML", 0x12: "RA", 0x13: "SP",
}  # fmt: skip
_OBJECT_ACES: Final = frozenset({0x05, 0x06, 0x07, 0x08, 0x0B})
_ACE_FLAGS: Final = (
    (0x02, "CI"), (0x01, "OI"), (0x04, "NP"), (0x08, "IO"), (0x10, "ID"), (0x40, "SA"),
    (0x80, "FA"),
)  # fmt: skip

_WHOLE_RIGHTS: Final = {
    0x001F01FF: "FA", 0x00120089: "FR", 0x00120116: "FW", 0x001200A0: "FX",
    0x10000000: "GA", 0x80000000: "GR", 0x40000000: "GW", 0x20000000: "GX",
}  # fmt: skip
_LABEL_RIGHTS: Final = ((0x1, "NW"), (0x2, "NR"), (0x4, "NX"))
_LABEL_ACE: Final = 0x11

_SIDS: Final = {
    "S-1-1-0": "WD", "S-1-3-0": "CO", "S-1-3-1": "CG", "S-1-3-4": "OW",
    "S-1-5-2": "NU", "S-1-5-4": "IU", "S-1-5-6": "SU", "S-1-5-7": "AN", "S-1-5-9": "ED",
    "S-1-5-10": "PS", "S-1-5-11": "AU", "S-1-5-12": "RC", "S-1-5-18": "SY", "S-1-5-19": "LS",
    "S-1-5-20": "NS", "S-1-5-33": "WR", "S-1-5-32-544": "BA", "S-1-5-32-545": "BU",
    "S-1-5-32-546": "BG", "S-1-5-32-547": "PU", "S-1-5-32-548": "AO", "S-1-5-32-549": "SO",
    "S-1-5-32-550": "PO", "S-1-5-32-551": "BO", "S-1-5-32-552": "RE", "S-1-5-32-554": "RU",
    "S-1-5-32-555": "RD", "S-1-5-32-556": "NO", "S-1-15-2-1": "AC", "S-1-16-4096": "LW",
    "S-1-16-8192": "ME", "S-1-16-8448": "MP", "S-1-16-12288": "HI", "S-1-16-16384": "SI",
}  # fmt: skip


def sddl_text(descriptor: bytes) -> str:
    """Return ``O:...G:...D:...S:...``; bytes after an ACE's SID are shown in hexadecimal.

    Raises:
        MetadataError: The descriptor is malformed.
    """
    try:
        _, _, control, owner, group, sacl, dacl = _DESCRIPTOR.unpack_from(descriptor)
        text = ""
        if owner:
            text += "O:" + _sid(descriptor, owner)[0]
        if group:
            text += "G:" + _sid(descriptor, group)[0]
        if control & _SE_DACL_PRESENT:
            text += "D:" + _acl_flags(control, _DACL_FLAGS) + _acl(descriptor, dacl)
        if control & _SE_SACL_PRESENT:
            text += "S:" + _acl_flags(control, _SACL_FLAGS) + _acl(descriptor, sacl)
    except (struct.error, IndexError) as error:
        raise MetadataError(f"malformed security descriptor of {len(descriptor)} bytes") from error
    return text


def _sid(data: bytes, offset: int) -> tuple[str, int]:
    """Return a SID's text and the offset after it."""
    revision, count = data[offset], data[offset + 1]
    authority = int.from_bytes(struct.unpack_from("6s", data, offset + 2)[0], "big")
    parts = struct.unpack_from(f"<{count}I", data, offset + 8)
    shown = str(authority) if authority < 2**32 else f"0x{authority:012x}"
    text = "-".join([f"S-{revision}", shown, *map(str, parts)])
    return _SIDS.get(text, text), offset + 8 + 4 * count


def _acl_flags(control: int, flags: tuple[tuple[int, str], ...]) -> str:
    return "".join(text for bit, text in flags if control & bit)


def _acl(data: bytes, offset: int) -> str:
    if offset == 0:
        return "NO_ACCESS_CONTROL"
    _, _, nbytes, count, _ = _ACL.unpack_from(data, offset)
    end = min(offset + nbytes, len(data))
    offset += _ACL.size
    aces = []
    for _ in range(count):
        ace_nbytes = _ACE.unpack_from(data, offset)[2]
        if ace_nbytes < 8 or offset + ace_nbytes > end:
            raise IndexError
        aces.append(_ace(data[offset : offset + ace_nbytes]))
        offset += ace_nbytes
    return "".join(aces)


def _ace(ace: bytes) -> str:
    kind, flags, _ = _ACE.unpack_from(ace)
    shown_flags = "".join(name for bit, name in _ACE_FLAGS if flags & bit)
    shown_kind = _ACE_TYPES.get(kind)
    if shown_kind is None:
        return f"(0x{kind:02x};{shown_flags};;;;{ace[4:].hex()})"
    (mask,) = struct.unpack_from("<I", ace, 4)
    offset = 8
    guids = ["", ""]
    if kind in _OBJECT_ACES:
        (present,) = struct.unpack_from("<I", ace, offset)
        offset += 4
        for index in range(2):
            if present >> index & 1:
                guids[index] = _guid(ace, offset)
                offset += 16
    sid, offset = _sid(ace, offset)
    fields = [shown_kind, shown_flags, _rights(mask, kind), *guids, sid]
    rest = ace[offset:]
    if any(rest):
        fields.append(rest.hex())
    return f"({';'.join(fields)})"


def _rights(mask: int, kind: int) -> str:
    if kind == _LABEL_ACE and mask and not mask & ~0x7:
        return "".join(name for bit, name in _LABEL_RIGHTS if mask & bit)
    return _WHOLE_RIGHTS.get(mask, f"0x{mask:x}")


def _guid(data: bytes, offset: int) -> str:
    first, second, third, rest = struct.unpack_from("<IHH8s", data, offset)
    return f"{first:08x}-{second:04x}-{third:04x}-{rest[:2].hex()}-{rest[2:].hex()}"
