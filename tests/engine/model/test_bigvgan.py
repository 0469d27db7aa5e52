"""The vocoder: public numbers, checkpoint forms, exact length, and how far one sample sees."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from oncue_engine.errors import CheckpointError
from oncue_engine.model.bigvgan import AntiAliasedSnake, BigVGAN, BigVGANConfig, kaiser_sinc_filter
from oncue_engine.model.weight_norm import fold
from oncue_engine.parity.golden_file import GoldenFile, read_golden

GOLDEN = Path(__file__).parents[2] / "golden" / "bigvgan.safetensors"
FILTERS = ("upsample.filter", "downsample.lowpass.filter")
SMALL = BigVGANConfig(upsample_rates=(8, 4, 4, 2), upsample_kernel_sizes=(16, 8, 8, 4), upsample_initial_channel=32)
PUBLIC_SHAPE = BigVGANConfig(upsample_initial_channel=64)


@pytest.fixture(scope="module")
def golden() -> GoldenFile:
    return read_golden(GOLDEN)


@pytest.fixture(scope="module")
def vocoder(golden: GoldenFile) -> BigVGAN:
    model = BigVGAN(BigVGANConfig.from_public(golden.config))
    model.load_state_dict(fold(golden.weights))
    return model.eval()


def relative(got: Tensor, want: Tensor) -> float:
    return ((got - want).abs().max() / want.abs().max()).item()


def seeded(config: BigVGANConfig, seed: int = 0) -> BigVGAN:
    torch.manual_seed(seed)
    model = BigVGAN(config).eval()
    for name, value in model.named_parameters():
        if name.endswith((".alpha", ".beta")):
            torch.nn.init.normal_(value, std=0.3)
    return model


@torch.no_grad()
def test_golden_wave(golden: GoldenFile, vocoder: BigVGAN) -> None:
    assert relative(vocoder(golden.inputs["mel"]), golden.outputs["wav"]) < 5e-5


@torch.no_grad()
@pytest.mark.parametrize("folded", [False, True], ids=["weight_norm", "plain"])
@pytest.mark.parametrize("filters", [False, True], ids=["no_filters", "filters"])
def test_every_checkpoint_form_loads_to_the_same_wave(golden: GoldenFile, folded: bool, filters: bool) -> None:
    state = {k: v for k, v in golden.weights.items() if filters or not k.endswith(FILTERS)}
    if folded:
        state = fold(state)
    model = BigVGAN(BigVGANConfig.from_public(golden.config)).eval()
    model.load_state_dict(fold(state))  # strict: nothing missing, nothing left over
    assert relative(model(golden.inputs["mel"]), golden.outputs["wav"]) < 5e-5


def test_missing_weight_and_foreign_filter_are_refused(golden: GoldenFile) -> None:
    model = BigVGAN(BigVGANConfig.from_public(golden.config))
    state = fold(golden.weights)
    with pytest.raises(RuntimeError, match=r"conv_pre\.bias"):
        model.load_state_dict({k: v for k, v in state.items() if k != "conv_pre.bias"})
    name = "activation_post.upsample.filter"
    changed = state[name].clone()
    changed[0, 0, 3] += 1e-4
    with pytest.raises(CheckpointError, match="activation_post"):
        model.load_state_dict({**state, name: changed})


def test_filter_is_a_symmetric_low_pass(golden: GoldenFile) -> None:
    taps = kaiser_sinc_filter()
    assert taps.sum().item() == pytest.approx(1.0, abs=1e-6)
    torch.testing.assert_close(taps, taps.flip(0))
    torch.testing.assert_close(taps, golden.weights["activation_post.upsample.filter"].flatten(), rtol=0, atol=1e-7)


@pytest.mark.parametrize("samples", [1, 2, 5, 6, 7, 40])
def test_polyphase_activation_is_up_snake_down(samples: int) -> None:
    """Against the definition: transposed convolution, snake at the double rate, strided convolution."""
    torch.manual_seed(samples)
    layer = AntiAliasedSnake(3, logscale=True)
    torch.nn.init.normal_(layer.act.alpha)
    torch.nn.init.normal_(layer.act.beta)
    x = torch.randn(2, 3, samples)
    taps = kaiser_sinc_filter().expand(3, 1, -1)
    y = 2 * F.conv_transpose1d(F.pad(x, (5, 5), mode="replicate"), taps, stride=2, groups=3)[..., 15:-15]
    y = y + torch.sin(y * layer.act.alpha.exp()[:, None]) ** 2 / (layer.act.beta.exp()[:, None] + 1e-9)
    want = F.conv1d(F.pad(y, (5, 6), mode="replicate"), taps, stride=2, groups=3)
    torch.testing.assert_close(layer(x), want, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_wave_is_clamped_without_tanh_or_bias(golden: GoldenFile, vocoder: BigVGAN) -> None:
    assert vocoder.conv_post.bias is None
    mel = golden.inputs["mel"]
    loud = BigVGAN(vocoder.config).eval()
    loud.load_state_dict(vocoder.state_dict())
    loud.conv_post.weight.mul_(3.0 / vocoder.before_clamp(mel).abs().max())
    raw, wav = loud.before_clamp(mel), loud(mel)
    assert raw.abs().max() > 2.0  # the clamp is reached
    assert torch.equal(wav, raw.clamp(-1, 1))
    assert torch.equal(wav[raw.abs() <= 1], raw[raw.abs() <= 1])  # tanh would bend these


@torch.no_grad()
@pytest.mark.parametrize("config", [SMALL, PUBLIC_SHAPE], ids=["small", "public"])
@pytest.mark.parametrize("frames", [1, 2, 17])
def test_wave_has_exactly_hop_times_frames_samples(config: BigVGANConfig, frames: int) -> None:
    assert config.hop_samples == 256
    assert seeded(config)(torch.randn(2, 80, frames)).shape == (2, 1, 256 * frames)


@torch.no_grad()
@pytest.mark.parametrize("config", [SMALL, PUBLIC_SHAPE], ids=["small", "public"])
def test_context_frames_settle_the_middle_of_a_window(config: BigVGANConfig) -> None:
    """What streaming stands on: with `context_frames` on both sides a window's middle is the full render."""
    model = seeded(config)
    reach, hop, frames = model.context_frames, config.hop_samples, 4
    mel = torch.randn(1, 80, 2 * reach + 40)
    full = model.before_clamp(mel)
    for first in (reach, reach + 13, reach + 36):
        window = model.before_clamp(mel[..., first - reach : first + frames + reach])
        middle = window[..., reach * hop : (reach + frames) * hop]
        assert relative(middle, full[..., first * hop : (first + frames) * hop]) < 1e-5
    # At the ends of the utterance the context is what there is.
    start = model.before_clamp(mel[..., : frames + reach])[..., : frames * hop]
    assert relative(start, full[..., : frames * hop]) < 1e-5
    bare = model.before_clamp(mel[..., reach : reach + frames])
    assert relative(bare, full[..., reach * hop : (reach + frames) * hop]) > 1e-2


