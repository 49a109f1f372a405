"""Everything known of a file, as labels and values."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from wimtui.widgets.cells import NOTHING, Cell, exact_size_text, plain, ticks_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wimtui.service.browse import EntryFacts, FileDetails, StreamFacts
    from wimtui.widgets.fact_list import Fact

_KINDS = {"data": "Data", "reparse": "Reparse data", "efs": "Encrypted", "named": "Stream"}


def entry_facts(facts: EntryFacts) -> Iterator[Fact]:
    """Return path, times, attributes, streams, security and what else there is."""
    details = facts.details
    yield "Path", Cell(plain(facts.path), "strong")
    if facts.link_target is not None:
        yield "Points to", Cell(plain(facts.link_target), "info")
    if details.is_hidden:
        yield "Hidden", Cell("Linux cannot hold this name; mounts leave it out", "warn")
    if details.short_name:
        yield "Short name", plain(os.fsdecode(details.short_name))
    names = ", ".join(name.lower() for name in details.attribute_names)
    yield "Attributes", f"{details.attributes:#x}  {names}".rstrip()
    yield "Modified", _time(details.write_time)
    yield "Created", _time(details.creation_time)
    yield "Accessed", _time(details.access_time)
    if details.link_count > 1:
        yield "Hard links", f"{details.link_count}"
    if details.reparse_tag:
        yield "Reparse tag", f"{details.reparse_tag:#010x}  {details.reparse_tag_name}"
    for stream in facts.streams:
        yield from _stream_facts(stream)
    yield from _more(details)


def _time(ticks: int) -> str:
    return f"{ticks_text(ticks)} UTC" if ticks > 0 else NOTHING


def _stream_facts(stream: StreamFacts) -> Iterator[Fact]:
    label = _KINDS[stream.kind.value]
    name = f"{plain(stream.name)}: " if stream.name else ""
    if stream.is_missing:
        yield label, Cell(f"{name}in none of the files given", "bad")
    elif stream.size:
        yield (
            label,
            f"{name}{exact_size_text(stream.size)}, {exact_size_text(stream.stored_size)} packed",
        )
    else:
        yield label, f"{name}empty"
    if stream.size or stream.is_missing:
        yield "", Cell(f"SHA-1 {stream.sha1}", "muted")


def _more(details: FileDetails) -> Iterator[Fact]:
    if details.sddl is not None:
        yield "Security", details.sddl
    elif details.security_descriptor is not None:
        yield "Security", Cell("a malformed descriptor", "bad")
    unix = details.unix_data
    if unix is not None:
        yield "UNIX", f"owner {unix.uid}, group {unix.gid}, mode {unix.mode:o}"
    if details.object_id is not None:
        yield "Object id", f"{details.object_id.object_id}"
    for attribute in details.extended_attributes:
        yield "Attribute", plain(os.fsdecode(attribute.name))
