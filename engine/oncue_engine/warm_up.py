"""Speech before the first listener comes, so that he is not served slower than the tenth.

The first calls of a network are slow: memory is taken, kernels are chosen for the shapes they meet. And nothing is
known yet of what speech costs on this machine. So utterances run through every stage, one for each lane; then once
more, alone and measured.
"""

from __future__ import annotations

import threading
from pathlib import Path

import torch

from .answers import Event, Failed, Finished
from .conditioning import Conditioner, VoiceConditioning
from .decoding.length import Geometry, allot
from .frontend.audio import Waveform
from .model_interface import SpeechModel
from .options import LARGE_PARAMETERS
from .pipeline import Pipeline
from .requests import Pacing, PacingMode, Reference, Sampling, TargetTokens, UtteranceRequest
from .script import Script
from .utterance import Utterance

__all__ = ["warm_up"]

_CLIP_S = 4.0
_SECONDS = 3.0
"""Of speech: the chunk ramp up to its longest chunk but one."""
_PIECES = 30
_SHORT_S = 0.8
"""For large models, of which one short round has to do."""


def warm_up(model: SpeechModel, conditioner: Conditioner, pipeline: Pipeline, geometry: Geometry) -> None:
    """Blocks until the engine is warm. Raises what an utterance fails with."""
    rate_hz = model.speech.sample_rate_hz
    generator = torch.Generator().manual_seed(0)
    clip = Waveform(0.1 * torch.randn(round(_CLIP_S * rate_hz), generator=generator), rate_hz)
    large = model.parameters >= LARGE_PARAMETERS
    seconds = _SHORT_S if large else _SECONDS
    tokens = min(round(seconds * model.speech.token_rate_hz), geometry.max_segment_tokens)
    for utterances in (1,) if large else (pipeline.lanes, 1):
        voice = pipeline.call(lambda: conditioner.encode_voice(clip)).result()
        pipeline.forget_costs()
        _speak(model, pipeline, voice, geometry, tokens, utterances)
    conditioner.reset_prompt_encodes()


def _speak(
    model: SpeechModel, pipeline: Pipeline, voice: VoiceConditioning, geometry: Geometry, tokens: int, count: int
) -> None:
    rate_hz = geometry.native_rate_hz
    request = UtteranceRequest(
        text="",
        voice=Reference(Path(), ""),
        sample_rate_hz=rate_hz,
        length=TargetTokens(tokens),
        pacing=Pacing(PacingMode.UNPACED),
    )
    lengths = allot(request.length, request.length_policy, [tokens], geometry, rate_hz)
    text_ids = (model.filler_text_id,) * min(_PIECES, model.speech.max_segment_pieces)
    script = Script(
        request,
        (text_ids,),
        lengths,
        None,
        None,
        None,
        expected_s=tokens / model.speech.token_rate_hz,
        sampling=Sampling(),
    )
    ended = threading.Semaphore(0)
    failed: list[Failed] = []

    def on_event(event: Event) -> None:
        if isinstance(event, Failed):
            failed.append(event)
        if isinstance(event, Finished | Failed):
            ended.release()

    for _ in range(count):
        utterance = Utterance(script, model, on_event)
        utterance.voice, utterance.emotion = voice, model.prompts.own_emotion(voice)
        pipeline.submit(utterance)
    for _ in range(count):
        ended.acquire()
    if failed:
        raise failed[0].error
