"""Reference clips: decoded to one mono waveform, checked, and reported on."""

from __future__ import annotations

import io
from dataclasses import dataclass
from math import log10
from pathlib import Path

import soundfile  # type: ignore[import-untyped]
import torch
from torch import Tensor

from oncue_engine.errors import ReferenceRejected

__all__ = [
    "FRAME_SECONDS",
    "MAX_SECONDS",
    "MIN_SECONDS",
    "ReferenceQuality",
    "Waveform",
    "decode_reference",
    "frame_levels",
    "loudness_dbfs",
    "quality",
    "sounding",
]

MIN_SECONDS = 1.0
"""Below this a clip says too little about a voice."""
MAX_SECONDS = 600.0
"""Above this a clip is a mistake: models hear the first 15 s or so."""
FRAME_SECONDS = 0.02
"""Levels are measured over this long."""

_FIELD = "reference_audio"
_MAX_BYTES = 256 * 1024 * 1024
_MAX_VALUES = 256 * 2**20
"""Samples of all channels, 1 GiB of them: ten minutes of eight channels at 48 kHz, and no more where a small file of
silence claims a large rate."""
_RATES_HZ = range(4_000, 400_000)
_SILENT_RMS = 10 ** (-70 / 20)  # a whole clip softer than this holds no voice
_SILENT_BELOW_LOUD = 10 ** (-40 / 20)  # a frame this far under the loud frames is a pause
_LOUD_QUANTILE = 0.95
_FULL_SCALE = 0.999
_FLOOR_DBFS = -120.0

_WARN_SHORT_SECONDS = 3.0
_WARN_CLIPPED_SHARE = 0.001
_WARN_QUIET_DBFS = -40.0
_WARN_SILENT_SHARE = 0.5
_WARN_RATE_HZ = 16_000


@dataclass(frozen=True, slots=True)
class Waveform:
    """`samples` float32 `[n]`, channels averaged; `channels` is how many the file had."""

    samples: Tensor
    sample_rate_hz: int
    channels: int = 1

    @property
    def seconds(self) -> float:
        return self.samples.shape[0] / self.sample_rate_hz


@dataclass(frozen=True, slots=True)
class ReferenceQuality:
    """What a clip is like as a prompt. `warnings` are remarks for people; empty when nothing is wrong."""

    duration_s: float
    sample_rate_hz: int
    channels: int
    loudness_dbfs: float
    """RMS of the whole clip, -120 to 0."""
    peak: float
    """Largest absolute sample, 0 to 1 (a float file's overs count as 1)."""
    clipped_share: float
    """Share of samples at or beyond full scale."""
    silent_share: float
    """Share of 20 ms frames that are 40 dB or more under the loud ones."""
    warnings: tuple[str, ...]
    applied_gain_db: float = 0.0
    """What the clip is louder by as a prompt; the figures above are of the clip as it came."""
    trimmed_start_s: float = 0.0
    """Silence that is cut off its beginning."""
    trimmed_end_s: float = 0.0
    """Silence that is cut off its end."""


def decode_reference(source: Path | str | bytes) -> Waveform:
    """Decode a file, or a file's bytes, of any kind libsndfile reads (WAV, FLAC, OGG, MP3, ...), and check it.

    Raises ReferenceRejected, field `reference_audio`: REFERENCE_EMPTY, REFERENCE_NOT_AUDIO, REFERENCE_TOO_SHORT
    (metadata `min_seconds`, `seconds`), REFERENCE_TOO_LONG (`max_seconds`, `max_bytes` or `max_samples`),
    REFERENCE_SILENT.
    """
    data = source if isinstance(source, bytes) else _read(Path(source))
    if not data:
        raise _rejected("EMPTY", "the reference audio is empty: it has no bytes")
    waveform = _decode(data)
    seconds = waveform.seconds
    if seconds < MIN_SECONDS:
        raise _rejected(
            "TOO_SHORT",
            f"the reference audio is {seconds:.2f} s long; at least {MIN_SECONDS:g} s is needed",
            min_seconds=f"{MIN_SECONDS:g}",
            seconds=f"{seconds:.3f}",
        )
    moving = waveform.samples - waveform.samples.mean()
    if moving.square().mean().sqrt() < _SILENT_RMS:
        raise _rejected("SILENT", f"the reference audio is silent ({loudness_dbfs(moving):.0f} dBFS)")
    return waveform


