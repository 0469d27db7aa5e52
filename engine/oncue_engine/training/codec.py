"""Stage 2: the semantic codec, one codebook over the encoder's features.

Beside reconstruction, the decoded features must still tell the phones and the pitch through the encoder's frozen heads:
a code that cannot be told apart by ear is of no use, however small its distance.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from oncue_engine.model.codec import CodecConfig, SemanticCodec
from oncue_engine.training.batches import endless_batches
from oncue_engine.training.encoder import encode, side_accuracy, side_targets
from oncue_engine.training.features import FeatureItem
from oncue_engine.training.loop import LoopConfig, train
from oncue_engine.training.processes import agree

__all__ = ["Statistics", "train_codec"]

_WARM_STEPS = 150
"""Steps without quantisation; then the codebook starts from what the projection gives."""
_REVIVE_EVERY = 50


@dataclass(frozen=True, slots=True, eq=False)
class Statistics:
    mean: Tensor
    var: Tensor

    def normalise(self, x: Tensor) -> Tensor:
        """(x - mean) / sqrt(var), as prompts are normalised (spec 0)."""
        return (x - self.mean.to(x.device)) / self.var.to(x.device).sqrt()

    def restore(self, x: Tensor) -> Tensor:
        return x * self.var.to(x.device).sqrt() + self.mean.to(x.device)


class _Codebook(nn.Module):
    """How often each code was used lately, so that unused ones can start again."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("usage", torch.ones(size))
        self.usage: Tensor

    @torch.no_grad()
    def observe(self, codes: Tensor) -> None:
        counts = torch.bincount(codes.flatten(), minlength=len(self.usage)).float()
        self.usage.mul_(0.98).add_(counts * 0.02)

    @torch.no_grad()
    def revive(self, codec: SemanticCodec, candidates: Tensor, everything: bool) -> None:
        """Put codes that are hardly used onto random points of `candidates` [n, d]."""
        dead = torch.ones_like(self.usage, dtype=torch.bool) if everything else self.usage < 0.02
        count = int(dead.sum())
        picks = candidates[torch.randint(0, len(candidates), (count,))]
        codec.codebook.data[dead] = picks + 0.01 * torch.randn_like(picks)
        self.usage[dead] = 1.0
        agree(codec.codebook.data)


def train_codec(
    encoder_modules: nn.ModuleDict,
    statistics: Statistics,
    items: Sequence[FeatureItem],
    held_out: Sequence[FeatureItem],
    folder: Path,
    loop: LoopConfig,
    config: CodecConfig,
) -> nn.ModuleDict:
    """Train the codec on a frozen encoder. Validation prints phone accuracy through the codes, and code perplexity."""
    encoder, heads = encoder_modules["encoder"], encoder_modules["heads"]
    encoder_modules.requires_grad_(False)
    modules = nn.ModuleDict({"codec": SemanticCodec(config), "codebook": _Codebook(config.codebook_size)})
    codec: SemanticCodec = modules["codec"]  # type: ignore[assignment]
    codebook: _Codebook = modules["codebook"]  # type: ignore[assignment]

    def batches(first_step: int) -> Iterator[list[FeatureItem]]:
        return endless_batches(items, lambda i: len(i.speech), 4000, seed=2, first_step=first_step)

    def losses(batch: list[FeatureItem], step: int) -> dict[str, Tensor]:
        with torch.no_grad():
            hidden, mask = encode(encoder, batch)
            x = statistics.normalise(hidden.float())
        lengths = mask.sum(1)
        z = codec.project(codec.encode(x, lengths)).float()
        if step < _WARM_STEPS:
            quantised, commit, book = z, z.new_zeros(()), z.new_zeros(())
        else:
            if step == _WARM_STEPS or step % _REVIVE_EVERY == 0:
                codebook.revive(codec, z[mask].detach(), everything=step == _WARM_STEPS)
            codes = codec.nearest(z.detach())
            rows = functional.embedding(codes, codec.codebook)
            codebook.observe(codes[mask])
            commit = functional.mse_loss(z[mask], rows[mask].detach())
            book = functional.mse_loss(rows[mask], z[mask].detach())
            quantised = z + (rows - z).detach()
        decoded = codec.decode(codec.expand(quantised), lengths).float()
        told = heads.losses(statistics.restore(decoded), side_targets(batch))
        recon = functional.l1_loss(decoded[mask], x[mask])
        total = recon + told["phone"] + told["pitch"] + 0.3 * told["energy"] + 0.25 * commit + book
        return {"loss": total, "recon": recon, "phone": told["phone"], "pitch": told["pitch"], "commit": commit}

    def validate() -> dict[str, float]:
        counts = torch.zeros(config.codebook_size)

        def through_codes(batch: Sequence[FeatureItem]) -> tuple[Tensor, Tensor]:
            hidden, mask = encode(encoder, batch)
            codes, emb = codec.quantize(statistics.normalise(hidden), mask.sum(1))
            counts.add_(torch.bincount(codes[mask], minlength=config.codebook_size))
            return statistics.restore(codec.decode(emb, mask.sum(1))), mask

        found = side_accuracy(heads, held_out, through_codes)
        p = counts / counts.sum()
        return {**found, "perplexity": float((-(p * (p + 1e-12).log()).sum()).exp())}

    return train("codec", folder, modules, batches, losses, loop, validate, companions=[encoder_modules])
