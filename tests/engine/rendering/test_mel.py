"""Mel by chunks: what was emitted stays, what comes continues it."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch

from oncue_engine.checkpoints.loaded import LoadedModel
from oncue_engine.rendering.chunks import Chunk
from oncue_engine.rendering.flow_batch import FlowBatch, render_mel
from oncue_engine.rendering.mel import SegmentMel, VoicePrompt
from oncue_engine.rendering.noise import frame_noise
from oncue_engine.timing.frame_map import FrameMap

_FREE = FrameMap.free(Fraction(5, 2))


def _prompt(nano: LoadedModel, frames: int = 40) -> VoicePrompt:
    generator = torch.Generator().manual_seed(1)
    return VoicePrompt(
        torch.randn(80, frames, generator=generator) - 4.0,
        torch.randn(frames, nano.config.s2mel.dit.content_dim, generator=generator),
        torch.randn(nano.config.style_encoder.embedding_size, generator=generator),
    )


def _rows(nano: LoadedModel, tokens: int) -> torch.Tensor:
    return torch.randn(tokens, nano.config.codec.hidden_size, generator=torch.Generator().manual_seed(2))


def _render(
    nano: LoadedModel, chunks: list[Chunk], frame_map: FrameMap = _FREE, context: int = 60, seed: int = 3
) -> torch.Tensor:
    rows = _rows(nano, chunks[-1].end)
    mel = SegmentMel(frame_map, _prompt(nano), seed, 0, context, 300)
    flow = FlowBatch(nano.s2mel.estimator, 0.7, torch.float32)
    with torch.inference_mode():
        for chunk in chunks:
            mel.extend(rows[mel.num_rows : chunk.seen])
            before = mel.mel.clone()
            job = mel.job(chunk, nano.s2mel)
            assert job is not None
            mel.accept(render_mel(flow, [job], 4)[0])
            assert torch.equal(mel.mel[:, : before.shape[1]], before), "emitted frames stay"
    return mel.mel


_CUTS = [Chunk(0, 9, 13, False), Chunk(9, 24, 28, False), Chunk(24, 60, 60, True)]


def test_one_chunk_is_one_plain_flow_call(nano: LoadedModel) -> None:
    from oncue_engine.model.flow import solve

    prompt, rows = _prompt(nano), _rows(nano, 30)
    with torch.inference_mode():
        mu = nano.s2mel.length_regulator(rows[None], 75)
        noise = torch.cat((torch.zeros(80, 40), frame_noise(3, 0, 0, 75, 80)), dim=1)
        whole = solve(
            nano.s2mel.estimator,
            noise[None],
            prompt.mel[None],
            torch.cat((prompt.condition[None], mu), dim=1),
            prompt.style[None],
            4,
            0.7,
        )[0, :, 40:]
    streamed = _render(nano, [Chunk(0, 30, 30, True)])
    torch.testing.assert_close(streamed, whole, rtol=0, atol=1e-4)


def test_free_speech_has_the_frames_of_its_tokens(nano: LoadedModel) -> None:
    assert _render(nano, _CUTS).shape == (80, 150)
    assert _render(nano, [Chunk(0, 9, 13, False), Chunk(9, 21, 21, True)]).shape == (80, 52)  # trunc(52.5)


@pytest.mark.parametrize("frames", [75, 149, 151, 300])
def test_an_exact_frame_budget_is_met_however_it_is_cut(nano: LoadedModel, frames: int) -> None:
    assert _render(nano, _CUTS, FrameMap(60, frames)).shape == (80, frames)
    assert _render(nano, [Chunk(0, 60, 60, True)], FrameMap(60, frames)).shape == (80, frames)


def test_a_frame_is_spoken_from_the_nearest_token_as_the_regulator_has_it(nano: LoadedModel) -> None:
    """Exact integers here, float32 in `interpolate`: they agree wherever the ratio is exact or the floor is clear."""
    for tokens, frames in ((60, 150), (7, 12), (25, 43), (100, 172)):
        index = torch.nn.functional.interpolate(torch.arange(tokens).float()[None, None], frames)[0, 0].long()
        ours = torch.tensor([FrameMap(tokens, frames).token_of(frame) for frame in range(frames)])
        assert (index != ours).sum() <= 1
    assert [FrameMap.free(Fraction(43, 25)).total_frames(n) for n in (1, 2, 25, 1500)] == [1, 3, 43, 2580]


def test_frames_and_tokens_agree_on_where_they_meet() -> None:
    for frame_map in (_FREE, FrameMap(25, 43), FrameMap(60, 149), FrameMap(7, 100)):
        for token in range(1, 40):
            first = frame_map.first_frame(token)
            assert frame_map.token_of(first) == token
            assert frame_map.token_of(first - 1) == token - 1


def test_the_same_seed_gives_the_same_mel_and_another_does_not(nano: LoadedModel) -> None:
    assert torch.equal(_render(nano, _CUTS), _render(nano, _CUTS))
    assert (_render(nano, _CUTS) - _render(nano, _CUTS, seed=4)).abs().max() > 0.1


def test_context_makes_a_chunk_continue_the_one_before(nano: LoadedModel) -> None:
    """With the emitted frames as context a chunk depends on them; without, it does not know them."""
    prompt, rows = _prompt(nano), _rows(nano, 60)
    for context, knows in ((60, True), (0, False)):
        seconds = []
        for shift in (0.0, 2.0):
            mel = SegmentMel(_FREE, prompt, 3, 0, context, 300)
            mel.extend(rows[:28])
            mel.accept(torch.randn(80, 23, generator=torch.Generator().manual_seed(5)) + shift)
            with torch.inference_mode():
                job = mel.job(Chunk(9, 24, 28, False), nano.s2mel)
                assert job is not None
                assert job.prompt_mel.shape[1] == 40 + min(context, 23)
                assert job.keep == 60 - 23
                flow = FlowBatch(nano.s2mel.estimator, 0.7, torch.float32)
                seconds.append(render_mel(flow, [job], 4)[0])
        assert ((seconds[0] - seconds[1]).abs().max() > 1e-3) == knows


def test_the_regulator_runs_over_context_and_new_frames_at_once(nano: LoadedModel) -> None:
    """Inside a flow call neighbours are normalised alike: the condition is that of one call over all of them."""
    rows = _rows(nano, 28)
    mel = SegmentMel(_FREE, _prompt(nano), 3, 0, 10, 300)
    mel.extend(rows)
    mel.accept(torch.zeros(80, 23))
    with torch.inference_mode():
        job = mel.job(Chunk(9, 24, 28, False), nano.s2mel)
        whole = nano.s2mel.length_regulator(rows[None], 70)[0]
    assert job is not None
    torch.testing.assert_close(job.mu[40:], whole[13:], rtol=0, atol=1e-5)  # 10 frames of context before frame 23


def test_some_emitted_frames_are_rendered_again_from_their_own_noise_and_thrown_away(nano: LoadedModel) -> None:
    """The call is that of a chunk that began earlier: the same noise, the same condition; only what is kept differs."""
    rows, emitted = _rows(nano, 28), torch.randn(80, 23, generator=torch.Generator().manual_seed(5))
    with torch.inference_mode():
        jobs = []
        for known, again in ((23, 5), (18, 0)):
            mel = SegmentMel(_FREE, _prompt(nano), 3, 0, 60, 300, again)
            mel.extend(rows)
            mel.accept(emitted[:, :known])
            jobs.append(mel.job(Chunk(9, 24, 28, False), nano.s2mel))
        late, early = jobs
        assert late is not None and early is not None
        assert (late.skip, late.keep, early.skip, early.keep) == (5, 37, 0, 42)
        assert torch.equal(late.noise, early.noise) and torch.equal(late.prompt_mel, early.prompt_mel)
        flow = FlowBatch(nano.s2mel.estimator, 0.7, torch.float32)
        ends = [render_mel(flow, [job], 4)[0] for job in (late, early)]
    torch.testing.assert_close(ends[0], ends[1][:, 5:], rtol=0, atol=1e-5)


def test_no_more_is_rendered_again_than_there_is(nano: LoadedModel) -> None:
    mel = SegmentMel(_FREE, _prompt(nano), 3, 0, 60, 300, 50)
    mel.extend(_rows(nano, 28))
    mel.accept(torch.zeros(80, 23))
    with torch.inference_mode():
        job = mel.job(Chunk(9, 24, 28, False), nano.s2mel)
    assert job is not None and job.skip == 23 and job.prompt_mel.shape[1] == 40


def test_joins_are_no_rougher_than_elsewhere(nano: LoadedModel) -> None:
    mel = _render(nano, _CUTS)
    steps = (mel[:, 1:] - mel[:, :-1]).abs().mean(0)
    joins = [_FREE.first_frame(chunk.end) - 1 for chunk in _CUTS[:-1]]
    assert steps[joins].mean() < 1.5 * steps.median()


def test_mel_that_is_no_number_is_refused(nano: LoadedModel) -> None:
    from oncue_engine.errors import GenerationFailed

    mel = SegmentMel(_FREE, _prompt(nano), 3, 0, 10, 300)
    with pytest.raises(GenerationFailed):
        mel.accept(torch.full((80, 3), float("nan")))
