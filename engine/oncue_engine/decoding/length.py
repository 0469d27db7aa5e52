"""How long speech is: the natural length of a text, the possible range, and a length asked for, made exact.

    pieces -> natural tokens -> mel frames -> native samples -> output samples

Exact lengths are exact by construction: the stop token waits for the last token, the length regulator gets the
frames that the tokens must fill, and the last partial frame is cut (design.md 3, "Duration").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from ..errors import InvalidRequest, LengthInfeasible
from ..requests import LengthPolicy, TargetSamples, TargetTokens
from ..timing.frame_map import FrameMap

__all__ = ["Geometry", "LengthRange", "SegmentLength", "allot", "length_range"]

_SLOWEST, _FASTEST = Fraction(2), Fraction(1, 2)
_COMFORTABLE_SLOW, _COMFORTABLE_FAST = Fraction(5, 4), Fraction(4, 5)


@dataclass(frozen=True, slots=True)
class Geometry:
    """The model's own units: how tokens, mel frames and native samples relate, and what one segment can hold."""

    native_rate_hz: int
    hop_samples: int
    frames_per_token: Fraction
    pause_samples: int
    """Native samples of silence between two segments at the natural pace (spec 2.5)."""
    max_segment_tokens: int

    def token_samples(self, tokens: int) -> int:
        """Native samples of a segment of `tokens`: whole frames, trunc(tokens * frames_per_token) (spec 1)."""
        return int(tokens * self.frames_per_token) * self.hop_samples

    def natural_samples(self, natural_tokens: Sequence[int]) -> int:
        """Native samples of a whole utterance at the natural pace, pauses included."""
        speech = sum(self.token_samples(n) for n in natural_tokens)
        return max(self.hop_samples, speech) + self.pause_samples * (len(natural_tokens) - 1)


@dataclass(frozen=True, slots=True)
class SegmentLength:
    """What one segment has to fill. `tokens` None: free, the model stops by itself between the two bounds."""

    tokens: int | None
    min_tokens: int
    max_tokens: int
    frame_map: FrameMap
    native_samples: int | None
    """Exact native samples to keep of the segment; None keeps every whole frame."""
    pause_samples: int
    """Native samples of silence after it."""
    advised_tokens: int | None = None
    """What a free segment is told: the length row is set, the end is the model's own (paper, table 3)."""


@dataclass(frozen=True, slots=True)
class LengthRange:
    """Natural length and possible range; samples at the output rate."""

    natural_samples: int
    min_samples: int
    max_samples: int
    natural_tokens: int
    min_tokens: int
    max_tokens: int
    comfortable_min_samples: int
    comfortable_max_samples: int

    def metadata(self) -> dict[str, str]:
        """Limits for an error's metadata."""
        names = ("natural_samples", "min_samples", "max_samples", "natural_tokens", "min_tokens", "max_tokens")
        return {name: str(getattr(self, name)) for name in names}


