"""`text.json`: how many semantic tokens each text piece takes at the model's natural pace.

{"codes_per_piece": [mean codes of piece id 0, 1, 2, ...], "codes_per_segment": what silence at both ends adds}
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import CheckpointError

__all__ = ["Pace", "read_pace"]

_DEFAULT_PIECE_S = 0.25
"""A subword piece or a Chinese syllable takes about a quarter of a second."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Mean semantic tokens per text piece, measured on the model's own training speech.

    A piece without a figure takes `default_codes`.
    """

    codes_per_piece: tuple[float, ...]
    codes_per_segment: float
    default_codes: float

    def natural_tokens(self, piece_ids: Sequence[int]) -> int:
        """Tokens that these pieces take at the natural pace, at least 1."""
        table = self.codes_per_piece
        total = sum(table[i] if i < len(table) else self.default_codes for i in piece_ids)
        return max(1, round(total + self.codes_per_segment))


def read_pace(path: Path, token_rate_hz: float) -> Pace:
    """Read text.json; without the file, a quarter of a second per piece. CheckpointError for a file that is wrong."""
    default = _DEFAULT_PIECE_S * token_rate_hz
    if not path.exists():
        return Pace((), 0.0, default)
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        pace = Pace(tuple(float(x) for x in raw["codes_per_piece"]), float(raw.get("codes_per_segment", 0.0)), default)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}: {error!r}") from error
    if not all(math.isfinite(x) and x >= 0.0 for x in (*pace.codes_per_piece, pace.codes_per_segment)):
        raise CheckpointError(f"{path}: mean codes must be finite and not negative")
    return pace
