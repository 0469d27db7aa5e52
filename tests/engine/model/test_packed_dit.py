"""The packed evaluator against the estimator itself: in both precisions, alone and in a crowd."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from oncue_engine.model.dit import DiT, DiTConfig
from oncue_engine.model.packed_dit import PackedDiT, PackedTimes
from oncue_engine.model.wavenet import WaveNetConfig

STEPS = 4


def random_dit(config: DiTConfig) -> DiT:
    torch.manual_seed(0)
    dit = DiT(config).eval()
    with torch.no_grad():
        for parameter in dit.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return dit


@pytest.fixture(scope="module", params=[3, 4, 5])
def dit(request: pytest.FixtureRequest) -> DiT:
    """Odd and even depths: the U-shaped skips differ."""
    return random_dit(DiTConfig(64, 2, request.param, 8, 12, 6, 32, WaveNetConfig(hidden_dim=16, num_layers=2)))


@dataclass(frozen=True, slots=True, eq=False)
class _Row:
    x: Tensor  # [F,8], zero in the prompt
    prompt: Tensor  # [8,P]
    mu: Tensor  # [F,12]
    style: Tensor  # [6]
    step: int

    @classmethod
    def random(cls, seed: int, frames: int, prompt: int, step: int) -> _Row:
        generator = torch.Generator().manual_seed(seed)

        def draw(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator)

        x = draw(frames, 8)
        x[:prompt] = 0
        return cls(x, draw(8, prompt), draw(frames, 12), draw(6), step)

    def plain(self, dit: DiT, guidance: float) -> Tensor:
        """[F - P, 8] by the estimator, one branch at a time."""
        frames, prompt = len(self.x), self.prompt.shape[1]
        known = torch.nn.functional.pad(self.prompt, (0, frames - prompt))[None]
        given = (known, self.mu[None], self.style[None])
        time = torch.tensor([self.step / STEPS])
        with torch.no_grad():
            velocity = dit(self.x.t()[None], *given, time)
            if guidance:
                null = dit(self.x.t()[None], *(torch.zeros_like(part) for part in given), time)
                velocity = (1 + guidance) * velocity - guidance * null
        return velocity[0, :, prompt:].t()


ROWS = [_Row.random(1, 30, 11, 0), _Row.random(2, 21, 0, 3), _Row.random(3, 12, 11, 1), _Row.random(4, 2, 1, 2)]


def _packed(packed: PackedDiT, rows: Sequence[_Row], guidance: float) -> list[Tensor]:
    solved = [len(row.x) - row.prompt.shape[1] for row in rows]
    layout = packed.layout([len(row.x) for row in rows], solved, 2 if guidance else 1)
    times = PackedTimes.of_rows([packed.times(STEPS)] * len(rows), [row.step for row in rows])
    static = [packed.static(row.prompt, row.mu, row.style) for row in rows]
    out = packed.velocity(torch.cat([row.x for row in rows]), static, times, layout, guidance)
    return list(out.split(solved))


@pytest.mark.parametrize("guidance", [0.0, 0.7])
def test_in_float32_a_batch_is_the_estimator_row_by_row(dit: DiT, guidance: float) -> None:
    for row, got in zip(ROWS, _packed(PackedDiT(dit, torch.float32), ROWS, guidance), strict=True):
        want = row.plain(dit, guidance)
        torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5 * float(want.abs().max()))


@pytest.mark.parametrize("guidance", [0.0, 0.7])
def test_in_bfloat16_it_is_near(dit: DiT, guidance: float) -> None:
    got = torch.cat(_packed(PackedDiT(dit, torch.bfloat16), ROWS, guidance))
    want = torch.cat([row.plain(dit, guidance) for row in ROWS])
    assert 0 < (got - want).square().mean().sqrt() < 0.02 * want.square().mean().sqrt()


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_a_row_alone_is_the_same_bits_each_time_and_near_itself_in_a_crowd(dit: DiT, precision: torch.dtype) -> None:
    packed = PackedDiT(dit, precision)
    for row, together in zip(ROWS, _packed(packed, ROWS, 0.7), strict=True):
        (alone,) = _packed(packed, [row], 0.7)
        assert torch.equal(alone, _packed(packed, [row], 0.7)[0])
        tolerance = (1e-5 if precision is torch.float32 else 0.02) * float(alone.abs().max())
        torch.testing.assert_close(together, alone, rtol=0, atol=tolerance)


def test_what_is_no_number_stays_in_its_row(dit: DiT) -> None:
    poisoned = _Row.random(5, 17, 4, 1)
    poisoned.mu[9, 3] = float("nan")
    packed = PackedDiT(dit, torch.bfloat16)
    first, broken, last = _packed(packed, [ROWS[0], poisoned, ROWS[1]], 0.7)
    clean = _packed(packed, [ROWS[0], ROWS[1]], 0.7)
    assert broken.isnan().all()
    for got, want in zip((first, last), clean, strict=True):
        torch.testing.assert_close(got, want, rtol=0, atol=0.02 * float(want.abs().max()))


def test_shapes_and_precisions_that_do_not_fit_are_refused(dit: DiT) -> None:
    with pytest.raises(ValueError, match="float16"):
        PackedDiT(dit, torch.float16)
    packed = PackedDiT(dit, torch.float32)
    with pytest.raises(ValueError, match="solved"):
        packed.layout([4], [5], 1)
    with pytest.raises(ValueError, match="step"):
        packed.times(0)
