"""The fixed sentences and clips are what data/README.md says."""

from __future__ import annotations

import re

from oncue_engine.training import sentences as training
from oncue_eval.material import RATE_HZ, emotion_clips, everyday_sentences, speaker_clips
from oncue_eval.words import normal_words


def test_thirty_plain_sentences() -> None:
    sentences = everyday_sentences()
    assert len(sentences) == len(set(sentences)) == 30
    for sentence in sentences:
        assert re.fullmatch(r"[A-Z][A-Za-z', ]+[.?]", sentence), sentence
        assert 7 <= len(normal_words(sentence)) <= 12, sentence
    assert everyday_sentences(3) == sentences[:3]


def test_no_sentence_can_come_out_of_the_training_templates() -> None:
    fillings = {
        "name": training._NAMES,
        "verb": training._VERBS,
        "thing": training._THINGS,
        "place": training._PLACES,
        "time": training._TIMES,
        "number": training._NUMBERS,
        "adj": training._ADJECTIVES,
    }
    patterns = []
    for template in training._TEMPLATES:
        pattern = re.escape(template)
        for slot, words in fillings.items():
            pattern = re.sub(rf"\\{{{slot}2?\\}}", f"(?:{'|'.join(words)})", pattern)
        assert "{" not in pattern, template
        patterns.append(re.compile(pattern, re.IGNORECASE))
    assert any(pattern.fullmatch("The train to Paris leaves tonight.") for pattern in patterns)
    found = [sentence for sentence in everyday_sentences() if any(pattern.fullmatch(sentence) for pattern in patterns)]
    assert found == []


def test_clips_are_short_and_complete() -> None:
    speakers, emotions = speaker_clips(), emotion_clips()
    assert len(speakers) == 5
    assert {tuple(clips) for clips in speakers.values()} == {("a", "b", "c")}
    assert {"calm", "sad", "happy", "angry", "afraid"} <= set(emotions)
    clips = [clip for own in speakers.values() for clip in own.values()] + list(emotions.values())
    for clip in clips:
        assert 2.0 <= len(clip.samples) / RATE_HZ <= 5.0
        assert clip.encoded[:4] == b"fLaC"
