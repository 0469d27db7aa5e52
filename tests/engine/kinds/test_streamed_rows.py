"""Tokens whose rows see their neighbours: what a chunk is rendered from is what the whole segment would give it."""

from __future__ import annotations

import pytest
import torch

from oncue_engine.checkpoints.cosyvoice2 import LoadedCosyVoice2, load_cosyvoice2
from oncue_engine.checkpoints.random_cosyvoice2 import make_random_cosyvoice2
from oncue_engine.decoding.batch import Sequence, SequenceSpec
from oncue_engine.decoding.length import SegmentLength
from oncue_engine.kinds.cosyvoice2 import CosyVoice2Semantics
from oncue_engine.kinds.cosyvoice2_prompts import CosyVoice2Voice
from oncue_engine.rendering.chunks import Chunk, ChunkPlanner, ChunkPolicy, RenderFrames
from oncue_engine.rendering.mel import SegmentMel, VoicePrompt
from oncue_engine.rendering.wave import SegmentWave
from oncue_engine.requests import Sampling
from oncue_engine.speech_segment import SpeechSegment
from oncue_engine.timing.frame_map import FrameMap

TOKENS = 130
PROMPT_TOKENS = 30


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedCosyVoice2:
    return load_cosyvoice2(make_random_cosyvoice2(tmp_path_factory.mktemp("model") / "second"))


@pytest.mark.parametrize("frames", [2 * TOKENS, 2 * TOKENS - 31, 2 * TOKENS + 77])
@torch.inference_mode()
def test_a_chunk_is_rendered_from_the_rows_of_the_whole(loaded: LoadedCosyVoice2, frames: int) -> None:
    flow, speech = loaded.networks.flow, loaded.config.speech
    semantics = CosyVoice2Semantics(flow)
    generator = torch.Generator().manual_seed(1)
    codes = torch.randint(loaded.config.speech_tokenizer.codes, (PROMPT_TOKENS + TOKENS,), generator=generator)
    lead, codes = codes[:PROMPT_TOKENS], codes[PROMPT_TOKENS:]
    frame_map = FrameMap(TOKENS, frames)
    whole = flow.condition(flow.encoder(torch.cat((lead, codes))))[2 * PROMPT_TOKENS :]  # [2 * TOKENS, C]
    wanted = torch.stack([whole[frame_map.row_of(frame, 2)] for frame in range(frames)])

    policy = ChunkPolicy.of(speech)
    sizes = RenderFrames.of(policy, speech, loaded.networks.vocoder.context_frames)
    planner = ChunkPlanner(policy, speech.token_rate_hz, sizes.right / sizes.rate_hz)
    voice = CosyVoice2Voice(
        style=torch.zeros(80),
        prompt_mel=torch.zeros(80, 2 * PROMPT_TOKENS),
        prompt_condition=torch.zeros(2 * PROMPT_TOKENS, whole.shape[1]),
        prompt_codes=lead,
        flow_codes=lead,
    )
    prompt = VoicePrompt(voice.prompt_mel, voice.prompt_condition, voice.style)
    sequence = Sequence.begin(SequenceSpec(0, 0, Sampling(), TOKENS, TOKENS, TOKENS), 0, 0, width=0)
    segment = SpeechSegment(
        SegmentLength(TOKENS, TOKENS, TOKENS, frame_map, None, 0),
        sequence,
        SegmentMel(frame_map, prompt, 0, 0, sizes.context, sizes.window, sizes.again, semantics.rows_per_token),
        SegmentWave(480, sizes.left, sizes.right),
    )
    chunks = 0
    while (chunk := planner.next(len(sequence.codes), sequence.finished)) is None or chunks == 0 or not chunk.last:
        if chunk is None:
            sequence.codes.append(int(codes[len(sequence.codes)]))
            sequence.finished = len(sequence.codes) == TOKENS
            continue
        _render(segment, chunk, semantics, voice, wanted)
        planner.advance(chunk)
        chunks += 1
    _render(segment, chunk, semantics, voice, wanted)
    assert chunks >= 4
    assert segment.mel.mel.shape[1] == frames


def _render(
    segment: SpeechSegment, chunk: Chunk, semantics: CosyVoice2Semantics, voice: CosyVoice2Voice, wanted: torch.Tensor
) -> None:
    """One flow call, of which only what it is given is looked at."""
    job = segment.flow_job(chunk, semantics, voice)
    assert job is not None
    emitted = segment.mel.mel.shape[1]
    begin = job.prompt_mel.shape[1] + job.skip
    torch.testing.assert_close(
        job.mu[begin : begin + job.keep], wanted[emitted : emitted + job.keep], rtol=0, atol=1e-5
    )
    segment.mel.accept(torch.zeros(80, job.keep))
