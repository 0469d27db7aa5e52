"""Trains the evaluation's two judges on teacher speech, apart from every model: speakers, sentences, seed are its own.

Run it from the repository root, with flite installed: `python scripts/train_judges.py`. It writes
clients/evaluation/oncue_eval/data/judges, which is committed, and prints how well the judges do on speakers that it
left out. No output of a model is used; clips are also heard with noise and through a blurred spectrum, because what the
judges will hear is not as clean as the teacher.
"""

from __future__ import annotations

import argparse
import json
import random
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import make_evaluation_clips  # the script beside this one
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from oncue_engine.training.teacher import SAMPLE_RATE_HZ, read_aloud
from oncue_engine.training.virtual_speakers import EMOTION_RULES, EmotionRule, VirtualSpeaker
from oncue_eval.emotion_judge import learn_emotions
from oncue_eval.manner import away_from, measure_manner
from oncue_eval.pitch import pitch_track_hz
from oncue_eval.speaker_judge import calibrate, learn_speakers, voice_statistics

TARGET = Path(__file__).parent.parent / "clients" / "evaluation" / "oncue_eval" / "data" / "judges"
SEED = 91_07
LEFT_OUT = 12
"""Speakers, the last ones, that only show how well the judges do."""
WIDTH = 16
NEUTRAL = 3
CALM, *ACTED = EMOTION_RULES
plain_seconds = cache(make_evaluation_clips.plain_seconds)

SENTENCES = (
    "The gardener planted three rows of tulips beside the wall.",
    "Somebody must have moved the ladder while we were away.",
    "A narrow road leads from the village up to the castle.",
    "My uncle repaired the clock that used to hang in the hall.",
    "We could hear the church bells from the other side of the valley.",
    "Every child in the class received a different coloured pencil.",
    "The ferry was delayed because of thick fog on the channel.",
    "Who left these muddy boots on the clean carpet?",
    "Her grandmother taught her to bake without any recipe.",
    "They painted the fence green and the gate dark blue.",
    "Nothing in this shop costs more than fifteen dollars.",
    "The museum keeps its oldest maps in the basement.",
    "Could we perhaps talk about it after breakfast?",
    "He folded the paper twice and slid it under the door.",
    "Two foxes crossed the frozen field before sunrise.",
    "The soup needs another hour and a pinch of salt.",
    "Nine students signed up for the course on Roman history.",
    "I am sure that I locked the cellar before we went to bed.",
    "The pilot told us that we would land a little early.",
    "Behind the factory there is a pond full of frogs.",
    "Where did you learn to play chess so well?",
    "Their new neighbour plays the trumpet every evening.",
    "The letter had been lying in the drawer for thirty years.",
    "All the windows on the north side face the harbour.",
)


