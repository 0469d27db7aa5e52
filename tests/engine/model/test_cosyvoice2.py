"""The networks of CosyVoice2's shape: what each row depends on, the grid of codes, and the cache."""

from __future__ import annotations

import pytest
import torch

from oncue_engine.model.cosyvoice2.language_model import LanguageModelConfig, SpeechLanguageModel
from oncue_engine.model.cosyvoice2.speech_tokenizer import SpeechTokenizer, SpeechTokenizerConfig
from oncue_engine.model.cosyvoice2.token_encoder import TokenEncoder, TokenEncoderConfig
from oncue_engine.model.cosyvoice2.windowed import WindowedBlock

CODES = 27


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def test_a_windowed_block_is_attention_under_a_band_mask() -> None:
    block = WindowedBlock(16, 2, left=3, right=1)
    with torch.inference_mode():
        block.distance_bias.normal_()
        x = torch.randn(9, 16)
        query, key, value = block.qkv(block.attention_norm(x)).view(9, 3, 2, 8).permute(1, 2, 0, 3)
        distance = torch.arange(9) - torch.arange(9)[:, None] + 3  # of key n from query m, counted from 3 before it
        inside = (distance >= 0) & (distance <= 4)
        bias = block.distance_bias[:, distance.clamp(0, 4)].masked_fill(~inside, -torch.inf)
        mixed = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        expected = x + block.out(mixed.transpose(0, 1).flatten(1))
        expected = expected + block.feed_forward(block.feed_forward_norm(expected))
        torch.testing.assert_close(block(x), expected)


def encoder() -> TokenEncoder:
    config = TokenEncoderConfig(width=16, heads=2, blocks=1, upsampled_blocks=1, window_tokens=4)
    return TokenEncoder(CODES, config).eval()


def test_a_tokens_rows_depend_on_what_the_config_says_and_no_more() -> None:
    network = encoder()
    reach, ahead, rate = network.config.reach_tokens, network.config.look_ahead_tokens, network.config.rows_per_token
    codes = torch.randint(CODES, (40,))
    changed = 25
    other = codes.clone()
    other[changed] = (other[changed] + 1) % CODES
    with torch.inference_mode():
        differ = (network(codes) != network(other)).any(dim=1).view(-1, rate).any(dim=1)
    assert differ.nonzero().flatten().tolist() == list(range(changed - ahead, changed + reach + 1))


def test_rows_made_in_pieces_are_the_rows_made_at_once() -> None:
    network = encoder()
    reach, ahead, rate = network.config.reach_tokens, network.config.look_ahead_tokens, network.config.rows_per_token
    codes = torch.randint(CODES, (60,))
    with torch.inference_mode():
        whole = network(codes)
        for begin, end in ((20, 30), (30, 57)):
            first = begin - reach
            piece = network(codes[first : end + ahead])
            made = piece[reach * rate : (end - first) * rate]
            torch.testing.assert_close(made, whole[begin * rate : end * rate], rtol=0, atol=1e-5)


def test_codes_are_the_points_of_a_grid() -> None:
    network = SpeechTokenizer(SpeechTokenizerConfig(bands=8, width=8, heads=2, blocks=1, window=2, levels=3, digits=3))
    numbers = torch.tensor([[-9.0, -9.0, -9.0], [9.0, -9.0, -9.0], [0.0, 0.1, -9.0], [-0.1, 0.0, 0.0], [9.0, 9.0, 9.0]])
    assert network.quantize(numbers).tolist() == [0, 2, 1 + 3, 1 + 3 + 9, 26]
    assert network.config.codes == 27


@pytest.mark.parametrize("frames", [1, 4, 5, 98])
def test_speech_becomes_a_token_every_four_frames(frames: int) -> None:
    network = SpeechTokenizer(SpeechTokenizerConfig(bands=8, width=8, heads=2, blocks=1, window=2, digits=3)).eval()
    with torch.inference_mode():
        codes = network(torch.randn(frames, 8))
    assert codes.shape == (-(-frames // 4),) and codes.dtype == torch.int64
    assert 0 <= int(codes.min()) <= int(codes.max()) < 27


def test_steps_with_a_cache_are_one_pass_over_all() -> None:
    config = LanguageModelConfig(text_tokens=30, width=32, layers=2, heads=4, key_heads=2, feed_forward_width=64)
    network = SpeechLanguageModel(CODES, config).eval()
    assert network.stop == CODES and network.unused == (CODES + 1, CODES + 2)
    text, prompt, codes = torch.randint(30, (6,)), torch.randint(CODES, (4,)), [3, 1, 4, 1, 5]
    with torch.inference_mode():
        prefix = network.prefix(text, prompt)
        assert prefix.shape == (6 + 4 + 2, 32)
        cache = network.empty_cache()
        steps = [network.run(prefix, cache)]
        steps += [network.run(network.code_row(code), cache) for code in codes]
        for count, logits in enumerate(steps):
            rows = torch.cat((prefix, *(network.code_row(code) for code in codes[:count])))
            torch.testing.assert_close(logits, network.run(rows, network.empty_cache()), rtol=0, atol=1e-5)
