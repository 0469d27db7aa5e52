"""What is checked of a request before its text is read: ranges of plain numbers, and what the model can do at all."""

from __future__ import annotations

import math
from dataclasses import fields

from .answers import EngineInfo
from .decoding.sampling import check_sampling
from .errors import InvalidRequest, Unsupported
from .requests import (
    EMOTION_NAMES,
    MAX_EMOTION_WEIGHT,
    EmotionMixing,
    EmotionWeights,
    EmotionWords,
    Reference,
    UtteranceRequest,
)

__all__ = [
    "HIGHEST_RATE_HZ",
    "LOWEST_RATE_HZ",
    "check_emotion",
    "check_settings",
    "clips_unsupported",
    "words_unsupported",
]

LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 8_000, 48_000


def check_settings(request: UtteranceRequest) -> None:
    """InvalidRequest for a rate, seed, start, lead, deadline or sampling setting out of range; tells field, limits."""
    if not LOWEST_RATE_HZ <= request.sample_rate_hz <= HIGHEST_RATE_HZ:
        raise InvalidRequest(
            f"{request.sample_rate_hz} Hz is outside {LOWEST_RATE_HZ} to {HIGHEST_RATE_HZ} Hz",
            reason="SAMPLE_RATE_UNSUPPORTED",
            field="format.sample_rate_hz",
            metadata={"min_hz": str(LOWEST_RATE_HZ), "max_hz": str(HIGHEST_RATE_HZ)},
        )
    if request.sampling is not None:
        check_sampling(request.sampling)
    lead = request.pacing.max_lead_samples
    numbers = (
        ("seed", "SEED_OUT_OF_RANGE", request.seed, 0, 2**64 - 1),
        ("start_sample", "START_SAMPLE_OUT_OF_RANGE", request.start_sample, 0, 2**63 - 1),
        ("pacing.max_lead_samples", "MAX_LEAD_OUT_OF_RANGE", 1 if lead is None else lead, 1, 2**63 - 1),
    )
    for field, reason, value, low, high in numbers:
        if not low <= value <= high:
            raise InvalidRequest(
                f"{field} is {value}, outside {low} to {high}",
                reason=reason,
                field=field,
                metadata={"min": str(low), "max": str(high)},
            )
    deadline_s = request.start_deadline_s
    if deadline_s is not None and not 0.0 < deadline_s < math.inf:
        raise InvalidRequest(
            f"a start deadline of {deadline_s} s is not a time above 0",
            reason="START_DEADLINE_OUT_OF_RANGE",
            field="scheduling.start_deadline",
            metadata={"above_s": "0"},
        )


def check_emotion(request: UtteranceRequest, info: EngineInfo) -> None:
    """InvalidRequest for a strength, weights or options that do not hold; Unsupported for what the model of `info` does
    not have."""
    if not 0.0 <= request.emotion_strength <= 1.0:
        raise InvalidRequest(
            f"emotion strength {request.emotion_strength} is outside 0 to 1",
            reason="EMOTION_STRENGTH_OUT_OF_RANGE",
            field="emotion.strength",
            metadata={"min": "0", "max": "1"},
        )
    if not isinstance(request.emotion, EmotionWords | EmotionWeights):
        _check_unmixed(request.emotion_mixing)
    match request.emotion:
        case Reference() if not info.emotion_from_clips:
            raise clips_unsupported()
        case EmotionWords() if not info.emotion_from_words:
            raise words_unsupported()
        case EmotionWeights(weights):
            _check_weights(weights, info)


def clips_unsupported() -> Unsupported:
    """The answer to an emotion clip where the model takes none (EMOTION_CLIPS_UNSUPPORTED)."""
    return Unsupported("this model takes no emotion clips", reason="EMOTION_CLIPS_UNSUPPORTED", field="emotion.clip")


def words_unsupported() -> Unsupported:
    """The answer to an emotion in words where the model takes none (EMOTION_WORDS_UNSUPPORTED)."""
    return Unsupported(
        "this model takes no emotion in words", reason="EMOTION_WORDS_UNSUPPORTED", field="emotion.words"
    )


def _check_unmixed(mixing: EmotionMixing) -> None:
    for option in fields(mixing):
        if getattr(mixing, option.name):
            raise InvalidRequest(
                f"{option.name} is for an emotion by weights or in words, not for a clip or none",
                reason="EMOTION_OPTION_WITHOUT_WEIGHTS",
                field=f"emotion.{option.name}",
            )


def _check_weights(weights: tuple[float, ...], info: EngineInfo) -> None:
    supported = info.emotions
    if len(weights) != len(EMOTION_NAMES) or not all(0.0 <= w <= MAX_EMOTION_WEIGHT for w in weights):
        raise InvalidRequest(
            f"emotion weights must be {len(EMOTION_NAMES)} numbers in 0 to {MAX_EMOTION_WEIGHT}",
            reason="EMOTION_VECTOR_INVALID",
            field="emotion.weights",
            metadata={"min": "0", "max": str(MAX_EMOTION_WEIGHT), "names": ",".join(EMOTION_NAMES)},
        )
    if not supported:
        raise Unsupported(
            "this model has no emotion bank"
            + (": an emotion can be given as a clip" if info.emotion_from_clips else ", nor takes it emotion clips"),
            reason="EMOTION_WEIGHTS_UNSUPPORTED",
            field="emotion.weights",
            metadata={"supported": "", "supported_sources": "audio" if info.emotion_from_clips else ""},
        )
    for name, weight in zip(EMOTION_NAMES, weights, strict=True):
        if weight > 0.0 and name not in supported:
            raise Unsupported(
                f"this model has no emotion {name}; it has {', '.join(supported)}",
                reason="EMOTION_UNSUPPORTED",
                field=f"emotion.weights.{name}",
                metadata={"supported": ",".join(supported)},
            )
