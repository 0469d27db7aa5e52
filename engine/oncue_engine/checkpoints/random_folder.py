"""A complete public model with random weights, in the layout that the released one is downloaded to (spec 0).

For measurements at full size, and small for tests of all that reads public files. Written one network after the other:
memory holds the largest of them, and no more.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor

from ..model.bigvgan import kaiser_sinc_filter
from .config import ModelConfig
from .layout import PUBLIC_WORDS_FOLDER, RANKS_FILE, SENTENCEPIECE_FILE
from .public_sizes import PublicSize, PublicSizes, public_sizes
from .public_sizes_25 import PublicSizes25, public_sizes_25
from .random_pieces import train_pieces
from .random_qwen import write_random_qwen
from .random_ranks import make_ranks
from .random_weights import random_bank_apart, random_network

__all__ = ["make_random_public", "make_random_public_25", "write_random_public"]

_COMMIT = "0" * 39 + "1"


def make_random_public(folder: Path, size: PublicSize, seed: int = 0) -> Path:
    """Write every file of a public model into `folder`; returns it. The same seed gives the same weights.

    The weights are those that random_public.build_random has in memory for the same sizes and seed.
    """
    return write_random_public(folder, public_sizes(size), seed)


def make_random_public_25(folder: Path, size: PublicSize, seed: int = 0) -> Path:
    """The same for IndexTTS-2.5. Its text is read by a ranks file of our own making."""
    return write_random_public(folder, public_sizes_25(size), seed)


def write_random_public(folder: Path, sizes: PublicSizes | PublicSizes25, seed: int = 0) -> Path:
    """`make_random_public` for any sizes."""
    config = sizes.parsed()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(dict(sizes.config), sort_keys=False), encoding="utf-8")
    if isinstance(sizes, PublicSizes25):
        (folder / RANKS_FILE).write_bytes(make_ranks(sizes.num_ranks))
    else:
        pieces = train_pieces(config.t2s.number_text_tokens, words=sizes.words, characters=sizes.characters)
        (folder / SENTENCEPIECE_FILE).write_bytes(pieces)
    torch.save(random_network(config, "t2s", seed).state_dict(), folder / "gpt.pth")
    _write_s2mel(folder / "s2mel.pth", config, seed)
    _write_encoder(folder, config, seed)
    _write_codec(folder, config, seed)
    style = random_network(config, "style", seed).state_dict()
    torch.save(style, _snapshot(folder, "funasr/campplus") / "campplus_cn_common.bin")
    place = _snapshot(folder, "nvidia/bigvgan_v2_22khz_80band_256x")
    fixed = {"resblock": "1", "activation": "snakebeta"}
    (place / "config.json").write_text(json.dumps({**fixed, **asdict(sizes.vocoder)}), encoding="utf-8")
    torch.save({"generator": _vocoder_state(config, seed)}, place / "bigvgan_generator.pt")
    bank = random_bank_apart(config, seed)
    torch.save(bank["feat1"], folder / "feat1.pt")
    torch.save(bank["feat2"], folder / "feat2.pt")
    write_random_qwen(folder / PUBLIC_WORDS_FOLDER, sizes.language_model, seed)
    return folder


def _snapshot(folder: Path, repository: str) -> Path:
    """The folder of one repository in the model's own hub cache."""
    root = folder / "hf_cache" / f"models--{repository.replace('/', '--')}"
    (root / "refs").mkdir(parents=True)
    (root / "refs" / "main").write_text(_COMMIT, encoding="ascii")
    snapshot = root / "snapshots" / _COMMIT
    snapshot.mkdir(parents=True)
    return snapshot


def _with_norm(state: Mapping[str, Tensor], *ends: str) -> dict[str, Tensor]:
    """Weights whose keys end so as a weight norm's two parts. Folding them gives the very same numbers again."""
    parts: dict[str, Tensor] = {}
    for key, value in state.items():
        if not key.endswith(ends):
            parts[key] = value
            continue
        stem = key.removesuffix("weight")
        axes = tuple(range(1, value.dim()))
        parts[f"{stem}weight_g"] = torch.linalg.vector_norm(value, dim=axes, keepdim=True)
        parts[f"{stem}weight_v"] = 2.0 * value  # its length counts for nothing
    return parts


def _write_codec(folder: Path, config: ModelConfig, seed: int) -> None:
    """A safetensors file of another repository, or `codec.pth` of 2.5, with what an optimizer keeps."""
    codec = _with_norm(random_network(config, "codec", seed).state_dict(), "_project.weight")
    if config.decodes_codes:
        torch.save({"model": codec, "optimizer": _optimizer_state(codec)}, folder / "codec.pth")
        return
    path = _snapshot(folder, "amphion/MaskGCT") / "semantic_codec" / "model.safetensors"
    path.parent.mkdir()
    save_file({key: value.contiguous() for key, value in codec.items()}, path)


