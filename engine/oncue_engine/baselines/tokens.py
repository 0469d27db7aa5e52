"""The tokens of one segment, one step after the other, for whoever serves one request at a time."""

from __future__ import annotations

from torch import Tensor

from ..checkpoints.loaded import LoadedModel
from ..decoding.batch import Sequence, TokenBatch, prefix_rows
from ..kinds.indextts2_prompts import IndexTTS2Voice
from .serial import Speech

__all__ = ["SegmentTokens"]


class SegmentTokens:
    """A batch of one, plain float32, drawn as the engine draws: the same seed gives the same tokens."""

    def __init__(self, model: LoadedModel) -> None:
        config = model.config
        longest = config.speech.max_segment_pieces + 2 + config.speech.max_segment_tokens + 1
        self._t2s = model.t2s
        self._batch = TokenBatch(model.t2s, 1, config.t2s.conditioning_rows + longest, kernels=False)

    def prefix(self, speech: Speech, number: int) -> Tensor:
        """[S,M]: everything before the first token of segment `number`, the start token included."""
        told, voice = speech.script.spec(number).told_tokens, speech.voice
        assert isinstance(voice, IndexTTS2Voice)
        return prefix_rows(self._t2s, voice.latents, speech.emotion, told, speech.script.text_ids[number])

    def start(self, speech: Speech, number: int) -> Sequence:
        """Begin segment `number`: the first token. Every sequence must be released before the next is started."""
        with speech.clock.measure("prefill"):
            sequence = self._batch.start(self.prefix(speech, number), speech.script.spec(number))
        _count(speech, sequence, 0)
        return sequence

    def step(self, speech: Speech, sequence: Sequence) -> None:
        """One more token. Raises what went wrong in it."""
        before = len(sequence.codes)
        with speech.clock.measure("decode"):
            self._batch.step([sequence])
        if sequence.error is not None:
            raise sequence.error
        _count(speech, sequence, before)

    def release(self, sequence: Sequence) -> None:
        """The sequence is read or given up."""
        self._batch.release(sequence)


def _count(speech: Speech, sequence: Sequence, before: int) -> None:
    speech.codes += len(sequence.codes) - before
    speech.hit_limit |= sequence.hit_limit
