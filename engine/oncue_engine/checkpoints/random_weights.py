"""Networks with random weights for any sizes, scaled so that speech made with them is lively and finite.

Networks are drawn as fresh modules are, and what makes fresh modules trivial is undone. Inside `TiledNoise` all draws
become pieces of one block of noise: a model of gigabytes is there in seconds.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from ..model.bigvgan import BigVGAN
from ..model.campplus import CampPlus
from ..model.codec import SemanticCodec
from ..model.s2mel import S2Mel
from ..model.t2s import T2S
from .config import ModelConfig
from .networks import Networks
from .semantic_encoder import SemanticEncoder

__all__ = [
    "TiledNoise",
    "random_bank",
    "random_bank_apart",
    "random_network",
    "random_networks",
    "random_networks_apart",
]


_BLOCK_LENGTH = 2**20 + 7
"""A prime: rows of no matrix begin at the same place of the block again."""


class TiledNoise(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While it is entered, what PyTorch would draw is copied from one block of normal noise, from random offsets.

    Normal draws keep their mean and deviation; uniform ones become normal ones of the same mean and deviation. Only
    the block and the offsets are drawn: that is some twenty times faster, and the same seed gives the same weights.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._generator = torch.Generator().manual_seed(seed)
        block = torch.randn(_BLOCK_LENGTH, generator=self._generator)
        self._twice = torch.cat((block, block))  # any offset leaves a whole block

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        named = dict(kwargs or {})
        if func is torch.ops.aten.normal_.default:
            mean, std = _two(args, named, "mean", "std")
            return self._fill(args[0], mean, std)
        if func is torch.ops.aten.uniform_.default:
            low, high = _two(args, named, "from", "to")
            return self._fill(args[0], (low + high) / 2, (high - low) / math.sqrt(12.0))
        if func is torch.ops.aten.randn.default:
            return self._fill(torch.empty(*args, **named), 0.0, 1.0)
        return func(*args, **named)

    def _fill(self, tensor: Tensor, mean: float, std: float) -> Tensor:
        offset = int(torch.randint(_BLOCK_LENGTH, (), generator=self._generator))
        flat = tensor.view(-1) if tensor.is_contiguous() else torch.empty(tensor.numel())
        for part in torch.split(flat, _BLOCK_LENGTH):
            torch.mul(self._twice[offset : offset + len(part)], std, out=part)
            if mean != 0.0:
                part.add_(mean)
        return tensor if tensor.is_contiguous() else tensor.copy_(flat.view(tensor.shape))


def _two(args: tuple[Any, ...], named: Mapping[str, Any], first: str, second: str) -> tuple[float, float]:
    """The two numbers of a draw, by place or by name; PyTorch's defaults are 0 and 1 for both kinds."""
    return (
        float(args[1] if len(args) > 1 else named.get(first, 0.0)),
        float(args[2] if len(args) > 2 else named.get(second, 1.0)),
    )


def random_networks(config: ModelConfig) -> Networks:
    """All networks of a model, drawn one after the other from PyTorch's global generator (or `TiledNoise`)."""
    built = {name: build(config) for name, build in _BUILDERS.items()}
    for network in built.values():
        _enliven(network)
    return Networks(**built)


def random_network(config: ModelConfig, name: str, seed: int) -> nn.Module:
    """One network, by its name in layout.WEIGHT_FILES, in tiled noise of its own: whatever else is drawn."""
    drawn_from = _seed_of(name, seed)
    with torch.random.fork_rng(devices=[]), TiledNoise(drawn_from):
        torch.manual_seed(drawn_from)
        network: nn.Module = _BUILDERS[name](config)
        _enliven(network)
    network.eval()
    return network.requires_grad_(False)


def random_networks_apart(config: ModelConfig, seed: int) -> Networks:
    """What `random_network` gives, for every network of a model."""
    apart: dict[str, Any] = {name: random_network(config, name, seed) for name in _BUILDERS}
    return Networks(**apart)


def random_bank_apart(config: ModelConfig, seed: int) -> dict[str, Tensor]:
    """`random_bank` in tiled noise of its own."""
    with TiledNoise(_seed_of("bank", seed)):
        return random_bank(config)


def _seed_of(name: str, seed: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{name}:{seed}".encode()).digest()[:7])


def _encoder(config: ModelConfig) -> SemanticEncoder:
    speech = config.speech
    return SemanticEncoder(config.semantic_encoder, speech.encoder_layer, speech.feature_stride)


_BUILDERS: Mapping[str, Callable[[ModelConfig], Any]] = {
    "encoder": _encoder,
    "codec": lambda config: SemanticCodec(config.codec),
    "t2s": lambda config: T2S(config.t2s),
    "s2mel": lambda config: S2Mel(config.s2mel),
    "style": lambda config: CampPlus(config.style_encoder),
    "vocoder": lambda config: BigVGAN(config.vocoder),
}


def random_bank(config: ModelConfig) -> dict[str, Tensor]:
    """feat1 [R,S] and feat2 [R,M]: rows whose categories are far apart, so that each weight is heard."""
    rows = sum(config.speech.emotion_counts)
    styles = torch.randn(rows, config.style_encoder.embedding_size)
    return {"feat1": styles, "feat2": 3.0 * torch.randn(rows, config.t2s.model_dim)}


@torch.no_grad()
def _enliven(network: nn.Module) -> None:
    """Undo what makes a fresh network trivial."""
    if isinstance(network, T2S):
        _enliven_t2s(network)
    elif isinstance(network, S2Mel):
        _enliven_s2mel(network)
    elif isinstance(network, BigVGAN):
        network.conv_post.weight.mul_(4.0)  # fresh, it is nearly silent


def _enliven_t2s(t2s: T2S) -> None:
    """An end that comes, and prompt, text and emotion that are heard in what is drawn."""
    config = t2s.config
    # The more codes there are, the better is the best of them: the end has to keep up.
    t2s.mel_head.bias[config.stop_mel_token] += 0.3 + 0.2 * math.log(config.start_mel_token / 64)
    # Fresh attention hardly attends. Sums grow with the root of the width.
    gain = 6.0 * math.sqrt(64 / config.model_dim)
    for parameter in t2s.gpt.h.parameters():
        if parameter.dim() == 2:
            parameter.mul_(gain)
    t2s.emo_layer.weight.mul_(6.0)
    t2s.text_embedding.weight.mul_(20.0)
    if config.languages:
        t2s.lang_embedding.weight.mul_(20.0)
    t2s.mel_embedding.weight.mul_(20.0)


def _enliven_s2mel(s2mel: S2Mel) -> None:
    """A flow that goes somewhere: zero-initialised outputs would leave the noise as it is."""
    s2mel.length_regulator.content_in_proj.weight.mul_(4.0)
    for parameter in s2mel.estimator.parameters():
        if not bool(parameter.any()):
            parameter.normal_(std=0.05)
