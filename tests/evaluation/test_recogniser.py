"""The recogniser understands the teacher, and hears nothing in silence."""

from __future__ import annotations

import numpy as np
import pytest

from oncue_eval.material import RATE_HZ, everyday_sentences
from oncue_eval.recogniser import Recogniser
from oncue_eval.teacher import teacher_available, teacher_reads
from oncue_eval.words import normal_words, word_edits


@pytest.fixture(scope="module")
def recogniser() -> Recogniser:
    return Recogniser()


def test_hears_nothing_in_silence(recogniser: Recogniser) -> None:
    assert len(recogniser.hear(np.zeros(RATE_HZ, np.float32))) <= 1
    assert len(recogniser.hear(np.zeros(0, np.float32))) <= 1


@pytest.mark.slow
@pytest.mark.skipif(not teacher_available(), reason="flite is not installed")
def test_understands_the_teacher_at_any_level_whatever_it_heard_before(recogniser: Recogniser) -> None:
    sentence = everyday_sentences(1)[0]
    samples = teacher_reads(sentence, "rms")
    first = recogniser.hear(samples)
    assert word_edits(normal_words(sentence), first) <= 1
    noise = np.random.default_rng(1).normal(scale=0.2, size=RATE_HZ).astype(np.float32)
    recogniser.hear(noise)
    assert recogniser.hear(samples * np.float32(0.1)) == first
