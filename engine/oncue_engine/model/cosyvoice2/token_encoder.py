"""Tokens to the flow's condition at the mel's rate: an encoder that looks a few tokens ahead, then doubles the rate.

    embedding -> look-ahead convolution -> blocks -> every row `rows_per_token` times -> convolution -> blocks -> norm

Only the first convolution looks ahead, and every block sees a bounded stretch: a token's rows are settled once
`look_ahead_tokens` more are there, and depend on `reach_tokens` before it.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from .windowed import WindowedBlock

__all__ = ["TokenEncoder", "TokenEncoderConfig"]

_CAUSAL_KERNEL = 3


@dataclass(frozen=True, slots=True)
class TokenEncoderConfig:
    """`window_tokens`: how far back each block sees. Defaults have CosyVoice2's widths, rates and look-ahead."""

    width: int = 512
    heads: int = 8
    blocks: int = 6
    upsampled_blocks: int = 4
    look_ahead_tokens: int = 3
    window_tokens: int = 25
    rows_per_token: int = 2

    @property
    def reach_tokens(self) -> int:
        """Tokens before a token that its rows depend on."""
        # The convolution after the doubling has 2 * rows_per_token rows before its last: two tokens.
        return (_CAUSAL_KERNEL - 1) + (self.blocks + self.upsampled_blocks) * self.window_tokens + 2


class TokenEncoder(nn.Module):
    """codes [N] int64 -> rows [N * rows_per_token, width]."""

    def __init__(self, codes: int, config: TokenEncoderConfig) -> None:
        super().__init__()
        self.config = config
        width, heads, rate = config.width, config.heads, config.rows_per_token
        self.embedding = nn.Embedding(codes, width)
        self.look_ahead = nn.Conv1d(width, width, config.look_ahead_tokens + 1)
        self.causal = nn.Conv1d(width, width, _CAUSAL_KERNEL)
        self.blocks = nn.ModuleList(WindowedBlock(width, heads, config.window_tokens, 0) for _ in range(config.blocks))
        self.upsampled = nn.Conv1d(width, width, 2 * rate + 1)
        self.upsampled_blocks = nn.ModuleList(
            WindowedBlock(width, heads, rate * config.window_tokens, 0) for _ in range(config.upsampled_blocks)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, codes: Tensor) -> Tensor:
        """Tokens beyond the last one count as zeros: its rows are those of a segment that ends with it."""
        embedded = self.embedding(codes).t()  # [D,N]
        ahead = F.leaky_relu(self.look_ahead(F.pad(embedded, (0, self.config.look_ahead_tokens))))
        x = (embedded + self.causal(F.pad(ahead, (_CAUSAL_KERNEL - 1, 0)))).t()  # [N,D]
        for block in self.blocks:
            x = block(x)
        rate = self.config.rows_per_token
        x = x.repeat_interleave(rate, dim=0).t()  # [D,N * rate]
        x = self.upsampled(F.pad(x, (2 * rate, 0))).t()
        for block in self.upsampled_blocks:
            x = block(x)
        out: Tensor = self.norm(x)
        return out
