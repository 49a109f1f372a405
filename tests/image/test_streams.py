from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.image.raw_metadata import (
    ARCHIVE,
    DIRECTORY,
    ENCRYPTED,
    REPARSE,
    ZERO,
    Raw,
    build,
    directory,
    sha,
)
from wimtui.engine.image.dentry import Dentry
from wimtui.engine.image.details import file_streams
from wimtui.engine.image.metadata import ImageMetadata, WarningKind
from wimtui.engine.image.metadata_writer import ImageNodes, write_metadata
from wimtui.engine.image.streams import FileStreams, interpret_streams

H, X, A, R, D = (sha(number) for number in range(1, 6))
N = (b"n", A)
Entries = list[tuple[str, bytes]]

# attributes, main hash, extras; what they mean; main hash and extras when written again
CASES = [
    (0, H, [], FileStreams(data=H), H, []),
    (0, ZERO, [], FileStreams(data=ZERO), ZERO, []),
    (0, ZERO, [("", H), ("n", A)], FileStreams(data=H, named=(N,)), ZERO, [("", H), ("n", A)]),
    (0, H, [("n", A)], FileStreams(data=H, named=(N,)), ZERO, [("", H), ("n", A)]),
    (0, H, [("", X)], FileStreams(data=H), H, []),
    (0, ZERO, [("n", A), ("", H)], FileStreams(data=H, named=(N,)), ZERO, [("", H), ("n", A)]),
    (0, ZERO, [("n", A)], FileStreams(data=ZERO, named=(N,)), ZERO, [("", ZERO), ("n", A)]),
    (REPARSE, H, [], FileStreams(reparse=H), ZERO, [("", H), ("", ZERO)]),
    (REPARSE, ZERO, [("", R), ("", D)], FileStreams(data=D, reparse=R), ZERO,
     [("", R), ("", D)]),
    (REPARSE, ZERO, [("", R), ("", ZERO)], FileStreams(data=ZERO, reparse=R), ZERO,
     [("", R), ("", ZERO)]),
    (REPARSE, R, [("", D)], FileStreams(data=D, reparse=R), ZERO, [("", R), ("", D)]),
    (REPARSE, ZERO, [("", R), ("n", A), ("", D)], FileStreams(data=D, reparse=R, named=(N,)), ZERO,
     [("", R), ("", D), ("n", A)]),
    (REPARSE, ZERO, [], FileStreams(reparse=ZERO), ZERO, [("", ZERO), ("", ZERO)]),
    (DIRECTORY, ZERO, [("n", A)], FileStreams(named=(N,)), ZERO, [("n", A)]),
    (DIRECTORY, ZERO, [("", ZERO), ("n", A)], FileStreams(data=ZERO, named=(N,)), ZERO,
     [("n", A)]),
    (DIRECTORY | REPARSE, R, [], FileStreams(reparse=R), R, []),
    (DIRECTORY | REPARSE, ZERO, [("", R), ("n", A)], FileStreams(reparse=R, named=(N,)), ZERO,
     [("", R), ("n", A)]),
    (ENCRYPTED, H, [], FileStreams(efs=H), H, []),
    (ENCRYPTED, H, [("", X), ("n", A)], FileStreams(efs=H), H, []),
    (ENCRYPTED, ZERO, [("n", A), ("", ZERO), ("", H)], FileStreams(efs=H), H, []),
    (ENCRYPTED | DIRECTORY, ZERO, [], FileStreams(), ZERO, []),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_interpretation(
    case: tuple[int, bytes, Entries, FileStreams, bytes, Entries],
) -> None:
    attributes, main_hash, extras, streams, _, _ = case
    encoded = [(name.encode(), sha1) for name, sha1 in extras]
    expected_data = streams.data
    if attributes & DIRECTORY and not attributes & REPARSE and streams.data is None:
        expected_data = None if attributes & ENCRYPTED else ZERO
    found = interpret_streams(attributes, main_hash, encoded)
    assert (found.reparse, found.efs, found.named) == (streams.reparse, streams.efs, streams.named)
    assert found.data == expected_data


def comparable(streams: FileStreams, attributes: int) -> tuple[object, ...]:
    """What survives in the columns: no difference between an absent and an empty data stream."""
    plain_directory = attributes & DIRECTORY and not attributes & REPARSE
    data = ZERO if plain_directory else streams.data or ZERO
    efs = ZERO if plain_directory else streams.efs or ZERO
    return (data, streams.reparse, efs, streams.named)


@pytest.mark.parametrize("case", CASES)
def test_scanner_interprets_and_writer_encodes_alike(
    case: tuple[int, bytes, Entries, FileStreams, bytes, Entries],
) -> None:
    attributes, main_hash, extras, streams, main_again, extras_again = case
    root = directory("", Raw("f", attributes, sha1=main_hash, extras=extras, tag=9))
    metadata = ImageMetadata.parse(build(root))
    found = file_streams(metadata, 1)
    assert comparable(found, attributes) == comparable(streams, attributes)
    nodes = ImageNodes(metadata)
    written = write_metadata(nodes.root(), metadata.security.raw, nodes.children)
    dentry, _ = Dentry.parse(written, 120)
    assert dentry.name == b"f"
    entries = [(entry.name.decode(), entry.sha1) for entry in dentry.entries]
    assert (dentry.main_hash, entries) == (main_again, extras_again)


@given(
    st.sampled_from([0, REPARSE, DIRECTORY, DIRECTORY | REPARSE, ENCRYPTED, ENCRYPTED | REPARSE]),
    st.sampled_from([ZERO, H]),
    st.lists(st.tuples(st.sampled_from(["", "n", "m", "N"]), st.sampled_from([ZERO, A, R, X]))),
)
def test_scanner_agrees_with_the_specification(
    attributes: int, main_hash: bytes, extras: Entries
) -> None:
    root = directory("", Raw("f", attributes, sha1=main_hash, extras=extras, tag=9))
    metadata = ImageMetadata.parse(build(root))
    encoded = [(name.encode(), sha1) for name, sha1 in extras]
    expected = interpret_streams(attributes, main_hash, encoded)
    assert comparable(file_streams(metadata, 1), attributes) == comparable(expected, attributes)
    nodes = ImageNodes(metadata)
    written = write_metadata(nodes.root(), metadata.security.raw, nodes.children)
    again = ImageMetadata.parse(written)
    kept = file_streams(metadata, 1)
    if attributes == DIRECTORY | REPARSE:
        # Nothing but reparse data and named streams can be written for these.
        kept = replace(kept, data=None)
    assert file_streams(again, 1) == kept


@pytest.mark.parametrize(
    ("attributes", "main_hash", "extras", "kind"),
    [
        (ARCHIVE, H, [("", X)], WarningKind.STREAM_IGNORED),
        (ENCRYPTED, H, [("n", A)], WarningKind.STREAM_ENCRYPTED),
        (ENCRYPTED, H, [("", A)], WarningKind.STREAM_ENCRYPTED),
        (ARCHIVE, ZERO, [("n", A), ("n", X)], WarningKind.STREAM_DUPLICATE),
        (ARCHIVE, ZERO, [("n\0m", A)], WarningKind.STREAM_NAME_NUL),
    ],
)
def test_ignored_streams_are_warned_about(
    attributes: int, main_hash: bytes, extras: Entries, kind: WarningKind
) -> None:
    root = directory("", Raw("f", attributes, sha1=main_hash, extras=extras))
    (warning,) = ImageMetadata.parse(build(root)).warnings()
    assert (warning.kind, warning.count) == (kind, 1)
