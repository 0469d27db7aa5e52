"""Stage 6: the vocoder, BigVGAN on true mels, by spectral losses at several resolutions.

The anti-aliased activation is trained in block form: overlapping blocks of the signal times one small matrix up, the
snake, and one small matrix down. Away from a signal's two ends this is the same function as the model's polyphase
form (a test compares them), and several times faster backwards on a CPU.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from oncue_engine.frontend.mel import mel_filters
from oncue_engine.model.bigvgan import AntiAliasedSnake, BigVGAN, BigVGANConfig
from oncue_engine.training.features import nano_mel_config
from oncue_engine.training.loop import LoopConfig, train

__all__ = ["BlockSnake", "SpectralLoss", "VocoderItem", "train_vocoder", "trainable"]

_BLOCK = 64
_RESOLUTIONS = ((256, 64, 20), (512, 128, 40), (1024, 256, 80))
"""(n_fft, hop, mel bands) of the spectral losses."""


@dataclass(frozen=True, slots=True, eq=False)
class VocoderItem:
    mel: npt.NDArray[np.float16]
    """[F, 80]"""
    samples: npt.NDArray[np.int16]
    """[n]; frame f describes samples around 256 f + 128."""


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
        wide = x.unfold(-1, _BLOCK + 10, _BLOCK) @ self.up  # [B, C, blocks, 2 * 69]
        wave = torch.sin(wide * rate[..., None])
        wide = torch.addcmul(wide, wave * inverse[..., None], wave)
        return (wide @ self.down).flatten(-2)[..., :length]


def trainable(config: BigVGANConfig) -> BigVGAN:
    """A vocoder whose activations are in block form; its state dict is that of the plain one."""
    vocoder = BigVGAN(config)
    for module in list(vocoder.modules()):
        for name, child in module.named_children():
            if isinstance(child, AntiAliasedSnake):
                setattr(module, name, BlockSnake(child))
    return vocoder


class SpectralLoss(nn.Module):
    """Log-mel distance and log-magnitude distance at three resolutions. [B, n] each."""

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
    items: Sequence[VocoderItem], count: int, frames: int, seed: int, first_step: int
) -> Iterator[tuple[Tensor, Tensor]]:
    step = first_step
    hop = nano_mel_config().hop_length
    while True:
        rng = random.Random(f"{seed}/{step}")
        mels, waves = [], []
        while len(mels) < count:
            item = items[rng.randrange(len(items))]
            usable = min(len(item.mel), len(item.samples) // hop)
            if usable <= frames:
                continue
            begin = rng.randrange(usable - frames)
            mels.append(item.mel[begin : begin + frames].T.astype(np.float32))
            waves.append(item.samples[begin * hop : (begin + frames) * hop].astype(np.float32) / 32768.0)
        yield torch.from_numpy(np.stack(mels)), torch.from_numpy(np.stack(waves))
        step += 1


def train_vocoder(
    items: Sequence[VocoderItem],
    held_out: Sequence[VocoderItem],
    folder: Path,
    loop: LoopConfig,
    config: BigVGANConfig,
    batch: int = 8,
    frames: int = 32,
) -> BigVGAN:
    """Train on crops of `frames` mel frames; validation prints the log-mel distance on held-out crops."""
    vocoder = trainable(config)
    modules = nn.ModuleDict({"vocoder": vocoder})
    spectral = SpectralLoss()
    checks = [next(_crops(held_out, 8, 64, 5, k)) for k in range(3)]

    def losses(crop: tuple[Tensor, Tensor], step: int) -> dict[str, Tensor]:
        mel, wave = crop
        made = vocoder.before_clamp(mel)[:, 0].float()
        values = spectral(made, wave)
        values["loss"] = 2.0 * values["mel"] + values["magnitude"]
        return values

    def validate() -> dict[str, float]:
        found = [spectral(vocoder(mel)[:, 0], wave)["mel"] for mel, wave in checks]
        return {"mel": float(torch.stack(found).mean())}

    train("vocoder", folder, modules, lambda first: _crops(items, batch, frames, 3, first), losses, loop, validate)
    plain = BigVGAN(config)
    plain.load_state_dict(vocoder.state_dict())
    return plain.eval()
