"""Makes the evaluation's clips: speakers and an actor that no training item uses, read by the recipe's teacher.

Run it from the repository root, with flite installed; the clips it makes are committed. It stands outside the package
`oncue_eval`, which knows nothing of the engine.
"""

from __future__ import annotations

from pathlib import Path

import soundfile

from oncue_engine.training.teacher import SAMPLE_RATE_HZ, read_aloud
from oncue_engine.training.virtual_speakers import EMOTION_RULES, VirtualSpeaker, held_out_speakers

DATA = Path(__file__).parent.parent / "clients" / "evaluation" / "oncue_eval" / "data"
SPEAKERS = ("held-00", "held-01", "held-02", "held-03", "held-09")
ACTOR = "held-07"
# `a` is what is registered as a voice; the others show whether the judge knows the speaker again in other words.
SENTENCES = {
    "a": "We walked along the beach until the sun went down behind the hills.",
    "b": "Every morning she feeds the birds that gather in front of her house.",
    "c": "Nobody could remember who had painted the picture in the hallway.",
}
ACTED_SENTENCE = "I opened the door and saw that the whole room was full of people."


def main() -> None:
    """Writes data/speakers and data/emotions."""
    speakers = {speaker.name: speaker for speaker in held_out_speakers()}
    calm = next(rule for rule in EMOTION_RULES if rule.name == "calm")
    for name in SPEAKERS:
        for letter, sentence in SENTENCES.items():
            write(DATA / "speakers" / f"{name}-{letter}.flac", speakers[name], sentence, calm.name)
    for rule in EMOTION_RULES:
        write(DATA / "emotions" / f"{rule.name}.flac", speakers[ACTOR], ACTED_SENTENCE, rule.name)


def write(path: Path, speaker: VirtualSpeaker, sentence: str, emotion: str) -> None:
    """One clip, 16 kHz mono."""
    rule = next(rule for rule in EMOTION_RULES if rule.name == emotion)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, read_aloud(sentence, speaker, rule).samples, SAMPLE_RATE_HZ, subtype="PCM_16")


if __name__ == "__main__":
    main()
