"""What an engine says of itself: read off the model that is loaded, never written down twice."""

from __future__ import annotations

import importlib.metadata

from .answers import EngineInfo
from .decoding.reference_stage import REFERENCE_SAMPLING
from .errors import InvalidRequest
from .frontend.audio import MAX_SECONDS, MIN_SECONDS
from .model_interface import SpeechModel
from .options import EngineOptions
from .request_checks import HIGHEST_RATE_HZ, LOWEST_RATE_HZ
from .requests import Sampling

__all__ = ["describe", "duration_control"]


def duration_control(model: SpeechModel, options: EngineOptions) -> str:
    """How lengths are reached (EngineInfo.duration_control). InvalidRequest OPTION_INVALID for an experiment that the
    model has no use for, or that the pipeline does not make."""
    if not options.duration_row_experiment:
        return model.duration_control
    if not model.duration_experiment:
        why = "was trained to be told a length" if model.duration_control == "trained" else "has no row to try"
        raise InvalidRequest(
            f"duration_row_experiment: this model {why}", reason="OPTION_INVALID", field="duration_row_experiment"
        )
    if options.pipeline != "oncue":
        raise InvalidRequest(
            f"duration_row_experiment: the pipeline {options.pipeline} does not make it",
            reason="OPTION_INVALID",
            field="duration_row_experiment",
        )
    return "experiment"


def describe(model: SpeechModel, name: str, options: EngineOptions, *, max_live: int) -> EngineInfo:
    """The truth about a loaded model; `max_live` utterances run at once. InvalidRequest as `duration_control`."""
    speech = model.speech
    return EngineInfo(
        model=name,
        fingerprint=model.fingerprint,
        version=importlib.metadata.version("oncue"),
        languages=model.text.readable(speech.languages),
        emotions=model.emotions,
        emotion_from_clips=model.takes_emotion_clips,
        emotion_from_words=model.emotion_words is not None,
        native_rate_hz=speech.sample_rate_hz,
        token_rate_hz=speech.token_rate_hz,
        duration_control=duration_control(model, options),
        max_text_chars=speech.max_text_chars,
        max_tokens_per_segment=speech.max_segment_tokens,
        max_reference_s=MAX_SECONDS,
        min_reference_s=MIN_SECONDS,
        decoding=options.decoding,
        sampling=REFERENCE_SAMPLING if options.decoding == "reference" else Sampling(),
        limits={
            "min_sample_rate_hz": LOWEST_RATE_HZ,
            "max_sample_rate_hz": HIGHEST_RATE_HZ,
            "max_live_utterances": max_live,
            "max_pieces_per_segment": speech.max_segment_pieces,
        },
    )
