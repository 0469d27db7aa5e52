"""Stage 8: the vocoder. BigVGAN with a harmonic source, on true mels and on mels that the trained model made.

It learns by spectral losses at several resolutions, and in the last part of the schedule by discriminators too. Pulses
of the source stand in step with the recording meanwhile, and the pitch predictor learns beside.

The anti-aliased activation is trained in block form: overlapping blocks of the signal times one small matrix up, the
snake, and one small matrix down. Away from a signal's two ends this is the same function as the model's polyphase
form (a test compares them), and several times faster backwards on a CPU.
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from oncue_engine.frontend.mel import log_mel, mel_filters
from oncue_engine.model.bigvgan import AntiAliasedSnake, BigVGAN, BigVGANConfig
from oncue_engine.model.harmonic_source import PitchPredictor
from oncue_engine.training.discriminators import Discriminators, critic_loss, generator_losses
from oncue_engine.training.excitation import TrueExcitation, aligned_source, true_excitation
from oncue_engine.training.features import nano_mel_config
from oncue_engine.training.loop import LoopConfig, train

__all__ = ["BlockSnake", "SpectralLoss", "VocoderItem", "VocoderTraining", "train_vocoder", "trainable", "vocoder_item"]

_BLOCK = 64
_RESOLUTIONS = ((256, 64, 20), (512, 128, 40), (1024, 256, 80), (2048, 512, 80))
"""(n_fft, hop, mel bands) of the spectral losses. The longest tells the harmonics of every voice apart."""

Crops: TypeAlias = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
"""mel [B,80,F], samples [B,hop*F], cycles [B,F+1] float64, octaves [B,F], voiced [B,F] of 0 and 1."""


@dataclass(frozen=True, slots=True, eq=False)
class VocoderItem:
    """One utterance of F frames. The recording is kept; everything else is made from it."""

    samples: npt.NDArray[np.int16]
    """[256 F]; frame f describes samples around 256 f + 128."""
    mel: npt.NDArray[np.float16]
    """[F, 80] log mel: the recording's, or one that a model made for it."""
    excitation: TrueExcitation


