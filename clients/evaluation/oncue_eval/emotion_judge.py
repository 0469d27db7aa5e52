"""Which emotion a clip shows: a small judge of measured manner against the speaker's own neutral speech.

One hidden layer over the standardised numbers of `manner.AXES`. `scripts/train_judges.py` learns it from teacher
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

_HIDDEN = 24
_STEPS = 4000
_BATCH = 128
_LEARNING_RATE = 3e-3
_DECAY = 1e-3
_NOISE = 0.3
"""Added to the standardised numbers while learning, so that no clip is learnt by heart."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class EmotionJudge:
    """scores = tanh((deviation - mean) / spread @ into + hidden_bias) @ out + bias; the largest wins."""

    emotions: tuple[str, ...]
    mean: Array
    """[axes]"""
    spread: Array
    """[axes]"""
    layers: tuple[Array, Array, Array, Array]
    """into [axes, hidden], its bias [hidden], out [hidden, emotions], its bias [emotions]."""

    @classmethod
    def shipped(cls) -> EmotionJudge:
        """The judge of data/judges."""
        with (resources.files("oncue_eval") / "data" / "judges" / "emotion.npz").open("rb") as file, np.load(file) as d:
            layers = (d["into"], d["hidden_bias"], d["out"], d["bias"])
            return cls(tuple(str(name) for name in d["emotions"]), d["mean"], d["spread"], layers)

    def judge(self, deviation: Manner) -> str:
        """The emotion of a clip whose manner deviates so from the speaker's neutral one (`manner.away_from`)."""
        into, hidden_bias, out, bias = self.layers
        hidden = np.tanh((deviation - self.mean) / self.spread @ into + hidden_bias)
        return self.emotions[int(np.argmax(hidden @ out + bias))]

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """What `shipped` reads."""
        into, hidden_bias, out, bias = (layer.astype(np.float32) for layer in self.layers)
        named = {"into": into, "hidden_bias": hidden_bias, "out": out, "bias": bias}
        return {"emotions": np.array(self.emotions), "mean": self.mean, "spread": self.spread, **named}


def learn_emotions(deviations: Array, labels: Sequence[str], seed: int) -> EmotionJudge:
    """`deviations` [num_clips, axes] with a label each; the same seed learns the same."""
    emotions = tuple(sorted(set(labels)))
    mean, spread = deviations.mean(axis=0), deviations.std(axis=0) + 1e-9
    inputs = (deviations - mean) / spread
    wanted = np.eye(len(emotions))[[emotions.index(label) for label in labels]]
    rng = np.random.default_rng(seed)
    axes = inputs.shape[1]
    into = rng.normal(size=(axes, _HIDDEN)) / np.sqrt(axes)
    out = rng.normal(size=(_HIDDEN, len(emotions))) / np.sqrt(_HIDDEN)
    layers = [into, np.zeros(_HIDDEN), out, np.zeros(len(emotions))]
    first = [np.zeros_like(layer) for layer in layers]
    second = [np.zeros_like(layer) for layer in layers]
    for step in range(1, _STEPS + 1):
        chosen = rng.integers(0, len(inputs), _BATCH)
        x = inputs[chosen] + _NOISE * rng.normal(size=(_BATCH, axes))
        for place, gradient in enumerate(_gradients(layers, x, wanted[chosen])):
            first[place] = 0.9 * first[place] + 0.1 * gradient
            second[place] = 0.999 * second[place] + 0.001 * np.square(gradient)
            scale = np.sqrt(second[place] / (1.0 - 0.999**step)) + 1e-8
            layers[place] = layers[place] - _LEARNING_RATE * first[place] / (1.0 - 0.9**step) / scale
    return EmotionJudge(emotions, mean, spread, (layers[0], layers[1], layers[2], layers[3]))


def _gradients(layers: Sequence[Array], x: Array, wanted: Array) -> tuple[Array, Array, Array, Array]:
    """Of the cross-entropy, with decay on the two matrices."""
    into, hidden_bias, out, bias = layers
    hidden = np.tanh(x @ into + hidden_bias)
    scores = hidden @ out + bias
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    off = (shares - wanted) / len(x)
    back = off @ out.T * (1.0 - np.square(hidden))
    return x.T @ back + _DECAY * into, back.sum(axis=0), hidden.T @ off + _DECAY * out, off.sum(axis=0)
