"""The codec with one code for every two frames: lengths, masks, and how far a decoded row sees."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from oncue_engine.errors import CheckpointError, Unsupported
from oncue_engine.model.codec import CodecConfig, SemanticCodec

SMALL = CodecConfig(
    codebook_size=32,
    hidden_size=12,
    codebook_dim=4,
    vocos_dim=16,
    vocos_intermediate_dim=24,
    vocos_num_layers=2,
    downsample_scale=2,
)
REACH = 3 * (1 + 2) + 1


@pytest.fixture
def codec() -> SemanticCodec:
    torch.manual_seed(0)
    codec = SemanticCodec(SMALL).eval()
    for block in (*codec.encoder[0].convnext, *codec.decoder[0].convnext):  # type: ignore[index,union-attr]
        block.gamma.data.fill_(3.0)  # fresh, what a block adds is small
    return codec


@torch.no_grad()
def test_two_frames_to_a_code_and_two_rows_from_it(codec: SemanticCodec) -> None:
    for frames, codes in ((16, 8), (15, 8), (1, 1)):
        found, embeddings = codec.quantize(torch.randn(1, frames, 12))
        assert found.shape == (1, codes)
        assert codec.decode(embeddings).shape == (1, 2 * codes, 12)


@torch.no_grad()
def test_ragged_rows_equal_single_rows(codec: SemanticCodec) -> None:
    features, lengths = torch.randn(3, 21, 12) * 3, torch.tensor([21, 8, 1])
    together = codec.encode(features, lengths)
    for row, length in enumerate(lengths.tolist()):
        alone = codec.encode(features[row : row + 1, :length])
        assert torch.allclose(together[row : row + 1, : (length + 1) // 2], alone, atol=1e-5)
    codes, counts = torch.randint(0, 32, (2, 13)), torch.tensor([13, 6])
    decoded = codec.decode(codec.embed(codes), counts)
    for row, count in enumerate(counts.tolist()):
        alone = codec.decode(codec.embed(codes[row : row + 1, :count]))
        assert torch.allclose(decoded[row : row + 1, : 2 * count], alone, atol=1e-5)
    assert not torch.allclose(codec.decode(codec.embed(codes))[1, :12], decoded[1, :12], atol=1e-3)


@torch.no_grad()
def test_a_window_with_its_reach_decodes_as_the_whole_does(codec: SemanticCodec) -> None:
    assert codec.decoder_reach_codes == REACH
    codes = torch.randint(0, 32, (1, 60))
    whole = codec.decode(codec.embed(codes))
    for begin, end in ((0, 5), (20, 31), (50, 60)):
        first = max(0, begin - REACH)
        window = codec.decode(codec.embed(codes[:, first : end + REACH]))
        assert torch.allclose(window[:, 2 * (begin - first) :][:, : 2 * (end - begin)], whole[:, 2 * begin : 2 * end])


@torch.no_grad()
def test_the_reach_is_no_longer_than_it_must_be(codec: SemanticCodec) -> None:
    codes = torch.randint(0, 31, (1, 60))
    before = codec.decode(codec.embed(codes))[0]
    codes[0, 30] = 31
    changed = (codec.decode(codec.embed(codes))[0] != before).any(dim=1).nonzero()[:, 0]
    # The last convolution takes the row right beside the code's two, so the outer one of the code at the reach.
    assert changed.min() == 2 * (30 - REACH) + 1 and changed.max() == 2 * (30 + REACH)


@torch.no_grad()
def test_a_codec_at_full_rate_sees_less_far() -> None:
    codec = SemanticCodec(replace(SMALL, downsample_scale=1)).eval()
    assert codec.decoder_reach_codes == REACH - 1
    codes = torch.randint(0, 31, (1, 60))
    before = codec.decode(codec.embed(codes))[0]
    codes[0, 30] = 31
    changed = (codec.decode(codec.embed(codes))[0] != before).any(dim=1).nonzero()[:, 0]
    assert changed.min() == 30 - (REACH - 1) and changed.max() == 30 + REACH - 1


def test_keys_and_configs() -> None:
    keys = set(SemanticCodec(SMALL).state_dict())
    assert {"down.weight", "down.bias", "up.weight", "up.bias"} <= keys
    without = SemanticCodec(replace(SMALL, has_decoder=False))
    assert {key for key in keys if key.startswith(("decoder.", "up."))} == keys - set(without.state_dict())
    without.load_state_dict(SemanticCodec(SMALL).state_dict())
    with pytest.raises(Unsupported):
        without.decode(torch.zeros(1, 2, 12))
    section = {name: getattr(SMALL, name) for name in SMALL.__dataclass_fields__}
    assert CodecConfig.from_public(section) == SMALL
    with pytest.raises(CheckpointError, match="half"):
        CodecConfig.from_public({**section, "downsample_scale": 3})


def test_the_public_reach_is_forty_codes() -> None:
    with torch.device("meta"):
        assert SemanticCodec(CodecConfig(downsample_scale=2)).decoder_reach_codes == 40
