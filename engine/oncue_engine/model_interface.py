"""What the engine asks of a model, whatever its kind (docs/model_kinds.md).

    text -> TextReader                       pieces of segments
    clip -> PromptEncoder                    VoiceConditioning, EmotionConditioning, one emotion vector
    all of these -> TokenStage               semantic tokens, one after the other, for many segments at once
    tokens -> Renderer.semantics             rows, condition of the flow
           -> Renderer.flow                  mel, step by step, for many chunks at once
           -> Renderer.vocoder               samples

Scheduler, stages and server know these and no kind of model; `kinds` has one that implements them for each.
"""

from __future__ import annotations

from collections.abc import Sequence as Rows
from typing import Protocol

from torch import Tensor

from .checkpoints.config import SpeechConfig
from .checkpoints.pace import Pace
from .conditioning import PromptEncoder, VoiceConditioning
from .decoding.batch import Sequence, SequenceSpec
from .frontend.text import TextReader
from .options import DecodingName, ResolvedOptions
from .rendering.flow_batch import FlowRow
from .rendering.mel import FlowJob
from .rendering.semantics import Semantics
from .rendering.wave import Vocoder
from .words.weigher import WordsWeigher

__all__ = ["FlowSolver", "Renderer", "SpeechModel", "TokenStage"]


class TokenStage(Protocol):
    """Text to semantic tokens for a number of segments at once. Called by one lane at a time."""

    @property
    def free_slots(self) -> int:
        """Segments that can begin beside those that were started and not released."""

    def start(
        self, voice: VoiceConditioning, emotion: Tensor, text_ids: tuple[int, ...], spec: SequenceSpec
    ) -> Sequence:
        """Begin a segment; needs a free slot, and keeps none when it fails.

        What is drawn depends on these values alone, never on who else is drawn for.
        """

    def step(self, sequences: Rows[Sequence]) -> None:
        """Go on with every live sequence. One that fails gets its `error`; the others are not hurt.

        A sequence ends by `finished`, with exactly `spec.exact_tokens` codes where that is set. A stage whose last
        codes may still change adds none until they are final, and its sequences say `at_once`.
        """

    def release(self, sequence: Sequence) -> None:
        """Give its slot back: once for each `start`, finished or not."""


class FlowSolver(Protocol):
    """Chunks on their way from noise to mel. Called by several lanes at once, never for the same row."""

    def start(self, job: FlowJob, steps: int) -> FlowRow:
        """A row before its first step. ValueError for shapes that do not fit."""

    def step(self, rows: Rows[FlowRow]) -> None:
        """One step of every live row. One that fails gets its `error`; a row depends on its own job only."""


class Renderer(Protocol):
    """Tokens to samples."""

    @property
    def semantics(self) -> Semantics: ...

    @property
    def flow(self) -> FlowSolver: ...

    @property
    def vocoder(self) -> Vocoder: ...


class SpeechModel(Protocol):
    """One loaded model. Reading it is safe from any thread."""

    @property
    def name(self) -> str: ...

    @property
    def fingerprint(self) -> str:
        """16 hex digits over all that decides how the model sounds."""

    @property
    def speech(self) -> SpeechConfig:
        """Rates and limits."""

    @property
    def text(self) -> TextReader: ...

    @property
    def pace(self) -> Pace: ...

    @property
    def parameters(self) -> int:
        """Of the networks that every utterance runs through: decides the defaults of EngineOptions."""

    @property
    def prompts(self) -> PromptEncoder: ...

    @property
    def emotions(self) -> tuple[str, ...]:
        """Names of EMOTION_NAMES that weights may use; empty where it takes no weights."""

    @property
    def takes_emotion_clips(self) -> bool: ...

    @property
    def emotion_words(self) -> WordsWeigher | None:
        """Words to weights of `emotions`, where the model has that."""

    @property
    def duration_control(self) -> str:
        """`trained` or `constructed` (EngineInfo)."""

    @property
    def decodings(self) -> tuple[DecodingName, ...]:
        """What `token_stage` can be asked for."""

    @property
    def duration_experiment(self) -> bool:
        """Whether it can be told a length in a row that it may not have been trained to read
        (EngineOptions.duration_row_experiment): its token stage does so where the options say it."""

    @property
    def hop_samples(self) -> int:
        """Native samples of a mel frame."""

    @property
    def vocoder_reach_frames(self) -> int:
        """Mel frames on each side that settle a sample."""

    @property
    def filler_text_id(self) -> int:
        """A text piece that can stand for any, for warming up."""

    def token_stage(self, options: ResolvedOptions) -> TokenStage:
        """A new one; the engine makes one."""

    def renderer(self, options: ResolvedOptions) -> Renderer:
        """A new one; the engine makes one."""
