"""Three renderings: the streamed one is what the engine sends, the others differ only in how they are cut."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import numpy as np
import pytest

from oncue_engine.answers import AudioChunk, Event, Failed, Finished
from oncue_engine.engine import Engine
from oncue_engine.errors import InvalidRequest
from oncue_engine.options import EngineOptions
from oncue_engine.requests import Pacing, PacingMode, Reference, UtteranceRequest
from oncue_engine.seams import Renderings, three_ways

TEXT = "When the rain finally stopped, we packed our bags and drove slowly back to the city."


@pytest.fixture(scope="module")
def made(tiny_model_dir: Path, clip: Path) -> Renderings:
    return three_ways(tiny_model_dir, clip, EngineOptions(threads=1)).render(TEXT, seed=5)


def test_the_streamed_rendering_is_what_the_engine_sends(
    made: Renderings, tiny_model_dir: Path, clip: Path, tmp_path: Path
) -> None:
    engine = Engine.load(tiny_model_dir, tmp_path, EngineOptions(threads=1))
    parts: list[np.ndarray] = []
    done = threading.Event()
    last: list[Event] = []

    def on_event(event: Event) -> None:
        if isinstance(event, AudioChunk):
            parts.append(event.samples)
        if isinstance(event, Finished | Failed):
            last.append(event)
            done.set()

    request = UtteranceRequest(
        text=TEXT,
        voice=Reference(clip, hashlib.sha256(clip.read_bytes()).hexdigest()),
        sample_rate_hz=made.rate_hz,
        seed=5,
        pacing=Pacing(PacingMode.UNPACED),
    )
    try:
        engine.speak(request, on_event)
        assert done.wait(60)
    finally:
        engine.close()
    assert isinstance(last[0], Finished)
    sent = np.concatenate(parts)
    assert len(sent) == len(made.streamed)
    # The engine fades the last 4 ms of a loud end.
    settled = len(sent) - round(0.004 * made.rate_hz)
    assert np.abs(sent[:settled] - np.clip(made.streamed, -1, 1)[:settled]).max() < 1e-4


def test_all_three_are_as_long_and_joins_lie_inside(made: Renderings) -> None:
    assert len(made.whole) == len(made.streamed) == len(made.crossfaded)
    for joins in (made.joins, made.chunk_joins):
        assert len(joins) >= 2
        assert list(joins) == sorted(set(joins))
        assert 0 < joins[0] and joins[-1] < len(made.whole)


def test_the_first_samples_know_nothing_of_a_cut(made: Renderings) -> None:
    """Up to the first join the cross-faded chunk is one that has seen less; after it nothing is left at zero."""
    assert np.isfinite(made.crossfaded).all()
    loud = np.abs(made.whole) > 1e-3
    assert np.mean(np.abs(made.crossfaded[loud]) > 1e-5) > 0.95
    assert not np.allclose(made.whole, made.crossfaded, atol=1e-3)


def test_a_text_of_two_segments_is_refused(tiny_model_dir: Path, clip: Path) -> None:
    with pytest.raises(InvalidRequest) as caught:
        three_ways(tiny_model_dir, clip, EngineOptions(threads=1)).render(" ".join([TEXT] * 12), seed=1)
    assert caught.value.reason == "TEXT_NOT_ONE_SEGMENT"
