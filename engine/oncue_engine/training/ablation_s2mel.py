"""Table 4, the S2M part: each variant renders the teacher's codes of held-out sentences, given its own inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from oncue_engine.model.bigvgan import BigVGAN
from oncue_engine.model.codec import SemanticCodec
from oncue_engine.model.s2mel import S2Mel, S2MelConfig
from oncue_engine.training.intelligibility import Listener
from oncue_engine.training.loop import LoopConfig, trained_weights
from oncue_engine.training.s2mel import (
    GUIDANCE,
    SOLVER_STEPS,
    MelItem,
    S2MelTraining,
    batch_tensors,
    render,
    s2mel_modules,
    train_s2mel,
    whole_item,
)

__all__ = ["S2MEL_VARIANTS", "RenderedSentence", "S2MelBench", "cepstral_distance_db", "choose_sentences"]

S2MEL_VARIANTS: dict[str, S2MelTraining] = {
    "base": S2MelTraining(),
    "without_latents": S2MelTraining(latent_share=0.0),
    "regression": S2MelTraining(objective="regression"),
    "bert": S2MelTraining(latent_share=0.0),  # its text_width comes with the BERT
}
_CEPSTRA = 13
_SHORTEST_CODES = 16


@dataclass(frozen=True, slots=True, eq=False)
class RenderedSentence:
    """A held-out utterance to render, and another one of its speaker to begin from."""

    prompt: MelItem
    target: MelItem
    sentence: str


def cepstral_distance_db(made: npt.NDArray[np.float32], true: npt.NDArray[np.float32]) -> float:
    """Mel-cepstral distance of log mels [F, 80], mean over frames, coefficients 1 to 12 (the level left out)."""
    bands = made.shape[1]
    n, k = np.arange(bands) + 0.5, np.arange(1, _CEPSTRA)
    cosines = np.sqrt(2.0 / bands) * np.cos(np.pi * np.outer(n, k) / bands)  # [80, 12]
    gaps = (made - true) @ cosines
    return float(np.mean(10.0 / np.log(10.0) * np.sqrt(2.0 * np.sum(gaps**2, axis=1))))


def _spoken(vocoder: BigVGAN, mel: Tensor) -> npt.NDArray[np.float32]:
    """mel [80, F] -> samples."""
    with torch.inference_mode():
        return vocoder(mel[None])[0, 0].numpy()


def choose_sentences(
    held_out: Sequence[tuple[MelItem, str]],
    prompts: Sequence[MelItem],
    vocoder: BigVGAN,
    listener: Listener,
    count: int,
    prompt_codes: int,
) -> tuple[list[RenderedSentence], float]:
    """Of the first 3 `count` held-out utterances the `count` whose words are clearest in the vocoded true mel.

    A recogniser that misses the teacher's words cannot tell variants apart. All variants get the same utterances.
    Returns them and their word error rate. Raises ValueError when not one has a prompt of its speaker.
    """
    heard: list[tuple[float, int, int, RenderedSentence]] = []
    for item, sentence in held_out:
        own = [clip for clip in prompts if clip.speaker == item.speaker and len(clip.codes) >= prompt_codes]
        if not own or len(item.codes) < _SHORTEST_CODES or len(heard) == 3 * count:
            continue
        wave = _spoken(vocoder, torch.from_numpy(item.mel.astype(np.float32)).T)
        missed, words = listener.errors(wave, sentence)
        if words:
            heard.append((missed / words, missed, words, RenderedSentence(own[len(heard) % len(own)], item, sentence)))
    if not heard:
        raise ValueError("no held-out utterance has a prompt of its speaker")
    clearest = sorted(heard, key=lambda one: one[0])[:count]
    return [one[3] for one in clearest], sum(one[1] for one in clearest) / sum(one[2] for one in clearest)


@dataclass(frozen=True, slots=True, eq=False)
class S2MelBench:
    """What all variants share."""

    train: Sequence[MelItem]
    held_out: Sequence[MelItem]
    codec: SemanticCodec
    vocoder: BigVGAN
    config: S2MelConfig
    loop: LoopConfig
    sentences: Sequence[RenderedSentence]
    prompt_codes: int

    def run(self, settings: S2MelTraining, folder: Path, seed: int) -> dict[str, float]:
        """Train a variant in `folder` (or go on with it), and measure it."""
        torch.manual_seed(seed)
        train_s2mel(self.train, self.held_out, self.codec, folder, self.loop, self.config, settings)
        modules = s2mel_modules(self.config, settings)
        modules.load_state_dict(trained_weights(folder))
        return self.measure(modules.eval().requires_grad_(False), settings)

    def measure(self, modules: nn.ModuleDict, settings: S2MelTraining) -> dict[str, float]:
        """Mel distances, word error rate, and `mel_detail`: how much bands move in time, over how much they should.

        Below 1 the mel is smoother than speech.
        """
        torch.manual_seed(0)  # every variant starts from the same noise
        listener = Listener()
        share = 1.0 if settings.latent_share > 0 else 0.0
        model = modules["s2mel"]
        assert isinstance(model, S2Mel)
        distances, cepstral, detail = [], [], []
        wrong = words = 0
        for one in self.sentences:
            data = batch_tensors(modules, self.codec, whole_item(one.prompt, self.prompt_codes, one.target), share)
            begin = int(data["begins"][0])
            mel = render(model, data, settings, SOLVER_STEPS, GUIDANCE)[0, :, begin:].float()  # [80, F]
            made, true = mel.T.numpy(), data["mel"][0, :, begin:].T.numpy()
            distances.append(float(np.abs(made - true).mean()))
            cepstral.append(cepstral_distance_db(made, true))
            detail.append(float(np.abs(np.diff(made, axis=0)).mean() / np.abs(np.diff(true, axis=0)).mean()))
            missed, spoken = listener.errors(_spoken(self.vocoder, mel), one.sentence)
            wrong, words = wrong + missed, words + spoken
        return {
            "mel_l1": float(np.mean(distances)),
            "mel_cepstral_distance_db": float(np.mean(cepstral)),
            "mel_detail": float(np.mean(detail)),
            "wer": wrong / words,
        }
