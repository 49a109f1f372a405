"""Messages survive the wire, never exceed a slot, and rubbish is told apart from news."""

from __future__ import annotations

import dataclasses
import json
from enum import StrEnum
from typing import Any, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wimtui.control.errors import (
    MalformedMessageError,
    MessageTooLargeError,
    ProtocolVersionError,
)
from wimtui.control.protocol import (
    MAX_MESSAGE_NBYTES,
    MESSAGE_TYPES,
    Commit,
    DaemonState,
    EndedEvent,
    ErrorReply,
    LogEvent,
    Message,
    OkReply,
    ProgressEvent,
    StateEvent,
    Status,
    StatusReply,
)
from wimtui.control.wire import Envelope, decode, encode, encode_whole, shorten

# Lone surrogates stand for bytes that are no UTF-8; a high one before a low one is a character.
TEXT = st.text(st.characters(exclude_categories=["Cs"]) | st.characters(categories=["Lo"]))
PATHS = st.binary(max_size=60).map(lambda raw: raw.decode("utf-8", "surrogateescape"))
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
)
DATA = st.dictionaries(st.text(max_size=8), SCALARS | st.text(max_size=8), max_size=4)


def values_of(kind: Any) -> st.SearchStrategy[Any]:
    if kind is int:
        return st.integers(-(2**63), 2**63)
    if kind is bool:
        return st.booleans()
    if kind is str:
        return TEXT | PATHS
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return st.sampled_from(list(kind))
    return DATA


def messages() -> st.SearchStrategy[Message]:
    return st.sampled_from(list(MESSAGE_TYPES.values())).flatmap(
        lambda kind: st.builds(
            kind,
            **{
                field.name: values_of(get_type_hints(kind)[field.name])
                for field in dataclasses.fields(kind)
            },
        )
    )


@given(messages(), st.integers(0, 2**63), st.integers(0, 2**63))
@settings(max_examples=300)
def test_a_whole_message_comes_back(message: Message, request_id: int, seq: int) -> None:
    envelope = Envelope(message, request_id, seq, reply_to="/wimtui.0.c.1.2.abcdef01")
    encoded = encode_whole(envelope)
    assert decode(encoded) == envelope
    if len(encoded) <= MAX_MESSAGE_NBYTES:
        assert encode(envelope) == encoded


@pytest.mark.parametrize("character", ["a", "é", "\U0001f600", '"', "\udc80", "\n"])
@pytest.mark.parametrize(
    "kind", [ProgressEvent, ErrorReply, StatusReply, StateEvent, LogEvent, EndedEvent]
)
def test_the_largest_strings_fit(kind: type[Message], character: str) -> None:
    shown = {f.name: character * 4096 for f in dataclasses.fields(kind) if "keep" in f.metadata}
    numbers = {
        name: 2**63 - 1 for name, of in get_type_hints(kind).items() if of is int and name != "seq"
    }
    message = kind(**shown, **numbers)
    encoded = encode(Envelope(message, 2**63, 2**63, "/wimtui.4294967295.c.4194304.1.abcdef01"))
    assert len(encoded) <= MAX_MESSAGE_NBYTES
    # As long as it may be, but for one character and the dots.
    assert len(encoded) > MAX_MESSAGE_NBYTES - 16
    back = decode(encoded).message
    for name in shown:
        assert len(getattr(back, name)) > len("...")


def test_a_shortened_path_keeps_its_end() -> None:
    path = "/" + "x" * 4090 + "/file"
    back = decode(encode(Envelope(ProgressEvent(path=path)))).message
    assert isinstance(back, ProgressEvent)
    assert back.path.startswith("...x")
    assert back.path.endswith("xxx/file")


def test_what_is_no_display_string_is_not_shortened() -> None:
    for message in (Commit(image_name="n" * 3000), OkReply(data={"key": "v" * 3000})):
        with pytest.raises(MessageTooLargeError):
            encode(Envelope(message, 1))


@given(TEXT | PATHS, st.integers(0, 80), st.sampled_from(["head", "tail"]))
def test_shorten_keeps_the_limit(text: str, limit: int, keep: str) -> None:
    short = shorten(text, limit, keep)
    assert len(json.dumps(short)) - 2 <= limit
    if short != text and short:
        assert (short.removesuffix("...") if keep == "head" else short.removeprefix("...")) in text


def test_unknown_keys_are_ignored() -> None:
    raw = json.loads(encode(Envelope(StatusReply(state=DaemonState.OK), 3)))
    raw["colour"] = {"deep": [1, 2]}
    assert decode(json.dumps(raw).encode()) == Envelope(StatusReply(state=DaemonState.OK), 3)


def test_missing_keys_have_their_defaults() -> None:
    assert decode(b'{"v":1,"t":"commit"}') == Envelope(Commit())


@pytest.mark.parametrize("change", [{"v": 2}, {"v": None}, {"t": "commit2"}, {"t": 5}])
def test_what_is_not_known_can_be_answered(change: dict[str, Any]) -> None:
    raw = {"v": 1, "t": "status", "id": 9, "seq": 0, "to": "/wimtui.1.c.2.3.abcdef01", **change}
    with pytest.raises(ProtocolVersionError) as caught:
        decode(json.dumps(raw).encode())
    assert (caught.value.request_id, caught.value.reply_to) == (9, raw["to"])


@pytest.mark.parametrize(
    "encoded",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"null",
        b"[" * 2048,
        b'{"v":1,"t":"commit","mode":"sideways"}',
        b'{"v":1,"t":"commit","mode":["append"]}',
        b'{"v":1,"t":"commit","check":1}',
        b'{"v":1,"t":"cancel","operation_id":true}',
        b'{"v":1,"t":"cancel","operation_id":"1"}',
        b'{"v":1,"t":"extension","name":"x","data":{"a":[1]}}',
        b'{"v":1,"t":"extension","name":"x","data":{"a":NaN}}',
    ],
)
def test_malformed_messages(encoded: bytes) -> None:
    with pytest.raises(MalformedMessageError):
        decode(encoded)


@given(st.binary(max_size=200))
def test_no_bytes_do_worse_than_raise(encoded: bytes) -> None:
    with pytest.raises((MalformedMessageError, ProtocolVersionError)):
        decode(encoded)


def test_encoding_is_one_line_of_ascii() -> None:
    encoded = encode(Envelope(Status(), 1, reply_to="/q"))
    assert encoded == b'{"v":1,"t":"status","id":1,"seq":0,"to":"/q"}'
