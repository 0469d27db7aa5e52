"""Audio as it arrives: runs of samples on the utterance's own clock, and the WAV file they make."""

from __future__ import annotations

import wave
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import numpy as np
import numpy.typing as npt

__all__ = ["AudioChunk", "Clip", "Encoding", "SpeechStats", "WavWriter"]

Encoding = Literal["pcm_s16", "pcm_f32"]
"""How samples travel: 16-bit integers, or 32-bit floats (twice the bytes, no rounding)."""


@dataclass(frozen=True, slots=True)
class SpeechStats:
    """What came of an utterance, as the server counted it."""

    total_samples: int
    total_codes: int
    """Semantic tokens of the whole utterance."""
    seed: int
    time_to_first_audio_s: float
    generation_s: float
    prompt_encodes: int
    """Prompt encoder passes that this utterance caused; 0 when its clips were prepared before."""
    complete: bool
    """False when speech of free length was cut at the model's token limit."""
    fewest_flow_steps: int
    """Flow steps of the chunk that had the fewest: the model's own number, unless no seed was given and the listener
    of a stream would have run dry otherwise."""


@dataclass(frozen=True, slots=True, eq=False)
class AudioChunk:
    """A run of finished samples. The next chunk's `first_sample` is `first_sample + num_samples` of this one."""

    sequence: int
    first_sample: int
    """Index at the output rate, 0 at the utterance's first sample."""
    num_samples: int
    sample_rate_hz: int
    payload: bytes
    """The samples as they came, little-endian, in `encoding`."""
    encoding: Encoding
    codes_generated: int
    """Semantic tokens of the whole utterance that existed when this chunk was sent."""

    @property
    def samples(self) -> npt.NDArray[np.float32]:
        """[num_samples], in [-1, 1], mono."""
        return decode_samples(self.payload, self.encoding)

    @property
    def pcm16(self) -> bytes:
        """The samples as signed 16-bit little-endian integers."""
        return self.payload if self.encoding == "pcm_s16" else encode_pcm16(self.samples)


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """A whole utterance."""

    sample_rate_hz: int
    payload: bytes
    """The samples as they came, little-endian, in `encoding`."""
    encoding: Encoding
    stats: SpeechStats

    @property
    def samples(self) -> npt.NDArray[np.float32]:
        """[stats.total_samples], in [-1, 1], mono."""
        return decode_samples(self.payload, self.encoding)

    @property
    def pcm16(self) -> bytes:
        """The samples as signed 16-bit little-endian integers."""
        return self.payload if self.encoding == "pcm_s16" else encode_pcm16(self.samples)

    def write(self, path: str | Path) -> None:
        """Writes a 16-bit mono WAV file. Raises OSError."""
        with WavWriter(path, self.sample_rate_hz) as wav:
            wav.write(self.pcm16)


class WavWriter:
    """A 16-bit mono WAV file that grows as audio arrives and appears under its name only once it is whole.

    Use it as a context manager: leaving with an exception leaves nothing behind. Raises OSError.
    """

    def __init__(self, path: str | Path, sample_rate_hz: int) -> None:
        self._path = Path(path)
        self._partial = self._path.with_name(self._path.name + ".partial")
        self._wave = wave.open(str(self._partial), "wb")
        self._wave.setnchannels(1)
        self._wave.setsampwidth(2)
        self._wave.setframerate(sample_rate_hz)

    def write(self, pcm16: bytes) -> None:
        """Appends signed 16-bit little-endian samples."""
        self._wave.writeframesraw(pcm16)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._wave.close()
        if kind is None:
            self._partial.replace(self._path)
        else:
            self._partial.unlink(missing_ok=True)


def decode_samples(payload: bytes, encoding: Encoding) -> npt.NDArray[np.float32]:
    """Bytes of a chunk as float samples in [-1, 1]."""
    if encoding == "pcm_f32":
        return np.frombuffer(payload, dtype="<f4").astype(np.float32, copy=False)
    return np.frombuffer(payload, dtype="<i2").astype(np.float32) / np.float32(32767.0)


def encode_pcm16(samples: npt.NDArray[np.float32]) -> bytes:
    """Float samples as 16-bit integers, rounded as the server does it: round(x * 32767) in float64, clipped."""
    scaled = np.rint(samples.astype(np.float64) * 32767.0)
    integers: npt.NDArray[np.int16] = np.clip(scaled, -32768, 32767).astype("<i2")
    return integers.tobytes()
