"""Every vector of data/vectors.json, by the kernels and by the plain-Python models."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.reference import huffman, lzms, lzx, xpress
from tests.reference.bits import Malformed
from tests.reference.generators import GENERATORS, Xorshift
from wimtui.engine.codecs.errors import CodecError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "data" / "vectors.json").read_text()
)
KERNELS = {"xpress": "XpressDecompressor", "lzx": "LzxDecompressor", "lzms": "LzmsDecompressor"}


def data_of(parts: list[dict[str, Any]]) -> bytes:
    data = b""
    for part in parts:
        if "ascii" in part:
            data += part["ascii"].encode() * part.get("repeat", 1)
        elif "hex" in part:
            data += bytes.fromhex(part["hex"])
        else:
            data += GENERATORS[part["gen"]](part["seed"], part["n"])
    return data


def compressed_of(stored: dict[str, Any]) -> bytes:
    if "b64" in stored:
        return base64.b64decode(stored["b64"])
    if "prefix_hex" in stored:
        return bytes.fromhex(stored["prefix_hex"]) + data_of([stored["then_gen"]])
    return bytes.fromhex(stored["hex"])


def sha1(data: bytes | bytearray) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


def by_kernel(codec: str, vector: dict[str, Any]) -> bytes:
    module = import_module(f"wimtui.engine.codecs._{codec}_decompress")
    decompressor = getattr(module, KERNELS[codec])(vector["chunk_size"])
    source = compressed_of(vector["compressed"])
    decoded: bytes = decompressor.decompress(source, vector["usize"])
    return decoded


def by_reference(codec: str, vector: dict[str, Any]) -> bytes:
    source = compressed_of(vector["compressed"])
    if codec == "xpress":
        return xpress.xpress_decompress(source, vector["usize"])
    if codec == "lzx":
        return lzx.lzx_decompress(source, vector["usize"], vector["chunk_size"])
    return lzms.lzms_decompress(source, vector["usize"])


@pytest.fixture(params=[by_kernel, by_reference])
def decode(request: pytest.FixtureRequest) -> Callable[[str, dict[str, Any]], bytes]:
    chosen: Callable[[str, dict[str, Any]], bytes] = request.param
    return chosen


def valid_cases() -> Iterator[Any]:
    for codec, vectors in VECTORS["vectors"].items():
        for vector in vectors:
            yield pytest.param(codec, vector, id=f"{codec}-{vector['name']}")


def malformed_cases() -> Iterator[Any]:
    for vector in VECTORS["malformed"]:
        yield pytest.param(vector, id=f"{vector['codec']}-{vector['name']}")


@pytest.mark.parametrize(("codec", "vector"), valid_cases())
def test_valid_chunk_decodes(
    codec: str, vector: dict[str, Any], decode: Callable[[str, dict[str, Any]], bytes]
) -> None:
    assert len(compressed_of(vector["compressed"])) == vector["csize"]

    decoded = decode(codec, vector)

    assert len(decoded) == vector["usize"]
    assert sha1(decoded) == vector["sha1"]
    if vector["input"] is not None:
        assert decoded == data_of(vector["input"])


@pytest.mark.parametrize("vector", malformed_cases())
def test_malformed_chunk_gets_its_verdict(
    vector: dict[str, Any], decode: Callable[[str, dict[str, Any]], bytes]
) -> None:
    if vector["expect"] == "zero-fill":
        assert sha1(decode(vector["codec"], vector)) == vector["sha1"]
    else:
        with pytest.raises((CodecError, Malformed)):
            decode(vector["codec"], vector)


@pytest.mark.parametrize("vector", VECTORS["filters"], ids=lambda vector: str(vector["name"]))
def test_reference_filter(vector: dict[str, Any]) -> None:
    apply = lzx.lzx_e8 if vector["filter"] == "lzx_e8" else lzms.lzms_x86
    original = data_of(vector["input"])
    assert len(original) == vector["n"]

    forward = bytearray(original)
    apply(forward, undo=False)
    inverse = bytearray(original)
    apply(inverse, undo=True)

    assert sha1(forward) == vector["forward_sha1"]
    assert sha1(inverse) == vector["inverse_sha1"]
    apply(forward, undo=True)
    assert forward == original


@pytest.mark.parametrize(
    "vector", VECTORS["huffman_lengths"], ids=lambda vector: str(vector["name"])
)
def test_reference_code_lengths(vector: dict[str, Any]) -> None:
    lengths = huffman.limited_lengths(vector["freqs"], vector["limit"])
    assert lengths == [int(digit, 16) for digit in vector["lengths"]]
    if vector["limit"] == 15 and max(huffman.huffman_lengths(vector["freqs"])) <= 15:
        assert huffman.huffman_lengths(vector["freqs"]) == lengths


@pytest.mark.parametrize(
    "trace", VECTORS["lzms_adaptive_trace"], ids=lambda trace: str(trace["nsyms"])
)
def test_reference_adaptive_code(trace: dict[str, Any]) -> None:
    nsymbols = trace["nsyms"]
    random = Xorshift(nsymbols)
    code = lzms.AdaptiveHuffman(nsymbols, trace["period"])
    for digest in trace["sha1_of_length_bytes"]:
        assert sha1(bytes(code.lengths)) == digest
        for _ in range(trace["period"]):
            code.count(min(random.below(nsymbols), random.below(nsymbols)))


def test_reference_slot_tables() -> None:
    tables = VECTORS["tables"]
    assert tables["lzx_offset_extra_bits"] == lzx.LZX_EXTRA
    assert tables["lzx_offset_base"] == lzx.LZX_BASE
    assert sha1(struct.pack("<799I", *lzms.LZMS_OFFSET_BASE)) == tables["lzms_offset_base_sha1"]
    assert sha1(bytes(lzms.LZMS_OFFSET_EXTRA)) == tables["lzms_offset_extra_sha1"]
    assert sha1(struct.pack("<54I", *lzms.LZMS_LENGTH_BASE)) == tables["lzms_length_base_sha1"]
    assert sha1(bytes(lzms.LZMS_LENGTH_EXTRA)) == tables["lzms_length_extra_sha1"]
    for size, nslots in tables["lzms_num_offset_slots"].items():
        assert lzms.lzms_num_offset_slots(int(size)) == nslots
