"""From tokens to mel: the networks that stand around and in the flow.

tokens -> TokenEncoder -> projection                  condition of each frame
style of the speaker -> unit length -> projection     condition of all frames
[noisy mel | prompt mel | condition | style] -> DiT   velocity of the mel
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from oncue_engine.model.cosyvoice2.token_encoder import TokenEncoder, TokenEncoderConfig
from oncue_engine.model.dit import DiT, DiTConfig

__all__ = ["TokenFlow"]


class TokenFlow(nn.Module):
    """Condition and style are as wide as the estimator's config says."""

    def __init__(self, codes: int, style_dim: int, encoder: TokenEncoderConfig, estimator: DiTConfig) -> None:
        """`codes`: speech tokens there are; `style_dim`: width of the style encoder's vector."""
        super().__init__()
        self.encoder = TokenEncoder(codes, encoder)
        self.encoder_proj = nn.Linear(encoder.width, estimator.content_dim)
        self.style_proj = nn.Linear(style_dim, estimator.style_dim)
        self.estimator = DiT(estimator)

    def condition(self, rows: Tensor) -> Tensor:
        """Encoder rows [F,D] -> the flow's condition [F,C], each row for itself."""
        out: Tensor = self.encoder_proj(rows)
        return out

    def style(self, embedding: Tensor) -> Tensor:
        """Style encoder's vector [E] -> style [S]."""
        out: Tensor = self.style_proj(F.normalize(embedding, dim=0))
        return out
