"""The batch of chunks on their way through the flow: they join and leave between Euler steps, each at its own time.

A chunk is a row of frames; rows of any lengths and any numbers of steps go through the estimator as one packed call
(model/packed_dit.py). What a row becomes depends on its own job, never on who else is in the batch, up to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock

import torch
import torch.nn.functional as F
from torch import Tensor

from ..model.dit import DiT
from ..model.packed_dit import PackedDiT, PackedTimes
from .mel import FlowJob

__all__ = ["FlowBatch", "FlowRow", "render_mel"]


@dataclass(slots=True, eq=False)
class FlowRow:
    """One chunk between noise and mel. Abandoned by taking no further steps."""

    job: FlowJob
    steps: int
    times: PackedTimes
    static: Tensor
    """[F,H], what the estimator need not compute again."""
    x: Tensor
    """[F - P, 80]: the solved frames on the path; those of the prompt stay zero."""
    step: int = 0
    """Steps taken."""
    error: Exception | None = None
    """Set when this row failed; it takes no further steps."""

    @property
    def done(self) -> bool:
        return self.step >= self.steps

    @property
    def live(self) -> bool:
        return not self.done and self.error is None

    @property
    def frames(self) -> int:
        """Prompt included."""
        return self.job.noise.shape[1]

    def mel(self) -> Tensor:
        """The kept frames [80,keep] of a row that is done; raises its error if it failed."""
        if self.error is not None:
            raise self.error
        if not self.done:
            raise RuntimeError(f"{self.step} of {self.steps} steps taken")
        return self.x[self.job.skip : self.job.skip + self.job.keep].t().contiguous()


class FlowBatch:
    """Starts rows and steps them. Rows that no two threads step at once may be stepped by several threads."""

    def __init__(self, estimator: DiT, guidance: float, precision: torch.dtype) -> None:
        """`guidance` 0 evaluates one branch, else both: v = (1 + g) v_cond - g v_null.

        ValueError for a precision of the products that is neither float32 nor bfloat16.
        """
        self._estimator = PackedDiT(estimator, precision)
        self.precision = precision
        self._guidance = guidance
        self._times: dict[int, PackedTimes] = {}
        self._lock = Lock()

    @torch.inference_mode()
    def start(self, job: FlowJob, steps: int) -> FlowRow:
        """A row before its first step. ValueError for shapes that do not fit, or fewer than one step."""
        frames, prompt, config = job.noise.shape[1], job.prompt_mel.shape[1], self._estimator.config
        if prompt >= frames or len(job.mu) != frames:
            raise ValueError(f"{frames} frames of noise, {prompt} of prompt, {len(job.mu)} of condition do not fit")
        if not 0 <= job.skip <= job.skip + job.keep <= frames - prompt:
            raise ValueError(f"{job.skip} skipped and {job.keep} kept of {frames - prompt} solved frames do not fit")
        widths = (len(job.noise), len(job.prompt_mel), job.mu.shape[1], len(job.style))
        if widths != (config.in_channels, config.in_channels, config.content_dim, config.style_dim):
            raise ValueError(f"widths {widths} are not the estimator's")
        static = self._estimator.static(job.prompt_mel, job.mu, job.style)
        return FlowRow(job, steps, self._table(steps), static, job.noise[:, prompt:].t().to(torch.float32, copy=True))

    @torch.inference_mode()
    def step(self, rows: Sequence[FlowRow]) -> None:
        """One Euler step of every unfinished row; a row that fails gets its `error`, the others go on."""
        live = [row for row in rows if row.live]
        if not live:
            return
        try:
            velocities = self._velocities(live)
        except Exception as error:
            if len(live) == 1:
                live[0].error = error
                return
            # A batch does not say who broke it: alone, each row fails or goes on by itself. None has moved yet.
            for row in live:
                self.step([row])
            return
        for row, velocity in zip(live, velocities, strict=True):
            row.x = row.x.add(velocity, alpha=1.0 / row.steps)
            row.step += 1

    def _velocities(self, rows: list[FlowRow]) -> Sequence[Tensor]:
        solved = [len(row.x) for row in rows]
        layout = self._estimator.layout([row.frames for row in rows], solved, 2 if self._guidance else 1)
        x = torch.cat([F.pad(row.x, (0, 0, row.frames - len(row.x), 0)) for row in rows])
        times = PackedTimes.of_rows([row.times for row in rows], [row.step for row in rows])
        velocity = self._estimator.velocity(x, [row.static for row in rows], times, layout, self._guidance)
        return torch.split(velocity, solved)

    def _table(self, steps: int) -> PackedTimes:
        """The same for every row of that many steps; few numbers of steps are ever asked for."""
        with self._lock:
            if steps not in self._times:
                self._times[steps] = self._estimator.times(steps)
            return self._times[steps]


def render_mel(batch: FlowBatch, jobs: Sequence[FlowJob], steps: int) -> list[Tensor]:
    """The kept mel frames [80,keep] of every job, solved together. Raises the first error of any."""
    rows = [batch.start(job, steps) for job in jobs]
    while any(row.live for row in rows):
        batch.step(rows)
    return [row.mel() for row in rows]
