"""Samples as they travel, and the WAV file they make."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from oncue.audio import AudioChunk, WavWriter


def chunk(payload: bytes, encoding: str) -> AudioChunk:
    size = 2 if encoding == "pcm_s16" else 4
    return AudioChunk(
        sequence=0,
        first_sample=0,
        num_samples=len(payload) // size,
        sample_rate_hz=16000,
        payload=payload,
        encoding=encoding,  # type: ignore[arg-type]
        codes_generated=1,
    )


def test_16_bit_payload_is_kept_as_it_came() -> None:
    payload = np.array([0, 1, -1, 32767, -32768], dtype="<i2").tobytes()
    assert chunk(payload, "pcm_s16").pcm16 == payload


def test_16_bit_samples_as_floats() -> None:
    payload = np.array([0, 32767, -32767], dtype="<i2").tobytes()
    samples = chunk(payload, "pcm_s16").samples
    assert samples.dtype == np.float32
    assert samples.tolist() == [0.0, 1.0, -1.0]


def test_floats_are_rounded_and_clipped_as_the_server_does_it() -> None:
    floats = np.array([0.0, 1.0, -1.0, 1.5, -1.5, 0.00002], dtype="<f4")
    want = np.array([0, 32767, -32767, 32767, -32768, 1], dtype="<i2")
    assert chunk(floats.tobytes(), "pcm_f32").pcm16 == want.tobytes()


def test_wav_file_appears_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    with WavWriter(path, 22050) as wav:
        wav.write(b"\x01\x00\x02\x00")
        assert not path.exists()
        wav.write(b"\x03\x00")
    with wave.open(str(path)) as read:
        assert (read.getframerate(), read.getnchannels(), read.getsampwidth()) == (22050, 1, 2)
        assert read.readframes(10) == b"\x01\x00\x02\x00\x03\x00"


def test_wav_file_leaves_nothing_behind_on_failure(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(b"older")
    with pytest.raises(RuntimeError), WavWriter(path, 16000) as wav:
        wav.write(b"\x01\x00")
        raise RuntimeError
    assert path.read_bytes() == b"older"
    assert list(tmp_path.iterdir()) == [path]
