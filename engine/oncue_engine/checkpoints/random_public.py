"""`random:indextts2`: the public full size with random weights, in memory: for measuring speed, not for listening.

Every network has the public model's sizes; only what decides nothing about speed is another: the text is read as
English phones (the public pieces are a file that is not ours), and the pace is a guess.
"""

from __future__ import annotations

import hashlib
from dataclasses import astuple, replace

from ..errors import CheckpointError
from ..frontend.phones import VOCABULARY
from ..frontend.text import TextFrontend
from ..model.emotion_bank import EmotionBank
from .config import ModelConfig
from .loaded import LoadedModel
from .pace import Pace
from .public_sizes import public_sizes
from .random_weights import random_bank_apart, random_networks_apart

__all__ = ["RANDOM_PUBLIC", "build_random", "public_config"]

RANDOM_PUBLIC = "random:indextts2"

_FORMAT = "2"
_PHONE_S = 0.1
"""English speech has about ten phones to a second."""


def public_config() -> ModelConfig:
    """The public sizes (spec 0.1 to 7), but for the tokenizer."""
    released = public_sizes("full").parsed()
    return replace(
        released,
        # Speech never decodes codes: the decoder would only take memory.
        codec=replace(released.codec, has_decoder=False),
        speech=replace(released.speech, name=RANDOM_PUBLIC, tokenizer="arpabet", languages=("en",)),
    )


def build_random(config: ModelConfig, seed: int = 0) -> LoadedModel:
    """A model of these sizes with random weights and a random emotion bank. The same seed gives the same model.

    CheckpointError for a tokenizer other than arpabet: its pieces would be a file.
    """
    speech = config.speech
    if speech.tokenizer != "arpabet":
        raise CheckpointError(f"a random model reads with the arpabet tokenizer, not with {speech.tokenizer!r}")
    networks, bank = random_networks_apart(config, seed), random_bank_apart(config, seed)
    codes_per_phone = _PHONE_S * speech.token_rate_hz
    return LoadedModel(
        name=speech.name,
        fingerprint=_fingerprint(config, seed),
        config=config,
        text=TextFrontend.english(speech.max_segment_pieces, max_chars=speech.max_text_chars),
        pace=Pace((codes_per_phone,) * len(VOCABULARY), 0.0, codes_per_phone),
        encoder=networks.encoder,
        codec=networks.codec,
        style=networks.style,
        t2s=networks.t2s,
        s2mel=networks.s2mel,
        vocoder=networks.vocoder,
        emotion_bank=EmotionBank(bank["feat1"], bank["feat2"], speech.emotion_counts),
        emotion_words=None,
    )


def _fingerprint(config: ModelConfig, seed: int) -> str:
    """Weights follow from the sizes, the seed, and how they are drawn (`_FORMAT`)."""
    return hashlib.sha256(f"random:{_FORMAT}:{seed}:{astuple(config)!r}".encode()).hexdigest()[:16]
