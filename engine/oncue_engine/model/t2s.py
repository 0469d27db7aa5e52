"""The text-to-semantic model: prompt encoders, the rows of its sequence, and its heads (spec 3).

One sequence is [conditioning rows | text rows | start, codes..., stop]; the backbone runs over it causally. This module
makes the rows and reads the states; `model.gpt` runs the backbone, and `decoding` decides which codes follow.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from oncue_engine.model.conformer import ConformerEncoder
from oncue_engine.model.gpt import GPT, GPTConfig, KVCache
from oncue_engine.model.perceiver import PerceiverResampler
from oncue_engine.model.t2s_config import ConditionConfig, DurationRow, SpeakerPath, T2SConfig

__all__ = ["T2S", "ConditionConfig", "DurationRow", "SpeakerPath", "T2SConfig", "merge_emotion"]


def merge_emotion(base: Tensor, emotion: Tensor, alpha: float | Tensor) -> Tensor:
    """base + alpha * (emotion - base), each [B,M]: how far to go from the speaker's own emotion to the prompt's."""
    return base + alpha * (emotion - base)


class _Positions(nn.Module):
    """Learned position table with the public key `emb.weight` [rows, M]."""

    def __init__(self, rows: int, width: int) -> None:
        super().__init__()
        self.emb = nn.Embedding(rows, width)


class T2S(nn.Module):
    """All parameters of `gpt.pth` under their public keys."""

    def __init__(self, config: T2SConfig) -> None:
        super().__init__()
        self.config = config
        width = config.model_dim
        speaker, emotion = config.condition_module, config.emo_condition_module
        if speaker is not None:
            self.conditioning_encoder = ConformerEncoder(config.conformer(speaker))
            self.perceiver_encoder = PerceiverResampler(config.perceiver(speaker, width, config.conditioning_latents))
        else:
            self.spk_emb_proj = nn.Linear(config.style_width, width)
        self.emo_conditioning_encoder = ConformerEncoder(config.conformer(emotion))
        self.emo_perceiver_encoder = PerceiverResampler(config.perceiver(emotion, config.emotion_width, 1))
        self.emovec_layer = nn.Linear(config.emotion_width, width)
        self.emo_layer = nn.Linear(width, width)
        self.text_embedding = nn.Embedding(config.number_text_tokens + 1, width)
        self.mel_embedding = nn.Embedding(config.number_mel_codes, width)
        self.text_pos_embedding = _Positions(config.max_text_tokens + 2, width)
        self.mel_pos_embedding = _Positions(config.max_mel_tokens + 3, width)
        if config.duration_row == "speed_rows":
            self.speed_emb = nn.Embedding(2, width)
        if config.languages:
            self.lang_embedding = nn.Embedding(config.languages, width)
        self.gpt = GPT(GPTConfig(width, config.layers, config.heads))
        self.final_norm = nn.LayerNorm(width)
        self.mel_head = nn.Linear(width, config.number_mel_codes)
        self.text_head = nn.Linear(width, config.number_text_tokens + 1)
        for module in self.modules():
            if isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)

    # Prompts

    def speaker_latents(self, features: Tensor, lengths: Tensor) -> Tensor:
        """features [B,T,D] normalised, lengths [B] true frame counts -> [B,K,M] latents (spec 3.1a, b).

        Of a model whose speaker rows come from a perceiver.
        """
        latents: Tensor = self.perceiver_encoder(*self.conditioning_encoder(features, lengths))
        return latents

    def style_latents(self, style: Tensor) -> Tensor:
        """style [B,S] -> [B,1,M]: the one speaker row of a model that takes it from the style (spec 9)."""
        latent: Tensor = self.spk_emb_proj(style)
        return latent[:, None]

    def emotion_vector(self, features: Tensor, lengths: Tensor) -> Tensor:
        """features [B,T,D] normalised, lengths [B] true frame counts -> [B,M] emotion vector (spec 3.1c)."""
        latents = self.emo_perceiver_encoder(*self.emo_conditioning_encoder(features, lengths))  # [B, 1, E]
        emotion: Tensor = self.emo_layer(self.emovec_layer(latents[:, 0]))
        return emotion

    # Rows of the sequence

    def conditioning_rows(
        self, latents: Tensor, emotion: Tensor, num_tokens: Tensor | None, *, experiment: bool = False
    ) -> Tensor:
        """latents [B,K,M], emotion [B,M] -> [B,R,M], the prefix before the text (spec 3.3).

        The emotion is added to the latents only. Kind `speed_rows`: speed_emb[1], speed_emb[0]; num_tokens is unused,
        but with `experiment` the first of the two is its code position row, or the table's last, where it is above 0: a
        hypothesis about the public weights (spec 3.7).
        Kind `tied`: the code position row of num_tokens [B] int64, zero where it is 0 or None (the length is free).
        Kind `zero_rows`: two rows of zeros (num_tokens unused; spec 9).
        """
        batch = latents.shape[0]
        rows = latents + emotion[:, None]
        if self.config.duration_row == "speed_rows":
            speed = self.speed_emb.weight.flip(0).expand(batch, -1, -1)  # row 1 comes first
            if experiment and num_tokens is not None:
                table = self.mel_pos_embedding.emb
                told = table(num_tokens.clamp(max=table.num_embeddings - 1))  # [B, M]
                first = torch.where((num_tokens > 0)[:, None], told, speed[:, 0])
                speed = torch.stack((first, speed[:, 1]), dim=1)
            return torch.cat((rows, speed), dim=1)
        if self.config.duration_row == "zero_rows":
            return functional.pad(rows, (0, 0, 0, 2))
        if num_tokens is None:
            return functional.pad(rows, (0, 0, 0, 1))
        duration = self.mel_pos_embedding.emb(num_tokens)  # [B, M]
        duration = duration * (num_tokens > 0)[:, None].to(duration.dtype)
        return torch.cat((rows, duration[:, None]), dim=1)

    def text_rows(self, text_ids: Tensor, languages: Tensor | None = None) -> Tensor:
        """text_ids [B,L] -> [B,L+2,M]: start, text, stop, with positions 0..L+1.

        With one row, ids equal to start or stop are dropped first; in a batch they stay (stop pads). `languages` [B]
        int64: rows of the language table, each added to every row of its text, start and stop included (spec 9); models
        with that table need them. Raises ValueError if the text exceeds the position table, or for languages that are
        missing, or that the model has no table for.
        """
        config = self.config
        if (languages is None) != (config.languages == 0):
            given = "none" if languages is None else "one"
            raise ValueError(f"a model of {config.languages} languages, and {given} is given")
        if text_ids.shape[0] == 1:
            keep = (text_ids != config.start_text_token) & (text_ids != config.stop_text_token)
            text_ids = text_ids[keep][None]
        ids = functional.pad(text_ids, (1, 0), value=config.start_text_token)
        ids = functional.pad(ids, (0, 1), value=config.stop_text_token)
        table = self.text_pos_embedding.emb.weight
        if ids.shape[1] > table.shape[0]:
            raise ValueError(f"{ids.shape[1] - 2} text tokens exceed the model's {table.shape[0] - 2}")
        rows: Tensor = self.text_embedding(ids) + table[: ids.shape[1]]
        return rows if languages is None else rows + self.lang_embedding(languages)[:, None]

    def code_rows(self, codes: Tensor, first_position: int) -> Tensor:
        """codes [B,N] -> [B,N,M] at code positions first_position, first_position + 1, ...

        Position 0 is the start row's. Raises ValueError if they exceed the position table.
        """
        table = self.mel_pos_embedding.emb.weight
        end = first_position + codes.shape[1]
        if end > table.shape[0]:
            raise ValueError(f"code position {end - 1} exceeds the model's {table.shape[0]} positions")
        rows: Tensor = self.mel_embedding(codes) + table[first_position:end]
        return rows

    def step_rows(self, codes: Tensor, positions: Tensor) -> Tensor:
        """codes [B], positions [B] int64 -> [B,M]: one code of each of B sequences, for a decode step."""
        rows = functional.embedding(codes, self.mel_embedding.weight)
        return rows + functional.embedding(positions, self.mel_pos_embedding.emb.weight)

    def start_row(self) -> Tensor:
        """[1,M]: the start token at code position 0."""
        return (self.mel_embedding.weight[self.config.start_mel_token] + self.mel_pos_embedding.emb.weight[0])[None]

    # States

    def latent(self, hidden: Tensor) -> Tensor:
        """The state that the acoustic model takes: the second norm in a row, after the backbone's own."""
        return functional.layer_norm(hidden, hidden.shape[-1:], self.final_norm.weight, self.final_norm.bias, 1e-5)

    def logits(self, hidden: Tensor) -> Tensor:
        """Backbone output [...,M] -> code logits [...,number_mel_codes]."""
        return functional.linear(self.latent(hidden), self.mel_head.weight, self.mel_head.bias)

    def allocate_cache(self, slots: int, capacity: int | None = None) -> KVCache:
        """A cache for `slots` sequences; by default each as long as the position tables allow."""
        config = self.config
        longest = config.conditioning_rows + config.max_text_tokens + 2 + config.max_mel_tokens + 3
        weight = self.mel_head.weight
        head_dim = config.model_dim // config.heads
        return KVCache.allocate(
            config.layers, slots, config.heads, capacity or longest, head_dim, weight.dtype, weight.device
        )
