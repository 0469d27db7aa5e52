"""Every kind of file that libsndfile reads becomes the same clip, and a file that breaks off is taken or refused."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import pytest
import soundfile
import torch

from oncue_engine.errors import ReferenceRejected
from oncue_engine.frontend import audio
from oncue_engine.frontend.audio import MIN_SECONDS, decode_reference
from oncue_engine.frontend.prompt_clip import prompt_clip
from oncue_engine.requests import ReferenceOptions

# kind, subtype, rate, channels, how far the decoded samples may be from what was written
FILES = [
    ("WAV", "ULAW", 8_000, 1, 0.01),
    ("WAV", "ALAW", 8_000, 1, 0.01),
    ("WAV", "PCM_U8", 11_025, 1, 0.01),
    ("WAV", "IMA_ADPCM", 22_050, 2, 0.03),
    ("WAV", "PCM_24", 96_000, 2, 2e-7),
    ("WAV", "PCM_32", 192_000, 1, 1e-7),
    ("WAV", "PCM_16", 48_000, 6, 4e-5),
    ("WAVEX", "FLOAT", 44_100, 6, 0.0),
    ("WAV", "DOUBLE", 44_100, 1, 0.0),
    ("FLAC", "PCM_24", 44_100, 2, 2e-7),
    ("FLAC", "PCM_16", 48_000, 6, 4e-5),
    ("OGG", "VORBIS", 44_100, 2, 0.05),
    ("OGG", "OPUS", 48_000, 2, 0.05),
    ("MP3", "MPEG_LAYER_III", 44_100, 2, 0.05),
    ("MP3", "MPEG_LAYER_III", 16_000, 1, 0.05),
    ("AIFF", "PCM_16", 44_100, 2, 4e-5),
    ("CAF", "PCM_24", 48_000, 1, 2e-7),
    ("CAF", "ALAC_16", 48_000, 2, 4e-5),
    ("W64", "PCM_16", 48_000, 2, 4e-5),
    ("AU", "ULAW", 8_000, 1, 0.01),
    ("RF64", "PCM_16", 48_000, 2, 4e-5),
]


def tones(rate_hz: int, channels: int, seconds: float = 2.0) -> np.ndarray:
    """[n, channels]: a tone that swells and fades, at another level in each channel."""
    t = np.arange(int(seconds * rate_hz)) / rate_hz
    mono = np.sin(2 * np.pi * 220 * t) * (0.6 + 0.4 * np.sin(2 * np.pi * 2 * t))
    levels = np.linspace(0.3, 0.1, channels)
    return (mono[:, None] * levels).astype(np.float32)


def encoded(samples: np.ndarray, rate_hz: int, kind: str, subtype: str) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate_hz, format=kind, subtype=subtype)
    return buffer.getvalue()


@pytest.mark.parametrize(("kind", "subtype", "rate_hz", "channels", "off"), FILES)
def test_each_container_gives_the_mean_of_its_channels(
    kind: str, subtype: str, rate_hz: int, channels: int, off: float
) -> None:
    written = tones(rate_hz, channels)
    clip = decode_reference(encoded(written, rate_hz, kind, subtype))
    assert (clip.sample_rate_hz, clip.channels, clip.samples.dtype) == (rate_hz, channels, torch.float32)
    want = written.mean(axis=1)
    # Codecs of blocks add silence at the end, and say so or not.
    assert len(want) <= len(clip.samples) <= len(want) + 0.06 * rate_hz
    found = clip.samples.numpy()[: len(want)]
    assert np.abs(found - want).max() <= off + 1e-7
    assert float(np.corrcoef(found, want)[0, 1]) > 0.99


def test_a_file_that_would_fill_the_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio, "_MAX_VALUES", 6 * 90_000)  # the real limit takes a GiB to reach
    assert decode_reference(encoded(tones(44_100, 6), 44_100, "FLAC", "PCM_16")).channels == 6
    with pytest.raises(ReferenceRejected) as caught:
        decode_reference(encoded(tones(48_000, 6), 48_000, "FLAC", "PCM_16"))
    assert (caught.value.reason, caught.value.metadata) == ("REFERENCE_TOO_LONG", {"max_samples": "90000"})


def test_floats_beyond_full_scale_are_kept_and_brought_down_as_a_prompt() -> None:
    written = tones(16_000, 1)[:, 0] * 10
    clip = decode_reference(encoded(written, 16_000, "WAV", "FLOAT"))
    assert float(clip.samples.abs().max()) == pytest.approx(3.0, rel=0.01)
    made = prompt_clip(clip, ReferenceOptions())
    assert float(made.waveform.samples.abs().max()) <= 1.0 + 1e-6 and made.gain_db < 0
    assert prompt_clip(clip, ReferenceOptions(keep_level=True)).waveform is clip


def cuts(data: bytes) -> Iterator[bytes]:
    for share in (0.02, 0.3, 0.55, 0.8, 0.97):
        yield data[: int(len(data) * share)]


@pytest.mark.parametrize(("kind", "subtype", "rate_hz", "channels", "_off"), FILES)
def test_a_file_that_breaks_off_gives_what_is_there_or_is_refused(
    kind: str, subtype: str, rate_hz: int, channels: int, _off: float
) -> None:
    """What is there is the beginning of the sound, never noise, and at least a second of it."""
    data = encoded(tones(rate_hz, channels, seconds=3.0), rate_hz, kind, subtype)
    whole = decode_reference(data)
    for cut in cuts(data):
        try:
            clip = decode_reference(cut)
        except ReferenceRejected as refusal:
            assert refusal.reason in ("REFERENCE_NOT_AUDIO", "REFERENCE_TOO_SHORT", "REFERENCE_EMPTY")
            continue
        assert (clip.sample_rate_hz, clip.channels) == (rate_hz, channels)
        assert MIN_SECONDS <= clip.seconds <= whole.seconds
        heard = len(clip.samples) - rate_hz // 10  # a codec's last block may be half there
        torch.testing.assert_close(clip.samples[:heard], whole.samples[:heard], rtol=0, atol=1e-3)
