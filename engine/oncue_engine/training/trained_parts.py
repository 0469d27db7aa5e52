"""What the stages of the recipe leave on disk, for later stages and for the package to read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor, nn

from oncue_engine.checkpoints.config import ModelConfig, read_config
from oncue_engine.model.bigvgan import BigVGAN
from oncue_engine.model.campplus import CampPlus
from oncue_engine.model.codec import SemanticCodec
from oncue_engine.model.harmonic_source import PitchPredictor
from oncue_engine.model.t2s import T2S
from oncue_engine.training.codec import Statistics
from oncue_engine.training.corpus import load_shard
from oncue_engine.training.encoder import SideHeads, build_encoder
from oncue_engine.training.features import FeatureItem, load_features
from oncue_engine.training.latents import teacher_forced_latents
from oncue_engine.training.loop import LoopConfig, trained_weights
from oncue_engine.training.processes import join
from oncue_engine.training.s2mel import MelItem
from oncue_engine.training.sentences import is_held_out
from oncue_engine.training.speakers import CorpusSpeaker, corpus_speakers
from oncue_engine.training.style import style_of
from oncue_engine.training.tokens import TokenItem, load_tokens

__all__ = ["STYLE_CLIP_SAMPLES", "Split", "TrainedParts"]

STYLE_CLIP_SAMPLES = 6 * 16000


@dataclass(frozen=True, slots=True)
class Split:
    """Items to train on, and those whose sentences are kept for validation."""

    train: list[Any]
    held_out: list[Any]


class TrainedParts:
    """One training folder: its settings, and what the stages that ran have left in it."""

    def __init__(self, home: Path, workers: int, model_config: Path, schedule: Path) -> None:
        self.home = home
        self.workers = workers
        self.config_path = model_config
        self.schedule_path = schedule
        self.schedule: dict[str, dict[str, Any]] = yaml.safe_load(schedule.read_text(encoding="utf-8"))

    @cached_property
    def config(self) -> ModelConfig:
        folder = self.home / "config"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.yaml").write_bytes(self.config_path.read_bytes())
        return read_config(folder)

    @property
    def speakers(self) -> tuple[CorpusSpeaker, ...]:
        return corpus_speakers(self.home / "corpus")

    def _loop(self, stage: str) -> LoopConfig:
        known = {key: value for key, value in self.schedule[stage].items() if key != "shards"}
        return LoopConfig(**known)

    def _folder(self, stage: str) -> Path:
        return self.home / "nano" / stage

    def _shards(self, kind: str, stage: str | None = None) -> list[Path]:
        paths = sorted((self.home / kind).glob("shard-[0-9][0-9][0-9][0-9].npz"))
        return paths[: self.schedule[stage].get("shards")] if stage else paths

    def _state(self, stage: str, prefix: str) -> dict[str, Tensor]:
        """Weights of one module of a stage: the averaged ones where the stage keeps them."""
        weights = trained_weights(self._folder(stage))
        return {key[len(prefix) :]: value for key, value in weights.items() if key.startswith(prefix)}

    def encoder(self) -> nn.ModuleDict:
        config = self.config.semantic_encoder
        encoder = build_encoder(config, self.config.speech.feature_stride)
        modules = nn.ModuleDict({"encoder": encoder, "heads": SideHeads(config.hidden_size)})
        modules.load_state_dict(self._state("encoder", ""))
        return modules.eval().requires_grad_(False)

    def statistics(self) -> Statistics:
        return Statistics(**torch.load(self.home / "nano" / "stats.pt", weights_only=True))

    def codec(self) -> SemanticCodec:
        codec = SemanticCodec(replace(self.config.codec, has_decoder=True))
        codec.load_state_dict(self._state("codec", "codec."))
        return codec.eval().requires_grad_(False)

    def t2s(self, stage: str = "t2s") -> T2S:
        t2s = T2S(self.config.t2s)
        t2s.load_state_dict(self._state(stage, "t2s."))
        return t2s.eval().requires_grad_(False)

    def style(self) -> CampPlus:
        style = CampPlus(self.config.style_encoder)
        style.load_state_dict(self._state("style", "style."))
        return style.eval().requires_grad_(False)

    @property
    def vocoder_stage(self) -> str:
        """The last one that trained the vocoder."""
        return "vocoder_made" if (self._folder("vocoder_made") / "state.pt").exists() else "vocoder"

    def vocoder(self) -> BigVGAN:
        vocoder = BigVGAN(self.config.vocoder)
        vocoder.load_state_dict(self._state(self.vocoder_stage, "vocoder."))
        return vocoder.eval().requires_grad_(False)

    def pitch_predictor(self) -> PitchPredictor | None:
        """How the vocoder reads pitch from a mel; None where it has no harmonic source."""
        source = self.vocoder().source
        return None if source is None else source.pitch

    def _split(self, items: list[Any]) -> Split:
        held_out = [item for item in items if is_held_out(item.sentence)]
        return Split([item for item in items if not is_held_out(item.sentence)], held_out)

    def _features(self, stage: str) -> Split:
        items: list[FeatureItem] = load_features(self._shards("features", stage))
        return self._split(items)

    def _tokens(self, stage: str) -> list[TokenItem]:
        return self._short_enough(load_tokens(self.home / "features", self._shards("tokens", stage)))

    def _short_enough(self, items: list[TokenItem]) -> list[TokenItem]:
        sizes = self.config.t2s
        return [
            item
            for item in items
            if len(item.codes) <= sizes.max_mel_tokens and len(item.text) <= sizes.max_text_tokens
        ]

    def t2s_split(self, stage: str) -> Split:
        """What a stage of T2S trains on: TokenItems."""
        return self._split(self._tokens(stage))

    def mel_items(self) -> tuple[list[TokenItem], list[MelItem]]:
        """What S2M trains on, held-out sentences included; both lists in one order."""
        items = self._tokens("s2mel")
        return items, self._mel_items(items)

    def _mel_items(self, items: list[TokenItem]) -> list[MelItem]:
        with join("cpu").in_turn():
            styles = self._styles(items)
        latents = teacher_forced_latents(self.t2s(), items, seed=1)
        return [
            MelItem(item.codes, latent, item.mel, style, item.speaker)
            for item, latent, style in zip(items, latents, styles, strict=True)
        ]

    def _styles(self, items: list[TokenItem]) -> list[np.ndarray]:
        """The style of each item's own clip, by its sentence and speaker."""
        model = self.style()
        folder = self.home / "styles"
        folder.mkdir(exist_ok=True)
        by_clip: dict[tuple[str, int], np.ndarray] = {}
        index = {speaker.name: i for i, speaker in enumerate(self.speakers)}
        for path in self._shards("corpus", "s2mel"):
            clips = load_shard(path)
            cached = folder / f"{path.stem}.npy"
            if not cached.exists():
                np.save(
                    cached, np.stack([style_of(model, clip.samples[:STYLE_CLIP_SAMPLES]).numpy() for clip in clips])
                )
            for clip, style in zip(clips, np.load(cached), strict=True):
                by_clip[clip.sentence, index[clip.speaker]] = style
        return [by_clip[item.sentence, item.speaker] for item in items]
