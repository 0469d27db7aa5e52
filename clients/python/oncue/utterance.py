"""What to say, and how: one value for the three calls that take it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from oncue.audio import Encoding
from oncue.emotions import Emotion, EmotionMixing, Words, emotion_name, source_message
from oncue.lexicon import LexiconArgument, lexicon_message
from oncue.v1 import audio_pb2, speech_service_pb2
from oncue.voices import Voice, voice_name

__all__ = ["EmotionArgument", "LengthPolicy", "Sampling", "Utterance", "utterance_message"]

EmotionArgument = Emotion | str | Path | bytes | Mapping[str, float] | Words
"""A registered emotion (value, name or id), or one for this utterance only: a clip, weights by name, or words."""

LengthPolicy = Literal["strict", "force", "advise"]
"""strict: a length outside 0.5 to 2 times the natural one is refused. force: it is done, however it sounds.
advise: the range of strict, but the model is only told the length and ends by itself."""

_ENCODINGS: Mapping[Encoding, audio_pb2.AudioEncoding.ValueType] = {
    "pcm_s16": audio_pb2.AUDIO_ENCODING_PCM_S16,
    "pcm_f32": audio_pb2.AUDIO_ENCODING_PCM_F32,
}
_POLICIES: Mapping[LengthPolicy, speech_service_pb2.LengthPolicy.ValueType] = {
    "strict": speech_service_pb2.LENGTH_POLICY_STRICT,
    "force": speech_service_pb2.LENGTH_POLICY_FORCE,
    "advise": speech_service_pb2.LENGTH_POLICY_ADVISE,
}


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn. None leaves a setting to the model."""

    temperature: float | None = None
    """0 (always the likeliest) to 2."""
    top_k: int | None = None
    """0 switches the filter off."""
    top_p: float | None = None
    """1 switches the filter off."""
    repetition_penalty: float | None = None
    """1 (off) to 20."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """One utterance. The server checks it; only what cannot be expressed is refused here (ValueError)."""

    text: str
    voice: Voice | str | None = None
    """None: the server's default voice."""
    emotion: EmotionArgument | None = None
    """None: the emotion of the voice's own clip."""
    emotion_strength: float | None = None
    """0 to 1; None: 1."""
    emotion_mixing: EmotionMixing = field(default_factory=EmotionMixing)
    """What is done with the weights of the emotion, given or found for its words."""
    duration_samples: int | None = None
    """Exact length at the output rate."""
    tokens: int | None = None
    """Exact length in semantic tokens."""
    length_policy: LengthPolicy = "strict"
    sample_rate_hz: int | None = None
    """8000 to 48000; None: the model's native rate."""
    encoding: Encoding = "pcm_s16"
    seed: int | None = None
    """None: the server picks one and reports it."""
    sampling: Sampling = Sampling()
    lexicon: LexiconArgument | None = None
    """How terms are said in this utterance: `{"SQL": "sequel", "GIF": Pronunciation("JH IH1 F")}`."""
    language: str | None = None
    """BCP 47 tag of the text's language, such as `ja`; None: the server guesses it by the script."""


async def utterance_message(utterance: Utterance) -> speech_service_pb2.Utterance:
    """The message of an utterance.

    Raises ValueError for two lengths, for a strength or mixing without an emotion and for a seed or a length that does
    not fit its field; TypeError for a lexicon of other values; OSError for an emotion clip that cannot be read;
    InvalidRequest for an unknown emotion name.
    """
    sampling = utterance.sampling
    return speech_service_pb2.Utterance(
        text=utterance.text,
        voice="" if utterance.voice is None else voice_name(utterance.voice),
        emotion=await _emotion(utterance),
        length=_length(utterance),
        format=audio_pb2.AudioFormat(encoding=_ENCODINGS[utterance.encoding], sample_rate_hz=utterance.sample_rate_hz),
        seed=utterance.seed,
        language=utterance.language or "",
        sampling=speech_service_pb2.Sampling(
            temperature=sampling.temperature,
            top_k=sampling.top_k,
            top_p=sampling.top_p,
            repetition_penalty=sampling.repetition_penalty,
        ),
        lexicon=lexicon_message(utterance.lexicon),
    )


async def _emotion(utterance: Utterance) -> speech_service_pb2.UtteranceEmotion | None:
    emotion = utterance.emotion
    mixing = utterance.emotion_mixing
    if emotion is None:
        if utterance.emotion_strength is not None:
            raise ValueError("emotion_strength needs an emotion")
        if mixing != EmotionMixing():
            raise ValueError("emotion_mixing needs an emotion")
        return None
    message = speech_service_pb2.UtteranceEmotion(
        strength=utterance.emotion_strength,
        apply_bias=mixing.bias,
        cap_sum=mixing.cap,
        random_style=mixing.random_style,
    )
    if isinstance(emotion, Emotion | str):
        message.name = emotion_name(emotion)
    else:
        message.inline.CopyFrom(await source_message(emotion))
    return message


def _length(utterance: Utterance) -> speech_service_pb2.Length | None:
    samples, tokens = utterance.duration_samples, utterance.tokens
    if samples is not None and tokens is not None:
        raise ValueError("give duration_samples or tokens, not both")
    policy = _POLICIES[utterance.length_policy]
    if samples is not None:
        return speech_service_pb2.Length(samples=samples, policy=policy)
    if tokens is not None:
        return speech_service_pb2.Length(tokens=tokens, policy=policy)
    return None
