"""IndexTTS-2.5's rows by chunks: the codec looks further ahead than a chunk, and rows are made again as codes come."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from oncue_engine.checkpoints.random_folder import make_random_public_25
from oncue_engine.conditioning import VoiceConditioning
from oncue_engine.decoding.batch import Sequence, SequenceSpec
from oncue_engine.decoding.length import SegmentLength
from oncue_engine.kinds.indextts25 import IndexTTS25, IndexTTS25Semantics
from oncue_engine.kinds.opening import open_model
from oncue_engine.rendering.chunks import Chunk, ChunkPlanner, ChunkPolicy, RenderFrames
from oncue_engine.rendering.mel import SegmentMel, VoicePrompt
from oncue_engine.rendering.wave import SegmentWave
from oncue_engine.requests import Sampling
from oncue_engine.speech_segment import SpeechSegment
from oncue_engine.timing.frame_map import FrameMap

TOKENS = 150
REACH = 3 * (1 + 2) + 1
VOICE = VoiceConditioning(style=torch.zeros(24), prompt_mel=torch.zeros(80, 0), prompt_condition=torch.zeros(0, 32))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> IndexTTS25:
    found = open_model(make_random_public_25(tmp_path_factory.mktemp("public") / "newer", "small"))[1]
    assert isinstance(found, IndexTTS25)
    return found


@torch.inference_mode()
def test_rows_of_every_chunk_equal_those_of_the_codes_so_far(model: IndexTTS25) -> None:
    semantics = IndexTTS25Semantics(model.networks)
    assert (semantics.rows_per_token, semantics.reach_tokens, semantics.remade_tokens) == (2, REACH, REACH)
    codes = torch.randint(256, (TOKENS,), generator=torch.Generator().manual_seed(1))
    segment, chunks = _stream(model, semantics, codes)
    assert chunks >= 4
    whole = semantics.rows(VOICE, 0, codes, torch.zeros(TOKENS, 0))
    torch.testing.assert_close(torch.cat(segment.mel.rows), whole, rtol=0, atol=1e-5)


@torch.inference_mode()
def test_what_few_codes_ahead_change_is_near_the_edge_alone(model: IndexTTS25) -> None:
    """A frame leaves with few codes ahead of it: nothing differs from the reach on, and more the nearer the edge."""
    semantics = IndexTTS25Semantics(model.networks)
    codes = torch.randint(256, (TOKENS,), generator=torch.Generator().manual_seed(2))
    whole = semantics.rows(VOICE, 0, codes, torch.zeros(TOKENS, 0)).reshape(TOKENS, 2, -1)
    seen = 100
    cut = semantics.rows(VOICE, 0, codes[:seen], torch.zeros(seen, 0)).reshape(seen, 2, -1)
    error = (cut - whole[:seen]).norm(dim=(1, 2)) / whole[:seen].norm(dim=(1, 2))
    assert float(error[: seen - REACH].max()) < 1e-5
    ahead = ChunkPolicy.of(model.speech).lookahead_tokens(model.speech.token_rate_hz)
    assert ahead == 8
    # Of random weights: at the edge of what is seen the row is another one, before the look-ahead nearly the same.
    assert 0.3 < float(error[seen - 1])
    assert 1e-5 < float(error[seen - 1 - ahead]) < 5e-3


@pytest.mark.parametrize("factor", [Fraction(1, 2), Fraction(1), Fraction(2)])
@pytest.mark.parametrize("tokens", [1, 2, 40, 149])
@torch.inference_mode()
def test_a_known_length_is_regulated_as_in_one_call(model: IndexTTS25, tokens: int, factor: Fraction) -> None:
    """int(1.72 * 2N * factor) frames of 2N rows by the regulator's own interpolation (spec 9, 6.2): the same condition.

    Where a row begins with a frame to the bit, its float32 may round to the row before. Free speech does not know its
    count in time: it goes by the ratio, and a frame's row is that one or the one before.
    """
    semantics = IndexTTS25Semantics(model.networks)
    frames = int(Fraction(43, 25) * 2 * tokens * factor)
    known = FrameMap(tokens, frames)
    spread = [known.row_of(frame, 2) for frame in range(frames)]
    public = interpolate(torch.arange(2.0 * tokens)[None, None], size=frames, mode="nearest")[0, 0].long().tolist()
    off = [frame for frame in range(frames) if spread[frame] != public[frame]]
    assert all(frame * 2 * tokens % frames == 0 and spread[frame] == public[frame] + 1 for frame in off)
    if not off:
        rows = semantics.rows(VOICE, 0, torch.arange(tokens), torch.zeros(tokens, 0))
        found = semantics.regulate(rows[torch.tensor(spread)])
        wanted = model.networks.s2mel.length_regulator(rows[None], frames)[0]
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)
    assert bool(off) == ((tokens, factor) == (40, 2)), "all but one of the cases compare the condition too"
    free = FrameMap.free(model.speech.frames_per_token)
    if factor == 1:
        assert free.total_frames(tokens) == frames
        assert {row - free.row_of(frame, 2) for frame, row in enumerate(spread)} <= {0, 1}


def _stream(model: IndexTTS25, semantics: IndexTTS25Semantics, codes: Tensor) -> tuple[SpeechSegment, int]:
    """The segment after its last flow job, and how many there were."""
    speech, frames = model.speech, int(TOKENS * model.speech.frames_per_token)
    frame_map, policy = FrameMap(TOKENS, frames), ChunkPolicy.of(model.speech)
    sizes = RenderFrames.of(policy, speech, model.vocoder_reach_frames)
    planner = ChunkPlanner(policy, speech.token_rate_hz, sizes.right / sizes.rate_hz)
    prompt = VoicePrompt(VOICE.prompt_mel, VOICE.prompt_condition, VOICE.style)
    sequence = Sequence.begin(SequenceSpec(0, 0, Sampling(), TOKENS, TOKENS, TOKENS), 0, 0, width=0)
    segment = SpeechSegment(
        SegmentLength(TOKENS, TOKENS, TOKENS, frame_map, None, 0),
        sequence,
        SegmentMel(frame_map, prompt, 0, 0, sizes.context, sizes.window, sizes.again, semantics.rows_per_token),
        SegmentWave(model.hop_samples, sizes.left, sizes.right),
    )
    chunks = 0
    chunk: Chunk | None = None
    while chunk is None or not chunk.last:
        chunk = planner.next(len(sequence.codes), sequence.finished)
        if chunk is None:
            sequence.codes.append(int(codes[len(sequence.codes)]))
            sequence.finished = len(sequence.codes) == TOKENS
            continue
        job = segment.flow_job(chunk, semantics, VOICE)
        assert job is not None
        so_far = semantics.rows(VOICE, 0, codes[: chunk.seen], torch.zeros(chunk.seen, 0))
        torch.testing.assert_close(torch.cat(segment.mel.rows), so_far, rtol=0, atol=1e-5)
        segment.mel.accept(torch.zeros(80, job.keep))
        planner.advance(chunk)
        chunks += 1
    return segment, chunks
