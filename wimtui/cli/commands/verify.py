"""`wimtui verify`: decodes and hashes everything, and names every bad blob with its files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import humanize

from wimtui.cli import diagnostics, output
from wimtui.cli.diagnostics import ExitCode
from wimtui.cli.options import archive_options
from wimtui.cli.progress import ProgressBar
from wimtui.service.verify import verify

if TYPE_CHECKING:
    from argparse import Namespace

    from wimtui.service.verify import VerifyReport


def run(arguments: Namespace) -> int:
    """Verify; 0 when all is well, 13 for a failed integrity table, 28 for bad blobs."""
    bar = ProgressBar()
    try:
        report = verify(arguments.wim, archive_options(arguments), bar)
    finally:
        bar.close()
    if arguments.json:
        output.as_json(report)
    else:
        _print(report)
    return _exit_code(report)


def _exit_code(report: VerifyReport) -> int:
    if report.unreadable_images:
        return ExitCode.METADATA
    if report.damaged:
        return ExitCode.BLOB_HASH
    if report.missing:
        return ExitCode.MISSING_BLOB
    return ExitCode.SUCCESS if report.integrity_ok else ExitCode.INTEGRITY


def _print(report: VerifyReport) -> None:
    if not report.integrity_ok:
        diagnostics.say(f"{report.path}: {report.integrity}")
    for image in report.unreadable_images:
        diagnostics.say(f"{report.path}: {image}")
    for blob in report.damaged:
        diagnostics.say(
            f"{blob.wim_path}: blob {blob.sha1} of {blob.size} bytes at offset "
            f"{blob.offset_in_wim}: {blob.reason}"
        )
        for path in blob.paths:
            diagnostics.say(f"  used by {path}")
    for path in report.missing:
        diagnostics.say(f"{report.path}: the data of {path} is in no file given; see --ref")
    integrity = {"none": "no integrity table", "ok": "integrity table ok"}
    output.line(
        f"{report.path}: {report.blobs} blobs, "
        f"{humanize.naturalsize(report.nbytes, binary=True)}, "
        f"{integrity.get(report.integrity, 'integrity check FAILED')}, "
        f"{len(report.damaged)} bad"
    )
