"""What IndexTTS-2 and 2.5 have in common as `model_interface.SpeechModel`s: all but prompts, tokens and semantics."""

from __future__ import annotations

from ..checkpoints.config import SpeechConfig
from ..checkpoints.loaded import LoadedModel
from ..checkpoints.pace import Pace
from ..frontend.text import TextReader
from ..options import DecodingName
from ..words.weigher import WordsWeigher

__all__ = ["IndexTTSFamily"]


class IndexTTSFamily:
    """Read off the networks."""

    takes_emotion_clips = True
    decodings: tuple[DecodingName, ...] = ("streaming", "reference")

    def __init__(self, networks: LoadedModel) -> None:
        self.networks = networks

    @property
    def name(self) -> str:
        return self.networks.name

    @property
    def fingerprint(self) -> str:
        return self.networks.fingerprint

    @property
    def speech(self) -> SpeechConfig:
        return self.networks.config.speech

    @property
    def text(self) -> TextReader:
        return self.networks.text

    @property
    def pace(self) -> Pace:
        return self.networks.pace

    @property
    def parameters(self) -> int:
        return self.networks.parameters

    @property
    def emotions(self) -> tuple[str, ...]:
        bank = self.networks.emotion_bank
        return () if bank is None else bank.names

    @property
    def emotion_words(self) -> WordsWeigher | None:
        return self.networks.emotion_words

    @property
    def duration_control(self) -> str:
        return "trained" if self.networks.config.t2s.duration_row == "tied" else "constructed"

    @property
    def duration_experiment(self) -> bool:
        """IndexTTS-2 has two speed rows, and nobody says what the second was trained for (spec 3.7)."""
        return self.networks.config.t2s.duration_row == "speed_rows"

    @property
    def hop_samples(self) -> int:
        return self.networks.config.mel.hop_length

    @property
    def vocoder_reach_frames(self) -> int:
        return self.networks.vocoder.context_frames
