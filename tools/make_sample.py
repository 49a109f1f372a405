"""Make a small WIM with everything that the app and the tour can show: make_sample.py [OUTPUT].

Written by the engine that it is a sample for; by default to build/sample.wim, which `make run`
opens. tools/sample/sample.wim has the same files and was written by another program: tests begin
with it so that they do not rest on what this project writes, and the pictures show its sizes, so
it stays as it is.

Two images of an imaginary Windows, LZX: long and short names, hard links, symlinks, a junction,
named streams, security descriptors, times, and XML properties as a capture tool writes them. The
same bytes come out every time.
"""

from __future__ import annotations

import random
import struct
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from wimtui.engine.archive import Archive  # noqa: E402
from wimtui.engine.codecs.base import CodecId  # noqa: E402
from wimtui.engine.commit import edit  # noqa: E402
from wimtui.engine.commit.capture import CapturedTree  # noqa: E402
from wimtui.engine.commit.options import Compression, WriteOptions  # noqa: E402
from wimtui.engine.commit.sources import MemorySource  # noqa: E402
from wimtui.engine.image.attributes import FileAttribute  # noqa: E402
from wimtui.engine.image.metadata_writer import DentryNode  # noqa: E402
from wimtui.engine.image.reparse import symlink_blob  # noqa: E402
from wimtui.engine.image.security import SecurityData  # noqa: E402
from wimtui.engine.timestamps import ns_to_ticks  # noqa: E402

if TYPE_CHECKING:
    from wimtui.engine.commit.snapshot import BlobSource

OUTPUT = ROOT / "build" / "sample.wim"
GUID_OFFSET = 24
GUID = bytes.fromhex("5a6d706c65202d20776d747569203031")
DAY_NS = 86_400 * 10**9
EPOCH_NS = 1_710_000_000 * 10**9
SYMLINK, JUNCTION = 0xA000000C, 0xA0000003
LOREM = (
    b"driver setup image boot network storage display adapter service control policy update\r\n"
    b"component package feature language resource version registry hive session manager\r\n"
)


def owner_descriptor(owner: int, *rights: tuple[int, int]) -> bytes:
    """Return a self-relative descriptor: owner and group BUILTIN\\owner, and allow entries."""

    def sid(authority: int, *parts: int) -> bytes:
        head = struct.pack(">BBHI", 1, len(parts), 0, authority)
        return head + struct.pack(f"<{len(parts)}I", *parts)

    entries = b""
    for account, mask in rights:
        trustee = sid(5, account) if account < 500 else sid(5, 32, account)
        entries += struct.pack("<BBHI", 0, 3, 8 + len(trustee), mask) + trustee
    acl = struct.pack("<BBHHH", 2, 0, 8 + len(entries), len(rights), 0) + entries
    who = sid(5, 32, owner)
    head = struct.pack("<BBHIIII", 1, 0, 0x8004, 20, 20 + len(who), 0, 20 + 2 * len(who))
    return head + who + who + acl


DESCRIPTORS = (
    owner_descriptor(544, (544, 0x1F01FF), (18, 0x1F01FF), (545, 0x1200A9)),
    owner_descriptor(544, (544, 0x1F01FF), (18, 0x1F01FF)),
)


