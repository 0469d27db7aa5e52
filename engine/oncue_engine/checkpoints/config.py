"""`config.yaml`: the public sections with their public field names, and four sections of our own.

gpt, semantic_codec, s2mel       as in the public file (spec 0.1)
emo_num                          rows of the emotion bank for each of EMOTION_NAMES, as in the public file
vocoder                          the vocoder's own config.json (public file: only its name), or its fields in place
style_encoder, semantic_encoder  sizes of CAMPPlus and of the w2v-BERT; left out, the public ones
oncue                            what the public file takes for granted: rates, limits, tokenizer; else public values
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from fractions import Fraction
from pathlib import Path
from typing import Any

from ..errors import CheckpointError
from ..frontend.mel import MelConfig
from ..model.bigvgan import BigVGANConfig
from ..model.campplus import CampPlusConfig
from ..model.codec import CodecConfig
from ..model.emotion_bank import EMOTION_NAMES
from ..model.s2mel import S2MelConfig
from ..model.t2s_config import T2SConfig
from .config_file import DEFAULT_KIND, parse_config_file

__all__ = ["ModelConfig", "SemanticEncoderConfig", "SpeechConfig", "parse_config", "read_config"]

_PUBLIC_EMOTION_COUNTS = (3, 17, 2, 8, 4, 5, 10, 24)


@dataclass(frozen=True, slots=True)
class SemanticEncoderConfig:
    """Sizes of the w2v-BERT encoder under their `transformers` names; the defaults are w2v-bert-2.0's (spec 5)."""

    hidden_size: int = 1024
    num_hidden_layers: int = 24
    num_attention_heads: int = 16
    intermediate_size: int = 4096
    conv_depthwise_kernel_size: int = 31
    left_max_position_embeddings: int = 64
    right_max_position_embeddings: int = 8
    hidden_act: str = "swish"

    @classmethod
    def from_section(cls, section: Mapping[str, Any]) -> SemanticEncoderConfig:
        """Read `semantic_encoder`. CheckpointError for a field that is not known here."""
        names = {field.name for field in fields(cls)}
        unknown = sorted(set(section) - names)
        if unknown:
            raise CheckpointError(f"semantic_encoder: unknown fields {', '.join(unknown)}")
        return cls(**{name: section[name] for name in names if name in section})


