"""Makes the evaluation's clips: the ten speakers that no training item uses, read by the recipe's teacher.

Run it from the repository root, with flite installed; the clips it makes are committed. It stands outside the package
`oncue_eval`, which knows nothing of the engine.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import soundfile

from oncue_engine.training.teacher import SAMPLE_RATE_HZ, read_aloud
from oncue_engine.training.virtual_speakers import EMOTION_RULES, EmotionRule, VirtualSpeaker, held_out_speakers
from oncue_eval.material import everyday_sentences
from oncue_eval.prosody import measure_prosody

DATA = Path(__file__).parent.parent / "clients" / "evaluation" / "oncue_eval" / "data"
VOICE_SENTENCE = "We walked along the beach until the sun went down behind the hills."
ACTORS = ("held-00", "held-02", "held-05", "held-07")
ACTED_SENTENCES = (
    "I opened the door and saw that the whole room was full of people.",
    "They told us this morning that the bridge will stay closed all year.",
)
CALM = EMOTION_RULES[0]
PLAIN = VirtualSpeaker("plain", "slt", 1.0, 1.0, 1.0)

Row = dict[str, str]


def main() -> None:
    """Writes data/voices, data/readings, data/emotions and data/plain_seconds.json."""
    speakers = {speaker.name: speaker for speaker in held_out_speakers()}
    names, sentences = sorted(speakers), everyday_sentences()
    write("voices", [clip("voices", name, speakers[name], VOICE_SENTENCE, CALM) for name in names])
    write(
        "readings",
        [
            clip("readings", f"{number:02d}", speakers[names[number % len(names)]], sentence, CALM)
            for number, sentence in enumerate(sentences)
        ],
    )
    write(
        "emotions",
        [
            clip("emotions", f"{rule.name}-{name}-{number}", speakers[name], sentence, rule)
            for rule in EMOTION_RULES
            for name in ACTORS
            for number, sentence in enumerate(ACTED_SENTENCES)
        ],
    )
    seconds = {sentence: round(plain_seconds(sentence), 2) for sentence in (*sentences, *ACTED_SENTENCES)}
    (DATA / "plain_seconds.json").write_text(json.dumps(seconds, indent=1) + "\n", encoding="utf-8")


def clip(folder: str, name: str, speaker: VirtualSpeaker, sentence: str, rule: EmotionRule) -> Row:
    """Writes one clip, 16 kHz mono, beside the ones that are there; its row of clips.json."""
    path = DATA / (folder + ".new") / f"{name}.flac"
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, read_aloud(sentence, speaker, rule).samples, SAMPLE_RATE_HZ, subtype="PCM_16")
    return {"file": path.name, "speaker": speaker.name, "emotion": rule.name, "text": sentence}


def write(folder: str, rows: list[Row]) -> None:
    """The list of a folder's clips; the new folder takes the old one's place."""
    made = DATA / (folder + ".new")
    lines = ",\n".join(json.dumps(row) for row in rows)
    (made / "clips.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    shutil.rmtree(DATA / folder, ignore_errors=True)
    made.rename(DATA / folder)


def plain_seconds(sentence: str) -> float:
    """How long a plain voice speaks, without its silences: what pace is measured against."""
    samples = read_aloud(sentence, PLAIN, CALM).samples.astype(np.float32) / 32768.0
    return measure_prosody(samples, SAMPLE_RATE_HZ).speech_s


if __name__ == "__main__":
    main()