def _write_s2mel(path: Path, config: ModelConfig, seed: int) -> None:
    """`net`, with the parts that synthesis never reads, and beside it what an optimizer keeps: twice as much again."""
    network = random_network(config, "s2mel", seed)
    state = network.state_dict()
    dit, generator = config.s2mel.dit, torch.Generator().manual_seed(seed)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    estimator = {
        key.removeprefix("cfm.estimator."): value for key, value in state.items() if key.startswith("cfm.estimator.")
    }
    estimator = _with_norm(estimator, ".conv.conv.weight", "final_layer.linear.weight")
    hidden = dit.hidden_dim
    tables = {name.removeprefix("cfm.estimator."): value for name, value in network.named_buffers()}
    unused = {
        "input_pos": torch.arange(16_384),
        "t_embedder.freqs": tables["t_embedder.freqs"],
        "t_embedder2.freqs": tables["t_embedder2.freqs"],
        "x_embedder.weight_g": drawn(hidden, 1),
        "x_embedder.weight_v": drawn(hidden, dit.in_channels),
        "x_embedder.bias": drawn(hidden),
        "cond_embedder.weight": drawn(2 * dit.content_dim, hidden),
        "content_mask_embedder.weight": drawn(1, hidden),
    }
    for layer in range(dit.depth // 2 + 1):
        stem = f"transformer.layers.{layer}.skip_in_linear"
        unused |= {f"{stem}.weight": drawn(hidden, 2 * hidden), f"{stem}.bias": drawn(hidden)}
    regulator = {
        key.removeprefix("length_regulator."): value
        for key, value in state.items()
        if key.startswith("length_regulator.")
    }
    channels = config.s2mel.length_regulator.channels
    regulator |= {"embedding.weight": drawn(4 * channels, channels), "mask_token": drawn(1, channels)}
    latents = {key.removeprefix("gpt_layer."): value for key, value in state.items() if key.startswith("gpt_layer.")}
    if config.decodes_codes:  # left over in the file, and never run
        latents = {"0.weight": drawn(hidden, config.t2s.model_dim), "0.bias": drawn(hidden)}
    net = {
        "cfm": {f"estimator.{key}": value for key, value in {**estimator, **unused}.items()},
        "length_regulator": regulator,
        "gpt_layer": latents,
    }
    optimizer = {part: _optimizer_state(parameters) for part, parameters in net.items()}
    torch.save({"net": net, "optimizer": optimizer, "scheduler": {}, "iters": 1, "epoch": 0}, path)


def _optimizer_state(parameters: Mapping[str, Tensor]) -> dict[str, Any]:
    """As AdamW keeps it: two moments of every parameter."""
    floating = [value for value in parameters.values() if value.is_floating_point()]
    moments = {
        number: {"step": torch.tensor(1.0), "exp_avg": torch.zeros_like(value), "exp_avg_sq": torch.zeros_like(value)}
        for number, value in enumerate(floating)
    }
    return {"state": moments, "param_groups": [{"lr": 1e-4, "params": list(moments)}]}


def _write_encoder(folder: Path, config: ModelConfig, seed: int) -> None:
    """The used layers as in memory, the ones after them too, and the statistics of the used one's output."""
    used = config.speech.encoder_layer
    state = random_network(config, "encoder", seed).state_dict()
    width = len(state.pop("stats.mean"))
    del state["stats.var"]
    beyond = config.semantic_encoder.num_hidden_layers - used
    if beyond:
        rest = replace(config, speech=replace(config.speech, encoder_layer=beyond))
        for key, value in random_network(rest, "encoder", seed + 1).state_dict().items():
            head, found, tail = key.partition("encoder.layers.")
            if found and not head:
                number, _, name = tail.partition(".")
                state[f"encoder.layers.{used + int(number)}.{name}"] = value
    generator = torch.Generator().manual_seed(seed)
    state["masked_spec_embed"] = torch.rand(width, generator=generator)
    place = _snapshot(folder, "facebook/w2v-bert-2.0")
    save_file({key: value.contiguous() for key, value in state.items()}, place / "model.safetensors")
    fixed = {"model_type": "wav2vec2-bert", "position_embeddings_type": "relative_key", "add_adapter": False}
    (place / "config.json").write_text(json.dumps({**fixed, **asdict(config.semantic_encoder)}), encoding="utf-8")
    statistics = {
        "mean": 0.3 * torch.randn(width, generator=generator),
        "var": torch.exp(torch.randn(width, generator=generator)),
    }
    torch.save(statistics, folder / "wav2vec2bert_stats.pt")


def _vocoder_state(config: ModelConfig, seed: int) -> dict[str, Tensor]:
    """With weight norm, and with the filters that every activation stores."""
    state = _with_norm(random_network(config, "vocoder", seed).state_dict(), "weight")
    taps = kaiser_sinc_filter()[None, None]
    for key in [key for key in state if key.endswith(".act.alpha")]:
        stem = key.removesuffix("act.alpha")
        state |= {f"{stem}upsample.filter": taps.clone(), f"{stem}downsample.lowpass.filter": taps.clone()}
    return state