def vocoder_item(samples: npt.NDArray[np.int16], mel: npt.NDArray[np.float16] | None = None) -> VocoderItem:
    """An item from a recording [n] at 16 kHz; without `mel` [at most n // 256, 80] its own is taken."""
    config = nano_mel_config()
    wave = samples.astype(np.float32) / 32768.0
    if mel is None:
        mel = log_mel(torch.from_numpy(wave)[None], config)[0].T.numpy().astype(np.float16)
    frames = min(len(mel), len(samples) // config.hop_length)
    excitation = true_excitation(wave, config.sample_rate_hz, config.hop_length, frames)
    return VocoderItem(samples[: frames * config.hop_length], mel[:frames], excitation)


class BlockSnake(nn.Module):
    """AntiAliasedSnake [B,C,T] -> [B,C,T] with its own parameters, computed on overlapping blocks."""

    def __init__(self, source: AntiAliasedSnake) -> None:
        super().__init__()
        self.act = source.act
        taps = 6
        wide = _BLOCK + taps - 1
        up = torch.zeros(_BLOCK + 10, 2 * wide)
        down = torch.zeros(2 * wide, _BLOCK)
        for j in range(wide):
            up[j : j + taps, j] = source.up_even
            up[j : j + taps, wide + j] = source.up_odd
        for t in range(_BLOCK):
            down[t : t + taps, t] = source.down_even
            down[wide + t : wide + t + taps, t] = source.down_odd
        self.register_buffer("up", up, persistent=False)
        self.register_buffer("down", down, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        rate, inverse = self.act.rates()  # [C, 1]
        length = x.shape[-1]
        blocks = -(-length // _BLOCK)
        x = functional.pad(x, (5, 5 + blocks * _BLOCK - length), mode="replicate")
        # Each block and the 10 samples after it. Not `unfold`, whose gradient is slow.
        own = x[..., : blocks * _BLOCK].unflatten(-1, (blocks, _BLOCK))
        after = torch.cat([own[..., 1:, :10], x[..., None, blocks * _BLOCK :]], dim=-2)
        wide = torch.cat([own, after], dim=-1) @ self.up  # [B, C, blocks, 2 * 69]
        wave = torch.sin(wide * rate[..., None])
        wide = torch.addcmul(wide, wave * inverse[..., None], wave)
        return (wide @ self.down).flatten(-2)[..., :length]


def trainable(config: BigVGANConfig, compiled: bool = False) -> BigVGAN:
    """A vocoder whose activations are in block form; its state dict is that of the plain one.

    `compiled` fuses the activations, which halves the time of a step. It needs a C++ compiler.
    """
    vocoder = BigVGAN(config)
    for module in list(vocoder.modules()):
        for name, child in module.named_children():
            if isinstance(child, AntiAliasedSnake):
                block = BlockSnake(child)
                if compiled:
                    block.compile(dynamic=False)
                setattr(module, name, block)
    return vocoder


class SpectralLoss(nn.Module):
    """Log-mel distance and log-magnitude distance at four resolutions. [B, n] each."""

    def __init__(self) -> None:
        super().__init__()
        config = nano_mel_config()
        for n_fft, _, bands in _RESOLUTIONS:
            self.register_buffer(f"window_{n_fft}", torch.hann_window(n_fft), persistent=False)
            filters = mel_filters(
                type(config)(config.sample_rate_hz, n_fft, n_fft, n_fft // 4, bands, config.fmin, config.fmax)
            )
            self.register_buffer(f"filters_{n_fft}", torch.as_tensor(filters).float(), persistent=False)

    def forward(self, made: Tensor, true: Tensor) -> dict[str, Tensor]:
        mel = made.new_zeros(())
        magnitude = made.new_zeros(())
        both = torch.cat([made, true])
        for n_fft, hop, _ in _RESOLUTIONS:
            spectrum = torch.stft(both, n_fft, hop, window=getattr(self, f"window_{n_fft}"), return_complex=True)
            power = torch.view_as_real(spectrum).square().sum(-1) + 1e-7  # [2B, bins, frames]
            size = power.sqrt()
            bands = torch.log((getattr(self, f"filters_{n_fft}") @ size).clamp_min(1e-5))
            made_bands, true_bands = bands.chunk(2)
            mel = mel + functional.l1_loss(made_bands, true_bands)
            made_size, true_size = size.chunk(2)
            magnitude = magnitude + functional.l1_loss(made_size.log(), true_size.log())
            magnitude = magnitude + (made_size - true_size).norm() / true_size.norm()
        return {"mel": mel / len(_RESOLUTIONS), "magnitude": magnitude / len(_RESOLUTIONS)}


def _crops(
    items: Sequence[VocoderItem],
    count: int,
    frames: int,
    seed: int,
    first_step: int,
    made: Sequence[VocoderItem] = (),
    made_share: float = 0.0,
) -> Iterator[Crops]:
    """Batches from `first_step` on; `made_share` of the crops are of `made`, where there are any."""
    step = first_step
    hop = nano_mel_config().hop_length
    while True:
        rng = random.Random(f"{seed}/{step}")
        rows = []
        while len(rows) < count:
            pool = made if made and rng.random() < made_share else items
            item = pool[rng.randrange(len(pool))]
            if len(item.mel) <= frames:
                continue
            begin = rng.randrange(len(item.mel) - frames)
            end = begin + frames
            true = item.excitation
            rows.append(
                (
                    item.mel[begin:end].T.astype(np.float32),
                    item.samples[begin * hop : end * hop].astype(np.float32) / 32768.0,
                    true.cycles[begin : end + 1],
                    true.octaves[begin:end],
                    true.voiced[begin:end].astype(np.float32),
                )
            )
        mel, wave, cycles, octaves, voiced = (torch.from_numpy(np.stack(column)) for column in zip(*rows, strict=True))
        yield mel, wave, cycles, octaves, voiced
        step += 1


def _blurred(mel: Tensor) -> Tensor:
    """What a flow model makes of a mel: smoother along frequency, and a little off. Half of the rows, [B, 80, F]."""
    smooth = functional.avg_pool1d(functional.pad(mel.transpose(1, 2), (1, 1), mode="replicate"), 3, 1).transpose(1, 2)
    rows = torch.rand(mel.shape[0], 1, 1, device=mel.device)
    blurred = torch.lerp(mel, smooth, rows) + 0.4 * rows * torch.randn_like(mel)
    return torch.where(torch.rand_like(rows) < 0.5, blurred, mel)


def pitch_losses(predictor: PitchPredictor, mel: Tensor, octaves: Tensor, voiced: Tensor) -> dict[str, Tensor]:
    """`pitch`: mean absolute error in octaves over voiced frames; `voicing`: cross-entropy."""
    guess, logit = (value.float() for value in predictor(mel))
    pitch = ((guess - octaves).abs() * voiced).sum() / voiced.sum().clamp_min(1.0)
    return {"pitch": pitch, "voicing": functional.binary_cross_entropy_with_logits(logit, voiced)}


@dataclass(frozen=True, slots=True)
class VocoderTraining:
    batch: int = 8
    frames: int = 32
    """Of a crop."""
    adversarial_share: float = 0.4
    """The last part of the steps, in which discriminators take part."""
    made_share: float = 0.25
    """Of crops with a mel that the model made."""
    magnitude_weight: float = 1.0
    mel_weight: float = 2.0
    adversarial_weight: float = 0.3
    matching_weight: float = 1.0
    pitch_weight: float = 2.0
    voicing_weight: float = 0.5
    compiled: bool = which("c++") is not None
    """Fuse the activations: half the time of a step, after some minutes of compiling."""


class _Losses:
    """What the vocoder, its pitch predictor and the discriminators learn from crops."""

    def __init__(self, vocoder: BigVGAN, judges: Discriminators, settings: VocoderTraining, first_judged: int) -> None:
        self.vocoder, self.judges, self.settings, self.first_judged = vocoder, judges, settings, first_judged
        self.spectral = SpectralLoss()

    def __call__(self, crops: Crops, step: int) -> dict[str, Tensor]:
        mel, wave, cycles, octaves, voiced = crops
        vocoder, s = self.vocoder, self.settings
        source, values, weighted = None, {}, []
        if vocoder.source is not None:
            values = pitch_losses(vocoder.source.pitch, _blurred(mel), octaves, voiced)
            weighted += [s.pitch_weight * values["pitch"], s.voicing_weight * values["voicing"]]
            noise = (torch.rand_like(wave) - 0.5) * math.sqrt(12.0)
            source = aligned_source(cycles, octaves, voiced, noise, vocoder.config.hop_samples)
        made = vocoder.before_clamp(mel, source)[:, 0].float()
        values |= self.spectral(made, wave)
        weighted += [s.mel_weight * values["mel"], s.magnitude_weight * values["magnitude"]]
        if step >= self.first_judged:
            values["critic"], true_features = critic_loss(self.judges, made, wave)
            values |= generator_losses(self.judges, made, true_features)
            weighted += [s.adversarial_weight * values["adversarial"], s.matching_weight * values["matching"]]
            weighted.append(values["critic"])  # of the discriminators' weights alone, as the two above are not
        values["loss"] = torch.stack(weighted).sum()
        return values

    @torch.compiler.set_stance("force_eager")  # other shapes than in training, and few of them
    def validate(self, checks: Sequence[Crops]) -> dict[str, float]:
        """`mel`: log-mel distance where the model reads the pitch itself; `pitch` [octaves] and `voicing` of that."""
        found: dict[str, list[Tensor]] = defaultdict(list)
        for mel, wave, _, octaves, voiced in checks:
            found["mel"].append(self.spectral(self.vocoder(mel)[:, 0], wave)["mel"])
            if self.vocoder.source is not None:
                for key, value in pitch_losses(self.vocoder.source.pitch, mel, octaves, voiced).items():
                    found[key].append(value)
        return {key: float(torch.stack(values).mean()) for key, values in found.items()}


def train_vocoder(
    items: Sequence[VocoderItem],
    made: Sequence[VocoderItem],
    held_out: Sequence[VocoderItem],
    folder: Path,
    loop: LoopConfig,
    config: BigVGANConfig,
    settings: VocoderTraining,
) -> BigVGAN:
    """Train on crops of recordings, `items`, and of recordings with mels that the model `made`; there may be none.

    Validation is on held-out crops of recordings.
    """
    vocoder, judges = trainable(config, settings.compiled), Discriminators()
    losses = _Losses(vocoder, judges, settings, round(loop.steps * (1.0 - settings.adversarial_share)))
    checks = [next(_crops(held_out, 8, 64, 5, k)) for k in range(3)]
    train(
        "vocoder",
        folder,
        nn.ModuleDict({"vocoder": vocoder, "discriminators": judges}),
        lambda first: _crops(items, settings.batch, settings.frames, 3, first, made, settings.made_share),
        losses,
        loop,
        lambda: losses.validate(checks),
        companions=(losses.spectral,),
    )
    plain = BigVGAN(config)
    plain.load_state_dict(vocoder.state_dict())
    return plain.eval()
