"""Speech to tokens: an encoder at 25 Hz, its output rounded to a grid (finite scalar quantisation).

    filterbank at 100 Hz -> two convolutions of stride 2 -> blocks -> a few numbers in (-1, 1) -> rounded -> one code

Mentzer et al., "Finite Scalar Quantization: VQ-VAE Made Simple" (2023). CosyVoice2's has 8 numbers of 3 levels: 6561
codes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .windowed import WindowedBlock

__all__ = ["SpeechTokenizer", "SpeechTokenizerConfig"]


@dataclass(frozen=True, slots=True)
class SpeechTokenizerConfig:
    """`levels` values of each of `digits` numbers: levels ** digits codes. `window` rows of 40 ms to each side."""

    bands: int = 80
    width: int = 512
    heads: int = 8
    blocks: int = 6
    window: int = 30
    levels: int = 3
    digits: int = 8

    @property
    def codes(self) -> int:
        return int(self.levels**self.digits)


class SpeechTokenizer(nn.Module):
    """Log filterbank [F,bands] at 100 Hz, its time mean removed -> codes [ceil(F / 4)] int64 at 25 Hz."""

    def __init__(self, config: SpeechTokenizerConfig) -> None:
        super().__init__()
        self.config = config
        self.conv1 = nn.Conv1d(config.bands, config.width, 3, stride=2, padding=1)
        self.conv2 = nn.Conv1d(config.width, config.width, 3, stride=2, padding=1)
        self.blocks = nn.ModuleList(
            WindowedBlock(config.width, config.heads, config.window, config.window) for _ in range(config.blocks)
        )
        self.norm = nn.LayerNorm(config.width)
        self.project_down = nn.Linear(config.width, config.digits)

    def forward(self, features: Tensor) -> Tensor:
        x = F.gelu(self.conv1(features.t()[None]))  # [1,D,F/2]
        x = F.gelu(self.conv2(x))[0].t()  # [F/4,D]
        for block in self.blocks:
            x = block(x)
        return self.quantize(self.project_down(self.norm(x)))

    def quantize(self, x: Tensor) -> Tensor:
        """Numbers [N,digits] -> codes [N] int64, the first number being the lowest digit."""
        levels = self.config.levels
        half = (levels - 1) / 2
        digits = (torch.tanh(x) * half + half).round().to(torch.int64)  # 0 ... levels - 1
        places = levels ** torch.arange(self.config.digits, device=x.device)
        return (digits * places).sum(dim=-1)
