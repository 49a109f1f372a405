"""`wimtui info`: labels and order are those of wimlib-imagex info."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wimtui.cli import diagnostics, output
from wimtui.cli.options import archive_options
from wimtui.engine.timestamps import ticks_to_datetime
from wimtui.service import archives

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator

    from wimtui.engine.archive import Archive

_ARCHIVE_WIDTH = 16
_IMAGE_WIDTH = 24


def run(arguments: Namespace) -> int:
    """Show the archive, or one image; ``--header``, ``--blobs`` and ``--xml`` show instead."""
    with archives.open_archive(arguments.wim, archive_options(arguments)) as archive:
        if arguments.json:
            output.as_json(_document(archive, arguments))
            return 0
        special = False
        if arguments.header:
            _print_header(archives.header_facts(archive))
            special = True
        if arguments.blobs:
            for blob in archives.blob_facts(archive):
                print_blob(blob)
            special = True
        if arguments.xml:
            output.line(archive.wim.xml_bytes().decode("utf-16", "replace"))
            special = True
        if not special:
            _print_facts(archives.archive_facts(archive), archive, arguments.image)
    return 0


def _document(archive: Archive, arguments: Namespace) -> dict[str, object]:
    facts = archives.archive_facts(archive)
    document: dict[str, object] = {"archive": facts}
    if arguments.image is not None:
        document["image"] = facts.images[archive.find_image(arguments.image) - 1]
    if arguments.header:
        document["header"] = archives.header_facts(archive)
    if arguments.blobs:
        document["blobs"] = list(archives.blob_facts(archive))
    if arguments.xml:
        document["xml"] = archive.wim.xml_bytes().decode("utf-16", "replace")
    return document


def _print_facts(facts: archives.ArchiveFacts, archive: Archive, image: str | None) -> None:
    for warning in facts.warnings:
        diagnostics.say(f"{facts.path}: {warning}")
    if image is None:
        _print_heading("WIM Information:")
        output.facts(_archive_rows(facts), _ARCHIVE_WIDTH)
        output.line()
        _print_heading("Available Images:")
        chosen = facts.images
    else:
        index = archive.find_image(image)
        _print_heading(f"Information for Image {index}")
        chosen = (facts.images[index - 1],)
    for one in chosen:
        output.facts(_image_rows(one), _IMAGE_WIDTH)
        output.line()


def _print_heading(text: str) -> None:
    output.line(text)
    output.line("-" * len(text))


def _archive_rows(facts: archives.ArchiveFacts) -> Iterator[tuple[str, object]]:
    yield "Path", facts.path
    yield "GUID", f"0x{facts.guid}"
    yield "Version", facts.version
    yield "Image Count", facts.image_count
    yield "Compression", facts.compression
    yield "Chunk Size", f"{facts.chunk_size} bytes"
    yield "Part Number", f"{facts.part_number}/{facts.total_parts}"
    yield "Boot Index", facts.boot_index
    yield "Size", f"{facts.total_bytes} bytes"
    yield "Attributes", ", ".join(facts.attributes)


def _image_rows(image: archives.ImageInfo) -> Iterator[tuple[str, object]]:
    yield "Index", image.index
    yield "Name", image.name
    yield "Description", image.description
    if image.display_name is not None:
        yield "Display Name", image.display_name
    if image.display_description is not None:
        yield "Display Description", image.display_description
    yield "Directory Count", image.directory_count
    yield "File Count", image.file_count
    yield "Total Bytes", image.total_bytes
    yield "Hard Link Bytes", image.hard_link_bytes
    yield "Creation Time", show_time(image.creation_time)
    yield "Last Modification Time", show_time(image.last_modification_time)
    if image.windows is not None:
        yield from _windows_rows(image.windows)
    if image.flags is not None:
        yield "Flags", image.flags
    yield "WIMBoot compatible", "yes" if image.wimboot else "no"


def _windows_rows(windows: archives.WindowsInfo) -> Iterator[tuple[str, object]]:
    yield "Architecture", archives.ARCHITECTURES.get(windows.architecture, "unknown")
    optional = {
        "Product Name": windows.product_name,
        "Edition ID": windows.edition_id,
        "Installation Type": windows.installation_type,
        "HAL": windows.hal,
        "Product Type": windows.product_type,
        "Product Suite": windows.product_suite,
    }
    yield from ((label, value) for label, value in optional.items() if value is not None)
    if windows.languages:
        yield "Languages", " ".join(windows.languages)
    if windows.default_language is not None:
        yield "Default Language", windows.default_language
    if windows.system_root is not None:
        yield "System Root", windows.system_root
    if windows.version is not None:
        labels = (
            "Major Version", "Minor Version", "Build", "Service Pack Build", "Service Pack Level",
        )  # fmt: skip
        yield from zip(labels, windows.version, strict=True)


def show_time(ticks: int) -> str:
    """Return a time as wimlib-imagex shows it, always in UTC and in English."""
    time = ticks_to_datetime(ticks)
    weekday = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[time.weekday()]
    month = (
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    )[time.month - 1]  # fmt: skip
    return f"{weekday} {month} {time.day:02} {time:%H:%M:%S} {time.year} UTC"


def _print_header(header: archives.HeaderFacts) -> None:
    magic = "".join(chr(byte) if chr(byte).isalpha() else f"\\{byte:o}" for byte in header.magic)
    rows: list[tuple[str, object]] = [
        ("Magic Characters", magic),
        ("Header Size", 208),
        ("Version", f"{header.version:#x}"),
        ("Flags", f"{header.flags:#x}"),
    ]
    rows += [(f"    WIM_HDR_FLAG_{name} is set", None) for name in header.flag_names]
    rows += [
        ("Chunk Size", header.chunk_size),
        ("GUID", header.guid),
        ("Part Number", header.part_number),
        ("Total Parts", header.total_parts),
        ("Image Count", header.image_count),
        *_resource_rows("Blob Table", header.blob_table, "Original_size"),
        *_resource_rows("XML Data", header.xml_data, "Original Size"),
        *_resource_rows("Boot Metadata", header.boot_metadata, "Original Size"),
        ("Boot Index", header.boot_index),
        *_resource_rows("Integrity", header.integrity, "Original_size"),
    ]
    for label, value in rows:
        output.line(label if value is None else f"{label:<27} = {value}")


def _resource_rows(
    name: str, resource: archives.ResourceFacts, last_label: str
) -> Iterator[tuple[str, object]]:
    yield f"{name} Size", resource.size
    yield f"{name} Flags", f"{resource.flags:#x}"
    yield f"{name} Offset", resource.offset
    yield f"{name} {last_label}", resource.original_size


def print_blob(blob: archives.BlobFacts) -> None:
    """Write one blob's facts and an empty line."""
    rows: list[tuple[str, object]] = [
        ("Hash", f"0x{blob.sha1}"),
        ("Uncompressed size", f"{blob.uncompressed_size} bytes"),
    ]
    if blob.solid_stored_size is not None:
        rows += [
            (
                "Solid resource",
                f"{blob.solid_uncompressed_size} => {blob.solid_stored_size} bytes "
                f"@ offset {blob.solid_offset_in_wim}",
            ),
            ("Solid offset", f"{blob.offset_in_solid} bytes"),
        ]
    else:
        rows += [
            ("Compressed size", f"{blob.stored_size} bytes"),
            ("Offset in WIM", f"{blob.offset_in_wim} bytes"),
        ]
    rows += [
        ("Part Number", blob.part_number),
        ("Reference Count", blob.reference_count),
        ("Flags", "".join(f"WIM_RESHDR_FLAG_{name}  " for name in blob.flags)),
    ]
    for label, value in rows:
        output.line(f"{label:<17} = {value}")
    output.line()
