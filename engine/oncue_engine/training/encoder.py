"""Stage 1: the semantic encoder, w2v-BERT in shape, taught to hear phones, relative pitch and energy.

The public model's encoder learnt from 4.5 million hours; here the teacher's own phone times stand in for that. Pitch is
relative to the speaker's own F0, so that features carry intonation and emotion but not who speaks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import Wav2Vec2BertModel

from oncue_engine.checkpoints.config import SemanticEncoderConfig
from oncue_engine.checkpoints.semantic_encoder import hugging_face_config
from oncue_engine.training.batches import endless_batches, pad_rows
from oncue_engine.training.features import PHONES, FeatureItem
from oncue_engine.training.loop import LoopConfig, train
from oncue_engine.training.virtual_speakers import EMOTION_RULES

__all__ = [
    "SideHeads",
    "build_encoder",
    "encode",
    "semantic_statistics",
    "side_accuracy",
    "side_targets",
    "train_encoder",
]


def build_encoder(config: SemanticEncoderConfig, feature_stride: int) -> Wav2Vec2BertModel:
    """The network that the engine loads, with the little dropout that training wants."""
    settings = hugging_face_config(config, config.num_hidden_layers, feature_stride)
    settings.hidden_dropout = 0.05
    settings.conformer_conv_dropout = 0.05
    for name in ("attention_dropout", "activation_dropout", "feat_proj_dropout", "layerdrop"):
        setattr(settings, name, 0.0)
    return Wav2Vec2BertModel(settings)


class SideHeads(nn.Module):
    """What the features must tell: two phones a frame, relative pitch, voicing, energy; and the clip's emotion."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.phones = nn.Linear(width, 2 * len(PHONES))
        self.prosody = nn.Linear(width, 3)
        self.emotion = nn.Linear(2 * width, len(EMOTION_RULES))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x [B,T,D] -> phone logits [B,T,2,P], prosody [B,T,3]."""
        x = self.norm(x)
        return self.phones(x).unflatten(-1, (2, len(PHONES))), self.prosody(x)

    def emotion_loss(self, x: Tensor, targets: SideTargets) -> Tensor:
        """Cross-entropy of the emotion, from mean and spread of the features x [B,T,D] over the clip."""
        keep = targets.mask[..., None].to(x.dtype)
        x = self.norm(x).float()
        mean = (x * keep).sum(1) / keep.sum(1)
        spread = (((x - mean[:, None]).square() * keep).sum(1) / keep.sum(1) + 1e-5).sqrt()
        return functional.cross_entropy(self.emotion(torch.cat([mean, spread], -1)).float(), targets.emotion)

    def losses(self, x: Tensor, targets: SideTargets) -> dict[str, Tensor]:
        """Cross-entropy of phones (valid frames), pitch where voiced, voicing, energy in tens of dB."""
        phones, prosody = self(x)
        phones, prosody = phones.float(), prosody.float()
        keep = targets.mask
        phone_loss = functional.cross_entropy(phones[keep].flatten(0, 1), targets.phones[keep].flatten())
        voiced = keep & targets.voiced
        return {
            "phone": phone_loss,
            "pitch": functional.smooth_l1_loss(prosody[..., 0][voiced], targets.pitch[voiced], beta=0.1),
            "voiced": functional.binary_cross_entropy_with_logits(prosody[..., 1][keep], targets.voiced[keep].float()),
            "energy": functional.smooth_l1_loss(prosody[..., 2][keep], targets.energy[keep] / 10.0, beta=0.2),
        }


@dataclass(frozen=True, slots=True, eq=False)
class SideTargets:
    mask: Tensor
    phones: Tensor
    pitch: Tensor
    voiced: Tensor
    energy: Tensor
    emotion: Tensor
    """[B]"""


def side_targets(items: Sequence[FeatureItem]) -> SideTargets:
    phones, lengths = pad_rows([i.phones for i in items])
    pitch, _ = pad_rows([i.pitch for i in items])
    voiced, _ = pad_rows([i.voiced for i in items])
    energy, _ = pad_rows([i.energy for i in items])
    mask = torch.arange(phones.shape[1])[None] < lengths[:, None]
    return SideTargets(mask, phones, pitch, voiced.bool(), energy, torch.tensor([i.emotion for i in items]))


def _augment(x: Tensor) -> Tensor:
    """Noise and one masked band of bins per item, so that the encoder does not live on single bins."""
    x = x + 0.15 * torch.rand(x.shape[0], 1, 1) * torch.randn_like(x)
    for row in x:
        begin, width = int(torch.randint(0, 70, ())), int(torch.randint(0, 10, ()))
        row.unflatten(-1, (-1, 80))[..., begin : begin + width] = 0.0
    return x


def train_encoder(
    items: Sequence[FeatureItem],
    held_out: Sequence[FeatureItem],
    folder: Path,
    loop: LoopConfig,
    config: SemanticEncoderConfig,
    feature_stride: int,
) -> nn.ModuleDict:
    """Train encoder and side heads; validation prints the share of half-frames with the right phone."""
    modules = nn.ModuleDict({"encoder": build_encoder(config, feature_stride), "heads": SideHeads(config.hidden_size)})

    def batches(first_step: int) -> Iterator[list[FeatureItem]]:
        return endless_batches(items, lambda i: len(i.speech), 3600, seed=1, first_step=first_step)

    def losses(batch: list[FeatureItem], step: int) -> dict[str, Tensor]:
        speech, _ = pad_rows([i.speech for i in batch])
        targets = side_targets(batch)
        hidden = modules["encoder"](_augment(speech), attention_mask=targets.mask.long()).last_hidden_state
        values = modules["heads"].losses(hidden, targets)
        told = values["phone"] + 2.0 * values["pitch"] + 0.3 * values["voiced"] + values["energy"]
        values["emotion"] = modules["heads"].emotion_loss(hidden, targets)
        values["loss"] = told + 0.4 * values["emotion"]
        return values

    def validate() -> dict[str, float]:
        return side_accuracy(modules["heads"], held_out, lambda batch: encode(modules["encoder"], batch))

    return train("encoder", folder, modules, batches, losses, loop, validate)


def encode(encoder: nn.Module, items: Sequence[FeatureItem]) -> tuple[Tensor, Tensor]:
    """Features [B,T,D] before normalisation, and the mask [B,T]."""
    speech, lengths = pad_rows([i.speech for i in items])
    mask = torch.arange(speech.shape[1])[None] < lengths[:, None]
    return encoder(speech, attention_mask=mask.long()).last_hidden_state, mask


def side_accuracy(
    heads: nn.Module,
    items: Sequence[FeatureItem],
    features: Callable[[Sequence[FeatureItem]], tuple[Tensor, Tensor]],
) -> dict[str, float]:
    """How well features [B,T,D] (with their mask [B,T]) tell what they must: share of half-frames with the right phone,
    and the mean pitch error where voiced.
    """
    right = total = 0
    pitch_error, voiced_count = 0.0, 0
    for begin in range(0, len(items), 32):
        batch = items[begin : begin + 32]
        hidden, mask = features(batch)
        targets = side_targets(batch)
        phones, prosody = heads(hidden)
        right += int((phones.argmax(-1) == targets.phones)[mask].sum())
        total += 2 * int(mask.sum())
        voiced = mask & targets.voiced
        pitch_error += float((prosody[..., 0] - targets.pitch)[voiced].abs().sum())
        voiced_count += int(voiced.sum())
    return {"phone_accuracy": right / total, "pitch_error_octaves": pitch_error / max(1, voiced_count)}


def semantic_statistics(encoder: nn.Module, items: Sequence[FeatureItem]) -> tuple[Tensor, Tensor]:
    """Mean and variance [D] of the features, what `stats.mean` and `stats.var` hold."""
    rows = []
    with torch.no_grad():
        for begin in range(0, len(items), 32):
            hidden, mask = encode(encoder, items[begin : begin + 32])
            rows.append(hidden[mask])
    stacked = torch.cat(rows)
    return stacked.mean(0), stacked.var(0)
