"""A length told in a speed row (spec 3.7): other tokens where one was asked, the same where none was, always exact."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from oncue_engine.engine import Engine
from oncue_engine.errors import InvalidRequest
from oncue_engine.options import EngineOptions
from oncue_engine.requests import LengthPolicy, TargetSamples, TargetTokens

from .conftest import Speaker, reference

TEXT = "Please close the window before you leave."


@pytest.fixture(scope="module")
def speakers(speed_rows_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Speaker, Speaker]]:
    """(without the experiment, with it), the same model and voice."""
    data, voice = tmp_path_factory.mktemp("data"), reference(speed_rows_model_dir / "voices" / "low.wav")
    engines = [
        Engine.load(speed_rows_model_dir, data, EngineOptions(threads=1, duration_row_experiment=on))
        for on in (False, True)
    ]
    yield Speaker(engines[0], voice), Speaker(engines[1], voice)
    for engine in engines:
        engine.close()


def test_free_speech_is_the_same(speakers: tuple[Speaker, Speaker]) -> None:
    plain, trial = (speaker.say(TEXT, seed=3) for speaker in speakers)
    np.testing.assert_array_equal(plain.samples, trial.samples)


@pytest.mark.parametrize("length", [TargetTokens(40), TargetTokens(90), TargetSamples(31_415)], ids=str)
def test_a_length_is_heard_and_is_exact(
    speakers: tuple[Speaker, Speaker], length: TargetTokens | TargetSamples
) -> None:
    plain, trial = (speaker.say(TEXT, seed=3, length=length) for speaker in speakers)
    for said in (plain, trial):
        if isinstance(length, TargetTokens):
            assert said.finished().total_codes == length.tokens
        else:
            assert said.finished().total_samples == len(said.samples) == length.samples
    assert not np.array_equal(plain.samples, trial.samples)


def test_a_length_at_another_rate_and_over_segments_is_exact(speakers: tuple[Speaker, Speaker]) -> None:
    length = TargetSamples(220_001)
    said = speakers[1].say(f"{TEXT} {TEXT}", seed=1, length=length, sample_rate_hz=44_100)
    assert said.finished().total_samples == len(said.samples) == length.samples


def test_advice_is_told_too(speakers: tuple[Speaker, Speaker]) -> None:
    plain, trial = (
        speaker.say(TEXT, seed=5, length=TargetTokens(60), length_policy=LengthPolicy.ADVISE) for speaker in speakers
    )
    assert not np.array_equal(plain.samples, trial.samples)


def test_beyond_the_table_the_last_row_is_told(speakers: tuple[Speaker, Speaker]) -> None:
    """The model's tables are longer than its segments; what is asked of a segment never leaves them."""
    length = TargetTokens(300)
    said = speakers[1].say(TEXT, seed=1, length=length, length_policy=LengthPolicy.FORCE)
    assert said.finished().total_codes == 300


def test_the_control_in_use_is_said(speakers: tuple[Speaker, Speaker]) -> None:
    for speaker, control in zip(speakers, ("constructed", "experiment"), strict=True):
        assert speaker.engine.info.duration_control == control
        assert speaker.engine.plan(speaker.request(TEXT)).duration_control == control


def test_a_model_that_was_trained_for_lengths_has_nothing_to_try(nano_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest) as caught:
        Engine.load(nano_folder, tmp_path, EngineOptions(duration_row_experiment=True))
    assert (caught.value.reason, caught.value.field) == ("OPTION_INVALID", "duration_row_experiment")
    assert "trained" in str(caught.value)


def test_pipelines_to_compare_with_do_not_pretend(speed_rows_model_dir: Path, tmp_path: Path) -> None:
    options = EngineOptions(duration_row_experiment=True, pipeline="naive")
    with pytest.raises(InvalidRequest, match="naive") as caught:
        Engine.load(speed_rows_model_dir, tmp_path, options)
    assert caught.value.reason == "OPTION_INVALID"
