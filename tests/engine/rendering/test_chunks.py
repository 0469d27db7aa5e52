"""Where a segment is cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oncue_engine.checkpoints.config import SpeechConfig
from oncue_engine.rendering.chunks import Chunk, ChunkPlanner, ChunkPolicy


def test_chunks_of_a_model_with_long_prompts_get_as_long() -> None:
    usual = ChunkPolicy.of(SpeechConfig(s2m_prompt_limit_s=1.2))
    assert usual == ChunkPolicy()
    long = ChunkPolicy.of(SpeechConfig(s2m_prompt_limit_s=3.0))
    assert long.longest_s == 3.0 and long.growth > usual.growth
    assert long.first_audio_s == usual.first_audio_s, "the first audio is not later"
    assert ChunkPolicy.of(SpeechConfig(s2m_prompt_limit_s=15.0)).longest_s < 6.0


def _cut(total: int, arrivals: list[int], rate_hz: float = 25.0) -> list[Chunk]:
    """The chunks of one segment whose tokens come in runs of these sizes."""
    planner = ChunkPlanner(ChunkPolicy(), rate_hz, vocoder_context_s=0.2)
    chunks: list[Chunk] = []
    tokens, runs = 0, iter(arrivals)
    while not chunks or not chunks[-1].last:
        tokens = min(total, tokens + next(runs, 1))
        # A free segment knows its end one step after its last token.
        finished = tokens == total and next(runs, 1) > 0
        while (chunk := planner.next(tokens, finished)) is not None:
            chunks.append(chunk)
            planner.advance(chunk)
            if chunk.last:
                break
    return chunks


@given(total=st.integers(1, 300), arrivals=st.lists(st.integers(1, 80), max_size=50))
def test_cuts_depend_on_the_tokens_alone(total: int, arrivals: list[int]) -> None:
    chunks = _cut(total, arrivals)
    assert chunks == _cut(total, [total])
    assert chunks[0].begin == 0 and chunks[-1].end == total
    for before, after in pairwise(chunks):
        assert after.begin == before.end
        assert before.seen == before.end + 4  # 0.16 s of look-ahead at 25 Hz
    assert chunks[-1].seen == total
    assert len(chunks) == 1 or chunks[-1].end - chunks[-1].begin > 4  # no sliver at the end


def test_the_first_chunk_is_small_and_they_grow() -> None:
    sizes = [chunk.end - chunk.begin for chunk in _cut(300, [300])][:-1]
    assert sizes[0] == 13  # 0.32 s to play and 0.2 s of vocoder context
    assert sizes == sorted(sizes)
    assert sizes[-1] == 32  # 1.28 s


@pytest.mark.parametrize("rate_hz", [12.5, 25.0, 50.0])
def test_chunks_last_equally_long_at_every_token_rate(rate_hz: float) -> None:
    first = _cut(int(10 * rate_hz), [1000], rate_hz)[0]
    assert first.end / rate_hz == pytest.approx(0.52, abs=1 / rate_hz)


def test_an_unfinished_segment_waits_one_token_longer() -> None:
    planner = ChunkPlanner(ChunkPolicy(), 25.0, vocoder_context_s=0.2)
    assert planner.next(17, finished=False) is None
    assert planner.next(17, finished=True) == Chunk(0, 17, 17, last=True)
    assert planner.next(18, finished=False) == planner.next(18, finished=True) == Chunk(0, 13, 17, last=False)


def test_the_ramp_goes_on_in_the_next_segment() -> None:
    planner = ChunkPlanner(ChunkPolicy(), 25.0, vocoder_context_s=0.2)
    first = planner.next(10, finished=True)
    assert first is not None and first.last
    planner.advance(first)
    after = planner.next(100, finished=False)
    assert after == Chunk(0, 21, 25, last=False)
