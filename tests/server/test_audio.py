"""Samples into bytes."""

from __future__ import annotations

import io

import numpy as np
import soundfile

from oncue.v1 import audio_pb2
from oncue_server.audio import encode, wav_header


def test_sixteen_bits_are_rounded_and_clipped() -> None:
    samples = np.array([0.0, 1.0, -1.0, 1.5, -1.5, 0.4 / 32767, 0.6 / 32767, -0.6 / 32767], dtype=np.float32)
    decoded = np.frombuffer(encode(samples, audio_pb2.AUDIO_ENCODING_PCM_S16), dtype="<i2")
    assert decoded.tolist() == [0, 32767, -32767, 32767, -32768, 0, 1, -1]


def test_floats_pass_unchanged() -> None:
    samples = np.random.default_rng(0).standard_normal(100).astype(np.float32)
    assert np.array_equal(np.frombuffer(encode(samples, audio_pb2.AUDIO_ENCODING_PCM_F32), dtype="<f4"), samples)


def test_encoding_in_parts_equals_encoding_at_once() -> None:
    samples = np.random.default_rng(1).uniform(-1.1, 1.1, 1000).astype(np.float32)
    for encoding in (audio_pb2.AUDIO_ENCODING_PCM_S16, audio_pb2.AUDIO_ENCODING_PCM_F32):
        whole = encode(samples, encoding)
        assert encode(samples[:333], encoding) + encode(samples[333:], encoding) == whole


def test_a_wav_file_reads_back() -> None:
    samples = np.linspace(-1, 1, 321, dtype=np.float32)
    pcm = encode(samples, audio_pb2.AUDIO_ENCODING_WAV)
    read, rate_hz = soundfile.read(io.BytesIO(wav_header(321, 22050) + pcm), dtype="int16")
    assert rate_hz == 22050
    assert read.tobytes() == pcm
