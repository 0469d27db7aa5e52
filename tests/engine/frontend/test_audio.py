"""Reference clips: what is taken, what is refused and why, and what is said about them."""

import io
import random
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from oncue_engine.errors import ReferenceRejected
from oncue_engine.frontend.audio import MAX_SECONDS, Waveform, decode_reference, quality

RATE_HZ = 16_000


def voice_like(seconds: float = 4.0, level: float = 0.1, rate_hz: int = RATE_HZ) -> np.ndarray:
    t = np.arange(int(seconds * rate_hz)) / rate_hz
    return (level * np.sin(2 * np.pi * 150 * t) * (1 + 0.3 * np.sin(2 * np.pi * 3 * t))).astype(np.float32)


def encoded(samples: np.ndarray, rate_hz: int = RATE_HZ, kind: str = "WAV", subtype: str | None = None) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate_hz, format=kind, subtype=subtype)
    return buffer.getvalue()


def refused(source: bytes | Path) -> ReferenceRejected:
    with pytest.raises(ReferenceRejected) as caught:
        decode_reference(source)
    assert caught.value.field == "reference_audio"
    assert str(caught.value)
    return caught.value


@pytest.mark.parametrize(("kind", "subtype"), [("WAV", "PCM_16"), ("WAV", "FLOAT"), ("FLAC", None), ("OGG", "VORBIS")])
def test_common_files_decode(kind: str, subtype: str | None, tmp_path: Path) -> None:
    samples = voice_like()
    data = encoded(samples, kind=kind, subtype=subtype)
    path = tmp_path / "clip.raw"  # the name says nothing: the bytes do
    path.write_bytes(data)
    for source in (data, path, str(path)):
        waveform = decode_reference(source)
        assert (waveform.sample_rate_hz, waveform.channels) == (RATE_HZ, 1)
        assert waveform.samples.dtype == torch.float32
        assert waveform.samples.shape == samples.shape
        assert np.abs(waveform.samples.numpy() - samples).max() < 0.05


def test_channels_are_averaged() -> None:
    left, right = voice_like(level=0.2), voice_like(level=0.1)
    waveform = decode_reference(encoded(np.stack([left, right], axis=1), subtype="FLOAT"))
    assert waveform.channels == 2
    np.testing.assert_allclose(waveform.samples.numpy(), (left + right) / 2, atol=1e-6)


def test_empty_is_said_to_be_empty() -> None:
    assert refused(b"").reason == "REFERENCE_EMPTY"
    assert refused(encoded(np.zeros(0, np.float32))).reason == "REFERENCE_EMPTY"


@pytest.mark.parametrize("data", [b"hello, I am a text file", bytes(5000), b"RIFF\x00\x00\x00\x00WAVE", b"\x89PNG\r\n"])
def test_what_is_not_audio(data: bytes) -> None:
    assert refused(data).reason == "REFERENCE_NOT_AUDIO"


def test_a_missing_file_is_no_audio(tmp_path: Path) -> None:
    assert refused(tmp_path / "nothing.wav").reason == "REFERENCE_NOT_AUDIO"
    assert refused(tmp_path).reason == "REFERENCE_NOT_AUDIO"


def test_samples_that_are_not_numbers() -> None:
    samples = voice_like()
    samples[100] = np.nan
    assert refused(encoded(samples, subtype="FLOAT")).reason == "REFERENCE_NOT_AUDIO"


def test_too_short_names_the_limit() -> None:
    error = refused(encoded(voice_like(0.9)))
    assert error.reason == "REFERENCE_TOO_SHORT"
    assert error.metadata == {"min_seconds": "1", "seconds": "0.900"}
    assert decode_reference(encoded(voice_like(1.0))).seconds == 1.0


def test_too_long_names_the_limit() -> None:
    error = refused(encoded(voice_like(MAX_SECONDS + 1, rate_hz=4000), rate_hz=4000))
    assert error.reason == "REFERENCE_TOO_LONG"
    assert error.metadata["max_seconds"] == f"{MAX_SECONDS:g}"


def test_a_rate_no_recording_has() -> None:
    assert refused(encoded(voice_like(2.0), rate_hz=7)).reason == "REFERENCE_NOT_AUDIO"


def test_silence_is_refused_also_where_channels_cancel() -> None:
    assert refused(encoded(np.zeros(2 * RATE_HZ, np.float32))).reason == "REFERENCE_SILENT"
    voice = voice_like()
    assert refused(encoded(np.stack([voice, -voice], axis=1))).reason == "REFERENCE_SILENT"
    assert refused(encoded(np.full(2 * RATE_HZ, 0.25, np.float32))).reason == "REFERENCE_SILENT"  # a constant offset


def test_damaged_files_are_refused_or_decoded_never_a_crash() -> None:
    chance = random.Random(0)
    good = {kind: bytearray(encoded(voice_like(1.5), kind=kind)) for kind in ("WAV", "FLAC", "OGG")}
    for trial in range(60):
        data = bytearray(good[chance.choice(sorted(good))])
        for _ in range(chance.choice([1, 10, 200])):
            data[chance.randrange(min(len(data), chance.choice([60, len(data)])))] = chance.randrange(256)
        if trial % 3 == 0:
            data = data[: chance.randrange(1, len(data))]
        try:
            waveform = decode_reference(bytes(data))
        except ReferenceRejected as error:
            assert error.reason.startswith("REFERENCE_")
        else:
            assert torch.isfinite(waveform.samples).all() and waveform.seconds >= 1.0


def test_a_good_clip_has_no_warnings() -> None:
    report = quality(decode_reference(encoded(voice_like(5.0))))
    assert report.warnings == ()
    assert (report.duration_s, report.sample_rate_hz, report.channels) == (5.0, RATE_HZ, 1)
    assert report.peak == pytest.approx(0.13, abs=0.01)
    assert report.loudness_dbfs == pytest.approx(-23, abs=0.5)
    assert report.clipped_share == report.silent_share == 0.0


def test_shares_are_measured() -> None:
    samples = torch.from_numpy(voice_like(4.0))
    samples[: 2 * RATE_HZ + RATE_HZ] = 0.0
    report = quality(Waveform(samples, RATE_HZ))
    assert report.silent_share == pytest.approx(0.75, abs=0.02)
    clipped = quality(Waveform((torch.from_numpy(voice_like(4.0)) * 20).clamp(-1, 1), RATE_HZ))
    assert clipped.peak == 1.0
    assert 0.3 < clipped.clipped_share < 0.9


@pytest.mark.parametrize(
    ("waveform", "word"),
    [
        (Waveform(torch.from_numpy(voice_like(1.5)), RATE_HZ), "short"),
        (Waveform((torch.from_numpy(voice_like(4.0)) * 20).clamp(-1, 1), RATE_HZ), "clipped"),
        (Waveform(torch.from_numpy(voice_like(4.0, level=0.005)), RATE_HZ), "quiet"),
        (Waveform(torch.cat([torch.zeros(5 * RATE_HZ), torch.from_numpy(voice_like(3.0))]), RATE_HZ), "mostly silent"),
        (Waveform(torch.from_numpy(voice_like(4.0, rate_hz=8000)), 8000), "narrow band"),
    ],
    ids=["short", "clipped", "quiet", "silent", "narrow"],
)
def test_each_fault_is_named_alone(waveform: Waveform, word: str) -> None:
    (warning,) = quality(waveform).warnings
    assert warning.startswith(word)
