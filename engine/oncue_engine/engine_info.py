"""What an engine says of itself: read off the model that is loaded, never written down twice."""

from __future__ import annotations

import importlib.metadata

from .checkpoints.loaded import LoadedModel
from .frontend.audio import MAX_SECONDS, MIN_SECONDS
from .request_checks import HIGHEST_RATE_HZ, LOWEST_RATE_HZ
from .requests import EngineInfo

__all__ = ["describe"]


def describe(model: LoadedModel, name: str, *, max_live: int) -> EngineInfo:
    """The truth about a loaded model; `max_live` utterances run at once."""
    config = model.config
    return EngineInfo(
        model=name,
        fingerprint=model.fingerprint,
        version=importlib.metadata.version("oncue"),
        languages=config.speech.languages,
        emotions=() if model.emotion_bank is None else model.emotion_bank.names,
        emotion_from_words=model.emotion_words is not None,
        native_rate_hz=config.speech.sample_rate_hz,
        token_rate_hz=config.speech.token_rate_hz,
        duration_control="trained" if config.t2s.duration_row == "tied" else "constructed",
        max_text_chars=config.speech.max_text_chars,
        max_tokens_per_segment=config.speech.max_segment_tokens,
        max_reference_s=MAX_SECONDS,
        min_reference_s=MIN_SECONDS,
        limits={
            "min_sample_rate_hz": LOWEST_RATE_HZ,
            "max_sample_rate_hz": HIGHEST_RATE_HZ,
            "max_live_utterances": max_live,
            "max_pieces_per_segment": config.speech.max_segment_pieces,
        },
    )
