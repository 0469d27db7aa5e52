"""The last stage: from the stages' states to a model folder that the engine loads.

Weights are float16 on disk, one file per block. Training-only parts (side heads, the codec's decoder, the text head's
gradients) stay behind.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from safetensors.torch import save_file
from torch import Tensor

from oncue_engine.checkpoints.layout import PACE_FILE, WEIGHT_FILES
from oncue_engine.frontend.phones import VOCABULARY
from oncue_engine.tensor_file import as_float16
from oncue_engine.training.codec import Statistics
from oncue_engine.training.teacher import SAMPLE_RATE_HZ, read_aloud
from oncue_engine.training.tokens import TokenItem
from oncue_engine.training.virtual_speakers import EMOTION_RULES, VirtualSpeaker

__all__ = ["BUILT_IN_VOICES", "BuiltInVoice", "natural_pace", "write_model", "write_voices"]


@dataclass(frozen=True, slots=True)
class BuiltInVoice:
    id: str
    display_name: str
    speaker: VirtualSpeaker
    sentence: str


BUILT_IN_VOICES = (
    BuiltInVoice(
        "robin", "Robin", VirtualSpeaker("base-rms", "rms", 1.0, 1.0, 1.0),
        "The evening train was late, so we sat by the window and watched the rain.",
    ),
    BuiltInVoice(
        "clara", "Clara", VirtualSpeaker("base-slt", "slt", 1.0, 1.0, 1.0),
        "I kept a small notebook with me, and wrote down everything that seemed strange.",
    ),
    BuiltInVoice(
        "angus", "Angus", VirtualSpeaker("base-awb", "awb", 1.0, 1.0, 1.0),
        "There is a narrow path behind the house that leads all the way to the sea.",
    ),
    BuiltInVoice(
        "june", "June", VirtualSpeaker("built-in-june", "slt", 1.1, 1.05, 1.0),
        "My sister grows tomatoes on the balcony, and they are better than any from a shop.",
    ),
)  # fmt: skip


def natural_pace(items: Sequence[TokenItem]) -> dict[str, object]:
    """Mean codes of each text piece over calm items, and what the silence before the first phone adds."""
    codes = np.zeros(len(VOCABULARY))
    uses = np.zeros(len(VOCABULARY))
    leading = []
    for item in items:
        if item.emotion != 0:
            continue
        counts = np.bincount(item.spoken[item.spoken >= 0], minlength=len(item.text))
        np.add.at(codes, list(item.text), counts[: len(item.text)])
        np.add.at(uses, list(item.text), 1)
        leading.append(int((item.spoken < 0).sum()))
    mean = codes.sum() / max(1.0, uses.sum())
    per_piece = np.where(uses > 0, codes / np.maximum(uses, 1), mean)
    return {"codes_per_piece": [round(float(x), 3) for x in per_piece], "codes_per_segment": float(np.mean(leading))}


def write_model(
    folder: Path,
    config: Path,
    statistics: Statistics,
    states: Mapping[str, Mapping[str, Tensor]],
    pace: Mapping[str, object],
) -> None:
    """Write config, weights and pace. `states` by the names of WEIGHT_FILES; the codec may still hold its decoder."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(config, folder / "config.yaml")
    for name, file in WEIGHT_FILES.items():
        state = dict(states[name])
        if name == "encoder":
            state["stats.mean"], state["stats.var"] = statistics.mean, statistics.var
        if name == "codec":
            state = {key: value for key, value in state.items() if not key.startswith("decoder.")}
        save_file(as_float16(state), folder / file)
        (folder / file).chmod(0o644)
    (folder / PACE_FILE).write_text(json.dumps(pace), encoding="utf-8")


def write_voices(folder: Path, voices: Sequence[BuiltInVoice]) -> None:
    """Reference clips of the built-in voices and their index, `voices.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    for voice in voices:
        reading = read_aloud(voice.sentence, voice.speaker, EMOTION_RULES[0])
        soundfile.write(folder / f"{voice.id}.wav", reading.samples, SAMPLE_RATE_HZ)
    index = {"voices": [{"id": v.id, "file": f"{v.id}.wav", "display_name": v.display_name} for v in voices]}
    (folder / "voices.json").write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
