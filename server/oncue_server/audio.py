"""Float samples into the bytes of an encoding."""

from __future__ import annotations

import struct

import numpy as np
import numpy.typing as npt

from oncue.v1 import audio_pb2

__all__ = ["bytes_per_sample", "encode", "wav_header"]


def bytes_per_sample(encoding: audio_pb2.AudioEncoding.ValueType) -> int:
    """Width of one sample in bytes."""
    return 4 if encoding == audio_pb2.AUDIO_ENCODING_PCM_F32 else 2


def encode(samples: npt.NDArray[np.float32], encoding: audio_pb2.AudioEncoding.ValueType) -> bytes:
    """Little-endian samples without a header; WAV is 16 bits, its header is `wav_header`.

    16 bits: round(x * 32767), clipped. `samples`: [num_samples].
    """
    if encoding == audio_pb2.AUDIO_ENCODING_PCM_F32:
        return samples.astype("<f4", copy=False).tobytes()
    # In float64, so that the rounding does not depend on how the product was rounded before.
    scaled = np.rint(samples.astype(np.float64) * 32767.0)
    return np.clip(scaled, -32768, 32767).astype("<i2").tobytes()


def wav_header(num_samples: int, sample_rate_hz: int) -> bytes:
    """The 44 bytes before 16-bit mono samples in a WAV file."""
    size = 2 * num_samples
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        b"RIFF", 36 + size, b"WAVE",
        b"fmt ", 16, 1, 1, sample_rate_hz, 2 * sample_rate_hz, 2, 16,
        b"data", size,
    )  # fmt: skip
