"""Golden outputs of the spectral front ends and the sinc resampler. Rates stand in the tensors' names."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from oncue_engine.errors import CheckpointError
from oncue_engine.frontend.fbank import fbank, minus_mean
from oncue_engine.frontend.mel import MelConfig, log_mel, mel_filters
from oncue_engine.frontend.resample import sinc_resample
from oncue_engine.frontend.speech_features import speech_features
from oncue_engine.parity.golden_file import GoldenFile

__all__ = ["SETS"]


@torch.no_grad()
def _mel_frontends(golden: GoldenFile) -> dict[str, Tensor]:
    (mel_name,) = [name for name in golden.config if name.startswith("mel")]
    mel_config = MelConfig.from_public(golden.config[mel_name])
    bank, stride = golden.config["fbank"], int(golden.config["w2v_features"]["stride"])
    inputs = {name: _at_least_float32(wav) for name, wav in golden.inputs.items()}
    wav = inputs["wav_16000"][0]
    energies = fbank(wav, int(bank["sample_frequency"]), int(bank["num_mel_bins"]))
    features, mask = speech_features(wav, stride)
    found = {
        "mel_basis": mel_filters(mel_config),
        f"mel_{mel_config.sample_rate_hz}": log_mel(inputs[f"wav_{mel_config.sample_rate_hz}"], mel_config),
        "fbank_kaldi": energies,
        "fbank_kaldi_minus_mean": minus_mean(energies),
        "w2v_input_features": features[None],
        "w2v_attention_mask": mask[None],
    }
    source, source_hz = _resampling_source(golden, inputs)
    for name in golden.outputs:
        if name.startswith("resampled_"):
            found[name] = sinc_resample(source, source_hz, int(name.removeprefix("resampled_")))
    return found


def _at_least_float32(wav: Tensor) -> Tensor:
    """Signals are never halved, whatever the networks run in; a transform of half-precision numbers does not exist."""
    return wav if wav.dtype == torch.float64 else wav.float()


def _resampling_source(golden: GoldenFile, inputs: dict[str, Tensor]) -> tuple[Tensor, int]:
    for name, wav in inputs.items():
        if name.endswith("_src"):
            return wav, int(name.removesuffix("_src").removeprefix("wav_"))
    raise CheckpointError(f"{golden.path}: no source to resample", reason="GOLDEN_INVALID")


SETS: dict[str, Callable[[GoldenFile], dict[str, Tensor]]] = {"mel_frontends": _mel_frontends}