@dataclass(frozen=True, slots=True)
class SpeechConfig:
    """The `oncue` section. Defaults are the public model's values (spec 1)."""

    name: str = "indextts2"
    sample_rate_hz: int = 22_050
    """Rate of the mel and the vocoder."""
    token_rate_hz: float = 50.0
    feature_stride: int = 2
    """Filterbank frames (10 ms) stacked to one row of the semantic encoder's input."""
    frames_per_token: Fraction = Fraction(43, 25)
    encoder_layer: int = 17
    """Which hidden state of the semantic encoder is used: 0 is its projected input."""
    flow_steps: int = 25
    guidance: float = 0.7
    prompt_limit_s: float = 15.0
    """Clips are cut to it from their start."""
    s2m_prompt_limit_s: float = 15.0
    """How much of the clip S2M repeats in every call; the other prompts see all of it."""
    tokenizer: str = "sentencepiece"
    languages: tuple[str, ...] = ("zh", "en")
    max_segment_pieces: int = 120
    max_segment_tokens: int = 1500
    max_text_chars: int = 5000
    pause_ms: int = 200
    """Silence between two segments (spec 2.5)."""
    vocoder_lookahead_frames: int | None = None
    """Right context of the vocoder. None: its exact reach, so that streamed samples equal one call over all."""
    chunk_lookahead_s: float = 0.16
    """Speech after a chunk that its tokens must be there of, at the natural pace."""
    emotion_counts: tuple[int, ...] = _PUBLIC_EMOTION_COUNTS
    """Rows of the emotion bank for each of EMOTION_NAMES (spec 4.1), 0 for one that the model does not have."""

    @classmethod
    def from_section(cls, section: Mapping[str, Any]) -> SpeechConfig:
        """Read `oncue`; `duration_row` in it belongs to T2SConfig. CheckpointError for unknown fields or bad values."""
        given = {key: value for key, value in section.items() if key != "duration_row"}
        unknown = sorted(set(given) - {field.name for field in fields(cls)})
        if unknown:
            raise CheckpointError(f"oncue: unknown fields {', '.join(unknown)}")
        if "frames_per_token" in given:
            # Exact, so that frame counts never hang on rounding: 1.72 is 43/25.
            given["frames_per_token"] = Fraction(str(given["frames_per_token"]))
        for name in ("languages", "emotion_counts"):
            if name in given:
                given[name] = tuple(given[name])
        config = cls(**given)
        if len(config.emotion_counts) != len(EMOTION_NAMES) or min(config.emotion_counts) < 0:
            raise CheckpointError(f"emo_num must be {len(EMOTION_NAMES)} counts, not {list(config.emotion_counts)}")
        for name in ("sample_rate_hz", "token_rate_hz", "feature_stride", "frames_per_token", "encoder_layer"):
            if getattr(config, name) <= 0:
                raise CheckpointError(f"oncue: {name} must be positive, not {getattr(config, name)}")
        positive = ("flow_steps", "max_segment_pieces", "max_segment_tokens", "prompt_limit_s", "s2m_prompt_limit_s")
        for name in (*positive, "chunk_lookahead_s"):
            if getattr(config, name) <= 0:
                raise CheckpointError(f"oncue: {name} must be positive, not {getattr(config, name)}")
        return config


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Sizes of every network of one model, and how they meet."""

    t2s: T2SConfig
    codec: CodecConfig
    s2mel: S2MelConfig
    mel: MelConfig
    vocoder: BigVGANConfig
    style_encoder: CampPlusConfig
    semantic_encoder: SemanticEncoderConfig
    speech: SpeechConfig

    @property
    def decodes_codes(self) -> bool:
        """Semantic rows come from the codec's decoder alone: IndexTTS-2.5 (spec 9)."""
        return not self.s2mel.gpt_layer_widths

    def __post_init__(self) -> None:
        """CheckpointError where two networks do not fit each other."""
        signs = {
            "gpt.speaker style": self.t2s.speaker == "style",
            "gpt.languages": self.t2s.languages > 0,
            "semantic_codec.downsample_scale 2": self.codec.downsample_scale == 2,
            "no s2mel.gpt_layer_widths": not self.s2mel.gpt_layer_widths,
            "oncue.tokenizer tiktoken": self.speech.tokenizer == "tiktoken",
        }
        if any(signs.values()) and not all(signs.values()):
            there, lacking = ([name for name, sign in signs.items() if sign is told] for told in (True, False))
            raise CheckpointError(
                f"{', '.join(there)}: so has IndexTTS-2.5, but it lacks of that: {', '.join(lacking)}"
            )
        latent = (self.t2s.model_dim,)
        style = self.style_encoder.embedding_size if self.t2s.speaker == "style" else self.t2s.style_width
        checks = (
            ("semantic_codec.hidden_size", self.codec.hidden_size, self.semantic_encoder.hidden_size),
            ("gpt.codes_width", self.t2s.codes_width, self.semantic_encoder.hidden_size),
            ("s2mel.length_regulator.in_channels", self.s2mel.length_regulator.in_channels, self.codec.hidden_size),
            ("s2mel.gpt_layer_widths[0]", (self.s2mel.gpt_layer_widths or latent)[0], self.t2s.model_dim),
            ("gpt.style_width", self.t2s.style_width, style),
            # Rows of codes without latents are what the codec decodes.
            ("semantic_codec.has_decoder", self.codec.has_decoder or bool(self.s2mel.gpt_layer_widths), True),
            ("vocoder.num_mels", self.vocoder.num_mels, self.mel.n_mels),
            ("vocoder's hop", self.vocoder.hop_samples, self.mel.hop_length),
            ("s2mel.preprocess_params.sr", self.mel.sample_rate_hz, self.speech.sample_rate_hz),
            ("s2mel.DiT.in_channels", self.s2mel.dit.in_channels, self.mel.n_mels),
            ("gpt.start_mel_token", self.t2s.start_mel_token, self.codec.codebook_size),
        )
        for name, value, needed in checks:
            if value != needed:
                raise CheckpointError(f"{name} is {value}, but the networks around it need {needed}")
        if self.speech.encoder_layer > self.semantic_encoder.num_hidden_layers:
            raise CheckpointError(
                f"oncue.encoder_layer {self.speech.encoder_layer} is beyond the "
                f"{self.semantic_encoder.num_hidden_layers} layers of semantic_encoder"
            )
        for name, value, longest in (
            ("max_segment_pieces", self.speech.max_segment_pieces, self.t2s.max_text_tokens),
            ("max_segment_tokens", self.speech.max_segment_tokens, self.t2s.max_mel_tokens),
        ):
            if value > longest:
                raise CheckpointError(f"oncue.{name} {value} exceeds the T2S position table: {longest}")


def read_config(folder: Path) -> ModelConfig:
    """Read `folder/config.yaml`. CheckpointError naming the file, section or field that is wrong."""
    return parse_config_file(folder, DEFAULT_KIND, parse_config)


def parse_config(raw: Mapping[str, Any]) -> ModelConfig:
    """The fields of a config.yaml. CheckpointError naming the section or field that is wrong."""
    try:
        return _parse(raw)
    except KeyError as error:
        raise CheckpointError(f"{error} is missing") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(str(error)) from error


def _parse(raw: Mapping[str, Any]) -> ModelConfig:
    own = dict(raw.get("oncue") or {})
    if "emo_num" in raw:
        own["emotion_counts"] = raw["emo_num"]
    gpt = dict(raw["gpt"])
    if "duration_row" in own:
        gpt["duration_row"] = own["duration_row"]
    vocoder = dict(raw.get("vocoder") or {})
    style = raw.get("style_encoder") or {}
    return ModelConfig(
        t2s=T2SConfig.from_public(gpt),
        codec=CodecConfig.from_public(raw["semantic_codec"]),
        s2mel=S2MelConfig.from_public(raw["s2mel"]),
        mel=MelConfig.from_public(raw["s2mel"]["preprocess_params"]),
        # The public file names a hub model here, and the sizes are the ones that it has (spec 7.2).
        vocoder=BigVGANConfig.from_public(vocoder) if "upsample_rates" in vocoder else BigVGANConfig(),
        style_encoder=CampPlusConfig.from_public(style),
        semantic_encoder=SemanticEncoderConfig.from_section(raw.get("semantic_encoder") or {}),
        speech=SpeechConfig.from_section(own),
    )
