"""Which of the two public models a checkpoint is: told by its keys, for the released config of 2.5 says 2.0 (spec 9).

What only the keys say goes into the config, as fields of our own; what the config says otherwise is an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from ..errors import CheckpointError
from ..frontend.multilingual import LANGUAGES
from ..frontend.tiktoken_tokenizer import LANGUAGE_CODES

__all__ = ["Family", "Shapes", "completed_config", "tell_family"]

Family = Literal["indextts2", "indextts2.5"]
Shapes = Mapping[str, tuple[int, ...]]
"""Shape of each tensor of a checkpoint by its key."""

_REASON = "CHECKPOINT_FAMILY"
_STYLE_KEY, _LANGUAGE_KEY, _TEXT_KEY = "spk_emb_proj.weight", "lang_embedding.weight", "text_embedding.weight"
_ONLY_25 = (_STYLE_KEY, "spk_emb_proj.bias", _LANGUAGE_KEY)
_ONLY_2 = ("conditioning_encoder.", "perceiver_encoder.", "speed_emb.")
_HALF_RATE_KEYS = ("down.weight", "down.bias", "up.weight", "up.bias")

_SPEECH_25 = {
    "name": "indextts2.5",
    "token_rate_hz": 25,
    "frames_per_token": "3.44",
    "tokenizer": "tiktoken",
    "languages": list(LANGUAGES),
    # The codec's rows hang on what follows (docs/indextts25.md).
    "chunk_lookahead_s": 0.32,
}
"""What 2.5's code takes for granted (spec 9), as fields of our `oncue` section."""


def tell_family(t2s: Shapes) -> Family:
    """Told by the keys of `gpt.pth`. CheckpointError (CHECKPOINT_FAMILY) for keys of both, of neither, or of a half."""
    newer = [key for key in _ONLY_25 if key in t2s]
    older = sorted({prefix for key in t2s for prefix in _ONLY_2 if key.startswith(prefix)})
    if newer and older:
        raise CheckpointError(
            f"the T2S has keys of IndexTTS-2.5 ({', '.join(newer)}) and of IndexTTS-2 ({', '.join(older)}...)",
            reason=_REASON,
        )
    if newer:
        lacking = [key for key in _ONLY_25 if key not in newer]
        if lacking:
            raise CheckpointError(
                f"the T2S has {', '.join(newer)} of IndexTTS-2.5, but not {', '.join(lacking)}", reason=_REASON
            )
        return "indextts2.5"
    if not older:
        raise CheckpointError(
            f"the T2S is neither IndexTTS-2 ({', '.join(_ONLY_2)}...) nor IndexTTS-2.5 ({', '.join(_ONLY_25)})",
            reason=_REASON,
        )
    return "indextts2"


def completed_config(raw: Mapping[str, Any], t2s: Shapes, codec: Shapes) -> dict[str, Any]:
    """A public config.yaml with the fields of ours (config.py) that the keys of T2S and codec tell.

    CheckpointError (CHECKPOINT_FAMILY) where T2S, codec and config contradict each other. KeyError for a section that
    is missing.
    """
    family = tell_family(t2s)
    halved = [key for key in _HALF_RATE_KEYS if key in codec]
    if family == "indextts2":
        if halved:
            raise CheckpointError(f"the T2S is IndexTTS-2's, but the codec has {', '.join(halved)}", reason=_REASON)
        return dict(raw)
    if len(halved) != len(_HALF_RATE_KEYS):
        lacking = [key for key in _HALF_RATE_KEYS if key not in halved]
        raise CheckpointError(f"the T2S is IndexTTS-2.5's, but the codec lacks {', '.join(lacking)}", reason=_REASON)
    told: dict[str, dict[str, Any]] = {
        "gpt": {
            "speaker": "style",
            "style_width": t2s[_STYLE_KEY][1],
            "conditioning_latents": 1,
            "duration_row": "zero_rows",
            "languages": _languages(t2s[_LANGUAGE_KEY]),
            "number_text_tokens": t2s[_TEXT_KEY][0] - 1 if _TEXT_KEY in t2s else raw["gpt"]["number_text_tokens"],
        },
        "semantic_codec": {"downsample_scale": 2, "has_decoder": True},
        # A gpt_layer that is left over in the file is never run.
        "s2mel": {"gpt_layer_widths": []},
    }
    config = dict(raw)
    for section, fields in told.items():
        given = dict(raw[section])
        for name, value in fields.items():
            if given.get(name) not in (None, value) and name != "gpt_layer_widths":
                raise CheckpointError(
                    f"{section}.{name} is {given[name]!r} in the config; the weights say {value!r}", reason=_REASON
                )
        config[section] = given | fields
    if given := config["gpt"].get("spk_cond_mode"):
        if given != "campplus":
            raise CheckpointError(f"gpt.spk_cond_mode is {given!r}; the weights say 'campplus'", reason=_REASON)
    config["oncue"] = _SPEECH_25 | dict(raw.get("oncue") or {})
    return config


def _languages(shape: tuple[int, ...]) -> int:
    """Rows of the language table; the languages that are spoken must be in it."""
    needed = 1 + max(LANGUAGE_CODES.index(language) for language in LANGUAGES)
    if shape[0] < needed:
        raise CheckpointError(
            f"{_LANGUAGE_KEY} has {shape[0]} rows; {', '.join(LANGUAGES)} need {needed}", reason=_REASON
        )
    return shape[0]
