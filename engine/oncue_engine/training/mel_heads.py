"""What helps S2M to the course of pitch, which the flow's own loss hardly weighs: a few bands of eighty tell it.

The condition must tell mel, pitch and voicing by itself (as the encoder's mean does in Grad-TTS, Popov et al., 2021),
and from the mel that the flow would end in, the vocoder's pitch predictor must read what it reads from the true one.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from oncue_engine.model.harmonic_source import PitchPredictor

__all__ = ["ConditionHead", "PitchReading", "pitch_distance", "read_pitch"]

PitchReading = tuple[Tensor, Tensor]
"""log2 cycles per frame [B,F], and how voiced [B,F] from 0 to 1."""

_KERNEL = 3
_VOICING_WEIGHT = 0.2


class ConditionHead(nn.Module):
    """On the condition of the flow [B,F,C] and the style [B,S]: log mel, pitch and voicing of each frame."""

    def __init__(self, width: int, style: int, bands: int) -> None:
        super().__init__()
        self.hidden = nn.Conv1d(width, width, _KERNEL, padding=_KERNEL // 2)
        self.style = nn.Linear(style, width)  # codes tell how far pitch is from the speaker's own
        self.out = nn.Conv1d(width, bands + 2, 1)
        self.bands = bands

    def losses(self, mu: Tensor, style: Tensor, mel: Tensor, pitch: PitchReading, solved: Tensor) -> dict[str, Tensor]:
        """`told_mel` and `told_pitch`, means over the frames in `solved` [B,1,F]; mel [B,80,F]."""
        hidden = self.hidden(mu.transpose(1, 2)) + self.style(style)[:, :, None]
        told = self.out(functional.gelu(hidden)).float()
        distance = ((told[:, : self.bands] - mel).abs() * solved).sum() / (solved.sum() * self.bands)
        return {
            "told_mel": distance,
            "told_pitch": pitch_distance((told[:, self.bands], told[:, self.bands + 1]), pitch, solved[:, 0]),
        }


@torch.no_grad()
def read_pitch(reader: PitchPredictor, mel: Tensor) -> PitchReading:
    """What the vocoder reads from a mel [B,80,F]."""
    octaves, logit = reader(mel)
    return octaves.float(), torch.sigmoid(logit.float())


def pitch_distance(guess: tuple[Tensor, Tensor], true: PitchReading, counted: Tensor) -> Tensor:
    """Octaves off over voiced frames, and a little for the voicing: `guess` [B,F] octaves and logit; counted [B,F]."""
    octaves, logit = (value.float() for value in guess)
    voiced = true[1] * counted
    off = ((octaves - true[0]).abs() * voiced).sum() / voiced.sum().clamp_min(1.0)
    unclear = functional.binary_cross_entropy_with_logits(logit, true[1], reduction="none") * counted
    return off + _VOICING_WEIGHT * unclear.sum() / counted.sum().clamp_min(1.0)
