"""A model folder of the kind `cosyvoice2`: which files it has, and reading them without mercy.

    config.yaml                              sizes (cosyvoice2_config.py)
    llm / speech_tokenizer / flow / campplus / vocoder .safetensors      one network each
    tokenizer.json                           text pieces (frontend/bpe_tokenizer.py)
    text.json                                natural pace (pace.py)

The layout and the keys are ours: the public CosyVoice2 files are others (docs/model_kinds.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from ..errors import CheckpointError
from ..frontend.bpe_tokenizer import BytePairTokenizer
from ..frontend.normalize import PublicNormaliser
from ..frontend.text import TextFrontend
from ..model.bigvgan import BigVGAN
from ..model.campplus import CampPlus
from ..model.cosyvoice2.flow import TokenFlow
from ..model.cosyvoice2.language_model import SpeechLanguageModel
from ..model.cosyvoice2.speech_tokenizer import SpeechTokenizer
from .config_file import CONFIG_FILE
from .cosyvoice2_config import CosyVoice2Config, read_cosyvoice2_config
from .later_parameters import parameters_later
from .layout import PACE_FILE, file_digest, fill
from .pace import Pace, read_pace

__all__ = ["COSYVOICE2_WEIGHTS", "TEXT_PIECES_FILE", "CosyVoice2Networks", "LoadedCosyVoice2", "load_cosyvoice2"]

COSYVOICE2_WEIGHTS = {
    "llm": "llm.safetensors",
    "speech_tokenizer": "speech_tokenizer.safetensors",
    "flow": "flow.safetensors",
    "style": "campplus.safetensors",
    "vocoder": "vocoder.safetensors",
}
TEXT_PIECES_FILE = "tokenizer.json"


@dataclass(frozen=True, slots=True, eq=False)
class CosyVoice2Networks:
    """Every network of one model, under its name in COSYVOICE2_WEIGHTS."""

    llm: SpeechLanguageModel
    speech_tokenizer: SpeechTokenizer
    flow: TokenFlow
    style: CampPlus
    vocoder: BigVGAN

    @classmethod
    def fresh(cls, config: CosyVoice2Config) -> CosyVoice2Networks:
        """As modules are drawn, from PyTorch's global generator."""
        codes = config.speech_tokenizer.codes
        return cls(
            llm=SpeechLanguageModel(codes, config.llm),
            speech_tokenizer=SpeechTokenizer(config.speech_tokenizer),
            flow=TokenFlow(codes, config.style_encoder.embedding_size, config.encoder, config.estimator),
            style=CampPlus(config.style_encoder),
            vocoder=BigVGAN(config.vocoder),
        )

    def named(self) -> dict[str, nn.Module]:
        """All of them by name."""
        return {name: getattr(self, name) for name in COSYVOICE2_WEIGHTS}


@dataclass(frozen=True, slots=True, eq=False)
class LoadedCosyVoice2:
    """One model: float32, eval mode, no gradients."""

    fingerprint: str
    config: CosyVoice2Config
    text: TextFrontend
    pace: Pace
    networks: CosyVoice2Networks
    filler_piece: int
    """Id of a text piece like any other."""

    @property
    def parameters(self) -> int:
        """Of the networks that every utterance runs through."""
        networks = (self.networks.llm, self.networks.flow, self.networks.vocoder)
        return sum(parameter.numel() for network in networks for parameter in network.parameters())


def load_cosyvoice2(folder: Path) -> LoadedCosyVoice2:
    """Read a model folder. CheckpointError names the file, field or key that is wrong."""
    config = read_cosyvoice2_config(folder)
    with parameters_later():
        networks = CosyVoice2Networks.fresh(config)
    for name, network in networks.named().items():
        fill(network, folder / COSYVOICE2_WEIGHTS[name])
    speech = config.speech
    tokenizer = BytePairTokenizer(folder / TEXT_PIECES_FILE)
    if tokenizer.vocabulary_size > config.llm.text_tokens:
        raise CheckpointError(
            f"{TEXT_PIECES_FILE} has {tokenizer.vocabulary_size} pieces, the language model {config.llm.text_tokens}"
        )
    return LoadedCosyVoice2(
        fingerprint=file_digest(folder, (CONFIG_FILE, *COSYVOICE2_WEIGHTS.values(), TEXT_PIECES_FILE, PACE_FILE)),
        config=config,
        text=TextFrontend(
            tokenizer, PublicNormaliser(), speech.max_segment_pieces, speech.max_text_chars, whole_sentences=True
        ),
        pace=read_pace(folder / PACE_FILE, speech.token_rate_hz),
        networks=networks,
        filler_piece=tokenizer.encode("a")[0].id,
    )
