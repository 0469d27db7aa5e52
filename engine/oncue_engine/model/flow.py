"""Solving the flow from noise to mel, with classifier-free guidance (spec 6.3), and its training path.

Prompt frames are inpainted: the estimator sees the prompt mel and the whole condition there, while the solved mel is
held at zero. The prompt may be a speaker's alone or a speaker's followed by what was already emitted.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from oncue_engine.model.dit import DiT, TimeConditioning

__all__ = ["SIGMA_MIN", "FlowSchedule", "solve", "training_pair"]

SIGMA_MIN = 1e-6


@dataclass(frozen=True, slots=True)
class FlowSchedule:
    """Uniform Euler steps over 0..1 and what their times decide; one can serve every solve of that many steps."""

    times: Tensor  # [steps + 1]
    conditioning: TimeConditioning  # `steps` rows

    @property
    def steps(self) -> int:
        return self.times.shape[0] - 1

    @classmethod
    def uniform(cls, estimator: DiT, steps: int) -> FlowSchedule:
        """ValueError for fewer than one step."""
        if steps < 1:
            raise ValueError(f"a flow needs at least one step, got {steps}")
        weight = estimator.conv1.weight
        # Rounded to half precision, 1/7 would be another time, and its angles are a thousand times that.
        dtype = torch.promote_types(weight.dtype, torch.float32)
        times = torch.linspace(0.0, 1.0, steps + 1, dtype=dtype, device=weight.device)
        return cls(times, estimator.time_conditioning(times[:-1]))


@torch.no_grad()
def solve(
    estimator: DiT,
    noise: Tensor,
    prompt_mel: Tensor,
    mu: Tensor,
    style: Tensor,
    steps: int,
    guidance: float,
    *,
    lengths: Tensor | None = None,
    prompt_lengths: Tensor | None = None,
    schedule: FlowSchedule | None = None,
) -> Tensor:
    """noise [B,80,F], prompt_mel [B,80,P], mu [B,F,C], style [B,S] -> mel [B,80,F], zero in the prompt.

    F counts prompt and target, 0 <= P < F. `guidance` 0 runs one branch, else both as one batch:
    v = (1 + g) v_cond - g v_null.
    Ragged rows: `lengths` [B] frames in all (zero after them), `prompt_lengths` [B] frames of prompt.
    `schedule`: from `FlowSchedule.uniform(estimator, steps)`, to spare its computing.
    The estimator may be in half precision; the solved mel keeps the noise's. ValueError for shapes that do not fit.
    """
    batch, _, num_frames = noise.shape
    num_prompt = prompt_mel.shape[2]
    if num_prompt >= num_frames or mu.shape[1] != num_frames:
        raise ValueError(f"{num_frames} frames of noise, {num_prompt} of prompt, {mu.shape[1]} of condition do not fit")
    if schedule is None:
        schedule = FlowSchedule.uniform(estimator, steps)
    elif schedule.steps != steps:
        raise ValueError(f"a schedule of {schedule.steps} steps for {steps} steps")

    frame = torch.arange(num_frames, device=noise.device)
    begin = torch.full((batch,), num_prompt) if prompt_lengths is None else prompt_lengths
    in_prompt = (frame < begin.to(noise.device)[:, None])[:, None]  # [B,1,F]
    solved = ~in_prompt
    if lengths is not None:
        solved = solved & (frame < lengths.to(noise.device)[:, None])[:, None]
    keep = solved.to(noise.dtype)

    dtype = estimator.conv1.weight.dtype
    prompt_x = (F.pad(prompt_mel, (0, num_frames - num_prompt)) * in_prompt).to(dtype)  # [B,80,F]
    mu, style = mu.to(dtype), style.to(dtype)
    static = estimator.static_inputs(prompt_x, mu, style)  # [B,F,H]
    guided = guidance != 0.0
    if guided:
        # Zeros before the projections: the null branch is the same row of biases on every frame.
        null = estimator.static_inputs(
            torch.zeros_like(prompt_x[:1, :, :1]), torch.zeros_like(mu[:1, :1]), torch.zeros_like(style[:1])
        )
        static = torch.cat([static, null.expand_as(static)])
        lengths = None if lengths is None else torch.cat([lengths, lengths])
    layout = estimator.frame_layout(num_frames, lengths)

    x = noise * keep
    for step in range(steps):
        time = schedule.conditioning.row(step)
        if guided:
            both = estimator.evaluate(torch.cat([x, x]).to(dtype), static, time, layout)
            velocity, null_velocity = both.to(x.dtype).chunk(2)
            velocity = (1.0 + guidance) * velocity - guidance * null_velocity
        else:
            velocity = estimator.evaluate(x.to(dtype), static, time, layout).to(x.dtype)
        x = (x + (schedule.times[step + 1] - schedule.times[step]) * velocity) * keep
    return x


def training_pair(noise: Tensor, mel: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """noise, mel [B,80,F], t [B] -> (the point of the path at t, the velocity to learn), both [B,80,F]."""
    t = t[:, None, None]
    shrink = 1.0 - SIGMA_MIN
    return (1.0 - shrink * t) * noise + t * mel, mel - shrink * noise