def quality(waveform: Waveform) -> ReferenceQuality:
    """Measure a clip that `decode_reference` accepted."""
    samples = waveform.samples
    loudness = loudness_dbfs(samples)
    clipped = (samples.abs() >= _FULL_SCALE).float().mean().item()
    silent = (~sounding(waveform)).float().mean().item()
    remarks = (
        (waveform.seconds < _WARN_SHORT_SECONDS, f"short: {waveform.seconds:.1f} s; 5 s or more carry a voice better"),
        (clipped > _WARN_CLIPPED_SHARE, f"clipped: {clipped:.1%} of the samples are at full scale"),
        (loudness < _WARN_QUIET_DBFS, f"quiet: {loudness:.0f} dBFS"),
        (silent > _WARN_SILENT_SHARE, f"mostly silent: {silent:.0%} of the clip is pauses"),
        (waveform.sample_rate_hz < _WARN_RATE_HZ, f"narrow band: recorded at {waveform.sample_rate_hz} Hz"),
    )
    return ReferenceQuality(
        duration_s=waveform.seconds,
        sample_rate_hz=waveform.sample_rate_hz,
        channels=waveform.channels,
        loudness_dbfs=loudness,
        peak=min(1.0, samples.abs().max().item()),
        clipped_share=clipped,
        silent_share=silent,
        warnings=tuple(remark for applies, remark in remarks if applies),
    )


def frame_levels(waveform: Waveform) -> Tensor:
    """[frames], one for each whole FRAME_SECONDS: its RMS. A constant offset, as cheap converters add, is no sound."""
    frame = max(1, round(FRAME_SECONDS * waveform.sample_rate_hz))
    frames = waveform.samples[: waveform.samples.shape[0] // frame * frame].view(-1, frame)
    return (frames - frames.mean(dim=1, keepdim=True)).square().mean(dim=1).sqrt()


def sounding(waveform: Waveform) -> Tensor:
    """[frames] bool, one for each whole FRAME_SECONDS: whether it is less than 40 dB under the loud frames."""
    levels = frame_levels(waveform)
    loud = torch.quantile(levels, _LOUD_QUANTILE)
    return levels >= max(loud.item() * _SILENT_BELOW_LOUD, _SILENT_RMS)


def loudness_dbfs(samples: Tensor) -> float:
    """RMS of `[n]` in dB relative to full scale, from -120 to 0."""
    power = samples.double().square().mean().item()
    return min(0.0, max(_FLOOR_DBFS, 10 * log10(power))) if power > 0 else _FLOOR_DBFS


def _read(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > _MAX_BYTES:
            raise _too_large(size)
        return path.read_bytes()
    except OSError as error:
        raise _rejected("NOT_AUDIO", f"the reference audio cannot be read: {error.strerror}") from error


def _decode(data: bytes) -> Waveform:
    if len(data) > _MAX_BYTES:
        raise _too_large(len(data))
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            rate, frames, channels = file.samplerate, file.frames, file.channels
            if rate not in _RATES_HZ:
                raise _rejected("NOT_AUDIO", f"the reference audio claims {rate} Hz, which no recording has")
            if frames > MAX_SECONDS * rate:
                raise _rejected(
                    "TOO_LONG",
                    f"the reference audio is {frames / rate:.0f} s long; at most {MAX_SECONDS:g} s are taken",
                    max_seconds=f"{MAX_SECONDS:g}",
                    seconds=f"{frames / rate:.3f}",
                )
            # One frame over the limit is asked for at most, whatever a compressed file's header claims.
            wanted = min(frames, int(MAX_SECONDS * rate) + 1)
            if wanted * channels > _MAX_VALUES:
                raise _rejected(
                    "TOO_LONG",
                    f"the reference audio has {wanted} samples in each of {channels} channels, too many",
                    max_samples=str(_MAX_VALUES // channels),
                )
            # In one go: the library seeks between two reads, and MP3 is not the same after a seek.
            samples = file.read(wanted, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise _rejected("NOT_AUDIO", f"the reference is not audio that can be decoded: {error}") from error
    if samples.shape[0] == 0:
        raise _rejected("EMPTY", "the reference audio is empty: it has no samples")
    mono = torch.from_numpy(samples).mean(dim=1)
    if not torch.isfinite(mono).all():
        raise _rejected("NOT_AUDIO", "the reference audio has samples that are not numbers")
    return Waveform(samples=mono, sample_rate_hz=rate, channels=channels)


def _too_large(size: int) -> ReferenceRejected:
    return _rejected("TOO_LONG", f"the reference audio has {size} bytes, too many", max_bytes=str(_MAX_BYTES))


def _rejected(what: str, message: str, **metadata: str) -> ReferenceRejected:
    return ReferenceRejected(message, reason=f"REFERENCE_{what}", field=_FIELD, metadata=metadata)