@pytest.mark.parametrize("config", [SMALL, PUBLIC_SHAPE], ids=["small", "public"])
def test_context_frames_is_the_exact_reach(config: BigVGANConfig) -> None:
    """The gradient of a frame's samples is zero beyond `context_frames`, and not zero at it, on one side at least.

    Little of the gradient is left out there, so it is taken in float64, and with positive weights: nothing cancels.
    """
    model = seeded(config).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.abs_()
    reach = model.context_frames
    middle = reach + 3
    mel = torch.full((1, 80, 2 * middle + 1), 0.01, dtype=torch.float64, requires_grad=True)
    hop = config.hop_samples
    weights = torch.rand(hop, dtype=torch.float64)
    (model.before_clamp(mel)[0, 0, middle * hop : (middle + 1) * hop] * weights).sum().backward()
    assert mel.grad is not None
    touched = mel.grad.abs().sum(dim=(0, 1)).nonzero().flatten() - middle
    assert max(-touched.min().item(), touched.max().item()) == reach


def test_public_reach_is_38_frames() -> None:
    with torch.device("meta"):
        assert BigVGAN(BigVGANConfig()).context_frames == 38


@torch.no_grad()
def test_sixteen_frames_of_context_leave_less_than_a_thousandth(golden: GoldenFile, vocoder: BigVGAN) -> None:
    mel = torch.randn(1, 80, 80, generator=torch.Generator().manual_seed(3)) - 4
    full = vocoder.before_clamp(mel)[..., 30 * 256 : 50 * 256]
    window = vocoder.before_clamp(mel[..., 14:66])[..., 16 * 256 : 36 * 256]
    assert relative(window, full) < 1e-3


def test_every_weight_learns() -> None:
    model = seeded(SMALL).train()
    model.before_clamp(torch.randn(2, 80, 6)).square().mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize(
    ("change", "message"),
    [({"resblock": "2"}, "resblock"), ({"activation": "snake"}, "activation")],
)
def test_kinds_not_built_are_refused(golden: GoldenFile, change: dict[str, str], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        BigVGANConfig.from_public({**golden.config, **change})


def test_config_without_rates_is_refused(golden: GoldenFile) -> None:
    partial = {k: v for k, v in golden.config.items() if k != "upsample_rates"}
    with pytest.raises(CheckpointError, match="upsample_rates"):
        BigVGANConfig.from_public(partial)
