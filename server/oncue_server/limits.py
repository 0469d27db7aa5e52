"""Checks of voices, emotions and clips that need no model, each with its reason, field and limit."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from google.protobuf.field_mask_pb2 import FieldMask

from oncue.v1 import emotion_pb2
from oncue_engine.errors import InvalidRequest, Unsupported
from oncue_engine.requests import EMOTION_NAMES, MAX_EMOTION_WEIGHT, EmotionWeights

__all__ = [
    "MAX_INLINE_AUDIO_BYTES",
    "MAX_UPLOAD_BYTES",
    "MAX_UPLOAD_PART_BYTES",
    "display_name",
    "emotion_weights",
    "inline_audio",
    "labels",
    "new_id",
    "resource_id",
    "update_mask",
]

MAX_INLINE_AUDIO_BYTES = 3 * 1024 * 1024
MAX_UPLOAD_BYTES = 64 * 1024 * 1024
MAX_UPLOAD_PART_BYTES = 256 * 1024
MAX_DISPLAY_NAME_CHARS = 128
MAX_LABELS = 32
MAX_LABEL_KEY_CHARS = 63
MAX_LABEL_VALUE_CHARS = 255

_ID = re.compile(r"[a-z][a-z0-9-]{2,62}")


def new_id(value: str, kind: str, prefix: str = "") -> str:
    """An id for a new resource. Raises InvalidRequest (VOICE_ID_INVALID, EMOTION_ID_INVALID)."""
    if not _ID.fullmatch(value):
        raise InvalidRequest(
            f"an id must match {_ID.pattern}",
            reason=f"{kind.upper()}_ID_INVALID",
            field=f"{prefix}{kind}_id",
            metadata={"pattern": _ID.pattern},
        )
    return value


def resource_id(name: str, kind: str, field: str) -> str:
    """The id in `voices/{id}` or `emotions/{id}`. Raises InvalidRequest (VOICE_NAME_INVALID, EMOTION_NAME_INVALID)."""
    collection, _, id_ = name.partition("/")
    if collection != f"{kind}s" or not _ID.fullmatch(id_):
        raise InvalidRequest(
            f"a name has the form {kind}s/{{{kind}}}, where {{{kind}}} matches {_ID.pattern}",
            reason=f"{kind.upper()}_NAME_INVALID",
            field=field,
            metadata={"pattern": f"{kind}s/{_ID.pattern}"},
        )
    return id_


def display_name(value: str, field: str) -> str:
    """Raises InvalidRequest (DISPLAY_NAME_INVALID)."""
    if len(value) > MAX_DISPLAY_NAME_CHARS:
        raise InvalidRequest(
            f"at most {MAX_DISPLAY_NAME_CHARS} characters",
            reason="DISPLAY_NAME_INVALID",
            field=field,
            metadata={"max_chars": str(MAX_DISPLAY_NAME_CHARS)},
        )
    return value


def labels(value: Mapping[str, str], field: str) -> dict[str, str]:
    """Raises InvalidRequest (LABELS_INVALID)."""
    fits = len(value) <= MAX_LABELS and all(
        0 < len(key) <= MAX_LABEL_KEY_CHARS and len(text) <= MAX_LABEL_VALUE_CHARS for key, text in value.items()
    )
    if not fits:
        limits = {"max_labels": MAX_LABELS, "max_key_chars": MAX_LABEL_KEY_CHARS, "max_chars": MAX_LABEL_VALUE_CHARS}
        raise InvalidRequest(
            f"at most {MAX_LABELS} labels, keys of 1 to {MAX_LABEL_KEY_CHARS} characters, "
            f"values of at most {MAX_LABEL_VALUE_CHARS}",
            reason="LABELS_INVALID",
            field=field,
            metadata={key: str(limit) for key, limit in limits.items()},
        )
    return dict(value)


def update_mask(mask: FieldMask) -> frozenset[str]:
    """The fields to change. Raises InvalidRequest (UPDATE_MASK_INVALID)."""
    known = ("display_name", "labels")
    paths = frozenset(mask.paths)
    if not paths or not paths <= set(known):
        raise InvalidRequest(
            f"name one or more of {', '.join(known)}",
            reason="UPDATE_MASK_INVALID",
            field="update_mask",
            metadata={"allowed": ",".join(known)},
        )
    return paths


def inline_audio(value: bytes, field: str) -> bytes:
    """Raises InvalidRequest (REFERENCE_EMPTY, REFERENCE_TOO_LARGE)."""
    if not value:
        raise InvalidRequest("the reference audio is empty", reason="REFERENCE_EMPTY", field=field)
    if len(value) > MAX_INLINE_AUDIO_BYTES:
        raise InvalidRequest(
            "the reference audio is over 3 MiB: use the upload call for larger files",
            reason="REFERENCE_TOO_LARGE",
            field=field,
            metadata={"max_bytes": str(MAX_INLINE_AUDIO_BYTES), "bytes": str(len(value))},
        )
    return value


def emotion_weights(message: emotion_pb2.EmotionWeights, has: Iterable[str], field: str) -> EmotionWeights:
    """Raises InvalidRequest (EMOTION_VECTOR_INVALID) and Unsupported (EMOTION_UNSUPPORTED)."""
    weights = tuple(float(getattr(message, name)) for name in EMOTION_NAMES)
    supported = tuple(has)
    named = dict(zip(EMOTION_NAMES, weights, strict=True))
    for name, weight in named.items():
        # 1.2 as a float32 is a little above 1.2; the comparison is false for NaN.
        if not 0.0 <= weight <= MAX_EMOTION_WEIGHT + 1e-6:
            raise InvalidRequest(
                f"the weight of {name} is {weight}; it must be 0 to {MAX_EMOTION_WEIGHT}",
                reason="EMOTION_VECTOR_INVALID",
                field=f"{field}.{name}",
                metadata={"min": "0", "max": str(MAX_EMOTION_WEIGHT)},
            )
    for name, weight in named.items():
        if weight > 0 and name not in supported:
            raise Unsupported(
                f"the loaded model has no emotion {name}; it has {', '.join(supported) or 'none'}",
                reason="EMOTION_UNSUPPORTED",
                field=f"{field}.{name}",
                metadata={"supported": ",".join(supported)},
            )
    if not any(weights):
        raise InvalidRequest(
            "all weights are 0: leave the emotion unset for the voice's own",
            reason="EMOTION_VECTOR_INVALID",
            field=field,
            metadata={"min": "0", "max": str(MAX_EMOTION_WEIGHT)},
        )
    return EmotionWeights.as_told(min(weight, MAX_EMOTION_WEIGHT) for weight in weights)
