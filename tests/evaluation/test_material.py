"""The fixed sentences and clips are what data/README.md says."""

from __future__ import annotations

import re

from oncue_engine.training import sentences as training
from oncue_engine.training.virtual_speakers import held_out_speakers, training_speakers
from oncue_eval.material import (
    RATE_HZ,
    emotion_clips,
    emotion_words,
    everyday_sentences,
    plain_seconds,
    readings,
    voice_clips,
)
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
    voices, read, acted = voice_clips(), readings(), emotion_clips()
    assert len(voices) == 10
    assert [clip.text for clip in read] == everyday_sentences()
    assert {clip.speaker for clip in read} == {clip.speaker for clip in acted} | set(voices) == set(voices)
    assert len({clip.speaker for clip in acted}) >= 4
    assert {clip.emotion for clip in acted} == set(emotion_words())
    for clip in (*voices.values(), *read, *acted):
        assert 1.2 <= len(clip.samples) / RATE_HZ <= 6.5, clip.text
        assert clip.encoded[:4] == b"fLaC"
    for clip in (*read, *acted):
        assert 0.5 <= plain_seconds(clip.text) <= 5.0


def test_emotions_are_acted_in_other_sentences_than_are_judged() -> None:
    assert not {clip.text for clip in emotion_clips()} & set(everyday_sentences())


def test_the_clips_of_one_speaker_are_told_from_the_training_speakers() -> None:
    assert set(voice_clips()) == {speaker.name for speaker in held_out_speakers()}
    assert not set(voice_clips()) & {speaker.name for speaker in training_speakers()}


def test_all_clips_together_are_small() -> None:
    total = sum(len(clip.encoded) for clip in (*voice_clips().values(), *readings(), *emotion_clips()))
    assert total < 6_000_000
