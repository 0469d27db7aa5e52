"""`config.yaml` of a model of the kind `cosyvoice2`.

kind                          cosyvoice2
llm, speech_tokenizer         sizes of the language model and of the encoder that makes tokens of prompts
flow                          encoder, and DiT and wavenet as in the section s2mel of the kind indextts2
mel, vocoder, style_encoder   as in the kind indextts2; the defaults of mel are CosyVoice2's
prompt                        what each network is given of a clip
oncue                         rates, limits and languages (config.py)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from ..errors import CheckpointError
from ..frontend.mel import MelConfig
from ..model.bigvgan import BigVGANConfig
from ..model.campplus import CampPlusConfig
from ..model.cosyvoice2.language_model import LanguageModelConfig
from ..model.cosyvoice2.speech_tokenizer import SpeechTokenizerConfig
from ..model.cosyvoice2.token_encoder import TokenEncoderConfig
from ..model.dit import DiTConfig
from .config import SpeechConfig
from .config_file import parse_config_file

__all__ = ["COSYVOICE2_KIND", "CosyVoice2Config", "PromptConfig", "read_cosyvoice2_config"]

COSYVOICE2_KIND = "cosyvoice2"

_MEL: Mapping[str, Any] = {
    "sr": 24_000,
    "n_fft": 1920,
    "win_length": 1920,
    "hop_length": 480,
    "n_mels": 80,
    "fmin": 0,
    "fmax": 8000,
}
_SECTIONS = ("kind", "llm", "speech_tokenizer", "flow", "mel", "vocoder", "style_encoder", "prompt", "oncue")
_Sizes = TypeVar("_Sizes", LanguageModelConfig, SpeechTokenizerConfig, TokenEncoderConfig, "PromptConfig")


@dataclass(frozen=True, slots=True)
class PromptConfig:
    """Seconds of a clip, from its start. What the flow repeats in every call: `oncue.s2m_prompt_limit_s`."""

    language_model_s: float = 0.0
    """Tokens that the language model continues. 0: it knows the voice by nothing, and the flow alone makes it; so
    CosyVoice2 works without the clip's text, which nobody tells here."""


@dataclass(frozen=True, slots=True)
class CosyVoice2Config:
    """Sizes of every network, and how they meet."""

    llm: LanguageModelConfig
    speech_tokenizer: SpeechTokenizerConfig
    encoder: TokenEncoderConfig
    estimator: DiTConfig
    mel: MelConfig
    vocoder: BigVGANConfig
    style_encoder: CampPlusConfig
    speech: SpeechConfig
    prompt: PromptConfig = field(default_factory=PromptConfig)

    def __post_init__(self) -> None:
        """CheckpointError where two networks do not fit each other."""
        speech, rows = self.speech, self.encoder.rows_per_token
        checks = (
            ("vocoder.num_mels", self.vocoder.num_mels, self.mel.n_mels),
            ("vocoder's hop", self.vocoder.hop_samples, self.mel.hop_length),
            ("mel.sr", self.mel.sample_rate_hz, speech.sample_rate_hz),
            ("flow.DiT.in_channels", self.estimator.in_channels, self.mel.n_mels),
            ("oncue.frames_per_token", speech.frames_per_token, rows),
            ("oncue.token_rate_hz", speech.token_rate_hz * rows, self.mel.frames_per_second),
            ("oncue.token_rate_hz", speech.token_rate_hz, _TOKENIZER_RATE_HZ),
            ("style_encoder.feat_dim", self.style_encoder.feat_dim, _FILTERBANK_BANDS),
            ("speech_tokenizer.bands", self.speech_tokenizer.bands, _FILTERBANK_BANDS),
        )
        for name, value, needed in checks:
            if value != needed:
                raise CheckpointError(f"{name} is {value}, but the networks around it need {needed}")


_TOKENIZER_RATE_HZ = 25
_FILTERBANK_BANDS = 80


def read_cosyvoice2_config(folder: Path) -> CosyVoice2Config:
    """Read `folder/config.yaml`. CheckpointError naming the file, section or field that is wrong."""
    return parse_config_file(folder, COSYVOICE2_KIND, _parse)


def _parse(raw: Mapping[str, Any]) -> CosyVoice2Config:
    unknown = sorted(set(raw) - set(_SECTIONS))
    if unknown:
        raise CheckpointError(f"unknown sections {', '.join(unknown)}")
    flow = raw["flow"]
    return CosyVoice2Config(
        llm=_sizes(LanguageModelConfig, raw["llm"], "llm"),
        speech_tokenizer=_sizes(SpeechTokenizerConfig, raw["speech_tokenizer"], "speech_tokenizer"),
        encoder=_sizes(TokenEncoderConfig, flow["encoder"], "flow.encoder"),
        estimator=DiTConfig.from_public(flow),
        mel=MelConfig.from_public({**_MEL, **(raw.get("mel") or {})}),
        vocoder=BigVGANConfig.from_public(raw["vocoder"]),
        style_encoder=CampPlusConfig.from_public(raw.get("style_encoder") or {}),
        speech=SpeechConfig.from_section(raw["oncue"]),
        prompt=_sizes(PromptConfig, raw.get("prompt") or {}, "prompt"),
    )


def _sizes(kind: type[_Sizes], section: Mapping[str, Any], name: str) -> _Sizes:
    """Numbers of a section under their own names. CheckpointError for a field that is not known, or below 0."""
    unknown = sorted(set(section) - {field.name for field in fields(kind)})
    if unknown:
        raise CheckpointError(f"{name}: unknown fields {', '.join(unknown)}")
    for key, value in section.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise CheckpointError(f"{name}: {key} must be a number from 0 on, not {value!r}")
    return kind(**section)
