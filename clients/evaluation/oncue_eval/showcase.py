"""Ten clips of different voices and emotions, with a picture of each and the words that were recognised."""

from __future__ import annotations

import asyncio
import json
import wave
from pathlib import Path

import numpy as np
import numpy.typing as npt

from oncue_eval.frames import HOP_S, frames_of
from oncue_eval.intelligibility import neutral_line
from oncue_eval.material import RATE_HZ, emotion_clips
from oncue_eval.pitch import pitch_track_hz
from oncue_eval.studio import Line
from oncue_eval.subject import Subject
from oncue_eval.words import normal_words, word_edits

__all__ = ["write_showcase"]

_EMOTIONS: tuple[str | None, ...] = (
    *(None, "happy", "angry", "sad", "afraid", "disgusted", "surprised", "calm", "sad", "happy"),
)
"""One for each held-out voice; None: the voice's own."""


async def write_showcase(subject: Subject, folder: Path) -> None:
    """Writes NN-VOICE-EMOTION.wav and .png, and clips.json with what was said and what was heard.

    Raises SpeechError and OSError.
    """
    rows = []
    speakers = sorted(subject.voices)
    for number, emotion in enumerate(_EMOTIONS):
        speaker = speakers[number % len(speakers)]
        plain = neutral_line(subject, number)
        acted = [clip for clip in emotion_clips() if clip.emotion == emotion and clip.speaker != speaker]
        line = Line(plain.text, plain.voice, emotion=acted[number % len(acted)].encoded if acted else None)
        subject.listener.progress(f"clips: {number + 1} of {len(_EMOTIONS)}")
        take, heard = await subject.studio.take(line), await subject.studio.heard(line)
        name = f"{number:02d}-{speaker}-{emotion or 'own'}"
        wrong = word_edits(normal_words(line.text), heard)
        rows.append(
            {
                "file": f"{name}.wav",
                "voice": speaker,
                "emotion": emotion or "own",
                "text": line.text,
                "heard": " ".join(heard),
                "word_errors": wrong,
            }
        )
        title = f"{speaker}, {emotion or 'own emotion'}: {line.text}"
        await asyncio.to_thread(_write, folder, name, take.samples, title)
    text = json.dumps(rows, indent=1) + "\n"
    await asyncio.to_thread((folder / "clips.json").write_text, text, encoding="utf-8")


def _write(folder: Path, name: str, samples: npt.NDArray[np.float32], title: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with wave.open(str(folder / f"{name}.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes((np.clip(samples, -1.0, 1.0) * 32767.0).astype("<i2").tobytes())
    _picture(folder / f"{name}.png", samples, title)


def _picture(path: Path, samples: npt.NDArray[np.float32], title: str) -> None:
    """Mel spectrogram with the F0 course below it."""
    # Slow to import, and wanted here alone.
    from matplotlib.figure import Figure as Canvas

    frames = frames_of(samples, RATE_HZ, 0.032)
    power = np.square(np.abs(np.fft.rfft(frames * np.hanning(frames.shape[1]), 1024, axis=1)))
    freqs = np.fft.rfftfreq(1024, 1.0 / RATE_HZ)
    mels = 1127.0 * np.log1p(freqs / 700.0)
    edges = np.linspace(0.0, mels[-1], 82)
    rising = (mels - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - mels) / (edges[2:] - edges[1:-1])[:, None]
    mel_db = 10.0 * np.log10(power @ np.maximum(0.0, np.minimum(rising, falling)).T + 1e-8)
    track_hz = pitch_track_hz(samples, RATE_HZ)
    canvas = Canvas(figsize=(9.0, 5.0), layout="constrained")
    above, below = canvas.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    end_s = len(frames) * HOP_S
    above.imshow(mel_db.T, origin="lower", aspect="auto", extent=(0.0, end_s, 0, 80), vmax=mel_db.max(), cmap="magma")
    above.set_ylabel("mel band")
    above.set_title(title, fontsize=9)
    below.plot(np.arange(len(track_hz)) * HOP_S, np.where(track_hz > 0, track_hz, np.nan), ".", markersize=3)
    below.set_ylabel("F0, Hz")
    below.set_xlabel("seconds")
    below.set_ylim(50, 450)
    canvas.savefig(path, dpi=90)
