"""Staged changes that are always the same, for pictures."""

from __future__ import annotations

from wimtui.service.changes import ChangeList, SideFacts, StagedChange, StreamComparison
from wimtui.service.comparisons import PathDiff, stream_diff

TICKS = 133_534_656_000_000_000
"""2024-02-27."""


def _change(
    kind: str,
    path: str,
    before: int | None = None,
    after: int | None = None,
    what: tuple[str, ...] = (),
    old: str | None = None,
    *,
    folder: bool = False,
) -> StagedChange:
    return StagedChange(kind, path, old, what, before, after, folder)


CHANGES = (
    _change("modified", "/Windows/System32/drivers/etc/hosts", 824, 871, ("data",)),
    _change("modified", "/Windows/System32/kernel32.dll", 790_000, 790_000, ("data", "streams")),
    _change("deleted", "/Windows/System32/oobe", folder=True),
    _change("added", "/Windows/Panther", folder=True),
    _change("added", "/Windows/Panther/unattend.xml", None, 1834),
    _change("added", "/Windows/Panther/\x1b[31m[bold]\u202egnp.exe", None, 77_000),
    _change("added", "/Windows/Panther/日本語のファイル.txt", None, 90),
    _change("deleted", "/Windows/notepad.exe", 360_448),
    _change("renamed", "/Windows/old.log", 18_022, 18_022, ("names",), "/Windows/setupact.log"),
    _change("renamed", "/Users/Ada", None, None, ("names",), "/Users/Default", folder=True),
    _change("modified", "/Users/Public", None, None, ("attributes", "times"), folder=True),
)

LISTED = ChangeList(
    "1", is_alive=True, staged_nbytes=1_234_567,
    by_json={b"%d" % number: change for number, change in enumerate(CHANGES)},
)  # fmt: skip

_HOSTS = """# Copyright (c) 1993-2009 Microsoft Corp.
#
# This is a sample HOSTS file used by Microsoft TCP/IP for Windows.

127.0.0.1       localhost
::1             localhost
"""
_DLL = bytes(range(256)) * 16


def _side(path: str, size: int, written: int, *streams: tuple[str, int]) -> SideFacts:
    return SideFacts(
        path=path, type=0o100000, size=size, attributes=0x20, creation_time=TICKS,
        access_time=TICKS, write_time=TICKS + written, link_count=2, short_name="", sddl="O:SYG:SY",
        reparse_tag=0, link_target="", unix=None, object_id="", streams=streams,
    )  # fmt: skip


def diff_path(path: str) -> PathDiff:
    """Compare text for hosts, bytes and a stream for all else."""
    if path.endswith("hosts"):
        before = _HOSTS.encode()
        after = before.replace(b"::1  ", b"fe80::1") + b"10.0.0.7        build.example\n"
        streams = [_compared("", before, after)]
    else:
        patched = _DLL[:1000] + b"patched" + _DLL[1007:]
        zone = b"[ZoneTransfer]\r\nZoneId=3\r\n"
        streams = [_compared("", _DLL, patched), _compared("Zone.Identifier", None, zone)]
    return PathDiff(
        path,
        _side(path, 824, 0),
        _side(path, 871, 10_000_000 * 86400, ("Zone.Identifier", 26)),
        tuple(map(stream_diff, streams)),
    )


def _compared(name: str, before: bytes | None, after: bytes) -> StreamComparison:
    old = before or b""
    size = None if before is None else len(old)
    pairs = enumerate(zip(old, after, strict=False))
    difference = next((at for at, (one, other) in pairs if one != other), None)
    return StreamComparison(
        name, size, len(after), difference, len(old), 0, old, after, b"", b""
    )  # fmt: skip
