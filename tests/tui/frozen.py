"""Services that answer the same at any time and on any machine, for pictures."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from tests.tui import frozen_staging
from wimtui.engine.image.details import FileDetails
from wimtui.service.archives import ArchiveFacts, ImageInfo, WindowsInfo
from wimtui.service.browse import (
    EntryFacts,
    FoundEntry,
    ImageEntry,
    ImageSession,
    SearchResult,
    StreamFacts,
    StreamKind,
)
from wimtui.service.frontend import Services
from wimtui.service.holders import Holder
from wimtui.service.log_files import LogFile
from wimtui.service.mount_points import MountPlace, PlaceState
from wimtui.service.mounts import MountActivity, MountStatus, MountSummary
from wimtui.service.previews import Preview, preview_of
from wimtui.service.recents import RecentWim
from wimtui.service.space import ImageLoss, SpaceFacts
from wimtui.service.write_access import StagingPlace, WriteAccess

if TYPE_CHECKING:
    from wimtui.engine.progress import CancelToken, ProgressSink
    from wimtui.service.changes import ChangeList
    from wimtui.service.comparisons import PathDiff
    from wimtui.service.recovery import Recoverable
    from wimtui.service.verify import VerifyReport

NOW = 1_767_225_600.0
"""2026-01-01."""
TICKS = 133_534_656_000_000_000
"""2024-02-27."""
WIM = "/srv/images/install.wim"


def mount_summary(number: int, point: str, status: MountStatus, *, wim: str = WIM) -> MountSummary:
    return MountSummary(
        mount_id=f"{number:016x}", wim_path=wim, image_index=number, image_name="Windows 11 Pro",
        mount_point=point, mode="ro", status=status,
        detail="the daemon is gone, its mount is left" if status is MountStatus.DEAD else "",
        alive=status is not MountStatus.DEAD, pid=4000 + number, uid=1000,
        created=NOW - 4000.0 * number, staging_path="",
    )  # fmt: skip


MOUNTS = (
    mount_summary(1, "/mnt/windows", MountStatus.OK),
    mount_summary(2, "/home/ada/wims/mounts/a rather long name of a folder/boot", MountStatus.OK),
    mount_summary(3, "/mnt/left-over", MountStatus.DEAD, wim="/srv/images/boot.wim"),
)


def image_info(index: int, name: str, edition: str, size: int) -> ImageInfo:
    return ImageInfo(
        index=index, name=name, description=f"{name}, retail", display_name=name,
        display_description=f"{name} for 64-bit", directory_count=21_893 + index,
        file_count=98_211 + index, total_bytes=size, hard_link_bytes=size // 2,
        creation_time=TICKS, last_modification_time=TICKS + 10_000_000 * 86400 * index,
        flags=edition, wimboot=False,
        windows=WindowsInfo(
            architecture=9, product_name="Microsoft® Windows® Operating System",
            edition_id=edition, installation_type="Client", hal=None, product_type="WinNT",
            product_suite="Terminal Server", languages=("en-US", "de-DE"),
            default_language="en-US", system_root="WINDOWS",
            version=(10, 0, 22631, 2861, 0),
        ),
    )  # fmt: skip


FACTS = ArchiveFacts(
    path=WIM, guid="0f1e2d3c4b5a69788796a5b4c3d2e1f0", version=0x10D00, image_count=4,
    compression="LZX", chunk_size=32768, part_number=1, total_parts=1, boot_index=2,
    total_bytes=4_812_345_678, file_size=4_812_350_000,
    attributes=("Integrity info", "Relative path junction"), solid=False,
    warnings=(),
    images=(
        image_info(1, "Windows 11 Home", "Core", 17_600_000_000),
        image_info(2, "Windows 11 Home N", "CoreN", 16_900_000_000),
        image_info(3, "Windows 11 Pro", "Professional", 17_900_000_000),
        image_info(4, "Windows 11 Pro for Workstations", "ProfessionalWorkstation", 17_910_000_000),
    ),
)  # fmt: skip


def entry(
    dentry: int, name: str, *, size: int = 0, folder: bool = False, **more: Any
) -> ImageEntry:
    values: dict[str, Any] = {
        "name": name, "dentry": dentry, "is_directory": folder, "is_link": False, "size": size,
        "stored_size": size * 2 // 5, "write_time": TICKS + dentry * 600_000_000,
        "attributes": 0x10 if folder else 0x20, "link_count": 1, "stream_count": 0,
    }  # fmt: skip
    return ImageEntry(**{**values, **more})


ROOT_ENTRY = entry(0, "/", folder=True)
TREE: dict[int, list[ImageEntry]] = {
    0: [
        entry(1, "Program Files", folder=True),
        entry(2, "Users", folder=True),
        entry(3, "Windows", folder=True),
        entry(4, "Documents and Settings", is_link=True, attributes=0x2416, size=48),
        entry(5, "autounattend.xml", size=1834),
        entry(6, "\x1b[31mhostile\u202egnp.exe", size=77_000),
        entry(7, "日本語のファイル.txt", size=90),
    ],
    3: [
        entry(8, "System32", folder=True),
        entry(9, "explorer.exe", size=5_300_000, link_count=2),
        entry(10, "notepad.exe", size=360_448, link_count=3),
        entry(11, "setupact.log", size=18_022, stream_count=1),
    ],
    8: [entry(12, "drivers", folder=True), entry(13, "kernel32.dll", size=790_000, link_count=2)],
}
_TEXT = b"""<?xml version="1.0" encoding="utf-8"?>
<unattend xmlns="urn:schemas-microsoft-com:unattend">
  <settings pass="windowsPE">
    <component name="Microsoft-Windows-Setup">
      <UserData>
        <AcceptEula>true</AcceptEula>
      </UserData>
    </component>
  </settings>
