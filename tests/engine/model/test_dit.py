"""The flow estimator: golden numbers, and the traps of spec 11 (12, 13, 25) by name."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from oncue_engine.errors import CheckpointError
from oncue_engine.model.dit import DiT, DiTConfig
from oncue_engine.model.transformer import Transformer, feed_forward_width, rotary_table
from oncue_engine.model.wavenet import WaveNetConfig
from oncue_engine.parity.acoustic import SETS, load_s2mel
from oncue_engine.parity.golden_file import GoldenFile, read_golden

GOLDEN = Path(__file__).parents[2] / "golden" / "s2mel.safetensors"
SMALL = DiTConfig(
    hidden_dim=16,
    num_heads=2,
    depth=5,
    in_channels=8,
    content_dim=12,
    style_dim=6,
    num_time_features=32,
    wavenet=WaveNetConfig(hidden_dim=16, num_layers=2),
)


@pytest.fixture(scope="module")
def golden() -> GoldenFile:
    return read_golden(GOLDEN)


def _stirred(dit: DiT) -> DiT:
    """No parameter at a value that hides a mistake, such as a scale of one or a bias of zero."""
    with torch.no_grad():
        for parameter in dit.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return dit.eval()


@pytest.fixture
def dit() -> DiT:
    torch.manual_seed(0)
    return _stirred(DiT(SMALL))


def _inputs(batch: int, num_frames: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    torch.manual_seed(1)
    x, prompt_x = torch.randn(batch, 8, num_frames), torch.randn(batch, 8, num_frames)
    return x, prompt_x, torch.randn(batch, num_frames, 12), torch.randn(batch, 6), torch.rand(batch)


def test_every_golden_output_is_reproduced(golden: GoldenFile) -> None:
    found = SETS[golden.set](golden)
    assert found.keys() == golden.outputs.keys()
    for name, want in golden.outputs.items():
        tolerance = 5e-5 if name.startswith(("cfm_", "mel_")) else 2e-5
        assert found[name].shape == want.shape
        assert (found[name] - want).abs().max() <= tolerance * want.abs().max(), name


def test_the_path_with_gradients_gives_the_same(golden: GoldenFile) -> None:
    estimator, inputs = load_s2mel(golden).estimator, golden.inputs
    want, num_prompt = golden.outputs["dit_single"], inputs["prompt_mel"].shape[2]
    prompt_x = F.pad(inputs["prompt_mel"], (0, want.shape[2] - num_prompt))
    x = inputs["noise"].clone()
    x[:, :, :num_prompt] = 0
    got = estimator(x, prompt_x, golden.outputs["cond_cat"], inputs["style"], inputs["t_single"], torch.tensor([91]))
    assert got.requires_grad
    assert (got - want).abs().max() <= 2e-5 * want.abs().max()


@torch.no_grad()
def test_adaptive_norm_has_no_one_plus(dit: DiT) -> None:
    norm, x = dit.transformer.layers[0].attention_norm, torch.randn(1, 5, 16)
    assert not norm(x, torch.zeros(1, 2, 16)).any()
    scaled = norm(x, torch.stack([torch.full((1, 16), 2.0), torch.ones(1, 16)], dim=1))
    root_mean_square = (x.square().mean(dim=-1, keepdim=True) + 1e-5).sqrt()
    assert torch.allclose(scaled, 2.0 * x / root_mean_square * norm.norm.weight + 1.0, atol=1e-5)


@torch.no_grad()
def test_final_layer_has_one_plus_scale_and_shift_first(dit: DiT) -> None:
    x = torch.randn(1, 5, 16)
    modulation = torch.stack([torch.full((1, 16), 3.0), torch.full((1, 16), 0.5)], dim=1)
    plain = F.layer_norm(x, (16,), eps=1e-6)
    assert torch.allclose(dit.final_layer(x, torch.zeros(1, 2, 16)), dit.final_layer.linear(plain), atol=1e-5)
    assert torch.allclose(dit.final_layer(x, modulation), dit.final_layer.linear(plain * 1.5 + 3.0), atol=1e-5)


@torch.no_grad()
def test_rotary_pairs_are_neighbours(dit: DiT) -> None:
    attention = dit.transformer.layers[0].attention
    x = torch.randn(1, 7, 16)
    query, key, value = attention.wqkv(x)[0].reshape(7, 3, 2, 8).unbind(1)  # each [F,h,d]

    def turned(part: Tensor) -> Tensor:
        out = part.clone()
        for frame in range(7):
            for pair in range(4):
                angle = torch.tensor(frame * 10000.0 ** (-2 * pair / 8))
                a, b = part[frame, :, 2 * pair], part[frame, :, 2 * pair + 1]
                out[frame, :, 2 * pair] = a * angle.cos() - b * angle.sin()
                out[frame, :, 2 * pair + 1] = a * angle.sin() + b * angle.cos()
        return out

    scores = torch.einsum("fhd,ghd->hfg", turned(query), turned(key)) / 8**0.5
    mixed = torch.einsum("hfg,ghd->fhd", scores.softmax(dim=-1), value).reshape(1, 7, 16)
    assert torch.allclose(attention(x, rotary_table(7, 8, x.device), None), attention.wo(mixed), atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize(
    ("depth", "pairs"), [(13, {7: 5, 8: 4, 9: 3, 10: 2, 11: 1, 12: 0}), (6, {4: 2, 5: 1}), (1, {})]
)
def test_skips_run_last_in_first_out_around_a_silent_middle(depth: int, pairs: dict[int, int]) -> None:
    transformer = Transformer(depth, 8, 2, feed_forward_width(8))
    outputs: list[Tensor] = []
    arrived: dict[int, Tensor] = {}

    def note_output(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        outputs.append(output)

    for layer, block in enumerate(transformer.layers):
        block.register_forward_hook(note_output)
        if block.skip_in_linear is not None:

            def note_skip(_module: nn.Module, inputs: tuple[Tensor, ...], _output: Tensor, layer: int = layer) -> None:
                arrived[layer] = inputs[0]

            block.skip_in_linear.register_forward_hook(note_skip)
    transformer(
        torch.randn(1, 4, 8), transformer.modulations(torch.randn(1, 8)), rotary_table(4, 4, torch.device("cpu")), None
    )
    assert arrived.keys() == pairs.keys()
    for layer, source in pairs.items():
        assert torch.equal(arrived[layer], torch.cat([outputs[layer - 1], outputs[source]], dim=-1))


@torch.no_grad()
def test_null_branch_keeps_the_biases(dit: DiT) -> None:
    nothing = dit.static_inputs(torch.zeros(1, 8, 4), torch.zeros(1, 4, 12), torch.zeros(1, 6))
    content = dit.cond_x_merge_linear.weight[:, 16:32]
    want = content @ dit.cond_projection.bias + dit.cond_x_merge_linear.bias
    assert torch.allclose(nothing, want.expand(1, 4, 16), atol=1e-5)
    assert (content @ dit.cond_projection.bias).abs().max() > 0.1


@pytest.mark.parametrize("with_gradients", [True, False])
def test_ragged_rows_equal_single_rows(dit: DiT, with_gradients: bool) -> None:
    lengths = torch.tensor([40, 39, 17, 3, 2, 1])
    x, prompt_x, mu, style, t = _inputs(6, 40)
    for row, length in enumerate(lengths.tolist()):  # what stands behind a row's end must not matter
        x[row, :, length:] = 50.0
        prompt_x[row, :, length:] = -50.0
        mu[row, length:] = 50.0
    with torch.set_grad_enabled(with_gradients):
        together = dit(x, prompt_x, mu, style, t, lengths)
        for row, length in enumerate(lengths.tolist()):
            one = slice(row, row + 1)
            alone = dit(x[one, :, :length], prompt_x[one, :, :length], mu[one, :length], style[one], t[one])
            assert (together[one, :, :length] - alone).abs().max() <= 1e-5 * max(1.0, alone.detach().abs().max().item())
            assert not together[row, :, length:].any()


@torch.no_grad()
def test_each_row_has_its_own_time(dit: DiT) -> None:
    x, prompt_x, mu, style, _ = _inputs(1, 20)
    t = torch.tensor([0.0, 0.3, 0.9])
    rows = [part.expand(3, *part.shape[1:]) for part in (x, prompt_x, mu, style)]
    together = dit(*rows, t)
    for row in range(3):
        alone = dit(x, prompt_x, mu, style, t[row : row + 1])
        assert torch.allclose(together[row : row + 1], alone, atol=1e-5)
    assert not torch.allclose(together[0], together[1], atol=1e-2)


@torch.no_grad()
def test_prepared_parts_give_the_same_evaluation(dit: DiT) -> None:
    x, prompt_x, mu, style, _ = _inputs(2, 20)
    times = torch.tensor([0.1, 0.5, 0.7])
    prepared, static, layout = (
        dit.time_conditioning(times),
        dit.static_inputs(prompt_x, mu, style),
        dit.frame_layout(20),
    )
    want = dit(x, prompt_x, mu, style, times[[2, 0]])
    got = dit.evaluate(x, static, prepared.rows(torch.tensor([2, 0])), layout)
    assert torch.allclose(got, want, atol=1e-5)
    want = dit(x, prompt_x, mu, style, times[[1, 1]])
    assert torch.allclose(dit.evaluate(x, static, prepared.row(1), layout), want, atol=1e-5)


@pytest.mark.parametrize("lengths", [[0, 5], [5, 6]])
def test_lengths_out_of_range_raise(dit: DiT, lengths: list[int]) -> None:
    with pytest.raises(ValueError, match=r"1\.\.5"):
        dit.frame_layout(5, torch.tensor(lengths))


def test_misshapen_and_missing_weights_raise(dit: DiT) -> None:
    state = dict(dit.state_dict())
    with pytest.raises(RuntimeError, match="size mismatch for skip_linear"):
        dit.load_state_dict({**state, "skip_linear.weight": torch.zeros(16, 23)})
    with pytest.raises(RuntimeError, match=r"size mismatch for t_embedder2\.freqs"):
        dit.load_state_dict({**state, "t_embedder2.freqs": torch.zeros(15)})
    del state["conv2.bias"]
    with pytest.raises(RuntimeError, match=r"conv2\.bias"):
        dit.load_state_dict(state)


def test_public_keys_without_a_use_are_let_through(dit: DiT) -> None:
    idle = {
        "input_pos": torch.arange(16384),
        "x_embedder.weight": torch.zeros(16, 8),
        "cond_embedder.weight": torch.zeros(4, 16),
        "content_mask_embedder.weight": torch.zeros(1, 16),
        "transformer.layers.2.skip_in_linear.weight": torch.zeros(16, 32),
        "transformer.layers.2.skip_in_linear.bias": torch.zeros(16),
    }
    dit.load_state_dict({**dit.state_dict(), **idle})
    with pytest.raises(RuntimeError, match="stranger"):
        dit.load_state_dict({**dit.state_dict(), "stranger": torch.zeros(1)})


def test_time_stays_precise_in_a_model_saved_and_run_in_half_precision(dit: DiT) -> None:
    before = dit.t_embedder.freqs.clone()
    dit.load_state_dict({**dit.state_dict(), "t_embedder.freqs": before.half()})
    dit.to(torch.bfloat16)
    assert torch.equal(dit.t_embedder.freqs, before)
    assert dit.time_conditioning(torch.tensor([0.37])).adaptive.dtype == torch.bfloat16
    dit.load_state_dict({**dit.state_dict(), "t_embedder.freqs": before * 2})
    assert torch.equal(dit.t_embedder.freqs, before * 2), "full-precision values of a file are taken"


def test_a_model_moved_out_of_meta_gets_its_frequencies() -> None:
    dit = DiT(SMALL).to("meta")
    assert dit.t_embedder.freqs.is_meta
    dit.to_empty(device="cpu")
    assert torch.equal(dit.t_embedder.freqs, DiT(SMALL).t_embedder.freqs)


def test_the_embedded_sizes_can_be_built_and_every_parameter_learns() -> None:
    torch.manual_seed(0)
    dit = DiT(DiTConfig(hidden_dim=192, num_heads=4, depth=6, content_dim=192, wavenet=WaveNetConfig(192, 4, 5)))
    out = dit(
        torch.randn(2, 80, 30),
        torch.randn(2, 80, 30),
        torch.randn(2, 30, 192),
        torch.randn(2, 192),
        torch.rand(2),
        torch.tensor([30, 21]),
    )
    out.square().mean().backward()
    idle = [name for name, parameter in dit.named_parameters() if parameter.grad is None or not parameter.grad.any()]
    assert idle == []


def test_training_in_mixed_precision_follows_full_precision(dit: DiT) -> None:
    inputs = (*_inputs(2, 20), torch.tensor([20, 13]))
    want = dit(*inputs).detach()
    with torch.autocast("cpu", torch.bfloat16):
        got = dit(*inputs)
    got.float().square().mean().backward()
    assert (got.detach() - want).abs().max() <= 0.1 * want.abs().max()
    assert all(torch.isfinite(parameter.grad).all() for parameter in dit.parameters() if parameter.grad is not None)


def test_feed_forward_width_follows_the_public_rule() -> None:
    assert [feed_forward_width(dim) for dim in (512, 192, 56)] == [1536, 512, 256]


@pytest.mark.parametrize(
    "change",
    [{"is_causal": True}, {"final_layer_type": "mlp"}, {"time_as_token": True}, {"uvit_skip_connection": False}],
)
def test_configs_of_other_structure_are_refused(golden: GoldenFile, change: dict[str, object]) -> None:
    with pytest.raises(CheckpointError, match=next(iter(change))):
        DiTConfig.from_public({**golden.config, "DiT": {**golden.config["DiT"], **change}})
