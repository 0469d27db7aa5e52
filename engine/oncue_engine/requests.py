"""What goes into the engine: plain values, no tensors, no gRPC (what comes out: answers.py).

Every time is an integer sample index at the utterance's own output rate, from 0 at its first sample.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

__all__ = [
    "EMOTION_NAMES",
    "MAX_EMOTION_WEIGHT",
    "EmotionMixing",
    "EmotionWeights",
    "EmotionWords",
    "LengthPolicy",
    "LexiconEntry",
    "Pacing",
    "PacingMode",
    "Priority",
    "Reference",
    "ReferenceOptions",
    "Sampling",
    "TargetSamples",
    "TargetTokens",
    "UtteranceRequest",
]

EMOTION_NAMES: tuple[str, ...] = ("happy", "angry", "sad", "afraid", "disgusted", "melancholic", "surprised", "calm")
"""The public order of emotion weights (spec 4.1)."""
MAX_EMOTION_WEIGHT = 1.2
"""The largest weight of one emotion (spec 4.4)."""


@dataclass(frozen=True, slots=True)
class ReferenceOptions:
    """How a clip becomes a prompt (frontend/prompt_clip.py)."""

    trim_silence: bool = False
    """Silence before the first sound and after the last is cut; nothing inside."""
    keep_level: bool = False
    """A clip that is far too quiet or too loud is taken as it is, not brought into range."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A clip that conditions speech: a path to audio that libsndfile reads, and the SHA-256 of its bytes (hex).

    The engine prepares it on first use and keeps the tensors under (key, model), so the path is only read then.
    """

    path: Path
    sha256: str
    options: ReferenceOptions = field(default_factory=ReferenceOptions)

    @property
    def key(self) -> str:
        """What tells its tensors from those of other clips: the hash, and options that are not the usual ones."""
        chosen = [name for name, value in asdict(self.options).items() if value]
        return "+".join([self.sha256, *chosen])


@dataclass(frozen=True, slots=True)
class EmotionWeights:
    """Eight weights in the order of EMOTION_NAMES, each in [0, 1.2] (spec 4)."""

    weights: tuple[float, ...]

    @classmethod
    def as_told(cls, weights: Iterable[float]) -> EmotionWeights:
        """The weights that are left when the contract's 32-bit fields have carried these, in their shortest decimals.

        So weights that were told and come back are the same to the bit, and a 0.7 that came as a 32-bit number is 0.7
        again: strength cuts to four decimals, where a little less than 0.7 would lose one of them.
        """
        return cls(tuple(float(str(np.float32(weight))) for weight in weights))


@dataclass(frozen=True, slots=True)
class EmotionWords:
    """An emotion in plain words, 1 to 200 characters. The model turns them into weights."""

    text: str


@dataclass(frozen=True, slots=True)
class LexiconEntry:
    """How one utterance says a term: exactly one of `reading` and `pronunciation` is set (frontend/lexicon.py)."""

    term: str
    """1 to 100 characters, in any case; beside letters and digits it stands for whole words only."""
    reading: str | None = None
    """What is read in its place, as if it had been written there; 1 to 100 characters."""
    pronunciation: str | None = None
    """How it sounds, as in `<word|pronunciation>`; 1 to 100 characters."""
    language: str | None = None
    """BCP 47, of which the language alone counts. None: in text of any language."""


@dataclass(frozen=True, slots=True)
class EmotionMixing:
    """What is done with weights, given or found for words, before they are mixed (spec 4.2, 4.3). Off: nothing."""

    apply_bias: bool = False
    """Each weight times its emotion's factor."""
    cap_sum: bool = False
    """After that, a sum above 0.8 is scaled down to it."""
    random_style: bool = False
    """Rows of the bank by chance, keyed by the request's seed alone, instead of those nearest to the voice."""


class LengthPolicy(enum.Enum):
    STRICT = "strict"
    """Outside 0.5 to 2 times the natural length: LengthInfeasible, with the range."""
    FORCE = "force"
    """Whatever was asked, within the model's token limit."""
    ADVISE = "advise"
    """The range of STRICT; the model is told the length and ends by itself, near it or not."""


@dataclass(frozen=True, slots=True)
class TargetSamples:
    """The whole utterance is exactly `samples` long at the output rate."""

    samples: int


@dataclass(frozen=True, slots=True)
class TargetTokens:
    """The whole utterance is exactly `tokens` semantic tokens."""

    tokens: int


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn. `temperature` 0 is greedy; `top_k` 0 and `top_p` 1 switch those filters off."""

    temperature: float = 0.6
    top_k: int = 30
    top_p: float = 0.8
    repetition_penalty: float = 1.0


class PacingMode(enum.Enum):
    REALTIME = "realtime"
    UNPACED = "unpaced"


@dataclass(frozen=True, slots=True)
class Pacing:
    """REALTIME: generation stops `max_lead_samples` (output rate) ahead of playback. UNPACED: as fast as it goes."""

    mode: PacingMode = PacingMode.REALTIME
    max_lead_samples: int | None = None
    """None: 2 s."""


class Priority(enum.IntEnum):
    """Who comes first where not all can. Within one, whoever runs dry first."""

    BACKGROUND = 0
    """Behind everybody else, such as lines made ahead for later."""
    NORMAL = 1
    HIGH = 2
    """Before everybody else, such as the line of the scene that is on."""


@dataclass(frozen=True, slots=True)
class UtteranceRequest:
    """One utterance. Raises nothing itself: Engine.plan and Engine.speak check it (errors.py)."""

    text: str
    voice: Reference
    sample_rate_hz: int
    emotion: Reference | EmotionWeights | EmotionWords | None = None
    """None: the voice clip's own emotion (paper, section 3.2)."""
    emotion_strength: float = 1.0
    emotion_mixing: EmotionMixing = field(default_factory=EmotionMixing)
    """Only with weights or words."""
    length: TargetSamples | TargetTokens | None = None
    length_policy: LengthPolicy = LengthPolicy.STRICT
    sampling: Sampling | None = None
    """None: EngineInfo.sampling."""
    seed: int = 0
    pacing: Pacing = field(default_factory=Pacing)
    start_sample: int = 0
    """Samples before it are computed and not delivered, so that a retry can resume."""
    priority: Priority = Priority.NORMAL
    start_deadline_s: float | None = None
    """Longest time from the request to its first audio, above 0. Where it cannot be met: Overloaded, at once."""
    flexible_steps: bool = False
    """Whether a chunk may be solved in fewer flow steps where its listener would run dry otherwise (never in the
    engine's deterministic mode). Off: the same seed gives the same samples under any load."""
    lexicon: tuple[LexiconEntry, ...] = ()
    """How terms are said in this utterance, and in no other. It goes before the model's and the server's glossaries."""
    language: str = ""
    """BCP 47 tag of the text's language, whose first part counts; empty: guessed (frontend/languages.py)."""

    @property
    def emotion_weights(self) -> EmotionWeights | None:
        """The emotion where it is given by weights."""
        return self.emotion if isinstance(self.emotion, EmotionWeights) else None
