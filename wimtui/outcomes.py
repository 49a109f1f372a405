"""What came of an operation, in words."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING

from wimtui.control.errors import DaemonGoneError
from wimtui.engine.errors import CancelledError

if TYPE_CHECKING:
    from wimtui.control.errors import ControlError
    from wimtui.engine.errors import WimError
    from wimtui.service.commits import Committed
    from wimtui.service.export import ExportResult
    from wimtui.service.extract import ExtractResult
    from wimtui.service.verify import VerifyReport


def cause_of(error: WimError | ControlError) -> str:
    """What is wrong and where, without the hint."""
    text = str(error)
    return text.removesuffix(f"; {error.hint}") if error.hint else text


def sentence_of(error: WimError | ControlError | OSError) -> str:
    """All that there is to say of a failure."""
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return where + error.strerror
    return str(error)


def verdict_of(report: VerifyReport) -> tuple[str, tuple[str, ...]]:
    """One line about a verification, and lines about what is wrong."""
    lines: list[str] = []
    if not report.integrity_ok:
        lines.append(f"integrity table: {report.integrity}")
    for blob in report.damaged:
        lines.append(f"blob {blob.sha1} ({blob.size:,} bytes): {blob.reason}")
        lines += [f"    used by {path}" for path in blob.paths]
    lines += report.unreadable_images
    lines += [f"data missing: {path}" for path in report.missing]
    table = {"ok": "integrity table ok", "none": "no integrity table"}.get(
        report.integrity, "integrity table wrong"
    )
    if report.ok and not report.missing:
        return f"all {report.blobs:,} blobs are as they should be; {table}", ()
    parts = [f"{len(report.damaged):,} of {report.blobs:,} blobs are damaged", table]
    if report.missing:
        parts.append(f"data of {len(report.missing)} files is elsewhere: name it as reference")
    return "; ".join(parts), tuple(lines)


def extracted_text(result: ExtractResult) -> tuple[str, tuple[str, ...]]:
    """One line about an extraction, and lines about what was left out."""
    text = f"{result.path}: {result.file_count:,} files, {result.nbytes:,} bytes"
    if result.skipped_count:
        text += f"; {result.skipped_count:,} skipped"
    return text, result.skipped


def committed_text(done: Committed) -> str:
    """One line about a commit."""
    name = PurePath(done.saved_as or done.wim_path).name
    if not done.is_written:
        return f"{name}: nothing had changed, nothing was written"
    how = "rebuilt, " if done.is_rebuilt and not done.saved_as else ""
    reused = f", {done.blobs_reused:,} were there already" if done.blobs_reused else ""
    blobs = f"{done.blobs_written:,} new blob{'' if done.blobs_written == 1 else 's'}{reused}"
    growth = "" if done.saved_as or not done.old_size else f" ({done.new_size - done.old_size:+,})"
    size = f"{done.new_size:,} bytes{growth}"
    return f"{name}: {how}image {done.image_index} written, {blobs}, {size}"


def commit_failure(error: WimError | ControlError | OSError, *, is_mounted: bool) -> str:
    """One line about a commit that did not come about, and what stays."""
    if getattr(error, "code", 0) == CancelledError.code:
        stays = "; the mount goes on" if is_mounted else ""
        return f"cancelled: the WIM is as it was and all changes stay staged{stays}"
    text = sentence_of(error)
    if isinstance(error, DaemonGoneError):
        return f"{text}; what was staged is safe, a remount brings it back"
    return f"{text}; the mount goes on" if is_mounted else f"{text}; all changes stay staged"


def exported_text(result: ExportResult) -> tuple[str, tuple[str, ...]]:
    """One line about an export, and lines about what was left out."""
    text = f"{result.path}: {result.file_count:,} files, {result.nbytes:,} bytes"
    if result.deleted_count:
        text += f"; {result.deleted_count:,} deletions listed"
    if result.skipped_count:
        text += f"; {result.skipped_count:,} skipped"
    return text, result.skipped
