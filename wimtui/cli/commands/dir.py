"""`wimtui dir`: the paths of an image; with ``--detailed`` all that is known of each file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from wimtui.cli import output
from wimtui.cli.commands.info import print_blob, show_time
from wimtui.cli.options import archive_options
from wimtui.service import archives, images

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator

_STREAM_LABELS = {
    images.StreamKind.DATA: "Unnamed data stream:",
    images.StreamKind.REPARSE: "Reparse point stream:",
    images.StreamKind.EFS: "Raw encrypted data stream:",
}


def run(arguments: Namespace) -> int:
    """List; labels of ``--detailed`` are those of wimlib-imagex dir."""
    with images.open_image(arguments.wim, arguments.image, archive_options(arguments)) as image:
        found = _chosen(image, arguments)
        if arguments.json:
            details = arguments.detailed
            output.as_json([_document(image, *one) if details else one[1] for one in found])
        elif arguments.detailed:
            for dentry, _ in found:
                _print_details(image, image.details(dentry))
        else:
            for _, path in found:
                output.line(path)
    return 0


def _chosen(image: images.ImageBrowser, arguments: Namespace) -> Iterator[tuple[int, str]]:
    walk = image.walk(arguments.path)
    yield next(walk)
    if not arguments.one_file_only:
        yield from walk


def _document(image: images.ImageBrowser, dentry: int, path: str) -> dict[str, object]:
    details = image.details(dentry)
    document = output.fields(details)
    document["path"] = path
    document["short_name"] = os.fsdecode(details.short_name)
    document["streams"] = [
        {
            "kind": stream.kind.value,
            "name": os.fsdecode(stream.name),
            "sha1": stream.sha1.hex(),
            "size": image.archive.blobs.size(stream.sha1),
        }
        for stream in details.streams
    ]
    return document


def _print_details(image: images.ImageBrowser, details: images.FileDetails) -> None:
    output.line("-" * 76)
    rows: list[tuple[str, str]] = [
        ("Full Path", f'"{os.fsdecode(details.path)}"'),
        ("Short Name", f'"{os.fsdecode(details.short_name)}"'),
        ("Attributes", f"{details.attributes:#010x}"),
    ]
    rows += [(f"    FILE_ATTRIBUTE_{name} is set", "") for name in details.attribute_names]
    if details.sddl is not None:
        rows.append(("Security Descriptor", details.sddl))
    rows += [
        ("Creation Time", show_time(details.creation_time)),
        ("Last Write Time", show_time(details.write_time)),
        ("Last Access Time", show_time(details.access_time)),
    ]
    if details.reparse_tag:
        rows.append(("Reparse Tag", f"{details.reparse_tag:#x}"))
    rows += [
        ("Link Group ID", f"{details.group_id:#018x}"),
        ("Link Count", str(details.link_count)),
    ]
    rows += _extra_rows(details)
    for label, value in rows:
        output.line(f"{label:<19} = {value}" if value else label)
    for stream in details.streams:
        name = f'Named data stream "{os.fsdecode(stream.name)}":'
        output.line(f"\t{_STREAM_LABELS.get(stream.kind, name)}")
        print_blob(archives.blob_of(image.archive, stream.sha1))
    if not details.streams:
        output.line()


def _extra_rows(details: images.FileDetails) -> Iterator[tuple[str, str]]:
    unix = details.unix_data
    if unix is not None:
        text = f"uid:{unix.uid} gid:{unix.gid} mode:0{unix.mode:o} rdev:{unix.rdev:#x}"
        yield "UNIX Data", text
    identity = details.object_id
    if identity is not None:
        parts = {
            "Object ID": identity.object_id,
            "Birth Volume ID": identity.birth_volume_id,
            "Birth Object ID": identity.birth_object_id,
            "Domain ID": identity.domain_id,
        }
        yield from ((label, str(guid)) for label, guid in parts.items() if guid is not None)
    for attribute in details.extended_attributes:
        yield "Extended Attribute", f'"{os.fsdecode(attribute.name)}" 0x{attribute.value.hex()}'