@dataclass
class Sample:
    """The images being made."""

    rng: random.Random
    sources: dict[bytes, BlobSource] = field(default_factory=dict)
    groups: int = 0

    def blob(self, data: bytes) -> bytes:
        """Take data into the image; return the token that stands for its hash."""
        if not data:
            return bytes(20)
        token = b"of the sample" + len(self.sources).to_bytes(7, "big")
        self.sources[token] = MemorySource(data)
        return token

    def tree(self, edition: str, drivers: int) -> CapturedTree:
        """Return one image, whose data none of the others has."""
        self.sources = {}
        top = windows_tree(self, edition, drivers)
        return CapturedTree(top, SecurityData.build(DESCRIPTORS).raw, self.sources)

    def node(self, name: str, attributes: FileAttribute, **fields: object) -> DentryNode:
        """Make a node with times that differ from file to file."""
        made = EPOCH_NS + self.rng.randrange(400) * DAY_NS + self.rng.randrange(DAY_NS)
        times = [ns_to_ticks(made + days * DAY_NS) for days in (0, 20, 5)]
        created, accessed, written = times
        return DentryNode(
            name.encode(), int(attributes), security_id=0, creation_time=created,
            access_time=accessed, write_time=written, **fields,  # type: ignore[arg-type]
        )  # fmt: skip

    def folder(self, name: str, *children: DentryNode, **fields: object) -> DentryNode:
        """Make a directory; the writer wants children in any order."""
        return self.node(name, FileAttribute.DIRECTORY, children=list(children), **fields)

    def file(self, name: str, data: bytes, **fields: object) -> DentryNode:
        """Make a file with unnamed data."""
        return self.node(name, FileAttribute.ARCHIVE, content_sha1=self.blob(data), **fields)

    def text(self, name: str, lines: int, **fields: object) -> DentryNode:
        """Make a text file."""
        words = LOREM.split()
        body = b"\r\n".join(
            b" ".join(self.rng.choices(words, k=9)) for _ in range(lines)
        )  # fmt: skip
        return self.file(name, body + b"\r\n", **fields)

    def program(self, name: str, nbytes: int, **fields: object) -> DentryNode:
        """Make something that looks like a program and compresses like one."""
        rng = self.rng
        code = bytearray(b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xff\xff\0\0")
        while len(code) < nbytes:
            code += rng.choice(
                (b"\x48\x8b\x05", b"\xe8" + rng.randbytes(2) + b"\0\0", b"\x89\x45\xfc", bytes(24),
                 rng.randbytes(12), b"\x55\x48\x89\xe5"),
            )  # fmt: skip
        return self.file(name, bytes(code[:nbytes]), **fields)

    def link(self, name: str, target: str, *, directory: bool = False) -> DentryNode:
        """Make a symlink."""
        kind = FileAttribute.REPARSE_POINT | (FileAttribute.DIRECTORY if directory else 0)
        sha1 = self.blob(symlink_blob(target.encode()))
        return self.node(
            name, FileAttribute(kind), content_sha1=sha1, reparse_tag=SYMLINK, rp_flags=1
        )

    def junction(self, name: str, target: str) -> DentryNode:
        """Make a junction to an absolute path that was fixed to the image's root."""
        substitute = f"\\??\\C:{target}".encode("utf-16-le")
        printed = f"C:{target}".encode("utf-16-le")
        sizes = (0, len(substitute), len(substitute) + 2, len(printed))
        data = struct.pack("<4H", *sizes) + substitute + b"\0\0" + printed + b"\0\0"
        kind = FileAttribute.REPARSE_POINT | FileAttribute.DIRECTORY
        return self.node(name, kind, content_sha1=self.blob(data), reparse_tag=JUNCTION)

    def hard_links(self, first: DentryNode, *names: str) -> list[DentryNode]:
        """Return a file under several names."""
        self.groups += 1
        first.group_id = self.groups
        others = []
        for name in names:
            copy = DentryNode(
                name.encode(), first.attributes, first.security_id, first.creation_time,
                first.access_time, first.write_time, first.content_sha1,
                group_id=self.groups,
            )  # fmt: skip
            others.append(copy)
        return [first, *others]


def windows_tree(sample: Sample, edition: str, drivers: int) -> DentryNode:
    """Return the tree of one image."""
    zone = b"[ZoneTransfer]\r\nZoneId=3\r\nHostUrl=https://example.org/setup.exe\r\n"
    notepad, notepad_copy = sample.hard_links(sample.program("notepad.exe", 68_000), "notepad.exe")
    system32 = sample.folder(
        "System32",
        notepad,
        sample.program("ntoskrnl.exe", 240_000),
        sample.program("kernel32.dll", 96_000),
        sample.file("startnet.cmd", b"wpeinit\r\n"),
        sample.folder(
            "drivers",
            *(sample.program(f"net{n:03}.sys", 9_000 + 700 * n) for n in range(drivers)),
            sample.folder("etc", sample.text("hosts", 12), sample.text("services", 160)),
        ),
        sample.folder(
            "config",
            *(
                sample.file(
                    name,
                    b"regf" + sample.rng.randbytes(64) + bytes(24_000 + 4096 * n),
                )
                for n, name in enumerate(("SOFTWARE", "SYSTEM", "SAM", "SECURITY"))
            ),
        ),
        sample.folder("ru-RU", sample.text("Справка.txt", 20)),
    )
    windows = sample.folder(
        "Windows",
        notepad_copy,
        system32,
        sample.folder(
            "INF", *(sample.text(f"oem{n}.inf", 30 + n, short_name=b"") for n in range(drivers))
        ),
        sample.folder("Temp"),
        sample.text("WindowsUpdate.log", 400),
    )
    setup = sample.file(
        "setup.exe", sample.rng.randbytes(30_000),
        named_streams=((b"Zone.Identifier", sample.blob(zone)), (b"empty", bytes(20))),
    )  # fmt: skip
    utf16 = f"Edition\t{edition}\r\nnäive café\r\n".encode("utf-16")
    program_files = sample.folder(
        "Program Files", sample.folder("Common Files"), short_name=b"PROGRA~1"
    )
    users = sample.folder(
        "Users",
        sample.folder("Public", sample.text("read me first.txt", 40, short_name=b"README~1.TXT")),
        sample.link("Default User", "Public", directory=True),
        sample.junction("All Users", "\\ProgramData"),
    )
    users.children[0].security_id = 1
    return sample.folder(
        "",
        windows,
        program_files,
        sample.folder("ProgramData", sample.file("edition.txt", utf16)),
        users,
        setup,
        sample.link("notepad.lnk", "Windows/notepad.exe"),
        sample.text("license.rtf", 220),
    )


def properties(edition: str, *, is_client: bool) -> edit.ImageProperties:
    """Return what a capture tool finds out about an image."""
    others = {
        "FLAGS": edition,
        "DISPLAYNAME": f"Windows Sample ({edition})",
        "DISPLAYDESCRIPTION": f"For trying wimtui: the {edition} edition",
        "WINDOWS/ARCH": "9",
        "WINDOWS/PRODUCTNAME": "Microsoft® Windows® Operating System",
        "WINDOWS/EDITIONID": edition,
        "WINDOWS/INSTALLATIONTYPE": "Client" if is_client else "WindowsPE",
        "WINDOWS/PRODUCTTYPE": "WinNT",
        "WINDOWS/LANGUAGES/LANGUAGE": "en-US",
        "WINDOWS/LANGUAGES/DEFAULT": "en-US",
        "WINDOWS/VERSION/MAJOR": "10",
        "WINDOWS/VERSION/MINOR": "0",
        "WINDOWS/VERSION/BUILD": "26100",
        "WINDOWS/VERSION/SPBUILD": "1742",
        "WINDOWS/VERSION/SPLEVEL": "0",
        "WINDOWS/SYSTEMROOT": "WINDOWS",
    }
    return edit.ImageProperties(
        f"Windows Sample {edition}", f"Imaginary Windows, {edition} edition", not is_client or None,
        others,
    )  # fmt: skip


def make(output: Path) -> None:
    """Write the sample, over what is there."""
    sample = Sample(random.Random(20))
    output.parent.mkdir(parents=True, exist_ok=True)
    scratch = output.with_suffix(".new")
    scratch.unlink(missing_ok=True)

    def options(index: int) -> WriteOptions:
        moment = ns_to_ticks(EPOCH_NS + index * DAY_NS)
        lzx = Compression(CodecId.LZX)
        return WriteOptions(compression=lzx, integrity=True, worker_count=1, clock=lambda: moment)

    first = properties("PE", is_client=False)
    edit.create(str(scratch), sample.tree("PE", 12), first, options(1), sets_rp_fix=True)
    with Archive.open(scratch) as archive:
        second = properties("Professional", is_client=True)
        edit.append_image(archive, sample.tree("Professional", 24), second, options(2))
    with Archive.open(scratch) as archive:
        edit.optimize(archive, options(2))
    with scratch.open("r+b") as file:
        file.seek(GUID_OFFSET)
        file.write(GUID)
    scratch.replace(output)


def main() -> None:
    """Write the sample to where the command line says."""
    output = Path(sys.argv[1]) if len(sys.argv) > 1 else OUTPUT
    output.parent.mkdir(exist_ok=True)
    make(output)
    print(f"{output}: {output.stat().st_size} bytes")


if __name__ == "__main__":
    main()
