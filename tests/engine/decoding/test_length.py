"""Natural lengths, ranges, and lengths that are exact."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oncue_engine.decoding.length import Geometry, allot, length_range
from oncue_engine.errors import InvalidRequest, LengthInfeasible
from oncue_engine.frontend.resample import resampled_samples
from oncue_engine.requests import LengthPolicy, TargetSamples, TargetTokens

_NANO = Geometry(16_000, 256, Fraction(5, 2), 3_200, 300)
_PUBLIC = Geometry(22_050, 256, Fraction(43, 25), 4_410, 1500)


def test_natural_length_counts_whole_frames_and_pauses() -> None:
    # 25 tokens: 43 frames; 10 tokens: trunc(17.2) = 17 frames; one pause between them.
    assert _PUBLIC.natural_samples([25, 10]) == 256 * (43 + 17) + 4_410
    found = length_range([25, 10], _PUBLIC, 44_100)
    assert found.natural_samples == 2 * _PUBLIC.natural_samples([25, 10])
    assert (found.min_samples, found.max_samples) == (found.natural_samples // 2, 2 * found.natural_samples)
    assert (found.min_tokens, found.natural_tokens, found.max_tokens) == (18, 35, 70)
    assert found.min_samples < found.comfortable_min_samples < found.natural_samples < found.comfortable_max_samples


def test_the_models_token_limit_narrows_the_range() -> None:
    found = length_range([250, 50], _NANO, 16_000)
    assert found.max_tokens == 360  # 250 * 1.2 = 300, the most a segment can hold
    assert found.max_samples == int(_NANO.natural_samples([250, 50]) * Fraction(6, 5))


@given(
    natural=st.lists(st.integers(4, 140), min_size=1, max_size=6),
    rate_hz=st.sampled_from([8_000, 16_000, 22_050, 24_000, 44_100, 48_000]),
    geometry=st.sampled_from([_NANO, _PUBLIC]),
    share=st.floats(0.0, 1.0),
)
def test_samples_that_strict_accepts_are_shared_out_exactly(
    natural: list[int], rate_hz: int, geometry: Geometry, share: float
) -> None:
    limits = length_range(natural, geometry, rate_hz)
    asked = limits.min_samples + int(share * (limits.max_samples - limits.min_samples))
    lengths = allot(TargetSamples(asked), LengthPolicy.STRICT, natural, geometry, rate_hz)
    native = sum((part.native_samples or 0) + part.pause_samples for part in lengths)
    assert resampled_samples(native - 1, geometry.native_rate_hz, rate_hz) <= asked
    assert asked <= resampled_samples(native, geometry.native_rate_hz, rate_hz)
    assert lengths[-1].pause_samples == 0
    for part in lengths:
        assert part.tokens is not None and part.native_samples is not None
        assert part.frame_map.total_frames(part.tokens) == -(-part.native_samples // geometry.hop_samples)
        assert 1 <= part.tokens <= geometry.max_segment_tokens


@given(natural=st.lists(st.integers(1, 140), min_size=1, max_size=6), share=st.floats(0.0, 1.0))
def test_tokens_that_strict_accepts_add_up(natural: list[int], share: float) -> None:
    limits = length_range(natural, _NANO, 16_000)
    asked = limits.min_tokens + int(share * (limits.max_tokens - limits.min_tokens))
    lengths = allot(TargetTokens(asked), LengthPolicy.STRICT, natural, _NANO, 16_000)
    assert sum(part.tokens or 0 for part in lengths) == asked
    assert all((part.tokens or 0) >= 1 for part in lengths)


def test_strict_refuses_with_the_range() -> None:
    limits = length_range([40, 40], _NANO, 24_000)
    for target in (TargetSamples(limits.max_samples + 1), TargetSamples(limits.min_samples - 1)):
        with pytest.raises(LengthInfeasible) as caught:
            allot(target, LengthPolicy.STRICT, [40, 40], _NANO, 24_000)
        assert caught.value.reason == "DURATION_INFEASIBLE"
        assert caught.value.field == "length.samples"
        assert caught.value.metadata["min_samples"] == str(limits.min_samples)
        assert caught.value.metadata["max_samples"] == str(limits.max_samples)
        assert allot(target, LengthPolicy.FORCE, [40, 40], _NANO, 24_000)
    with pytest.raises(LengthInfeasible) as caught:
        allot(TargetTokens(161), LengthPolicy.STRICT, [40, 40], _NANO, 24_000)
    assert caught.value.field == "length.tokens"
    assert caught.value.metadata["max_tokens"] == "160"


def test_force_stops_at_what_the_model_can_hold() -> None:
    assert allot(TargetTokens(600), LengthPolicy.FORCE, [40, 40], _NANO, 16_000)
    for target in (TargetTokens(601), TargetTokens(1), TargetSamples(10_000_000)):
        with pytest.raises(LengthInfeasible):
            allot(target, LengthPolicy.FORCE, [40, 40], _NANO, 16_000)


@pytest.mark.parametrize("target", [TargetSamples(0), TargetSamples(-5), TargetTokens(0), TargetTokens(-1)])
@pytest.mark.parametrize("policy", list(LengthPolicy))
def test_a_length_must_be_positive(target: TargetSamples | TargetTokens, policy: LengthPolicy) -> None:
    with pytest.raises(InvalidRequest) as caught:
        allot(target, policy, [40], _NANO, 16_000)
    assert caught.value.reason == "LENGTH_NOT_POSITIVE"
    assert not isinstance(caught.value, LengthInfeasible)


def test_free_segments_are_bounded_on_both_sides() -> None:
    first, last = allot(None, LengthPolicy.STRICT, [30, 200], _NANO, 16_000)
    assert first.tokens is None and first.native_samples is None
    assert (first.min_tokens, first.max_tokens, first.pause_samples) == (10, 106, 3_200)
    assert (last.max_tokens, last.pause_samples) == (300, 0)


@pytest.mark.parametrize("target", [TargetTokens(60), TargetSamples(40_000)])
def test_an_advised_length_is_told_and_not_forced(target: TargetSamples | TargetTokens) -> None:
    exact = allot(target, LengthPolicy.STRICT, [30, 30], _NANO, 16_000)
    advised = allot(target, LengthPolicy.ADVISE, [30, 30], _NANO, 16_000)
    assert [length.advised_tokens for length in advised] == [length.tokens for length in exact]
    for length in advised:
        assert length.tokens is None and length.native_samples is None
        assert length.advised_tokens is not None
        assert length.min_tokens < length.advised_tokens < length.max_tokens
    with pytest.raises(LengthInfeasible):
        allot(TargetTokens(10), LengthPolicy.ADVISE, [30, 30], _NANO, 16_000)
