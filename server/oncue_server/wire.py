"""Refuses a message that sets two members of one `oneof`.

A protobuf parser keeps the last member and says nothing, which would make two emotion sources a rule of precedence.
So the raw bytes are walked beside the parsed message's descriptor.
"""

from __future__ import annotations

from typing import TypeVar, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

from oncue_engine.errors import InvalidRequest

__all__ = ["parse"]

M = TypeVar("M", bound=Message)

_LENGTH_DELIMITED = 2
_EMOTION_MESSAGES = frozenset({"oncue.v1.EmotionSource", "oncue.v1.UtteranceEmotion"})


def parse(kind: type[M], raw: bytes) -> M:
    """The message in `raw`. Raises InvalidRequest (MALFORMED_REQUEST, ONEOF_CONFLICT, EMOTION_SOURCE_CONFLICT)."""
    try:
        message = kind.FromString(raw)
    except DecodeError as error:
        raise InvalidRequest(f"the request is no {kind.DESCRIPTOR.full_name}", reason="MALFORMED_REQUEST") from error
    _check_oneofs(cast(Descriptor, message.DESCRIPTOR), raw, "")
    return message


def _check_oneofs(descriptor: Descriptor, raw: bytes, path: str) -> None:
    singular: dict[int, bytes] = {}
    chosen: dict[str, str] = {}
    # An empty message holds every field as an unknown one: a walk without a parser of our own.
    fields = UnknownFieldSet(Empty.FromString(raw))
    for index in range(len(fields)):
        unknown = fields[index]
        known = descriptor.fields_by_number.get(unknown.field_number)
        if known is None:
            continue
        field_path = f"{path}{known.name}"
        group = known.containing_oneof
        if group is not None and chosen.setdefault(group.name, known.name) != known.name:
            raise _conflict(descriptor, path, chosen[group.name], known.name)
        if known.type != FieldDescriptor.TYPE_MESSAGE or unknown.wire_type != _LENGTH_DELIMITED:
            continue
        if known.is_repeated:
            _check_oneofs(_message_type(known), unknown.data, f"{field_path}.")
        else:
            # Parts of one message that arrive apart are merged, that is, read as one.
            singular[known.number] = singular.get(known.number, b"") + unknown.data
    for number, data in singular.items():
        known = descriptor.fields_by_number[number]
        _check_oneofs(_message_type(known), data, f"{path}{known.name}.")


def _message_type(known: FieldDescriptor) -> Descriptor:
    return cast(Descriptor, known.message_type)


def _conflict(descriptor: Descriptor, path: str, first: str, second: str) -> InvalidRequest:
    of_emotion = descriptor.full_name in _EMOTION_MESSAGES
    return InvalidRequest(
        f"only one of `{first}` and `{second}` may be set",
        reason="EMOTION_SOURCE_CONFLICT" if of_emotion else "ONEOF_CONFLICT",
        field=path.rstrip("."),
        metadata={"first": first, "second": second},
    )