@dataclass(frozen=True, slots=True)
class Channel:
    """What lies between a speaker and the judge's ear: the same for all clips of the speaker."""

    noise_db: float
    """Of white noise against the speech."""
    blur_bins: float
    """Standard deviation of the blur of magnitudes along frequency, bins of 31 Hz."""

    def heard(self, samples: npt.NDArray[np.float32], rng: np.random.Generator) -> npt.NDArray[np.float32]:
        """The samples through the channel, with a gain and a tilt of the clip's own."""
        window, hop = np.sqrt(np.hanning(513)[:-1]), 128
        padded = np.pad(samples.astype(np.float64), 512)
        frames = np.lib.stride_tricks.sliding_window_view(padded, 512)[::hop] * window
        spectrum = np.fft.rfft(frames, axis=1)
        magnitude = np.abs(spectrum)
        bins = np.arange(magnitude.shape[1])
        kernel = np.exp(-0.5 * np.square((bins[:, None] - bins) / self.blur_bins))
        blurred = magnitude @ (kernel / kernel.sum(axis=0))
        tilt = 10.0 ** (rng.normal(scale=2.0) * np.linspace(-1.0, 1.0, magnitude.shape[1]) / 20.0)
        frames = np.fft.irfft(spectrum / (magnitude + 1e-9) * blurred * tilt, axis=1) * window
        made = np.zeros(len(padded))
        for number, frame in enumerate(frames):
            made[number * hop : number * hop + 512] += frame
        made = made[512:-512] / (np.sum(np.square(window)) / hop)
        level = np.sqrt(np.mean(np.square(made)))
        made += rng.normal(scale=level * 10.0 ** (self.noise_db / 20.0), size=len(made))
        return (made * 10.0 ** (rng.normal(scale=3.0) / 20.0)).astype(np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """One clip, heard in one way."""

    emotion: str
    baseline: bool
    """One of the speaker's neutral clips that the others are compared with."""
    manner: npt.NDArray[np.float64]
    voice: npt.NDArray[np.float64]


def judge_speakers(count: int) -> list[VirtualSpeaker]:
    """Speakers drawn for the judges alone, over the range that the recipe draws from."""
    rng = random.Random(SEED)
    speakers = []
    for number in range(count):
        base = ("slt", "rms", "awb", "kal16")[number % 4]
        low, high = (0.80, 1.12) if base == "slt" else (0.88, 1.26)
        speakers.append(
            VirtualSpeaker(
                name=f"judge-{number:02d}",
                base=base,
                warp=rng.uniform(low, high),
                f0_shift=rng.uniform(0.86, 1.18),
                pace=rng.uniform(0.92, 1.1),
            )
        )
    return speakers


def measure_speaker(speaker: VirtualSpeaker, takes: int) -> list[list[Measured]]:
    """The speaker's clips as they are, and once more through a channel."""
    rng = np.random.default_rng([SEED, int(speaker.name.rpartition("-")[2])])
    sentences = list(rng.permutation(SENTENCES))
    plan: list[tuple[EmotionRule, bool]] = [(CALM, True)] * NEUTRAL + [(CALM, False)] * takes
    plan += [(rule, False) for rule in ACTED for _ in range(takes)]
    channel = Channel(noise_db=float(rng.uniform(-45.0, -25.0)), blur_bins=float(rng.uniform(0.3, 1.2)))
    plain, heard = [], []
    for number, (rule, baseline) in enumerate(plan):
        sentence = str(sentences[number % len(sentences)])
        reading = read_aloud(sentence, speaker, rule, speed=float(rng.uniform(0.95, 1.05)))
        samples, plain_s = reading.samples.astype(np.float32) / 32768.0, plain_seconds(sentence)
        for clips, audio in ((plain, samples), (heard, channel.heard(samples, rng))):
            track_hz = pitch_track_hz(audio, SAMPLE_RATE_HZ)
            clips.append(
                Measured(
                    emotion=rule.name,
                    baseline=baseline,
                    manner=measure_manner(audio, SAMPLE_RATE_HZ, plain_s, track_hz),
                    voice=voice_statistics(audio, SAMPLE_RATE_HZ, track_hz),
                )
            )
    return [plain, heard]


def deviations(clips: list[Measured]) -> tuple[list[npt.NDArray[np.float64]], list[str]]:
    """What each clip but the neutral ones does away from them, and its emotion."""
    neutral = [clip.manner for clip in clips if clip.baseline]
    judged = [clip for clip in clips if not clip.baseline]
    return [away_from(neutral, clip.manner) for clip in judged], [clip.emotion for clip in judged]


def main() -> None:
    """Measures, learns, writes both judges, and prints one JSON line each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--speakers", type=int, default=64)
    parser.add_argument("--takes", type=int, default=2, help="clips of each emotion and speaker")
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    speakers = judge_speakers(options.speakers)
    with ProcessPoolExecutor(options.processes) as pool:
        jobs = [pool.submit(measure_speaker, speaker, options.takes) for speaker in speakers]
        measured = [job.result() for job in tqdm(jobs, unit="speaker")]
    TARGET.mkdir(parents=True, exist_ok=True)

    kept, left_out = measured[:-LEFT_OUT], measured[-LEFT_OUT:]
    rows, labels = [], []
    for clips in (clips for ways in kept for clips in ways):
        found, emotions = deviations(clips)
        rows += found
        labels += emotions
    judge = learn_emotions(np.stack(rows), labels, SEED)
    np.savez(TARGET / "emotion.npz", **judge.arrays())
    for way, name in enumerate(("as they are", "noisy and blurred")):
        trials = [
            (judge.judge(row), emotion)
            for ways in left_out
            for row, emotion in zip(*deviations(ways[way]), strict=True)
        ]
        missed = sorted(f"{emotion} as {found}" for found, emotion in trials if found != emotion)
        accuracy = 1.0 - len(missed) / len(trials)
        print(json.dumps({"judge": "emotion", "clips": name, "accuracy": round(accuracy, 3), "missed": missed}))

    voices = [(clip.voice, speaker.name) for speaker, ways in zip(speakers[:-LEFT_OUT], kept, strict=True)
              for clips in ways for clip in clips]  # fmt: skip
    knows = learn_speakers(np.stack([voice for voice, _ in voices]), [name for _, name in voices], WIDTH)
    np.savez(TARGET / "speaker.npz", mean=knows.mean, projection=knows.projection)
    for way, name in enumerate(("as they are", "noisy and blurred")):
        own = {speaker.name: [knows.embed_statistics(clip.voice) for clip in ways[way]]
               for speaker, ways in zip(speakers[-LEFT_OUT:], left_out, strict=True)}  # fmt: skip
        # The reference is always the clean clip: it is what a voice is registered from.
        references = {speaker.name: knows.embed_statistics(ways[0][0].voice)
                      for speaker, ways in zip(speakers[-LEFT_OUT:], left_out, strict=True)}  # fmt: skip
        accuracy = calibrate(references, {name: clips[1:] for name, clips in own.items()})
        print(json.dumps({"judge": "speaker", "clips": name, "accuracy": round(accuracy, 3), "speakers": LEFT_OUT}))


if __name__ == "__main__":
    main()
