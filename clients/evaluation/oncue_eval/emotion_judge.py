"""Which emotion a clip shows: a linear judge of measured manner against the speaker's own neutral speech.

Linear discriminant analysis with one covariance for all classes. `scripts/train_judges.py` learns it from teacher
speech, apart from the model: other speakers, other sentences, other seeds than training and evaluation have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

import numpy as np
import numpy.typing as npt

from oncue_eval.manner import Manner

__all__ = ["EmotionJudge", "learn_emotions"]


@dataclass(frozen=True, slots=True, eq=False)
class EmotionJudge:
    """score(class) = weights[class] . deviation + offsets[class]; the largest wins."""

    emotions: tuple[str, ...]
    weights: npt.NDArray[np.float64]
    """[num_emotions, axes]"""
    offsets: npt.NDArray[np.float64]
    """[num_emotions]"""

    @classmethod
    def shipped(cls) -> EmotionJudge:
        """The judge of data/judges."""
        with (resources.files("oncue_eval") / "data" / "judges" / "emotion.npz").open("rb") as file, np.load(file) as d:
            return cls(tuple(str(name) for name in d["emotions"]), d["weights"], d["offsets"])

    def judge(self, deviation: Manner) -> str:
        """The emotion of a clip whose manner deviates so from the speaker's neutral one (`manner.away_from`)."""
        return self.emotions[int(np.argmax(self.weights @ deviation + self.offsets))]


def learn_emotions(deviations: npt.NDArray[np.float64], labels: Sequence[str]) -> EmotionJudge:
    """`deviations` [num_clips, axes] with a label each. Every class weighs the same, however many clips it has."""
    emotions = tuple(sorted(set(labels)))
    names = np.array(labels)
    means = np.stack([deviations[names == emotion].mean(axis=0) for emotion in emotions])
    within = np.zeros((deviations.shape[1],) * 2)
    for emotion in emotions:
        within += np.cov(deviations[names == emotion].T) / len(emotions)
    # A little of the diagonal: a number that hardly varies on teacher speech must not decide alone.
    weights = np.linalg.solve(within + 0.05 * np.diag(np.diag(within)), means.T).T
    return EmotionJudge(emotions, weights, -0.5 * np.sum(weights * means, axis=1))
