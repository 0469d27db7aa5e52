"""The public pipeline's shape (spec 1): every stage over a whole segment, and no audio before the last segment's.

tokens -> second, teacher-forced pass for the latents (spec 3.6) -> one S2M call of 25 steps -> one vocoder call
"""

from __future__ import annotations

from collections.abc import Generator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..checkpoints.loaded import LoadedModel
from ..decoding.length import SegmentLength
from ..decoding.reference import latent_pass
from ..model.flow import FlowSchedule
from ..rendering.alone import mel_alone, wave_alone
from ..rendering.mel import VoicePrompt
from ..rendering.wave import ease_out
from .serial import Speech
from .tokens import SegmentTokens

__all__ = ["PUBLIC_FLOW_STEPS", "NaiveWay"]

Samples = npt.NDArray[np.float32]

PUBLIC_FLOW_STEPS = 25
"""Of every model, whatever its own number (spec 6.3)."""


class NaiveWay:
    """`serial.Way` of the public pipeline, with one sampled beam for its three."""

    flow_steps = PUBLIC_FLOW_STEPS

    def __init__(self, model: LoadedModel) -> None:
        self._model = model
        self._tokens = SegmentTokens(model)
        self._flow = FlowSchedule.uniform(model.s2mel.estimator, PUBLIC_FLOW_STEPS)

    def speak(self, speech: Speech) -> Generator[Samples | None, None, None]:
        speech_config, hop = self._model.config.speech, self._model.config.mel.hop_length
        parts: list[Samples] = []
        for number, length in enumerate(speech.script.lengths):
            codes = yield from self._codes(speech, number)
            with speech.clock.measure("latents"):
                prefix = self._tokens.prefix(speech, number)[:-1]  # the pass adds the start token itself
                latents = latent_pass(self._model.t2s, prefix[None], codes[None])[0]  # [N,M]
            yield None
            with speech.clock.measure("flow"):
                mel = self._mel(speech, number, length, codes, latents)
            yield None
            with speech.clock.measure("wave"):
                samples = wave_alone(self._model.vocoder, mel)[: length.native_samples]
            parts.append(ease_out(samples, speech_config.sample_rate_hz, hop))
            parts.append(np.zeros(length.pause_samples, dtype=np.float32))
            yield None
        yield np.concatenate(parts)

    def _codes(self, speech: Speech, number: int) -> Generator[None, None, Tensor]:
        """All tokens of a segment: [N] int64."""
        sequence = self._tokens.start(speech, number)
        try:
            while sequence.live:
                yield None
                self._tokens.step(speech, sequence)
        finally:
            self._tokens.release(sequence)
        return torch.tensor(sequence.codes, dtype=torch.int64)

    def _mel(self, speech: Speech, number: int, length: SegmentLength, codes: Tensor, latents: Tensor) -> Tensor:
        """codes [N], latents [N,M] -> [80,F], in one call."""
        model, voice = self._model, speech.voice
        rows = model.s2mel.semantic(latents[None], model.codec.embed(codes[None]))[0]  # [N,D]
        # A segment of one short token may round to no frame at all; the flow needs one, and the length cuts it.
        frames = max(1, length.frame_map.total_frames(len(codes)))
        tokens = torch.tensor([length.frame_map.token_of(frame) for frame in range(frames)])
        return mel_alone(
            model.s2mel,
            VoicePrompt(voice.prompt_mel, voice.prompt_condition, voice.style),
            rows[tokens],
            self._flow,
            model.config.speech.guidance,
            seed=speech.script.request.seed,
            segment=number,
            first_frame=0,
        )
