"""Every structure on disk packs to what it was parsed from."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wimtui.engine.container.blob_table import BlobRow
from wimtui.engine.container.flags import HeaderFlag, ResourceFlag, WimVersion
from wimtui.engine.container.header import Header
from wimtui.engine.container.integrity import IntegrityTable
from wimtui.engine.container.resource import ResourceHeader
from wimtui.engine.container.solid import SolidHeader
from wimtui.engine.errors import (
    HeaderError,
    ImageCountError,
    IncompleteWimError,
    IntegrityTableError,
    NotWimError,
    PartNumberError,
    TruncatedError,
    UnknownVersionError,
)

U16 = st.integers(0, 0xFFFF)
U32 = st.integers(0, 0xFFFFFFFF)
U64 = st.integers(0, 2**64 - 1)

resource_headers = st.builds(
    ResourceHeader,
    st.integers(0, 2**56 - 1),
    st.integers(0, 255).map(ResourceFlag),
    U64,
    U64,
)
headers = st.builds(
    Header,
    is_pipable=st.booleans(),
    version=st.sampled_from(WimVersion),
    flags=U32.map(HeaderFlag),
    chunk_size=U32,
    guid=st.binary(min_size=16, max_size=16),
    part_number=U16,
    total_parts=U16,
    image_count=U32,
    blob_table=resource_headers,
    xml_data=resource_headers,
    boot_metadata=resource_headers,
    boot_index=U32,
    integrity=resource_headers,
    unused=st.binary(min_size=60, max_size=60),
)
blob_rows = st.builds(BlobRow, resource_headers, U16, U32, st.binary(min_size=20, max_size=20))


@settings(max_examples=100)
@given(headers)
def test_header_round_trip(header: Header) -> None:
    packed = header.pack()
    assert len(packed) == 208
    assert Header.parse(packed) == header


@settings(max_examples=50)
@given(st.binary(min_size=208, max_size=208), st.sampled_from(WimVersion))
def test_any_header_bytes_round_trip(body: bytes, version: WimVersion) -> None:
    data = b"MSWIM\0\0\0" + (208).to_bytes(4, "little") + version.to_bytes(4, "little") + body[16:]
    assert Header.parse(data).pack() == data


@settings(max_examples=50)
@given(resource_headers)
def test_resource_header_round_trip(header: ResourceHeader) -> None:
    assert len(header.pack()) == 24
    assert ResourceHeader.parse(header.pack()) == header


@settings(max_examples=50)
@given(blob_rows)
def test_blob_row_round_trip(row: BlobRow) -> None:
    assert len(row.pack()) == 50
    assert BlobRow.parse(row.pack()) == row


@settings(max_examples=50)
@given(U64, U32, U32)
def test_solid_header_round_trip(size: int, chunk_size: int, codec: int) -> None:
    header = SolidHeader(size, chunk_size, codec)
    assert len(header.pack()) == 16
    assert SolidHeader.parse(header.pack()) == header


@settings(max_examples=50)
@given(st.integers(4096, 2**32 - 1), st.integers(0, 20), st.data())
def test_integrity_table_round_trip(piece_size: int, count: int, data: st.DataObject) -> None:
    digests = data.draw(st.binary(min_size=20 * count, max_size=20 * count))
    table = IntegrityTable(piece_size, digests)
    covered = data.draw(
        st.integers((count - 1) * piece_size + 1, count * piece_size) if count else st.just(0)
    )
    assert IntegrityTable.parse(table.pack(), covered_nbytes=covered) == table


def test_stored_sizes_over_56_bits_do_not_pack() -> None:
    with pytest.raises(ValueError, match="56 bits"):
        ResourceHeader(1 << 56, ResourceFlag.NONE, 0, 0).pack()


@pytest.mark.parametrize(
    ("offset", "data", "error"),
    [
        (0, b"MSWIN\0\0\0", NotWimError),
        (8, b"\xd4\0\0\0", HeaderError),
        (12, b"\0\x0c\x01\0", UnknownVersionError),
    ],
)
def test_header_parse_refuses(offset: int, data: bytes, error: type[Exception]) -> None:
    packed = bytearray(_header().pack())
    packed[offset : offset + len(data)] = data
    with pytest.raises(error):
        Header.parse(packed)


@pytest.mark.parametrize("size", [0, 4, 8, 207])
def test_short_header(size: int) -> None:
    with pytest.raises(TruncatedError, match="too short"):
        Header.parse(_header().pack()[:size])


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"part_number": 0}, PartNumberError),
        ({"part_number": 2}, PartNumberError),
        ({"total_parts": 0}, PartNumberError),
        ({"image_count": 65536}, ImageCountError),
        ({"blob_table": ResourceHeader(50, ResourceFlag.METADATA, 208, 1001)}, HeaderError),
        ({"blob_table": ResourceHeader(1001, ResourceFlag.METADATA, 208, 50)}, HeaderError),
        ({"xml_data": ResourceHeader(5000, ResourceFlag.METADATA, 208, 5000)}, HeaderError),
        ({"integrity": ResourceHeader(5000, ResourceFlag.NONE, 208, 5000)}, HeaderError),
        ({"xml_data": ResourceHeader(0, ResourceFlag.NONE, 0, 0)}, IncompleteWimError),
    ],
)
def test_header_check_refuses(fields: dict[str, object], error: type[Exception]) -> None:
    _header().check(1000)
    with pytest.raises(error):
        _header(**fields).check(1000)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(11),
        (32).to_bytes(4, "little") + (1).to_bytes(4, "little") + bytes(4) + bytes(20),
        (32).to_bytes(4, "little") + (2).to_bytes(4, "little") + b"\0\x10\0\0" + bytes(20),
        (33).to_bytes(4, "little") + (1).to_bytes(4, "little") + b"\0\x10\0\0" + bytes(20),
        (12).to_bytes(4, "little") + (0).to_bytes(4, "little") + b"\0\x10\0\0",
    ],
)
def test_malformed_integrity_tables(data: bytes) -> None:
    with pytest.raises(IntegrityTableError):
        IntegrityTable.parse(data, covered_nbytes=1000)


def _header(**fields: object) -> Header:
    values: dict[str, object] = {
        "is_pipable": False,
        "version": WimVersion.DEFAULT,
        "flags": HeaderFlag(0),
        "chunk_size": 0,
        "guid": bytes(16),
        "part_number": 1,
        "total_parts": 1,
        "image_count": 1,
        "blob_table": ResourceHeader(0, ResourceFlag.NONE, 0, 0),
        "xml_data": ResourceHeader(100, ResourceFlag.METADATA, 208, 100),
        "boot_metadata": ResourceHeader(0, ResourceFlag.NONE, 0, 0),
        "boot_index": 0,
        "integrity": ResourceHeader(0, ResourceFlag.NONE, 0, 0),
    }
    return Header(**{**values, **fields})  # type: ignore[arg-type]
