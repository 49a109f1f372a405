"""What came of an operation, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wimtui.control.errors import ControlError
    from wimtui.engine.errors import WimError
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
