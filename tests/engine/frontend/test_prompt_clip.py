"""A clip on its way to the encoders: ends without silence where asked for, a sane level, and otherwise untouched."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from oncue_engine.frontend.audio import MIN_SECONDS, Waveform
from oncue_engine.frontend.prompt_clip import LEVEL_RANGE_DBFS, MARGIN_SECONDS, prompt_clip, report
from oncue_engine.requests import ReferenceOptions

RATE_HZ = 16_000
TRIM = ReferenceOptions(trim_silence=True)
LOW, HIGH = LEVEL_RANGE_DBFS


def noise(seconds: float, dbfs: float, seed: int = 0) -> torch.Tensor:
    drawn = torch.randn(round(seconds * RATE_HZ), generator=torch.Generator().manual_seed(seed))
    return drawn / drawn.square().mean().sqrt() * 10 ** (dbfs / 20)


def clip(*parts: torch.Tensor) -> Waveform:
    return Waveform(torch.cat(parts), RATE_HZ)


def level_dbfs(samples: torch.Tensor) -> float:
    return 10 * math.log10(samples.square().mean().item())


@pytest.mark.parametrize("dbfs", [LOW + 0.5, -24.0, HIGH - 0.5])
def test_a_clip_of_a_sane_level_is_the_same_object(dbfs: float) -> None:
    # Steady, so that its peak stays under 1 at the loud end too.
    steady = Waveform(torch.sin(torch.arange(2 * RATE_HZ) * 0.1) * 10 ** ((dbfs + 3.01) / 20), RATE_HZ)
    made = prompt_clip(steady, ReferenceOptions())
    assert made.waveform is steady and made.gain_db == 0.0
    assert report(steady, ReferenceOptions()).applied_gain_db == 0.0


@pytest.mark.parametrize(("dbfs", "becomes"), [(-60.0, LOW), (LOW - 1, LOW), (HIGH + 2, HIGH), (-1.0, HIGH)])
def test_a_level_out_of_range_goes_to_its_nearer_end(dbfs: float, becomes: float) -> None:
    speech = clip(torch.zeros(RATE_HZ), noise(1.0, dbfs).clamp(-1, 1), torch.zeros(2 * RATE_HZ))
    made = prompt_clip(speech, ReferenceOptions())
    # Pauses do not count: the second in the middle is what is measured.
    assert level_dbfs(made.waveform.samples[RATE_HZ : 2 * RATE_HZ]) == pytest.approx(becomes, abs=0.1)
    torch.testing.assert_close(made.waveform.samples, speech.samples * 10 ** (made.gain_db / 20))
    told = report(speech, ReferenceOptions())
    assert told.applied_gain_db == made.gain_db != 0.0
    assert any("louder" in remark or "softer" in remark for remark in told.warnings)
    kept = ReferenceOptions(keep_level=True)
    assert prompt_clip(speech, kept).waveform is speech
    assert report(speech, kept).applied_gain_db == 0.0
    assert any("taken as it is" in remark for remark in report(speech, kept).warnings)


def test_one_loud_crack_does_not_let_the_rest_overshoot() -> None:
    speech = noise(3.0, -50.0)
    speech[20_000] = 0.8
    made = prompt_clip(Waveform(speech, RATE_HZ), ReferenceOptions())
    assert float(made.waveform.samples.abs().max()) == pytest.approx(1.0, abs=1e-6)
    assert made.gain_db == pytest.approx(-20 * math.log10(0.8), abs=1e-6)


def test_silence_is_cut_at_both_ends_and_nowhere_else() -> None:
    hiss = noise(4.0, -80.0, seed=9)
    parts = (hiss[:32_000], noise(1.0, -24.0), hiss[:24_000], noise(0.5, -24.0, seed=1), hiss[:40_000])
    speech = clip(*parts)
    made = prompt_clip(speech, TRIM)
    margin = round(MARGIN_SECONDS * RATE_HZ)
    begin, end = 32_000 - margin, len(speech.samples) - 40_000 + margin
    assert abs(made.trimmed_start_samples - begin) <= 320
    assert abs(len(speech.samples) - made.trimmed_end_samples - end) <= 320
    kept = speech.samples[made.trimmed_start_samples : len(speech.samples) - made.trimmed_end_samples]
    assert torch.equal(made.waveform.samples, kept)
    assert prompt_clip(speech, ReferenceOptions()).waveform is speech
    told = report(speech, TRIM)
    assert told.trimmed_start_s == made.trimmed_start_samples / RATE_HZ
    assert told.trimmed_end_s == made.trimmed_end_samples / RATE_HZ
    assert told.duration_s == speech.seconds  # of the clip as it came


def test_a_click_before_the_first_word_is_no_sound() -> None:
    click = torch.zeros(RATE_HZ)
    click[1_000:1_040] = 0.5
    speech = clip(click, noise(2.0, -24.0))
    assert abs(prompt_clip(speech, TRIM).trimmed_start_samples - 0.9 * RATE_HZ) <= 320


def test_a_soft_word_at_the_end_stays() -> None:
    speech = clip(noise(2.0, -24.0), torch.zeros(4_000), noise(0.2, -58.0), torch.zeros(RATE_HZ))
    assert prompt_clip(speech, TRIM).waveform.seconds >= 2.45
    softer = clip(noise(2.0, -24.0), torch.zeros(4_000), noise(0.2, -70.0), torch.zeros(RATE_HZ))
    assert prompt_clip(softer, TRIM).waveform.seconds == pytest.approx(2.1, abs=0.03)


@settings(max_examples=60, deadline=None)
@given(
    before=st.integers(0, 2 * RATE_HZ),
    sounding=st.integers(1, RATE_HZ),
    after=st.integers(0, 2 * RATE_HZ),
    dbfs=st.floats(-60.0, -3.0),
    rate_hz=st.sampled_from([8_000, 22_050, 96_000]),
)
def test_whatever_comes_in_enough_of_it_goes_on(
    before: int, sounding: int, after: int, dbfs: float, rate_hz: int
) -> None:
    missing = max(0, rate_hz - before - sounding - after)
    sound = noise(sounding / RATE_HZ, dbfs).clamp(-1, 1)
    speech = Waveform(torch.cat((torch.zeros(before + missing), sound, torch.zeros(after))), rate_hz)
    if float(sound.abs().max()) < 1e-3:
        return
    made = prompt_clip(speech, TRIM)
    assert made.waveform.seconds >= MIN_SECONDS
    assert len(made.waveform.samples) + made.trimmed_start_samples + made.trimmed_end_samples == len(speech.samples)
    assert float(made.waveform.samples.abs().max()) <= 1.0 + 1e-6
    # Of the sound itself, nothing but what is too short to be any.
    lost = before + missing - made.trimmed_start_samples
    assert lost >= 0 or sounding < 0.1 * rate_hz


def test_a_constant_offset_is_neither_sound_nor_level() -> None:
    parts = (torch.zeros(RATE_HZ), noise(2.0, -30.0), torch.zeros(RATE_HZ))
    plain, offset = clip(*parts), Waveform(torch.cat(parts) + 0.05, RATE_HZ)
    for options in (TRIM, ReferenceOptions()):
        one, other = prompt_clip(plain, options), prompt_clip(offset, options)
        assert (one.trimmed_start_samples, one.trimmed_end_samples) == (
            other.trimmed_start_samples,
            other.trimmed_end_samples,
        )
        assert one.gain_db == other.gain_db == 0.0
    assert report(offset, TRIM).silent_share == report(plain, TRIM).silent_share == pytest.approx(0.5, abs=0.02)
