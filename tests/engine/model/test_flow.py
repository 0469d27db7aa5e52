"""The solver against a plain one written here, and the traps of spec 11 (13, 14) by name."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from oncue_engine.model.dit import DiT, DiTConfig
from oncue_engine.model.flow import FlowSchedule, solve, training_pair
from oncue_engine.model.wavenet import WaveNetConfig
from oncue_engine.parity.acoustic import load_s2mel
from oncue_engine.parity.golden_file import read_golden

GOLDEN = Path(__file__).parents[2] / "golden" / "s2mel.safetensors"
STEPS = 5


@pytest.fixture
def dit() -> DiT:
    torch.manual_seed(0)
    config = DiTConfig(16, 2, 3, 8, 12, 6, 32, WaveNetConfig(hidden_dim=16, num_layers=2))
    dit = DiT(config).eval()
    with torch.no_grad():
        for parameter in dit.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return dit


@pytest.fixture
def case() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """noise [1,8,30], prompt_mel [1,8,11], mu [1,30,12], style [1,6]"""
    torch.manual_seed(1)
    return torch.randn(1, 8, 30), torch.randn(1, 8, 11), torch.randn(1, 30, 12), torch.randn(1, 6)


def _plain(dit: DiT, case: tuple[Tensor, ...], guidance: float, *, rezero: bool = True, keep_mu: bool = True) -> Tensor:
    """The formula of spec 6.3, one branch at a time; the switches make the two mistakes of trap 14."""
    noise, prompt_mel, mu, style = case
    num_prompt = prompt_mel.shape[2]
    prompt_x = F.pad(prompt_mel, (0, noise.shape[2] - num_prompt))
    if not keep_mu:
        mu = mu.clone()
        mu[:, :num_prompt] = 0
    x = noise.clone()
    x[:, :, :num_prompt] = 0
    for step in range(STEPS):
        t = torch.tensor([step / STEPS])
        velocity = dit(x, prompt_x, mu, style, t)
        null = dit(x, torch.zeros_like(prompt_x), torch.zeros_like(mu), torch.zeros_like(style), t)
        x = x + ((1 + guidance) * velocity - guidance * null) / STEPS
        if rezero or step == STEPS - 1:
            x[:, :, :num_prompt] = 0
    return x


@torch.no_grad()
@pytest.mark.parametrize("guidance", [0.0, 0.7])
def test_solve_is_the_plain_formula(dit: DiT, case: tuple[Tensor, Tensor, Tensor, Tensor], guidance: float) -> None:
    got = solve(dit, *case, STEPS, guidance)
    assert torch.allclose(got, _plain(dit, case, guidance), atol=1e-5)
    assert not got[:, :, :11].any(), "zero in the prompt, also after the last step"


@torch.no_grad()
def test_the_prompt_is_zeroed_after_each_step_while_its_condition_is_kept(
    dit: DiT, case: tuple[Tensor, Tensor, Tensor, Tensor]
) -> None:
    got = solve(dit, *case, STEPS, 0.7)
    assert not torch.allclose(got, _plain(dit, case, 0.7, rezero=False), atol=1e-3)
    assert not torch.allclose(got, _plain(dit, case, 0.7, keep_mu=False), atol=1e-3)


@torch.no_grad()
@pytest.mark.parametrize(("guidance", "rows"), [(0.0, 1), (0.7, 2)])
def test_both_branches_are_one_batch_and_no_guidance_has_no_second(
    dit: DiT, case: tuple[Tensor, Tensor, Tensor, Tensor], guidance: float, rows: int
) -> None:
    batches: list[int] = []

    def note(_module: nn.Module, inputs: tuple[Tensor, ...], _output: Tensor) -> None:
        batches.append(inputs[0].shape[0])

    dit.wavenet.register_forward_hook(note)
    solve(dit, *case, STEPS, guidance)
    assert batches == [rows] * STEPS


@torch.no_grad()
@pytest.mark.parametrize("guidance", [0.0, 0.7])
def test_ragged_rows_equal_single_rows(dit: DiT, guidance: float) -> None:
    lengths, prompts = [30, 21, 12, 5], [11, 0, 7, 3]
    noise, prompt_mel = torch.randn(4, 8, 30), torch.randn(4, 8, 11)
    mu, style = torch.randn(4, 30, 12), torch.randn(4, 6)
    together = solve(
        dit,
        noise,
        prompt_mel,
        mu,
        style,
        STEPS,
        guidance,
        lengths=torch.tensor(lengths),
        prompt_lengths=torch.tensor(prompts),
    )
    for row, (length, prompt) in enumerate(zip(lengths, prompts, strict=True)):
        one = slice(row, row + 1)
        single = (noise[one, :, :length], prompt_mel[one, :, :prompt], mu[one, :length], style[one])
        assert torch.allclose(together[one, :, :length], solve(dit, *single, STEPS, guidance), atol=1e-5)
        assert not together[row, :, length:].any()


@torch.no_grad()
def test_emitted_mel_serves_as_prompt(dit: DiT, case: tuple[Tensor, Tensor, Tensor, Tensor]) -> None:
    noise, prompt_mel, mu, style = case
    emitted = solve(dit, noise[:, :, :20], prompt_mel, mu[:, :20], style, STEPS, 0.7)[:, :, 11:]
    longer = (noise, torch.cat([prompt_mel, emitted], dim=2), mu, style)
    got = solve(dit, *longer, STEPS, 0.7)
    assert torch.allclose(got, _plain(dit, longer, 0.7), atol=1e-5)
    assert not got[:, :, :20].any() and got[:, :, 20:].any()


@torch.no_grad()
def test_a_prepared_schedule_gives_the_same(dit: DiT, case: tuple[Tensor, Tensor, Tensor, Tensor]) -> None:
    schedule = FlowSchedule.uniform(dit, STEPS)
    assert torch.allclose(schedule.times, torch.linspace(0, 1, STEPS + 1))
    assert torch.equal(solve(dit, *case, STEPS, 0.7, schedule=schedule), solve(dit, *case, STEPS, 0.7))
    with pytest.raises(ValueError, match="schedule"):
        solve(dit, *case, STEPS + 1, 0.7, schedule=schedule)


def test_shapes_that_do_not_fit_raise(dit: DiT, case: tuple[Tensor, Tensor, Tensor, Tensor]) -> None:
    noise, prompt_mel, mu, style = case
    with pytest.raises(ValueError, match="do not fit"):
        solve(dit, noise, prompt_mel, mu[:, :-1], style, STEPS, 0.7)
    with pytest.raises(ValueError, match="do not fit"):
        solve(dit, noise[:, :, :11], prompt_mel, mu[:, :11], style, STEPS, 0.7)
    with pytest.raises(ValueError, match="one step"):
        solve(dit, *case, 0, 0.7)


@torch.no_grad()
def test_half_precision_follows_full_precision() -> None:
    golden = read_golden(GOLDEN)
    estimator, inputs = load_s2mel(golden).estimator, golden.inputs
    case = (inputs["noise"], inputs["prompt_mel"], golden.outputs["cond_cat"], inputs["style"])
    got = solve(estimator.to(torch.bfloat16), *case, 4, 0.7)
    want = golden.outputs["cfm_4steps_cfg0.7"]
    assert got.dtype == torch.float32
    assert (got - want).abs().max() <= 0.05 * want.abs().max()


def test_the_training_path_runs_from_noise_to_mel() -> None:
    noise, mel = torch.randn(2, 8, 9), torch.randn(2, 8, 9)
    start, velocity = training_pair(noise, mel, torch.zeros(2))
    end, _ = training_pair(noise, mel, torch.ones(2))
    assert torch.equal(start, noise)
    assert torch.allclose(end, mel, atol=1e-5)
    assert torch.allclose(start + 0.25 * velocity, training_pair(noise, mel, torch.full((2,), 0.25))[0], atol=1e-5)