</unattend>
"""


class FrozenSession:
    """What the browse screen asks of an image, with answers that are always the same."""

    path = WIM
    index = 1
    entry_count = 120_105

    def root(self) -> ImageEntry:
        return ROOT_ENTRY

    def children(self, dentry: int) -> list[ImageEntry]:
        return TREE.get(dentry, [])

    def facts(self, dentry: int) -> EntryFacts:
        found = next((one for ones in TREE.values() for one in ones if one.dentry == dentry), None)
        chosen = found or ROOT_ENTRY
        path = "/" + chosen.name.strip("/")
        details = FileDetails(
            path=path.encode(), short_name=b"AUTOUN~1.XML" if dentry == 5 else b"", ino=dentry + 1,
            attributes=chosen.attributes, attribute_names=("ARCHIVE",), security_id=0,
            security_descriptor=b"x", sddl="O:BAG:SYD:AI(A;ID;FA;;;SY)(A;ID;FA;;;BA)",
            creation_time=TICKS, access_time=TICKS, write_time=chosen.write_time, reparse_tag=0,
            reparse_tag_name="", reparse_reserved=0, rp_flags=0, group_id=0,
            link_count=chosen.link_count, unix_data=None, object_id=None, extended_attributes=(),
            streams=(), unknown_0x54=0, is_hidden=False, offset_in_metadata=0,
        )  # fmt: skip
        stream = StreamFacts(
            StreamKind.DATA, "", chosen.size, chosen.stored_size, "ab12" * 10, is_missing=False
        )
        return EntryFacts(dentry, path, details, (stream,), None)

    def preview(self, dentry: int) -> Preview:
        if dentry == 5:
            return preview_of(_TEXT, 1834)
        if dentry in TREE:
            return Preview.of_directory([one.name for one in TREE[dentry]])
        return preview_of(bytes(range(256)) * 4, 77_000)

    def search(self, text: str, _: CancelToken | None = None) -> SearchResult:
        found = [
            FoundEntry(f"/Windows/{one.name}", replace(one))
            for one in TREE[3]
            if text in one.name and not one.is_directory
        ]
        return SearchResult(text, tuple(found), is_cut=False)

    def close(self) -> None:
        return


class FrozenServices(Services):
    """Everything stands still."""

    def now(self) -> float:
        return NOW

    def list_mounts(self) -> tuple[MountSummary, ...]:
        return MOUNTS

    def activity_of(self, mount_id: str) -> MountActivity:
        number = int(mount_id, 16)
        return MountActivity(
            state="ok", open_handles=number, changes=0, staged_nbytes=0, started_at_ns=0,
            reads=12_345 * number, bytes_read=987_654_321 * number, cache_hits=9000,
            cache_misses=1000, cache_nbytes=250 << 20,
        )  # fmt: skip

    def recoverables(self) -> tuple[Recoverable, ...]:
        return ()

    def space_of(self, path: str) -> SpaceFacts:
        return SpaceFacts(FACTS.file_size, 123_456_789, 0, is_interrupted=False)

    def loss_of(self, path: str, index: int) -> ImageLoss:
        info = FACTS.images[index - 1]
        return ImageLoss(
            index, info.name, info.file_count, info.directory_count, 31_337, 987_654_321,
            is_boot=FACTS.boot_index == index,
        )  # fmt: skip

    def check_write_access(
        self, wim: str, references: tuple[str, ...], staging_typed: str
    ) -> WriteAccess:
        place = StagingPlace(staging_typed or "/srv/images", True, "changes are staged there",
                             free_nbytes=123 << 30)  # fmt: skip
        return WriteAccess("", place)

    def holders_of(self, mount_point: str) -> tuple[Holder, ...]:
        return (
            Holder(4711, "bash", "its folder", f"{mount_point}/Windows"),
            Holder(4802, "less", "an open file", f"{mount_point}/Windows/setupact.log"),
        )

    def check_mount_point(self, typed: str) -> MountPlace:
        return MountPlace(typed, PlaceState.MISSING, "missing; it is made when you mount")

    def suggest_mount_point(self, wim_path: str, image_index: int, image_count: int) -> str:
        return f"/mnt/install-{image_index}"

    def inspect_archive(self, path: str) -> ArchiveFacts:
        return FACTS

    def open_image(self, path: str, image: str, references: tuple[str, ...]) -> ImageSession:
        return cast("ImageSession", FrozenSession())

    def verify(
        self, path: str, references: tuple[str, ...], progress: ProgressSink, cancel: CancelToken
    ) -> VerifyReport:
        raise OSError(5, "Input/output error", path)

    def changes_since(self, target: str, known: ChangeList | None) -> ChangeList | None:
        return frozen_staging.LISTED if known is None else None

    def diff_path(self, target: str, path: str) -> PathDiff:
        return frozen_staging.diff_path(path)

    def recent_wims(self) -> tuple[RecentWim, ...]:
        return (RecentWim("/home/ada/Downloads/Win11_23H2.esd", NOW), RecentWim(WIM, NOW))

    def remember_wim(self, path: str) -> tuple[RecentWim, ...]:
        return self.recent_wims()

    def log_files(self) -> tuple[LogFile, ...]:
        return (
            LogFile("/home/ada/.local/state/wimtui/logs/app.log", "", NOW, 2048),
            LogFile("/home/ada/.local/state/wimtui/logs/mount-1.log", MOUNTS[0].mount_id, NOW, 900),
        )

    def tail(self, path: str) -> tuple[str, ...]:
        return (
            "2026-01-01 10:00:00,000 4001 INFO wimtui.daemon.main: serving image 1",
            "2026-01-01 10:02:00,000 4001 WARNING wimtui.engine.fuse: blob ab12 chunk 7 is corrupt",
            "2026-01-01 10:03:00,000 4001 ERROR wimtui.engine.fuse: read of /Windows/x.dll failed",
        )
