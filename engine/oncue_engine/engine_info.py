"""What an engine says of itself: read off the model that is loaded, never written down twice."""

from __future__ import annotations

import importlib.metadata

from .frontend.audio import MAX_SECONDS, MIN_SECONDS
from .model_interface import SpeechModel
from .request_checks import HIGHEST_RATE_HZ, LOWEST_RATE_HZ
from .requests import EngineInfo

__all__ = ["describe"]


def describe(model: SpeechModel, name: str, *, max_live: int) -> EngineInfo:
    """The truth about a loaded model; `max_live` utterances run at once."""
    speech = model.speech
    return EngineInfo(
        model=name,
        fingerprint=model.fingerprint,
        version=importlib.metadata.version("oncue"),
        languages=speech.languages,
        emotions=model.emotions,
        emotion_from_clips=model.takes_emotion_clips,
        emotion_from_words=model.emotion_words is not None,
        native_rate_hz=speech.sample_rate_hz,
        token_rate_hz=speech.token_rate_hz,
        duration_control=model.duration_control,
        max_text_chars=speech.max_text_chars,
        max_tokens_per_segment=speech.max_segment_tokens,
        max_reference_s=MAX_SECONDS,
        min_reference_s=MIN_SECONDS,
        limits={
            "min_sample_rate_hz": LOWEST_RATE_HZ,
            "max_sample_rate_hz": HIGHEST_RATE_HZ,
            "max_live_utterances": max_live,
            "max_pieces_per_segment": speech.max_segment_pieces,
        },
    )