def length_range(natural_tokens: Sequence[int], geometry: Geometry, sample_rate_hz: int) -> LengthRange:
    """0.5 to 2 times the natural length, within the model's tokens per segment (design.md 3)."""
    tokens = sum(natural_tokens)
    # A long segment reaches the model's limit first: then the whole utterance cannot be slower than that one.
    slowest = min(_SLOWEST, *(Fraction(geometry.max_segment_tokens, n) for n in natural_tokens))
    native = geometry.natural_samples(natural_tokens)
    natural = round(Fraction(native * sample_rate_hz, geometry.native_rate_hz))
    low, high = -int(-natural * _FASTEST // 1), int(natural * slowest)
    return LengthRange(
        natural_samples=natural,
        min_samples=low,
        max_samples=max(high, low),
        natural_tokens=tokens,
        min_tokens=max(len(natural_tokens), -int(-tokens * _FASTEST // 1)),
        max_tokens=max(tokens, int(tokens * slowest)),
        comfortable_min_samples=max(low, round(natural * _COMFORTABLE_FAST)),
        comfortable_max_samples=min(max(high, low), round(natural * _COMFORTABLE_SLOW)),
    )


def allot(
    target: TargetSamples | TargetTokens | None,
    policy: LengthPolicy,
    natural_tokens: Sequence[int],
    geometry: Geometry,
    sample_rate_hz: int,
) -> tuple[SegmentLength, ...]:
    """Share a length over segments and pauses, in proportion to their natural lengths.

    Raises InvalidRequest LENGTH_NOT_POSITIVE, and LengthInfeasible DURATION_INFEASIBLE with the range in the metadata:
    under STRICT and ADVISE outside 0.5 to 2 times the natural length, under FORCE outside what the model can hold.
    """
    if target is None:
        return _free(natural_tokens, geometry)
    limits = length_range(natural_tokens, geometry, sample_rate_hz)
    in_samples = isinstance(target, TargetSamples)
    asked = target.samples if isinstance(target, TargetSamples) else target.tokens
    unit = "samples" if in_samples else "tokens"
    if asked < 1:
        raise InvalidRequest(
            f"a length of {asked} {unit} is not positive",
            reason="LENGTH_NOT_POSITIVE",
            field=f"length.{unit}",
            metadata=limits.metadata(),
        )
    low, high = (limits.min_samples, limits.max_samples) if in_samples else (limits.min_tokens, limits.max_tokens)
    if policy is not LengthPolicy.FORCE and not low <= asked <= high:
        raise LengthInfeasible(
            f"{asked} {unit} is outside the {low} to {high} {unit} that this text can be spoken in",
            field=f"length.{unit}",
            metadata={**limits.metadata(), "asked": str(asked)},
        )
    lengths = (
        _exact_samples(asked, natural_tokens, geometry, sample_rate_hz)
        if in_samples
        else _exact_tokens(asked, natural_tokens, geometry)
    )
    if lengths is None:
        raise LengthInfeasible(
            f"{asked} {unit} is outside what the model can hold: 1 to {geometry.max_segment_tokens} tokens "
            f"in each of {len(natural_tokens)} segments",
            field=f"length.{unit}",
            metadata={
                **limits.metadata(),
                "asked": str(asked),
                "segments": str(len(natural_tokens)),
                "max_tokens_per_segment": str(geometry.max_segment_tokens),
            },
        )
    return _advised(lengths, geometry) if policy is LengthPolicy.ADVISE else lengths


def _free(natural_tokens: Sequence[int], geometry: Geometry) -> tuple[SegmentLength, ...]:
    """Free speech. The bounds only catch a model that runs away or gives up: a third to three times the natural."""
    last = len(natural_tokens) - 1
    return tuple(
        SegmentLength(
            tokens=None,
            min_tokens=bounds[0],
            max_tokens=bounds[1],
            frame_map=FrameMap.free(geometry.frames_per_token),
            native_samples=None,
            pause_samples=geometry.pause_samples if k < last else 0,
        )
        for k, bounds in enumerate(free_bounds(n, geometry.max_segment_tokens) for n in natural_tokens)
    )


def free_bounds(natural_tokens: int, max_segment_tokens: int) -> tuple[int, int]:
    """(least, most) tokens of a free segment."""
    return max(1, natural_tokens // 3), min(max_segment_tokens, 3 * natural_tokens + 16)


def _advised(exact: Sequence[SegmentLength], geometry: Geometry) -> tuple[SegmentLength, ...]:
    """Free speech that is told the tokens of `exact`; bounded around them as free speech is around the natural ones."""
    tokens = [length.tokens or 1 for length in exact]
    return tuple(
        replace(free, advised_tokens=told, pause_samples=length.pause_samples)
        for free, told, length in zip(_free(tokens, geometry), tokens, exact, strict=True)
    )


def _exact_tokens(asked: int, natural_tokens: Sequence[int], geometry: Geometry) -> tuple[SegmentLength, ...] | None:
    shares = _shares(asked, natural_tokens)
    if min(shares) < 1:  # very short for many segments: one token each first, the rest by share
        if asked < len(shares):
            return None
        shares = [1 + extra for extra in _shares(asked - len(shares), natural_tokens)]
    if max(shares) > geometry.max_segment_tokens:
        return None
    ratio = Fraction(asked, sum(natural_tokens))
    last = len(shares) - 1
    return tuple(
        SegmentLength(
            tokens=tokens,
            min_tokens=tokens,
            max_tokens=tokens,
            frame_map=FrameMap.free(geometry.frames_per_token),
            native_samples=None,
            pause_samples=round(geometry.pause_samples * ratio) if k < last else 0,
        )
        for k, tokens in enumerate(shares)
    )


def _exact_samples(
    asked: int, natural_tokens: Sequence[int], geometry: Geometry, sample_rate_hz: int
) -> tuple[SegmentLength, ...] | None:
    # Rounded up: the resampler's rounding then never leaves the output short (frontend/resample.py).
    native = -(-asked * geometry.native_rate_hz // sample_rate_hz)
    # Pauses stretch with the speech around them.
    ratio = Fraction(native, geometry.natural_samples(natural_tokens))
    pause = round(geometry.pause_samples * ratio)
    last = len(natural_tokens) - 1
    shares = _shares(native - pause * last, natural_tokens)
    if min(shares) < 1:
        return None
    lengths = []
    for k, samples in enumerate(shares):
        frames = -(-samples // geometry.hop_samples)
        tokens = max(1, round(frames / geometry.frames_per_token))
        if tokens > geometry.max_segment_tokens:
            return None
        lengths.append(
            SegmentLength(tokens, tokens, tokens, FrameMap(tokens, frames), samples, pause if k < last else 0)
        )
    return tuple(lengths)


def _shares(total: int, weights: Sequence[int]) -> list[int]:
    """Whole parts of `total` in proportion to `weights`; they add up exactly."""
    whole, seen, begin = sum(weights), 0, 0
    shares = []
    for weight in weights:
        seen += weight
        end = total * seen // whole
        shares.append(end - begin)
        begin = end
    return shares
