"""A tiny random model, made once, and an engine that runs it."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from oncue_engine.answers import AudioChunk, Event, Failed, Finished, Started
from oncue_engine.checkpoints.loaded import LoadedModel, load_model
from oncue_engine.checkpoints.random_nano import make_random_nano
from oncue_engine.engine import Engine, UtteranceHandle
from oncue_engine.options import EngineOptions
from oncue_engine.requests import Pacing, PacingMode, Reference, UtteranceRequest


def reference(path: Path) -> Reference:
    return Reference(path, hashlib.sha256(path.read_bytes()).hexdigest())


@dataclass
class Recorder:
    """Keeps every event of one utterance and when it came."""

    events: list[Event] = field(default_factory=list)
    times_s: list[float] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)
    first_audio: threading.Event = field(default_factory=threading.Event)

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        self.times_s.append(time.monotonic())
        if isinstance(event, AudioChunk):
            self.first_audio.set()
        if isinstance(event, Finished | Failed):
            self.ended.set()

    @property
    def chunks(self) -> list[AudioChunk]:
        return [event for event in self.events if isinstance(event, AudioChunk)]

    @property
    def samples(self) -> npt.NDArray[np.float32]:
        return np.concatenate([np.zeros(0, np.float32), *(chunk.samples for chunk in self.chunks)])

    def finished(self, timeout_s: float = 60.0) -> Finished:
        assert self.ended.wait(timeout_s), "the utterance did not end"
        last = self.events[-1]
        assert isinstance(last, Finished), last
        return last

    def failed(self, timeout_s: float = 60.0) -> Failed:
        assert self.ended.wait(timeout_s), "the utterance did not end"
        last = self.events[-1]
        assert isinstance(last, Failed), last
        return last


@dataclass
class Speaker:
    """Short ways to ask an engine for speech."""

    engine: Engine
    voice: Reference

    def begin(self, text: str, **fields: object) -> tuple[UtteranceHandle, Recorder]:
        recorder = Recorder()
        return self.engine.speak(self.request(text, **fields), recorder), recorder

    def say(self, text: str, **fields: object) -> Recorder:
        """Speak to the end, as fast as it goes, and check what holds for every stream."""
        _, recorder = self.begin(text, **fields)
        finished = recorder.finished()
        check_stream(recorder, finished)
        return recorder

    def request(self, text: str, **fields: object) -> UtteranceRequest:
        settings: dict[str, object] = {
            "voice": self.voice,
            "sample_rate_hz": 16_000,
            "pacing": Pacing(PacingMode.UNPACED),
            **fields,
        }
        return UtteranceRequest(text=text, **settings)  # type: ignore[arg-type]


def check_stream(recorder: Recorder, finished: Finished) -> None:
    """Started first; chunks without gaps; the end where Finished says it is."""
    assert isinstance(recorder.events[0], Started)
    assert [chunk.sequence for chunk in recorder.chunks] == list(range(len(recorder.chunks)))
    for before, after in zip(recorder.chunks, recorder.chunks[1:], strict=False):
        assert after.first_sample == before.first_sample + len(before.samples)
        assert after.codes_generated >= before.codes_generated
    assert all(len(chunk.samples) > 0 for chunk in recorder.chunks)
    if recorder.chunks:
        last = recorder.chunks[-1]
        assert last.first_sample + len(last.samples) == finished.total_samples
        assert np.abs(recorder.samples).max() <= 1.0
        assert np.isfinite(recorder.samples).all()


@pytest.fixture(scope="session")
def nano_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_random_nano(tmp_path_factory.mktemp("model") / "nano")


@pytest.fixture(scope="session")
def nano(nano_folder: Path) -> LoadedModel:
    return load_model(nano_folder)


@pytest.fixture(scope="module")
def engine(nano_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    engine = Engine.load(nano_folder, tmp_path_factory.mktemp("data"), EngineOptions(threads=1))
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def low_voice(nano_folder: Path) -> Reference:
    return reference(nano_folder / "voices" / "low.wav")


@pytest.fixture(scope="module")
def high_voice(nano_folder: Path) -> Reference:
    return reference(nano_folder / "voices" / "high.wav")


@pytest.fixture(scope="module")
def speaker(engine: Engine, low_voice: Reference) -> Speaker:
    return Speaker(engine, low_voice)
