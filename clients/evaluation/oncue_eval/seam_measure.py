"""How much a join stands out: what a rendering by chunks has that one in one piece has not, at its joins and elsewhere.

Three measures of a signal in steps of 10 ms: the largest sample step, the flux of the spectrum, and the level. Each is
taken of both renderings; the difference of the two is the excess. Near a join it is compared with the excess far from
all joins: 1 means that nothing about a join tells that it is one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Seams", "measure_seams"]

_HOP_S = 0.01
_WINDOW_S = 0.02
_NEAR_S = 0.02
"""A frame belongs to a join that its centre is this close to..."""
_FAR_S = 0.08
"""...and to the rest where no join is as close as this."""
_FLOOR_DB = -60.0
"""Of the rendering's loud frames: what lies below is silence, and changes there are not heard."""
MEASURES = ("step", "flux", "level")


@dataclass(frozen=True, slots=True)
class Seams:
    """Mean excess near joins over the mean far from them, by measure."""

    ratios: dict[str, float]
    joins: int
    standard_error: float
    """Of the largest ratio, over the joins."""

    @property
    def ratio(self) -> float:
        """The largest."""
        return max(self.ratios.values())


def measure_seams(
    renderings: Sequence[tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], Sequence[int]]], rate_hz: int
) -> Seams:
    """`renderings`: (by chunks [n], in one piece [n], joins in samples) of several utterances, taken together.

    Raises ValueError where there is no join, or where a pair differs in length.
    """
    near: list[npt.NDArray[np.float64]] = []
    far: list[npt.NDArray[np.float64]] = []
    for chunked, whole, joins in renderings:
        if len(chunked) != len(whole):
            raise ValueError(f"{len(chunked)} samples by chunks, {len(whole)} in one piece")
        excess = np.abs(_measures(chunked, rate_hz, whole) - _measures(whole, rate_hz, whole))  # [frames, 3]
        centres_s = np.arange(len(excess)) * _HOP_S + _WINDOW_S / 2
        distance_s = np.abs(centres_s[:, None] - np.array(joins, np.float64)[None] / rate_hz)
        if not len(joins):
            continue
        far.append(excess[distance_s.min(axis=1) >= _FAR_S])
        near += [excess[own <= _NEAR_S].mean(axis=0) for own in distance_s.T if (own <= _NEAR_S).any()]
    if not near:
        raise ValueError("no join to look at")
    usual = np.concatenate(far).mean(axis=0)
    at_joins = np.stack(near)  # [joins, 3]
    # Renderings that agree to the last bit have no excess anywhere: then there is no seam either.
    ratios = np.where(usual > 1e-9, at_joins.mean(axis=0) / np.maximum(usual, 1e-9), 1.0)
    worst = int(np.argmax(ratios))
    error = (
        float(at_joins[:, worst].std(ddof=1) / np.sqrt(len(near)) / max(usual[worst], 1e-9)) if len(near) > 1 else 0.0
    )
    return Seams(dict(zip(MEASURES, ratios.tolist(), strict=True)), len(near), error)


def _measures(
    samples: npt.NDArray[np.float32], rate_hz: int, level_of: npt.NDArray[np.float32]
) -> npt.NDArray[np.float64]:
    """[frames, 3]: largest step, flux and level, in dB; the floor comes from `level_of`, the same for a pair."""
    window, hop = round(_WINDOW_S * rate_hz), round(_HOP_S * rate_hz)
    frames = np.lib.stride_tricks.sliding_window_view(samples.astype(np.float64), window)[::hop]
    whole = np.lib.stride_tricks.sliding_window_view(level_of.astype(np.float64), window)[::hop]
    loud = np.percentile(np.mean(np.square(whole), axis=1), 90.0)
    floor = loud * 10.0 ** (_FLOOR_DB / 10.0)
    level_db = 10.0 * np.log10(np.mean(np.square(frames), axis=1) + floor)
    step_db = 10.0 * np.log10(np.square(np.abs(np.diff(frames, axis=1)).max(axis=1)) + floor)
    power = np.square(np.abs(np.fft.rfft(frames * np.hanning(window), axis=1))) / np.sum(np.square(np.hanning(window)))
    bands = np.add.reduceat(power, np.unique(np.geomspace(2, power.shape[1] - 1, 24).astype(int)), axis=1)
    log_bands = 10.0 * np.log10(bands + floor)
    flux = np.mean(np.abs(np.diff(log_bands, axis=0, prepend=log_bands[:1])), axis=1)
    return np.stack((step_db, flux, level_db), axis=1)
