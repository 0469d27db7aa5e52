"""Keys that public files may have and that speech does without, each with the reason. Any other extra key is an error.

The networks themselves leave aside what belongs to their own structure: the S2M its unused embeddings, position tables
and skip linears, the vocoder its filters, the codec its decoder where it is built without one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = ["why_harmless"]

_KEYS: Mapping[str, Mapping[str, str]] = {
    "t2s": {
        r"gpt\.wte\.weight": "the backbone's name for mel_embedding.weight",
        r"inference_model\..*": "what training wraps round the same parameters to generate",
        r".*\.lora_(A|B|embedding_A|embedding_B)(\..*)?": "adapters, which the released model never runs",
        r"gpt\.h\.\d+\.attn\.(bias|masked_bias)": "the causal mask, which old versions of transformers stored",
    },
    "s2mel": {
        r"cfm\.estimator\.transformer\.(freqs_cis|causal_mask)": "tables that are computed",
    },
    "style": {
        r".*\.num_batches_tracked": "counters of training",
    },
    "encoder": {
        r"masked_spec_embed": "what training puts in place of masked frames",
        r"adapter\..*": "stages after the layer that is used",
        r"(intermediate_ffn|lm_head|projector)\..*": "heads for other tasks",
    },
    "codec": {},
    "vocoder": {},
}
"""By the network's name in layout.WEIGHT_FILES: a pattern for the whole key, and why it may go."""


def why_harmless(block: str, key: str) -> str | None:
    """Why the network called `block` does without `key`; None where it does not."""
    return next((why for pattern, why in _KEYS[block].items() if re.fullmatch(pattern, key)), None)
