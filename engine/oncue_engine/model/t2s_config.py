"""Sizes of the text-to-semantic model, read from the public `gpt` section (spec 0.1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

from torch import Tensor

from oncue_engine.model.conformer import ConformerConfig
from oncue_engine.model.perceiver import PerceiverConfig

__all__ = ["ConditionConfig", "DurationRow", "SpeakerPath", "T2SConfig"]

DurationRow = Literal["speed_rows", "tied", "zero_rows"]
SpeakerPath = Literal["perceiver", "style"]

_ROWS_AFTER_LATENTS: Mapping[DurationRow, int] = {"speed_rows": 2, "tied": 1, "zero_rows": 2}


@dataclass(frozen=True, slots=True)
class ConditionConfig:
    """One public `condition_module` section: a conformer, and the perceiver after it (same head count)."""

    output_size: int
    linear_units: int
    attention_heads: int
    num_blocks: int
    perceiver_mult: float = 2
    position_rows: int = 5000

    @classmethod
    def from_public(cls, section: Mapping[str, Any]) -> Self:
        """Raises ValueError for an input layer other than `conv2d2`."""
        if section.get("input_layer", "conv2d2") != "conv2d2":
            raise ValueError(f"condition module: input_layer {section['input_layer']!r} is not known")
        names = ("output_size", "linear_units", "attention_heads", "num_blocks", "perceiver_mult", "position_rows")
        return cls(**{name: section[name] for name in names if name in section})


@dataclass(frozen=True, slots=True)
class T2SConfig:
    """Sizes of the model; names as in the public `gpt` section, and others of our own with the values of IndexTTS-2.

    `codes_width` feature width D of the prompts; `speaker` where the speaker rows of the prefix come from: a conformer
    and a perceiver of its own (`condition_module`), or one projection of the style, `style_width` wide (spec 9);
    `conditioning_latents` speaker rows; `emotion_width` width of the emotion perceiver; `duration_row` the rows after
    the latents: the two of `speed_emb`, one tied to the code position table (the paper's), or two of zeros (spec 9);
    `languages` rows of the language table, 0 for a model without. `max_mel_tokens` and `max_text_tokens` size the
    position tables.
    """

    model_dim: int
    layers: int
    heads: int
    max_mel_tokens: int
    max_text_tokens: int
    number_text_tokens: int
    number_mel_codes: int
    start_mel_token: int
    stop_mel_token: int
    condition_module: ConditionConfig | None
    """None: the speaker rows come from the style."""
    emo_condition_module: ConditionConfig
    start_text_token: int = 0
    stop_text_token: int = 1
    codes_width: int = 1024
    conditioning_latents: int = 32
    emotion_width: int = 1024
    duration_row: DurationRow = "speed_rows"
    speaker: SpeakerPath = "perceiver"
    style_width: int = 192
    languages: int = 0

    def __post_init__(self) -> None:
        if self.duration_row not in _ROWS_AFTER_LATENTS:
            raise ValueError(f"duration_row {self.duration_row!r} is none of {', '.join(_ROWS_AFTER_LATENTS)}")
        if self.speaker not in ("perceiver", "style"):
            raise ValueError(f"speaker {self.speaker!r} is neither perceiver nor style")
        if self.speaker == "perceiver" and self.condition_module is None:
            raise ValueError("a perceiver for the speaker needs a condition_module")
        if self.speaker == "style" and self.conditioning_latents != 1:
            raise ValueError(f"a style gives one speaker row, not {self.conditioning_latents}")

    @classmethod
    def from_public(cls, section: Mapping[str, Any]) -> Self:
        """Read the public `gpt` section (other fields are ignored). Raises KeyError for a missing size.

        With `speaker: style` (a field of ours) a `condition_module` that is there all the same is not built.
        """
        style = section.get("speaker") == "style"
        own = (
            "start_text_token",
            "stop_text_token",
            "codes_width",
            "conditioning_latents",
            "emotion_width",
            "duration_row",
            "speaker",
            "style_width",
            "languages",
        )
        sizes = (
            "model_dim",
            "layers",
            "heads",
            "max_mel_tokens",
            "max_text_tokens",
            "number_text_tokens",
            "number_mel_codes",
            "start_mel_token",
            "stop_mel_token",
        )
        return cls(
            **{name: section[name] for name in sizes},
            **{"conditioning_latents": 1 if style else 32, **{name: section[name] for name in own if name in section}},
            condition_module=None if style else ConditionConfig.from_public(section["condition_module"]),
            emo_condition_module=ConditionConfig.from_public(section["emo_condition_module"]),
        )

    def fitted(self, weights: Mapping[str, Tensor]) -> Self:
        """The same, with sizes that the public section does not name taken from the weights where they are present."""
        config = self
        if (latents := weights.get("perceiver_encoder.latents")) is not None:
            config = replace(config, conditioning_latents=latents.shape[0])
        if (latents := weights.get("emo_perceiver_encoder.latents")) is not None:
            config = replace(config, emotion_width=latents.shape[1])
        sections = (("conditioning_encoder", "condition_module"), ("emo_conditioning_encoder", "emo_condition_module"))
        for prefix, name in sections:
            section: ConditionConfig | None = getattr(config, name)
            if section is None:
                continue
            if (table := weights.get(f"{prefix}.embed.pos_enc.pe")) is not None:
                section = replace(section, position_rows=table.shape[1])
                if name == "condition_module":
                    config = replace(config, condition_module=section)
                else:
                    config = replace(config, emo_condition_module=section)
            if (linear := weights.get(f"{prefix}.embed.out.0.weight")) is not None:
                bands = linear.shape[1] // section.output_size
                if bands != (config.codes_width - 1) // 2:  # two widths give the same number; the even one is meant
                    config = replace(config, codes_width=2 * bands + 2)
        return config

    @property
    def conditioning_rows(self) -> int:
        """Rows before the text: the latents, then those that `duration_row` names."""
        return self.conditioning_latents + _ROWS_AFTER_LATENTS[self.duration_row]

    def conformer(self, section: ConditionConfig) -> ConformerConfig:
        return ConformerConfig(
            input_width=self.codes_width,
            output_size=section.output_size,
            linear_units=section.linear_units,
            attention_heads=section.attention_heads,
            num_blocks=section.num_blocks,
            position_rows=section.position_rows,
        )

    def perceiver(self, section: ConditionConfig, width: int, num_latents: int) -> PerceiverConfig:
        return PerceiverConfig(
            width=width,
            context_width=section.output_size,
            num_latents=num_latents,
            heads=section.attention_heads,
            perceiver_mult=section.perceiver_mult,
        )
