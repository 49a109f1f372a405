"""Messages as bytes: one JSON object in ASCII, ``{"v":1,"t":type,"id":n,"seq":n,...}``.

No message is larger than MAX_MESSAGE_NBYTES; strings for the eye are shortened until it fits.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, get_type_hints

from wimtui.control.errors import (
    MalformedMessageError,
    MessageTooLargeError,
    ProtocolVersionError,
)
from wimtui.control.protocol import (
    MAX_MESSAGE_NBYTES,
    MESSAGE_TYPES,
    PROTOCOL_VERSION,
    Message,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

_FIELD_KINDS: Mapping[type[Message], Mapping[str, Any]] = {
    kind: {f.name: get_type_hints(kind)[f.name] for f in dataclasses.fields(kind)}
    for kind in MESSAGE_TYPES.values()
}


_SHARE_NBYTES = MAX_MESSAGE_NBYTES // 4


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message and where it belongs.

    Attributes:
        message: The message.
        request_id: Chosen by the front end, positive; repeated by the reply and by the events about
            the operation the request began. 0 in events that nobody asked for.
        seq: Counts the events of one subscriber from 1; a gap means that progress was dropped.
        reply_to: In requests, the name of the queue that takes the answer.
    """

    message: Message
    request_id: int = 0
    seq: int = 0
    reply_to: str = ""


def encode(envelope: Envelope) -> bytes:
    """The bytes of a message, display strings shortened as far as needed.

    Raises:
        MessageTooLargeError: Shortening does not make it fit into MAX_MESSAGE_NBYTES.
    """
    fields = _fields(envelope.message)
    encoded = _dump(envelope, fields)
    shown = {
        f.name: f.metadata["keep"]
        for f in dataclasses.fields(envelope.message)
        if "keep" in f.metadata
    }
    while len(encoded) > MAX_MESSAGE_NBYTES:
        sizes = {name: _encoded_nbytes(fields[name]) for name in shown if fields[name]}
        if not sizes:
            raise MessageTooLargeError(
                f"a {envelope.message.TYPE!r} message of {len(encoded)} bytes, "
                f"the limit is {MAX_MESSAGE_NBYTES}",
                request_id=envelope.request_id,
                reply_to=envelope.reply_to,
            )
        name = max(sizes, key=lambda key: sizes[key])
        target = sizes[name] - (len(encoded) - MAX_MESSAGE_NBYTES)
        # Not below a quarter of the slot at once: two long strings then share what there is.
        floor = _SHARE_NBYTES if sizes[name] > _SHARE_NBYTES else 0
        fields[name] = shorten(fields[name], max(target, floor), shown[name])
        encoded = _dump(envelope, fields)
    return encoded


def encode_whole(envelope: Envelope) -> bytes:
    """The bytes of a message at any size, for a bulk file."""
    return _dump(envelope, _fields(envelope.message))


def decode(encoded: bytes) -> Envelope:
    """The message in these bytes. Keys that it does not know are ignored.

    Raises:
        MalformedMessageError: Not a message.
        ProtocolVersionError: Another major version, or a type unknown to this one.
    """
    try:
        raw = json.loads(encoded, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise MalformedMessageError(f"not JSON: {error}") from error
    if not isinstance(raw, dict):
        raise MalformedMessageError("not a JSON object")
    request_id = raw["id"] if _is_id(raw.get("id")) else 0
    reply_to = raw["to"] if isinstance(raw.get("to"), str) else ""
    kind = MESSAGE_TYPES.get(raw["t"]) if isinstance(raw.get("t"), str) else None
    if raw.get("v") != PROTOCOL_VERSION or kind is None:
        raise ProtocolVersionError(
            f"message {raw.get('t')!r} of protocol {raw.get('v')!r}; this is protocol "
            f"{PROTOCOL_VERSION}",
            request_id=request_id,
            reply_to=reply_to,
        )
    try:
        values = {
            name: _checked(name, field_kind, raw[name])
            for name, field_kind in _FIELD_KINDS[kind].items()
            if name in raw
        }
    except ValueError as error:
        text = f"message {kind.TYPE!r}: {error}"
        raise MalformedMessageError(text, request_id=request_id, reply_to=reply_to) from error
    seq = raw["seq"] if _is_id(raw.get("seq")) else 0
    return Envelope(kind(**values), request_id, seq, reply_to)


def shorten(text: str, max_nbytes: int, keep: str = "head") -> str:
    """``text`` cut to ``max_nbytes`` bytes of JSON, with ``...`` where something is missing.

    Args:
        text: Any string.
        max_nbytes: Limit as JSON in ASCII, without the quotes; below 3 the result is empty.
        keep: ``head`` or ``tail``: the part that stays.
    """
    if _encoded_nbytes(text) <= max_nbytes:
        return text
    if max_nbytes < len("..."):
        return ""
    room = max_nbytes - len("...")
    kept = 0
    for character in text if keep == "head" else reversed(text):
        room -= _encoded_nbytes(character)
        if room < 0:
            break
        kept += 1
    return text[:kept] + "..." if keep == "head" else "..." + text[len(text) - kept :]


def _fields(message: Message) -> dict[str, Any]:
    return {f.name: getattr(message, f.name) for f in dataclasses.fields(message)}


def _dump(envelope: Envelope, fields: Mapping[str, Any]) -> bytes:
    head: dict[str, Any] = {
        "v": PROTOCOL_VERSION,
        "t": envelope.message.TYPE,
        "id": envelope.request_id,
        "seq": envelope.seq,
    }
    if envelope.reply_to:
        head["to"] = envelope.reply_to
    # ASCII, so that lone surrogates (names and paths that are no Unicode) survive.
    return json.dumps({**head, **fields}, separators=(",", ":"), allow_nan=False).encode("ascii")


def _encoded_nbytes(text: str) -> int:
    return len(json.dumps(text)) - len('""')


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _is_id(value: object) -> bool:
    """Whether a number fits 64 bits: a longer one would not fit the answer that repeats it."""
    return _is_int(value) and 0 <= value < 1 << 64  # type: ignore[operator]


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _checked(name: str, kind: Any, value: Any) -> Any:
    """``value`` as a field of type ``kind``; ValueError if it is none."""
    if kind is int:
        valid = _is_int(value)
    elif isinstance(kind, type) and issubclass(kind, StrEnum):
        return kind(value)
    elif isinstance(kind, type):
        valid = isinstance(value, kind)
    else:
        scalars = (int, float, str, bool, type(None))
        valid = isinstance(value, dict) and all(isinstance(v, scalars) for v in value.values())
    if not valid:
        raise ValueError(f"{name} cannot be {value!r:.80}")
    return value
