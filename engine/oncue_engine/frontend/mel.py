"""The log-mel spectrogram that the flow model writes and the vocoder reads (spec 1.2, first row)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import log
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["MelConfig", "log_mel", "mel_filters"]

_FLOOR = 1e-5  # of the mel magnitudes, before the logarithm
# Slaney's scale: linear below 1 kHz, 15 mels there, then 27 mels per factor of 6.4.
_LINEAR_HZ_PER_MEL = 200.0 / 3.0
_BREAK_HZ = 1000.0
_BREAK_MEL = _BREAK_HZ / _LINEAR_HZ_PER_MEL
_LOG_STEP = log(6.4) / 27.0


@dataclass(frozen=True, slots=True)
class MelConfig:
    """Frames of `win_length` samples every `hop_length`; `n_mels` bands, `fmin` to `fmax` Hz (None: half the rate)."""

    sample_rate_hz: int = 22_050
    n_fft: int = 1024
    win_length: int = 1024
    hop_length: int = 256
    n_mels: int = 80
    fmin: float = 0.0
    fmax: float | None = None

    @classmethod
    def from_public(cls, mapping: Mapping[str, Any]) -> MelConfig:
        """Read `s2mel.preprocess_params`, flat or with its nested `spect_params`, or the vocoder's own names.

        The public file says fmax: "None", a string, and means no limit (trap 21).
        """
        flat = {**mapping, **mapping.get("spect_params", {})}

        def first(*names: str) -> Any:
            return next((flat[name] for name in names if name in flat), None)

        fmax = first("fmax", "mel_fmax")
        if isinstance(fmax, str):
            fmax = None if fmax.strip().lower() in ("none", "null", "") else float(fmax)
        default = cls()
        return cls(
            sample_rate_hz=int(first("sr", "sampling_rate", "sample_rate") or default.sample_rate_hz),
            n_fft=int(first("n_fft") or default.n_fft),
            win_length=int(first("win_length", "win_size") or first("n_fft") or default.win_length),
            hop_length=int(first("hop_length", "hop_size") or default.hop_length),
            n_mels=int(first("n_mels", "num_mels") or default.n_mels),
            fmin=float(first("fmin", "mel_fmin") or 0.0),
            fmax=None if fmax is None else float(fmax),
        )

    @property
    def frames_per_second(self) -> float:
        return self.sample_rate_hz / self.hop_length


def log_mel(wav: Tensor, config: MelConfig) -> Tensor:
    """Samples `[B, n]` in [-1, 1] to natural-log mel `[B, n_mels, n // hop_length]`; differentiable.

    Raises ValueError when the signal is too short to be reflected at its ends.
    """
    pad = (config.n_fft - config.hop_length) // 2
    if wav.dim() != 2 or wav.shape[-1] <= pad:
        raise ValueError(f"log_mel needs [B, n] with more than {pad} samples, got {tuple(wav.shape)}")
    spectrum = torch.stft(
        F.pad(wav[:, None], (pad, pad), mode="reflect")[:, 0],
        config.n_fft,
        hop_length=config.hop_length,
        win_length=config.win_length,
        window=torch.hann_window(config.win_length, dtype=wav.dtype, device=wav.device),
        center=False,
        return_complex=True,
    )  # [B, n_fft/2+1, F]
    magnitude = torch.view_as_real(spectrum).square().sum(-1).add(1e-9).sqrt()
    return torch.matmul(mel_filters(config).to(magnitude), magnitude).clamp_min(_FLOOR).log()


@lru_cache(maxsize=8)
@torch.inference_mode(False)
def mel_filters(config: MelConfig) -> Tensor:
    """Triangles on Slaney's scale, each scaled to unit area: `[n_mels, n_fft/2+1]` float32.

    Kept for whoever asks next, with gradients or without: so no tensor of inference mode, whoever asks first.
    """
    top = config.fmax if config.fmax is not None else config.sample_rate_hz / 2
    low, high = _mel(torch.tensor([config.fmin, top], dtype=torch.float64)).tolist()
    corners = _hz(torch.linspace(low, high, config.n_mels + 2, dtype=torch.float64))
    bins = torch.arange(config.n_fft // 2 + 1, dtype=torch.float64) * (config.sample_rate_hz / config.n_fft)
    left, centre, right = (corners[i : i + config.n_mels, None] for i in range(3))
    rising, falling = (bins - left) / (centre - left), (right - bins) / (right - centre)
    return (torch.minimum(rising, falling).clamp_min(0.0) * (2.0 / (right - left))).float()


def _mel(hz: Tensor) -> Tensor:
    above = _BREAK_MEL + (hz.clamp_min(_BREAK_HZ) / _BREAK_HZ).log() / _LOG_STEP
    return torch.where(hz < _BREAK_HZ, hz / _LINEAR_HZ_PER_MEL, above)


def _hz(mel: Tensor) -> Tensor:
    above = _BREAK_HZ * ((mel - _BREAK_MEL) * _LOG_STEP).exp()
    return torch.where(mel < _BREAK_MEL, mel * _LINEAR_HZ_PER_MEL, above)
